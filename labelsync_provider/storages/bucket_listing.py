"""Listing a bucket: in ranges of keys where its service can start at one, in order, and never round in circles."""

import heapq
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from operator import attrgetter

from labelsync_provider.errors import Denied, Invalid, NotFound, Unavailable, Unusable
from labelsync_provider.stop import LOOK_SECONDS, Stop
from labelsync_provider.storages.protocol import ObjectInfo, Page
from labelsync_provider.storages.ranges import Range, Ranges

PAGE = 1000
"""Objects of a page that is merged from two listings."""
MOST_EMPTY = 10_000
"""Pages in a row without an object. A few are usual, where much was deleted."""

Answer = tuple[Page, str | None]
"""A page, and the token of the next one, if any."""


def pages(ask: Callable[[Range], Answer], ranges: Ranges, container: str, stop: Stop) -> Iterator[Page]:
    """Yield the pages of one listing; some are fetched before they are asked for.

    :param ask: returns the next page of a range, and the token of the one behind that, as `Service.page` does.
    :param container: the bucket, such as `s3://bucket`.
    :raises Unavailable: the listing does not come to an end.
    :raises Stopped: the run is to end; what is being fetched is not waited for.
    """
    under_way: dict[Future[Answer], Range] = {}
    with stop.closing(ThreadPoolExecutor(ranges.listers, thread_name_prefix="labelsync-list")) as pool:
        while not ranges.at_end:
            while (asked := ranges.next()) is not None:
                under_way[pool.submit(ask, asked)] = asked
            if (page := ranges.read()) is not None:
                yield page
            elif under_way:
                stop.check()
                wait(under_way, LOOK_SECONDS, FIRST_COMPLETED)
            for answer in [each for each in under_way if each.done()]:
                _take(answer, under_way.pop(answer), ranges, container)


def _take(answer: "Future[Answer]", asked: Range, ranges: Ranges, container: str) -> None:
    try:
        page, token = answer.result()
    except (Denied, Invalid, NotFound, Unavailable, Unusable):
        if not ranges.failed(asked):
            raise
        return  # the range before lists the same, and whatever is wrong there, too
    if token is not None:
        asked.empty = 0 if page else asked.empty + 1
        if asked.going_on.is_round(token, page[-1].key if page else None) or asked.empty > MOST_EMPTY:
            what = f"{asked.empty:,} pages of it are empty" if asked.empty > MOST_EMPTY else "a page of it came before"
            raise Unavailable(f"{container}: cannot list objects: the listing does not go on, {what}.")
    ranges.answered(asked, page, token)


def merged(*listings: Iterator[Page]) -> Iterator[Page]:
    """Yield the objects of several listings in pages, in the order of their keys."""
    objects = heapq.merge(*map(_objects, listings), key=attrgetter("key"))
    while page := list(islice(objects, PAGE)):
        yield page


def _objects(listing: Iterator[Page]) -> Iterator[ObjectInfo]:
    for page in listing:
        yield from page
