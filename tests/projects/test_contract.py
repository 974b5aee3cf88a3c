"""What every project store does. One more store is one more entry in STORES."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from servers.label_studio import LabelStudioServer as Server
from servers.postgres import PostgresServer
from sqlalchemy import insert

from labelsync_provider.database import open_database, writing
from labelsync_provider.projects.embedded.store import EmbeddedStore
from labelsync_provider.projects.embedded.tables import ANNOTATION
from labelsync_provider.projects.label_studio.client import Client
from labelsync_provider.projects.label_studio.server import LabelStudioServer
from labelsync_provider.projects.protocol import (
    Fencing,
    Json,
    Progress,
    Project,
    Rejected,
    StoredTask,
    Task,
    TaskLook,
    TaskState,
    TaskUpdate,
)

pytest_plugins = ["servers.label_studio", "servers.postgres"]

Create = Callable[..., Project]

IMAGE = '<View><Image name="image" value="$image"/></View>'
RESULT = [{"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": ["Cat"]}}]
STAMP = "2021-07-06T06:06:25.927570Z"


@dataclass
class Store:
    """A place with projects, and what a test needs besides them."""

    create_project: Create
    annotate: Callable[[int], object]
    """Annotate a task as a person would: past the project."""
    may_skip: Callable[[Project, int], object]
    """Return what an export tells of a task's `allow_skip`."""
    annotator: Json
    """Somebody whose annotations the store takes."""


@contextmanager
def embedded_in(url: str) -> Iterator[Store]:
    engine = open_database(url)

    def annotate(task_id: int) -> None:
        stamps = {"created_at": STAMP, "updated_at": STAMP}
        row = {"id": 10**9 + task_id, "task": task_id, "result": RESULT, "other": {}, **stamps}
        with writing(engine) as connection:
            connection.execute(insert(ANNOTATION).values(was_cancelled=False, ground_truth=False, **row))

    def may_skip(project: Project, task_id: int) -> object:
        ((found,),) = project.annotated_tasks([task_id])
        return found["allow_skip"]

    ann = {"id": 7, "email": "ann@example.com", "first_name": "Ann", "last_name": "Lee"}
    yield Store(EmbeddedStore(engine).create_project, annotate, may_skip, ann)
    engine.dispose()


@contextmanager
def label_studio_at(server: Server) -> Iterator[Store]:
    client = Client(server.url, server.token)

    def may_skip(project: Project, task_id: int) -> object:
        # The task API does not tell.
        exported = client.get(f"/api/projects/{project.id}/export", exportType="JSON")
        return next(found["allow_skip"] for found in exported if found["id"] == task_id)

    (user,) = [user for user in client.get("/api/users/") if user["email"] == server.email]
    yield Store(
        LabelStudioServer(client).create_project,
        lambda task_id: client.post(f"/api/tasks/{task_id}/annotations/", {"result": RESULT}),
        may_skip,
        {name: user[name] for name in ("id", "email", "first_name", "last_name")},
    )
    client.close()


# Name -> the fixture that says where the store is; the store may hold the projects of other tests. What of Label Studio
# may depend on its database is tested with both in test_label_studio.py.
STORES = {
    "embedded on SQLite": "sqlite_url",
    "embedded on PostgreSQL": "postgres_url",
    "Label Studio": "label_studio",
}


def opened(where: str | Server) -> AbstractContextManager[Store]:
    return label_studio_at(where) if isinstance(where, Server) else embedded_in(where)


@pytest.fixture(scope="module")
def sqlite_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/labelsync.db"


@pytest.fixture(scope="module")
def postgres_url(postgres: PostgresServer) -> str:
    return postgres.create_database()


@pytest.fixture(scope="module", params=list(STORES.values()), ids=list(STORES))
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    with opened(request.getfixturevalue(request.param)) as store:
        yield store


@pytest.fixture
def create_project(store: Store) -> Create:
    """Create a project whose title no other test gives one."""
    suffix = secrets.token_hex(8)
    return lambda title, label_config=IMAGE: store.create_project(f"{title} {suffix}", label_config)


@pytest.fixture
def project(create_project: Create) -> Project:
    return create_project("Pets")


def uri(n: object) -> str:
    return f"s3://bucket/{n}.jpg"


def task(n: object = 1, *, meta: Json | None = None, **fields: Any) -> Task:
    """A task made from object `n`."""
    return Task({"image": f"{n}.jpg"}, {"labelsync": {"uri": uri(n)}} | (meta or {}), **fields)


def annotated(n: object = 1, *, predictions: Any = (), allow_skip: bool | None = None, **fields: Any) -> Task:
    return task(n, annotations=[{"result": RESULT, **fields}], predictions=predictions, allow_skip=allow_skip)


def noted(n: object = 1, **reference: Any) -> Task:
    """A task made from object `n` with more in its source reference."""
    return task(n, meta={"labelsync": {"uri": uri(n)} | reference})


