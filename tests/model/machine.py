"""Histories: what happens to a source, a project and the runs between them, step by step.

They are drawn at random, repeatable by their number, and made small when they fail.
"""

import gzip
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from model.bench import COVERAGE, Bench, Options
from model.bucket import Bucket, Directory
from model.fake_project import SECONDS_OF_A_REQUEST, SECONDS_OF_A_SLOW_ONE, Clock, Process
from model.worlds import EmbeddedWorld, FakeWorld, World
from sqlalchemy import Engine

from labelsync_provider.database import open_database
from labelsync_provider.database.schema import ensure_schema

# --- what is drawn ---

KEYS = [*["a.json"] * 5, *["b.jsonl"] * 3, "b/c.json.gz", "n", "\uff5e.json", "\U0001f600.jsonl", "x.txt", ".keep"]
KEYS += ["t.csv"]
GARBAGE = [b"", b"", b'{"text": "on', b'{"text": "one"}{"text": "two"}', b'5\n{"text": "one"}\n']
GARBAGE += [gzip.compress(b'{"text": "one"}', mtime=0)]
"""What is read all the same, some of it, though no program should write it so."""
RESULTS: list[Any] = [[], [{"from_name": "c", "to_name": "t", "type": "choices", "value": {"choices": ["x"]}}]]
BAD_ROWS: list[Any] = [42, {"data": 5}, {"other": 1}]
ODD_ROWS = [{"text": "refused"}, {"text": "poison"}]
CHANGES = ["insert", "append", "remove", "replace", "swap", "double", "relabel"]
OPTIONS: dict[str, tuple[float, list[Any]]] = {
    "use_blob_urls": (0.93, [False, True]),
    "on_changed": (0.2, ["report", "update", "add"]),
    "on_missing": (0.5, ["report", "delete"]),
    "restore_deleted": (0.85, [False, True]),
    "regex_filter": (0.85, [None, "b", "a|n"]),
    "prefix": (0.85, [0, 1, 2, 3]),
    "data_key": (0.9, ["text", "other"]),
    "max_delete": (0.9, [1000, 0]),
    "batch_size": (0.6, [10_000, 2, 3]),
}
"""How often an option has its default, and what it may be, that first."""
BLOBS = 0.2
"""The share of the histories whose runs are mostly as blobs: what is in by one kind of run is refused by the other."""
DEFAULTS: Options = {name: values[0] for name, (_, values) in OPTIONS.items()}
WORK = ["annotate", "draft", "edit", "delete", "delete", "delete the newest"]
REQUEST_FAULTS = ["crash before", "crash after", "crash late", "lost before", "lost after", "late", "failed", "twice"]
REQUEST_FAULTS += ["stop", "stop late"]
COMMIT_FAULTS = ["crash before", "crash after"]


class Step(NamedTuple):
    """Something that happens: a method of `History`, and what it is given."""

    name: str
    given: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{name}={_shown(value)}' for name, value in self.given.items())})"


def _shown(value: Any) -> str:
    if isinstance(value, dict) and "on_changed" in value:
        return str({name: option for name, option in value.items() if option != DEFAULTS.get(name)})
    return repr(value)


