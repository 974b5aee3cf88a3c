"""Comparing a listing with the ledger: two walks in the same order, side by side, one page at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from labelsync_provider.storages.protocol import ObjectInfo


class Known(Protocol):
    """What the ledger knows of an object."""

    @property
    def path(self) -> str:
        """The object's path in its place."""

    @property
    def version(self) -> str:
        """The version it had."""


K = TypeVar("K", bound=Known)


@dataclass(frozen=True, slots=True)
class Differences(Generic[K]):
    """How a page of a listing differs from what was known; paths are of the place."""

    unchanged: list[K]
    fresh: list[tuple[str, ObjectInfo, K | None]]
    """Path and object of what is new, or has another version than was known."""
    missing: list[K]


def compare(
    listing: Iterator[list[ObjectInfo]],
    base: str,
    known_between: Callable[[str, str | None], Iterator[list[K]]],
) -> Iterator[Differences[K]]:
    """Yield the differences between a listing and what is known, for each page.

    :param listing: pages of objects in the order of their keys.
    :param base: in front of a key, it makes the path.
    :param known_between: given two paths, yields what is known above the first and up to the second (None:
        to the end of the storage), in pages of bounded length and in order.
    """
    seen = ""
    for page in listing:
        if not page:
            continue
        listed = {base + info.key: info for info in page}
        last = base + page[-1].key
        found: dict[str, K] = {}
        for known_page in known_between(seen, last):
            here = {known.path: known for known in known_page if known.path in listed}
            if len(here) < len(known_page):
                yield Differences([], [], [known for known in known_page if known.path not in listed])
            found |= here
        unchanged, fresh = [], []
        for path, info in listed.items():
            known = found.get(path)
            if known is not None and known.version == info.version:
                unchanged.append(known)
            else:
                fresh.append((path, info, known))
        yield Differences(unchanged, fresh, [])
        seen = last
    for known_page in known_between(seen, None):
        yield Differences([], [], known_page)