def change(n: object = 1, *, effect: str | None = None, meta: Json | None = None, **fields: Any) -> TaskUpdate:
    """An update of a task made from object `n`, by an effect of its own."""
    reference = {"uri": uri(n), "effect": effect or secrets.token_hex(4)}
    return TaskUpdate(uri(n), {"labelsync": reference} | (meta or {}), **fields)


def update_one(project: Project, task_id: int, update: TaskUpdate) -> str | Rejected:
    ((told, outcome),) = project.update_tasks({task_id: update})
    assert told == task_id
    return outcome


def all_of(pages: Any) -> list:
    return [item for page in pages for item in page]


def ids_in(project: Project) -> list[int]:
    return [found.id for found in all_of(project.tasks_after(0))]


def the_only(project: Project) -> Json:
    ((found,),) = project.annotated_tasks()
    return found


class TestImportTasks:
    def test_returns_the_ids_in_order(self, project: Project) -> None:
        ids = project.import_tasks([task(n) for n in range(5)])
        found = all_of(project.tasks_after(0, with_data=True))
        assert [(stored.id, stored.data) for stored in found] == [(ids[n], {"image": f"{n}.jpg"}) for n in range(5)]

    def test_rejects_a_task_without_a_data_key_and_takes_the_others(self, project: Project) -> None:
        first, rejected, second = project.import_tasks([task(1), Task({"text": "x"}), task(2)])
        assert isinstance(rejected, Rejected)
        assert rejected.lasting
        assert '"image" key is expected' in rejected.reason
        assert ids_in(project) == [first, second]

    def test_of_nothing_is_nothing(self, project: Project) -> None:
        assert project.import_tasks([]) == []

    def test_of_none_that_can_be_taken_adds_none(self, project: Project) -> None:
        rejected = project.import_tasks([Task({"text": "x"}), Task({})])
        assert [type(outcome) for outcome in rejected] == [Rejected, Rejected]
        assert ids_in(project) == []

    def test_keeps_data_and_meta_as_they_are(self, project: Project) -> None:
        data: Json = {"image": "ä 😀", "n": [1, 2.5, None, True, {"deep": []}], "a b.c": '<i>\n\t\\"'}
        project.import_tasks([Task(data, {"source": "scan 1"}, [{"result": []}])])
        found = the_only(project)
        assert (found["data"], found["meta"]) == (data, {"source": "scan 1"})

    @pytest.mark.parametrize(("given", "told"), [(None, True), (True, True), (False, False)])
    def test_keeps_whether_an_annotator_may_skip_the_task(
        self, store: Store, project: Project, given: bool | None, told: bool
    ) -> None:
        (task_id,) = project.import_tasks([annotated(allow_skip=given)])
        assert store.may_skip(project, task_id) is told

    def test_check_tells_beforehand_what_would_be_rejected(self, project: Project) -> None:
        assert project.check(task()) is None
        assert '"image" key is expected' in (project.check(Task({})) or "")

    def test_gives_every_project_ids_of_its_own(self, create_project: Create, project: Project) -> None:
        other = create_project("Cars")
        ids = project.import_tasks([task(1)]) + other.import_tasks([task(1)]) + project.import_tasks([task(2)])
        assert len(set(ids)) == 3

    def test_counts_the_tasks_of_a_project_for_people(self, create_project: Create, project: Project) -> None:
        create_project("Cars").import_tasks([annotated()])
        project.import_tasks([annotated(1)])
        project.import_tasks([task(2), annotated(3)])
        assert [found["inner_id"] for found in all_of(project.annotated_tasks())] == [1, 3]


class TestReconciling:
    def test_all_later_tasks_exceed_the_last_id(self, project: Project) -> None:
        project.import_tasks([task(1), task(2)])
        last = project.last_task_id()
        assert min(project.import_tasks([task(3)])) > last

    def test_all_later_tasks_exceed_the_last_id_though_the_highest_were_deleted(self, project: Project) -> None:
        before = project.import_tasks([task(n) for n in range(5)])
        last = project.last_task_id()
        project.delete_tasks({task_id: uri(n) for n, task_id in enumerate(before)})
        assert min(project.import_tasks([task(5)])) > last

    def test_a_project_without_tasks_has_a_last_id_below_its_first(self, project: Project) -> None:
        last = project.last_task_id()
        assert min(project.import_tasks([task()])) > last

    def test_tasks_after_an_id_come_by_id_with_their_meta(self, create_project: Create, project: Project) -> None:
        first, *rest = project.import_tasks([Task({"image": ""}, {"n": n}) for n in range(4)])
        create_project("Cars").import_tasks([task()])
        assert all_of(project.tasks_after(first)) == [
            StoredTask(task_id, {"n": n}, {}) for n, task_id in enumerate(rest, 1)
        ]

    def test_tasks_after_an_id_come_with_their_data_if_asked_for(self, project: Project) -> None:
        ids = project.import_tasks([Task({"image": "1.jpg"}, {"n": 1}), Task({"image": "2.jpg", "deep": {"n": [2]}})])
        assert all_of(project.tasks_after(0, with_data=True)) == [
            StoredTask(ids[0], {"n": 1}, {"image": "1.jpg"}),
            StoredTask(ids[1], {}, {"image": "2.jpg", "deep": {"n": [2]}}),
        ]

    def test_tasks_after_an_id_come_in_bounded_pages_to_the_end(self, project: Project) -> None:
        ids = project.import_tasks([task(n) for n in range(2500)])
        pages = list(project.tasks_after(0))
        assert [found.id for found in all_of(pages)] == ids
        assert max(map(len, pages)) <= 1000

    def test_all_tasks_are_counted_and_by_the_second_time_anew(self, project: Project) -> None:
        before = project.count_all()
        project.import_tasks([task(n) for n in range(3)])
        assert (before, project.count_all()) == (0, 3)


