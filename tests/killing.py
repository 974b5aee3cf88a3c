"""Imports and exports in processes of their own, struck at an instant that a test chooses.

The package knows nothing of this: in the child, its functions are wrapped before the run begins. Children are
forked by a server that has imported everything once, holds no connection and runs no thread.
"""

import inspect
import logging
import multiprocessing
import os
import random
import resource
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache, wraps
from itertools import count
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Protocol

import pytest
from msgspec import structs
from places import Place
from sqlalchemy import event
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.pool import Pool

from labelsync_provider.database import open_database
from labelsync_provider.errors import LeaseHeld
from labelsync_provider.projects.embedded import project as embedded
from labelsync_provider.projects.embedded.project import EmbeddedProject
from labelsync_provider.projects.embedded.store import EmbeddedStore
from labelsync_provider.projects.label_studio.client import Client
from labelsync_provider.projects.label_studio.project import LabelStudioProject
from labelsync_provider.projects.label_studio.queries import TaskApi
from labelsync_provider.projects.label_studio.server import LabelStudioServer
from labelsync_provider.storages import local_writing, spool
from labelsync_provider.storages.buckets import BucketStorage
from labelsync_provider.storages.local_files import LocalFiles
from labelsync_provider.storages.redis import RedisStorage
from labelsync_provider.sync import (
    ExportOptions,
    ExportReport,
    ImportOptions,
    ImportReport,
    Owner,
    export_annotations,
    import_storage,
)
from labelsync_provider.sync.ledger import entering, exports
from labelsync_provider.sync.ledger.exports import ExportLedger
from labelsync_provider.sync.ledger.imports import ImportLedger
from labelsync_provider.sync.ledger.lease import Lease

PATIENCE_SECONDS = 60.0
LOOK_AGAIN_SECONDS = 0.01
COUNTABLE_SECONDS = 2

# What a run needs, this module with all that it imports among it. obstore starts its threads when it is first used, and
# not before.
PRELOADED = ["killing", "sqlalchemy.dialects.sqlite", "sqlalchemy.dialects.postgresql.psycopg", "psycopg"]
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["__main__", *PRELOADED])

OWNERS: dict[str, list[Any]] = {
    "Storage": [LocalFiles, BucketStorage, RedisStorage],
    "Project": [EmbeddedProject, LabelStudioProject],
    "TaskApi": [TaskApi],
    "Ledger": [ImportLedger, ExportLedger],
    "Lease": [Lease],
    "database": [DefaultDialect],
    "os": [os],
    "local_writing": [local_writing],
    "embedded": [embedded],
    "ledger": [entering, exports],
}

SWEEP = os.environ.get("LABELSYNC_SWEEP", "alternately")
"""Where a run is killed that is killed everywhere: before one commit and after the next, by turns (`alternately`);
before and after each (`commits`); or, as `make soak` does it, before each statement too (`statements`). Between two
commits that is a rollback, which is the database's business. Of instants that are named, every other one is enough,
alternately: the models kill runs before and after each effect."""
STATEMENTS = ["do_execute", "do_executemany"] if SWEEP == "statements" else []

STEP = 2 if SWEEP == "alternately" else 1

# To start a process looks at how the others ended, which only one thread can read.
ONE_AT_A_TIME = threading.Lock()

Strike = Callable[[], None]


# --- what runs ---


@dataclass(frozen=True)
class OnServer:
    """A project of a Label Studio server, as it is reached."""

    url: str
    token: str
    project: int
    read_seconds: float = 10.0
    retry_seconds: float = 20.0

    def open(self) -> LabelStudioProject:
        # The usual authorities, which nobody asks for here, take long to read.
        client = Client(
            self.url, self.token, verify=False, read_seconds=self.read_seconds, retry_seconds=self.retry_seconds
        )
        return LabelStudioServer(client).project(self.project)


