"""Reading: the content of objects, here or in threads, a bounded number of objects and bytes ahead of the import."""

import time
from collections.abc import Iterable, Iterator

from labelsync_provider.errors import Denied, Invalid, NotFound, TooLarge
from labelsync_provider.formats.tasks import content as task_content
from labelsync_provider.in_flight import InFlight, in_order
from labelsync_provider.request_limit import Limit
from labelsync_provider.storages.protocol import InFileSystem
from labelsync_provider.sync.importing.state import ImportRun, SourceObject
from labelsync_provider.sync.names import name_problem

PROBE_OBJECTS = 20
"""Objects read in a row after which it is decided whether reading is waiting: most of them were. That a few were is no
sign, for a busy machine has everybody wait now and then."""
WAITING_FACTOR = 2.0
"""An object was waited for if it took this many times the processor time that its reading took."""

MORE_BYTES = 64 * 1024
"""So much more than was listed an object may have to be read ahead."""

Content = bytes | str | Invalid | Denied | NotFound
"""The content of an object; or, as a text, why it is none worth reading; or the storage's answer that there is none."""
Read = tuple[SourceObject, Content]


def contents(run: ImportRun, objects: Iterator[SourceObject]) -> Iterator[Read]:
    """Yield objects with their content, in order.

    They are read in threads, except files as long as that proves to be computing and not waiting: threads that compute
    take turns, and files in a warm cache are read thrice as fast without them. Threads only read; whoever takes the
    content parses it.

    :raises Unusable: the storage as a whole cannot be used any more.
    :raises Unavailable: an object did not come, however often it was asked for.
    :raises Stopped: the run is to end.
    """
    if not isinstance(run.source, InFileSystem):
        yield from _read_ahead(run, objects)
        return
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
    def read(obj: SourceObject) -> Read:
        # What is read ahead has the size that was listed, or near enough: thousands of objects may wait.
        return obj, _read(run, obj, min(obj.info.size + MORE_BYTES, task_content.MAX_BYTES))

    def held(obj: SourceObject) -> int:
        # What is not read takes no room: a video among task files would be waited for alone.
        return 0 if _problem(run, obj) else obj.info.size

    most, runtime = run.options.max_in_flight, run.runtime
    limit = Limit(most, runtime.monotonic())
    with runtime.threads(most, "read") as pool:
        flight = InFlight(read, limit, pool, runtime.stop, runtime.monotonic)
        for obj, content in in_order(flight, objects, held):
            # An object that has more than was listed is read here, one at a time.
            yield obj, _read(run, obj) if isinstance(content, TooLarge) else content
            del content
            run.in_flight = limit.reached


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
