"""Candidates: tasks of the project that others made, and that a row of a task file may stand for."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from sqlalchemy import BigInteger, Column, Index, MetaData, Table, Text, delete, select, text

from labelsync_provider.database import chunks, insert_rows, open_scratch, writing
from labelsync_provider.formats.tasks.digests import of_data_alone
from labelsync_provider.sync.ledger.records import KnownRow, RowState
from labelsync_provider.sync.ledger.scope import IN_A_STATEMENT

METADATA = MetaData()
CANDIDATE = Table(
    "candidate",
    METADATA,
    Column("task", BigInteger, primary_key=True),
    Column("path", Text, index=True),
    Column("digest", Text, nullable=False),
    Index("candidate_digest", "digest", "path", "task"),
)
OLDEST = text(
    """
    SELECT task, digest FROM json_each(:digests) AS wanted JOIN candidate ON task IN
        (SELECT task FROM candidate WHERE digest = wanted.value AND path IS NULL ORDER BY task LIMIT :most)
    """
)
"""Of each digest the oldest tasks, so that a thousand files with the same row do not each look at all tasks of it."""


class Candidates:
    """Tasks that others made, in a file of their own until the run ends: there may be as many as the project has."""

    def __init__(self) -> None:
        self._engine = open_scratch()
        METADATA.create_all(self._engine)

    def add(self, tasks: Sequence[tuple[int, str | None, str]]) -> None:
        """Add tasks: id, the path of the object if that is known, and the digest of the data."""
        with writing(self._engine) as connection:
            insert_rows(connection, CANDIDATE, tasks)

    def of_object(self, path: str) -> list[KnownRow]:
        """Return, by id, those that Label Studio's own sync made from an object, as rows without a number."""
        of_path = select(CANDIDATE.c.task, CANDIDATE.c.digest).where(CANDIDATE.c.path == path)
        with self._engine.connect() as connection:
            return [_row(path, *one) for one in connection.execute(of_path.order_by(CANDIDATE.c.task))]

    def with_data(self, path: str, wanted: Mapping[str, int]) -> list[KnownRow]:
        """Return, by id, those with certain data of which nothing tells the object, as rows of this one.

        :param wanted: by digest of the data, how many: the oldest are returned, and perhaps some more.
        """
        found: list[KnownRow] = []
        with self._engine.connect() as connection:
            # What is wanted equally often, together.
            for some in chunks(sorted(wanted, key=wanted.__getitem__), IN_A_STATEMENT):
                asked = {"digests": msgspec.json.encode(some).decode(), "most": wanted[some[-1]]}
                found += [_row(path, *one) for one in connection.execute(OLDEST, asked)]
        return sorted(found, key=lambda row: row.task or 0)

    def take(self, tasks: Iterable[int]) -> None:
        """Take tasks out: a row stands for each."""
        with writing(self._engine) as connection:
            for some in chunks(tasks, IN_A_STATEMENT):
                connection.execute(delete(CANDIDATE).where(CANDIDATE.c.task.in_(some)))


def _row(path: str, task: int, digest: str) -> KnownRow:
    return KnownRow(path, 0, RowState.LIVE, None, task, of_data_alone(digest), None)
