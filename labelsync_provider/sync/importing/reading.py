"""Reading: the content of objects, here or in threads, a bounded number of objects and bytes ahead of the import."""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future  # noqa: TC003 - in a type at run time

from labelsync_provider.errors import Denied, Invalid, NotFound
from labelsync_provider.sync import task_files
from labelsync_provider.sync.importing.state import ImportRun, SourceObject

LOOKED_AT = 20
WAITING = 2.0
"""Reading is waiting when most of so many objects in a row took so many times what was computed for them. That a few
did is no sign: a busy machine has everybody wait now and then."""

READ_TOGETHER = 16
"""Small objects that one thread reads in a row: handing them over one by one costs more than reading them."""
SMALL_BYTES = 64 * 1024
READ_AHEAD_BYTES = 32 * 1024 * 1024

Content = bytes | str | Invalid | Denied | NotFound
"""The content of an object; or, as a text, why it is none worth reading; or the storage's answer that there is none."""
Read = tuple[SourceObject, Content]


def contents(run: ImportRun, objects: Iterable[SourceObject]) -> Iterator[Read]:
    """Yield objects with their content, in order."""
    yield from _read_here(run, iter(objects))


def _read_here(run: ImportRun, objects: Iterator[SourceObject]) -> Iterator[Read]:
    """Read: here as long as reading is computing, in threads once it proves to be waiting.

    Threads that compute take turns, at a price: files in a warm cache are read thrice as fast without. So they only
    read; to parse is for whoever takes what they have read.
    """
    looked_at = waited = 0
    for obj in objects:
        started, computing = time.perf_counter(), time.thread_time()
        read = _read(run, obj)
        took, computed = time.perf_counter() - started, time.thread_time() - computing
        waited += took > WAITING * computed
        yield obj, read
        looked_at += 1
        if looked_at == LOOKED_AT:
            if waited > LOOKED_AT // 2:
                yield from _read_ahead(run, objects)
            looked_at = waited = 0


def _read_ahead(run: ImportRun, objects: Iterable[SourceObject]) -> Iterator[Read]:
    threads = run.options.max_workers
    ahead: deque[tuple[int, Future[list[Read]]]] = deque()
    ahead_bytes, ahead_most = 0, 2 * threads
    with run.runtime.executor(threads, "read") as pool:
        try:
            for together in _together(objects, threads):
                size = sum([obj.info.size for obj in together])
                while ahead and (len(ahead) >= ahead_most or ahead_bytes + size > READ_AHEAD_BYTES):
                    read_bytes, read = ahead.popleft()
                    ahead_bytes -= read_bytes
                    yield from read.result()
                ahead.append((size, pool.submit(_read_together, run, together)))
                ahead_bytes += size
            while ahead:
                yield from ahead.popleft()[1].result()
        finally:
            for _, read in ahead:
                read.cancel()


def _together(objects: Iterable[SourceObject], threads: int) -> Iterator[list[SourceObject]]:
    """Group small objects for one thread; a larger one goes alone. What comes first is waited for: not in groups."""
    group: list[SourceObject] = []
    groups = 0
    for obj in objects:
        if obj.info.size > SMALL_BYTES:
            yield [obj]
            continue
        group.append(obj)
        if len(group) > min(groups // threads, READ_TOGETHER - 1):
            yield group
            group = []
            groups += 1
    if group:
        yield group


def _read_together(run: ImportRun, objects: list[SourceObject]) -> list[Read]:
    return [(obj, _read(run, obj)) for obj in objects]


def _read(run: ImportRun, obj: SourceObject) -> Content:
    if problem := _problem(run, obj):
        return problem
    try:
        return run.source.read(obj.info.key)
    except (Invalid, Denied, NotFound) as error:
        return error


def _problem(run: ImportRun, obj: SourceObject) -> str | None:
    """Return why an object need not be read to know that it is no task file."""
    info = obj.info
    problem = info.problem or task_files.size_problem(info.size)
    return problem or (task_files.name_problem(info.key) if run.source.holds_files else None)
