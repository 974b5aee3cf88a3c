"""Projects without a server: tables in the `[labelsync] database`, with Label Studio's field names."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal

import msgspec
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

from labelsync_provider.database import chunks, create_tables, insert_rows, writing
from labelsync_provider.errors import LeaseLost, NotFound, invalid
from labelsync_provider.projects.label_config import data_keys, missing_key
from labelsync_provider.projects.protocol import Json, Progress, Rejected, StoredTask, Task, TaskState

PAGE = 1000
IDS_IN_A_STATEMENT = 500

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

JSON_COLUMNS = {"data", "meta", "result", "completed_by", "other"}

# What Label Studio writes of an annotation that says nothing of these.
ANNOTATION_DEFAULTS: Json = {
    "draft_created_at": None,
    "last_action": None,
    "bulk_created": False,
    "updated_by": None,
    "parent_prediction": None,
    "parent_annotation": None,
    "last_created_by": None,
    "unique_id": None,
}


class EmbeddedStore:
    """The embedded projects of one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        create_tables(engine, METADATA)

    def create_project(self, title: str, label_config: str, description: str = "") -> "EmbeddedProject":
        """Return the project of that title; create it if there is none.

        :raises Invalid: the title is empty, or the label config is no XML.
        """
        if not title.strip():
            raise invalid("title", title, "a project needs a title", "Give one.")
        data_keys(label_config)
        values = {"title": title, "label_config": label_config, "description": description, "created_at": _now()}
        try:
            with writing(self._engine) as connection:
                if not connection.scalar(select(exists().where(PROJECT.c.title == title))):
                    connection.execute(insert(PROJECT).values(values))
        except IntegrityError:
            # Somebody else created it between the look and the insert: then it is there, as asked.
            return self._one(PROJECT.c.title == title)
        return self._one(PROJECT.c.title == title)

    def project(self, id_or_title: int | str) -> "EmbeddedProject":
        """Return the project with that id, or with exactly that title.

        :raises NotFound: there is none.
        :raises Invalid: a text of digits is the id of one project and the title of another.
        """
        text = str(id_or_title)
        conditions = [PROJECT.c.id == int(text)] if text.isdecimal() and len(text) < 10 else []
        if isinstance(id_or_title, str):
            conditions.append(PROJECT.c.title == text)
        with self._engine.connect() as connection:
            found = [
                row for wanted in conditions for row in connection.execute(select(PROJECT).where(wanted)).mappings()
            ]
            titles = connection.scalars(select(PROJECT.c.title).order_by(PROJECT.c.id).limit(10)).all()
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

    def _one(self, condition: ColumnElement[bool]) -> "EmbeddedProject":
        with self._engine.connect() as connection:
            return EmbeddedProject(self._engine, connection.execute(select(PROJECT).where(condition)).mappings().one())


