"""What is too much for memory waits on disk."""

import heapq
from collections.abc import Iterable, Iterator
from itertools import islice
from tempfile import SpooledTemporaryFile
from typing import Generic, TypeVar

import msgspec

SORTED_IN_MEMORY = 50_000
"""Items of a run."""
IN_MEMORY_BYTES = 1 << 20
"""Of a spool; one that has more is a file."""

T = TypeVar("T")


class Spool(Generic[T]):
    """Items in the order in which they came; a temporary file holds them once they are many."""

    def __init__(self, kind: type[T]) -> None:
        """Begin an empty one.

        :param kind: the items' type: text, or a named tuple of plain values.
        """
        self._file = SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 - closed by `close`
        self._encode = msgspec.json.Encoder().encode_lines
        self._decode = msgspec.json.Decoder(kind).decode

    def extend(self, items: Iterable[T]) -> None:
        """Add items at the end."""
        self._file.write(self._encode(items))

    def __iter__(self) -> Iterator[T]:
        """Yield the items."""
        self._file.seek(0)
        for line in self._file:
            yield self._decode(line)

    def close(self) -> None:
        """Give the space back."""
        self._file.close()


def sorted_on_disk(items: Iterator[str]) -> Iterator[str]:
    """Take all items at once and yield them in order, by code point; more than a run are sorted in runs on disk."""
    spools: list[Spool[str]] = []
    run = sorted(islice(items, SORTED_IN_MEMORY))
    while len(run) == SORTED_IN_MEMORY:
        spools.append(Spool(str))
        spools[-1].extend(run)
        run = sorted(islice(items, SORTED_IN_MEMORY))
    return _merged(run, spools) if spools else iter(run)


def _merged(run: list[str], spools: list[Spool[str]]) -> Iterator[str]:
    try:
        yield from heapq.merge(run, *spools)
    finally:
        for spool in spools:
            spool.close()
