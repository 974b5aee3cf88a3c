"""Reading: the content of objects, here or in threads, a bounded number of objects and bytes ahead of the import."""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future  # noqa: TC003 - in a type at run time

from labelsync_provider.errors import Denied, Invalid, NotFound, TooLarge
from labelsync_provider.formats.tasks import content as task_content
from labelsync_provider.sync.importing.state import ImportRun, SourceObject
from labelsync_provider.sync.names import name_problem

PROBE_OBJECTS = 20
"""Objects read in a row after which it is decided whether reading is waiting: most of them were. That a few were is no
sign, for a busy machine has everybody wait now and then."""
WAITING_FACTOR = 2.0
"""An object was waited for if it took this many times the processor time that its reading took."""

READ_TOGETHER = 16
"""Small objects that one thread reads in a row: handing them over one by one costs more than reading them."""
SMALL_BYTES = 64 * 1024
"""Size up to which an object is small."""
READ_AHEAD_BYTES = 32 * 1024 * 1024
"""Content that is read before it is asked for, at most."""

Content = bytes | str | Invalid | Denied | NotFound
"""The content of an object; or, as a text, why it is none worth reading; or the storage's answer that there is none."""
Read = tuple[SourceObject, Content]


def contents(run: ImportRun, objects: Iterator[SourceObject]) -> Iterator[Read]:
    """Yield objects with their content, in order.

    They are read in this thread as long as that is computing, and in threads of their own once it proves to be waiting:
    threads that compute take turns, and files in a warm cache are read thrice as fast without them. Threads only read;
    whoever takes the content parses it.

    :raises Unusable: the storage as a whole cannot be used any more.
    :raises Unavailable: an object did not come, however often it was asked for.
    :raises Stopped: the run is to end.
    """
    looked_at = waited = 0
    for obj in objects:
        started, computing = time.perf_counter(), time.thread_time()
        read = _read(run, obj)
        took, computed = time.perf_counter() - started, time.thread_time() - computing
        waited += took > WAITING_FACTOR * computed
        yield obj, read
        del read  # before the next one is there
        looked_at += 1
        if looked_at == PROBE_OBJECTS:
            if waited > PROBE_OBJECTS // 2:
                yield from _read_ahead(run, objects)
            looked_at = waited = 0


def _read_ahead(run: ImportRun, objects: Iterable[SourceObject]) -> Iterator[Read]:
    threads = run.options.max_workers
    ahead: deque[tuple[int, Future[list[Read]]]] = deque()
    ahead_bytes, ahead_most = 0, 2 * threads
    with run.runtime.threads(threads, "read") as pool:
        try:
            for together in _together(objects, threads):
                size = sum([obj.info.size for obj in together])
                while ahead and (len(ahead) >= ahead_most or ahead_bytes + size > READ_AHEAD_BYTES):
                    read_bytes, read = ahead.popleft()
                    ahead_bytes -= read_bytes
                    yield from _in_full(run, run.runtime.stop.result(read))
                ahead.append((size, pool.submit(_read_together, run, together)))
                ahead_bytes += size
            while ahead:
                yield from _in_full(run, run.runtime.stop.result(ahead.popleft()[1]))
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
    # What is read ahead has the size that was listed, or near enough: a thousand objects may wait.
    return [(obj, _read(run, obj, min(obj.info.size + SMALL_BYTES, task_content.MAX_BYTES))) for obj in objects]


def _in_full(run: ImportRun, together: list[Read]) -> Iterator[Read]:
    """Yield what was read ahead. An object that has more than was listed is read here, one at a time."""
    together.reverse()
    while together:
        obj, content = together.pop()
        yield obj, _read(run, obj) if isinstance(content, TooLarge) else content
        del content


def _read(run: ImportRun, obj: SourceObject, most: int | None = None) -> Content:
    """Read an object.

    :param most: bytes, if they are to be fewer than a task file may have.
    """
    if problem := _problem(run, obj):
        return problem
    try:
        return run.source.read(obj.info.key, task_content.MAX_BYTES if most is None else most, obj.info.version)
    except (Invalid, Denied, NotFound) as error:
        return error


def _problem(run: ImportRun, obj: SourceObject) -> str | None:
    """Return why an object need not be read to know that it is no task file."""
    problem = obj.problem or task_content.size_problem(obj.info.size)
    return problem or name_problem(run.source, obj.info.key)