class EmbeddedProject:
    """One embedded project; see `Project`."""

    remote = False

    def __init__(self, engine: Engine, row: RowMapping) -> None:
        self._engine = engine
        self._token = 0
        self.id: int = row["id"]
        self.title: str = row["title"]
        self.label_config: str = row["label_config"]
        self.uri = f"embedded://projects/{self.id}"

    @cached_property
    def data_keys(self) -> list[str]:
        """The keys that the label config takes from a task's `data`, in its order."""
        return data_keys(self.label_config)

    def fence(self, token: int) -> None:
        """Write with this fencing number from now on; see `Project.fence`."""
        self._token = token
        with writing(self._engine) as connection:
            self._confirm(connection)

    def check(self, task: Task) -> str | None:
        """Return why the project would reject a task: the label config needs a key that its data lacks."""
        key = missing_key(self.data_keys, task.data)
        return key and f'"{key}" key is expected in task data by the label config of project {self.title!r}'

    def adapt(self, task: Task) -> int:
        """Return 0: anybody may have made an annotation."""
        return 0

    def last_task_id(self) -> int:
        """Return the id given out last, in whatever project."""
        with self._engine.connect() as connection:
            return connection.scalar(select(COUNTER.c.last).where(COUNTER.c.name == TASK.name)) or 0

    def import_tasks(self, tasks: Sequence[Task]) -> list[int | Rejected]:
        """Add tasks in one transaction; see `Project.import_tasks`."""
        reasons = [self.check(task) for task in tasks]
        accepted = [task for task, reason in zip(tasks, reasons, strict=True) if not reason]
        with writing(self._engine) as connection:
            inner = self._confirm(connection, new_tasks=len(accepted))
            first = _allocate(connection, TASK, len(accepted))
            now = _now()
            rows = [
                (first + n, self.id, inner + n, _encode(task.data), _encode(task.meta), now, now)
                for n, task in enumerate(accepted)
            ]
            insert_rows(connection, TASK, rows)
            for n, task in enumerate(accepted):
                if task.annotations or task.predictions:
                    _add_labels(connection, first + n, task, now)
        ids = iter(range(first, first + len(accepted)))
        return [Rejected(reason) if reason else next(ids) for reason in reasons]

    def tasks_after(self, task_id: int, *, with_data: bool = False) -> Iterator[list[StoredTask]]:
        """Yield the tasks above an id; see `Project.tasks_after`."""
        columns = [TASK.c.id, TASK.c.meta, *([TASK.c.data] if with_data else [])]
        for page in self._by_id(select(*columns).where(TASK.c.project == self.id), after=task_id):
            yield [StoredTask(row["id"], row["meta"], row.get("data", {})) for row in page]

    def annotated(self, task_ids: Sequence[int]) -> dict[int, bool]:
        """Tell, for each of the tasks that exists, whether it has an annotation."""
        found: dict[int, bool] = {}
        has_annotation = exists().where(ANNOTATION.c.task == TASK.c.id)
        with self._engine.connect() as connection:
            for some in chunks(task_ids, IDS_IN_A_STATEMENT):
                tasks = select(TASK.c.id, has_annotation).where(TASK.c.id.in_(some), TASK.c.project == self.id)
                found.update((task_id, bool(has)) for task_id, has in connection.execute(tasks))
        return found

    def update_task(self, task_id: int, task: Task) -> Literal["updated", "annotated", "gone"]:
        """Replace a task's content, predictions included; see `Project.update_task`."""
        now = _now()
        with writing(self._engine) as connection:
            self._confirm(connection)
            changed = connection.execute(
                update(TASK)
                .where(TASK.c.id == task_id, self._untouched())
                .values(data=task.data, meta=task.meta, updated_at=now)
            )
            if not changed.rowcount:
                there = connection.scalar(select(exists().where(TASK.c.id == task_id, TASK.c.project == self.id)))
                return "annotated" if there else "gone"
            connection.execute(delete(PREDICTION).where(PREDICTION.c.task == task_id))
            _add_labels(connection, task_id, task, now)
        return "updated"

    def delete_tasks(self, uris: Mapping[int, str], *, untouched: bool = False) -> set[int]:
        """Delete those of the tasks that have no annotation; return those that are there no longer."""
        left: set[int] = set()
        with writing(self._engine) as connection:
            self._confirm(connection)
            for some in chunks(list(uris), IDS_IN_A_STATEMENT):
                doomed = select(TASK.c.id).where(TASK.c.id.in_(some), self._untouched())
                connection.execute(delete(PREDICTION).where(PREDICTION.c.task.in_(doomed)))
                connection.execute(delete(TASK).where(TASK.c.id.in_(some), self._untouched()))
                left.update(connection.scalars(select(TASK.c.id).where(TASK.c.id.in_(some))))
        return set(uris) - left

    def changes(self, since: datetime | None = None) -> Iterator[list[TaskState]]:
        """Yield all tasks: whoever changes a table by SQL leaves no trace of when; see `Project.changes`."""
        annotated = exists().where(ANNOTATION.c.task == TASK.c.id).label("annotated")
        for page in self._by_id(select(TASK.c.id, annotated).where(TASK.c.project == self.id)):
            yield [TaskState(row["id"], bool(row["annotated"])) for row in page]

    def annotated_tasks(self, task_ids: Sequence[int] | None = None) -> Iterator[list[Json]]:
        """Yield the tasks that have an annotation, in Label Studio's JSON export format."""
        annotated = exists().where(ANNOTATION.c.task == TASK.c.id)
        tasks = select(TASK).where(TASK.c.project == self.id, annotated)
        for some in [None] if task_ids is None else chunks(sorted(task_ids), IDS_IN_A_STATEMENT):
            for page in self._by_id(tasks if some is None else tasks.where(TASK.c.id.in_(some))):
                ids = [row["id"] for row in page]
                annotations, predictions = self._of_tasks(ANNOTATION, ids), self._of_tasks(PREDICTION, ids)
                yield [
                    _exported_task(row, annotations.get(row["id"], []), predictions.get(row["id"], [])) for row in page
                ]

    def progress(self) -> Progress:
        """Return the counts of tasks and annotations."""
        annotations = (
            select(
                func.count(func.distinct(ANNOTATION.c.task)),
                func.count(),
                func.count().filter(ANNOTATION.c.was_cancelled),
            )
            .join(TASK, TASK.c.id == ANNOTATION.c.task)
            .where(TASK.c.project == self.id)
        )
        with self._engine.connect() as connection:
            tasks = connection.scalar(select(func.count()).where(TASK.c.project == self.id))
            annotated, count, cancelled = connection.execute(annotations).one()
        return Progress(tasks or 0, annotated, count, cancelled)

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

    def _untouched(self) -> Any:
        return (TASK.c.project == self.id) & ~exists().where(ANNOTATION.c.task == TASK.c.id)

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

    def _of_tasks(self, table: Table, task_ids: Sequence[int]) -> dict[int, list[RowMapping]]:
        found: dict[int, list[RowMapping]] = {}
        with self._engine.connect() as connection:
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


