"""A Label Studio server, beside its own sync of the same bucket, and beside posting batches that are ready.

All share the processors of one machine: what can be reached here shows a peer that only reads the objects meanwhile.
Label Studio runs on PostgreSQL, as its documentation asks of whoever has many tasks. The S3 server is rclone's.
Its own sync takes minutes, so each of these rows is one pair.
"""

import multiprocessing
import resource
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count, repeat
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import msgspec
import obstore
import psutil
from measuring import (
    LABEL_CONFIG,
    PAIRS,
    TASK_FILE,
    THREADS,
    Growth,
    Processor,
    Requests,
    Result,
    make_task_files,
    seconds,
)
from s3 import BATCH, Bucket
from servers.label_studio import LabelStudioServer, running_label_studio
from servers.postgres import PostgresServer, running_postgres
from servers.s3 import running_rclone

from labelsync_provider.database import open_database
from labelsync_provider.projects.label_studio.client import Client
from labelsync_provider.projects.label_studio.project import LabelStudioProject
from labelsync_provider.projects.label_studio.server import LabelStudioServer as Projects
from labelsync_provider.storages.buckets import BucketStorage
from labelsync_provider.storages.local_files import LocalFiles
from labelsync_provider.sync import ExportOptions, ImportOptions, ImportReport, export_annotations, import_storage
from labelsync_provider.sync.exporting.changes import OVERLAP

OBJECTS = 10_000
ANNOTATIONS = 5_000
MANY_TASKS = 100_000
ROWS_IN_A_FILE = 1_000
GROWTH_MB = 300
PATIENCE_SECONDS = 1800
FEW = 1_000
CHANGED_MOST, MISSING_MOST = 1_100, 50
"""A task is changed by a request of its own; all else is asked and done by the page."""


