"""Memory does not grow with the number of objects. Each run is a process of its own, which reports its peak."""

import os
from pathlib import Path

from killing import Child, Listing, Run

from labelsync_provider.database import open_database
from labelsync_provider.projects.embedded import EmbeddedStore
from labelsync_provider.storages.spool import SORTED_IN_MEMORY
from labelsync_provider.sync.importer import ImportOptions

FEW, MANY = 1_000, 100_000
MOST_GROWTH = 50_000_000
NAMES = 6 * SORTED_IN_MEMORY
NAMES_OF_A_FILE = 50_000


def fill(directory: Path, count: int, content: bytes = b"{}") -> Path:
    """Write many files into one directory."""
    directory.mkdir()
    for number in range(count):
        descriptor = os.open(directory / f"{number:06}.json", os.O_WRONLY | os.O_CREAT)
        os.write(descriptor, content)
        os.close(descriptor)
    return directory


def fill_with_names(directory: Path, count: int) -> Path:
    """Give a few files many long names: that is all a listing looks at, and faster than as many files."""
    directory.mkdir()
    for number in range(count):
        name = directory / f"{number:0200}.json"
        if number % NAMES_OF_A_FILE == 0:
            name.touch()
            file = name
        else:
            os.link(file, name)
    return directory


def imported(tmp_path: Path, count: int) -> Run:
    """An import of many task files into a new project."""
    url = f"sqlite:///{tmp_path}/{count}.db"
    engine = open_database(url)
    EmbeddedStore(engine).create_project("P", "<View/>")
    engine.dispose()
    content = b'{"data": {"text": "What a lovely day it is to label."}}'
    return Run(url, fill(tmp_path / str(count), count, content), ImportOptions())


def test_an_import_takes_no_more_memory_for_a_hundred_times_the_objects(tmp_path: Path) -> None:
    few, many = imported(tmp_path, FEW), imported(tmp_path, MANY)
    least = Child(few).outcome()
    most = Child(many).outcome()
    again = Child(many).outcome()
    assert least.result.tasks_created == FEW
    assert most.result.tasks_created == MANY
    assert (again.result.unchanged, again.result.tasks_created) == (MANY, 0)
    assert most.peak_bytes - least.peak_bytes < MOST_GROWTH
    assert again.peak_bytes - least.peak_bytes < MOST_GROWTH


def test_a_listing_of_one_large_directory_is_sorted_in_little_memory(tmp_path: Path) -> None:
    few = Child(Listing(fill_with_names(tmp_path / "few", FEW))).outcome()
    many = Child(Listing(fill_with_names(tmp_path / "many", NAMES))).outcome()
    assert (few.result, many.result) == (FEW, NAMES)
    assert many.peak_bytes - few.peak_bytes < MOST_GROWTH
