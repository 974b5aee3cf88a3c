"""The rows of a table: of each, where it stands, and what it means."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from labelsync_provider.errors import Invalid, counted
from labelsync_provider.formats.tasks.digests import digest_of
from labelsync_provider.formats.tasks.rows import EMPTY, MAX_ROW_BYTES, UNDEFINED, BadRow, Row, key_of, named
from labelsync_provider.formats.tasks.separated.header import check_names, names_of
from labelsync_provider.formats.tasks.separated.quotes import bad_rows
from labelsync_provider.formats.tasks.separated.records import (
    Record,
    line_breaks,
    records,
    separator_of_csv,
    separator_told,
)
from labelsync_provider.formats.tasks.separated.values import values_of
from labelsync_provider.tasks import Task, shown_keys

MAX_NAMED_BYTES = 2 * 1024**3
"""Of the rows of a file, each with the names of all columns, as tasks have them: a long header makes much of little."""


def rows_of_csv(text: bytes, row_key: str | None, first_key: str | None) -> Iterator[Row | BadRow]:
    """Yield the rows of CSV: separated by commas, or by semicolons if the first line has more of them.

    :raises Invalid: the header is bad, or nothing stands below it.
    """
    return _rows(text, separator_of_csv(text), row_key, first_key)


def rows_of_tsv(text: bytes, row_key: str | None, first_key: str | None) -> Iterator[Row | BadRow]:
    """Yield the rows of TSV.

    :raises Invalid: the header is bad, or nothing stands below it.
    """
    return _rows(text, b"\t", row_key, first_key)


def _rows(text: bytes, separator: bytes, row_key: str | None, first_key: str | None) -> Iterator[Row | BadRow]:
    # The limit is the process's, and by default an eighth of a megabyte.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW_BYTES))
    told, begin = separator_told(text)
    separator = told or separator
    found = records(text, separator, begin)
    header = next(found, None)
    if header is None:
        raise Invalid(EMPTY)
    names = names_of(header.content, separator)
    check_names(names, row_key, first_key)
    table = _Table(separator, names, len(header.content), row_key, first_key)
    first = next(found, None)
    if first is None:
        raise Invalid(f"{EMPTY}, and below the header, {shown_keys(names)}, stands none")
    if table.values_unlike_header(first):
        _check_header(text, table, begin)
    return _read(text, table, chain((first,), found))


@dataclass(frozen=True, slots=True)
class _Table:
    """What the rows of a file have in common."""

    separator: bytes
    names: list[str]
    names_size: int
    """In bytes. A task has them each time."""
    row_key: str | None
    first_key: str | None

    def row(self, position: int, record: bytes) -> Row:
        """Return what a record means.

        :raises Invalid: it is no row of this file.
        """
        values = self._values(record)
        if len(values) != len(self.names):
            found, columns = counted(len(values), "value"), counted(len(self.names), "column")
            raise Invalid(
                f"bad row: it has {found}, the header has {columns}. Give each column one, in quotes if it has a "
                "separator or a line break in it"
            )
        data = dict(zip(self.names, values, strict=True))
        key = None if self.row_key is None else key_of(data.get(self.row_key), self.row_key, self.names)
        task = Task(named(data, self.first_key) if UNDEFINED in data else data)
        return Row(position, task, digest_of(task), key, self.names_size + len(record))

    def values_unlike_header(self, record: Record) -> list[str] | None:
        """Return the values of a record, if it has another number of them than the header."""
        try:
            values = self._values(record.content)
        except Invalid:
            return None
        return values if len(values) != len(self.names) else None

    def _values(self, record: bytes) -> list[str]:
        return values_of(record, self.separator, self.names_size)


def _read(text: bytes, table: _Table, found: Iterator[Record]) -> Iterator[Row | BadRow]:
    line, told, position, named_bytes = 1, 0, 0, 0
    for begin, record in found:
        if table.row_key is not None:
            line, told = line + line_breaks(text, told, begin), begin
        try:
            row = table.row(position, record)
        except Invalid as error:
            line, told = line + line_breaks(text, told, begin), begin
            for bad in bad_rows(position, line, record, table.separator, error):
                yield bad
                position += 1
            continue
        named_bytes += row.size
        if named_bytes > MAX_NAMED_BYTES:
            yield BadRow(position, _too_much(table), swallows=True)
            return
        if table.row_key is not None:
            row.line = line
        yield row
        position += 1


def _too_much(table: _Table) -> str:
    return (
        f"too many rows with a header of {table.names_size:,} bytes, which is in each task: a file may come to "
        f"{MAX_NAMED_BYTES:,}, and none is read from here on. Split it, or shorten the names"
    )


def _check_header(text: bytes, table: _Table, begin: int) -> None:
    """Make sure that some row has as many values as the header, if there are several.

    :param begin: where the header begins.
    :raises Invalid: none has.
    """
    below = records(text, table.separator, begin)
    next(below)
    first, count = next(below), 1
    for record in below:
        if not table.values_unlike_header(record):
            return
        count += 1
    if count > 1:
        line, values = 1 + line_breaks(text, 0, first.begin), table.values_unlike_header(first) or []
        raise Invalid(
            f"bad header: it has {counted(len(table.names), 'column')}, {shown_keys(table.names)}, and none of the "
            f"{count:,} rows has as many values; that in line {line} has {len(values):,}. Take out what stands above "
            "the header, give each column a name, and write values that have a separator in them in quotes"
        )
