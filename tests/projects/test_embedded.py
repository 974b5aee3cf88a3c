"""What only the embedded store does: projects by title, values of any size, ids used once, fencing, few statements."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest
from sqlalchemy import Engine, event, insert, inspect, text

from labelsync_provider.database import open_database, writing
from labelsync_provider.errors import Invalid, LeaseLost, NotFound, SchemaOutdated
from labelsync_provider.projects.embedded.project import EmbeddedProject
from labelsync_provider.projects.embedded.store import EmbeddedStore
from labelsync_provider.projects.embedded.tables import ANNOTATION
from labelsync_provider.projects.protocol import Json, StoredTask, Task, TaskUpdate

pytest_plugins = ["servers.postgres"]


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "SQLite":
        return f"sqlite:///{tmp_path}/labelsync.db"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = open_database(url)
    yield engine
    engine.dispose()


def task(n: object = 1, *, meta: Json | None = None, **fields: Any) -> Task:
    """A task made from object `n`."""
    return Task({"image": f"{n}.jpg"}, {"labelsync": {"uri": uri(n)}} | (meta or {}), **fields)


def annotated(n: object = 1, *, predictions: Any = (), **fields: Any) -> Task:
    return task(n, annotations=[{"result": [], **fields}], predictions=predictions)


def change(n: object = 1, *, effect: str = "b.1", **fields: Any) -> TaskUpdate:
    """An update of a task made from object `n`."""
    return TaskUpdate(uri(n), {"labelsync": {"uri": uri(n), "effect": effect}}, **fields)


def uri(n: object) -> str:
    return f"s3://bucket/{n}.jpg"


def all_of(pages: Any) -> list:
    return [item for page in pages for item in page]


def the_only(project: EmbeddedProject) -> Json:
    ((found,),) = project.annotated_tasks()
    return found


class TestCreateProject:
    def test_of_a_title_that_is_there_returns_that_project_as_it_is(self, store: EmbeddedStore) -> None:
        created = store.create_project("Pets", "<View/>")
        again = store.create_project("Pets", '<View><Image name="i" value="$i"/></View>', "another")
        assert (again.id, again.label_config) == (created.id, "<View/>")

    def test_at_once_by_many_who_find_an_empty_database_makes_one_project(self, url: str) -> None:
        start = threading.Barrier(8, timeout=10)

        def create(_: int) -> int:
            start.wait()
            engine = open_database(url)
            try:
                return EmbeddedStore(engine).create_project("Pets", "<View/>").id
            finally:
                engine.dispose()

        with ThreadPoolExecutor(8) as pool:
            ids = list(pool.map(create, range(8)))
        assert ids == ids[:1] * 8

    @pytest.mark.parametrize("title", ["", "  "])
    def test_without_a_title_is_invalid(self, store: EmbeddedStore, title: str) -> None:
        with pytest.raises(Invalid, match=r"title=.*Give one"):
            store.create_project(title, "<View/>")

    def test_with_a_label_config_that_is_no_xml_is_invalid_and_creates_nothing(self, store: EmbeddedStore) -> None:
        with pytest.raises(Invalid, match="label_config"):
            store.create_project("Pets", "<View>")
        with pytest.raises(NotFound):
            store.project("Pets")


class TestFindProject:
    def test_by_id_as_number_and_as_text_and_by_title(self, store: EmbeddedStore) -> None:
        created = store.create_project("Pets", "<View/>")
        assert [store.project(name).id for name in (created.id, str(created.id), "Pets")] == [created.id] * 3

    @pytest.mark.parametrize("title", ["pets", "Pet", "Pet%"])
    def test_takes_only_the_exact_title(self, store: EmbeddedStore, title: str) -> None:
        store.create_project("Pets", "<View/>")
        with pytest.raises(NotFound, match="no embedded project with this id or title"):
            store.project(title)

    def test_that_is_not_there_names_those_that_are(self, store: EmbeddedStore) -> None:
        store.create_project("Pets", "<View/>")
        store.create_project("Cars", "<View/>")
        with pytest.raises(NotFound, match=r"project='Boats'.*CreateProjectOperator.*'Pets', 'Cars'\.$"):
            store.project("Boats")
        for n in range(3, 12):
            store.create_project(f"Pets {n}", "<View/>")
        with pytest.raises(NotFound, match=r"'Pets', 'Cars', .*'Pets 10' and more\.$"):
            store.project("Boats")

    def test_in_an_empty_store_says_that_there_is_none_yet(self, store: EmbeddedStore) -> None:
        with pytest.raises(NotFound, match="none yet"):
            store.project(1)

    @pytest.mark.parametrize("number", [0, -1, 10**30, str(10**30), "²", "³4"], ids=str)
    def test_by_a_number_that_is_no_id_is_not_found(self, store: EmbeddedStore, number: int | str) -> None:
        with pytest.raises(NotFound, match="no embedded project"):
            store.project(number)

    def test_finds_a_title_of_digits(self, store: EmbeddedStore) -> None:
        created = store.create_project("2024", "<View/>")
        assert store.project("2024").id == store.project(2024).id == created.id
        assert store.create_project(2024, "<View/>").id == created.id

    def test_takes_digits_of_another_script_for_a_title(self, store: EmbeddedStore) -> None:
        store.create_project("Pets", "<View/>")
        with pytest.raises(NotFound):
            store.project("\u0661")
        assert store.create_project("\u0661", "<View/>").id == store.project("\u0661").id

    def test_by_digits_that_are_one_projects_id_and_anothers_title_is_ambiguous(self, store: EmbeddedStore) -> None:
        first = store.create_project("Pets", "<View/>")
        second = store.create_project(str(first.id), "<View/>")
        with pytest.raises(Invalid, match=r"id of one project and the title of another.*id as a number"):
            store.project(str(first.id))
        assert store.project(first.id).id == first.id
        assert store.project(second.id).id == second.id

    def test_whose_title_is_its_own_id_is_not_ambiguous(self, store: EmbeddedStore) -> None:
        created = store.create_project("1", "<View/>")
        assert created.id == 1
        assert store.project("1").id == 1


class TestTasks:
    def test_keep_numbers_of_any_size_and_the_character_nul(self, project: EmbeddedProject) -> None:
        data, meta = {"big": 2**70, "nul": "a\0b"}, {"big": -(2**70), "\0": "\0"}
        project.import_tasks([Task(data, meta)])
        assert all_of(project.tasks_after(0, with_data=True))[0][1:3] == (meta, data)

    def test_keep_whatever_breaks_lines_each_to_itself(self, project: EmbeddedProject) -> None:
        texts = ["a\nb\r\nc", "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029", "", "the last\n"]
        project.import_tasks([Task({"image": said}, {"labelsync": {"uri": said}}) for said in texts])
        stored = all_of(project.tasks_after(0, with_data=True))
        assert [(task.data["image"], task.meta["labelsync"]["uri"]) for task in stored] == [
            (each, each) for each in texts
        ]

    def test_never_get_an_id_twice_even_after_a_deletion(self, project: EmbeddedProject) -> None:
        before = project.import_tasks([task(1), task(2)])
        project.delete_tasks({before[0]: uri(1), before[1]: uri(2)})
        assert min(project.import_tasks([task(3)])) > max(before)

    def test_before_the_last_id_do_not_exceed_it(self, project: EmbeddedProject) -> None:
        ids = project.import_tasks([task(1), task(2)])
        assert project.last_task_id() == max(ids)

    def test_are_all_looked_at_for_changes_as_sql_leaves_no_trace(self, project: EmbeddedProject) -> None:
        project.import_tasks([task(1), annotated(2)])
        states = all_of(project.changes())
        assert [(state.state, state.updated_at) for state in states] == [("", None), ("", None)]

    def test_come_annotated_in_bounded_pages(self, project: EmbeddedProject) -> None:
        ids = project.import_tasks([annotated(n) if n % 2 else task(n) for n in range(2600)])
        pages = list(project.annotated_tasks())
        assert [found["id"] for found in all_of(pages)] == ids[1::2]
        assert max(map(len, pages)) <= 1000

    def test_come_for_more_ids_than_one_statement_takes(self, project: EmbeddedProject) -> None:
        ids = project.import_tasks([annotated(n) for n in range(1200)])
        assert [found["id"] for found in all_of(project.annotated_tasks(ids[::-1]))] == ids

    def test_are_deleted_by_thousands(self, project: EmbeddedProject) -> None:
        ids = project.import_tasks([task(n) for n in range(3000)])
        assert project.delete_tasks({task_id: uri(n) for n, task_id in enumerate(ids)}) == set(ids)
        assert project.progress().tasks == 0


class TestAnnotations:
    def test_keep_who_when_and_how_as_they_were_given(self, project: EmbeddedProject) -> None:
        given = {
            "completed_by": {"id": 7, "email": "nobody@example.com", "first_name": "Ann", "last_name": "Lee"},
            "created_at": "2021-07-06T06:06:25.927570Z",
            "updated_at": "2021-07-06T06:44:08.446371Z",
            "unique_id": "0a1b",
            "last_action": "submitted",
        }
        new = annotated(**given)
        assert project.adapt(new) == 0
        project.import_tasks([new])
        (annotation,) = the_only(project)["annotations"]
        assert {name: annotation[name] for name in given} == given

    @pytest.mark.parametrize("name", ["reviews", "prediction", "my_field", "other", "created_username"])
    def test_keep_fields_that_nobody_here_knows(self, project: EmbeddedProject, name: str) -> None:
        project.import_tasks([annotated(1, **{name: {"a": [1, None]}})])
        assert the_only(project)["annotations"][0][name] == {"a": [1, None]}

    def test_that_are_all_cancelled_leave_a_task_unlabeled(self, project: EmbeddedProject) -> None:
        project.import_tasks([annotated(was_cancelled=True)])
        assert the_only(project)["is_labeled"] is False


@pytest.mark.parametrize("given", [{"result": [], "cluster": 3, "other": 1}, {"result": [{}], "model_version": 3}])
def test_predictions_that_say_the_same_as_before_stay(project: EmbeddedProject, given: Json) -> None:
    (task_id,) = project.import_tasks([annotated(predictions=[{**given, "score": 1}])])
    before = the_only(project)["predictions"]
    assert list(project.update_tasks({task_id: change(predictions=[{**given, "score": 1.0}])})) == [
        (task_id, "updated")
    ]
    assert the_only(project)["predictions"] == before
    list(project.update_tasks({task_id: change(effect="b.2", predictions=[{**given, "score": 0.5}])}))
    assert [prediction["score"] for prediction in the_only(project)["predictions"]] == [0.5]


def test_predictions_keep_fields_that_nobody_here_knows(project: EmbeddedProject) -> None:
    given = {"result": [], "cluster": 3, "other": 1}
    project.import_tasks([task(annotations=[{"result": []}], predictions=[given, {"result": []}])])
    known, bare = the_only(project)["predictions"]
    assert {name: known[name] for name in given} == given
    assert (bare["score"], bare["model_version"]) == (None, None)


class TestReadOnly:
    def test_finds_projects(self, engine: Engine, store: EmbeddedStore, url: str) -> None:
        created = store.create_project("Pets", "<View/>")
        other = open_database(url)
        assert EmbeddedStore(other, read_only=True).project("Pets").id == created.id
        other.dispose()

    def test_finds_none_in_an_empty_database_and_leaves_it_empty(self, engine: Engine) -> None:
        with pytest.raises(NotFound, match=r"project='Pets'.*none yet"):
            EmbeddedStore(engine, read_only=True).project("Pets")
        assert inspect(engine).get_table_names() == []

    def test_refuses_another_schema(self, engine: Engine, store: EmbeddedStore, url: str) -> None:
        with writing(engine) as connection:
            connection.execute(text("UPDATE labelsync_alembic_version SET version_num = 'newer'"))
        other = open_database(url)
        for read_only in (True, False):
            with pytest.raises(SchemaOutdated):
                EmbeddedStore(other, read_only=read_only)
        other.dispose()


class TestStatements:
    """A page of tasks costs a few statements, not some for each task."""

    @pytest.fixture
    def statements(self, engine: Engine) -> list[str]:
        executed: list[str] = []
        event.listen(engine, "before_cursor_execute", lambda *args: executed.append(args[2]))
        return executed

    def test_of_a_look_are_one_for_500_tasks(self, project: EmbeddedProject, statements: list[str]) -> None:
        ids = project.import_tasks([task(n) for n in range(1000)])
        statements.clear()
        assert len(project.look({task_id: uri(n) for n, task_id in enumerate(ids)})) == 1000
        assert len([statement for statement in statements if statement.startswith("SELECT")]) == 2

    def test_of_updates_do_not_grow_with_the_tasks(self, project: EmbeddedProject, statements: list[str]) -> None:
        predictions = [{"result": [], "model_version": "m"}]
        ids = project.import_tasks([task(n, predictions=predictions) for n in range(110)])

        def count(some: list[int]) -> int:
            statements.clear()
            new = [{"result": [{}], "model_version": "m"}]
            updates = {n: change(ids.index(n), data={}, predictions=new, annotations=[{"result": []}]) for n in some}
            assert [outcome for _, outcome in project.update_tasks(updates)] == ["updated"] * len(some)
            return len(statements)

        count(ids[105:])  # the first annotation of all needs one statement more
        assert count(ids[:100]) == count(ids[100:105])


class TestUpdates:
    def test_that_were_yielded_are_committed(self, project: EmbeddedProject) -> None:
        ids = project.import_tasks([task(n) for n in range(150)])
        outcomes = project.update_tasks({task_id: change(n, data={"n": n}) for n, task_id in enumerate(ids)})
        done = {next(outcomes)[0] for _ in range(70)}
        outcomes.close()
        changed = {found.id for found in all_of(project.tasks_after(0, with_data=True)) if "n" in found.data}
        assert done <= changed == set(ids[:100])

    def test_wait_for_somebody_who_is_annotating_and_leave_the_task_alone(
        self, project: EmbeddedProject, engine: Engine
    ) -> None:
        (task_id,) = project.import_tasks([task()])
        outcomes: list[object] = []
        thread = threading.Thread(
            target=lambda: outcomes.extend(project.update_tasks({task_id: change(data={"image": "new.jpg"})}))
        )
        stamps = {"created_at": "2021-07-06T06:06:25.927570Z", "updated_at": "2021-07-06T06:06:25.927570Z"}
        with writing(engine) as connection:
            row = {"id": 10**9, "task": task_id, "result": [], "other": {}, **stamps}  # type: ignore[var-annotated]
            connection.execute(insert(ANNOTATION).values(was_cancelled=False, ground_truth=False, **row))
            thread.start()
            thread.join(0.5)
            assert outcomes == []
        thread.join()
        assert outcomes == [(task_id, "worked_on")]


class TestFencing:
    WRITES: ClassVar = {
        "import_tasks": lambda project, task_id: project.import_tasks([task(9)]),
        "update_tasks": lambda project, task_id: list(project.update_tasks({task_id: change()})),
        "delete_tasks": lambda project, task_id: project.delete_tasks({task_id: uri(1)}),
        "fence": lambda project, task_id: project.fence(1),
    }

    @pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
    def test_refuses_a_writer_whose_number_was_overtaken(self, store: EmbeddedStore, write: Any) -> None:
        paused, successor = store.create_project("Pets", "<View/>"), store.create_project("Pets", "<View/>")
        paused.fence(1)
        (task_id,) = paused.import_tasks([task()])
        successor.fence(2)
        with pytest.raises(LeaseLost, match="another run has taken over"):
            write(paused, task_id)
        assert all_of(successor.tasks_after(0)) == [StoredTask(task_id, task().meta, {})]

    def test_lets_the_successor_write(self, store: EmbeddedStore) -> None:
        paused, successor = store.create_project("Pets", "<View/>"), store.create_project("Pets", "<View/>")
        paused.fence(1)
        successor.fence(2)
        assert len(successor.import_tasks([task()])) == 1

    def test_holds_for_one_project_only(self, store: EmbeddedStore, project: EmbeddedProject) -> None:
        store.create_project("Cars", "<View/>").fence(5)
        project.fence(1)
        assert len(project.import_tasks([task()])) == 1
