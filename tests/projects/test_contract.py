"""What every project store does. One more store is one more entry in STORES."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import pytest

from labelsync_provider.database import open_database
from labelsync_provider.errors import LeaseLost
from labelsync_provider.projects.embedded import EmbeddedStore
from labelsync_provider.projects.protocol import Progress, Project, Rejected, Task

pytest_plugins = ["servers.postgres"]

Create = Callable[..., Project]

IMAGE = '<View><Image name="image" value="$image"/></View>'
RESULT = [{"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": ["Cat"]}}]


def on_sqlite(_request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/labelsync.db"


def on_postgres(request: pytest.FixtureRequest, _tmp_path: Path) -> str:
    return request.getfixturevalue("postgres_url")


# Name -> what returns the URL of an empty database.
STORES = {"embedded on SQLite": on_sqlite, "embedded on PostgreSQL": on_postgres}


@pytest.fixture(params=STORES.values(), ids=STORES)
def create_project(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Create]:
    engine = open_database(request.param(request, tmp_path))
    yield EmbeddedStore(engine).create_project
    engine.dispose()


@pytest.fixture
def project(create_project: Create) -> Project:
    return create_project("Pets", IMAGE)


def task(n: object = 1, **fields) -> Task:
    return Task({"image": f"{n}.jpg"}, **fields)


def annotated(n: object = 1, **fields) -> Task:
    return task(n, annotations=[{"result": RESULT, **fields}])


def all_of(pages) -> list:
    return [item for page in pages for item in page]


class TestImportTasks:
    def test_returns_the_ids_in_order(self, project: Project) -> None:
        ids = project.import_tasks([task(n) for n in range(5)])
        assert ids == sorted(set(ids))
        assert len(ids) == 5

    def test_rejects_a_task_without_a_data_key_and_takes_the_others(self, project: Project) -> None:
        first, rejected, second = project.import_tasks([task(1), Task({"text": "x"}), task(2)])
        assert isinstance(rejected, Rejected)
        assert '"image" key is expected' in rejected.reason
        assert [i for i, _ in all_of(project.tasks_after(0))] == [first, second]

    def test_of_nothing_is_nothing(self, project: Project) -> None:
        assert project.import_tasks([]) == []

    def test_keeps_data_and_meta_as_they_are(self, project: Project) -> None:
        data = {"image": "ä 😀", "n": [1, 2.5, None, True, {"deep": []}], "big": 2**70, "nul": "a\0b"}
        project.import_tasks([Task(data, {"source": "scan 1"}, [{"result": []}])])
        ((found,),) = project.annotated_tasks()
        assert (found["data"], found["meta"]) == (data, {"source": "scan 1"})

    def test_check_tells_beforehand_what_would_be_rejected(self, project: Project) -> None:
        assert project.check(task()) is None
        assert '"image" key is expected' in (project.check(Task({})) or "")

    def test_never_gives_an_id_twice_even_after_a_deletion(self, project: Project) -> None:
        before = project.import_tasks([task(1), task(2)])
        project.delete_tasks(before)
        after = project.import_tasks([task(3)])
        assert min(after) > max(before)

    def test_gives_every_project_ids_of_its_own(self, create_project: Create, project: Project) -> None:
        other = create_project("Cars", IMAGE)
        ids = project.import_tasks([task(1)]) + other.import_tasks([task(1)]) + project.import_tasks([task(2)])
        assert len(set(ids)) == 3

    def test_counts_the_tasks_of_a_project_for_people(self, create_project: Create, project: Project) -> None:
        create_project("Cars", IMAGE).import_tasks([annotated()])
        (_first,) = project.import_tasks([annotated(1)])
        project.import_tasks([task(2), annotated(3)])
        assert [found["inner_id"] for found in all_of(project.annotated_tasks())] == [1, 3]


class TestReconciling:
    def test_no_task_exceeds_the_last_id_and_all_later_ones_do(self, project: Project) -> None:
        before = project.import_tasks([task(1), task(2)])
        last = project.last_task_id()
        after = project.import_tasks([task(3)])
        assert max(before) <= last < min(after)

    def test_a_project_without_tasks_has_a_last_id_below_its_first(self, project: Project) -> None:
        last = project.last_task_id()
        assert min(project.import_tasks([task()])) > last

    def test_tasks_after_an_id_come_by_id_with_their_meta(self, create_project: Create, project: Project) -> None:
        first, *rest = project.import_tasks([task(n, meta={"n": n}) for n in range(4)])
        create_project("Cars", IMAGE).import_tasks([task()])
        assert all_of(project.tasks_after(first)) == [(task_id, {"n": n}) for n, task_id in enumerate(rest, 1)]

    def test_tasks_after_an_id_come_in_bounded_pages_to_the_end(self, project: Project) -> None:
        ids = project.import_tasks([task(n) for n in range(2500)])
        pages = list(project.tasks_after(0))
        assert [task_id for task_id, _ in all_of(pages)] == ids
        assert max(map(len, pages)) <= 1000


class TestUpdateTask:
    def test_replaces_data_meta_and_predictions_under_the_same_id(self, project: Project) -> None:
        (task_id,) = project.import_tasks([task(1, meta={"v": 1}, predictions=[{"result": RESULT, "score": 0.1}])])
        new = task(2, meta={"v": 2}, predictions=[{"result": [], "score": 0.9}], annotations=[{"result": RESULT}])
        assert project.update_task(task_id, new) == "updated"
        ((found,),) = project.annotated_tasks()
        assert (found["id"], found["data"], found["meta"]) == (task_id, {"image": "2.jpg"}, {"v": 2})
        assert [(item["result"], item["score"]) for item in found["predictions"]] == [([], 0.9)]

    def test_leaves_an_annotated_task_alone(self, project: Project) -> None:
        (task_id,) = project.import_tasks([annotated(1)])
        before = all_of(project.annotated_tasks())
        assert project.update_task(task_id, task(2, predictions=[{"result": []}])) == "annotated"
        assert all_of(project.annotated_tasks()) == before

    def test_says_that_a_task_is_gone(self, project: Project) -> None:
        (task_id,) = project.import_tasks([task()])
        project.delete_tasks([task_id])
        assert project.update_task(task_id, task(2)) == "gone"
        assert all_of(project.tasks_after(0)) == []

    def test_does_not_reach_into_another_project(self, create_project: Create, project: Project) -> None:
        other = create_project("Cars", IMAGE)
        (task_id,) = other.import_tasks([task(1, meta={"v": 1})])
        assert project.update_task(task_id, task(2)) == "gone"
        assert all_of(other.tasks_after(0)) == [(task_id, {"v": 1})]


class TestDeleteTasks:
    def test_deletes_those_without_annotations_and_says_which_are_gone(self, project: Project) -> None:
        free, labeled, kept = project.import_tasks([task(1, predictions=[{"result": []}]), annotated(2), task(3)])
        assert project.delete_tasks([free, labeled]) == {free}
        assert [task_id for task_id, _ in all_of(project.tasks_after(0))] == [labeled, kept]

    def test_counts_what_was_gone_already_as_gone(self, project: Project) -> None:
        (task_id,) = project.import_tasks([task()])
        project.delete_tasks([task_id])
        assert project.delete_tasks([task_id, task_id + 1000]) == {task_id, task_id + 1000}

    def test_deletes_thousands(self, project: Project) -> None:
        ids = project.import_tasks([task(n) for n in range(2000)])
        assert project.delete_tasks(ids) == set(ids)
        assert project.progress().tasks == 0

    def test_does_not_reach_into_another_project(self, create_project: Create, project: Project) -> None:
        other = create_project("Cars", IMAGE)
        (task_id,) = other.import_tasks([task()])
        project.delete_tasks([task_id])
        assert other.progress().tasks == 1


def test_annotated_tells_of_tasks_that_are_there(create_project: Create, project: Project) -> None:
    (foreign,) = create_project("Cars", IMAGE).import_tasks([task()])
    free, labeled, deleted = project.import_tasks([task(1), annotated(2), task(3)])
    project.delete_tasks([deleted])
    assert project.annotated([free, labeled, deleted, foreign]) == {free: False, labeled: True}


class TestAnnotatedTasks:
    def test_come_by_id_in_bounded_pages_without_the_unannotated(self, project: Project) -> None:
        ids = project.import_tasks([annotated(n) if n % 2 else task(n) for n in range(2600)])
        pages = list(project.annotated_tasks())
        assert [found["id"] for found in all_of(pages)] == ids[1::2]
        assert max(map(len, pages)) <= 1000

    def test_come_only_for_the_ids_asked_for(self, create_project: Create, project: Project) -> None:
        (foreign,) = create_project("Cars", IMAGE).import_tasks([annotated()])
        first, free, second, _ = project.import_tasks([annotated(1), task(2), annotated(3), annotated(4)])
        wanted = [second, foreign, free, first, 10**9]
        assert [found["id"] for found in all_of(project.annotated_tasks(wanted))] == [first, second]

    def test_come_for_more_ids_than_one_statement_takes(self, project: Project) -> None:
        ids = project.import_tasks([annotated(n) for n in range(1200)])
        assert [found["id"] for found in all_of(project.annotated_tasks(ids[::-1]))] == ids

    def test_of_no_ids_are_none(self, project: Project) -> None:
        project.import_tasks([annotated()])
        assert all_of(project.annotated_tasks([])) == []

    def test_hold_annotations_as_they_were_given(self, project: Project) -> None:
        given = {
            "result": RESULT,
            "completed_by": {"id": 7, "email": "ann@example.com", "first_name": "Ann", "last_name": "Lee"},
            "was_cancelled": True,
            "ground_truth": True,
            "lead_time": 12.5,
            "created_at": "2021-07-06T06:06:25.927570Z",
            "updated_at": "2021-07-06T06:44:08.446371Z",
            "unique_id": "0a1b",
            "last_action": "submitted",
        }
        (task_id,) = project.import_tasks([task(annotations=[given])])
        ((found,),) = project.annotated_tasks()
        (annotation,) = found["annotations"]
        assert {name: annotation[name] for name in given} == given
        assert (annotation["task"], annotation["project"]) == (task_id, project.id)

    def test_hold_annotations_with_ids_of_their_own_and_the_given_one_as_import_id(self, project: Project) -> None:
        project.import_tasks([annotated(1, id=5678), annotated(2, id=5678)])
        one, two = (found["annotations"][0] for found in all_of(project.annotated_tasks()))
        assert one["id"] != two["id"]
        assert one["import_id"] == two["import_id"] == 5678

    @pytest.mark.parametrize("name", ["reviews", "prediction", "my_field", "other", "created_username"])
    def test_hold_fields_of_annotations_that_nobody_here_knows(self, project: Project, name: str) -> None:
        project.import_tasks([annotated(1, **{name: {"a": [1, None]}})])
        ((found,),) = project.annotated_tasks()
        assert found["annotations"][0][name] == {"a": [1, None]}

    def test_hold_predictions_with_known_and_unknown_fields(self, project: Project) -> None:
        given = {"result": RESULT, "score": 0.5, "model_version": "v1", "cluster": 3, "other": 1}
        project.import_tasks([task(annotations=[{"result": []}], predictions=[given, {"result": []}])])
        ((found,),) = project.annotated_tasks()
        assert {name: found["predictions"][0].get(name) for name in given} == given
        assert (found["predictions"][1]["score"], found["predictions"][1]["model_version"]) == (None, None)

    def test_count_their_labels(self, project: Project) -> None:
        project.import_tasks(
            [
                task(
                    annotations=[{"result": RESULT}, {"result": [], "was_cancelled": True}],
                    predictions=[{"result": []}],
                )
            ]
        )
        ((found,),) = project.annotated_tasks()
        assert (found["total_annotations"], found["cancelled_annotations"], found["total_predictions"]) == (1, 1, 1)
        assert found["is_labeled"] is True

    def test_of_cancelled_annotations_alone_are_not_labeled(self, project: Project) -> None:
        project.import_tasks([annotated(was_cancelled=True)])
        ((found,),) = project.annotated_tasks()
        assert found["is_labeled"] is False

    def test_come_the_same_from_look_to_look(self, project: Project) -> None:
        project.import_tasks([annotated(n) for n in range(3)])
        assert list(project.annotated_tasks()) == list(project.annotated_tasks())


class TestProgress:
    def test_counts_tasks_and_annotations_of_this_project(self, create_project: Create, project: Project) -> None:
        create_project("Cars", IMAGE).import_tasks([annotated()])
        project.import_tasks([task(1), annotated(2), task(3, annotations=[{"result": []}, {"result": []}])])
        assert project.progress() == Progress(tasks=3, annotated_tasks=2, annotations=3)

    def test_of_an_empty_project_is_zero(self, project: Project) -> None:
        assert project.progress() == Progress(0, 0, 0)


class TestFencing:
    WRITES: ClassVar = {
        "import_tasks": lambda project, task_id: project.import_tasks([task(9)]),
        "update_task": lambda project, task_id: project.update_task(task_id, task(9)),
        "delete_tasks": lambda project, task_id: project.delete_tasks([task_id]),
        "fence": lambda project, task_id: project.fence(1),
    }

    @pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
    def test_refuses_a_writer_whose_number_was_overtaken(self, create_project: Create, write) -> None:
        paused, successor = create_project("Pets", IMAGE), create_project("Pets", IMAGE)
        paused.fence(1)
        (task_id,) = paused.import_tasks([task(1, meta={"v": 1})])
        successor.fence(2)
        with pytest.raises(LeaseLost, match="another run has taken over"):
            write(paused, task_id)
        assert all_of(successor.tasks_after(0)) == [(task_id, {"v": 1})]

    def test_lets_the_successor_write(self, create_project: Create) -> None:
        paused, successor = create_project("Pets", IMAGE), create_project("Pets", IMAGE)
        paused.fence(1)
        successor.fence(2)
        assert len(successor.import_tasks([task()])) == 1

    def test_holds_for_one_project_only(self, create_project: Create, project: Project) -> None:
        create_project("Cars", IMAGE).fence(5)
        project.fence(1)
        assert len(project.import_tasks([task()])) == 1


class TestIdentity:
    def test_uri_names_one_project(self, create_project: Create, project: Project) -> None:
        assert create_project("Pets", IMAGE).uri == project.uri
        assert create_project("Cars", IMAGE).uri != project.uri

    def test_data_keys_are_those_of_the_label_config(self, project: Project) -> None:
        assert list(project.data_keys) == ["image"]

    def test_timestamps_are_label_studios(self, project: Project) -> None:
        project.import_tasks([annotated()])
        ((found,),) = project.annotated_tasks()
        for stamp in (found["created_at"], found["annotations"][0]["updated_at"]):
            assert len(stamp) == len("2021-07-06T06:06:25.927570Z")
            assert stamp.endswith("Z")

    def test_ids_ascend(self, create_project: Create) -> None:
        ids = [create_project(f"Project {n}", IMAGE).id for n in range(3)]
        assert all(a < b for a, b in pairwise(ids))