class TestLook:
    def test_tells_of_tasks_that_are_there_whether_they_are_worked_on(
        self, create_project: Create, project: Project
    ) -> None:
        (foreign,) = create_project("Cars").import_tasks([task(5)])
        given = [task(1), annotated(2), annotated(3, was_cancelled=True), task(4)]
        free, labeled, skipped, deleted = project.import_tasks(given)
        project.delete_tasks({deleted: uri(4)})
        looks = project.look({free: uri(1), labeled: uri(2), skipped: uri(3), deleted: uri(4), foreign: uri(5)})
        assert {task_id: seen.worked_on for task_id, seen in looks.items()} == {
            free: False,
            labeled: True,
            skipped: True,
        }

    def test_sees_what_a_person_did_since(self, store: Store, project: Project) -> None:
        (task_id,) = project.import_tasks([task()])
        assert project.look({task_id: uri(1)}) == {task_id: TaskLook(worked_on=False, as_imported=True, effect="")}
        store.annotate(task_id)
        assert project.look({task_id: uri(1)}) == {task_id: TaskLook(worked_on=True, as_imported=False, effect="")}

    def test_tells_which_import_or_update_wrote_a_task_last(self, project: Project) -> None:
        (task_id,) = project.import_tasks([noted(effect="a.1")])
        assert project.look({task_id: uri(1)})[task_id].effect == "a.1"
        update_one(project, task_id, change(effect="b.7"))
        assert project.look({task_id: uri(1)})[task_id].effect == "b.7"

    @pytest.mark.parametrize("effect", [7, None, ["a"], {}], ids=repr)
    def test_takes_only_a_text_for_an_effect(self, project: Project, effect: object) -> None:
        (task_id,) = project.import_tasks([noted(effect=effect)])
        assert project.look({task_id: uri(1)})[task_id].effect == ""

    def test_leaves_out_a_task_that_was_made_from_another_object(self, project: Project) -> None:
        one, other = project.import_tasks([task(1), task(2)])
        assert project.look({one: uri(2), other: uri(2)}).keys() == {other}

    def test_knows_a_task_without_a_source_reference_by_its_data(self, project: Project) -> None:
        metas = [{}, {"labelsync": ["theirs"]}, {"labelsync": uri(9)}, {"labelsync": {"theirs": 1}}]
        ids = project.import_tasks([Task({"image": uri(n), "more": [uri(9)]}, meta) for n, meta in enumerate(metas)])
        assert project.look({task_id: uri(n) for n, task_id in enumerate(ids)}).keys() == set(ids)
        assert project.look({task_id: uri(9) for task_id in ids}) == {}

    def test_knows_a_task_with_a_source_reference_by_nothing_else(self, project: Project) -> None:
        (task_id,) = project.import_tasks([Task({"image": uri(1)}, {"labelsync": {"uri": uri(2)}})])
        assert project.look({task_id: uri(1)}) == {}

    def test_takes_more_tasks_than_fit_in_one_request(self, project: Project) -> None:
        ids = project.import_tasks([annotated(n) if n % 3 == 0 else task(n) for n in range(1100)])
        looks = project.look({task_id: uri(n) for n, task_id in enumerate(ids)})
        assert [looks[task_id].worked_on for task_id in ids] == [n % 3 == 0 for n in range(1100)]

    @pytest.mark.parametrize(
        ("before", "shows"), [("https://example.com/label-studio", True), ("the sign of https://example.com", False)]
    )
    def test_sees_a_file_behind_the_address_of_a_server_and_not_in_a_text(
        self, project: Project, before: str, shows: bool
    ) -> None:
        file = "/data/local-files/?d=in/1.jpg"
        (task_id,) = project.import_tasks([Task({"image": before + file})])
        assert (task_id in project.look({task_id: file})) == shows

    def test_at_nothing_sees_nothing(self, project: Project) -> None:
        project.import_tasks([task()])
        assert project.look({}) == {}


