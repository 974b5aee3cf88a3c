"""What `on_changed="update"` writes to a task, and what it leaves alone: in the embedded store and on a real server."""

from collections.abc import Iterator
from typing import Any

import pytest
from importing import Importing, annotation, prediction, some
from model.bucket import Bucket
from model.model import Stored
from model.worlds import EmbeddedWorld, LabelStudioWorld
from servers.label_studio import LabelStudioServer
from sqlalchemy import Engine

from labelsync_provider.projects.label_studio.client import Client
from labelsync_provider.projects.label_studio.server import LabelStudioServer as Projects

pytest_plugins = ["servers.label_studio"]

CONFIG = """
<View>
  <Text name="t" value="$text"/>
  <Choices name="c" toName="t"><Choice value="x"/><Choice value="y"/><Choice value="z"/></Choices>
</View>
"""
UPDATED = {"changed": 1, "tasks_updated": 1}
REPORTED = {"changed": 1}


@pytest.fixture
def embedded(engine: Engine) -> EmbeddedWorld:
    return EmbeddedWorld(engine)


@pytest.fixture
def remote(label_studio: LabelStudioServer) -> Iterator[LabelStudioWorld]:
    number = label_studio.create_project(label_config=CONFIG)
    projects = Projects(Client(label_studio.url, label_studio.token))
    with label_studio.client() as client:
        yield LabelStudioWorld(client, number, lambda: projects.project(number))


@pytest.fixture(params=["embedded", "remote"])
def world(request: pytest.FixtureRequest) -> Any:
    # The name of the server's fixture, for whoever keeps its tests together.
    return request.getfixturevalue(request.param)


@pytest.fixture
def run(world: Any, engine: Engine) -> Importing:
    return Importing(Bucket(), world, engine)


class One:
    """A file of one row, imported; `update` brings another version of it."""

    def __init__(self, run: Importing, **row: Any) -> None:
        self.run = run
        run.put("a.json", {"data": {"text": "1"}, **row})
        assert some(run()) == {"new": 1, "tasks_created": 1}
        (self.id,) = run.tasks()

    def update(self, text: str = "1", **row: Any) -> dict[str, int]:
        self.run.put("a.json", {"data": {"text": text}, **row})
        return some(self.run(on_changed="update"))

    def again(self) -> dict[str, int]:
        return some(self.run(on_changed="update"))

    @property
    def task(self) -> Stored:
        (task,) = self.run.tasks().values()
        return task

    def predictions(self) -> dict[str | None, list[str]]:
        """Return the choices by model version."""
        found: dict[str | None, list[str]] = {}
        for model, result in self.task.predictions:
            found.setdefault(model, []).extend(choice for choice in "xyz" if f'"{choice}"' in result)
        return found

    def annotations(self) -> list[str]:
        """Return the choices of the annotations."""
        return [choice for result in self.task.annotations for choice in "xyz" if f'"{choice}"' in result]


class TestPredictions:
    def test_replace_those_of_the_same_model_and_leave_those_of_others(self, run: Importing) -> None:
        one = One(run, predictions=[prediction("x", "m1"), prediction("x", "m2")])
        assert one.update(predictions=[prediction("y", "m1"), prediction("z", "m1")]) == UPDATED
        assert one.predictions() == {"m1": ["y", "z"], "m2": ["x"]}
        assert one.again() == {"unchanged": 1}

    def test_are_not_removed_by_a_row_without_any(self, run: Importing) -> None:
        one = One(run, predictions=[prediction("x", "m1")])
        assert one.update() == UPDATED
        assert one.predictions() == {"m1": ["x"]}
        assert one.again() == {"unchanged": 1}

    def test_of_a_row_that_had_none_are_added(self, run: Importing) -> None:
        one = One(run)
        assert one.update(predictions=[prediction("x", "m1")]) == UPDATED
        assert one.predictions() == {"m1": ["x"]}

    def test_go_to_an_annotated_task_too_whose_annotations_stay(self, run: Importing) -> None:
        one = One(run, predictions=[prediction("x", "m1")])
        run.world.annotate(one.id)
        before = one.task.annotations
        assert one.update(predictions=[prediction("y", "m1")]) == UPDATED
        assert one.predictions() == {"m1": ["y"]}
        assert one.task.annotations == before
        assert one.again() == {"unchanged": 1}


class TestMeta:
    def test_keys_that_the_file_brought_are_written_and_others_stay(self, run: Importing) -> None:
        one = One(run, meta={"page": 1, "kept": "as it was"})
        run.world.annotate(one.id)
        assert one.update(meta={"page": 2, "new": 3}) == UPDATED
        assert one.task.meta == {"page": 2, "kept": "as it was", "new": 3}
        assert one.again() == {"unchanged": 1}