@dataclass
class Bench:
    """The servers, and fresh projects in them."""

    label_studio: LabelStudioServer
    bucket: Bucket
    scratch: Path
    postgres: psutil.Process
    _numbers: Iterator[int] = field(default_factory=count)

    def project(self) -> LabelStudioProject:
        """Create an empty project."""
        client = Client(self.label_studio.url, self.label_studio.token, read_seconds=PATIENCE_SECONDS)
        return Projects(client).create_project(f"benchmark {next(self._numbers)}", LABEL_CONFIG)

    def database(self) -> str:
        """Name a database that is not there yet."""
        return f"sqlite:///{self.scratch}/{next(self._numbers)}.db"

    def processor_seconds(self) -> tuple[float, float]:
        """Return the processor time of this process so far, and of Label Studio with its database."""
        started = [one for one in psutil.Process().children(recursive=True) if "rclone" not in one.name()]
        # Those that have ended count as children of who has started them.
        times = []
        for one in (*started, self.postgres, *self.postgres.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                times.append(one.cpu_times())
        return time.process_time(), sum(t.user + t.system + t.children_user + t.children_system for t in times)

    def http(self) -> httpx.Client:
        """Return a client of the API, without anything of this package in it."""
        client = self.label_studio.client()
        client.timeout = httpx.Timeout(PATIENCE_SECONDS)
        return client

    def own_storage(self, kind: str, project: LabelStudioProject, bucket: str, **fields: Any) -> tuple[str, float]:
        """Create one of Label Studio's storages; return its path in the API, and how long that took."""
        server = self.bucket.server
        asked = {
            "project": project.id,
            "bucket": bucket,
            "s3_endpoint": server.endpoint,
            "aws_access_key_id": server.access_key,
            "aws_secret_access_key": server.secret_key,
            "region_name": server.region,
            **fields,
        }
        with self.http() as client:
            started = time.perf_counter()
            created = client.post(f"/api/storages/{kind}s3", json=asked, follow_redirects=True).raise_for_status()
            return f"/api/storages/{kind}s3/{created.json()['id']}", time.perf_counter() - started

    def own_sync(self, storage: str, expected: int) -> float:
        """Sync one of Label Studio's storages, as its button does; return how long that took."""
        with self.http() as client:
            took = seconds(lambda: client.post(f"{storage}/sync").raise_for_status())
            status = client.get(storage).raise_for_status().json()
        assert (status["status"], status["last_sync_count"]) == ("completed", expected), status
        return took


def results(scratch: Path) -> Iterator[Result | Processor | Growth | Requests]:
    """Run the benchmarks one after the other."""
    root = scratch / "s3"
    make_task_files(root / "objects", OBJECTS)
    for name in ("own", "ours"):
        (root / name).mkdir()
    documents = scratch / "documents"
    for n in range(MANY_TASKS // ROWS_IN_A_FILE):
        documents.mkdir(exist_ok=True)
        rows = b"\n".join(b'{"image": "s3://bucket/%03d/%03d.jpg"}' % (n, row) for row in range(ROWS_IN_A_FILE))
        (documents / f"{n:03}.jsonl").write_bytes(rows)
    with (
        running_postgres() as postgres,
        running_label_studio(documents, postgres) as label_studio,
        running_rclone(root) as s3,
    ):
        # What a server that must not lose anything does, and the tests' does not.
        postgres.execute("ALTER SYSTEM RESET fsync")
        postgres.execute("SELECT pg_reload_conf()")
        bench = Bench(label_studio, Bucket(s3, "objects"), scratch, psutil.Process(_pid_of(postgres)))
        sum(len(page) for page in BucketStorage(bench.bucket.open(), "").list())  # rclone computes ETags once
        yield from _ready(bench)
        yield _import(bench, "task files", 30.0, use_blob_urls=False)
        yield _import(bench, "blobs", 10.0, use_blob_urls=True)
        yield from _exports(bench)
        yield _memory(bench, documents)
        yield from _requests(bench, scratch / "few")


def _pid_of(postgres: PostgresServer) -> int:
    """Return the number of the server's first process."""
    return int(postgres.scalar("SELECT pg_read_file('postmaster.pid')").split()[0])


class CountingClient(Client):
    """A client that counts its requests."""

    asked = 0

    def ask(self, *args: Any, **kwargs: Any) -> Any:
        """Count, and ask."""
        self.asked += 1
        return super().ask(*args, **kwargs)


def _ready(bench: Bench) -> Iterator[Result | Processor]:
    posted = Result("Label Studio: import task files / post ready batches", OBJECTS, 1.0)
    read = Result("Label Studio: import task files / read, post ready batches", OBJECTS, 0.8)
    ours = Processor("Label Studio: processor time of an import / the server's", OBJECTS, 0.25)
    least = Processor("Label Studio: that of reading and posting / the server's", OBJECTS, None)
    keys = [info.key for page in BucketStorage(bench.bucket.open(), "").list() for info in page]
    for _ in range(PAIRS):
        before = bench.processor_seconds()
        took = _import_ours(bench, ImportOptions())
        ours.note(before, bench.processor_seconds())
        posted.job.append(took)
        posted.peer.append(_post_ready(bench, repeat(None, OBJECTS)))
        before = bench.processor_seconds()
        read.job.append(took)
        read.peer.append(_post_ready(bench, _contents(bench, keys)))
        least.note(before, bench.processor_seconds())
    yield from (posted, read, ours, least)


def _contents(bench: Bench, keys: list[str]) -> Iterator[object]:
    """Read objects as fast as obstore does, and do nothing else with them."""
    store = bench.bucket.open().store
    with ThreadPoolExecutor(THREADS) as pool:
        yield from pool.map(lambda key: obstore.get(store, key).bytes(), keys)


def _post_ready(bench: Bench, objects: Iterable[object]) -> float:
    """Post a batch that is ready whenever as many objects have come, one after the other; return how long all took."""
    task = {"data": {"image": "s3://bucket/pictures/000000.jpg", "caption": "picture 0"}}
    note = {"uri": "s3://objects/000/000000.json", "row": 0, "version": "0" * 32, "digest": "0" * 24}
    note["effect"] = "0" * 16
    batch = msgspec.json.encode([task | {"meta": {"labelsync": note}}] * BATCH)
    project, headers = bench.project(), {"Content-Type": "application/json"}
    path = f"/api/projects/{project.id}/import?return_task_ids=true"

    def post_all() -> None:
        with bench.http() as client, ThreadPoolExecutor(1) as one:
            posts = [
                one.submit(lambda: client.post(path, content=batch, headers=headers).raise_for_status())
                for number, _ in enumerate(objects, 1)
                if number % BATCH == 0
            ]
            for post in posts:
                post.result()

    took = seconds(post_all)
    assert project.progress().tasks == OBJECTS
    return took


def _import(bench: Bench, what: str, least: float, *, use_blob_urls: bool) -> Result:
    result = Result(f"Label Studio: import {what} / its own sync", OBJECTS, least)
    options = ImportOptions(use_blob_urls=use_blob_urls)
    # The peer takes minutes, of which what this machine does beside is an average; the job takes seconds.
    result.job.append(median(_import_ours(bench, options) for _ in range(PAIRS)))
    project = bench.project()
    storage, _ = bench.own_storage("", project, bench.bucket.name, use_blob_urls=use_blob_urls, recursive_scan=True)
    result.peer.append(bench.own_sync(storage, OBJECTS))
    return result


def _import_ours(bench: Bench, options: ImportOptions) -> float:
    project, engine = bench.project(), open_database(bench.database())
    source = BucketStorage(bench.bucket.open(), "")
    took = seconds(lambda: import_storage(source, project, engine, options, "benchmark"))
    engine.dispose()
    assert project.progress().tasks == OBJECTS
    return took


def _exports(bench: Bench) -> Iterator[Result]:
    first = Result("Label Studio: export annotations / its own target sync", ANNOTATIONS, 5.0)
    again = Result("Label Studio: export again, all unchanged / its own", ANNOTATIONS, 50.0)
    project = bench.project()
    choice = {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": ["cat"]}}
    tasks = [
        {"data": {"image": f"s3://bucket/{n}.jpg"}, "annotations": [{"result": [choice], "ground_truth": False}]}
        for n in range(ANNOTATIONS)
    ]
    with bench.http() as client:
        for start in range(0, ANNOTATIONS, BATCH):
            client.post(f"/api/projects/{project.id}/import", json=tasks[start : start + BATCH]).raise_for_status()

    engines = [open_database(bench.database()) for _ in range(PAIRS)]

    def export(number: int) -> Any:
        target = BucketStorage(Bucket(bench.bucket.server, "ours").open(), f"{number}/")
        return export_annotations(project, target, engines[number], ExportOptions(), "benchmark")

    # One takes seconds, 0.6 to 4 of which rclone's disk takes for the same files; the peer's minute is an average.
    first.job.append(median(seconds(partial(export, number)) for number in range(PAIRS)))
    storage, took = bench.own_storage("export/", project, "own")
    first.peer.append(took)
    yield first
    again.peer.append(bench.own_sync(storage, ANNOTATIONS))
    # What changed in the last minute is read again by the next export, once.
    time.sleep(max(0.0, OVERLAP.total_seconds() - took))
    export(0)
    again.job.append(seconds(partial(export, 0)))
    for engine in engines:
        engine.dispose()
    yield again


def _memory(bench: Bench, documents: Path) -> Growth:
    project = bench.project()
    server = bench.label_studio
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        idle, peak = pool.apply(
            _growth_of_an_import, (server.url, server.token, project.id, str(documents), bench.database())
        )
    assert project.progress().tasks == MANY_TASKS
    return Growth(f"Label Studio: memory of an import of {MANY_TASKS:,} tasks / idle", idle, peak, GROWTH_MB)


def _growth_of_an_import(url: str, token: str, project_id: int, root: str, database: str) -> tuple[int, int]:
    """Return the memory of a process before an import, and its peak in the end, in bytes."""
    project, engine = Projects(Client(url, token)).project(project_id), open_database(database)
    # Not its peak so far, which is that of the process it was forked from.
    idle = psutil.Process().memory_info().rss
    import_storage(LocalFiles(f"file://{root}", root), project, engine, ImportOptions(), "benchmark")
    return idle, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _requests(bench: Bench, root: Path) -> Iterator[Requests]:
    """Count the requests for objects that have changed, and for objects that are missing."""
    root.mkdir()
    files = [root / f"{n:04}.json" for n in range(FEW + 1)]
    for n, file in enumerate(files):
        file.write_bytes(TASK_FILE % (n, n))
    client = CountingClient(bench.label_studio.url, bench.label_studio.token, read_seconds=PATIENCE_SECONDS)
    project, engine = Projects(client).project(bench.project().id), open_database(bench.database())

    def count(**options: Any) -> tuple[ImportReport, int]:
        before = client.asked
        source = LocalFiles(f"file://{root}", str(root))
        report = import_storage(source, project, engine, ImportOptions(**options), "benchmark")
        return report, client.asked - before

    count()
    for n, file in enumerate(files[:FEW]):
        file.write_bytes(TASK_FILE % (n, n + FEW))
    report, sent = count(on_changed="update")
    assert report.tasks_updated == FEW, report
    yield Requests(f"Label Studio: requests for {FEW:,} changed objects", FEW, sent, CHANGED_MOST)
    for file in files[:FEW]:
        file.unlink()
    report, sent = count(on_missing="delete", max_delete=FEW)
    assert report.tasks_deleted == FEW, report
    yield Requests(f"Label Studio: requests for {FEW:,} missing objects", FEW, sent, MISSING_MOST)
    engine.dispose()
