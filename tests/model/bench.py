"""The bench: a source, a project and a ledger, runs between them, and what is checked after each.

After a run without faults everything is compared with the model's forecast. A fault makes things unclear; the next run
without one has to put them right, which is checked by what must always be true, and then the model takes over what the
ledger says.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from model.bucket import Bucket, Directory
from model.fake_project import Clock, Crash, Process
from model.model import (
    BAD,
    Forecast,
    Known,
    Object,
    Row,
    Stored,
    foretell,
    from_row,
    is_marker,
    is_named_as_task_file,
    rows_of,
)
from model.worlds import FakeWorld, World
from sqlalchemy import Engine, text

from labelsync_provider.database import writing
from labelsync_provider.errors import (
    EmptyListing,
    Invalid,
    LeaseLost,
    Stopped,
    TooManyMissing,
    TooManyQuarantined,
    Unavailable,
)
from labelsync_provider.formats.tasks import files as task_files
from labelsync_provider.formats.tasks import rows as task_rows
from labelsync_provider.sync import ImportOptions, ImportReport, Owner, Runtime, import_storage
from labelsync_provider.sync.importing import batch_size
from labelsync_provider.sync.importing.deleted_by_hand import LOOK_AGAIN_SECONDS

COVERAGE: Counter[str] = Counter()
"""Steps by rule, faults by kind, runs by outcome."""

LEDGER = ("scope", "storage", "object", "row", "quarantine", "journal")
EXPECTED = (Crash, Unavailable, Invalid, LeaseLost, Stopped, EmptyListing, TooManyMissing, TooManyQuarantined)
"""How a run may end otherwise than with a report."""

ODD = ("refused", "poison")
"""Texts of rows that the fake server does not take, or fails over; a table has other columns beside."""

Outcome = ImportReport | BaseException
Options = dict[str, Any]
Place = tuple[bool, str]
"""Whether as blobs, and the path."""


def is_odd(data: str) -> bool:
    """Tell whether the fake server does not take a row, or fails over it."""
    read = json.loads(data) if data.startswith("{") else {}
    return read.get("text") in ODD


class InPlace(Executor):
    """Runs what it is given at once, so that a history is the same whenever it is repeated."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


def let_commits_fail(engine: Engine, processes: Sequence[Process]) -> None:
    """Have the commits of the last of some processes, the one at work, fail as it is due."""
    commit = engine.dialect.do_commit

    def do_commit(dbapi_connection: Any) -> None:
        if processes:
            processes[-1].commit(lambda: commit(dbapi_connection))
        else:
            commit(dbapi_connection)

    engine.dialect.do_commit = do_commit  # type: ignore[method-assign]


