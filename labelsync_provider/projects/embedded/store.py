"""Projects without a server: tables in the `[labelsync] database`, with Label Studio's field names."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    RowMapping,
    Select,
    Table,
    Text,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from labelsync_provider.database import chunks, insert_rows, writing
from labelsync_provider.database.schema import check_schema, ensure_schema
from labelsync_provider.errors import LeaseLost, NotFound, invalid
from labelsync_provider.projects.embedded.rows import (
    encoded,
    exported_label,
    exported_task,
    label_row,
    prediction_content,
)
from labelsync_provider.projects.label_config import Control, DataKey, controls, data_keys, data_problem
from labelsync_provider.projects.naming import is_id, title_of
from labelsync_provider.projects.predictions import labels_problem, write_out_predictions
from labelsync_provider.projects.protocol import (
    Json,
    Labeling,
    Progress,
    Rejected,
    StoredTask,
    Task,
    TaskLook,
    TaskState,
    TaskUpdate,
)
from labelsync_provider.projects.task_content import (
    UpdateOutcome,
    effect_of,
    held_back,
    planned,
    prediction_changes,
    tasks_made_from,
)

EMBEDDED_STORE = "embedded:/"
"""What the `uri` of each project of the store begins with."""
PAGE = 1000
IDS_IN_A_STATEMENT = 500
UPDATES_IN_A_TRANSACTION = 100
"""Number of tasks whose data is in memory at once."""

METADATA = MetaData()

PROJECT = Table(
    "labelsync_project",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("title", Text, nullable=False, unique=True),
    Column("description", Text, nullable=False),
    Column("label_config", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("tasks_ever", Integer, nullable=False, default=0),
    Column("fencing_token", BigInteger, nullable=False, default=0),
)
# Ids come from here and are never used again, so that a task above an id is a younger one on any database.
COUNTER = Table(
    "labelsync_counter",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("last", BigInteger, nullable=False),
)
TASK = Table(
    "labelsync_task",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("project", ForeignKey(PROJECT.c.id), nullable=False),
    Column("inner_id", Integer, nullable=False),
    Column("data", JSON, nullable=False),
    Column("meta", JSON, nullable=False),
    Column("allow_skip", Boolean),
    Column("created_at", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    Index("labelsync_task_of_project", "project", "id"),
)
ANNOTATION = Table(
    "labelsync_annotation",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("task", ForeignKey(TASK.c.id), nullable=False, index=True),
    Column("result", JSON, nullable=False),
    Column("completed_by", JSON),
    Column("was_cancelled", Boolean, nullable=False),
    Column("ground_truth", Boolean, nullable=False),
    Column("lead_time", Float),
    Column("import_id", BigInteger),
    Column("created_at", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    Column("other", JSON, nullable=False),
)
PREDICTION = Table(
    "labelsync_prediction",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("task", ForeignKey(TASK.c.id), nullable=False, index=True),
    Column("result", JSON, nullable=False),
    Column("score", Float),
    Column("model_version", Text),
    Column("created_at", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    Column("other", JSON, nullable=False),
)
# What every batch does, built once.
LAST = select(COUNTER.c.last).where(COUNTER.c.name == bindparam("table"))
TAKEN = (
    update(COUNTER)
    .where(COUNTER.c.name == bindparam("table"))
    .values(last=COUNTER.c.last + bindparam("ids"))
    .returning(COUNTER.c.last)
)
CONFIRMED = (
    update(PROJECT)
    .where(PROJECT.c.id == bindparam("project"), PROJECT.c.fencing_token <= bindparam("token"))
    .values(fencing_token=bindparam("token"), tasks_ever=PROJECT.c.tasks_ever + bindparam("new_tasks"))
    .returning(PROJECT.c.tasks_ever)
)

ANNOTATED = exists().where(ANNOTATION.c.task == TASK.c.id)
DONE = exists().where(ANNOTATION.c.task == TASK.c.id, ~ANNOTATION.c.was_cancelled)
"""An annotation that was cancelled is a task that was skipped."""


class EmbeddedStore:
    """The embedded projects of one database."""

    def __init__(self, engine: Engine, *, read_only: bool = False) -> None:
        """Open the store.

        :param read_only: leave the schema of the database as it is. Where there are no tables yet, no project is found,
            and none can be created.
        :raises SchemaOutdated: the schema is older and `read_only`, or newer than this package.
        :raises Unavailable: the schema cannot be brought to the newest now.
        """
        self._engine = engine
        self._has_tables = True
        if read_only:
            self._has_tables = check_schema(engine)
        else:
            ensure_schema(engine)

    def create_project(
        self, title: int | str, label_config: str, description: str = "", confirm: Callable[[], None] | None = None
    ) -> "EmbeddedProject":
        """Return the project of that title; create it if there is none.

        :param confirm: called before something is changed; what it raises ends this.
        :raises Invalid: the title is empty, or the label config is no XML.
        """
        title = title_of(title)
        self.check_title(title)
        data_keys(label_config)
        if confirm:
            confirm()
        values = {"title": title, "label_config": label_config, "description": description, "created_at": _now()}
        try:
            with writing(self._engine) as connection:
                if not connection.scalar(select(exists().where(PROJECT.c.title == title))):
                    connection.execute(insert(PROJECT).values(values))
        except IntegrityError:
            # Somebody else created it between the look and the insert: then it is there, as asked.
            return self._one(PROJECT.c.title == title)
        return self._one(PROJECT.c.title == title)

    def check_title(self, title: int | str) -> None:
        """Make sure that a project can have a title.

        :raises Invalid: it is empty.
        """
        if not title_of(title):
            raise invalid("title", title, "a project needs a title", "Give one.")

    def titled(self, title: int | str) -> "EmbeddedProject | None":
        """Return the project with exactly that title, whatever the ids; None if there is none."""
        found = self._look_for([PROJECT.c.title == title_of(title)])[0] if self._has_tables else []
        return EmbeddedProject(self._engine, found[0]) if found else None

    def project(self, id_or_title: int | str) -> "EmbeddedProject":
        """Return the project with that id, or with exactly that title; a number is the id, where there is one.

        :raises NotFound: there is none.
        :raises Invalid: a text of digits is the id of one project and the title of another.
        """
        text = title_of(id_or_title, "project")
        conditions = [PROJECT.c.id == int(text)] if is_id(text) and len(text) < 10 else []
        conditions.append(PROJECT.c.title == text)
        found, titles = self._look_for(conditions) if self._has_tables else ([], [])
        if isinstance(id_or_title, int):
            found = found[:1]
        projects = {row["id"]: row for row in found}
        if not projects:
            known = ", ".join(map(repr, titles)) or "none yet"
            raise NotFound(
                f"project={id_or_title!r}: there is no embedded project with this id or title. Create it with "
                f"CreateProjectOperator, or use one of those there are: {known}."
            )
        if len(projects) > 1:
            remedy = "Give the id as a number, or rename the project with that title."
            raise invalid("project", id_or_title, "it is the id of one project and the title of another", remedy)
        (row,) = projects.values()
        return EmbeddedProject(self._engine, row)

    def _look_for(self, conditions: Sequence[ColumnElement[bool]]) -> tuple[list[RowMapping], Sequence[str]]:
        """Return the projects that meet one of the conditions, and the titles of some that there are."""
        with self._engine.connect() as connection:
            found = [
                row for wanted in conditions for row in connection.execute(select(PROJECT).where(wanted)).mappings()
            ]
            titles = connection.scalars(select(PROJECT.c.title).order_by(PROJECT.c.id).limit(10)).all()
        return found, titles

    def _one(self, condition: ColumnElement[bool]) -> "EmbeddedProject":
        with self._engine.connect() as connection:
            return EmbeddedProject(self._engine, connection.execute(select(PROJECT).where(condition)).mappings().one())


class EmbeddedProject:
    """One embedded project; see `Project`."""

    def __init__(self, engine: Engine, row: RowMapping) -> None:
        self._engine = engine
        self._token = 0
        self.id: int = row["id"]
        self.title: str = row["title"]
        self.label_config: str = row["label_config"]
        self.uri = f"{EMBEDDED_STORE}/projects/{self.id}"
        self.url = ""
        self.created_at: str = row["created_at"]

    @cached_property
    def data_keys(self) -> dict[str, DataKey]:
        """See `Project.data_keys`."""
        return data_keys(self.label_config)

    @cached_property
    def controls(self) -> list[Control]:
        """The control tags of the label config."""
        return controls(self.label_config)

    def fence(self, token: int) -> None:
        """Write with this fencing number from now on, which each transaction confirms; see `Fencing.fence`."""
        self._token = token
        with writing(self._engine) as connection:
            self._confirm(connection)

    def check(self, task: Task) -> str | None:
        """Return why the project would reject a task: it has not what the label config shows, or takes as a label."""
        problem = data_problem(self.data_keys, task.data, self.title)
        return problem or labels_problem(self.controls, task, self.title)

    def adapt(self, task: Task) -> int:
        """Write out the predictions; return 0: anybody may have made an annotation."""
        write_out_predictions(self.controls, task)
        return 0

    def last_task_id(self) -> int:
        """Return the id given out last, in whatever project."""
        with self._engine.connect() as connection:
            return connection.scalar(LAST, {"table": TASK.name}) or 0

    def count_all(self) -> int:
        """Return how many tasks there are."""
        with self._engine.connect() as connection:
            return connection.scalar(select(func.count()).where(TASK.c.project == self.id)) or 0

    def import_tasks(self, tasks: Sequence[Task]) -> list[int | Rejected]:
        """Add tasks in one transaction; see `Project.import_tasks`."""
        keys, title = self.data_keys, self.title
        reasons = [data_problem(keys, task.data, title) for task in tasks]
        accepted = [task for task, reason in zip(tasks, reasons, strict=True) if not reason]
        with writing(self._engine) as connection:
            inner = self._confirm(connection, new_tasks=len(accepted))
            first = _allocate(connection, TASK, len(accepted))
            now = _now()
            rows = (
                (first + n, self.id, inner + n, encoded(task.data), encoded(task.meta), task.allow_skip, now, now)
                for n, task in enumerate(accepted)
            )
            insert_rows(connection, TASK, rows)
            labeled = [(n, task) for n, task in enumerate(accepted) if task.annotations or task.predictions]
            for table, labels in ((ANNOTATION, "annotations"), (PREDICTION, "predictions")):
                given = [(first + n, label) for n, task in labeled for label in getattr(task, labels)]
                _add_labels(connection, table, given, now)
        ids = iter(range(first, first + len(accepted)))
        return [Rejected(reason) if reason else next(ids) for reason in reasons]

    def tasks_after(self, task_id: int, *, with_data: bool = False) -> Iterator[list[StoredTask]]:
        """Yield the tasks above an id; see `Project.tasks_after`."""
        columns = [TASK.c.id, TASK.c.meta, *([TASK.c.data] if with_data else [])]
        for page in self._by_id(select(*columns).where(TASK.c.project == self.id), after=task_id):
            yield [StoredTask(row["id"], row["meta"], row.get("data", {})) for row in page]

    def look(self, uris: Mapping[int, str], digests: Mapping[int, str] | None = None) -> dict[int, TaskLook]:
        """Look at tasks; see `Project.look`. Of an annotation nobody can tell whether it came with its task."""
        looks: dict[int, TaskLook] = {}
        with self._engine.connect() as connection:
            for some in chunks(uris, IDS_IN_A_STATEMENT):
                asked = {task_id: uris[task_id] for task_id in some}
                for task_id, (row, of_others) in self._made_from(connection, asked, digests or {}).items():
                    worked_on, meta = bool(row["annotated"]), row["meta"]
                    as_imported = not worked_on and row["created_at"] == row["updated_at"]
                    looks[task_id] = TaskLook(worked_on, as_imported, effect_of(meta), held_back(meta), of_others)
        return looks

    def update_tasks(self, updates: Mapping[int, TaskUpdate]) -> Iterator[tuple[int, UpdateOutcome | Rejected]]:
        """Update tasks, many in one transaction; see `Project.update_tasks`."""
        for some in chunks(updates, UPDATES_IN_A_TRANSACTION):
            with writing(self._engine) as connection:
                self._confirm(connection)
                self._hold(connection, some)
                outcomes = self._update(connection, {task_id: updates[task_id] for task_id in some})
            yield from outcomes.items()

    def _update(self, connection: Connection, updates: Mapping[int, TaskUpdate]) -> dict[int, UpdateOutcome]:
        outcomes: dict[int, UpdateOutcome] = dict.fromkeys(updates, "gone")
        uris = {task_id: update.uri for task_id, update in updates.items()}
        digests = {task_id: update.data_digest for task_id, update in updates.items() if update.data_digest}
        there = {task_id: row for task_id, (row, _) in self._made_from(connection, uris, digests).items()}
        merged = _data_of(connection, [task_id for task_id in there if updates[task_id].merge_data])
        predictions = _of_tasks(connection, PREDICTION, [task_id for task_id in there if updates[task_id].predictions])
        new_meta: list[Json] = []
        new_data: list[Json] = []
        new_annotations: list[tuple[int, Json]] = []
        new_predictions: list[tuple[int, Json]] = []
        removed: list[int] = []
        for task_id, row in there.items():
            wanted = updates[task_id]
            change = planned(wanted, merged.get(task_id, {}), row["meta"], worked_on=bool(row["annotated"]))
            outcomes[task_id] = change.outcome if change else "worked_on"
            # What was begun is done: it was one transaction.
            if change is None or change.begun:
                continue
            new_meta.append({"task": task_id, "new_meta": change.meta})
            if change.data is not None:
                new_data.append({"task": task_id, "new_data": change.data})
            if change.adds_annotations:
                new_annotations += [(task_id, annotation) for annotation in wanted.annotations]
            labels = [exported_label(prediction, self.id) for prediction in predictions.get(task_id, [])]
            gone, added = prediction_changes(labels, wanted.predictions, prediction_content)
            removed += [prediction["id"] for prediction in gone]
            new_predictions += [(task_id, prediction) for prediction in added]
        now = _now()
        one = update(TASK).where(TASK.c.id == bindparam("task"))
        if new_meta:
            connection.execute(one.values(meta=bindparam("new_meta"), updated_at=now), new_meta)
        if new_data:
            connection.execute(one.values(data=bindparam("new_data")), new_data)
        for some in chunks(removed, IDS_IN_A_STATEMENT):
            connection.execute(delete(PREDICTION).where(PREDICTION.c.id.in_(some)))
        _add_labels(connection, PREDICTION, new_predictions, now)
        _add_labels(connection, ANNOTATION, new_annotations, now)
        return outcomes

    def delete_tasks(self, uris: Mapping[int, str], *, untouched: bool = False) -> set[int]:
        """Delete those of the tasks that have no annotation; return those that are there no longer."""
        left: set[int] = set()
        with writing(self._engine) as connection:
            self._confirm(connection)
            for some in chunks(uris, IDS_IN_A_STATEMENT):
                self._hold(connection, some)
                there = self._made_from(connection, {task_id: uris[task_id] for task_id in some}, {})
                free = [task_id for task_id, (row, of_others) in there.items() if not (row["annotated"] or of_others)]
                connection.execute(delete(PREDICTION).where(PREDICTION.c.task.in_(free)))
                connection.execute(delete(TASK).where(TASK.c.id.in_(free)))
                left.update(there.keys() - set(free))
        return set(uris) - left

    def changes(
        self, since: datetime | None = None, *, after: int = 0, last: int | None = None
    ) -> Iterator[list[TaskState]]:
        """Yield all tasks: whoever changes a table by SQL leaves no trace of when; see `Annotated.changes`."""
        tasks = select(TASK.c.id, ANNOTATED.label("annotated")).where(TASK.c.project == self.id)
        for page in self._by_id(tasks if last is None else tasks.where(TASK.c.id <= last), after):
            yield [TaskState(row["id"], bool(row["annotated"])) for row in page]

    def latest_change(self) -> datetime | None:
        """Return None: nothing tells; see `Annotated.latest_change`."""
        return None

    def annotated_tasks(self, task_ids: Sequence[int] | None = None) -> Iterator[list[Json]]:
        """Yield the tasks that have an annotation, in Label Studio's JSON export format."""
        tasks = select(TASK).where(TASK.c.project == self.id, ANNOTATED)
        for some in [None] if task_ids is None else chunks(sorted(task_ids), IDS_IN_A_STATEMENT):
            for page in self._by_id(tasks if some is None else tasks.where(TASK.c.id.in_(some))):
                ids = [row["id"] for row in page]
                with self._engine.connect() as connection:
                    annotations = _of_tasks(connection, ANNOTATION, ids)
                    predictions = _of_tasks(connection, PREDICTION, ids)
                yield [
                    exported_task(row, annotations.get(row["id"], []), predictions.get(row["id"], [])) for row in page
                ]

    def progress(self) -> Progress:
        """Return the counts of tasks and annotations."""
        annotations = (
            select(
                func.count(func.distinct(ANNOTATION.c.task)),
                func.count(func.distinct(ANNOTATION.c.task)).filter(~ANNOTATION.c.was_cancelled),
                func.count(),
                func.count().filter(ANNOTATION.c.was_cancelled),
            )
            .join(TASK, TASK.c.id == ANNOTATION.c.task)
            .where(TASK.c.project == self.id)
        )
        with self._engine.connect() as connection:
            tasks = connection.scalar(select(func.count()).where(TASK.c.project == self.id))
            annotated, done, count, cancelled = connection.execute(annotations).one()
        return Progress(tasks or 0, annotated, count, cancelled, annotated - done)

    def count_tasks(self, after: int, last: int | None, *, cancelled: bool) -> int:
        """Return how many tasks have an annotation; see `Annotated.count_tasks`."""
        having = ANNOTATED if cancelled else DONE
        tasks = select(func.count()).where(TASK.c.project == self.id, TASK.c.id > after, having)
        with self._engine.connect() as connection:
            return connection.scalar(tasks if last is None else tasks.where(TASK.c.id <= last)) or 0

    def labeling(self) -> Labeling:
        """Return how far annotators are; see `Watchable.labeling`."""
        done = func.count().filter(DONE)
        with self._engine.connect() as connection:
            tasks, annotated = connection.execute(select(func.count(), done).where(TASK.c.project == self.id)).one()
        return Labeling(tasks, annotated)

    def count_annotated(self, since: datetime | None, exported: Callable[[Sequence[int]], set[int]]) -> int:
        """Return how many annotated tasks were not exported: nothing tells when one has changed.

        See `Watchable.count_annotated`.
        """
        pages = self._by_id(select(TASK.c.id).where(TASK.c.project == self.id, DONE))
        ids = ([row["id"] for row in page] for page in pages)
        return sum(len(some) - len(exported(some)) for some in ids)

    def _confirm(self, connection: Connection, new_tasks: int = 0) -> int:
        """Hold the project to this writer until the transaction ends; return the first new `inner_id`."""
        values = {"project": self.id, "token": self._token, "new_tasks": new_tasks}
        tasks_ever = connection.scalar(CONFIRMED, values)
        if tasks_ever is None:
            raise LeaseLost(
                f"Project {self.title!r}: another run has taken over since this one (fencing number {self._token}) "
                "got its lease; nothing was written."
            )
        return int(tasks_ever) - new_tasks + 1

    def _hold(self, connection: Connection, task_ids: Sequence[int]) -> None:
        """Keep others from annotating tasks until the transaction ends."""
        # SQLite has one writer anyway. PostgreSQL locks a task's row for whoever annotates it.
        tasks = select(TASK.c.id).where(TASK.c.id.in_(task_ids), TASK.c.project == self.id)
        if connection.dialect.name == "postgresql":
            connection.execute(tasks.with_for_update())

    def _made_from(
        self, connection: Connection, uris: Mapping[int, str], digests: Mapping[int, str]
    ) -> dict[int, tuple[RowMapping, bool]]:
        """Return those tasks that are there and were made from the objects named, and `TaskLook.of_others` of each."""
        columns = (TASK.c.id, TASK.c.meta, TASK.c.created_at, TASK.c.updated_at, ANNOTATED.label("annotated"))
        tasks = select(*columns).where(TASK.c.id.in_(list(uris)), TASK.c.project == self.id)
        there = {row["id"]: row for row in connection.execute(tasks).mappings()}
        metas = {task_id: row["meta"] for task_id, row in there.items()}

        def read(task_ids: Sequence[int]) -> dict[int, StoredTask]:
            return {task_id: StoredTask(task_id, {}, data) for task_id, data in _data_of(connection, task_ids).items()}

        mine = tasks_made_from(uris, digests, metas, read)
        return {task_id: (there[task_id], of_others) for task_id, of_others in mine.items()}

    def _by_id(self, tasks: Select[Any], after: int = 0) -> Iterator[Sequence[RowMapping]]:
        statement = tasks.where(TASK.c.id > bindparam("after")).order_by(TASK.c.id).limit(PAGE)
        while True:
            with self._engine.connect() as connection:
                page = connection.execute(statement, {"after": after}).mappings().all()
            if page:
                yield page
                after = page[-1]["id"]
            if len(page) < PAGE:
                return


