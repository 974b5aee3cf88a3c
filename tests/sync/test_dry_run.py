"""A dry run foretells what the real run then does, numbers and names, for every option."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from importing import Importing, annotation, lines, prediction, texts
from model.bucket import Bucket
from model.fake_project import Clock, Process
from model.worlds import EmbeddedWorld, FakeWorld, World
from sqlalchemy import Engine, inspect, text

from labelsync_provider.database import open_database
from labelsync_provider.errors import EmptyListing, Invalid, TooManyMissing, TooManyQuarantined
from labelsync_provider.sync import ImportReport, Runtime

BAD = '{"data": '
BLOBS: dict[str, Any] = {"use_blob_urls": True, "regex_filter": "photo|bad|new|worse"}
"""What is in as task files is left out."""
CHANGE: dict[str, Any] = {"on_changed": "update", "on_missing": "delete", "max_delete": 100}


def foretold(report: ImportReport) -> dict[str, Any]:
    """Return all that a dry run can know."""
    return report.as_dict() | {"dry_run": None, "seconds": 0, "requests": {}, "created_ids": []}


def assert_foretold(run: Importing, **options: Any) -> ImportReport:
    """Make sure that a dry run changes nothing, and that the real one then does what it said."""
    before = run.tasks(), stored(run.engine)
    predicted = run(**options, dry_run=True)
    assert (run.tasks(), stored(run.engine)) == before
    real = run(**options)
    assert foretold(real) == foretold(predicted)
    return real


def stored(engine: Engine) -> dict[str, list[str]]:
    """Return all that stands in a database."""
    with engine.connect() as connection:
        return {
            name: sorted(map(str, connection.execute(text(f"SELECT * FROM {name}"))))
            for name in inspect(engine).get_table_names()
        }


@pytest.fixture(params=["embedded", "fake server"])
def run(request: pytest.FixtureRequest, engine: Engine) -> Importing:
    """Something of everything, imported; then everything that can become of it."""
    clock = Clock()
    runtime = Runtime(now=clock, monotonic=clock, sleep=clock.sleep)
    world: World = EmbeddedWorld(engine) if request.param == "embedded" else FakeWorld(clock, reuses_ids=False)
    run = Importing(Bucket(), world, engine, runtime)
    run.put("equal.jsonl", lines(*texts("e", "e", "f"), BAD))
    run.put("labels.json", {"data": {"text": "l"}, "predictions": [prediction("x", "m1")], "meta": {"page": 1}})
    run.put("annotated.json", {"data": {"text": "a"}, "annotations": [annotation("x")]})
    run.put("keys.jsonl", lines({"text": "k1", "id": 1}, {"text": "k2", "id": 2}))
    run.put("worked.jsonl", lines(*texts("w1", "w2", "w3")))
    run.put("goes.jsonl", lines(*texts("g1", "g2")))
    run.put("deleted.jsonl", lines(*texts("d1", "d2")))
    run.put("bad.json", "garbage")
    run.put("photo.jpg", "a picture")
    run()
    run(use_blob_urls=True, regex_filter="photo")
    run.world.annotate(run.task("w1"))
    run.world.annotate(run.task("g1"))
    run.world.delete(run.task("d1"))
    run.put("equal.jsonl", lines(BAD, *texts("e", "f", "e", "g"), {"data": {"image": "no text"}}))
    run.put("labels.json", {"data": {"text": "l"}, "predictions": [prediction("y", "m1")], "meta": {"page": 2}})
    run.put("annotated.json", {"data": {"text": "a"}, "annotations": [annotation("y")]})
    run.put("keys.jsonl", lines({"text": "k2", "id": 1}, {"text": "k1", "id": 3}, {"text": "no id"}))
    run.put("worked.jsonl", lines(*texts("w1, changed", "w2, changed")))
    run.put("photo.jpg", "a better picture")
    run.put("new.json", texts("new"))
    run.put("worse.json", b"\xff")
    run.source.delete("goes.jsonl")
    return run


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"on_changed": "update"},
        {"on_changed": "add"},
        {"on_missing": "delete", "max_delete": 100},
        {"on_changed": "add", "on_missing": "delete", "max_delete": 100},
        {**CHANGE, "batch_size": 1},
        {**CHANGE, "batch_size": 2, "max_in_flight": 1},
        {**CHANGE, "row_key": "id"},
        {**CHANGE, "restore_deleted": True},
        {**CHANGE, "adopt": True},
        {**CHANGE, "max_quarantined": 100},
        {**CHANGE, "regex_filter": "w|g"},
        BLOBS,
        {**BLOBS, **CHANGE},
        {**BLOBS, "on_changed": "add"},
        {**BLOBS, "data_key": "picture", "extra_data": {"text": ""}, "regex_filter": "photo|bad"},
        {**BLOBS, "adopt": True, "restore_deleted": True},
    ],
    ids=str,
)
def test_says_what_the_real_run_then_does_and_writes_nothing(run: Importing, options: dict[str, Any]) -> None:
    real = assert_foretold(run, **options)
    assert real.new or real.changed or real.quarantined
    again = assert_foretold(run, **options)
    assert (again.tasks_created, again.tasks_deleted) == (0, 0)


def test_of_a_shorter_prefix(run: Importing) -> None:
    assert run("w", dry_run=True).changed == run("w").changed == 2


@pytest.mark.parametrize("run", ["fake server"], indirect=True)
def test_with_a_ledger_that_was_lost(run: Importing, tmp_path: Path) -> None:
    run.engine = open_database(f"sqlite:///{tmp_path}/new.db")
    predicted = run(**CHANGE, dry_run=True)
    assert not (tmp_path / "new.db").exists()
    assert foretold(run(**CHANGE)) == foretold(predicted)
    assert predicted.adopted > 0
    run.engine.dispose()


def test_into_an_empty_project(run: Importing, tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/other.db")
    empty = Importing(run.source, EmbeddedWorld(engine), engine)
    for options in ({}, {"row_key": "id"}, BLOBS | {"regex_filter": "photo|bad|worse"}):
        assert_foretold(empty, **options)
    engine.dispose()


def test_after_the_label_config_changed(run: Importing) -> None:
    run(**CHANGE)
    run.world.set_strict(False)
    assert assert_foretold(run, **CHANGE).new > 0


@pytest.mark.parametrize("effect", ["import_tasks", "update_tasks", "delete_tasks"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_after_a_run_that_broke_off(run: Importing, effect: str, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        break_off(patch, type(run.world.open(Process())), effect, when)
        with pytest.raises(RuntimeError, match="the run broke off"):
            run(**CHANGE)
    assert_foretold(run, **CHANGE)
    again = run(**CHANGE)
    assert (again.tasks_created, again.tasks_deleted) == (0, 0)


def break_off(patch: pytest.MonkeyPatch, project: type, effect: str, when: str) -> None:
    """Let a run break off right before or after it has asked a project for something."""
    original: Callable[..., Any] = getattr(project, effect)

    def breaking_off(*args: Any, **kwargs: Any) -> Any:
        if when == "after":
            done = original(*args, **kwargs)
            if effect == "update_tasks":
                list(done)
        raise RuntimeError("the run broke off")

    patch.setattr(project, effect, breaking_off)


class TestFailsAsTheRealRun:
    def test_for_too_much_in_quarantine(self, run: Importing) -> None:
        self.assert_foretold(run, TooManyQuarantined, max_quarantined=1)

    def test_for_too_much_that_is_missing(self, run: Importing) -> None:
        self.assert_foretold(run, TooManyMissing, on_missing="delete", max_delete=0)

    def test_for_blobs_that_are_in_as_task_files(self, run: Importing) -> None:
        self.assert_foretold(run, Invalid, use_blob_urls=True)

    def test_for_a_listing_that_is_empty(self, run: Importing) -> None:
        for key in list(run.source.objects):
            run.source.delete(key)
        self.assert_foretold(run, EmptyListing)

    @staticmethod
    def assert_foretold(run: Importing, error: type[Exception], **options: Any) -> None:
        before = stored(run.engine)
        with pytest.raises(error) as predicted:
            run(**options, dry_run=True)
        assert stored(run.engine) == before
        with pytest.raises(error) as real:
            run(**options)
        said, happened = (str(each.value).partition("Report:")[0] for each in (predicted, real))
        assert said == happened