class Sight:
    """What a run with some options sees of the source."""

    def __init__(self, bench: "Bench", options: Options) -> None:
        self.as_blob = bool(options["use_blob_urls"])
        self.data_key = options.get("data_key") or "text"
        self.cannot_be = self.as_blob and bench.strict and self.data_key != "text"
        """Whether the label config shows what no blob's task would have."""
        prefixes = bench.source.prefixes
        self.storage = bench.source.open(prefixes[options.get("prefix", 0) % len(prefixes)])
        self.matches = re.compile(options.get("regex_filter") or "").match
        self.listed = [info for page in self.storage.list() for info in page]
        self.objects: list[Object] = []
        contents = {info.key: bench.source.objects[self._path(info.key)] for info in self.listed}
        self.is_empty = all(is_marker(key, content) for key, content in contents.items() if not self.matches(key))
        """Whether nothing is there, markers aside. What is looked at, and was imported, is no marker."""
        self.odd = False
        """Whether there is a row that the server does not take, or fails over: the forecast knows nothing of these."""
        for info in self.listed:
            if self.matches(info.key):
                path, uri = self.storage.location.path(info.key), self.storage.object_uri(info.key)
                content = contents[info.key]
                if is_marker(info.key, content) and not self._has_rows(bench, path, uri, options):
                    continue
                # What was imported, and is empty now, is bad: its tasks stay.
                blob = [Row("uri", info.version)] if content else None
                rows = blob if self.as_blob else rows_of(info.key, content, bench.row_key)
                known = [known.row for known in bench.known.get((self.as_blob, path), ()) if known.live]
                takes = self.takes if bench.strict else lambda _: True
                rows = rows and [row if row and (row in known or takes(row)) else BAD for row in rows]
                self.objects.append(Object(path, uri, rows))
                self.is_empty = False
                self.odd |= bench.world.odd_rows and any(row and is_odd(row.data) for row in rows or ())

    def _path(self, key: str) -> str:
        return self.storage.location.path(key).removeprefix("in/")

    def _has_rows(self, bench: "Bench", path: str, uri: str, options: Options) -> bool:
        """Tell whether the ledger has rows of an object, once those of deleted tasks are forgotten, if they are."""
        known, tasks = bench.known.get((self.as_blob, path), ()), bench.world.snapshot()
        if options.get("restore_deleted"):
            return any((there := tasks.get(k.task or 0)) and there.note.get("uri") == uri for k in known)
        return bool(known)

    def takes(self, row: Row) -> bool:
        return self.as_blob or "text" in json.loads(row.data or "{}")

    def looks_for(self, path: str) -> bool:
        """Tell whether the run would find an object of this path, if there were one."""
        location = self.storage.location
        key = location.key(path)
        return path.startswith(location.start) and self.storage.covers(key) and bool(self.matches(key))

    def missing(self, known: Sequence[Place]) -> dict[str, str]:
        """Return paths and URIs of the objects known that it looks for and does not find."""
        there = {o.path for o in self.objects}
        paths = [
            path for as_blob, path in known if as_blob == self.as_blob and path not in there and self.looks_for(path)
        ]
        return {path: self.storage.object_uri(self.storage.location.key(path)) for path in paths}