class TestUpdateTasks:
    def test_replaces_data_and_sets_keys_of_meta_under_the_same_id(self, project: Project) -> None:
        (task_id,) = project.import_tasks([task(1, meta={"v": 1, "kept": [1, None]})])
        new = change(data={"image": "new.jpg", "n": 2}, meta={"v": 2})
        assert update_one(project, task_id, new) == "updated"
        ((_, meta, data, _),) = all_of(project.tasks_after(0, with_data=True))
        assert (data, meta) == (new.data, {"v": 2, "kept": [1, None], "labelsync": new.meta["labelsync"]})

    def test_sets_keys_of_data_and_leaves_the_others_if_told_so(self, project: Project) -> None:
        (task_id,) = project.import_tasks([Task({"image": "1.jpg", "patient": "P0"}, task().meta)])
        assert update_one(project, task_id, change(data={"image": "2.jpg"}, merge_data=True)) == "updated"
        assert all_of(project.tasks_after(0, with_data=True))[0].data == {"image": "2.jpg", "patient": "P0"}

    @pytest.mark.parametrize("more", [{}, {"patient": "P0"}], ids=["the URI alone", "more than the URI"])
    def test_leaves_a_task_that_others_made_theirs(self, project: Project, more: Json) -> None:
        (task_id,) = project.import_tasks([Task({"image": uri(1), **more})])
        for _ in range(2):
            assert update_one(project, task_id, change(data={"image": uri(1)}, merge_data=True)) == "updated"
            assert project.look({task_id: uri(1)})[task_id].of_others == bool(more)
        assert project.delete_tasks({task_id: uri(1)}) == (set() if more else {task_id})

    def test_leaves_the_data_as_it_is_without_data(self, project: Project) -> None:
        data = {"image": "1.jpg", "odd": [1.5, None, {"a": "ä"}]}
        (task_id,) = project.import_tasks([Task(data, task().meta)])
        assert update_one(project, task_id, change(meta={"v": 2})) == "updated"
        ((_, meta, after, _),) = all_of(project.tasks_after(0, with_data=True))
        assert (after, meta["v"]) == (data, 2)

    @pytest.mark.parametrize(
        ("before", "after"), [(1, True), (0, False), (True, 1), ("1", 1), (None, 0), ([], {})], ids=repr
    )
    def test_tells_values_apart_that_python_takes_for_equal(
        self, project: Project, before: object, after: object
    ) -> None:
        (task_id,) = project.import_tasks([Task({"image": "", "n": before}, task().meta)])
        update_one(project, task_id, change(data={"image": "", "n": after}))
        (stored,) = all_of(project.tasks_after(0, with_data=True))
        assert repr(stored.data["n"]) == repr(after)

    def test_yields_the_outcomes_one_by_one_in_the_order_of_the_updates(self, project: Project) -> None:
        first, labeled, deleted, last = project.import_tasks([task(1), annotated(2), task(3), task(4)])
        project.delete_tasks({deleted: uri(3)})
        new = {n: change(n, data={"image": f"new {n}.jpg"}) for n in (1, 2, 3, 4)}
        outcomes = project.update_tasks({last: new[4], deleted: new[3], first: new[1], labeled: new[2]})
        assert next(outcomes) == (last, "updated")
        assert list(outcomes) == [(deleted, "gone"), (first, "updated"), (labeled, "worked_on")]
        images = [found.data["image"] for found in all_of(project.tasks_after(0, with_data=True))]
        assert images == ["new 1.jpg", "2.jpg", "new 4.jpg"]

    def test_of_more_tasks_than_are_looked_at_together(self, project: Project) -> None:
        ids = project.import_tasks([task(n) for n in range(60)])
        new = {task_id: change(n, data={"image": f"new {n}"}) for n, task_id in enumerate(ids)}
        assert list(project.update_tasks(new)) == [(task_id, "updated") for task_id in ids]
        found = all_of(project.tasks_after(0, with_data=True))
        assert [stored.data["image"] for stored in found] == [f"new {n}" for n in range(60)]

    def test_of_nothing_is_nothing(self, project: Project) -> None:
        assert list(project.update_tasks({})) == []

    @pytest.mark.parametrize("merge", [False, True])
    def test_with_data_leaves_a_task_alone_that_came_annotated(self, project: Project, merge: bool) -> None:
        (task_id,) = project.import_tasks([annotated(1)])
        before = all_of(project.annotated_tasks())
        new = change(data={"image": "new.jpg"}, merge_data=merge, meta={"v": 2}, predictions=[{"result": []}])
        assert update_one(project, task_id, new) == "worked_on"
        assert all_of(project.annotated_tasks()) == before

    def test_with_data_leaves_a_task_alone_that_was_annotated_meanwhile(self, store: Store, project: Project) -> None:
        (task_id,) = project.import_tasks([task()])
        store.annotate(task_id)
        assert update_one(project, task_id, change(data={"image": "new.jpg"})) == "worked_on"
        assert the_only(project)["data"] == task().data

    def test_with_data_leaves_a_task_alone_whose_only_annotation_is_cancelled(self, project: Project) -> None:
        (task_id,) = project.import_tasks([annotated(was_cancelled=True)])
        assert update_one(project, task_id, change(data={"image": "new.jpg"})) == "worked_on"

    def test_without_data_changes_meta_and_predictions_of_an_annotated_task(self, project: Project) -> None:
        before = annotated(predictions=[{"result": [], "model_version": "m"}])
        (task_id,) = project.import_tasks([before])
        annotations = the_only(project)["annotations"]
        new = change(meta={"v": 2}, predictions=[{"result": RESULT, "model_version": "m"}])
        assert update_one(project, task_id, new) == "updated"
        found = the_only(project)
        assert (found["data"], found["meta"]["v"]) == (before.data, 2)
        assert [prediction["result"] for prediction in found["predictions"]] == [RESULT]
        assert [annotation["result"] for annotation in found["annotations"]] == [
            annotation["result"] for annotation in annotations
        ]

    def test_without_data_holds_annotations_back_from_a_task_that_somebody_works_on(
        self, store: Store, project: Project
    ) -> None:
        (task_id,) = project.import_tasks([task()])
        store.annotate(task_id)
        new = change(effect="b.1", meta={"v": 2}, annotations=[{"result": []}])
        # Once more, as after a run that was killed before it could enter the outcome.
        for _ in range(2):
            assert update_one(project, task_id, new) == "in_part"
            found = the_only(project)
            assert (found["meta"]["v"], [annotation["result"] for annotation in found["annotations"]]) == (2, [RESULT])

    def test_does_not_hold_back_what_a_later_update_brings(self, store: Store, project: Project) -> None:
        (task_id,) = project.import_tasks([task()])
        store.annotate(task_id)
        update_one(project, task_id, change(effect="b.1", annotations=[{"result": []}]))
        later = change(effect="c.1", meta={"v": 3})
        assert update_one(project, task_id, later) == "updated"
        assert the_only(project)["meta"]["labelsync"] == later.meta["labelsync"]

    @pytest.mark.parametrize("data", [None, {"image": "new.jpg"}], ids=["without data", "with data"])
    def test_adds_annotations_where_nobody_works_on_the_task(
        self, store: Store, project: Project, data: Json | None
    ) -> None:
        (task_id,) = project.import_tasks([task()])
        given = {"result": RESULT, "was_cancelled": True, "ground_truth": True, "lead_time": 1.5}
        new = task(annotations=[given | {"completed_by": store.annotator}])
        project.adapt(new)
        assert update_one(project, task_id, change(data=data, annotations=new.annotations)) == "updated"
        (found,) = the_only(project)["annotations"]
        assert {name: found[name] for name in given} == given
        assert found["completed_by"]["email"] == store.annotator["email"]

    def test_does_again_what_has_been_done_though_somebody_annotates_meanwhile(
        self, store: Store, project: Project
    ) -> None:
        (task_id,) = project.import_tasks([task(predictions=[{"result": []}])])
        new = change(
            effect="b.1",
            data={"image": "new.jpg"},
            annotations=[{"result": []}, {"result": []}],
            predictions=[{"result": RESULT}],
        )
        assert update_one(project, task_id, new) == "updated"
        store.annotate(task_id)
        assert update_one(project, task_id, new) == "updated"
        found = the_only(project)
        assert [annotation["result"] for annotation in found["annotations"]] == [[], [], RESULT]
        assert [prediction["result"] for prediction in found["predictions"]] == [RESULT]

    def test_is_not_taken_for_another_that_has_the_same_content(self, project: Project) -> None:
        (task_id,) = project.import_tasks([task()])
        first = change(effect="b.1", data={"image": "new.jpg"}, annotations=[{"result": []}])
        assert update_one(project, task_id, first) == "updated"
        second = change(effect="c.1", data={"image": "new.jpg"}, annotations=[{"result": []}])
        assert update_one(project, task_id, second) == "worked_on"
        assert len(the_only(project)["annotations"]) == 1

    def test_says_that_a_task_is_gone(self, project: Project) -> None:
        (task_id,) = project.import_tasks([task()])
        project.delete_tasks({task_id: uri(1)})
        assert update_one(project, task_id, change()) == "gone"
        assert all_of(project.tasks_after(0)) == []

    def test_takes_a_task_that_was_made_from_another_object_for_gone(self, project: Project) -> None:
        one, other = project.import_tasks([task(1), Task({"image": uri(2)})])
        for task_id in (one, other):
            assert update_one(project, task_id, change(3, data={"image": "new.jpg"})) == "gone"
        assert [found.data["image"] for found in all_of(project.tasks_after(0, with_data=True))] == ["1.jpg", uri(2)]

    def test_gives_a_task_without_a_source_reference_one(self, project: Project) -> None:
        (task_id,) = project.import_tasks([Task({"image": uri(1)}, {"labelsync": "theirs", "kept": 1})])
        new = change(effect="b.1")
        assert update_one(project, task_id, new) == "updated"
        reference = {**new.meta["labelsync"], "of_others": True}
        assert all_of(project.tasks_after(0))[0].meta == {"labelsync": reference, "kept": 1}

    def test_does_not_reach_into_another_project(self, create_project: Create, project: Project) -> None:
        other = create_project("Cars")
        (task_id,) = other.import_tasks([task()])
        before = all_of(other.tasks_after(0, with_data=True))
        assert update_one(project, task_id, change(meta={"v": 2})) == "gone"
        assert all_of(other.tasks_after(0, with_data=True)) == before


