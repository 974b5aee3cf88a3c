"""Fetching ahead: the next page is on its way while one is worked on."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def fetched_ahead(pages: Iterator[T]) -> Iterator[T]:
    """Yield the same pages, with the next one already on its way."""
    with ThreadPoolExecutor(1, thread_name_prefix="labelsync-fetch") as pool:
        coming = pool.submit(next, pages, None)
        while (page := coming.result()) is not None:
            coming = pool.submit(next, pages, None)
            yield page
