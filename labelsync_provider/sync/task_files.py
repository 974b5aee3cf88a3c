"""Task files: the content of an object, read as tasks.

One JSON object, a JSON array, or JSON lines; with or without a byte order mark; gzip by suffix. Which of
the three it is, the content decides. A row is `{"data": {...}, "meta"?, "annotations"?, "predictions"?}`
or, when it has none of these keys, the data itself.
"""

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from labelsync_provider.errors import Invalid
from labelsync_provider.projects.protocol import Json, Task

EXTENSIONS = frozenset({"", ".json", ".jsonl", ".ndjson"})
LINES = (".jsonl", ".ndjson")
MAX_BYTES = 100 * 1024 * 1024
MAX_DEPTH = 100
"""Levels of nesting in a row: below what any JSON library on the way refuses."""

WRAPPER_KEYS = frozenset({"data", "meta", "annotations", "predictions"})
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
OTHER_ENCODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}

OPTIONAL_TYPES: dict[str, tuple[type, ...]] = {
    "id": (int,),
    "was_cancelled": (bool,),
    "ground_truth": (bool,),
    "lead_time": (int, float),
    "score": (int, float),
    "model_version": (str,),
    "created_at": (str,),
    "updated_at": (str,),
    "unique_id": (str,),
    "import_id": (int,),
}

DATA_HASH_BYTES = 12
"""Length of what decides whether two tasks have the same data: of ten million rows, two are confused once in 10^15."""
HASH_BYTES = 8

EMPTY = "empty: a task file holds at least one JSON object"
TRUNCATED = "it ends too early, or holds half of a surrogate pair"
TOO_DEEP = f"too deeply nested: more than {MAX_DEPTH} levels"

Buffer = bytes | msgspec.Raw


class Row(msgspec.Struct, gc=False):
    """A task, and where in its file it stands."""

    position: int
    """Counted from 0."""
    task: Task
    digest: str
    """Of the content, however it is formatted; see `digest_of`."""
    key: str | None
    """The value of `row_key`, if one is asked for."""
    size: int
    """In bytes, as in the file."""


class BadRow(msgspec.Struct, gc=False):
    """A row that is no task."""

    position: int
    reason: str


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


def rows(key: str, content: bytes, row_key: str | None = None) -> Iterator[Row | BadRow]:
    """Yield the rows of a task file. The file as a whole is checked before the first one.

    :param row_key: the field, dotted, whose value tells the rows of a file apart.
    :raises Invalid: the content is no task file.
    """
    text = _text(key, content)
    first = text.lstrip()[:1]
    lines = key.lower().removesuffix(".gz").endswith(LINES)
    if first == b"[":
        if not (elements := _elements(text)):
            raise Invalid(EMPTY)
        return _each(elements, row_key)
    if first != b"{" and not (first and lines):
        raise Invalid(f"not a task file: it begins with {first!r}, not with a JSON object or array" if first else EMPTY)
    try:
        value = _decoded(text)
    except Invalid:
        if not (lines or _is_lines(text)):
            raise
        return _each((line for line in io.BytesIO(text) if line.strip()), row_key)
    return iter([_row(0, value, text, row_key)])


def digest_of(task: Task) -> str:
    """Return a text that is equal for equal content.

    Its parts, joined by points: the data; `meta` and predictions; annotations; `allow_skip`. What is empty has an empty
    part, and is left out at the end.
    """
    if not (task.meta or task.predictions or task.annotations) and task.allow_skip is None:
        return _hash(task.data, DATA_HASH_BYTES)
    labels = [task.meta, task.predictions] if task.meta or task.predictions else None
    skip = "" if task.allow_skip is None else str(int(task.allow_skip))
    parts = (_hash(task.data, DATA_HASH_BYTES), _hash(labels), _hash(task.annotations or None), skip)
    return ".".join(parts).rstrip(".")


def data_part(digest: str) -> str:
    """Return the part of a digest that is equal for equal data."""
    return digest[: 2 * DATA_HASH_BYTES]


def without_skip(digest: str) -> str:
    """Return a digest without the part of `allow_skip`."""
    return ".".join(digest.split(".")[:3]).rstrip(".")


def with_skip_of(digest: str, other: str) -> str:
    """Return a digest with the part of `allow_skip` that another one has."""
    return _with_part(digest, other, 3)


def with_annotations_of(digest: str, other: str) -> str:
    """Return a digest with the part of the annotations that another one has."""
    return _with_part(digest, other, 2)


def _with_part(digest: str, other: str, n: int) -> str:
    parts, others = ((text.split(".") + [""] * 3)[:4] for text in (digest, other))
    return ".".join([*parts[:n], others[n], *parts[n + 1 :]]).rstrip(".")


def _hash(value: Any, size: int = HASH_BYTES) -> str:
    if value is None:
        return ""
    return blake2b(msgspec.json.encode(value, order="sorted"), digest_size=size).hexdigest()