class TestPredictionsOfAnUpdate:
    """They replace those of the same model, and leave those alone that say the same."""

    @staticmethod
    def predictions(store: Store, project: Project, task_id: int) -> list[Json]:
        """Those that the task has; only an annotated task is exported."""
        if not all_of(project.annotated_tasks([task_id])):
            store.annotate(task_id)
        return the_only(project)["predictions"]

    def test_replace_those_of_the_same_model_version_only(self, store: Store, project: Project) -> None:
        before: list[Json] = [{"result": [], "score": 0.1, "model_version": version} for version in ("a", "b", "b")]
        (task_id,) = project.import_tasks([task(predictions=[*before, {"result": []}])])
        assert update_one(project, task_id, change(predictions=[{"result": RESULT, "model_version": "b"}])) == "updated"
        found = self.predictions(store, project, task_id)
        assert [(item["model_version"], item["result"]) for item in found[:1] + found[2:]] == [
            ("a", []),
            ("b", RESULT),
        ]
        assert found[1]["result"] == []
        assert found[1]["model_version"] not in ("a", "b")

    def test_without_a_model_version_replace_those_without_one(self, store: Store, project: Project) -> None:
        before = [{"result": []}, {"result": [], "model_version": "a"}]
        (task_id,) = project.import_tasks([task(predictions=before)])
        update_one(project, task_id, change(predictions=[{"result": RESULT, "score": 0.5}]))
        found = sorted(self.predictions(store, project, task_id), key=lambda item: len(item["result"]))
        assert [(item["result"], item["score"]) for item in found] == [([], None), (RESULT, 0.5)]
        assert found[0]["model_version"] == "a"

    def test_that_are_none_remove_none(self, store: Store, project: Project) -> None:
        (task_id,) = project.import_tasks([task(predictions=[{"result": RESULT}])])
        update_one(project, task_id, change(data={"image": "new.jpg"}))
        assert len(self.predictions(store, project, task_id)) == 1

    def test_that_are_there_already_stay(self, store: Store, project: Project) -> None:
        given = [
            {"result": RESULT, "score": 1, "model_version": "a"},
            {"result": RESULT, "score": 1, "model_version": "a"},
            {"result": [], "score": 0.25, "model_version": "a"},
        ]
        (task_id,) = project.import_tasks([task(predictions=given)])
        before = self.predictions(store, project, task_id)
        new = [given[2], given[0], {"result": [], "score": 0.5, "model_version": "a"}]
        update_one(project, task_id, change(predictions=new))
        after = self.predictions(store, project, task_id)
        assert [prediction for prediction in before if prediction in after] == [before[0], before[2]]
        assert [prediction["score"] for prediction in after] == [1, 0.25, 0.5]


