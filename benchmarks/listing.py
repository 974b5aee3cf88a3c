"""Listing far away: in ranges of keys, beside one page after the other, as obstore lists. The server is rclone's.

It reads all of a bucket for each page, so that the server's processor time is told as well.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import obstore
import psutil
from measuring import Result, fresh_project, make_task_files, seconds
from s3 import OBJECTS, Bucket
from servers.distance import at_distance
from servers.s3 import running_rclone

from labelsync_provider.storages.buckets import BucketStorage
from labelsync_provider.sync import ImportOptions, import_storage

PAGE = 1000
PAIRS = 2
LEAST = {0: 0.9, 30: 2.0, 100: 4.0}
"""Times one page after the other, by milliseconds a round trip."""
LEAST_AGAIN = 3.0
AGAIN_MS = 100


@dataclass
class Processor:
    """The processor time of the server for a job, and for its peer, in seconds."""

    name: str
    job: float
    peer: float
    missed = False

    def __str__(self) -> str:
        times = f"{self.job:>11.2f} s{self.peer:>11.2f} s"
        return f"{self.name:<58}{times}{self.job / self.peer:>8.2f}"


class Server:
    """The processes of the server that this one has started."""

    def __init__(self) -> None:
        self._processes = psutil.Process().children(recursive=True)

    def seconds(self) -> float:
        """Return the processor time that they have taken so far."""
        return sum(sum(process.cpu_times()[:2]) for process in self._processes)

    def taken(self, job: Callable[[], object]) -> tuple[float, float]:
        """Return how long a job takes, and how much processor time of the server."""
        before = self.seconds()
        return seconds(job), self.seconds() - before


def results(scratch: Path) -> Iterator[Result | Processor]:
    """Run the benchmarks one after the other."""
    root = scratch / "listing"
    make_task_files(root / "objects", OBJECTS)
    with running_rclone(root) as running:
        server, near = Server(), Bucket(running, "objects")
        _list_in_ranges(near)  # rclone computes ETags once
        for milliseconds, least in LEAST.items():
            with at_distance(running.endpoint, milliseconds) as url:
                far = Bucket(replace(running, endpoint=url), "objects") if milliseconds else near
                result = Result(f"Listing, {milliseconds} ms: in ranges / by obstore", OBJECTS, least)
                yield from _beside_obstore(far, server, result, partial(_list_in_ranges, far))
                if milliseconds == AGAIN_MS:
                    yield from _again(far, server, scratch)


def _again(far: Bucket, server: Server, scratch: Path) -> Iterator[Result | Processor]:
    result = Result(f"Import again, unchanged, {AGAIN_MS} ms / list by obstore", OBJECTS, LEAST_AGAIN)
    options = ImportOptions(use_blob_urls=True)
    with fresh_project(scratch) as (engine, project):

        def import_from(bucket: Bucket) -> None:
            import_storage(BucketStorage(bucket.open(), ""), project, engine, options, "benchmark")

        import_from(far)
        yield from _beside_obstore(far, server, result, lambda: import_from(far))


def _beside_obstore(
    bucket: Bucket, server: Server, result: Result, job: Callable[[], object]
) -> Iterator[Result | Processor]:
    processor = Processor(f"{result.name}: server's processor", 0, 0)
    for _ in range(PAIRS):
        taken, of_server = server.taken(job)
        result.job.append(taken)
        processor.job += of_server
        taken, of_server = server.taken(lambda: _list_by_obstore(bucket))
        result.peer.append(taken)
        processor.peer += of_server
    yield result
    yield processor


def _list_in_ranges(bucket: Bucket) -> int:
    return sum(len(page) for page in BucketStorage(bucket.open(), "").list())


def _list_by_obstore(bucket: Bucket) -> int:
    return sum(len(page) for page in obstore.list(bucket.open().store, chunk_size=PAGE))
