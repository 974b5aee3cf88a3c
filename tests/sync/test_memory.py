"""Memory does not grow with the number of objects. Most runs are a process of their own, which reports its peak."""

import os
import tracemalloc
from pathlib import Path

from killing import Child, Listing, Run
from places import Directory, Place, S3Place
from servers.s3 import running_rclone
from sqlalchemy import Engine

from labelsync_provider.database import open_database
from labelsync_provider.projects.embedded.store import EmbeddedStore
from labelsync_provider.projects.protocol import Task
from labelsync_provider.storages.local_files import LocalFiles
from labelsync_provider.sync import ExportOptions, ImportOptions, ImportReport, export_annotations

# A task alone takes more than a kilobyte; the caches of SQLite grow to some megabytes.
FEW, MANY = 1_000, 24_000
MOST_GROWTH = 30_000_000
# A connection to a bucket takes a tenth of a megabyte, and a run with few objects does not come to have 256 of them.
IN_FLIGHT = 16
# All of these names take 28 megabytes; two pages of a listing take ten.
IN_MEMORY, NAMES, MOST_GROWTH_OF_NAMES = 12_500, 100_000, 20_000_000
NAMES_OF_A_FILE = 50_000
MANY_IN_A_BUCKET = 8_000
TASK_FILE = b'{"data": {"text": "What a lovely day it is to label."}}'


def fill(directory: Path, count: int, content: bytes) -> None:
    """Write many files into one directory."""
    directory.mkdir()
    for number in range(count):
        descriptor = os.open(directory / f"{number:06}.json", os.O_WRONLY | os.O_CREAT)
        os.write(descriptor, content)
        os.close(descriptor)


def fill_with_names(directory: Path, count: int) -> None:
    """Give a few files many long names: that is all a listing looks at, and faster than as many files."""
    directory.mkdir()
    for number in range(count):
        name = directory / f"{number:0200}.json"
        if number % NAMES_OF_A_FILE == 0:
            name.touch()
            file = name
        else:
            os.link(file, name)


def imported(tmp_path: Path, count: int, place: Place | None = None) -> Run:
    """An import of many task files into a new project."""
    url = f"sqlite:///{tmp_path}/{count}.db"
    engine = open_database(url)
    EmbeddedStore(engine).create_project("P", "<View/>")
    engine.dispose()
    return Run(url, place or Directory(tmp_path), f"{count}/", ImportOptions(max_in_flight=IN_FLIGHT))


def test_an_import_takes_no_more_memory_for_many_times_the_objects(tmp_path: Path) -> None:
    for count in (FEW, MANY):
        fill(tmp_path / str(count), count, TASK_FILE)
    assert_no_more_memory(imported(tmp_path, FEW), imported(tmp_path, MANY), MANY)


def test_an_import_from_a_bucket_takes_no_more_memory_for_many_times_the_objects(tmp_path: Path) -> None:
    (tmp_path / "buckets" / "bucket").mkdir(parents=True)
    for count in (FEW, MANY_IN_A_BUCKET):
        fill(tmp_path / "buckets" / "bucket" / str(count), count, TASK_FILE)
    with running_rclone(tmp_path / "buckets") as server:
        bucket = S3Place(server, "bucket")
        few, many = imported(tmp_path, FEW, bucket), imported(tmp_path, MANY_IN_A_BUCKET, bucket)
        assert_no_more_memory(few, many, MANY_IN_A_BUCKET)


def assert_no_more_memory(few: Run, many: Run, count: int) -> None:
    least = Child(few).outcome()
    most = Child(many).outcome()
    again = Child(many).outcome()
    reports = [outcome.result for outcome in (least, most, again)]
    counts = [(report.tasks_created, report.unchanged) for report in reports if isinstance(report, ImportReport)]
    assert counts == [(FEW, 0), (count, 0), (0, count)]
    assert most.peak_bytes - least.peak_bytes < MOST_GROWTH
    assert again.peak_bytes - least.peak_bytes < MOST_GROWTH


def test_a_listing_of_one_large_directory_is_sorted_in_little_memory(tmp_path: Path) -> None:
    fill_with_names(tmp_path / "few", FEW)
    fill_with_names(tmp_path / "many", NAMES)
    few = Child(Listing(Directory(tmp_path), "few/", IN_MEMORY)).outcome()
    many = Child(Listing(Directory(tmp_path), "many/", IN_MEMORY)).outcome()
    assert (few.result, many.result) == (FEW, NAMES)
    assert many.peak_bytes - few.peak_bytes < MOST_GROWTH_OF_NAMES


def test_an_export_does_not_hold_the_data_of_a_task_once_for_each_annotation(tmp_path: Path, engine: Engine) -> None:
    tasks, annotations, size = 50, 50, 10_000
    project = EmbeddedStore(engine).create_project("P", "<View/>")
    project.import_tasks([Task({"text": "x" * size}, annotations=[{"result": []}] * annotations) for _ in range(tasks)])
    target = LocalFiles(str(tmp_path / "target"), str(tmp_path))
    tracemalloc.start()
    try:
        report = export_annotations(project, target, engine, ExportOptions(dry_run=True), "a test")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert report.written == tasks * annotations
    assert peak < tasks * annotations * size / 2


def test_the_embedded_store_holds_a_bounded_number_of_annotations(tmp_path: Path, engine: Engine) -> None:
    tasks, annotations = 10, 5_000
    project = EmbeddedStore(engine).create_project("P", "<View/>")
    target = LocalFiles(str(tmp_path / "target"), str(tmp_path))
    tracemalloc.start()
    try:
        project.import_tasks([Task({}, annotations=[{"result": []}] * annotations) for _ in range(tasks)])
        peak_of_import = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        report = export_annotations(project, target, engine, ExportOptions(layout="task"), "a test")
        peak_of_export = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert report.written == tasks
    # Of all at once, 22 and 81 million.
    assert peak_of_import < 15_000_000
    assert peak_of_export < 50_000_000
