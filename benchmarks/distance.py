"""Amazon S3 at a distance, where a request is mostly waited for: beside obstore asynchronous, with 256 in flight.

The server is rclone's. All runs on one machine, so that what counts is the processor time of either side.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import obstore
from measuring import LABEL_CONFIG, Result, fresh_project, make_task_files, seconds
from s3 import Bucket
from servers.chaos import running_chaos
from servers.distance import at_distance
from servers.s3 import S3Server, running_rclone
from sqlalchemy import Engine

from labelsync_provider.database import open_database
from labelsync_provider.projects.embedded.project import EmbeddedProject
from labelsync_provider.projects.embedded.store import EmbeddedStore
from labelsync_provider.projects.protocol import Task
from labelsync_provider.storages.buckets import BucketStorage
from labelsync_provider.sync import ExportOptions, ImportOptions, export_annotations, import_storage

TASK_FILES = 10_000
ANNOTATIONS = 5_000
DISTANCES = (0, 30, 100)
"""Round trips, in milliseconds."""
IN_FLIGHT = 256
PAIRS, EXPORT_PAIRS = 5, 9
SLOWED = (4_000, 4_300)
"""Requests of which the server refuses a third, by their number."""


def results(scratch: Path) -> Iterator[Any]:
    """Run the benchmarks one after the other."""
    root = scratch / "s3"
    make_task_files(root / "files", TASK_FILES)
    with running_rclone(root) as server:
        keys = [info.key for page in BucketStorage(Bucket(server, "files").open(), "").list() for info in page]
        for distance in DISTANCES:
            with _away(server, distance) as away:
                yield _imports(Bucket(away, "files"), keys, distance, scratch)
        yield _slowed_down(server, scratch)
    # Not on this machine's disk, which takes 0.6 to 4 s of processor for 5,000 new files, by chance.
    with running_rclone(in_memory=True) as server, _away(server, 30) as away:
        yield _exports(server, away, scratch)


@dataclass
class InFlight:
    """The requests in flight of a job before, while and after a server asks to slow down."""

    name: str
    before: int
    while_slowed: int
    after: int
    lost: int

    @property
    def missed(self) -> bool:
        """Whether something was lost, or there were not fewer meanwhile and more again."""
        return self.lost > 0 or not self.before > self.while_slowed < self.after

    def __str__(self) -> str:
        verdict = "MISSED" if self.missed else "ok"
        counts = f"{self.before} -> {self.while_slowed} -> {self.after}, {self.lost} lost"
        return f"{self.name:<58}{counts:>43}  {verdict}"


@contextmanager
def _away(server: S3Server, milliseconds: int) -> Iterator[S3Server]:
    with at_distance(server.endpoint, milliseconds) if milliseconds else nullcontext(server.endpoint) as url:
        yield replace(server, endpoint=url)


def _imports(bucket: Bucket, keys: list[str], distance: int, scratch: Path) -> Result:
    limit = 0.9 if distance else None
    result = Result(f"S3, {distance} ms: import task files / obstore, asynchronous", len(keys), limit)
    store = bucket.open().store

    async def get(key: str) -> object:
        return await (await obstore.get_async(store, key)).bytes_async()

    for _ in range(PAIRS):
        with fresh_project(scratch) as (engine, project):
            source = BucketStorage(bucket.open(), "")
            result.job.append(
                seconds(lambda: import_storage(source, project, engine, ImportOptions(), "benchmark"))  # noqa: B023
            )
        result.peer.append(seconds(lambda: _all_in_flight(get, keys)))
    return result


def _exports(server: S3Server, away: S3Server, scratch: Path) -> Result:
    """Export annotations, and upload the same bytes."""
    result = Result(f"S3, 30 ms: export {ANNOTATIONS:,} annotations / obstore, asynchronous", ANNOTATIONS, 0.8)
    engine, project = _annotated(scratch)
    for n in range(EXPORT_PAIRS):
        for name in (f"exported-{n}", f"put-{n}"):
            server.client().create_bucket(Bucket=name)
        target = BucketStorage(Bucket(away, f"exported-{n}").open(), "")
        with fresh_project(scratch) as (ledger, _):
            result.job.append(
                seconds(lambda: export_annotations(project, target, ledger, ExportOptions(), "benchmark"))  # noqa: B023
            )
        near = BucketStorage(Bucket(server, f"exported-{n}").open(), "")
        contents = {info.key: near.read(info.key) for page in near.list() for info in page}
        store = Bucket(away, f"put-{n}").open().store

        async def put(key: str) -> object:
            return await obstore.put_async(store, key, contents[key], use_multipart=False)  # noqa: B023

        result.peer.append(seconds(lambda: _all_in_flight(put, list(contents))))  # noqa: B023
    engine.dispose()
    return result


def _slowed_down(server: S3Server, scratch: Path) -> InFlight:
    """Import, while the server refuses a third of the requests for a while."""
    seen = dict[str, list[int]](before=[], meanwhile=[], after=[])
    with at_distance(server.endpoint, 30) as url, running_chaos(url, slow_down=0, reset=0, truncate=0) as chaos:
        source = BucketStorage(Bucket(replace(server, endpoint=chaos.endpoint), "files").open(), "")
        read = source.read

        def noting(*args: Any) -> bytes:
            reads = source.requests.counts.get("read", 0)
            when = "before" if reads < SLOWED[0] else "meanwhile" if reads < SLOWED[1] else "after"
            chaos.slow_down = 0.3 if when == "meanwhile" else 0
            content = read(*args)
            seen[when].append(chaos.under_way)
            return content

        source.read = noting  # type: ignore[method-assign, assignment]
        with fresh_project(scratch) as (engine, project):
            report = import_storage(source, project, engine, ImportOptions(), "benchmark")
        refused = chaos.slowed
    before, meanwhile, after = (max(some[len(some) // 2 :]) for some in seen.values())
    lost = TASK_FILES - report.tasks_created
    return InFlight(f"S3, 30 ms: requests in flight; {refused} got SlowDown", before, meanwhile, after, lost)


def _annotated(scratch: Path) -> tuple[Engine, EmbeddedProject]:
    engine = open_database(f"sqlite:///{scratch}/annotated.db")
    project = EmbeddedStore(engine).create_project("annotated", LABEL_CONFIG)
    result = [{"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": ["cat"]}}]
    tasks = [Task({"image": f"s3://b/{n}.jpg"}, annotations=[{"result": result}]) for n in range(ANNOTATIONS)]
    project.import_tasks(tasks)
    return engine, project


def _all_in_flight(call: Callable[[str], Awaitable[object]], keys: list[str]) -> None:
    async def run() -> None:
        free = asyncio.Semaphore(IN_FLIGHT)

        async def one(key: str) -> None:
            async with free:
                await call(key)

        await asyncio.gather(*map(one, keys))

    asyncio.run(run())
