"""Bounds of an import: whatever stands in a source, memory and quarantine have one, and so has what is read."""

import gzip
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
from importing import Importing, lines, some, texts
from model.bucket import Bucket, BucketStorage
from model.fake_project import Process
from model.worlds import EmbeddedWorld
from sqlalchemy import Engine, select

from labelsync_provider.formats.tasks import content as task_content
from labelsync_provider.storages.protocol import ObjectInfo
from labelsync_provider.sync import ImportOptions, import_storage
from labelsync_provider.sync.importing import bad_rows, ignored, planning
from labelsync_provider.sync.importing.reading import MORE_BYTES, contents
from labelsync_provider.sync.importing.state import SourceObject
from labelsync_provider.sync.ledger.imports import ImportLedger
from labelsync_provider.sync.ledger.tables import QUARANTINE
from labelsync_provider.sync.runtime import Runtime


@pytest.fixture
def run(engine: Engine) -> Importing:
    run = Importing(Bucket(), EmbeddedWorld(engine), engine)
    run.put("good.json", texts("1"))
    return run


def reasons(run: Importing) -> list[tuple[int, str]]:
    with run.engine.connect() as connection:
        rows = connection.execute(select(QUARANTINE.c.position, QUARANTINE.c.reason).order_by(QUARANTINE.c.number))
        return [(position, reason) for position, reason in rows]


class TestBadRowsOfAnObject:
    @pytest.fixture(autouse=True)
    def named_rows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bad_rows, "NAMED_ROWS", 10)

    def test_are_summarised_past_a_number_and_counted_whole(self, run: Importing) -> None:
        run.put("bad.json", gzip.compress(b"1\n" * 5010 + b'{"text": "2"}\n'))
        for new in (2, 0):
            report = run()
            assert (report.tasks_created, report.quarantined) == (new, 5010)
        found = reasons(run)
        assert len(found) == 11
        assert found[9] == (9, "not a task: a row is a JSON object, this is a number")
        assert found[10] == (10, "and 5,000 more of this kind: not a task: a row is a JSON object, this is a number")

    def test_are_told_apart_by_their_kind(self, run: Importing) -> None:
        run.put("bad.jsonl", lines(*["1"] * 20, *['{"n": NaN}'] * 30, *["{"] * 5))
        run()
        assert [reason.partition(":")[0] for _, reason in reasons(run)[10:]] == [
            "and 10 more of this kind",
            "and 30 more of this kind",
            "and 5 more of this kind",
        ]

    def test_leave_the_quarantine_together(self, run: Importing) -> None:
        run.put("bad.jsonl", lines(*["1"] * 20))
        run()
        run.put("bad.jsonl", lines({"text": "2"}))
        assert some(run()) == {"unchanged": 1, "new": 1, "tasks_created": 1}
        assert reasons(run) == []

    @pytest.mark.parametrize("at", ["before", "behind", "between"])
    def test_many_in_a_file_that_is_known_take_no_row_away(self, run: Importing, at: str) -> None:
        run.put("rows.jsonl", lines(*texts("2", "3")))
        run()
        bad = ["1"] * 500
        run.put(
            "rows.jsonl",
            {
                "before": lines(*bad, *texts("2", "3")),
                "behind": lines(*texts("2", "3"), *bad),
                "between": lines(*texts("2"), *bad, *texts("3")),
            }[at],
        )
        report = run(on_missing="delete", max_delete=10)
        assert (report.unchanged, report.missing, report.quarantined) == (3, 0, 500)


def test_known_file_with_more_rows_than_are_matched_keeps_its_tasks(
    run: Importing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "MATCHED_ROWS", 3)
    run()
    run.put("good.json", texts("1", "2", "3", "4"))
    report = run(on_missing="delete", max_delete=10)
    assert (report.tasks_created, report.missing, report.quarantined) == (0, 0, 1)
    assert report.quarantine[0].reason.startswith("too many rows: in a file that was imported before")
    run.put("good.json", texts("1", "2", "3"))
    assert some(run()) == {"unchanged": 1, "new": 2, "tasks_created": 2}


