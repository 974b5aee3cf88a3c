"""Task files: the content of an object, read as rows.

One JSON object, a JSON array, JSON lines, or one JSON document after another; with or without a byte order mark, packed
by gzip or not. Which of these it is, the content decides; the name says only whether it is looked at.
"""

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec

from labelsync_provider.errors import Invalid
from labelsync_provider.formats.tasks.faults import fault_of
from labelsync_provider.formats.tasks.lines import Lines
from labelsync_provider.formats.tasks.rows import FAULTS, MAX_VALUES, BadRow, Row, bound_problem, row_of, row_of_value
from labelsync_provider.formats.tasks.splitting import (
    Span,
    documents,
    elements,
    followed,
    is_open,
    is_well_formed,
    space_end,
    value_end,
)

EXTENSIONS = frozenset({"", ".json", ".jsonl", ".ndjson"})
LINES = (".jsonl", ".ndjson")
MAX_BYTES = 100 * 1024 * 1024
"""Of a file, and of what it unpacks to."""
MAX_ROWS = 10_000_000
MAX_KEYED_ROWS = 1_000_000
"""Of a file whose rows are told apart by `row_key`: their keys are held at once."""
SPLIT_AT_ONCE = 1_000_000
"""Commas up to which an array is split at once, which is ten times as fast. An element takes some 80 bytes then."""

GZIP = b"\x1f\x8b"
PACKED_TWICE = 2
"""Tools store a `.json.gz` with `Content-Encoding: gzip`, packed once more."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
OTHER_ENCODINGS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
"""By their byte order marks, the longer ones first: one begins with another."""

EMPTY = "empty: a task file holds at least one JSON object"

_elements = msgspec.json.Decoder(list[msgspec.Raw])


def name_problem(key: str) -> str | None:
    """Return why an object of this key is not a task file, if its name says so already."""
    name = key.rpartition("/")[2].lower()
    name = name.removesuffix(".gz")
    stem, dot, extension = name.rpartition(".")
    if dot and stem and f".{extension}" not in EXTENSIONS:
        return (
            "not a task file; for pictures, set use_blob_urls=True ('Import each file as one task' in the form); to "
            "leave it out, set regex_filter ('File filter')"
        )
    return None


def size_problem(size: int) -> str | None:
    """Return why an object of `size` bytes is not read."""
    return f"oversized: {size:,} bytes; a task file may have {MAX_BYTES:,}. Split it" if size > MAX_BYTES else None


def rows(key: str, content: bytes, row_key: str | None = None, first_key: str | None = None) -> Iterator[Row | BadRow]:
    """Yield the rows of a task file, one decoded at a time.

    That an array, or an object, goes on to its end is checked before the first row: of one that was cut off, nothing
    is taken. Of JSON lines, each line is by itself, or begins a document that goes on in the next ones.

    :param row_key: the field, dotted, whose value tells the rows of a file apart.
    :param first_key: the data key that `$undefined$` stands for.
    :raises Invalid: the content is no task file.
    """
    text = _text(content)
    first = text[:1]
    if first not in b"[{":
        begin = space_end(text, 0)
        first = text[begin : begin + 1]
    if not first:
        raise Invalid(EMPTY)
    if first == b"{" and (value := _only_document(text)) is not None:
        return iter((row_of_value(0, value, text, row_key, first_key),))
    found = _read(_rows_apart(key, text, first), row_key, first_key)
    return found if row_key is None else _with_keys(found, row_key)


def _only_document(text: bytes) -> Any:
    """Return the object that a text is, which it is most often; None if it is none, or a large one."""
    if len(text) > MAX_VALUES and bound_problem(text):
        return None
    try:
        return msgspec.json.decode(text)
    except FAULTS:
        return None


def _rows_apart(key: str, text: bytes, first: bytes) -> Iterable[bytes]:
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
    if key.lower().removesuffix(".gz").endswith(LINES) or _is_lines(text):
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
    rest = iter(raws)
    for position, raw in enumerate(islice(rest, MAX_ROWS)):
        row = row_of(position, raw, row_key, first_key)
        # Asked only of a bad row, and by type: good ones are not to be slower for it.
        if type(row) is BadRow and isinstance(raws, Lines) and is_open(raw) and (whole := raws.document(raw)) != raw:
            row = row_of(position, whole, row_key, first_key)
        yield row
    if next(rest, None) is not None:
        too_many = f"too many rows: a file may have {MAX_ROWS:,}, and none is read from here on. Split it"
        yield BadRow(MAX_ROWS, too_many, swallows=True)


def _with_keys(found: Iterator[Row | BadRow], row_key: str) -> Iterator[Row | BadRow]:
    """Make a bad row of each whose key an earlier one has."""
    first_with: dict[str, int] = {}
    for row in found:
        if isinstance(row, BadRow) or row.key is None:
            yield row
        elif row.key in first_with:
            where = f"row {first_with[row.key]}"
            yield BadRow(row.position, f"bad row: its {row_key!r}, {row.key!r:.80}, is that of {where} too")
        elif len(first_with) == MAX_KEYED_ROWS:
            most = f"a file may have {MAX_KEYED_ROWS:,}"
            yield BadRow(row.position, f"too many rows with a {row_key!r} (row_key): {most}. Split it")
        else:
            first_with[row.key] = row.position
            yield row


def _text(content: bytes) -> bytes:
    """Unpack a content, and take off what says how it is encoded."""
    if problem := size_problem(len(content)):
        raise Invalid(problem)
    if content.startswith(b"{"):
        return content
    for _ in range(PACKED_TWICE):
        if content.startswith(GZIP):
            content = _unpacked(content)
    content = content.removeprefix(BYTE_ORDER_MARK)
    if encoding := next((name for mark, name in OTHER_ENCODINGS.items() if content.startswith(mark)), None):
        raise Invalid(f"wrongly encoded: it is {encoding}, not UTF-8. Save it as UTF-8")
    return content


def _unpacked(content: bytes) -> bytes:
    try:
        with gzip.open(io.BytesIO(content)) as file:
            unpacked = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise Invalid(f"its gzip compression is broken: {error}") from error
    if len(unpacked) > MAX_BYTES:
        raise Invalid(f"unpacked oversized: more than {MAX_BYTES:,} bytes, which a task file may have. Split it")
    return unpacked


def _fault_of_whole(text: bytes) -> str:
    """Say what is wrong with a text that is not a row, nor several."""
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
        msgspec.json.decode(text)
    except FAULTS as error:
        return fault_of(text, error, None)
    return "not a task file"