@dataclass(frozen=True)
class Run:
    """An import or an export between a place and a project."""

    database: str
    place: Place
    prefix: str
    options: ImportOptions | ExportOptions
    project: str = "P"
    owner: Owner | str = "the run of this test"
    server: OnServer | None = None
    """Where the project is, if not in the embedded store."""

    def __call__(self) -> Any:
        """Run it in this process; return its report."""
        engine = open_database(self.database)
        try:
            project = self.server.open() if self.server else EmbeddedStore(engine).project(self.project)
            storage = self.place.open(self.prefix)
            if isinstance(self.options, ImportOptions):
                return import_storage(storage, project, engine, self.options, self.owner)
            return export_annotations(project, storage, engine, self.options, self.owner)
        finally:
            engine.dispose()

    def when_free(self) -> Any:
        """Run it in this process, as soon as nobody else holds the lease; sooner than a run that waits looks again."""
        return when_free(self.with_options(wait_for_lease=0) if isinstance(self.options, ImportOptions) else self)

    def with_options(self, **options: Any) -> "Run":
        """Return the same run with some options of other values."""
        return replace(self, options=structs.replace(self.options, **options))


def when_free(run: Callable[[], Any]) -> Any:
    """Run something as soon as nobody else holds its lease."""
    for _ in patiently("the lease was never free"):
        try:
            return run()
        except LeaseHeld:
            continue
    raise AssertionError


@dataclass(frozen=True)
class Listing:
    """A listing, and nothing done with it."""

    place: Place
    prefix: str
    sorted_in_memory: int
    """So many names, and no more."""

    def __call__(self) -> int:
        """Return how many objects it shows."""
        spool.SORTED_IN_MEMORY = self.sorted_in_memory
        return sum(map(len, self.place.open(self.prefix).list()))


# --- when it is struck ---


class Instant(Protocol):
    """When a run is struck."""

    def arm(self, strike: Strike) -> None:
        """Wrap what has to be wrapped."""


@dataclass(frozen=True)
class _Call:
    function: str
    """`Owner.name`; of a generator, each page that it yields counts as a call."""
    number: int = 1

    moment = ""

    def __str__(self) -> str:
        return f"{self.moment} {self.function} {self.number}"

    def arm(self, strike: Strike) -> None:
        numbers = count(1)

        def reached(moment: str, number: int) -> None:
            if moment == self.moment and number == self.number:
                strike()

        _wrap(self.function, lambda: next(numbers), reached)


class Before(_Call):
    """Right before the n-th call of a function; before a page leaves a generator."""

    moment = "before"


class After(_Call):
    """Right after the n-th call of a function; after the page of a generator was worked off."""

    moment = "after"


@dataclass(frozen=True)
class AtCommit:
    """Right before and right after each commit: the n-th of all these instants. See `SWEEP` for those between."""

    number: int

    def arm(self, strike: Strike) -> None:
        instants = count(1)

        def reached(moment: str, of_commit: int) -> None:
            # Right after a statement, a database shows what it shows right before the next one.
            if moment == "before" or of_commit:
                COUNTED.number = number = next(instants)  # threads come here side by side
                if number == self.number:
                    strike()

        _wrap("database.do_commit", lambda: True, reached)
        for function in STATEMENTS:
            _wrap(f"database.{function}", lambda: False, reached)


@dataclass(frozen=True)
class AfterSeconds:
    """An instant that nothing in the run decides: the kernel ends the process, whatever it is doing."""

    seconds: float

    def arm(self, strike: Strike) -> None:
        signal.setitimer(signal.ITIMER_REAL, self.seconds)


class COUNTED:
    """How many instants `AtCommit` has seen in this process."""

    number = 0


def _wrap(function: str, enter: Callable[[], int], reached: Callable[[str, int], None]) -> None:
    owner, _, name = function.partition(".")
    owners = [each for each in OWNERS[owner] if hasattr(each, name)]
    assert owners, f"there is no {function}"
    for each in owners:
        _wrap_in(each, name, enter, reached)


def _wrap_in(owner: Any, name: str, enter: Callable[[], int], reached: Callable[[str, int], None]) -> None:
    original = getattr(owner, name)

    @wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        number = enter()
        reached("before", number)
        result = original(*args, **kwargs)
        reached("after", number)
        return result

    @wraps(original)
    def pages(*args: Any, **kwargs: Any) -> Iterator[Any]:
        for page in original(*args, **kwargs):
            number = enter()
            reached("before", number)
            yield page
            reached("after", number)

    setattr(owner, name, pages if inspect.isgeneratorfunction(original) else call)