class TestDeleteTasks:
    def test_deletes_those_without_annotations_and_says_which_are_gone(self, project: Project) -> None:
        free, labeled, kept = project.import_tasks([task(1, predictions=[{"result": []}]), annotated(2), task(3)])
        assert project.delete_tasks({free: uri(1), labeled: uri(2)}) == {free}
        assert ids_in(project) == [labeled, kept]

    def test_leaves_a_task_alone_that_was_annotated_meanwhile(self, store: Store, project: Project) -> None:
        (task_id,) = project.import_tasks([task()])
        store.annotate(task_id)
        assert project.delete_tasks({task_id: uri(1)}) == set()
        assert ids_in(project) == [task_id]

    def test_leaves_a_task_alone_whose_only_annotation_is_cancelled(self, project: Project) -> None:
        (task_id,) = project.import_tasks([annotated(was_cancelled=True)])
        assert project.delete_tasks({task_id: uri(1)}) == set()
        assert ids_in(project) == [task_id]

    def test_leaves_a_task_alone_that_was_made_from_another_object(self, project: Project) -> None:
        one, other = project.import_tasks([task(1), task(2)])
        assert project.delete_tasks({one: uri(2), other: uri(2)}) == {one, other}
        assert ids_in(project) == [one]

    def test_counts_what_was_gone_already_as_gone(self, project: Project) -> None:
        (task_id,) = project.import_tasks([task()])
        project.delete_tasks({task_id: uri(1)})
        wanted = {task_id: uri(1), task_id + 100_000: uri(2)}
        assert project.delete_tasks(wanted) == set(wanted)

    def test_of_none_is_none(self, project: Project) -> None:
        project.import_tasks([task()])
        assert project.delete_tasks({}) == set()
        assert project.progress().tasks == 1

    def test_deletes_more_than_a_page(self, project: Project) -> None:
        ids = project.import_tasks([task(n) for n in range(1100)])
        assert project.delete_tasks({task_id: uri(n) for n, task_id in enumerate(ids)}) == set(ids)
        assert project.progress().tasks == 0

    def test_does_not_reach_into_another_project(self, create_project: Create, project: Project) -> None:
        other = create_project("Cars")
        (task_id,) = other.import_tasks([task()])
        project.delete_tasks({task_id: uri(1)})
        assert other.progress().tasks == 1


