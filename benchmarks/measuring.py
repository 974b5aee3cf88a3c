"""How a benchmark measures: a job beside a peer, in turns, in one run."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from sqlalchemy import Engine

from labelsync_provider.database import open_database
from labelsync_provider.projects.embedded.project import EmbeddedProject
from labelsync_provider.projects.embedded.store import EmbeddedStore

PAIRS = 5
THREADS = 32
"""Of a peer."""
LABEL_CONFIG = '<View><Image name="image" value="$image"/></View>'
TASK_FILE = b'{"data": {"image": "s3://bucket/pictures/%06d.jpg", "caption": "picture %d"}}'
FILES_IN_A_DIRECTORY = 1000


@dataclass
class Result:
    """A job beside a peer that does the same number of objects."""

    name: str
    objects: int
    least: float | None
    job: list[float] = field(default_factory=list)
    peer: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """How many times the peer's rate the job has."""
        return median(peer / job for job, peer in zip(self.job, self.peer, strict=True))

    @property
    def missed(self) -> bool:
        """Whether it is below its limit."""
        return self.least is not None and self.ratio < self.least

    def __str__(self) -> str:
        rates = [f"{self.objects / median(seconds):>10,.0f}/s" for seconds in (self.job, self.peer)]
        limit = "         " if self.least is None else f"{self.least:>9.2f}"
        verdict = "" if self.least is None else "MISSED" if self.missed else "ok"
        return f"{self.name:<58}{rates[0]:>13}{rates[1]:>13}{self.ratio:>8.2f}{limit}  {verdict}"


@dataclass
class Peak:
    """The peak memory of a job with few objects, and of the same with many, in bytes."""

    name: str
    few: int
    many: int
    most: float

    @property
    def missed(self) -> bool:
        """Whether it is above its limit."""
        return self.many / self.few > self.most

    def __str__(self) -> str:
        sizes = [f"{size / 1e6:>9,.0f} MB" for size in (self.many, self.few)]
        verdict = "MISSED" if self.missed else "ok"
        return f"{self.name:<58}{sizes[0]:>13}{sizes[1]:>13}{self.many / self.few:>8.2f}{self.most:>9.2f}  {verdict}"


@dataclass
class Growth:
    """The memory of a job above that of the process before it, in bytes."""

    name: str
    idle: int
    peak: int
    most_mb: int

    @property
    def missed(self) -> bool:
        """Whether it is above its limit."""
        return self.peak - self.idle > self.most_mb * 1e6

    def __str__(self) -> str:
        sizes = [f"{size / 1e6:>9,.0f} MB" for size in (self.peak, self.idle)]
        grown, verdict = f"+{(self.peak - self.idle) / 1e6:.0f} MB", "MISSED" if self.missed else "ok"
        return f"{self.name:<58}{sizes[0]:>13}{sizes[1]:>13}{grown:>8}{self.most_mb:>6} MB  {verdict}"


@dataclass
class Requests:
    """The requests that a job sends to a server."""

    name: str
    objects: int
    sent: int
    most: int

    @property
    def missed(self) -> bool:
        """Whether they are more than allowed."""
        return self.sent > self.most

    def __str__(self) -> str:
        counts, verdict = f"{self.sent:>13,}{self.objects:>13,}", "MISSED" if self.missed else "ok"
        return f"{self.name:<58}{counts}{self.sent / self.objects:>8.2f}{self.most:>9,}  {verdict}"


@dataclass
class Processor:
    """The processor time that a job takes itself, and that it costs a server."""

    name: str
    objects: int
    most: float | None
    job: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)

    def note(self, before: tuple[float, float], after: tuple[float, float]) -> None:
        """Note a pair: what the two had taken before a job, and after it."""
        for seconds, began, ended in zip((self.job, self.server), before, after, strict=True):
            seconds.append(ended - began)

    @property
    def share(self) -> float:
        """The job's time by the server's."""
        return median(job / server for job, server in zip(self.job, self.server, strict=True))

    @property
    def missed(self) -> bool:
        """Whether it is above its limit."""
        return self.most is not None and self.share > self.most

    def __str__(self) -> str:
        said = "".join(f"{median(seconds):>11.2f} s" for seconds in (self.job, self.server))
        limit = "         " if self.most is None else f"{self.most:>9.2f}"
        verdict = "" if self.most is None else "MISSED" if self.missed else "ok"
        return f"{self.name:<58}{said}{self.share:>8.2f}{limit}  {verdict}"


def seconds(job: Callable[[], object]) -> float:
    """Return how long a job takes."""
    started = time.perf_counter()
    job()
    return time.perf_counter() - started


def make_task_files(root: Path, count: int) -> None:
    """Write small task files, a thousand to a directory."""
    for n in range(count):
        directory = root / f"{n // FILES_IN_A_DIRECTORY:03}"
        if n % FILES_IN_A_DIRECTORY == 0:
            directory.mkdir(parents=True)
        (directory / f"{n:06}.json").write_bytes(TASK_FILE % (n, n))


@contextmanager
def fresh_project(scratch: Path) -> Iterator[tuple[Engine, EmbeddedProject]]:
    """Open a project in a database of its own."""
    with TemporaryDirectory(dir=scratch) as directory:
        engine = open_database(f"sqlite:///{directory}/labelsync.db")
        yield engine, EmbeddedStore(engine).create_project("benchmark", LABEL_CONFIG)
        engine.dispose()
