"""Prefetching: the next page is fetched while the caller works on the last one."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def prefetched(pages: Iterator[T]) -> Iterator[T]:
    """Yield the same pages; one page is fetched before it is asked for."""
    with ThreadPoolExecutor(1, thread_name_prefix="labelsync-fetch") as pool:
        following = pool.submit(next, pages, None)
        while (page := following.result()) is not None:
            following = pool.submit(next, pages, None)
            yield page
