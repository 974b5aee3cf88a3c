"""Candidates: tasks of the project that others made, and that a row of a task file may stand for."""

from collections.abc import Iterable, Sequence

from sqlalchemy import BigInteger, Column, Index, MetaData, Table, Text, delete, func, select

from labelsync_provider.database import chunks, insert_rows, open_scratch, writing
from labelsync_provider.formats.digests import of_data_alone
from labelsync_provider.sync.ledger.records import KnownRow, RowState
from labelsync_provider.sync.ledger.scope import IN_A_STATEMENT

METADATA = MetaData()
CANDIDATE = Table(
    "candidate",
    METADATA,
    Column("task", BigInteger, primary_key=True),
    Column("path", Text, index=True),
    Column("digest", Text, nullable=False),
    Index("candidate_digest", "digest", "task"),
)


class Candidates:
    """Such tasks, in a file of their own until the run ends: there may be as many as the project has."""

    def __init__(self) -> None:
        self._engine = open_scratch()
        METADATA.create_all(self._engine)

    def add(self, tasks: Sequence[tuple[int, str | None, str]]) -> None:
        """Add tasks: id, the path of the object if that is known, and the digest of the data."""
        with writing(self._engine) as connection:
            insert_rows(connection, CANDIDATE, tasks)

    def count(self) -> int:
        """Return how many there are."""
        with self._engine.connect() as connection:
            return connection.scalar(select(func.count()).select_from(CANDIDATE)) or 0

    def of_object(self, path: str) -> list[KnownRow]:
        """Return, by id, those that Label Studio's own sync made from an object, as rows without a number."""
        of_path = select(CANDIDATE.c.task, CANDIDATE.c.digest).where(CANDIDATE.c.path == path)
        with self._engine.connect() as connection:
            return [_row(path, *one) for one in connection.execute(of_path.order_by(CANDIDATE.c.task))]

    def with_data(self, path: str, digests: Iterable[str]) -> list[KnownRow]:
        """Return, by id, those with certain data of which nothing tells the object, as rows of this one."""
        found: list[KnownRow] = []
        with self._engine.connect() as connection:
            for some in chunks(digests, IN_A_STATEMENT):
                equal = CANDIDATE.c.path.is_(None) & CANDIDATE.c.digest.in_(some)
                rows = connection.execute(select(CANDIDATE.c.task, CANDIDATE.c.digest).where(equal))
                found += [_row(path, *one) for one in rows]
        return sorted(found, key=lambda row: row.task or 0)

    def take(self, tasks: Iterable[int]) -> None:
        """Take tasks out: a row stands for each."""
        with writing(self._engine) as connection:
            for some in chunks(tasks, IN_A_STATEMENT):
                connection.execute(delete(CANDIDATE).where(CANDIDATE.c.task.in_(some)))


def _row(path: str, task: int, digest: str) -> KnownRow:
    return KnownRow(path, 0, RowState.LIVE, None, task, of_data_alone(digest), None)
