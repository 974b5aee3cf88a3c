"""Histories of adoption: how others fill a project, what people do there, and imports that adopt; drawn at random."""

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from model.adoption_bench import AdoptionBench, content_of
from model.adoption_worlds import ELSEWHERE, FakeSite, Site, data_of, rows_in
from model.bench import COVERAGE, Options
from model.fake_project import Clock
from model.machine import COMMIT_FAULTS, REQUEST_FAULTS, Step, nth
from sqlalchemy import Engine

FILES = ["a.json", "b.jsonl", "b/a.json", "b/c.jsonl"]
BLOBS = ["a.jpg", "b.jpg", "b/a.jpg", "b/c.jpg"]
TEXTS = ["one", "two", "three"]
OPTIONS: dict[str, tuple[float, list[Any]]] = {
    "adopt": (0.6, [True, False]),
    "on_changed": (0.5, ["report", "update", "add"]),
    "on_missing": (0.5, ["report", "delete"]),
    "restore_deleted": (0.85, [False, True]),
    "prefix": (0.85, ["", "b/"]),
    "regex_filter": (0.85, [None, "a|b/a"]),
    "batch_size": (0.5, [1000, 1]),
}
"""How often an option has its default, and what it may be, that first."""
DEFAULTS: Options = {name: values[0] for name, (_, values) in OPTIONS.items()}
WORK = ["annotate", "draft", "edit", "edit", "delete", "delete", "delete"]
FOREIGN = ["equal", "another key", "another place", "more than that"]


