"""Local files, beside reading and listing them."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import msgspec
from measuring import PAIRS, THREADS, Result, fresh_project, make_task_files, seconds

from labelsync_provider.storages.local_files import LocalFiles
from labelsync_provider.sync import ImportOptions, import_storage

TASK_FILES = 20_000
OBJECTS = 100_000
BLOB_PAIRS = 9
"""Of an import that commits two hundred times to this machine's disk, which takes its time by chance."""


def results(scratch: Path) -> Iterator[Result]:
    """Run the benchmarks one after the other."""
    make_task_files(scratch / "files", TASK_FILES)
    make_task_files(scratch / "objects", OBJECTS)
    _list_all(scratch / "objects")
    yield from _task_files(scratch / "files", scratch)
    yield from _blobs(scratch / "objects", scratch)
    yield from _unchanged(scratch / "objects", scratch)


def _task_files(files: Path, scratch: Path) -> Iterator[Result]:
    paths = [entry.path for directory in os.scandir(files) for entry in os.scandir(directory.path)]
    for threads, least in ((THREADS, 0.4), (1, None)):
        result = Result(f"import task files / read and parse them, threads: {threads}", len(paths), least)
        for _ in range(PAIRS):
            result.job.append(_first_import(files, scratch, ImportOptions()))
            result.peer.append(seconds(partial(_read_and_parse_all, paths, threads)))
        yield result


def _blobs(objects: Path, scratch: Path) -> Iterator[Result]:
    result = Result("import blobs / list them", OBJECTS, 0.2)
    for _ in range(BLOB_PAIRS):
        result.job.append(_first_import(objects, scratch, ImportOptions(use_blob_urls=True)))
        result.peer.append(seconds(lambda: _list_all(objects)))
    yield result


def _unchanged(objects: Path, scratch: Path) -> Iterator[Result]:
    result = Result("import again, all unchanged / list them", OBJECTS, 0.5)
    options = ImportOptions(use_blob_urls=True)
    with fresh_project(scratch) as (engine, project):
        import_storage(_source(objects), project, engine, options, "benchmark")
        for _ in range(PAIRS):
            result.job.append(seconds(lambda: import_storage(_source(objects), project, engine, options, "benchmark")))
            result.peer.append(seconds(lambda: _list_all(objects)))
    yield result


def _source(root: Path) -> LocalFiles:
    return LocalFiles(f"file://{root}", str(root))


def _first_import(root: Path, scratch: Path, options: ImportOptions) -> float:
    with fresh_project(scratch) as (engine, project):
        return seconds(lambda: import_storage(_source(root), project, engine, options, "benchmark"))


def _list_all(root: Path) -> int:
    return sum(len(page) for page in _source(root).list())


def _read_and_parse(path: str) -> object:
    with open(path, "rb") as file:
        return msgspec.json.decode(file.read())


def _read_and_parse_all(paths: list[str], threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(_read_and_parse, paths):
            pass
