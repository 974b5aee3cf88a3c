"""Quotes: what becomes of a record that one out of place has made of several lines, which may be rows of their own."""

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from labelsync_provider.errors import Invalid
from labelsync_provider.formats.tasks.rows import BadRow
from labelsync_provider.formats.tasks.separated.records import QUOTED, line_breaks
from labelsync_provider.formats.tasks.separated.values import CLOSE_IT, UNCLOSED

_is_closed = re.compile(QUOTED + b'"').match
_filled_lines = re.compile(rb"[^\r\n]+").finditer


class _Misplaced(NamedTuple):
    """A quote that is not closed, or closed where its value does not end, so that a record has lines of other rows."""

    begin: int
    """Where the value begins, in the record."""
    is_closed: bool


def bad_rows(position: int, line: int, record: bytes, separator: bytes, error: Invalid) -> Iterator[BadRow]:
    """Yield a bad row for a record that is none; and, if a quote has made it of several lines, one for each of these.

    :param position: of the first.
    :param line: where the record begins.
    """
    several = b"\n" in record or b"\r" in record
    quote = _misplaced_quote(record, separator) if several else None
    if quote is None:
        # Of several lines, a quote that is missing or too much may have made one row.
        yield BadRow(position, f"line {line}: {error}", swallows=several)
        return
    line += line_breaks(record, 0, quote.begin)
    yield BadRow(position, f"line {line}: {_said_of(quote, record)}", swallows=True)
    for further, n in enumerate(_lines_behind(record, quote.begin, separator), position + 1):
        yield BadRow(further, f"line {line + n}: a part of the malformed row that begins in line {line}")


def _said_of(quote: _Misplaced, record: bytes) -> str:
    count = line_breaks(record, quote.begin, len(record)) + 1
    if not quote.is_closed:
        return f"{UNCLOSED} of {count:,} lines. {CLOSE_IT}"
    return (
        f"malformed: a quote is opened, and closed where no value ends, so that {count:,} lines are one row. {CLOSE_IT}"
    )


def _misplaced_quote(record: bytes, separator: bytes) -> _Misplaced | None:
    """Return the first quote of a record of several lines that says wrongly where its value ends."""
    good = _well_quoted(separator).match(record)
    begin = good.end() if good else 0
    if begin == len(record):
        return None
    return _Misplaced(begin, _is_closed(record, begin) is not None)


def _lines_behind(record: bytes, begin: int, separator: bytes) -> Iterator[int]:
    """Yield the lines of a record that may be rows, those of its first line that begin behind a place in it.

    Each is given by the number of line breaks before it, counted from that place.
    """
    breaks, counted = 0, begin
    for line in _filled_lines(record, begin):
        breaks, counted = breaks + line_breaks(record, counted, line.start()), line.start()
        if breaks and line[0].strip(b" " + separator):
            yield breaks


@cache
def _well_quoted(separator: bytes) -> re.Pattern[bytes]:
    separator = re.escape(separator)
    value = b"(?:" + QUOTED + b'"(?=' + separator + rb'|\Z)|(?!")[^' + separator + b"]*+)"
    return re.compile(b"(?:" + value + separator + b")*+(?:" + value + rb"\Z)?+")
