"""Comparing a listing with the ledger: two walks in the same order, side by side, one page at a time."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Generic, Protocol, TypeVar

from labelsync_provider.storages.location import Location
from labelsync_provider.storages.protocol import ObjectInfo, Page
from labelsync_provider.storages.spool import Spool

MISSING_PAGE = 5000
"""Missing objects that are told together."""
TOLD = 50_000
"""Objects told last, of which the ledger need not know yet: more than what is read ahead, and two batches."""


class Known(Protocol):
    """What the ledger knows of an object."""

    @property
    def path(self) -> str:
        """The object's path."""


K = TypeVar("K", bound=Known)


@dataclass(frozen=True, slots=True)
class Differences(Generic[K]):
    """How a page of a listing differs from what was known."""

    unchanged: list[K]
    fresh: list[tuple[str, ObjectInfo, K | None]]
    """Path and object of what is new, or is not as it was known."""
    missing: list[K]


def compare(
    listing: Iterator[Page],
    location: Location,
    is_unchanged: Callable[[ObjectInfo, K], bool],
    known_between: Callable[[str, str | None], Iterator[list[K]]],
    known_at: Callable[[Sequence[str]], Iterator[list[K]]],
) -> Iterator[Differences[K]]:
    """Yield the differences between a listing and what is known, page by page, and last what is missing.

    A service may list an object behind others that come after it (a hierarchical Azure account, SeaweedFS: a
    folder comes before its siblings). It is looked up by itself, and nothing is missing before the end. What is listed
    once more, as by pages that shift while somebody writes, is left out.

    :param listing: pages of objects, in the order of their keys but for such.
    :param location: that of the storage which lists them: it says which path a key is.
    :param is_unchanged: tells of an object that is known whether it is still as it was.
    :param known_between: given two paths, yields what is known above the first and up to the second (None:
        to the end of the storage), in pages of bounded length and in order.
    :param known_at: given paths, yields what is known of them.
    """
    seen, root = "", location.root
    late: set[str] = set()
    told = deque[str](maxlen=TOLD)
    unseen: Spool[K] | None = None
    for page in listing:
        listed = {root + info.key: info for info in page}
        listed.pop(seen, None)  # the first of a page once more: the last of the page before
        if listed and min(listed) <= seen:
            recent = set(told)
            listed = {path: info for path, info in listed.items() if path not in late and path not in recent}
        if not listed:
            continue
        found: dict[str, K] = {}
        if min(listed) <= seen:
            behind = [path for path in listed if path <= seen]
            late.update(behind)
            for known_page in known_at(behind):
                found |= {known.path: known for known in known_page}
        if (last := max(listed)) > seen:
            for known_page in known_between(seen, last):
                here = {known.path: known for known in known_page if known.path in listed}
                if len(here) < len(known_page):
                    unseen = unseen or Spool(type(known_page[0]))
                    unseen.extend([known for known in known_page if known.path not in listed])
                found |= here
            seen = last
        unchanged, fresh = [], []
        for path, info in listed.items():
            known = found.get(path)
            if known is not None and is_unchanged(info, known):
                unchanged.append(known)
            else:
                fresh.append((path, info, known))
        told.extend(listed)
        yield Differences(unchanged, fresh, [])
    if unseen:
        missing = (known for known in unseen if known.path not in late)
        while some := list(islice(missing, MISSING_PAGE)):
            yield Differences([], [], some)
        unseen.close()
    for known_page in known_between(seen, None):
        yield Differences([], [], known_page)
