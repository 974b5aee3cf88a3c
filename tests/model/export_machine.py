"""Histories of exports: what happens to a project, its targets and the runs between them, step by step.

They are drawn at random, repeatable by their number, and made small when they fail; see `machine`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from model.bench import COVERAGE, Options
from model.export_bench import DEFAULTS, ExportBench
from model.export_model import written_by
from model.export_worlds import EmbeddedLabeling, World
from model.fake_labeling import FakeLabeling
from model.fake_project import Clock, Process
from model.machine import COMMIT_FAULTS, REQUEST_FAULTS, Step, nth
from model.targets import Buckets, Folders
from sqlalchemy import Engine

# --- what is drawn ---

OPTIONS: dict[str, tuple[float, list[Any]]] = {
    "target": (0.85, [0, 0, 1, 2, 3]),
    "layout": (0.9, ["annotation", "task"]),
    "template": (0.9, [None, 0, 1, 2]),
    "include_cancelled": (0.8, [True, False]),
    "can_delete_objects": (0.5, [False, True]),
    "full": (0.85, [False, True]),
    "batch_size": (0.6, [2, 3]),
}
"""How often an option is that of most runs of the history, and what it may be."""
SHOWN = ["annotate", "annotate", "annotate", "skip", "edit", "edit", "toggle", "remove", "delete", "delete the newest"]
UNSHOWN = ["change data", "predict", "rename"]
MISCOUNTS = ["miscount a task", "miscount the project", "count the project right"]
STOPPERS = ["copy", "copy over", "foreign", "empty", "replace", "cut", "of another project", "of an earlier project"]
"""What is no file of the export, and stops it."""
HANDS = ["edit", "edit", "edit", "delete", "delete", "delete", "put back", "put back", "marker", *STOPPERS]
WAITS = [1.0, 20.0, 90.0, 3600.0, 90_000.0]
LAGS = [0.0, 0.0, 0.0, 30.0]


class ExportDraw:
    """Draws steps."""

    def __init__(self, number: int) -> None:
        self._random = Random(number)
        one = self._random.choice
        self._usual = {"layout": one(["annotation", "task"]), "template": one([None, None, 0, 1, 2])}

    def flag(self) -> bool:
        return self._random.random() < 0.5

    def steps(self, count: int, *, faults: bool) -> list[Step]:
        begin = [self._add(), self._add(), Step("run", {"options": self._options(), "dry_first": True, "again": True})]
        return begin + [step for _ in range(count) for step in self._step(faults=faults)]

    def _step(self, *, faults: bool) -> list[Step]:
        one, some = self._random.choice, self._random.randrange(8)
        weights = {
            "add": 2.0,
            "work": 7,
            "change_unshown": 2,
            "change_late": 0.7,
            "miscount": 0.5,
            "pass_time": 1.5,
            "touch": 2,
            "lose_the_ledger": 0.7,
            "switch": 0.7,
            "run": 5 if faults else 8,
            "run_with_faults": 5 if faults else 0,
            "run_paused": 1.2 if faults else 0,
            "run_while_a_person_works": 2 if faults else 0.7,
            "run_where_somebody_writes": 0.7 if faults else 0,
            "let_requests_arrive": 0.7 if faults else 0,
        }
        (name,) = self._random.choices(list(weights), list(weights.values()))
        run: dict[str, Any] = {"options": self._options(), "dry_first": self.flag(), "again": self.flag()}
        if name == "add":
            return [self._add()]
        if name == "work":
            return [self._work(SHOWN)]
        if name == "change_unshown":
            later = [Step("pass_time", {"seconds": one([20.0, 90_000.0])}), Step("run", run)] if self.flag() else []
            return [self._work(UNSHOWN), *later]
        if name == "change_late":
            # The second has an earlier stamp than the first, which a run has seen.
            first, second = self._work(SHOWN, 0.0), self._work(["edit", "toggle"], 30.0)
            second.given["task"] = first.given["task"] + 1
            run["options"].pop("full", None)
            return [Step("pass_time", {"seconds": 90.0}), first, Step("run", run), second, Step("run", run)]
        if name == "miscount":
            return [Step("miscount", {"what": one(MISCOUNTS), "task": some})]
        if name == "pass_time":
            return [Step("pass_time", {"seconds": one(WAITS)})]
        if name == "touch":
            what = one(HANDS)
            touched = [Step("touch", {"what": what, "object": some})]
            return [*touched, Step("run", run), Step("tidy", {})] if what in STOPPERS else touched
        if name == "lose_the_ledger":
            return [Step(name, {"exports_only": self.flag()})]
        if name == "switch":
            self._usual = {"layout": one(["annotation", "task"]), "template": one([None, 0, 1, 2])}
            options = self._options() | {"target": 0, "can_delete_objects": True}
            return [Step("run", {**run, "options": options})]
        if name == "run":
            return [Step("run", run)]
        # A fault needs something to be done.
        before = [self._add() if self.flag() else self._work(SHOWN) for _ in range(one([1, 2, 3]))]
        options = self._options()
        if name == "run_with_faults":
            if self._random.random() < 0.3:
                before = [self._work(["remove", "delete"]) for _ in before]
                options["can_delete_objects"] = True
            faults_ = [self._fault() for _ in range(one([1, 1, 2]))]
            return [*before, Step(name, {"options": options, "faults": faults_})]
        if name == "run_paused":
            changed = {"can_delete_objects": self.flag(), "full": self.flag(), "include_cancelled": one([True, False])}
            others = options | (changed if self._random.random() < 0.7 else {"target": one([1, 2])})
            return [*before, Step(name, {"options": options, "at": one([0, 0, 1, 2]), "others": others})]
        if name == "run_while_a_person_works":
            work = self._work([*SHOWN, *UNSHOWN]).given
            return [*before, Step(name, {"options": options, "at": one([0, 0, 1, 2, 3]), **work})]
        if name == "run_where_somebody_writes":
            return [*before, self._add(), Step(name, {"options": options, "at": one([0, 0, 1])}), Step("tidy", {})]
        return [Step(name, {})]

    def _add(self) -> Step:
        cancelled = [self._random.random() < 0.3 for _ in range(self._random.choice([0, 1, 1, 1, 2, 3]))]
        return Step("add", {"cancelled": cancelled})

    def _work(self, what: list[str], lag: float | None = None) -> Step:
        one, some = self._random.choice, self._random.randrange
        lag = one(LAGS) if lag is None else lag
        return Step("work", {"what": one(what), "task": some(8), "annotation": some(3), "lag": lag})

    def _options(self) -> Options:
        options = {**DEFAULTS, **self._usual}
        for name, (share, values) in OPTIONS.items():
            if self._random.random() > share:
                options[name] = self._random.choice(values)
        return {name: value for name, value in options.items() if value != DEFAULTS[name]}

    def _fault(self) -> tuple[str, int, str]:
        if self._random.random() < 0.6:
            return "request", self._random.choice([0, 0, 0, 1, 1, 2, 3]), self._random.choice(REQUEST_FAULTS)
        return "commit", self._random.randrange(13), self._random.choice(COMMIT_FAULTS)


def simpler(step: Step) -> Iterator[Step]:
    """Yield simpler steps than one."""
    given = step.given
    for name in ("dry_first", "again", "lag"):
        if given.get(name):
            yield Step(step.name, given := {**given, name: type(given[name])()})
    for which in ("options", "others"):
        for name in given.get(which, {}):
            yield Step(step.name, {**given, which: {n: v for n, v in given[which].items() if n != name}})
    for which in ("cancelled", "faults"):
        for n in range(len(given.get(which, ()))):
            yield Step(step.name, {**given, which: given[which][:n] + given[which][n + 1 :]})
    if any(given.get("cancelled", ())):
        yield Step(step.name, {**given, "cancelled": [False] * len(given["cancelled"])})


# --- what happens ---


def _as_world(world: World | str, engine: Engine, clock: Clock) -> World:
    """Make the world that has a name."""
    if not isinstance(world, str):
        return world
    return EmbeddedLabeling(engine) if world == "embedded" else FakeLabeling(clock, reuses_ids="reused" in world)  # type: ignore[return-value]


class ExportHistory:
    """A project, targets and a ledger at the beginning, and the steps that may follow."""

    def __init__(self, engine: Engine, directory: Path, world: World | str, *, files: bool) -> None:
        clock = Clock()
        self.world = _as_world(world, engine, clock)
        self.bench = ExportBench(engine, Folders(directory) if files else Buckets(), self.world, clock)
        self._latest: Options = DEFAULTS
        self._latest_to: dict[int, Options] = {}
        """By target, with which options it was exported to."""
        self._stoppers: dict[str, bytes] = {}
        self._stood: set[tuple[str, bytes]] = set()
        """The objects that there were, with their contents."""

    def take(self, step: Step) -> None:
        """Take a step, unless there is nothing to take it with."""
        self.bench.clock.sleep(0.1)
        getattr(self, step.name)(**step.given)
        self._stood |= self.bench.place.objects.items()

    def end(self) -> None:
        """Whatever has happened: a run without faults puts it right, and the next has nothing to do."""
        self.let_requests_arrive()
        self.tidy()
        for options in list(self._latest_to.values()):
            self.run({**options, "can_delete_objects": True}, dry_first=True, again=True)

    # --- the project ---

    def add(self, cancelled: list[bool]) -> None:
        COVERAGE["export step: add"] += 1
        self.world.add(cancelled)

    def work(self, what: str, task: int, annotation: int, lag: float) -> None:
        """Do what a person does to a task, or to an annotation of it."""
        tasks = self.world.snapshot()
        if not tasks:
            return
        number = max(tasks) if what == "delete the newest" else nth(tasks, task)
        there = [a.id for a in tasks[number].annotations]
        if what in ("edit", "toggle", "remove") and not there:
            return
        COVERAGE[f"export step: {what}"] += 1
        if isinstance(self.world, FakeLabeling):
            self.world.lag = lag
        if what in ("annotate", "skip"):
            shown = self.world.annotate(number, what == "skip")
        elif what in ("edit", "toggle", "remove"):
            shown = getattr(self.world, what)(number, nth(there, annotation))
        else:
            shown = getattr(self.world, what.removesuffix(" the newest").replace(" ", "_"))(number)
        if not shown:
            for changed in tasks if what == "rename" else [number]:
                self.bench.has_changed(changed)

    def miscount(self, what: str, task: int) -> None:
        """Have counters be wrong, or right again."""
        if not isinstance(self.world, FakeLabeling):
            return
        COVERAGE[f"export step: {what}"] += 1
        if what == "miscount a task" and self.world.labeled:
            number = nth(self.world.labeled, task)
            self.world.miscount(number)
            self.bench.has_changed(number)
        elif what != "miscount a task":
            self.world.miscounted = int(what == "miscount the project")

    def pass_time(self, seconds: float) -> None:
        COVERAGE["export step: time passes"] += 1
        self.bench.clock.sleep(seconds)

    # --- the targets ---

    def touch(self, what: str, object: int) -> None:
        """Do something to the target of the latest run, past the exporter."""
        place, start = self.bench.place, self.bench.export({**DEFAULTS, **self._latest}).start
        path = start + ("folder/" if what == "marker" else "notes.txt")
        content = b"mine" if what == "foreign" else b""
        if what == "put back":
            # As one does from a backup, or from the versions that a bucket keeps.
            if not (earlier := self._earlier(start)):
                return
            path, content = nth(earlier, object)
        elif what not in ("foreign", "empty", "marker"):
            own = {p: content for p, content in place.objects.items() if p.startswith(start) and content[:1] == b"{"}
            # What is on the way may be for this object.
            if not own or (what in STOPPERS and what != "copy" and self.bench.way.waiting):
                return
            path = nth(own, object)
            content = self._touched(what, own[path], own[nth(own, object + 1)])
            path += ".copy" * (what == "copy")
        COVERAGE[f"export step: {what} in the target"] += 1
        if what == "delete":
            place.delete(path)
        else:
            place.put(path, content)
        if what in STOPPERS:
            self._stoppers[path] = content

    def _earlier(self, start: str) -> list[tuple[str, bytes]]:
        """Return the objects that the project's exports to a target had there, and have no longer."""
        project = self.bench.export(self._latest).project
        files = {stood: written_by(*stood, start) for stood in self._stood - self.bench.place.objects.items()}
        return [
            stood for stood, file in files.items() if stood[0].startswith(start) and file and file[0].project == project
        ]

    def _touched(self, what: str, content: bytes, other: bytes) -> bytes:
        """Return what becomes of a file."""
        said = json.loads(content)
        if what == "edit":
            for annotation in said.get("annotations", [said]):
                annotation["result"] = ["edited"]
        elif what == "of another project" and "labelsync" in said:
            said["labelsync"]["project"] += "0"
        elif what == "of an earlier project" and "labelsync" in said:
            said["labelsync"]["project_created_at"] = "2020-01-01T00:00:00.000000Z"
        else:
            return {"copy": content, "copy over": other, "cut": content[:-2], "replace": b'{"id": 1}'}.get(
                what, content
            )
        return json.dumps(said).encode()

    def tidy(self) -> None:
        """Take away what stops the export."""
        for path, content in self._stoppers.items():
            if self.bench.place.objects.get(path) == content:
                self.bench.place.delete(path)
        self._stoppers.clear()

    def let_requests_arrive(self) -> None:
        COVERAGE["export step: late requests arrive"] += self.bench.way.arrive()

    # --- the ledger ---

    def lose_the_ledger(self, exports_only: bool) -> None:
        COVERAGE[f"export step: lose the ledger{', of exports' if exports_only else ''}"] += 1
        self.bench.lose_the_ledger(exports_only=exports_only)

    # --- runs ---

    def run(self, options: Options, dry_first: bool, again: bool) -> None:
        self.bench.run(self._options("run", options), dry_first=dry_first, again=again)

    def run_with_faults(self, options: Options, faults: list[Any]) -> None:
        by_kind = {kind: {n: fault for k, n, fault in faults if k == kind} for kind in ("request", "commit")}
        process = Process(by_kind["request"], by_kind["commit"])
        self.bench.run_with(self._options("run with faults", options), process)

    def run_paused(self, options: Options, at: int, others: Options) -> None:
        self.bench.run_paused(self._options("run paused", options), at, {**DEFAULTS, **others})

    def run_while_a_person_works(self, options: Options, at: int, **work: Any) -> None:
        all_options = self._options("run while a person works", options)
        self.bench.run_with(all_options, Process(), hand={at: lambda: self.work(**work)})

    def run_where_somebody_writes(self, options: Options, at: int) -> None:
        all_options = self._options("run where somebody writes", options)
        self._stoppers |= self.bench.run_where_somebody_writes(all_options, at)

    def _options(self, name: str, options: Options) -> Options:
        COVERAGE[f"export step: {name}"] += 1
        self._latest = {**DEFAULTS, **options}
        self._latest_to[self._latest["target"]] = self._latest
        return self._latest
