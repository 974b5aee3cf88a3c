"""Prefetching: the next page is fetched while the caller works on the last one."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from labelsync_provider.stop import Stop

T = TypeVar("T")


def prefetched(pages: Iterator[T], stop: Stop) -> Iterator[T]:
    """Yield the same pages; one page is fetched before it is asked for.

    :raises Stopped: the run is to end; the page that is being fetched is not waited for.
    """
    with stop.closing(ThreadPoolExecutor(1, thread_name_prefix="labelsync-fetch")) as pool:
        following = pool.submit(next, pages, None)
        while (page := stop.result(following)) is not None:
            following = pool.submit(next, pages, None)
            yield page