class TestChanges:
    def test_of_all_time_are_all_tasks_by_id_annotated_or_not(self, create_project: Create, project: Project) -> None:
        create_project("Cars").import_tasks([annotated()])
        free, labeled, skipped = project.import_tasks([task(1), annotated(2), annotated(3, was_cancelled=True)])
        states = all_of(project.changes())
        assert [(state.id, state.annotated) for state in states] == [(free, False), (labeled, True), (skipped, True)]

    def test_of_an_empty_project_are_none(self, project: Project) -> None:
        assert all_of(project.changes()) == []

    def test_since_an_instant_are_at_least_the_tasks_changed_then_or_later(
        self, store: Store, project: Project
    ) -> None:
        first, second = project.import_tasks([task(1), task(2)])
        since = max_of(all_of(project.changes()))
        store.annotate(first)
        states = all_of(project.changes(since))
        assert [state.annotated for state in states if state.id == first] == [True]
        assert {state.id for state in states} <= {first, second}

    def test_of_a_range_of_ids_are_those_above_the_one_up_to_the_other(self, project: Project) -> None:
        ids = project.import_tasks([annotated(n) for n in range(4)])
        assert [state.id for state in all_of(project.changes(after=ids[0], last=ids[2]))] == ids[1:3]
        assert [state.id for state in all_of(project.changes(after=ids[1]))] == ids[2:]
        assert [state.id for state in all_of(project.changes(last=ids[1]))] == ids[:2]

    def test_give_an_annotated_task_another_state_unless_only_a_look_would_tell(
        self, store: Store, project: Project
    ) -> None:
        project.import_tasks([task(1), task(2)])
        before, quiet = all_of(project.changes())
        store.annotate(before.id)
        after, still = all_of(project.changes())
        assert still == quiet
        assert after.state != before.state or after.state == ""


def max_of(states: Sequence[TaskState]) -> Any:
    """The latest instant among states; None if the project keeps no time."""
    instants = [state.updated_at for state in states if state.updated_at]
    # What is younger by the clock of this process, but not by the project's, must be among the changes.
    return max(instants) + timedelta(microseconds=1) if instants else None


class TestAnnotatedTasks:
    def test_come_by_id_in_bounded_pages_without_the_unannotated(self, project: Project) -> None:
        ids = project.import_tasks([annotated(n) if n % 4 == 3 else task(n) for n in range(1100)])
        pages = list(project.annotated_tasks())
        assert [found["id"] for found in all_of(pages)] == ids[3::4]
        assert max(map(len, pages)) <= 1000

    def test_come_only_for_the_ids_asked_for(self, create_project: Create, project: Project) -> None:
        (foreign,) = create_project("Cars").import_tasks([annotated()])
        first, free, second, _ = project.import_tasks([annotated(1), task(2), annotated(3), annotated(4)])
        wanted = [second, foreign, free, first, 10**9]
        assert [found["id"] for found in all_of(project.annotated_tasks(wanted))] == [first, second]

    def test_of_no_ids_are_none(self, project: Project) -> None:
        project.import_tasks([annotated()])
        assert all_of(project.annotated_tasks([])) == []

    def test_hold_annotations_as_they_were_given(self, store: Store, project: Project) -> None:
        one = {
            "result": RESULT,
            "completed_by": store.annotator,
            "was_cancelled": True,
            "ground_truth": True,
            "lead_time": 12.5,
        }
        other = {
            "result": [{"id": "ä", "value": {"n": [1, 2.5, None, True, "😀"]}}, {}],
            "completed_by": store.annotator,
            "was_cancelled": False,
            "ground_truth": False,
            "lead_time": 0.001,
        }
        new = task(annotations=[dict(one), dict(other)])
        assert project.adapt(new) == 0
        (task_id,) = project.import_tasks([new])
        annotations = the_only(project)["annotations"]
        assert [{name: annotation[name] for name in one} for annotation in annotations] == [one, other]
        assert {(annotation["task"], annotation["project"]) for annotation in annotations} == {(task_id, project.id)}

    def test_hold_annotations_that_say_no_more_than_their_result(self, project: Project) -> None:
        new = annotated()
        assert project.adapt(new) == 0
        project.import_tasks([new])
        (annotation,) = the_only(project)["annotations"]
        names = ("result", "was_cancelled", "ground_truth", "lead_time", "import_id")
        assert [annotation[name] for name in names] == [RESULT, False, False, None, None]

    def test_hold_annotations_with_ids_of_their_own_and_the_given_one_as_import_id(self, project: Project) -> None:
        project.import_tasks([annotated(1, id=5678), annotated(2, id=5678)])
        one, two = (found["annotations"][0] for found in all_of(project.annotated_tasks()))
        assert one["id"] != two["id"]
        assert one["import_id"] == two["import_id"] == 5678

    def test_hold_predictions(self, project: Project) -> None:
        given = {"result": RESULT, "score": 0.5, "model_version": "v1"}
        project.import_tasks([task(annotations=[{"result": []}], predictions=[given, {"result": []}])])
        known, bare = sorted(the_only(project)["predictions"], key=lambda prediction: not prediction["result"])
        assert {name: known[name] for name in given} == given
        assert (bare["result"], bare["score"]) == ([], None)

    def test_count_their_labels(self, project: Project) -> None:
        cancelled = {"result": [], "was_cancelled": True}
        project.import_tasks([task(annotations=[{"result": RESULT}, cancelled], predictions=[{"result": []}])])
        found = the_only(project)
        assert (found["total_annotations"], found["cancelled_annotations"], found["total_predictions"]) == (1, 1, 1)
        assert found["is_labeled"] is True

    def test_come_the_same_from_look_to_look(self, project: Project) -> None:
        project.import_tasks([annotated(n) for n in range(3)])
        assert list(project.annotated_tasks()) == list(project.annotated_tasks())