def _add_labels(connection: Connection, task_id: int, task: Task, now: str) -> None:
    for table, items in ((ANNOTATION, task.annotations), (PREDICTION, task.predictions)):
        if items:
            first = _allocate(connection, table, len(items))
            rows = [_label_row(table, item, first + n, task_id, now) for n, item in enumerate(items)]
            insert_rows(connection, table, rows)


def _label_row(table: Table, item: Json, row_id: int, task_id: int, now: str) -> tuple[Any, ...]:
    """Lay an annotation or a prediction out as a row; what has no column is kept under `other`."""
    columns = table.c.keys()
    row: Json = dict.fromkeys(columns) | {"created_at": now, "updated_at": now}
    if table is ANNOTATION:
        row |= {"was_cancelled": False, "ground_truth": False}
    fields = set(columns) - {"id", "task", "other"}
    row |= {name: item[name] for name in fields if item.get(name) is not None}
    if table is ANNOTATION and "id" in item:
        row["import_id"] = item["id"]
    own = fields | {"id", "task", "project"}
    row |= {"id": row_id, "task": task_id, "other": {name: value for name, value in item.items() if name not in own}}
    row |= {name: _encode(row[name]) for name in JSON_COLUMNS & row.keys() if row[name] is not None}
    return tuple(row[name] for name in columns)


def _exported_task(row: RowMapping, annotations: Sequence[RowMapping], predictions: Sequence[RowMapping]) -> Json:
    """Return a task as Label Studio's JSON export has it."""
    cancelled = sum(annotation["was_cancelled"] for annotation in annotations)
    return {
        **row,
        "annotations": [
            {**ANNOTATION_DEFAULTS, **_exported_label(annotation, row["project"])} for annotation in annotations
        ],
        "predictions": [_exported_label(prediction, row["project"]) for prediction in predictions],
        "drafts": [],
        "total_annotations": len(annotations) - cancelled,
        "cancelled_annotations": cancelled,
        "total_predictions": len(predictions),
        "is_labeled": len(annotations) > cancelled,
        "overlap": 1,
        "allow_skip": True,
        "precomputed_agreement": None,
        "comment_count": 0,
        "unresolved_comment_count": 0,
        "comment_authors": [],
        "last_comment_updated_at": None,
        "updated_by": [],
        "file_upload": None,
    }


def _exported_label(row: RowMapping, project: int) -> Json:
    return {**{name: value for name, value in row.items() if name != "other"}, **row["other"], "project": project}


def _encode(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