class Draw:
    """Draws steps."""

    def __init__(self, number: int) -> None:
        self._random = Random(number)
        self._blobs = self._random.random() < BLOBS

    def flag(self) -> bool:
        return self._random.random() < 0.5

    def steps(self, count: int, *, faults: bool) -> list[Step]:
        put = {"key": "a.json", "rows": [self._row() for _ in range(3)]}
        begin = [Step("put", put), Step("run", {"options": self._options(), "dry_first": False, "again": False})]
        return begin + [step for _ in range(count) for step in self._step(faults=faults)]

    def _step(self, *, faults: bool) -> list[Step]:
        one, some = self._random.choice, self._random.randrange(8)
        weights = {
            "put": 1.5,
            "change": 8,
            "put_garbage": 0.3,
            "delete": 0.4,
            "rename": 0.4,
            "return_to_earlier": 1,
            "work_by_hand": 2.5,
            "change_label_config": 0.3,
            "add_by_hand": 0.3,
            "change_server": 0.5,
            "lose_the_ledger": 0.2,
            "switch_row_key": 0.2,
            "run": 5 if faults else 8,
            "run_with_faults": 5 if faults else 0,
            "run_paused": 1.5 if faults else 0,
            "run_while_a_person_works": 1 if faults else 0,
            "let_requests_arrive": 0.7 if faults else 0,
        }
        (name,) = self._random.choices(list(weights), list(weights.values()))
        given: dict[str, Any] = {}
        if name == "put":
            given = {"key": one(KEYS), "rows": [self._row() for _ in range(one([0, 1, 2, 3, 4, 5]))]}
        elif name == "change":
            return self._change()
        elif name == "put_garbage":
            given = {"key": one(KEYS), "content": one(GARBAGE)}
        elif name in ("delete", "rename"):
            given = {"file": some} | ({"to": one(KEYS)} if name == "rename" else {})
        elif name == "return_to_earlier":
            given = {"back": some}
        elif name == "work_by_hand":
            given = {"task": some, "what": one(WORK)}
        elif name == "run_while_a_person_works":
            given = {"options": self._options(), "at": one([0, 0, 1, 2]), "task": some, "what": one(WORK)}
        elif name == "change_server":
            given = {"slow": one([True, False]), "most_at_once": one([None, None, 1, 2, 3])}
        elif name == "change_label_config":
            given = {"strict": one([True, False])}
        elif name == "run":
            given = {"options": self._options(), "dry_first": one([True, False]), "again": one([True, False])}
        elif name == "run_with_faults":
            faults_ = [self._fault() for _ in range(one([1, 1, 2]))]
            given = {"options": self._options(), "faults": faults_, "next_try": one([True, False])}
        elif name == "run_paused":
            given = {
                "options": self._options(),
                "at": one([0, 0, 1, 2]),
                "others": self._options(),
                "next_try": one([True, False]),
            }
        # A fault needs something to be done.
        return [*(self._change() if name.startswith("run_") else []), Step(name, given)]

    def _change(self) -> list[Step]:
        one, some = self._random.choice, self._random.randrange
        given = {"file": some(8), "change": one(CHANGES), "at": some(5), "row": self._row(), "to": some(5)}
        return [Step("change", given)]

    def _row(self) -> Any:
        one, chance = self._random.choice, self._random.random
        if (kind := chance()) < 0.1:
            return one(BAD_ROWS)
        if kind < 0.11:
            return one(ODD_ROWS)
        data = {"text": one(["one", "two", "three"])}
        if kind < 0.6:
            return data | ({"id": one([1, 2, 3])} if chance() < 0.7 else {})
        labels = {
            "meta": {name: one([0, 1]) for name in "pq" if chance() < 0.5},
            "predictions": [
                {"model_version": one(["m1", "m2"]), "result": one(RESULTS)} for _ in range(one([0, 1, 2]))
            ],
            "annotations": [{"result": one(RESULTS)}],
            "allow_skip": one([True, False]),
            "id": one([1, 2, 3]),
        }
        return {"data": data} | {name: value for name, value in labels.items() if chance() < 0.5}

    def _options(self) -> Options:
        options = {
            name: values[0] if self._random.random() < share else self._random.choice(values[1:])
            for name, (share, values) in OPTIONS.items()
        }
        return options | {"use_blob_urls": options["use_blob_urls"] != self._blobs}

    def _fault(self) -> tuple[str, int, str]:
        if self._random.random() < 0.6:
            return "request", self._random.choice([0, 0, 0, 1, 1, 2, 3]), self._random.choice(REQUEST_FAULTS)
        return "commit", self._random.randrange(13), self._random.choice(COMMIT_FAULTS)


Begin = Callable[..., AbstractContextManager[Any]]