class Bench:
    """A source, a project, a ledger, and what the model knows of them."""

    def __init__(self, engine: Engine, source: Bucket | Directory, world: World, clock: Clock) -> None:
        self.engine, self.source, self.world, self.clock = engine, source, world, clock
        self.strict = True
        self.row_key: str | None = None
        self.known: dict[Place, list[Known]] = {}
        self.quarantine: dict[Place, set[int | None]] = {}
        self.unclear = False
        """Whether a fault has left something that the next run without one is to put right."""
        self.kinds: set[bool] = set()
        """Whether there were runs as blobs, and as task files."""
        self.lost: set[bool] = set()
        """Kinds of runs whose part of the ledger was lost, and not learnt again from the project."""
        self.late_ever = False
        self.deleted_by_hand: Counter[str] = Counter()
        """By the URI of the task's object."""
        self.work: dict[int, Stored] = {}
        """Tasks as they were when a person worked on them last."""
        self.edited: set[int] = set()
        self._runs = 0
        self._processes: list[Process] = []
        """Of the runs under way; the last is the one at work, those before are paused."""
        self._digests: dict[str, str] = {}
        let_commits_fail(engine, self._processes)

    # --- runs ---

    def run(self, options: Options, *, dry_first: bool = False, again: bool = False) -> None:
        """Run without faults, and check all that can be."""
        foretold = self._attempt({**options, "dry_run": True}, Process()) if dry_first and not self.on_the_way else None
        odd = Sight(self, options).odd
        outcome = self.run_with(options, Process())
        if foretold is not None and not odd:
            dry, real = told(foretold), told(outcome)
            differences = {
                name: (dry.get(name), real.get(name)) for name in dry | real if dry.get(name) != real.get(name)
            }
            assert not differences, f"the dry run and the run say: {differences}"
        if again and isinstance(outcome, ImportReport):
            clear = not (self.unclear or bool(options["use_blob_urls"]) in self.lost)
            clear, process = clear and not self._is_matched_anew(Sight(self, options)), Process()
            outcome = self.run_with(options, process)
            if clear and not odd and isinstance(outcome, ImportReport):
                done = (outcome.new, outcome.tasks_created, outcome.tasks_updated, outcome.tasks_deleted)
                assert (process.changed, *done) == (0,) * 5, "a second run does nothing"

    def run_with(self, options: Options, process: Process) -> Outcome:
        """Run with what faults wait for it, and check what can be checked."""
        sight, before, on_the_way = Sight(self, options), self.world.snapshot(), self.on_the_way
        self.kinds.add(sight.as_blob)
        unclear = self.unclear or sight.as_blob in self.lost
        forecast = None if unclear or sight.odd else self._forecast(sight, options, before)
        deleted_by_hand = self._deleted_by_hand(sight, options, before)
        outcome = self._attempt(options, process)
        COVERAGE[f"ended: {type(outcome).__name__}"] += 1
        COVERAGE.update(f"fault: {fault}" for fault in process.happened)
        self._check_work()
        if sight.cannot_be:
            assert isinstance(outcome, Invalid), "the label config needs another data key"
            assert self.world.snapshot() == before, "what is refused sends nothing"
            return outcome
        if isinstance(outcome, Invalid) and not unclear:
            assert self._comes_in_twice(sight, before), f"nothing would come in a second time: {outcome}"
            assert self.world.snapshot() == before, "what is refused sends nothing"
            return outcome
        if not (unclear or process.happened):
            assert not self._comes_in_twice(sight, before), "objects come in a second time"
        if not isinstance(outcome, ImportReport):
            self._check_error(outcome, sight, forecast, options, process)
            self.unclear = True
            return outcome
        if on_the_way or self.on_the_way:
            self.unclear = True
            return outcome
        if forecast and not process.happened:
            assert outcome.deleted_by_hand == deleted_by_hand
            self._check_forecast(forecast, outcome, sight, before)
        self._take_over()
        self._check_always(Sight(self, options), process.happened)
        self.unclear = bool(process.happened)
        self.lost.discard(sight.as_blob)
        return outcome

    def run_paused(self, options: Options, at: int, others: Options) -> None:
        """Run, paused right before its n-th request that changes something; another run goes through meanwhile."""
        process = Process({at: "pause"}, pause=lambda: self._attempt(others, Process()) and None)  # type: ignore[arg-type]
        # What cannot be is refused before a lease is asked for.
        takes_over = not (meanwhile := Sight(self, others)).cannot_be
        self.kinds.add(meanwhile.as_blob)
        outcome = self.run_with(options, process)
        if process.happened and takes_over:
            assert not isinstance(outcome, ImportReport), "it went on without its lease"

    def run_meanwhile(self, options: Options, at: int, what: Callable[[], None]) -> None:
        """Run; a person does something right before its n-th request that changes something."""
        self.run_with(options, Process({at: "pause"}, pause=what))

    def work_by_hand(self, task: int, what: str) -> None:
        """Do what a person does to a task."""
        before = self.world.snapshot()[task]
        if what == "delete":
            self.world.delete(task)
            self.deleted_by_hand[before.note.get("uri", "")] += 1
            self.work.pop(task, None)
            # Of a deletion in doubt, whose task's id was given again, nobody can tell afterwards who has deleted that.
            self.unclear |= self._deletions_in_doubt()
            return
        if what == "edit":
            self.world.edit(task, {**before.data, "text": "edited"})
            self.edited.add(task)
        else:
            getattr(self.world, what if hasattr(self.world, what) else "annotate")(task)
        if what != "edit" or task in self.work:
            self.work[task] = self.world.snapshot()[task]

    def _is_matched_anew(self, sight: Sight) -> bool:
        """Tell whether an update has left a task with the content of another row than its own.

        `allow_skip` is never written, nor are annotations on a task that somebody works on. If what a task has now is
        another row of its file, the next run takes it for that: equal content goes before an equal place.
        """

        def is_matched_anew(o: Object) -> bool:
            known = {k.position: k.row for k in self.known.get((sight.as_blob, o.path), ()) if k.live}
            differ = {n: row for n, row in enumerate(o.rows or ()) if row and n in known and known[n] != row}
            return any(known[n] in differ.values() for n in differ)

        return any(map(is_matched_anew, sight.objects))

    def _deletions_in_doubt(self) -> bool:
        doubted = "SELECT count(*) FROM labelsync_journal WHERE kind = 'delete' AND doubted_since IS NOT NULL"
        with self.engine.connect() as connection:
            return bool(connection.scalar(text(doubted)))

    def _attempt(self, options: Options, process: Process) -> Outcome:
        options = {**options}
        storage, dry = (
            self.source.open(self.source.prefixes[options.pop("prefix", 0) % len(self.source.prefixes)]),
            options.get("dry_run"),
        )
        if not options["use_blob_urls"] and self.row_key:
            options["row_key"] = self.row_key
        same_task = options.pop("next_try", False)
        self._runs += not same_task
        owner = Owner(f"run {self._runs}", f"task instance {self._runs}")
        runtime = Runtime(
            self.clock, self.clock, self.clock.sleep, lambda *_: InPlace(), renews_leases=False, stop=process.stop
        )
        before = (self.world.snapshot(), self.ledger()) if dry else None
        self._processes.append(process)
        try:
            # With batches of hundreds none would ever be full.
            with patch.multiple(batch_size, FIRST_TASKS=1, MORE_TASKS=1):
                outcome: Outcome = import_storage(
                    storage, self.world.open(process), self.engine, ImportOptions(**options), owner, runtime
                )
        except EXPECTED as error:
            outcome = error
        finally:
            self._processes.pop()
        self.late_ever |= bool({"late", "crash late", "stop late", "twice", "pause"} & set(process.happened))
        assert not dry or (self.world.snapshot(), self.ledger()) == before, "a dry run writes nothing"
        return outcome

    @property
    def on_the_way(self) -> int:
        """How many requests have not arrived yet."""
        return self.world.server.waiting if isinstance(self.world, FakeWorld) else 0

    # --- checks ---

    def _forecast(self, sight: Sight, options: Options, before: dict[int, Stored]) -> Forecast:
        mine = {path: known for (as_blob, path), known in self.known.items() if as_blob == sight.as_blob}
        return foretell(
            sight.objects,
            mine,
            sight.missing(list(self.known)),
            before,
            as_blob=sight.data_key if sight.as_blob else None,
            on_changed=options["on_changed"],
            on_missing=options.get("on_missing", "report"),
            restore_deleted=options.get("restore_deleted", False),
            by_key=bool(self.row_key) and not sight.as_blob,
        )

    def _deleted_by_hand(self, sight: Sight, options: Options, before: dict[int, Stored]) -> int:
        """Return how many deleted tasks the run is to count: none, unless it has a reason to look for them."""
        location, sources = sight.storage.location, [row for row in self.ledger()["storage"] if row["role"] == "source"]
        noted = next((row for row in sources if row["start"] == location.start), None)
        if options.get("restore_deleted") or noted is None or noted["looked_at"] is None:
            return 0
        is_today = self.clock() - noted["looked_at"] <= LOOK_AGAIN_SECONDS
        if is_today and len(before) >= (noted["project_tasks"] or 0):
            return 0
        COVERAGE["deleted by hand: looked for"] += 1
        known = [
            (known.task, sight.storage.object_uri(location.key(path)))
            for (_, path), some in self.known.items()
            for known in some
            if known.live and known.task and path.startswith(location.start)
        ]
        return sum(task not in before or before[task].note.get("uri") not in (None, uri) for task, uri in known)

    def _comes_in_twice(self, sight: Sight, before: dict[int, Stored]) -> bool:
        """Tell whether an object that is in by the other kind of run would come in by this one."""

        def is_in(o: Object) -> bool:
            if not (sight.as_blob or is_named_as_task_file(o.path)):
                return False
            tasks = [
                before.get(known.task or 0) for known in self.known.get((not sight.as_blob, o.path), ()) if known.live
            ]
            return any(task and task.note.get("uri") == o.uri for task in tasks)

        return any(is_in(o) and not self.known.get((sight.as_blob, o.path)) for o in sight.objects)

    def _check_error(
        self, error: BaseException, sight: Sight, forecast: Forecast | None, options: Options, process: Process
    ) -> None:
        if isinstance(error, EmptyListing):
            assert sight.is_empty
            assert not forecast or forecast.counts["missing"]
        elif isinstance(error, TooManyMissing):
            assert options.get("on_missing") == "delete"
            assert not forecast or forecast.deletable > options["max_delete"]
        elif isinstance(error, TooManyQuarantined):
            assert not forecast or _nothing_comes_in(forecast, sight)
        elif isinstance(error, Invalid):
            assert {False, True} == self.kinds, "objects of one kind of runs only come in a second time"
        else:
            assert process.happened or (sight.odd and isinstance(error, Unavailable)), error

    def _check_forecast(
        self, forecast: Forecast, report: ImportReport, sight: Sight, before: dict[int, Stored]
    ) -> None:
        assert not (sight.is_empty and forecast.counts["missing"]), "all that was known is gone, and the run is green"
        known = any(k.task for (as_blob, _), some in self.known.items() if as_blob == sight.as_blob for k in some)
        assert known or not _nothing_comes_in(forecast, sight), "all of a first run is in quarantine, and it is green"
        counts = {name: getattr(report, name) for name in forecast.counts}
        differences = {name: (counts[name], n) for name, n in forecast.counts.items() if counts[name] != n}
        assert not differences, f"reported and foretold: {differences}"
        assert (report.listed, report.matched, report.gone) == (len(sight.listed), len(sight.objects), 0)
        after, uris = self.world.snapshot(), {o.path: o.uri for o in sight.objects}
        new = {(task.note["uri"], task.note["row"]): (n, task) for n, task in after.items() if n not in before}
        assert len(new) == len(after.keys() - before.keys()) == len(forecast.created)
        expected = dict(forecast.project)
        for path, position, row in forecast.created:
            n, task = new[uris[path], None if sight.as_blob else position]
            made = Stored({sight.data_key: uris[path]}, {}, {}) if sight.as_blob else from_row(row)
            expected[n] = made
            for other in forecast.known.values():
                for one in other:
                    one.task = None if one.task == n else one.task
            next(k for k in forecast.known[path] if k.task == 0 and k.position == position).task = n
        assert after.keys() == expected.keys()
        for n, task in after.items():
            there = expected[n] if self.world.tells_skip else replace(expected[n], skip=task.skip)
            assert task.same(there), (n, task, there)
        foretold = {**self.known, **{(sight.as_blob, path): rows for path, rows in forecast.known.items()}}
        expected_rows = self._comparable(foretold, after)
        self._take_over()
        rows = self._comparable(self.known, after)
        assert rows == expected_rows, f"the ledger has {rows - expected_rows}, and should have {expected_rows - rows}"

    def _comparable(self, known: dict[Place, list[Known]], project: dict[int, Stored]) -> Counter[Any]:
        rows: Counter[Any] = Counter()
        for place, k in ((place, k) for place, some in known.items() for k in some):
            note = project[k.task].note if k.task in project else {}
            is_its = note and place == (note["row"] is None, self.source.open().path_of(note["uri"]))
            # A missing row without a task may be forgotten by this run or, if its id was given again, by the next.
            if is_its or not k.live or k.position is not None:
                its = (k.row, k.position, k.key) if k.live else "superseded"
                rows[place, k.task if is_its else None, its] += 1
        return rows

    def _check_work(self) -> None:
        after = self.world.snapshot()
        for n, then in self.work.items():
            assert n in after, f"task {n}, which a person has worked on, is gone"
            assert Counter(after[n].annotations) >= Counter(then.annotations), f"task {n} has lost annotations"
            assert after[n].drafts == then.drafts, f"task {n} has lost a draft"
            assert self.late_ever or after[n].data == then.data, (
                f"task {n}, which a person has worked on, was overwritten"
            )

    def _check_always(self, sight: Sight, faults: list[str]) -> None:
        """Check what is true after every run that ends with a report."""
        project = self.world.snapshot()
        for o in sight.objects:
            place = (sight.as_blob, o.path)
            live = Counter(known.position for known in self.known.get(place, ()) if known.live)
            live.pop(None, None)
            assert all(count == 1 for count in live.values()), f"{o.path}: two live tasks of one row"
            quarantined = self.quarantine.get(place, set())
            if o.rows is not None:
                for n, row in enumerate(o.rows):
                    tried = n in quarantined and (sight.odd or "failed" in faults)
                    assert not row or n in live or tried, f"{o.path}, row {n} has no task"
                there = not any(o.rows) or all(n is not None and n < len(o.rows) for n in live)
                assert there, f"{o.path}: a task of a row that is not there"
            if not (sight.odd or "failed" in faults):
                assert quarantined == _bad(o, sight.as_blob), f"{o.path}: the quarantine is not what is bad"
            dead = 0
            for known in self.known.get(place, ()):
                task = project.get(known.task or 0)
                if task is None or task.note.get("uri") != o.uri:
                    dead += 1
                elif "failed" in faults and known.position in quarantined:
                    # Of its update, the first requests may have been made: the next run completes it.
                    continue
                elif not sight.as_blob and known.task not in self.edited and not self.late_ever:
                    assert json.loads(known.row.data or "{}") == task.data, f"task {known.task} is not of the row known"
            assert dead <= self.deleted_by_hand[o.uri], f"{o.path}: {dead} tasks are gone that nobody has deleted"
        if not faults:
            known_tasks = {(place, known.task) for place, knowns in self.known.items() for known in knowns}
            for n, task in project.items():
                mine = (
                    task.note
                    and sight.as_blob == (task.note["row"] is None)
                    and sight.storage.path_of(task.note["uri"])
                )
                if mine and sight.looks_for(mine):
                    assert ((sight.as_blob, mine), n) in known_tasks or task.worked_on, (
                        f"task {n} is one too many: {task}"
                    )

    # --- what the ledger says ---

    def ledger(self) -> dict[str, Any]:
        """Return all rows of the ledger's tables."""
        with self.engine.connect() as connection:
            rows = {name: connection.execute(text(f"SELECT * FROM labelsync_{name}")).mappings() for name in LEDGER}
            return {name: sorted(map(dict, some), key=str) for name, some in rows.items()}

    def _take_over(self) -> None:
        """Have the model know what the ledger knows."""
        ledger = self.ledger()
        self.known, self.quarantine = {}, {}
        for row in ledger["row"]:
            live = row["state"] == "live"
            known = Known(row["task"], self._row(row), row["position"] if live else None, live, row["key"])
            self.known.setdefault((bool(row["as_blob"]), row["path"]), []).append(known)
        for row in ledger["quarantine"]:
            place = (bool(row["as_blob"]), row["path"])
            self.quarantine.setdefault(place, set()).add(None if place[0] else row["position"])

    def lose_the_ledger(self) -> None:
        with writing(self.engine) as connection:
            # The embedded store remembers the fencing number, and takes no smaller one.
            for name in (*LEDGER, *(["lease"] if self.world.remote else [])):
                connection.execute(text(f"DELETE FROM labelsync_{name}"))
        self.known, self.quarantine, self.lost = {}, {}, {False, True}

    def learn(self, key: str, content: bytes) -> None:
        """Learn which digests stand for the rows of an object: in the ledger, only digests are found."""
        mine = rows_of(key, content, None)
        for row in task_files.rows(key, content, None) if mine else ():
            if isinstance(row, task_rows.Row) and mine and (known := mine[row.position]):
                parts = (known.data, known.labels, known.annotations)
                for digest, part in zip(_parts(row.digest), parts, strict=False):
                    before = self._digests.setdefault(digest, part) if digest else ""
                    assert part == before, f"two contents have one digest: {part!r} and {before!r}"

    def _row(self, row: dict[str, Any]) -> Row:
        if row["as_blob"]:
            return Row("uri", row["digest"])
        data, labels, annotations, skip = _parts(row["digest"])
        texts = [self._digests[digest] if digest else "" for digest in (data, labels, annotations)]
        return Row(texts[0], texts[1], texts[2], skip={"0": False, "1": True, "": None}[skip])


def _nothing_comes_in(forecast: Forecast, sight: Sight) -> bool:
    """Tell whether there is something, and all of it goes into quarantine."""
    good = any(forecast.counts[name] for name in ("unchanged", "new", "changed"))
    return bool(sight.objects) and not good and forecast.quarantine.keys() == {o.path for o in sight.objects}


def _parts(digest: str) -> list[str]:
    parts = digest.split(".")
    return parts + [""] * (4 - len(parts))


def _bad(o: Object, as_blob: bool) -> set[int | None]:
    if o.rows is None:
        return {None}
    return {None if as_blob else n for n, row in enumerate(o.rows) if row is BAD}


def told(outcome: Outcome) -> Any:
    if not isinstance(outcome, ImportReport):
        return {"ended": type(outcome)}
    said = outcome.as_dict() | {"quarantine": sorted(map(str, outcome.quarantine))}
    return {
        name: value for name, value in said.items() if name not in ("dry_run", "seconds", "requests", "created_ids")
    }
