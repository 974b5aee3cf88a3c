"""Many rows are entered as they are given, whether a value is the same in all of them or not."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Boolean, Column, Dialect, Engine, Float, Integer, MetaData, Table, Text, select
from sqlalchemy.dialects import postgresql, sqlite

from labelsync_provider.database import insert_rows, open_database, upsert_rows, writing
from labelsync_provider.database.statements import ROWS_IN_A_STATEMENT, _text

pytest_plugins = ["servers.postgres"]

THINGS = Table(
    "things",
    MetaData(),
    Column("kind", Integer, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("whole", Integer),
    Column("share", Float),
    Column("yes", Boolean),
    Column("word", Text),
)
ROWS = 2 * ROWS_IN_A_STATEMENT + 3

SAME = {
    "nothing": (None, None, None, None),
    "numbers and states": (-1, 0.5, True, "live"),
    "nought": (0, 0.0, False, ""),
    "texts that a statement cannot hold": (2**31 - 1, 1.0, True, "it's 100 % (of ?) %s"),
    "another script": (1, 1.0, True, "ß"),
}


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_database(database_url)
    THINGS.metadata.create_all(engine)
    yield engine
    engine.dispose()


def entered(engine: Engine) -> dict[tuple[int, str], tuple[Any, ...]]:
    with engine.connect() as connection:
        return {(row.kind, row.name): tuple(row[2:]) for row in connection.execute(select(THINGS))}


def test_what_all_have_is_entered_like_what_one_has(engine: Engine) -> None:
    for values in SAME.values():
        expected = {(7, f"{n}"): values for n in range(ROWS)}
        expected[7, "0"] = (5, 0.25, None, "alone")
        with writing(engine) as connection:
            connection.execute(THINGS.delete())
            insert_rows(connection, THINGS, ((*key, *values) for key, values in expected.items()))
        assert entered(engine) == expected


def test_what_is_there_is_replaced(engine: Engine) -> None:
    for values in SAME.values():
        with writing(engine) as connection:
            upsert_rows(connection, THINGS, [(f"{n}", *values) for n in range(ROWS)], kind=7)
        assert entered(engine) == {(7, f"{n}"): values for n in range(ROWS)}


@pytest.mark.parametrize("dialect", [sqlite.dialect(), postgresql.dialect()], ids=["sqlite", "postgresql"])
def test_nothing_is_asked_for_in_return(dialect: Dialect) -> None:
    """Python 3.12 executes no statement with many rows that returns some; they would be read by nobody."""
    assert "RETURNING" not in _text(dialect, THINGS, True, (("kind", 7),), 1)
