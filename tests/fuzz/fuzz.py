"""Fuzz: hostile objects beside good ones, imported into the embedded store. Nothing crashes, and no good one is lost.

    make fuzz CASES=3000 SEED=1

prints a table by class, and one of inputs that take as much memory as they can.
"""

import argparse
import logging
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from fuzz.cases import CLASSES, EXTREMES, Case
from model.bucket import Bucket
from sqlalchemy import Engine, select

from labelsync_provider.database import open_database
from labelsync_provider.projects.embedded.project import EmbeddedProject
from labelsync_provider.projects.embedded.store import EmbeddedStore
from labelsync_provider.projects.embedded.tables import TASK
from labelsync_provider.storages.local_files import LocalFiles
from labelsync_provider.sync import ImportOptions, ImportReport, import_storage

CONFIG = '<View><Text name="t" value="$text"/></View>'
GOOD = {"0.json": b'{"text": "good 1"}', "z.jsonl": b'{"text": "good 2"}\n{"text": "good 3"}\n'}
TEXTS = {"good 1", "good 2", "good 3"}
MOST_MB = 400


@dataclass
class Tally:
    """What became of the cases of a class."""

    cases: int = 0
    crashes: int = 0
    lost: int = 0
    mb: float = 0.0
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.cases:>8,}{self.crashes:>10}{self.lost:>18}{self.mb:>14,.0f} MB{self.seconds:>14.1f} s"


HEAD = f"{'':<38}{'cases':>8}{'crashes':>10}{'neighbours lost':>18}{'worst memory':>17}{'worst time':>16}"


class Fuzzer:
    """Imports cases one after another, each into a project of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.engine: Engine = open_database(f"sqlite:///{directory}/labelsync.db")
        self._store = EmbeddedStore(self.engine)
        self._number = 0
        self.failures: list[str] = []
        self.run("warm-up", Case("m.json", b"[1]"), Tally())
        self.idle = _memory("VmRSS")

    def run(self, name: str, case: Case, tally: Tally, *, known: bool = False) -> None:
        """Import a case beside its neighbours, and count what came of it.

        :param known: whether the object was a good one before, and was imported.
        """
        self._number += 1
        project = self._store.create_project(f"{self._number}", CONFIG)
        _forget_peak()
        started = time.perf_counter()
        try:
            with self._source(case, known=known) as (source, become_hostile):
                if known:
                    self._import(source(), project, case)
                    become_hostile()
                self._import(source(), project, case)
        except Exception as error:
            tally.crashes += 1
            self.failures.append(f"{name}: {case.key!r:.60} {case.content[:60]!r} {case.special}: {error!r:.300}")
        tally.cases += 1
        tally.seconds = max(tally.seconds, time.perf_counter() - started)
        tally.mb = max(tally.mb, (_memory("VmHWM") - getattr(self, "idle", 0)) / 1e6)
        if missing := self._missing(project, case):
            tally.lost += 1
            self.failures.append(f"{name}: {case.key!r:.60} {case.content[:60]!r} {case.special}: lost {missing}")

    def _import(self, source: Any, project: EmbeddedProject, case: Case) -> ImportReport:
        options = ImportOptions(use_blob_urls=case.as_blob)
        return import_storage(source, project, self.engine, options, "the fuzzer")

    def _missing(self, project: EmbeddedProject, case: Case) -> set[str]:
        with self.engine.connect() as connection:
            found = connection.execute(
                select(TASK.c.data["text"].as_string()).where(TASK.c.project == project.id)
            ).scalars()
            texts = {text for text in found if text and len(text) < 300}
        wanted = GOOD if case.as_blob else TEXTS
        return {good for good in wanted if not any(text.endswith(good) for text in texts)}

    @contextmanager
    def _source(self, case: Case, *, known: bool) -> Iterator[Any]:
        before = b'{"text": "before"}\n{"text": "before too"}'
        if case.special:
            root = self._directory / f"in-{self._number}"
            root.mkdir()
            for key, content in GOOD.items():
                (root / key).write_bytes(content)
            path = root / os.fsdecode(os.fsencode(case.key))
            path.parent.mkdir(exist_ok=True)
            if known:
                path.write_bytes(before)
            else:
                _make(path, case)
            yield lambda: LocalFiles(root.as_uri(), str(root)), lambda: (path.unlink(), _make(path, case))
            return
        bucket = Bucket()
        for key, content in GOOD.items():
            bucket.put(key, content)
        bucket.put(case.key, before if known else case.content)
        yield bucket.open, lambda: bucket.put(case.key, case.content)


def _make(path: Path, case: Case) -> None:
    """Make a special file."""
    if case.special == "fifo":
        os.mkfifo(path)
    elif case.special == "socket":
        with socket.socket(socket.AF_UNIX) as listening, _inside(path.parent):
            listening.bind(path.name)
    elif case.special == "directory":
        path.mkdir()
        (path / "below.json").write_bytes(case.content)
    elif case.special == "dangling link":
        path.symlink_to("nothing")
    elif case.special == "loop":
        path.symlink_to(path.name)
    elif case.special == "link out":
        path.symlink_to("/etc/hostname")
    elif case.special == "link to a directory":
        path.symlink_to(path.parent)
    elif case.special == "sparse":
        path.touch()
        os.truncate(path, 10_000_000_000)
    else:
        path.write_bytes(case.content)
        path.chmod(0)


@contextmanager
def _inside(directory: Path) -> Iterator[None]:
    """Work in a directory for a moment: the path of a socket has a hundred bytes."""
    before = os.getcwd()
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)


def _memory(name: str) -> float:
    """Return a size of this process, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise KeyError(name)


def _forget_peak() -> None:
    """Have the highest memory counted from now on."""
    Path("/proc/self/clear_refs").write_text("5")


def fuzzed(fuzzer: Fuzzer, seed: int, cases: int) -> dict[str, Tally]:
    """Import cases of every class in turn; every third object was good before."""
    tallies = {name: Tally() for name in CLASSES}
    for number in range(cases):
        name = list(CLASSES)[number % len(CLASSES)]
        draw = Random(f"{seed} {number}")
        fuzzer.run(f"{name} {number}", CLASSES[name](draw), tallies[name], known=draw.random() < 1 / 3)
    return tallies


def main() -> None:
    """Fuzz, print the tables, and fail if something crashed, was lost or took too much."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="a part of the names of the extremes, instead of the cases")
    given = parser.parse_args()
    logging.disable()
    with tempfile.TemporaryDirectory() as directory:
        fuzzer = Fuzzer(Path(directory))
        tallies = {} if given.only else fuzzed(fuzzer, given.seed, given.cases)
        print(f"seed {given.seed}\n{HEAD}")
        for name, tally in tallies.items():
            print(f"{name:<38}{tally}", flush=True)
        for name, content in EXTREMES.items():
            if given.only in name:
                tallies[name] = Tally()
                fuzzer.run(name, Case("m.json", content()), tallies[name])
                print(f"{name:<38}{tallies[name]}", flush=True)
        fuzzer.engine.dispose()
    print(*fuzzer.failures[:40], sep="\n")
    too_much = [name for name, tally in tallies.items() if tally.mb > MOST_MB]
    if fuzzer.failures or too_much:
        sys.exit(f"{len(fuzzer.failures)} failures; above {MOST_MB} MB: {', '.join(too_much) or 'none'}")


if __name__ == "__main__":
    main()