class TestProgress:
    def test_counts_tasks_and_annotations_of_this_project(self, create_project: Create, project: Project) -> None:
        create_project("Cars").import_tasks([annotated()])
        project.import_tasks([task(1), annotated(2), task(3, annotations=[{"result": []}, {"result": []}])])
        assert project.progress() == Progress(tasks=3, annotated_tasks=2, annotations=3)

    def test_counts_cancelled_annotations_among_all(self, project: Project) -> None:
        cancelled = {"result": [], "was_cancelled": True}
        both = task(3, annotations=[{"result": []}, cancelled])
        project.import_tasks([task(1), annotated(2, was_cancelled=True), both])
        expected = Progress(tasks=3, annotated_tasks=2, annotations=3, cancelled_annotations=2, skipped_tasks=1)
        assert project.progress() == expected

    def test_of_an_empty_project_is_zero(self, project: Project) -> None:
        assert project.progress() == Progress(0, 0, 0)


class TestCountTasks:
    @pytest.fixture
    def ids(self, create_project: Create, project: Project) -> list[int]:
        """Tasks with no annotation, with one, with a cancelled one, with one and a cancelled one, with two."""
        create_project("Cars").import_tasks([annotated()])
        one: Json = {"result": []}
        cancelled: Json = {"result": [], "was_cancelled": True}
        kinds: Any = ([], [one], [cancelled], [one, cancelled], [one, one])
        labeled = [task(n, annotations=[dict(given) for given in kind]) for n, kind in enumerate(kinds)]
        return [task_id for task_id in project.import_tasks(labeled) if isinstance(task_id, int)]

    @pytest.mark.parametrize(
        ("after", "last", "with_cancelled", "without"),
        [
            (None, None, 4, 3),
            (0, 4, 4, 3),
            (1, 3, 2, 1),
            (1, 2, 1, 0),
            (None, 0, 0, 0),
            (3, None, 1, 1),
            (4, None, 0, 0),
            (3, 1, 0, 0),
        ],
    )
    def test_counts_the_annotated_ones_of_a_range_of_ids(
        self, project: Project, ids: list[int], after: int | None, last: int | None, with_cancelled: int, without: int
    ) -> None:
        above, up_to = 0 if after is None else ids[after], None if last is None else ids[last]
        assert project.count_tasks(above, up_to, cancelled=True) == with_cancelled
        assert project.count_tasks(above, up_to, cancelled=False) == without


def test_fencing_lets_the_owner_of_the_lease_write(project: Project) -> None:
    if isinstance(project, Fencing):
        project.fence(1)
    (task_id,) = project.import_tasks([task()])
    assert update_one(project, task_id, change(meta={"v": 2})) == "updated"
    assert project.delete_tasks({task_id: uri(1)}) == {task_id}


class TestIdentity:
    def test_uri_names_one_project(self, create_project: Create, project: Project) -> None:
        assert create_project("Pets").uri == project.uri
        assert create_project("Cars").uri != project.uri

    def test_data_keys_are_those_of_the_label_config(self, project: Project) -> None:
        assert list(project.data_keys) == ["image"]

    def test_timestamps_are_label_studios(self, project: Project) -> None:
        project.import_tasks([annotated()])
        found = the_only(project)
        for stamp in (found["created_at"], found["annotations"][0]["updated_at"]):
            assert len(stamp) == len(STAMP)
            assert stamp.endswith("Z")

    def test_ids_ascend(self, create_project: Create) -> None:
        ids = [create_project(f"Project {n}").id for n in range(3)]
        assert all(a < b for a, b in pairwise(ids))
