"""What is read from the tables of the embedded store and written to them, page by page and batch by batch."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, CursorResult, Engine, Select, Table, bindparam, func, insert, select, update

from labelsync_provider.database import chunks, insert_rows
from labelsync_provider.projects.embedded.rows import label_row
from labelsync_provider.projects.embedded.tables import ANNOTATION, COUNTER, PREDICTION, PROJECT, TASK
from labelsync_provider.projects.protocol import Json

PAGE = 1000
IDS_IN_A_STATEMENT = 500
LABELS_AT_ONCE = 10_000
"""Annotations and predictions that are written or read at once: a task may have hundreds of thousands."""

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


def by_id(engine: Engine, tasks: Select[Any], after: int = 0) -> Iterator[list[Json]]:
    """Yield what a statement selects of tasks, in pages of bounded length, by ascending id."""
    statement = tasks.where(TASK.c.id > bindparam("after")).order_by(TASK.c.id).limit(PAGE)
    while True:
        with engine.connect() as connection:
            page = _fetched(connection.execute(statement, {"after": after}))
        if page:
            yield page
            after = page[-1]["id"]
        if len(page) < PAGE:
            return


def data_of(connection: Connection, task_ids: Sequence[int]) -> dict[int, Json]:
    """Return the data of tasks, by task."""
    tasks = select(TASK.c.id, TASK.c.data).where(TASK.c.id.in_(task_ids))
    return {row.id: row.data for row in connection.execute(tasks)} if task_ids else {}


def labels_of(connection: Connection, table: Table, task_ids: Sequence[int]) -> dict[int, list[Json]]:
    """Return the annotations or predictions of tasks, by task, the oldest first."""
    found: dict[int, list[Json]] = {}
    for some in chunks(task_ids, IDS_IN_A_STATEMENT):
        for row in _fetched(connection.execute(select(table).where(table.c.task.in_(some)).order_by(table.c.id))):
            found.setdefault(row["task"], []).append(row)
    return found


def with_few_labels(connection: Connection, page: Sequence[Json]) -> Iterator[list[Json]]:
    """Cut a page of tasks into lists that have few annotations and predictions, or are one task."""
    counts = Counter[int]()
    for table in (ANNOTATION, PREDICTION):
        for some in chunks([task["id"] for task in page], IDS_IN_A_STATEMENT):
            counted = select(table.c.task, func.count()).where(table.c.task.in_(some)).group_by(table.c.task)
            for task, count in connection.execute(counted):
                counts[task] += count
    part, labels = list[Json](), 0
    for task in page:
        if part and labels + counts[task["id"]] > LABELS_AT_ONCE:
            yield part
            part, labels = [], 0
        part.append(task)
        labels += counts[task["id"]]
    if part:
        yield part


def allocate(connection: Connection, table: Table, count: int) -> int:
    """Take `count` ids for a table; return the first."""
    last = connection.scalar(TAKEN, {"table": table.name, "ids": count})
    if last is None:
        connection.execute(insert(COUNTER).values(name=table.name, last=count))
        last = count
    return int(last) - count + 1


def add_labels(connection: Connection, table: Table, items: Sequence[tuple[int, Json]], now: str) -> None:
    """Add annotations or predictions, each with the id of its task."""
    if items:
        first = allocate(connection, table, len(items))
        rows = (label_row(table, item, first + n, task_id, now) for n, (task_id, item) in enumerate(items))
        for some in chunks(rows, LABELS_AT_ONCE):
            insert_rows(connection, table, some)


def _fetched(result: CursorResult[Any]) -> list[Json]:
    """Return rows as dictionaries; SQLAlchemy's mappings look up each value by its column."""
    names = list(result.keys())
    return [dict(zip(names, row, strict=True)) for row in result.all()]


def this_instant() -> str:
    """Return the time as Label Studio writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