def taken(
    steps: list[Step], begin: Begin, told: str, *, simpler: Callable[[Step], Iterator[Step]] | None = None
) -> None:
    """Take the steps of a history; if it fails, print the smallest one that does.

    :param told: what the history is, to whom it may be repeated.
    :param simpler: makes steps simpler that fail; if not given, it is not tried.
    """

    def take(steps: list[Step]) -> None:
        with begin() as history:
            for step in steps:
                history.take(step)
            history.end()

    def fails(steps: list[Step]) -> bool:
        try:
            take(steps)
        except Exception:
            return True
        return False

    try:
        take(steps)
    except Exception:
        covered = COVERAGE.copy()
        steps = shrunk(steps, fails, simpler) if simpler else steps
        COVERAGE.clear()
        COVERAGE.update(covered)
        print(f"{told} fails:")
        print(*steps, sep="\n")
        take(steps)
        raise


def shrunk(
    steps: list[Step], fails: Callable[[list[Step]], bool], simpler: Callable[[Step], Iterator[Step]]
) -> list[Step]:
    """Return a history as small as can be of those that fail: without steps, with default options, with fewer rows."""
    before: list[Step] = []
    while steps != before:
        before = steps
        for length in (8, 4, 2, 1):
            at = 0
            while at < len(steps):
                fewer = steps[:at] + steps[at + length :]
                if fails(fewer):
                    steps = fewer
                else:
                    at += length
        for at, step in enumerate(steps):
            for other in simpler(step):
                changed = [*steps[:at], other, *steps[at + 1 :]]
                if other != steps[at] and fails(changed):
                    steps = changed
    return steps


def simpler(step: Step) -> Iterator[Step]:
    """Yield simpler steps than one."""
    given = step.given
    for name in ("dry_first", "again", "next_try"):
        if given.get(name):
            yield Step(step.name, given := {**given, name: False})
            given = step.given
    for which in ("options", "others"):
        for name, value in given.get(which, {}).items():
            if value != DEFAULTS[name]:
                yield Step(step.name, {**given, which: {**given[which], name: DEFAULTS[name]}})
    for which in ("rows", "faults"):
        for n in range(len(given.get(which, ()))):
            yield Step(step.name, {**given, which: given[which][:n] + given[which][n + 1 :]})
    if isinstance(given.get("row"), dict):
        yield Step(step.name, {**given, "row": {"text": "one"}})


def _kind(key: str) -> tuple[bool, ...]:
    return "jsonl" in key, "csv" in key, key.endswith(".gz")


def _content(key: str, rows: list[Any], *, by_key: bool) -> bytes:
    """Return a task file. One row is an object, if it is one; of JSON lines, each is a line.

    With `row_key` it has another version than without: what is complete is not read again because of that option.
    """
    if "csv" in key:
        # A table has no labels, and no row in it is anything but texts.
        rows = [row.get("data", row) if isinstance(row, dict) else row for row in rows]
        lines = [f"{row.get('text', '')},{row.get('id', '')}" if isinstance(row, dict) else "bad" for row in rows]
        text = "".join(f"{line}\n" for line in ["text,id", *lines])
    elif "jsonl" in key:
        text = "".join(json.dumps(row) + "\n" for row in rows)
    else:
        text = json.dumps(rows[0] if len(rows) == 1 and isinstance(rows[0], dict) else rows)
    text += "\n" * by_key
    return gzip.compress(text.encode(), mtime=0) if key.endswith(".gz") else text.encode()


# --- where ---


@cache
def _empty_database() -> bytes:
    """Return a SQLite database with all tables. Making them takes longer than a history."""
    with tempfile.TemporaryDirectory() as directory:
        engine = open_database(f"sqlite:///{directory}/empty.db")
        ensure_schema(engine)
        engine.dispose()
        return (Path(directory) / "empty.db").read_bytes()


