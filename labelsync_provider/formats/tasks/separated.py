"""CSV and TSV: a header, then a row a line. A column is a data key, and every value is a text.

Values are quoted as RFC 4180 says, by which one may hold line breaks; what stands behind a closing quote is malformed.
Where a row ends is found out here, so that it is read by itself: whatever is wrong with one costs that one.

Label Studio's import (`data_import/models.py`, 1.23.2) reads these files by pandas. Its rule for the separator of CSV
is taken. What it guesses is not: that `007` and `1e5` are numbers, and `NA` and `null` an empty text; names for columns
that have none, or one that another has; values that are missing at the end of a row.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from labelsync_provider.errors import Invalid
from labelsync_provider.formats.tasks.digests import digest_of
from labelsync_provider.formats.tasks.rows import (
    EMPTY,
    MAX_ROW_BYTES,
    MAX_VALUES,
    UNDEFINED,
    BadRow,
    Row,
    key_of,
    named,
    oversized,
)
from labelsync_provider.tasks import Task

_first_line = re.compile(rb"[ \r\n]*+([^\r\n]*+)").match
UNCLOSED = (
    "malformed: a quote is opened and not closed, and all behind it is one value. Close it; or, if it is a part of the "
    "value, write it twice, and the value in quotes"
)
_quoted = re.compile(rb'"[^"]*+"')


def _record(separator: bytes) -> re.Pattern[bytes]:
    # Possessive: each byte is looked at once. A quote that is not closed goes on to the end.
    value = rb'(?:"[^"]*+(?:""[^"]*+)*+"?+)?+[^,\r\n]*+'.replace(b",", separator)
    return re.compile(value + b"(?:" + separator + value + rb")*+(?:\r\n?|\n|\Z)")


_records = {separator: _record(separator).finditer for separator in (b",", b";", b"\t")}


def rows_of_csv(text: bytes, row_key: str | None, first_key: str | None) -> Iterator[Row | BadRow]:
    """Yield the rows of CSV: separated by commas, or by semicolons if the first line has more of them.

    :raises Invalid: the header is bad, or nothing stands below it.
    """
    first = _first_line(text)
    line = first[1] if first else b""
    return _rows(text, b";" if line.count(b";") > line.count(b",") else b",", row_key, first_key)


def rows_of_tsv(text: bytes, row_key: str | None, first_key: str | None) -> Iterator[Row | BadRow]:
    """Yield the rows of TSV.

    :raises Invalid: the header is bad, or nothing stands below it.
    """
    return _rows(text, b"\t", row_key, first_key)


def _rows(text: bytes, separator: bytes, row_key: str | None, first_key: str | None) -> Iterator[Row | BadRow]:
    # The limit is the process's, and by default an eighth of a megabyte.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW_BYTES))
    records = _apart(text, separator)
    header, first = next(records, None), next(records, None)
    if header is None:
        raise Invalid(EMPTY)
    table = _Table(separator, _names(header[1], separator), len(header[1]), row_key, first_key)
    if first is None:
        raise Invalid(EMPTY)
    return _read(text, table, chain((first,), records))


def _apart(text: bytes, separator: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield where each record begins, and the record; those that are blank are left out."""
    for found in _records[separator](text):
        record = found[0].rstrip(b"\r\n")
        if record.strip(b" "):
            yield found.start(), record


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
        values = _values(record, self.separator, self.names_size)
        if len(values) != len(self.names):
            raise Invalid(
                f"bad row: it has {_counted(values, 'value')}, the header has {_counted(self.names, 'column')}. Give "
                "each column one, in quotes if it has a separator or a line break in it"
            )
        data = dict(zip(self.names, values, strict=True))
        key = None if self.row_key is None else key_of(data.get(self.row_key), self.row_key)
        task = Task(named(data, self.first_key) if UNDEFINED in data else data)
        return Row(position, task, digest_of(task), key, self.names_size + len(record))


def _read(text: bytes, table: _Table, records: Iterator[tuple[int, bytes]]) -> Iterator[Row | BadRow]:
    line, counted = 1, 0
    for position, (begin, record) in enumerate(records):
        try:
            row: Row | BadRow = table.row(position, record)
        except Invalid as error:
            line, counted = line + _line_breaks(text, counted, begin), begin
            # Of several lines, a quote that is missing or too much may have made one row.
            several = b"\n" in record or b"\r" in record
            row = BadRow(position, f"line {line}: {error}", swallows=several)
        yield row


def _names(header: bytes, separator: bytes) -> list[str]:
    """Return the names of the columns.

    :raises Invalid: the header is malformed, or does not name each.
    """
    try:
        names = _values(header, separator)
    except Invalid as error:
        raise Invalid(f"bad header: {error}") from None
    if nameless := [n for n, name in enumerate(names, 1) if not name.strip()]:
        remedy = "Give it one, or take it out; pandas writes one unless it is told index=False"
        raise Invalid(f"bad header: column {nameless[0]} of {len(names)} has no name. {remedy}")
    doubled, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise Invalid(f"bad header: {times} columns are called {doubled!r:.80}. Give each a name of its own")
    return names


def _values(record: bytes, separator: bytes, beside: int = 0) -> list[str]:
    """Return the values of a record.

    :param beside: how many bytes stand for the row elsewhere.
    :raises Invalid: it is malformed, too large, or has too many.
    """
    if (size := beside + len(record)) > MAX_ROW_BYTES:
        raise Invalid(oversized(size))
    if b"\0" in record:
        raise Invalid("a NUL character is in it: it is no text, or not UTF-8. Save the file as UTF-8")
    if len(record) >= MAX_VALUES and (count := _quoted.sub(b"", record).count(separator) + 1) > MAX_VALUES:
        raise Invalid(f"oversized row: {count:,} values; a row may have {MAX_VALUES:,}. Make several of it")
    try:
        return next(csv.reader((record.decode(),), delimiter=separator.decode(), strict=True))
    except UnicodeDecodeError as error:
        byte = f"byte {record[error.start]:#04x}"
        raise Invalid(f"wrongly encoded: not UTF-8, {byte}. Save the file as UTF-8") from None
    except csv.Error as error:
        is_unclosed = str(error) == "unexpected end of data"
        raise Invalid(UNCLOSED if is_unclosed else f"malformed: {error}. Write a quote in a value twice") from None


def _counted(items: list[str], what: str) -> str:
    return f"{len(items):,} {what}{'' if len(items) == 1 else 's'}"


def _line_breaks(text: bytes, begin: int, end: int) -> int:
    return text.count(b"\n", begin, end) + text.count(b"\r", begin, end) - text.count(b"\r\n", begin, end)