class TestData:
    def test_is_replaced_where_nobody_works(self, run: Importing) -> None:
        one = One(run, meta={"page": 1}, predictions=[prediction("x", "m1")])
        assert one.update("two") == UPDATED
        assert one.task.data == {"text": "two"}
        assert (one.task.meta, one.predictions()) == ({"page": 1}, {"m1": ["x"]})
        assert one.again() == {"unchanged": 1}

    def test_of_an_annotated_task_stays_and_is_reported_as_long_as_it_lasts(self, run: Importing) -> None:
        one = One(run, predictions=[prediction("x", "m1")])
        run.world.annotate(one.id)
        before = one.task
        assert one.update("two", predictions=[prediction("y", "m1")]) == REPORTED
        assert one.again() == REPORTED
        assert one.task == before

    @pytest.mark.parametrize("world", ["remote"], indirect=True)
    def test_of_a_task_with_a_draft_stays(self, run: Importing) -> None:
        one = One(run)
        run.world.draft(one.id)  # type: ignore[attr-defined]
        assert one.update("two") == REPORTED
        assert one.task.data == {"text": "1"}


class TestAnnotations:
    def test_of_the_file_that_changed_are_reported_and_never_written(self, run: Importing) -> None:
        one = One(run, annotations=[annotation("x")])
        before = one.task
        assert one.update(annotations=[annotation("y")]) == REPORTED
        assert one.again() == REPORTED
        assert one.annotations() == ["x"]
        assert one.task.data == before.data

    def test_of_the_file_are_added_where_there_is_none(self, run: Importing) -> None:
        one = One(run)
        assert one.update(annotations=[annotation("x")]) == UPDATED
        assert one.annotations() == ["x"]
        assert one.again() == {"unchanged": 1}

    def test_of_the_file_are_held_back_where_a_person_has_annotated(self, run: Importing) -> None:
        one = One(run, predictions=[prediction("x", "m1")])
        run.world.annotate(one.id)
        before = one.task.annotations
        assert one.update(annotations=[annotation("y")], predictions=[prediction("y", "m1")]) == UPDATED
        assert one.task.annotations == before
        assert one.predictions() == {"m1": ["y"]}
        assert one.again()["changed"] == 1, "what was held back is still to be done"
        assert one.task.annotations == before


class TestAllowSkip:
    def test_alone_is_reported_and_not_written(self, run: Importing) -> None:
        one = One(run)
        before = one.task
        for _ in range(2):
            assert one.update(allow_skip=False) == REPORTED
        assert one.task == before

    def test_beside_something_else_does_not_keep_that_out(self, run: Importing) -> None:
        one = One(run, predictions=[prediction("x", "m1")])
        assert one.update(allow_skip=False, predictions=[prediction("y", "m1")]) == UPDATED
        assert one.predictions() == {"m1": ["y"]}
        assert one.again() == REPORTED


class TestBlob:
    def test_update_changes_the_data_key_and_our_own_note(self, run: Importing) -> None:
        blobs: dict[str, Any] = {"use_blob_urls": True, "on_changed": "update"}
        run.put("1.jpg", "a picture")
        run(**blobs)
        ((task_id, before),) = run.tasks().items()
        uri = before.data["text"]
        run.world.edit(task_id, {"text": "somebody's", "patient": "P0"})
        run.put("1.jpg", "a better picture")
        assert some(run(**blobs)) == UPDATED
        (after,) = run.tasks().values()
        assert after.data == {"text": uri, "patient": "P0"}
        assert after.note["version"] != before.note["version"]
        assert (after.meta, after.predictions) == (before.meta, before.predictions)
        assert some(run(**blobs)) == {"unchanged": 1}

    def test_of_an_annotated_task_stays_reported(self, run: Importing) -> None:
        blobs: dict[str, Any] = {"use_blob_urls": True, "on_changed": "update"}
        run.put("1.jpg", "a picture")
        run(**blobs)
        ((task_id, before),) = run.tasks().items()
        run.world.annotate(task_id)
        run.put("1.jpg", "a better picture")
        for _ in range(2):
            assert some(run(**blobs)) == REPORTED
        assert run.tasks()[task_id].data == before.data


@pytest.mark.parametrize("world", ["remote"], indirect=True)
def test_task_whose_counters_say_that_nobody_works_on_it_is_looked_at(
    run: Importing, label_studio: LabelStudioServer
) -> None:
    """A real server had `total_annotations` 0 on a task that somebody had annotated."""
    run.put("a.json", [{"text": "1"}, {"text": "2"}])
    run.put("b.json", {"text": "3"})
    run()
    annotated = [run.task("1"), run.task("3")]
    for task_id in annotated:
        run.world.annotate(task_id)
        with label_studio.client() as client:
            wrong = {"total_annotations": 0, "cancelled_annotations": 0, "is_labeled": False}
            client.patch(f"/api/tasks/{task_id}/", json=wrong).raise_for_status()
    run.put("a.json", [{"text": "one"}, {"text": "two"}])
    run.source.delete("b.json")
    report = run(on_changed="update", on_missing="delete", max_delete=10)
    assert some(report) == {"changed": 2, "tasks_updated": 1, "missing": 1}
    assert sorted(run.texts()) == ["1", "3", "two"]