def _text(key: str, content: bytes) -> bytes:
    if problem := size_problem(len(content)):
        raise Invalid(problem)
    if key.lower().endswith(".gz"):
        try:
            with gzip.open(io.BytesIO(content)) as file:
                content = file.read(MAX_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise Invalid(f"its gzip compression is broken: {error}") from error
        if problem := size_problem(len(content)):
            raise Invalid(f"unpacked {problem}")
    content = content.removeprefix(BYTE_ORDER_MARK)
    if encoding := OTHER_ENCODINGS.get(content[:2]):
        raise Invalid(f"wrongly encoded: it is {encoding}, not UTF-8")
    if not content.isascii():
        try:
            content.decode()
        except UnicodeDecodeError as error:
            raise Invalid(
                f"wrongly encoded: not UTF-8, byte {error.object[error.start]:#04x} at {error.start}"
            ) from error
    return content


def _decoded(raw: Buffer) -> Any:
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        raise _malformed(error) from error
    except RecursionError as error:
        raise Invalid(TOO_DEEP) from error


def _elements(text: bytes) -> list[msgspec.Raw]:
    """Split an array, checked to its end; its elements stay bytes, so that a large one is not unfolded at once."""
    try:
        return msgspec.json.decode(text, type=list[msgspec.Raw])
    except msgspec.DecodeError as error:
        raise _malformed(error) from error
    except RecursionError as error:
        raise Invalid(TOO_DEEP) from error


def _malformed(error: msgspec.DecodeError) -> Invalid:
    what = str(error).removeprefix("JSON is malformed: ")
    return Invalid(f"malformed JSON: {TRUNCATED if what == 'Input data was truncated' else what}")


def _is_lines(text: bytes) -> bool:
    """Tell whether a text that is not one object is several, a line each: then only a bad line is bad."""
    lines = (line for line in io.BytesIO(text) if line.strip())
    first, second = next(lines, b""), next(lines, b"")
    try:
        return bool(second) and isinstance(_decoded(first), dict)
    except Invalid:
        return False


def _each(raws: Iterable[Buffer], row_key: str | None) -> Iterator[Row | BadRow]:
    first_with: dict[str, int] = {}
    for position, raw in enumerate(raws):
        try:
            value = _decoded(raw)
        except Invalid as error:
            yield BadRow(position, str(error))
            continue
        row = _row(position, value, bytes(raw), row_key)
        if isinstance(row, Row) and row.key is not None:
            first = first_with.setdefault(row.key, position)
            if first != position:
                row = BadRow(position, f"bad row: its {row_key!r}, {row.key!r:.80}, is that of row {first} too")
        yield row


def _row(position: int, value: Any, raw: bytes, row_key: str | None) -> Row | BadRow:
    try:
        task = _task(value)
        key = None if row_key is None else _key(value, row_key)
        digest = digest_of(task)
    except Invalid as error:
        return BadRow(position, str(error))
    except RecursionError:
        return BadRow(position, TOO_DEEP)
    # A row of few brackets cannot be deep; counting them is fast, following them is not.
    if (
        raw.count(b"{") + raw.count(b"[") > MAX_DEPTH
        and _depth([task.data, task.meta, task.annotations, task.predictions]) > MAX_DEPTH + 1
    ):
        return BadRow(position, TOO_DEEP)
    return Row(position, task, digest, key, len(raw))


def _key(value: Json, row_key: str) -> str:
    """Return what stands in the field that tells the rows of a file apart."""
    found: Any = value
    for name in row_key.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    if not isinstance(found, str | int) or isinstance(found, bool) or found == "" or not _storable(found):
        raise Invalid(f"bad row: its {row_key!r} (row_key) must be a text or a whole number, it is {_kind(found)}")
    return str(found)


def _task(value: Any) -> Task:
    if not isinstance(value, dict):
        raise Invalid(f"not a task: a row is a JSON object, this is {_kind(value)}")
    if value.keys().isdisjoint(WRAPPER_KEYS):
        return Task(value)
    data, meta, allow_skip = value.get("data"), value.get("meta"), value.get("allow_skip")
    if not isinstance(data, dict):
        raise Invalid(f"bad row: `data` must be an object, it is {_kind(data)}")
    if meta is not None and not isinstance(meta, dict):
        raise Invalid(f"bad row: `meta` must be an object, it is {_kind(meta)}")
    if allow_skip is not None and not isinstance(allow_skip, bool):
        raise Invalid(f"bad row: `allow_skip` must be true or false, it is {_kind(allow_skip)}")
    annotations = _labels(value, "annotations")
    # Label Studio's own export gives predictions by id where it was not asked for more: nothing to import.
    predictions = _labels(value, "predictions", ids_allowed=True)
    # What an earlier import noted there is no part of the content: this import notes its own.
    meta = {name: kept for name, kept in meta.items() if name != "labelsync"} if meta else {}
    return Task(data, meta, annotations, predictions, allow_skip)


def _labels(value: Json, name: str, *, ids_allowed: bool = False) -> Sequence[Json]:
    items = value.get(name)
    if items is None:
        return ()
    if not isinstance(items, list):
        raise Invalid(f"bad row: `{name}` must be an array, it is {_kind(items)}")
    if ids_allowed:
        items = [item for item in items if not isinstance(item, int)] or ()
    for n, item in enumerate(items):
        if not isinstance(item, dict) or not isinstance(item.get("result"), list):
            raise Invalid(f"bad row: `{name}[{n}]` must be an object with a `result` array")
        for field, types in OPTIONAL_TYPES.items():
            given = item.get(field)
            if given is not None and (type(given) not in types or not _storable(given)):
                raise Invalid(f"bad row: `{name}[{n}].{field}` is {_kind(given)}, {given!r:.80}")
    return items


def _storable(value: bool | int | float | str) -> bool:
    """Tell whether every database can hold a value in a column of its type."""
    return "\0" not in value if isinstance(value, str) else abs(value) < 2**63


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a text", bool: "a boolean", type(None): "missing or null"}
    return names.get(type(value), "a number")


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [below for item in level if isinstance(item, dict | list) for below in _items(item)]
    return depth


def _items(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value