# --- how it is struck ---


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _pauses() -> Strike:
    """Pause with SIGSTOP, but never while another thread, the lease's, is in a transaction.

    The lock that such a thread would hold for good is the database's business, and not what is tested.
    """
    in_use = threading.RLock()
    event.listen(Pool, "checkout", lambda *_: in_use.acquire())
    event.listen(Pool, "checkin", lambda *_: in_use.release())

    def pause() -> None:
        with in_use:
            # To this very thread: one sent to the process leaves it time to go on before it stops.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)

    return pause


def _holds(gate: Path) -> Strike:
    """Stand still, with every other thread at work, until the file `gate` is there."""

    def hold() -> None:
        gate.with_suffix(".reached").touch()
        for _ in patiently(f"{gate} was never opened"):
            if gate.exists():
                return

    return hold


# --- the process ---


@dataclass(frozen=True)
class Outcome:
    """What became of a run."""

    result: ImportReport | ExportReport | int | None
    error: Exception | None
    instants: int
    """How many `AtCommit` saw."""
    peak_bytes: int
    """The most memory that the process had, and its children."""
    seconds: float


class Child:
    """A run in a process of its own."""

    def __init__(self, run: Callable[[], Any], instant: Instant | None = None, how: str | Path = "kill") -> None:
        """Start it.

        :param instant: when it is struck.
        :param how: "kill", "pause", or a path: then it stands still until a file is there.
        """
        self._outcome, theirs = FORKS.Pipe(duplex=False)
        self._process: ForkServerProcess = FORKS.Process(target=_run, args=(run, instant, how, theirs), daemon=True)
        with ONE_AT_A_TIME:
            _start_server()
            self._process.start()
        theirs.close()

    @property
    def killed(self) -> bool:
        """Whether it was struck dead, once it has ended."""
        return self._exit_code() in (-signal.SIGKILL, -signal.SIGALRM)

    def outcome(self) -> Outcome:
        """Wait for its end, which must not be a violent one."""
        assert self._outcome.poll(PATIENCE_SECONDS), "the child does not end"
        outcome: Outcome = self._outcome.recv()
        self._exit_code()
        return outcome

    def result(self) -> Any:
        """Return what it returned, or raise what it raised."""
        outcome = self.outcome()
        if outcome.error:
            raise outcome.error
        return outcome.result

    def _exit_code(self) -> int | None:
        assert wait([self._process.sentinel], PATIENCE_SECONDS), "the child does not end"
        with ONE_AT_A_TIME:
            return self._process.exitcode

    def kill(self) -> None:
        """Kill it now, if it still runs."""
        self._process.kill()

    def wait_until_paused(self) -> None:
        """Wait until it stands still by SIGSTOP."""
        for _ in patiently("the child is not paused"):
            if wait([self._process.sentinel], 0):
                raise AssertionError(f"the child ended before it was paused: {self.outcome()}")
            if Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
                return

    def wake(self) -> None:
        """Let it go on."""
        os.kill(self._process.pid or 0, signal.SIGCONT)