class Draw:
    """Draws steps."""

    def __init__(self, number: int) -> None:
        self._random = Random(number)

    def flag(self) -> bool:
        return self._random.random() < 0.5

    def filter(self) -> str | None:
        return "a" if self._random.random() < 0.15 else None

    def steps(self, count: int, *, faults: bool) -> list[Step]:
        """Draw a history: the project is filled and worked in, imported into, and both go on."""
        filling = {
            "put": 3,
            "press": 2,
            "work": 6,
            "add": 1,
            "append": 1,
            "replace": 1,
            "delete_storage": 0.5,
            "remove": 0.3,
        }
        going_on = {"put": 1, "append": 1, "replace": 1.5, "drop": 1, "remove": 1, "work": 3, "add": 0.5, "press": 0.5}
        going_on["run"] = 5
        begin = [self._step("put", faults) for _ in range(1 + self._random.randrange(3))]
        begin.append(self._step("press", faults))
        begin += [self._drawn(filling, faults) for _ in range(count // 2)]
        run = self._step("run", faults)
        run.given["options"]["adopt"] = True
        return [*begin, run, *(self._drawn(going_on, faults) for _ in range(count // 2))]

    def _drawn(self, weights: dict[str, float], faults: bool) -> Step:
        return self._step(self._random.choices(list(weights), list(weights.values()))[0], faults)

    def _step(self, name: str, faults: bool) -> Step:
        one, some = self._random.choice, self._random.randrange(8)
        given: dict[str, Any] = {}
        if name == "put":
            given = {"key": some, "rows": [self._row() for _ in range(one([1, 1, 2, 3, 4]))]}
        elif name in ("append", "drop", "remove", "replace"):
            given = {"file": some} | ({"row": self._row()} if name in ("append", "replace") else {})
            given |= {"at": one([0, 1, 2])} if name in ("drop", "replace") else {}
        elif name == "press":
            given = {"breaks": some if self._random.random() < 0.25 else None, "at": one([0, 1, 2])}
        elif name == "work":
            given = {"task": some, "what": one(WORK), "to": one([*TEXTS, "by hand", "too"])}
        elif name == "add":
            given = {"file": some, "at": one([0, 1]), "what": one(FOREIGN)}
        elif name == "run":
            attempts = [[self._fault()] for _ in range(one([0, 1, 1, 2]))] if faults else []
            given = {"options": self._options(), "attempts": attempts, "dry_first": self.flag(), "again": self.flag()}
        return Step(name, given)

    def _row(self) -> Any:
        one, kind = self._random.choice, self._random.random()
        data = {"text": one(TEXTS)}
        if kind < 0.04:
            return {"other": 1}
        if kind < 0.7:
            return data
        return {"data": data} | ({"predictions": [{"model_version": "m", "result": []}]} if kind < 0.8 else {})

    def _options(self) -> Options:
        return {
            name: values[0] if self._random.random() < share else self._random.choice(values[1:])
            for name, (share, values) in OPTIONS.items()
        }

    def _fault(self) -> tuple[str, int, str]:
        kind = self._random.random()
        if kind < 0.2:
            return "listing", self._random.choice([0, 1]), "breaks off"
        if kind < 0.65:
            return "request", self._random.choice([0, 0, 0, 1, 1, 2]), self._random.choice(REQUEST_FAULTS)
        return "commit", self._random.randrange(13), self._random.choice(COMMIT_FAULTS)


def simpler(step: Step) -> Iterator[Step]:
    """Yield simpler steps than one."""
    given = step.given
    for name in ("dry_first", "again"):
        if given.get(name):
            yield Step(step.name, given := {**given, name: False})
    for name, value in given.get("options", {}).items():
        if value != DEFAULTS[name]:
            yield Step(step.name, {**given, "options": {**given["options"], name: DEFAULTS[name]}})
    for which in ("rows", "attempts"):
        for n in range(len(given.get(which, ()))):
            fewer = given[which][:n] + given[which][n + 1 :]
            if fewer or which == "attempts":
                yield Step(step.name, {**given, which: fewer})
    for n in range(len(given.get("rows", ()))):
        yield Step(step.name, {**given, "rows": [*given["rows"][:n], {"text": "one"}, *given["rows"][n + 1 :]]})
    for name in ("key", "file", "task", "at"):
        for value in range(given.get(name) or 0):
            yield Step(step.name, {**given, name: value})


class AdoptionHistory:
    """A site and a ledger at the beginning, and the steps that may follow."""

    def __init__(
        self, engine: Engine, directory: Path, world: Any, *, blobs: bool, regex_filter: str | None = None
    ) -> None:
        clock, how = Clock(), {"blobs": blobs, "regex_filter": regex_filter}
        reuses_ids = isinstance(world, str) and "reused" in world
        site: Site = FakeSite(clock, reuses_ids=reuses_ids, **how) if isinstance(world, str) else world(**how)  # type: ignore[arg-type, assignment]
        self.bench = AdoptionBench(engine, site, clock, blobs=blobs)
        self._keys = BLOBS if blobs else FILES

    def take(self, step: Step) -> None:
        """Take a step, unless there is nothing to take it with."""
        COVERAGE[f"adoption step: {step.name}"] += 1
        getattr(self, step.name)(**step.given)

    def end(self) -> None:
        """Whatever has happened: an import puts it right, and the next has nothing to do."""
        for adopt in (False, True):
            self.run({**DEFAULTS, "adopt": adopt}, [], dry_first=True, again=True)

    # --- the place ---

    def put(self, key: int, rows: list[Any]) -> None:
        name = self._keys[key % len(self._keys)]
        self.bench.put(name, str(rows).encode() if self.bench.blobs else content_of(name, rows))

    def append(self, file: int, row: Any) -> None:
        self._change(file, lambda rows: [*rows, row])

    def replace(self, file: int, at: int, row: Any) -> None:
        self._change(file, lambda rows: [*rows[:at], row, *rows[at + 1 :]])

    def drop(self, file: int, at: int) -> None:
        self._change(file, lambda rows: rows[:at] + rows[at + 1 :] or rows)

    def _change(self, file: int, change: Callable[[list[Any]], list[Any]]) -> None:
        if not self.bench.objects:
            return
        key = nth(self.bench.objects, file)
        content = self.bench.objects[key]
        # Of a blob, all that counts is that it is another.
        self.bench.put(key, content + b"." if self.bench.blobs else content_of(key, change(rows_in(key, content))))

    def remove(self, file: int) -> None:
        if self.bench.objects:
            self.bench.remove(nth(self.bench.objects, file))

    # --- the project ---

    def press(self, breaks: int | None, at: int) -> None:
        objects = self.bench.objects
        if objects:
            is_broken = breaks is not None and not self.bench.blobs
            self.bench.press(nth(objects, breaks or 0) if is_broken else None, at)

    def delete_storage(self) -> None:
        self.bench.delete_storage()

    def add(self, file: int, at: int, what: str) -> None:
        """Add a task that has to do with an object, or looks so."""
        if not self.bench.objects:
            return
        key = nth(self.bench.objects, file)
        uri = self.bench.site.open("").object_uri(key)
        if self.bench.blobs:
            data: Any = {"text": uri}
        else:
            rows = rows_in(key, self.bench.objects[key])
            data = data_of(rows[at % len(rows)])
        data = {"text": "by hand", "other": uri} if what == "another key" else data
        data = {**data, "note": "by hand"} if what == "more than that" else data
        self.bench.add(data, ELSEWHERE if what == "another place" else None)

    def work(self, task: int, what: str, to: str) -> None:
        if tasks := self.bench.site.world.snapshot():
            number = nth(tasks, task)
            before = tasks[number].data
            self.bench.work(number, what, {**before, "note": to} if self.bench.blobs else {**before, "text": to})

    # --- runs ---

    def run(self, options: Options, attempts: list[list[Any]], dry_first: bool, again: bool) -> None:
        self.bench.let_arrive()
        self.bench.run(options, attempts, dry_first=dry_first, again=again)
