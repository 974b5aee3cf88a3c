"""A project of the embedded store: tables in the `[labelsync] database`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import count, repeat

from sqlalchemy import Connection, Engine, RowMapping, func, select

from labelsync_provider.database import chunks, insert_rows, writing
from labelsync_provider.errors import LeaseLost
from labelsync_provider.projects.checks import Checked, accepted_and_rejected
from labelsync_provider.projects.embedded import changes
from labelsync_provider.projects.embedded.rows import all_encoded, exported_task
from labelsync_provider.projects.embedded.statements import (
    CONFIRMED,
    IDS_IN_A_STATEMENT,
    LAST,
    add_labels,
    allocate,
    by_id,
    labels_of,
    this_instant,
    with_few_labels,
)
from labelsync_provider.projects.embedded.tables import ANNOTATED, ANNOTATION, DONE, PREDICTION, TASK
from labelsync_provider.projects.predictions import write_out_predictions
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
    UpdateOutcome,
)

EMBEDDED_STORE = "embedded:/"
"""What the `uri` of each project begins with, where the store is in the `[labelsync] database`."""
UPDATES_IN_A_TRANSACTION = 100
"""Number of tasks whose data is in memory at once."""


class EmbeddedProject(Checked):
    """One embedded project; see `Project`."""

    def __init__(self, engine: Engine, row: RowMapping, store: str) -> None:
        self._engine = engine
        self._token = 0
        self.id: int = row["id"]
        self.title: str = row["title"]
        self.label_config: str = row["label_config"]
        self.uri = f"{store}/projects/{self.id}"
        self.url = ""
        self.created_at: str = row["created_at"]

    def fence(self, token: int) -> None:
        """Write with this fencing number from now on, which each transaction confirms; see `Fencing.fence`."""
        self._token = token
        with writing(self._engine) as connection:
            self._confirm(connection)

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
        return accepted_and_rejected(tasks, self.check, self._add)

    def _add(self, tasks: Sequence[Task]) -> range:
        """Add tasks; return their ids."""
        with writing(self._engine) as connection:
            inner = self._confirm(connection, new_tasks=len(tasks))
            first = allocate(connection, TASK, len(tasks))
            ids, inner_ids, now = range(first, first + len(tasks)), count(inner), repeat(this_instant())
            data, meta = all_encoded([task.data for task in tasks]), all_encoded([task.meta for task in tasks])
            skip = [task.allow_skip for task in tasks]
            insert_rows(
                connection, TASK, zip(ids, repeat(self.id), inner_ids, data, meta, skip, now, now, strict=False)
            )
            labeled = [(n, task) for n, task in enumerate(tasks) if task.annotations or task.predictions]
            for table, labels in ((ANNOTATION, "annotations"), (PREDICTION, "predictions")):
                given = [(first + n, label) for n, task in labeled for label in getattr(task, labels)]
                add_labels(connection, table, given, next(now))
        return ids

    def tasks_after(self, task_id: int, *, with_data: bool = False) -> Iterator[list[StoredTask]]:
        """Yield the tasks above an id; see `Project.tasks_after`."""
        columns = [TASK.c.id, TASK.c.meta, *([TASK.c.data] if with_data else [])]
        for page in by_id(self._engine, select(*columns).where(TASK.c.project == self.id), after=task_id):
            yield [StoredTask(row["id"], row["meta"], row.get("data", {})) for row in page]

    def look(self, uris: Mapping[int, str], digests: Mapping[int, str] | None = None) -> dict[int, TaskLook]:
        """Look at tasks; see `Project.look`."""
        with self._engine.connect() as connection:
            return changes.look(connection, self.id, uris, digests or {})

    def update_tasks(self, updates: Mapping[int, TaskUpdate]) -> Iterator[tuple[int, UpdateOutcome | Rejected]]:
        """Update tasks, many in one transaction; see `Project.update_tasks`."""
        for some in chunks(updates, UPDATES_IN_A_TRANSACTION):
            with writing(self._engine) as connection:
                self._confirm(connection)
                outcomes = changes.update_tasks(connection, self.id, {task_id: updates[task_id] for task_id in some})
            yield from outcomes.items()

    def delete_tasks(self, uris: Mapping[int, str], *, untouched: bool = False) -> set[int]:
        """Delete those of the tasks that have no annotation; return those that are there no longer."""
        with writing(self._engine) as connection:
            self._confirm(connection)
            return changes.delete_tasks(connection, self.id, uris)

    def changes(
        self, since: datetime | None = None, *, after: int = 0, last: int | None = None
    ) -> Iterator[list[TaskState]]:
        """Yield all tasks: whoever changes a table by SQL leaves no trace of when; see `Annotated.changes`."""
        tasks = select(TASK.c.id, ANNOTATED.label("annotated")).where(TASK.c.project == self.id)
        for page in by_id(self._engine, tasks if last is None else tasks.where(TASK.c.id <= last), after):
            yield [TaskState(row["id"], bool(row["annotated"])) for row in page]

    def latest_change(self) -> datetime | None:
        """Return None: nothing tells; see `Annotated.latest_change`."""
        return None

    def annotated_tasks(self, task_ids: Sequence[int] | None = None) -> Iterator[list[Json]]:
        """Yield the tasks that have an annotation, in Label Studio's JSON export format."""
        tasks = select(TASK).where(TASK.c.project == self.id, ANNOTATED)
        for some in [None] if task_ids is None else chunks(sorted(task_ids), IDS_IN_A_STATEMENT):
            for page in by_id(self._engine, tasks if some is None else tasks.where(TASK.c.id.in_(some))):
                with self._engine.connect() as connection:
                    parts = list(with_few_labels(connection, page))
                yield from map(self._exported, parts)

    def _exported(self, page: Sequence[Json]) -> list[Json]:
        ids = [row["id"] for row in page]
        with self._engine.connect() as connection:
            annotations = labels_of(connection, ANNOTATION, ids)
            predictions = labels_of(connection, PREDICTION, ids)
        return [exported_task(row, annotations.get(row["id"], []), predictions.get(row["id"], [])) for row in page]

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
        pages = by_id(self._engine, select(TASK.c.id).where(TASK.c.project == self.id, DONE))
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