@contextmanager
def sqlite_history(world: Any, **how: Any) -> Iterator[Any]:
    """Begin a history with a ledger on SQLite; in memory, where there is a file system for that."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="model-", dir=memory if memory.is_dir() else None) as directory:
        (Path(directory) / "labelsync.db").write_bytes(_empty_database())
        url = f"sqlite:///{directory}/labelsync.db"
        with history_at(Path(directory), url, world, **how) as history:
            yield history


@contextmanager
def history_at(
    directory: Path, database: str, world: Any, *, kind: Callable[..., Any] | None = None, **how: Any
) -> Iterator[Any]:
    """Begin a history with its files in a directory, and its ledger in a database.

    :param kind: what makes a history; if not given, that of imports.
    """
    engine = open_database(database)
    ensure_schema(engine)
    try:
        yield (kind or History)(engine, directory, world, **how)
    finally:
        engine.dispose()


def as_world(world: World | str, engine: Engine, clock: Clock) -> World:
    """Make the world that has a name."""
    if not isinstance(world, str):
        return world
    return EmbeddedWorld(engine) if world == "embedded" else FakeWorld(clock, reuses_ids="reused" in world)


class History:
    """A source, a project and a ledger at the beginning, and the steps that may follow."""

    def __init__(self, engine: Engine, directory: Path, world: World | str, *, files: bool, by_key: bool) -> None:
        clock = Clock()
        source = Directory(directory) if files else Bucket()
        self.bench = Bench(engine, source, as_world(world, engine, clock), clock)
        self.bench.row_key = "id" if by_key else None
        self.files: dict[str, list[Any]] = {}
        """The rows of each object, as JSON values; of garbage, none."""
        self.past: list[tuple[str, bytes, list[Any]]] = []

    def take(self, step: Step) -> None:
        """Take a step, unless there is nothing to take it with."""
        getattr(self, step.name)(**step.given)

    def end(self) -> None:
        """Whatever has happened: a run without faults puts it right, and the next has nothing to do."""
        self.let_requests_arrive()
        for as_blob in sorted(self.bench.kinds):
            options = {**DEFAULTS, "use_blob_urls": as_blob}
            self.bench.run(options, dry_first=True, again=True)

    # --- the source ---

    def put(self, key: str, rows: list[Any]) -> None:
        COVERAGE["step: put"] += 1
        self._put(key, rows)

    def change(self, file: int, change: str, at: int, row: Any, to: int) -> None:
        if self.files:
            COVERAGE[f"step: {change} a row"] += 1
            key = nth(self.files, file)
            self._put(key, _changed(self.files[key], change, at, row, to))

    def put_garbage(self, key: str, content: bytes) -> None:
        COVERAGE["step: put garbage"] += 1
        self._store(key, content, [])

    def delete(self, file: int) -> None:
        if not self.files:
            return
        COVERAGE["step: delete"] += 1
        key = nth(self.files, file)
        del self.files[key]
        self.bench.source.delete(key)

    def rename(self, file: int, to: str) -> None:
        key = nth(self.files, file) if self.files else to
        if key != to and _kind(key) == _kind(to):
            COVERAGE["step: rename"] += 1
            self.bench.source.rename(key, to)
            self.files[to] = self.files.pop(key)
            self.bench.learn(to, self.bench.source.objects[to])

    def return_to_earlier(self, back: int) -> None:
        if self.past:
            COVERAGE["step: return to an earlier version"] += 1
            key, content, rows = self.past[-1 - back % len(self.past)]
            self.files[key] = rows
            self.bench.source.put_again(key, content)

    def _put(self, key: str, rows: list[Any]) -> None:
        self._store(key, _content(key, rows, by_key=self.bench.row_key is not None), rows)

    def _store(self, key: str, content: bytes, rows: list[Any]) -> None:
        self.files[key] = rows
        self.bench.source.put(key, content)
        self.bench.learn(key, content)
        self.past.append((key, content, rows))

    # --- the project ---

    def change_label_config(self, strict: bool) -> None:
        COVERAGE["step: label config"] += 1
        self.bench.strict = strict
        self.bench.world.set_strict(strict)

    def work_by_hand(self, task: int, what: str) -> None:
        if tasks := self.bench.world.snapshot():
            COVERAGE[f"step: {what} by hand"] += 1
            newest = what == "delete the newest"
            self.bench.work_by_hand(max(tasks) if newest else nth(tasks, task), "delete" if newest else what)

    def add_by_hand(self) -> None:
        if isinstance(self.bench.world, FakeWorld):
            COVERAGE["step: add by hand"] += 1
            self.bench.world.server.add({"text": "by hand"})

    def change_server(self, slow: bool, most_at_once: int | None) -> None:
        """Have the server answer slowly or not, and take so many tasks at once."""
        if isinstance(self.bench.world, FakeWorld):
            COVERAGE["step: change the server"] += 1
            self.bench.world.server.seconds_of_a_request = SECONDS_OF_A_SLOW_ONE if slow else SECONDS_OF_A_REQUEST
            self.bench.world.server.most_at_once = most_at_once

    # --- runs ---

    def run(self, options: Options, dry_first: bool, again: bool) -> None:
        COVERAGE["step: run"] += 1
        self.bench.run(options, dry_first=dry_first, again=again)

    def run_with_faults(self, options: Options, faults: list[Any], next_try: bool) -> None:
        COVERAGE["step: run with faults"] += 1
        by_kind = {kind: {n: fault for k, n, fault in faults if k == kind} for kind in ("request", "commit")}
        self.bench.run_with({**options, "next_try": next_try}, Process(by_kind["request"], by_kind["commit"]))

    def run_paused(self, options: Options, at: int, others: Options, next_try: bool) -> None:
        COVERAGE["step: run paused"] += 1
        self.bench.run_paused(options, at, {**others, "next_try": next_try})

    def run_while_a_person_works(self, options: Options, at: int, task: int, what: str) -> None:
        COVERAGE["step: run while a person works"] += 1
        self.bench.run_meanwhile(options, at, lambda: self.work_by_hand(task, what))

    def let_requests_arrive(self) -> None:
        if self.bench.on_the_way:
            COVERAGE["step: late requests arrive"] += self.bench.world.server.arrive()  # type: ignore[attr-defined]

    def lose_the_ledger(self) -> None:
        # Left out: keys and superseded tasks. A project's tasks do not tell which of two of one key is superseded.
        superseded = any(not known.live for some in self.bench.known.values() for known in some)
        if not self.bench.on_the_way and not (superseded and self.bench.row_key):
            COVERAGE["step: lose the ledger"] += 1
            self.bench.lose_the_ledger()

    def switch_row_key(self) -> None:
        """Switch `row_key`, and have every file read again."""
        COVERAGE["step: switch row_key"] += 1
        self.bench.row_key = None if self.bench.row_key else "id"
        self.past.clear()
        for key, rows in list(self.files.items()):
            self._put(key, rows)


def _changed(rows: list[Any], change: str, at: int, row: Any, to: int) -> list[Any]:
    rows = list(rows)
    if not rows or change in ("insert", "append"):
        rows.insert(len(rows) if change == "append" else at % (len(rows) + 1), row)
        return rows
    at, to = at % len(rows), to % len(rows)
    if change == "remove":
        del rows[to]
    elif change == "replace":
        rows[to] = row
    elif change == "swap":
        rows[at], rows[to] = rows[to], rows[at]
    elif change == "double":
        rows.insert(at, rows[to])
    elif isinstance(rows[to], dict) and isinstance(row, dict):
        # The same data, with another row's labels.
        data = rows[to].get("data", {name: value for name, value in rows[to].items() if name != "id"})
        rows[to] = {**{name: value for name, value in row.items() if name != "text"}, "data": data}
    return rows


def nth(things: Any, number: int) -> Any:
    return sorted(things)[number % len(things)]