def test_file_that_had_more_rows_than_are_matched_keeps_its_tasks(
    run: Importing, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.put("good.json", texts("1", "2", "3", "4"))
    run()
    monkeypatch.setattr(planning, "MATCHED_ROWS", 3)
    monkeypatch.setattr(ImportLedger, "rows_of", None)  # nor are they looked at
    run.put("good.json", texts("1", "2"))
    report = run(on_missing="delete", max_delete=10)
    assert (report.missing, report.quarantined, len(run.tasks())) == (0, 1, 4)
    assert report.quarantine[0].reason.startswith("too many rows: in a file that was imported before")


class LyingBucket(Bucket):
    """A bucket whose listing says that everything is small."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, int]] = []

    def open(self, prefix: str = "") -> BucketStorage:
        bucket = self

        class Lying(BucketStorage):
            def list(self) -> Any:
                for page in super().list():
                    yield [ObjectInfo(info.key, min(info.size, 20), info.version) for info in page]

            def read(self, key: str, most: int = 0, version: str | None = None) -> bytes:
                bucket.asked.append((key, most))
                return super().read(key, most, version)

        return Lying(self.objects, prefix)


class TestObjectLargerThanItWasListed:
    @pytest.fixture
    def run(self, engine: Engine) -> Importing:
        run = Importing(LyingBucket(), EmbeddedWorld(engine), engine)
        run.put("good.json", texts("1"))
        return run

    def test_is_read_if_it_may_be_so_large(self, run: Importing) -> None:
        run.put("grown.json", texts("a" * 100_000))
        report = run()
        assert report.tasks_created == 2
        assert report.bytes_read == sum(map(len, run.source.objects.values()))

    def test_is_in_quarantine_if_it_may_not(self, run: Importing, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(task_content, "MAX_BYTES", 1000)
        run.put("grown.json", texts("a" * 2000))
        report = run()
        assert (report.tasks_created, report.quarantined) == (1, 1)
        assert report.quarantine[0].reason.startswith("grown.json: more than 1,000 bytes, which is what may be read")
        assert some(run()) == {"unchanged": 1, "quarantined": 1}

    def test_is_not_read_ahead_with_others(self, run: Importing) -> None:
        run.put("z.json", texts("a" * 100_000))
        assert run().tasks_created == 2
        assert [most for key, most in run.source.asked if key == "z.json"] == [  # type: ignore[union-attr]
            20 + MORE_BYTES,
            task_content.MAX_BYTES,
        ]


class TestObjectsThatAreNotRead:
    def test_hold_up_no_others_however_large_they_are(self) -> None:
        last_is_read, in_time = Event(), list[bool]()

        class Source:
            def file_name(self, key: str) -> str:
                return key

            def read(self, key: str, most: int, version: str) -> bytes:
                if key == "a.json":
                    in_time.append(last_is_read.wait(2))
                else:
                    last_is_read.set()
                return b"{}"

        run: Any = SimpleNamespace(source=Source(), options=ImportOptions(), runtime=Runtime(), in_flight=0)
        sizes = {"a.json": 2, "b.json": 10**12, "c.mp4": 90_000_000, "d.json": 2}
        objects = [SourceObject(key, ObjectInfo(key, size, "v"), key, key, None, None) for key, size in sizes.items()]
        assert [type(content) for _, content in contents(run, iter(objects))] == [bytes, str, str, bytes]
        assert in_time == [True]


class TestIgnoredKeys:
    def test_are_counted_and_told_once_by_name(self, run: Importing, caplog: pytest.LogCaptureFixture) -> None:
        row = {"data": {"text": "2"}, "prediction": [{}], "drafts": [{}], "id": 5}
        run.put("rows.json", [row, {**row, "data": {"text": "3"}}])
        assert some(run()) == {"new": 3, "tasks_created": 3, "ignored_keys": 4}
        (said,) = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
        assert "'drafts' (2, such as rows.json, row 0), 'prediction' (2, such as rows.json, row 0)." in said
        assert some(run()) == {"unchanged": 3}

    @pytest.mark.parametrize(("counted", "others"), [(80, "80 other names"), (79, "more than 79 other names")])
    def test_have_a_bound(
        self,
        run: Importing,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
        counted: int,
        others: str,
    ) -> None:
        monkeypatch.setattr(ignored, "COUNTED", counted)
        row = {f"key {n:03}": 1 for n in range(100)}
        run.put("rows.json", [{"data": {"text": text}, **row} for text in "23"])
        assert run().ignored_keys == 200
        (said,) = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
        assert f"'key 019' (2, such as rows.json, row 0), {others}." in said


def test_undefined_is_the_first_data_key_and_counts_as_there(run: Importing) -> None:
    run.put("rows.json", [{"$undefined$": "2"}, {"data": {"$undefined$": "3"}}])
    assert some(run()) == {"new": 3, "tasks_created": 3}
    assert run.texts() == ["1", "2", "3"]
    assert some(run()) == {"unchanged": 3}
    run.put("rows.json", [{"text": "2"}, {"data": {"$undefined$": "3"}}])
    assert some(run()) == {"unchanged": 3}


def test_dry_run_says_the_same(run: Importing) -> None:
    run.put("_SUCCESS", b"")
    run.put("rows.json", [{"data": {"$undefined$": "2"}, "prediction": 1}, 5])
    project = run.world.open(Process())
    dry = import_storage(run.source.open(), project, run.engine, ImportOptions(dry_run=True), "a test")
    assert some(dry) == some(run())