@cache
def _start_server() -> None:
    """Start the process that forks the others. It does not know our `sys.path`, and shall find this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        forkserver.ensure_running()


def at_each(points: Mapping[str, Instant] | Sequence[Instant]) -> pytest.MarkDecorator:
    """Have a test kill a run at each of some points, or at every other one: see `SWEEP`."""
    named = points if isinstance(points, Mapping) else {str(point): point for point in points}
    return pytest.mark.parametrize("point", [*named.values()][::STEP], ids=[*named][::STEP])


@contextmanager
def paused(run: Callable[[], Any], instant: Instant) -> Iterator[Child]:
    """Pause a run at an instant; it is there, paused, in the block, which may wake it."""
    child = Child(run, instant, "pause")
    try:
        child.wait_until_paused()
        yield child
    finally:
        child.kill()


def killed(run: Callable[[], Any], instant: Instant) -> bool:
    """Run until an instant, and there kill the process; tell whether it came so far."""
    return Child(run, instant).killed


def killed_at_every_commit(run: Run, copied: Callable[[Run, object], Run]) -> list[Run]:
    """Kill a run before and after each commit (see `SWEEP`), each time on a copy; return the copies.

    :param copied: copies a run and all that it works on, given something to name it by.
    """
    # A lease that outlasts a small run is never renewed: a renewal is a commit more than was counted.
    run = run.with_options(lease_seconds=COUNTABLE_SECONDS)
    copied(run, "first").when_free()  # where copies share a database, its tables are there from now on
    undisturbed = Child(copied(run, "undisturbed"), AtCommit(0)).outcome()
    assert undisturbed.error is None, undisturbed.error
    instants: Sequence[int] = range(1, undisturbed.instants + 1)
    assert len(instants) > 10, "a run has more commits than that"
    if SWEEP == "alternately":
        instants = [number for number in instants if number % 4 in (0, 1)]
    runs = [copied(run, number) for number in instants]
    assert sum(at_once(_killed_at, runs, map(AtCommit, instants))) > 0.9 * len(runs)
    return runs


def _killed_at(run: Run, instant: AtCommit) -> bool:
    """Kill a run, unless it gets by with fewer commits than another one: on a slow day that renewed its lease."""
    child = Child(run, instant)
    if child.killed:
        return True
    outcome = child.outcome()
    assert outcome.error is None, outcome.error
    assert outcome.instants < instant.number
    return False


def at_once(work: Callable[..., Any], *items: Iterable[Any]) -> list[Any]:
    """Do the work for all items, some at a time: mostly it waits for a child or a disk."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(work, *items))


def copy_database(run: Run, name: object) -> Run:
    """Return the same run on a copy of its SQLite database."""
    database = Path(run.database.removeprefix("sqlite:///"))
    copy = f"{database.parent}/{name}-{database.name}"
    for suffix in ("", "-wal"):  # a killed run leaves its last commits in the latter
        with suppress(FileNotFoundError):
            shutil.copyfile(f"{database}{suffix}", f"{copy}{suffix}")
    return replace(run, database=f"sqlite:///{copy}")


def threads_of_the_server() -> int:
    """Return how many threads the process has that forked this one."""
    return len(os.listdir(f"/proc/{os.getppid()}/task"))


def patiently(what: str) -> Iterator[None]:
    """Yield again and again, with a moment in between, until patience ends in an error."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        yield
        time.sleep(LOOK_AGAIN_SECONDS)
    raise AssertionError(what)


def _run(run: Callable[[], Any], instant: Instant | None, how: str | Path, outcome: Connection) -> None:
    if not isinstance(instant, AfterSeconds):
        # Where the test chooses the instant, none is in the midst of waiting for the disk.
        import unsynced  # noqa: F401
    if instant:
        instant.arm(_holds(how) if isinstance(how, Path) else {"kill": lambda: _kill, "pause": _pauses}[how]())
    logging.disable()  # a log of deaths that were wished for helps nobody
    result, error = None, None
    started = time.monotonic()
    try:
        result = run()
    except Exception as raised:
        error = raised
    usage = [resource.getrusage(who).ru_maxrss * 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    outcome.send(Outcome(result, error, COUNTED.number, sum(usage), time.monotonic() - started))


def killed_at_random_instants(
    run_of: Callable[[int], Run], wanted: int, seed: int, share_done: Callable[[Run], float]
) -> list[Run]:
    """Start runs, kill each at a random instant, and return the first `wanted` of those that it left half done.

    :param run_of: gives a run for each number, with a target and a database of its own.
    :param share_done: tells how much of its work a run has done, from 0 to 1.
    """
    delays = random.Random(seed)
    undisturbed = Child(run_of(0)).outcome()
    assert undisturbed.error is None, undisturbed.error
    struck: list[Run] = []
    earliest, latest = 0.0, undisturbed.seconds
    for number in range(1, 20 + 10 * wanted):
        run, delay = run_of(number), delays.uniform(earliest, latest)
        share = share_done(run) if killed(run, AfterSeconds(delay)) else 1.0
        # Where the work is done in a moment, few instants of a run are within it. The other end of what is left gives
        # way a little, as no two runs are equally fast.
        slack = (latest - earliest) / 4
        if share <= 0:
            earliest, latest = delay, latest + slack
        elif share >= 1:
            earliest, latest = max(0.0, earliest - slack), delay
        else:
            struck.append(run)
        if len(struck) == wanted:
            return struck
    raise AssertionError(f"only {len(struck)} runs were struck in the middle, seed {seed}")
