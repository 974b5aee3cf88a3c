"""Runs the benchmarks and prints a table. Every figure is a ratio within one run, the median of several pairs."""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import msgspec
from sqlalchemy import Engine

from labelsync_provider.database import open_database
from labelsync_provider.projects.embedded import EmbeddedStore
from labelsync_provider.storages.local_files import LocalFiles
from labelsync_provider.sync.importer import ImportOptions, import_storage

PAIRS = 5
THREADS = ImportOptions().max_workers
TASK_FILES = 20_000
OBJECTS = 100_000
FILES_IN_A_DIRECTORY = 1000

LABEL_CONFIG = '<View><Image name="image" value="$image"/></View>'


@dataclass
class Result:
    """A job beside a peer that does the same number of objects."""

    name: str
    objects: int
    job: list[float]
    peer: list[float]
    least: float | None

    @property
    def ratio(self) -> float:
        """How many times the peer's rate the job has."""
        return median(peer / job for job, peer in zip(self.job, self.peer, strict=True))

    def __str__(self) -> str:
        rates = [f"{self.objects / median(seconds):>10,.0f}/s" for seconds in (self.job, self.peer)]
        limit = "         " if self.least is None else f"{self.least:>9.2f}"
        verdict = "" if self.least is None else "ok" if self.ratio >= self.least else "MISSED"
        return f"{self.name:<58}{rates[0]:>13}{rates[1]:>13}{self.ratio:>8.2f}{limit}  {verdict}"


def seconds(job: Callable[[], object]) -> float:
    started = time.perf_counter()
    job()
    return time.perf_counter() - started


def make_task_files(root: Path, count: int) -> None:
    for n in range(count):
        directory = root / f"{n // FILES_IN_A_DIRECTORY:03}"
        if n % FILES_IN_A_DIRECTORY == 0:
            directory.mkdir(parents=True)
        with open(directory / f"{n:06}.json", "wb") as file:
            file.write(b'{"data": {"image": "s3://bucket/pictures/%06d.jpg", "caption": "picture %d"}}' % (n, n))


@contextmanager
def fresh_database(root: Path) -> Iterator[Engine]:
    with tempfile.TemporaryDirectory(dir=root) as directory:
        engine = open_database(f"sqlite:///{directory}/labelsync.db")
        yield engine
        engine.dispose()


def imports(root: Path, engine: Engine, options: ImportOptions) -> Callable[[], object]:
    project = EmbeddedStore(engine).create_project("benchmark", LABEL_CONFIG)
    source = LocalFiles(f"file://{root}", str(root))
    return lambda: import_storage(source, project, engine, options, "benchmark")


def first_imports(root: Path, scratch: Path, options: ImportOptions) -> float:
    with fresh_database(scratch) as engine:
        return seconds(imports(root, engine, options))


def list_all(root: Path) -> int:
    return sum(len(page) for page in LocalFiles(f"file://{root}", str(root)).list())


def read_and_parse(path: str) -> object:
    with open(path, "rb") as file:
        return msgspec.json.decode(file.read())


def read_and_parse_all(paths: list[str], threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(read_and_parse, paths):
            pass


def task_files_against_reading(files: Path, scratch: Path) -> Iterator[Result]:
    paths = [entry.path for directory in os.scandir(files) for entry in os.scandir(directory.path)]
    for threads, least in ((THREADS, 0.4), (1, None)):
        result = Result(f"import task files / read and parse them, threads: {threads}", len(paths), [], [], least)
        for _ in range(PAIRS):
            result.job.append(first_imports(files, scratch, ImportOptions()))
            result.peer.append(seconds(lambda threads=threads: read_and_parse_all(paths, threads)))
        yield result


def blobs_against_listing(objects: Path, scratch: Path) -> Iterator[Result]:
    result = Result("import blobs / list them", OBJECTS, [], [], 0.2)
    for _ in range(PAIRS):
        result.job.append(first_imports(objects, scratch, ImportOptions(use_blob_urls=True)))
        result.peer.append(seconds(lambda: list_all(objects)))
    yield result


def unchanged_against_listing(objects: Path, scratch: Path) -> Iterator[Result]:
    result = Result("import again, all unchanged / list them", OBJECTS, [], [], 0.5)
    with fresh_database(scratch) as engine:
        job = imports(objects, engine, ImportOptions(use_blob_urls=True))
        job()
        for _ in range(PAIRS):
            result.job.append(seconds(job))
            result.peer.append(seconds(lambda: list_all(objects)))
    yield result


def main() -> int:
    """Run all; return 1 if a limit was missed."""
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        print(f"Making {TASK_FILES + OBJECTS:,} files ...", file=sys.stderr)
        make_task_files(scratch / "files", TASK_FILES)
        make_task_files(scratch / "objects", OBJECTS)
        list_all(scratch / "objects")
        missed = False
        print(f"{'job / peer':<58}{'job':>13}{'peer':>13}{'ratio':>8}{'at least':>9}")
        for benchmark, data in (
            (task_files_against_reading, scratch / "files"),
            (blobs_against_listing, scratch / "objects"),
            (unchanged_against_listing, scratch / "objects"),
        ):
            for result in benchmark(data, scratch):
                print(result, flush=True)
                missed |= result.least is not None and result.ratio < result.least
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
