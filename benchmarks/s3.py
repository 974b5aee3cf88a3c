"""Amazon S3, beside obstore alone, and beside what a user would write with boto3. The server is rclone's."""

import json
import multiprocessing
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import obstore
from botocore.config import Config
from measuring import PAIRS, THREADS, Peak, Result, fresh_project, make_task_files, seconds
from servers.s3 import S3Server, running_rclone

from labelsync_provider.projects.embedded.project import EmbeddedProject
from labelsync_provider.projects.protocol import Task
from labelsync_provider.storages.buckets import BucketStorage
from labelsync_provider.storages.s3 import S3Bucket
from labelsync_provider.sync import ImportOptions, import_storage

if TYPE_CHECKING:
    from obstore.store import S3Credential

TASK_FILES = 10_000
OBJECTS = 100_000
BATCH = 1000
SCRIPT_PAIRS = 2
"""The script takes long, and its ratio is far from its limit."""


@dataclass(frozen=True)
class Bucket:
    """A bucket of the server."""

    server: S3Server
    name: str

    def client(self) -> Any:
        """Return a boto3 client with as many connections as threads."""
        return boto3.client(
            "s3",
            endpoint_url=self.server.endpoint,
            aws_access_key_id=self.server.access_key,
            aws_secret_access_key=self.server.secret_key,
            region_name=self.server.region,
            config=Config(s3={"addressing_style": "path"}, max_pool_connections=THREADS),
        )

    def open(self) -> S3Bucket:
        """Open it as the hook does."""
        expires: datetime | None = None
        login: S3Credential = {
            "access_key_id": self.server.access_key,
            "secret_access_key": self.server.secret_key,
            "token": None,
            "expires_at": expires,
        }
        return S3Bucket(self.name, self.client(), lambda: login, login="benchmark")


def results(scratch: Path) -> Iterator[Result | Peak]:
    """Run the benchmarks one after the other."""
    root = scratch / "s3"
    for name, count in (("files", TASK_FILES), ("objects", OBJECTS)):
        make_task_files(root / name, count)
    with running_rclone(root) as server:
        files, objects = Bucket(server, "files"), Bucket(server, "objects")
        for bucket in (files, objects):
            sum(len(page) for page in BucketStorage(bucket.open(), "").list())  # rclone computes ETags once
        yield from _gets(files, scratch)
        yield from _script(files, scratch)
        yield from _listing(objects, scratch)
        yield _memory(files, objects, scratch)


def _gets(bucket: Bucket, scratch: Path) -> Iterator[Result]:
    store = bucket.open().store
    keys = [found["path"] for page in obstore.list(store) for found in page]
    result = Result(f"S3: import task files / get them by obstore, threads: {THREADS}", len(keys), 0.6)
    for _ in range(PAIRS):
        result.job.append(_first_import(bucket, scratch))
        result.peer.append(seconds(lambda: _get_all(store, keys)))
    yield result


def _script(bucket: Bucket, scratch: Path) -> Iterator[Result]:
    result = Result(f"S3: import task files / a script with boto3, threads: {THREADS}", TASK_FILES, 3.0)
    for _ in range(SCRIPT_PAIRS):
        result.job.append(_first_import(bucket, scratch))
        with fresh_project(scratch) as (_, project):
            result.peer.append(seconds(partial(_import_by_script, bucket, project)))
    yield result


def _listing(bucket: Bucket, scratch: Path) -> Iterator[Result]:
    result = Result("S3: import again, all unchanged / list by obstore", OBJECTS, 0.7)
    options = ImportOptions(use_blob_urls=True)
    store = bucket.open().store
    with fresh_project(scratch) as (engine, project):

        def import_all() -> None:
            import_storage(BucketStorage(bucket.open(), ""), project, engine, options, "benchmark")

        import_all()
        for _ in range(PAIRS):
            result.job.append(seconds(import_all))
            result.peer.append(seconds(lambda: sum(len(page) for page in obstore.list(store, chunk_size=BATCH))))
    yield result


def _memory(few: Bucket, many: Bucket, scratch: Path) -> Peak:
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(1, maxtasksperchild=1) as pool:
        least, most = (pool.apply(_peak_of_an_import, (bucket, scratch)) for bucket in (few, many))
    return Peak(f"S3: peak memory of an import, {OBJECTS:,} / {TASK_FILES:,} task files", least, most, 1.25)


def _peak_of_an_import(bucket: Bucket, scratch: Path) -> int:
    _first_import(bucket, scratch)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _first_import(bucket: Bucket, scratch: Path) -> float:
    with fresh_project(scratch) as (engine, project):
        source = BucketStorage(bucket.open(), "")
        return seconds(lambda: import_storage(source, project, engine, ImportOptions(), "benchmark"))


def _get_all(store: Any, keys: list[str]) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(lambda key: bytes(obstore.get(store, key).bytes()), keys):
            pass


def _import_by_script(bucket: Bucket, project: EmbeddedProject) -> None:
    client = bucket.client()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket.name)
    keys = [found["Key"] for page in pages for found in page["Contents"]]

    def read(key: str) -> Task:
        return Task(json.loads(client.get_object(Bucket=bucket.name, Key=key)["Body"].read())["data"])

    with ThreadPoolExecutor(THREADS) as pool:
        tasks = list(pool.map(read, keys))
    for start in range(0, len(tasks), BATCH):
        project.import_tasks(tasks[start : start + BATCH])
