"""Markers that tools leave beside files, and objects of no bytes: skipped and counted, unless they had tasks before."""

import logging
from typing import Any

import pytest
from importing import Importing, some, texts
from model.bucket import Bucket
from model.fake_project import Process
from model.worlds import EmbeddedWorld
from sqlalchemy import Engine

from labelsync_provider.errors import EmptyListing
from labelsync_provider.sync import ImportOptions
from labelsync_provider.sync.new_objects import count_new_objects

MARKERS = ["_SUCCESS", "a/_SUCCESS", "day_$folder$", ".keep", "a/.gitkeep", "Thumbs.db", "desktop.ini", "a/.DS_Store"]
BLOBS: dict[str, Any] = {"use_blob_urls": True, "data_key": "text"}


@pytest.fixture
def run(engine: Engine) -> Importing:
    run = Importing(Bucket(), EmbeddedWorld(engine), engine)
    run.put("good.json", texts("1"))
    return run


@pytest.mark.parametrize("options", [{}, BLOBS], ids=["task files", "blobs"])
class TestMarkers:
    def test_are_skipped_and_counted(self, run: Importing, options: dict[str, Any]) -> None:
        for key in MARKERS:
            run.put(key, "written by a tool")
        for key in ("a/", "empty.json", "empty.jpg", "empty"):
            run.put(key, b"")
        report = run(**options)
        assert (report.listed, report.matched, report.markers) == (13, 1, 12)
        assert some(report) == {"markers": 12, "new": 1, "tasks_created": 1}
        assert some(run(**options)) == {"markers": 12, "unchanged": 1}
        assert run.quarantine() == {}

    def test_are_nothing_to_begin_a_run_for(self, run: Importing, options: dict[str, Any]) -> None:
        run(**options)
        run.put("_SUCCESS", "1")
        run.put("late.json", b"")
        found = count_new_objects(run.source.open(), run.world.open(Process()), run.engine, ImportOptions(**options))
        assert (found.matched, found.waiting) == (1, 0)

    def test_are_no_objects_that_became_empty(self, run: Importing, options: dict[str, Any]) -> None:
        run(**options)
        before = run.tasks()
        run.put("good.json", b"")
        for _ in range(2):
            report = run(**options, on_missing="delete", max_delete=10)
            assert (report.missing, report.tasks_deleted, report.quarantined, report.markers) == (0, 0, 1, 0)
            assert "empty, and was not when it was imported; its tasks stay" in report.quarantine[0].reason
        assert run.tasks() == before
        run.put("good.json", texts("1"))
        assert run(**options).quarantined == 0
        assert run.tasks() == before

    def test_that_become_objects_come_in(self, run: Importing, options: dict[str, Any]) -> None:
        run.put("late.json", b"")
        run(**options)
        run.put("late.json", texts("2"))
        assert run(**options).tasks_created == 1

    def test_alone_are_an_empty_listing(self, run: Importing, options: dict[str, Any]) -> None:
        run(**options)
        run.source.delete("good.json")
        for key in ("a/", "_SUCCESS", "empty.json"):
            run.put(key, b"")
        for regex_filter in (None, r".*json"):
            with pytest.raises(EmptyListing, match=r"lists nothing but 3 empty objects, or markers, but 1 task of"):
                run(**options, regex_filter=regex_filter, on_missing="delete", max_delete=10)
        assert len(run.tasks()) == 1

    def test_beside_what_the_filter_leaves_out_are_none(self, run: Importing, options: dict[str, Any]) -> None:
        run(**options)
        run.source.delete("good.json")
        for key, content in (("_SUCCESS", b""), ("notes.txt", b"written by somebody")):
            run.put(key, content)
        report = run(**options, regex_filter=r".*json", on_missing="delete", max_delete=10)
        assert (report.listed, report.matched, report.missing, report.tasks_deleted) == (2, 0, 1, 1)

    def test_alone_are_said_to_be_nothing(self, run: Importing, options: dict[str, Any], caplog: Any) -> None:
        run.source.delete("good.json")
        run.put("_SUCCESS", b"")
        assert run(**options).markers == 1
        assert "lists nothing to import: it has 1 object, all empty or markers" in caplog.text


class TestKeyWithAQuestionMark:
    def test_is_named_with_why_it_cannot_be_shown(self, run: Importing, caplog: pytest.LogCaptureFixture) -> None:
        run.put("what?.jpg", b"1")
        run(**BLOBS)
        (said,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert said.startswith(
            "Label Studio cannot show mem://bucket/what?.jpg: it takes what follows a ? in a URI for a"
        )

    def test_is_nothing_to_a_task_file(self, run: Importing, caplog: pytest.LogCaptureFixture) -> None:
        run.put("what?.json", texts("2"))
        assert run().tasks_created == 2
        assert "cannot show" not in caplog.text