def _data_of(connection: Connection, task_ids: Sequence[int]) -> dict[int, Json]:
    tasks = select(TASK.c.id, TASK.c.data).where(TASK.c.id.in_(task_ids))
    return {row.id: row.data for row in connection.execute(tasks)} if task_ids else {}


def _of_tasks(connection: Connection, table: Table, task_ids: Sequence[int]) -> dict[int, list[RowMapping]]:
    """Return the annotations or predictions of tasks, by task, the oldest first."""
    found: dict[int, list[RowMapping]] = {}
    for some in chunks(task_ids, IDS_IN_A_STATEMENT):
        rows = connection.execute(select(table).where(table.c.task.in_(some)).order_by(table.c.id))
        for row in rows.mappings():
            found.setdefault(row["task"], []).append(row)
    return found


def _allocate(connection: Connection, table: Table, count: int) -> int:
    """Take `count` ids for a table; return the first."""
    last = connection.scalar(TAKEN, {"table": table.name, "ids": count})
    if last is None:
        connection.execute(insert(COUNTER).values(name=table.name, last=count))
        last = count
    return int(last) - count + 1


def _add_labels(connection: Connection, table: Table, items: Sequence[tuple[int, Json]], now: str) -> None:
    """Add annotations or predictions, each with the id of its task."""
    if items:
        first = _allocate(connection, table, len(items))
        rows = [label_row(table, item, first + n, task_id, now) for n, (task_id, item) in enumerate(items)]
        insert_rows(connection, table, rows)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
