"""Statements on many rows at once."""

from collections.abc import Iterable
from functools import lru_cache, partial
from itertools import chain, islice
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Dialect, Table, insert, literal, literal_column
from sqlalchemy.dialects import postgresql, sqlite

UPSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
ROWS_IN_A_STATEMENT = 500
TEXTS = 64
"""Texts of statements that are kept."""

Row = tuple[Any, ...]
Constants = tuple[tuple[str, Any], ...]
"""Columns whose value stands in the text of a statement, and the values."""
T = TypeVar("T")


def insert_rows(connection: Connection, table: Table, rows: Iterable[Row]) -> None:
    """Insert many rows: the values of all columns in the table's order, JSON already encoded.

    They go to the driver as they are, hundreds in a statement: three times as fast as binding each value,
    and while the database works on them, other threads run.
    """
    _execute(connection, table, rows, (), replaces=False)


def upsert_rows(connection: Connection, table: Table, rows: Iterable[Row], **constants: int | bool) -> None:
    """Insert many rows, as `insert_rows`; where the primary key is there already, replace the other columns.

    :param constants: values of columns that are the same in all rows, which then do not hold them.
    """
    _execute(connection, table, rows, tuple(constants.items()), replaces=True)


def _execute(
    connection: Connection, table: Table, rows: Iterable[Row], constants: Constants, *, replaces: bool
) -> None:
    text = partial(_text, connection.dialect, table, replaces)
    names = _others(table, constants)
    # Values, and no list of rows: the garbage collector would look at each of them.
    values, width = list(chain.from_iterable(rows)), len(names)
    for start in range(0, len(values), ROWS_IN_A_STATEMENT * width):
        end = start + ROWS_IN_A_STATEMENT * width
        columns = {name: values[start + n : end : width] for n, name in enumerate(names)}
        if end > len(values):
            connection.exec_driver_sql(text(constants, 1), list(zip(*columns.values(), strict=True)))
            return
        # To bind a value takes SQLite longer than to store it: one that all rows have stands in the text instead.
        same = tuple((name, column[0]) for name, column in columns.items() if _is_constant(column))
        for name, _ in same:
            del columns[name]
        parameters = chain.from_iterable(zip(*columns.values(), strict=True))
        connection.exec_driver_sql(text((*constants, *same), ROWS_IN_A_STATEMENT), tuple(parameters))


def _others(table: Table, constants: Constants) -> list[str]:
    """Return the columns of a table, in its order, but for constants."""
    return [column.name for column in table.c if column.name not in dict(constants)]


def _is_constant(column: list[Any]) -> bool:
    """Tell whether a column has the same in all rows, and what may stand in a text: nothing, a number, or a word."""
    first = column[0]
    is_word = isinstance(first, str) and first.isascii() and first.isalpha()
    return (first is None or is_word or isinstance(first, int)) and column.count(first) == len(column)


@lru_cache(TEXTS)
def _text(dialect: Dialect, table: Table, replaces: bool, constants: Constants, rows: int) -> str:
    """Return a statement with a placeholder for each column of each row, in the table's order, but for constants."""
    # Inline: a key that stands in the text would be asked for by RETURNING, with which Python 3.12 executes no several.
    statement: Any = (UPSERTS[dialect.name] if replaces else insert)(table).inline()
    if constants:
        statement = statement.values({name: _in_text(dialect, value) for name, value in constants})
    if replaces:
        replaced = {column.name: statement.excluded[column.name] for column in table.c if not column.primary_key}
        keys = [column.name for column in table.primary_key]
        statement = statement.on_conflict_do_update(index_elements=keys, set_=replaced)
    one = str(statement.compile(dialect=dialect, column_keys=_others(table, constants)))
    start = one.index("VALUES (") + len("VALUES ")
    end = next(n for n in range(start, len(one)) if one[start : n + 1].count("(") == one[start : n + 1].count(")")) + 1
    return one[:start] + ", ".join([one[start:end]] * rows) + one[end:]


def _in_text(dialect: Dialect, value: Any) -> ColumnElement[Any]:
    text = literal(value).compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    return literal_column(str(text))


def chunks(values: Iterable[T], size: int) -> Iterable[list[T]]:
    """Cut `values` into lists of at most `size`, small enough for the parameters of one statement."""
    iterator = iter(values)
    while chunk := list(islice(iterator, size)):
        yield chunk
