"""Documents: the rows of a text in JSON.

One JSON object, a JSON array, JSON lines, or one JSON document after another. Which of these it is, the content
decides, for names do not tell: there are arrays in `.jsonl`, and lines in `.json`. So they are read in one place.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec

from labelsync_provider.errors import Invalid
from labelsync_provider.formats.tasks.json_text.faults import fault_of
from labelsync_provider.formats.tasks.json_text.lines import Lines
from labelsync_provider.formats.tasks.json_text.rows import FAULTS, bound_problem, row_of, row_of_value
from labelsync_provider.formats.tasks.json_text.splitting import (
    Span,
    documents,
    elements,
    followed,
    is_open,
    is_well_formed,
    space_end,
    value_end,
)
from labelsync_provider.formats.tasks.rows import EMPTY, MAX_VALUES, BadRow, Row

SPLIT_AT_ONCE = 1_000_000
"""Commas up to which an array is split at once, which is ten times as fast. An element takes some 80 bytes then."""

_elements = msgspec.json.Decoder(list[msgspec.Raw])


def rows(text: bytes, row_key: str | None, first_key: str | None) -> Iterator[Row | BadRow]:
    """Yield the rows of a text in JSON, however it is written.

    That an array, or an object, goes on to its end is checked before the first row: of one that was cut off, nothing
    is taken. Of JSON lines, each line is by itself, or begins a document that goes on in the next ones.

    :raises Invalid: the text is no task file.
    """
    return _rows(text, row_key, first_key, named_lines=False)


def rows_of_lines(text: bytes, row_key: str | None, first_key: str | None) -> Iterator[Row | BadRow]:
    """Yield the rows of a text that is named JSON lines, and so may begin with a bad one; else as `rows` does.

    :raises Invalid: the text is no task file.
    """
    return _rows(text, row_key, first_key, named_lines=True)


def _rows(text: bytes, row_key: str | None, first_key: str | None, *, named_lines: bool) -> Iterator[Row | BadRow]:
    first = text[:1]
    if first not in b"[{":
        begin = space_end(text, 0)
        first = text[begin : begin + 1]
    if not first:
        raise Invalid(EMPTY)
    if first == b"{" and (value := _only_document(text)) is not None:
        return iter((row_of_value(0, value, text, row_key, first_key),))
    return _read(_rows_apart(text, first, named_lines=named_lines), row_key, first_key)


def _only_document(text: bytes) -> Any:
    """Return the object that a text is, which it is most often; None if it is none, or a large one."""
    if len(text) > MAX_VALUES and bound_problem(text):
        return None
    try:
        return msgspec.json.decode(text)
    except FAULTS:
        return None


def _rows_apart(text: bytes, first: bytes, *, named_lines: bool) -> Iterable[bytes]:
    """Return the rows of a text, of which none is decoded yet."""
    if first == b"[":
        if text.count(b",") < SPLIT_AT_ONCE and (raws := _split_at_once(text)) is not None:
            if not raws:
                raise Invalid(EMPTY)
            return map(bytes, raws)
        if is_well_formed(text) or followed(elements(text)):
            if next(elements(text), None) is None:
                raise Invalid(EMPTY)
            return _cut(text, elements(text))
        if is_open(next(iter(Lines(text)))) and value_end(text, space_end(text, 0)) is None:
            # An array over several lines that does not end as it should. What stands in its lines are no rows.
            raise Invalid(_fault_of_whole(text))
    if named_lines or _is_lines(text):
        return Lines(text)
    count = followed(documents(text))
    if count > 1:
        return _cut(text, documents(text))
    if first in b"{[":
        if count and bound_problem(text):
            return iter((text.strip(),))
        raise Invalid(_fault_of_whole(text))
    if first.isascii():
        raise Invalid(f"not a task file: it begins with {first!r}, not with a JSON object or array")
    raise Invalid(_fault_of_whole(text))


def _split_at_once(text: bytes) -> list[msgspec.Raw] | None:
    try:
        return _elements.decode(text)
    except FAULTS:
        return None


def _is_lines(text: bytes) -> bool:
    """Tell whether the first of several lines is a JSON value, or several, by itself."""
    both = list(islice(Lines(text), 2))
    return len(both) > 1 and followed(documents(both[0])) > 0


def _cut(text: bytes, spans: Iterable[Span]) -> Iterator[bytes]:
    for begin, end in spans:
        yield text[begin:end].strip()


def _read(raws: Iterable[bytes], row_key: str | None, first_key: str | None) -> Iterator[Row | BadRow]:
    position = 0
    for raw in raws:
        row = row_of(position, raw, row_key, first_key)
        # Asked only of a bad row, and by type: good ones are not to be slower for it.
        if type(row) is BadRow and isinstance(raws, Lines) and is_open(raw):
            for whole in raws.documents(raw):
                yield row if whole == raw else row_of(position, whole, row_key, first_key)
                position += 1
            continue
        yield row
        position += 1


def _fault_of_whole(text: bytes) -> str:
    """Say what is wrong with a text that is not a row, nor several."""
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
        msgspec.json.decode(text)
    except FAULTS as error:
        return fault_of(text, error, None)
    return "not a task file"
