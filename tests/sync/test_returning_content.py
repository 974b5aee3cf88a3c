"""A return to an earlier version is a change like another, also where the version is the content, as an ETag is."""

from pathlib import Path
from typing import Any

import pytest
from importing import Importing, lines, some, texts
from model.bucket import Bucket, Directory
from model.worlds import EmbeddedWorld
from sqlalchemy import Engine

DELETE: dict[str, Any] = {"on_missing": "delete", "max_delete": 100}
A_B, B = lines(*texts("a", "b")), lines(*texts("b"))


@pytest.fixture(params=["bucket", "files"])
def run(request: pytest.FixtureRequest, engine: Engine, tmp_path: Path) -> Importing:
    """Imports from a bucket whose versions are the content, or of files of which one may come back from a backup."""
    source = Bucket() if request.param == "bucket" else Directory(tmp_path)
    run = Importing(source, EmbeddedWorld(engine), engine)
    run.put("other.jsonl", lines(*texts("other")))
    return run


def again(run: Importing, key: str, content: str) -> None:
    """Write an object as it was before."""
    run.source.put_again(key, content.encode())


def test_row_that_was_deleted_and_is_back_is_new(run: Importing) -> None:
    run.put("a.jsonl", A_B)
    assert some(run()) == {"new": 3, "tasks_created": 3}
    run.put("a.jsonl", B)
    assert some(run(**DELETE)) == {"unchanged": 2, "missing": 1, "tasks_deleted": 1}
    again(run, "a.jsonl", A_B)
    assert some(run(**DELETE)) == {"unchanged": 2, "new": 1, "tasks_created": 1}
    assert sorted(run.texts()) == ["a", "b", "other"]
    assert some(run(**DELETE)) == {"unchanged": 3}


def test_row_that_was_only_reported_and_is_back_is_unchanged(run: Importing) -> None:
    run.put("a.jsonl", A_B)
    run()
    run.put("a.jsonl", B)
    assert some(run()) == {"unchanged": 2, "missing": 1}
    again(run, "a.jsonl", A_B)
    assert some(run(**DELETE)) == {"unchanged": 3}


def test_object_that_was_deleted_and_is_back_is_new(run: Importing) -> None:
    run.put("a.jsonl", A_B)
    run()
    run.source.delete("a.jsonl")
    assert some(run(**DELETE)) == {"unchanged": 1, "missing": 2, "tasks_deleted": 2}
    again(run, "a.jsonl", A_B)
    assert some(run(**DELETE)) == {"unchanged": 1, "new": 2, "tasks_created": 2}


ONE, TWO = lines(*texts("one", "same")), lines(*texts("two", "same"))


def test_row_that_was_updated_and_is_back_is_updated_again(run: Importing) -> None:
    run.put("a.jsonl", ONE)
    run()
    for text, content in (("two", TWO), ("one", ONE), ("two", TWO)):
        again(run, "a.jsonl", content) if text == "one" else run.put("a.jsonl", content)
        assert some(run(on_changed="update")) == {"unchanged": 2, "changed": 1, "tasks_updated": 1}
        assert sorted(run.texts()) == sorted([text, "same", "other"])
        assert some(run(on_changed="update")) == {"unchanged": 3}


def test_row_that_was_reported_and_is_back_is_unchanged_whatever_is_asked_then(run: Importing) -> None:
    run.put("a.jsonl", ONE)
    run()
    for on_changed in ("report", "update", "add"):
        run.put("a.jsonl", TWO)
        assert some(run()) == {"unchanged": 2, "changed": 1}
        again(run, "a.jsonl", ONE)
        assert some(run(on_changed=on_changed)) == {"unchanged": 3}
    assert sorted(run.texts()) == ["one", "other", "same"]


def test_row_that_was_added_and_is_back_has_its_first_task_again(run: Importing) -> None:
    run.put("a.jsonl", ONE)
    run()
    run.put("a.jsonl", TWO)
    assert some(run(on_changed="add")) == {"unchanged": 2, "changed": 1, "tasks_created": 1}
    before = run.tasks()
    again(run, "a.jsonl", ONE)
    assert some(run(on_changed="add")) == {"unchanged": 2, "changed": 1}
    assert some(run(on_changed="update")) == {"unchanged": 3}
    run.put("a.jsonl", TWO)
    assert some(run(on_changed="update")) == {"unchanged": 2, "changed": 1, "tasks_updated": 1}
    assert run.tasks().keys() == before.keys()


def test_blob_that_was_updated_and_is_back_is_updated_again(run: Importing) -> None:
    blobs: dict[str, Any] = {"use_blob_urls": True}
    for content in ("first", "second"):
        run.put("a.jsonl", content)
        run(**blobs, on_changed="update")
    for on_changed, updated in (("report", {}), ("update", {"tasks_updated": 1})):
        again(run, "a.jsonl", "first")
        assert some(run(**blobs, on_changed=on_changed)) == {"unchanged": 1, "changed": 1, **updated}
    assert some(run(**blobs)) == {"unchanged": 2}
    run.put("a.jsonl", "second")
    assert some(run(**blobs)) == {"unchanged": 1, "changed": 1}
    again(run, "a.jsonl", "first")
    assert some(run(**blobs)) == {"unchanged": 2}
