"""Listing a bucket: page by page as its service gives them, in the order of keys, and never round in circles."""

import heapq
from collections.abc import Callable, Iterator
from itertools import islice
from operator import attrgetter

from labelsync_provider.errors import Unavailable
from labelsync_provider.storages.going_on import GoingOn
from labelsync_provider.storages.protocol import ObjectInfo, Page

PAGE = 1000
"""Objects of a page that is merged from two listings."""
MOST_EMPTY = 10_000
"""Pages in a row without an object. A few are usual, where much was deleted."""


def pages(fetch: Callable[[str | None], tuple[Page, str | None]], container: str) -> Iterator[Page]:
    """Yield the pages of one listing.

    :param fetch: returns the page of a token, and the token of the next one, as `Service.page` does.
    :param container: the bucket, such as `s3://bucket`.
    :raises Unavailable: the listing does not come to an end.
    """
    token: str | None = None
    going_on, empty = GoingOn(), 0
    while True:
        page, token = fetch(token)
        yield page
        if token is None:
            return
        empty = 0 if page else empty + 1
        if going_on.is_round(token, page[-1].key if page else None) or empty > MOST_EMPTY:
            what = f"{empty:,} pages of it are empty" if empty > MOST_EMPTY else "a page of it came before"
            raise Unavailable(f"{container}: cannot list objects: the listing does not go on, {what}.")


def merged(*listings: Iterator[Page]) -> Iterator[Page]:
    """Yield the objects of several listings in pages, in the order of their keys."""
    objects = heapq.merge(*map(_objects, listings), key=attrgetter("key"))
    while page := list(islice(objects, PAGE)):
        yield page


def _objects(listing: Iterator[Page]) -> Iterator[ObjectInfo]:
    for page in listing:
        yield from page
