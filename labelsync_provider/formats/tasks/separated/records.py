"""Records: what rows are read from. Where each ends is found out here, and what separates its values."""

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

# Possessive, as all expressions here: each byte is looked at once.
_first_line = re.compile(rb"[ \r\n]*+([^\r\n]*+)").match
_separator_line = re.compile(rb'[ \r\n]*+"?sep=([\t!#-/:-@\[-`{-~])"?(?:\r\n?|\n|\Z)', re.IGNORECASE).match
"""`sep=;` above the header, by which Excel is told the separator."""
QUOTED = rb'"[^"]*+(?:""[^"]*+)*+'
"""A quoted value but for the quote that closes it."""


class Record(NamedTuple):
    """What a row is read from, without the line break at its end."""

    begin: int
    """Where it begins in the text."""
    content: bytes


def separator_of_csv(text: bytes) -> bytes:
    """Return what separates the values: a semicolon if the first line has more of them, else a comma."""
    first = _first_line(text)
    line = first[1] if first else b""
    return b";" if line.count(b";") > line.count(b",") else b","


def separator_told(text: bytes) -> tuple[bytes | None, int]:
    """Return the separator that a line above the header tells, if there is one; and where the rest begins."""
    told = _separator_line(text)
    return (told[1], told.end()) if told else (None, 0)


def records(text: bytes, separator: bytes, begin: int) -> Iterator[Record]:
    """Yield the records; those that are blank, or have nothing but separators, are left out."""
    nothing = b" \r\n" + separator
    for found in _record(separator).finditer(text, begin):
        record = found[0].rstrip(b"\r\n")
        if record.lstrip(nothing):
            yield Record(found.start(), record)


def line_breaks(text: bytes, begin: int, end: int) -> int:
    """Return how many line breaks stand between two places."""
    return text.count(b"\n", begin, end) + text.count(b"\r", begin, end) - text.count(b"\r\n", begin, end)


@cache
def _record(separator: bytes) -> re.Pattern[bytes]:
    # A quote that is not closed goes on to the end.
    separator = re.escape(separator)
    value = b"(?:" + QUOTED + rb'"?+)?+[^' + separator + rb"\r\n]*+"
    return re.compile(value + b"(?:" + separator + value + rb")*+(?:\r\n?|\n|\Z)")
