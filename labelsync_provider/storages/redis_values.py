"""Values of Redis: what is asked of one before it is read, how it is read, and what it is then.

Strings are task files, and hashes are the data of a task. Of neither more is read than it may have.
"""

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from labelsync_provider.errors import Denied

READ_AT_ONCE_BYTES = 16 * 1024 * 1024
ASKED_AT_ONCE = 500
"""Fields of a hash that are asked for their lengths together."""
LARGEST = 100 * 1024 * 1024
"""Values above it are listed and not read; in bytes."""
LARGEST_HASH = 64 * 1024 * 1024
"""The same of a hash, in bytes of the server's memory, which are up to four times those of its fields and values."""

UNREADABLE = "unreadable"
READABLE = ("string", "hash", UNREADABLE)
"""Of one whose type may not be asked, the attempt to read it says why."""
HASH_NOT_UTF8 = "a field or value of the hash is not UTF-8"
MOST_FIELDS = 1_000_000
"""Of a hash whose memory may not be asked for, so that its fields are; it is not read if it has more."""
SIZE_NOT_TOLD = (
    "the user of the connection may not ask how large the hash is. Allow MEMORY USAGE, or HLEN, HKEYS and HSTRLEN"
)


Ask = Callable[[Sequence[tuple[Any, ...]]], Sequence[Any]]
"""Returns the answers to commands of one key each; an error that is about the key is one, too."""


class Value(NamedTuple):
    """What stands under a key."""

    content: bytes | None
    """A hash as the task that it is, in JSON. None if it is not, or not yet, to be read."""
    size: int
    version: str
    problem: str | None


class Told(NamedTuple):
    """What a server says of a key, before its value is read."""

    key: str
    kind: str
    size: int | None
    """In bytes; None if it may not be asked."""

    def is_too_large(self, most: int) -> bool:
        """Tell whether it is not to be read, if it may have so many bytes."""
        return (self.size or 0) > (LARGEST_HASH if self.kind == "hash" else most)

    def is_readable(self, most: int) -> bool:
        """Tell whether it is to be read, if it may have so many bytes. A hash is read whole: its size must be known."""
        return self.kind in READABLE and not self.is_too_large(most) and (self.kind != "hash" or self.size is not None)

    def limit(self, most: int, *, alone: bool) -> int:
        """Return how many bytes of a string are read: of many at once, no more than it was told to have."""
        return most if alone or self.size is None else self.size

    @property
    def room(self) -> int:
        """The bytes that its answer is expected to have. What may not be asked for its size is read by itself."""
        if self.kind not in READABLE:
            return 0
        return READ_AT_ONCE_BYTES if self.size is None else self.size


def values_of(ask: Ask, keys: Sequence[str], most: int) -> Iterator[tuple[str, Value]]:
    """Yield what stands under keys; those that are gone, or expired, are left out.

    :param ask: sends commands together.
    :param most: bytes of one, above which it is not read.
    """
    types = ask([("type", key) for key in keys])
    kinds = [kind.decode() if isinstance(kind, bytes) else UNREADABLE for kind in types]
    sizes = ask([sizing(key, kind) for key, kind in zip(keys, kinds, strict=True)])
    sized = [
        size if isinstance(size, int) else bytes_of_hash(ask, key) if kind == "hash" else None
        for key, kind, size in zip(keys, kinds, sizes, strict=True)
    ]
    for some in together([*map(Told, keys, kinds, sized)]):
        limits = {each: each.limit(most, alone=len(some) == 1) for each in some}
        wanted = [each for each in some if each.is_readable(most)]
        read = ask([reading(each, limits[each]) for each in wanted])
        answers = dict(zip(wanted, read, strict=True))
        for each in some:
            if value := value_of(each, answers.get(each), most, limits[each]):
                yield each.key, value


def sizing(key: str, kind: str) -> tuple[Any, ...]:
    """Return the command that asks how large a value is: of a hash, with all of its fields, and what holds them.

    Where it may not be asked of a hash, `bytes_of_hash` counts.
    """
    return ("memory_usage", key, 0) if kind == "hash" else ("strlen", key)


def bytes_of_hash(ask: Ask, key: str) -> int | None:
    """Return how many bytes the fields and values of a hash have; None if the user may not ask."""
    (fields,) = ask([("hlen", key)])
    if not isinstance(fields, int):
        return None
    if fields > MOST_FIELDS:
        return max(fields, LARGEST_HASH + 1)
    (names,) = ask([("hkeys", key)])
    if not isinstance(names, list):
        return None
    size = sum(map(len, names))
    for start in range(0, len(names), ASKED_AT_ONCE):
        lengths = ask([("hstrlen", key, name) for name in names[start : start + ASKED_AT_ONCE]])
        if not all(isinstance(length, int) for length in lengths):
            return None
        size += sum(lengths)
        if size > LARGEST_HASH:
            break
    return size


def reading(told: Told, limit: int) -> tuple[Any, ...]:
    """Return the command that reads a value; of a string that has grown, one byte above the limit shows it."""
    return ("hgetall", told.key) if told.kind == "hash" else ("getrange", told.key, 0, limit)


def together(told: Sequence[Told]) -> Iterator[list[Told]]:
    """Group values that are read at once, by their bytes."""
    group: list[Told] = []
    room = READ_AT_ONCE_BYTES
    for each in told:
        if group and each.room > room:
            yield group
            group, room = [], READ_AT_ONCE_BYTES
        group.append(each)
        room -= each.room
    if group:
        yield group


def value_of(told: Told, answer: object, most: int, limit: int) -> Value | None:
    """Return what stands under a key, by the answer to `reading`, if it was read; None if nothing does any more."""
    if isinstance(answer, Denied):
        return Value(None, told.size or 0, "denied", "the user of the connection may not read it")
    if told.kind not in (*READABLE, "none"):
        return Value(None, 0, told.kind, f"it is a {told.kind}, not a string or a hash")
    if told.kind == "hash" and told.size is None:
        return Value(None, 0, "not told", SIZE_NOT_TOLD)
    if told.kind == "hash" and told.is_too_large(most):
        problem = f"it is too large, {told.size:,} bytes in the server, and a hash may have {LARGEST_HASH:,}. Split it"
        return Value(None, told.size or 0, f"{told.size} bytes", problem)
    if told.is_too_large(most):
        return Value(None, told.size or 0, f"{told.size} bytes", None)
    if isinstance(answer, bytes) and len(answer) > limit:
        return Value(None, len(answer), "grown", None)
    if isinstance(answer, bytes) and (answer or not told.size):  # one that is gone meanwhile reads as empty
        return Value(answer, len(answer), version_of(b"string", answer), None)
    return _of_hash(answer) if isinstance(answer, dict) and answer else None


def version_of(kind: bytes, content: bytes) -> str:
    """Return the version of a value: a hash of its content, by its type."""
    return blake2b(content, digest_size=16, person=kind).hexdigest()


def _of_hash(fields: dict[bytes, bytes]) -> Value:
    try:
        data = {field.decode(): value.decode() for field, value in fields.items()}
    except UnicodeDecodeError:
        return Value(None, 0, "hash", HASH_NOT_UTF8)
    content = msgspec.json.encode({"data": data}, order="sorted")
    read = content if len(content) <= LARGEST else None
    return Value(read, len(content), version_of(b"hash", content), None)
