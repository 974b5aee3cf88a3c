"""The bench of adoption: imports into a project that others have filled, and what is checked after each.

Of each task it is known what it was made from, whoever made it; the engine is not told. An import with `adopt` into a
project that no import has dealt with is compared with the forecast; every other one with what must always be true.
"""

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from model.adoption_model import Forecast, Seen, foretell_blobs, foretell_rows
from model.adoption_worlds import Breaking, Site, data_of, rows_in
from model.bench import COVERAGE, EXPECTED, InPlace, Options, Outcome, let_commits_fail, told
from model.fake_project import Clock, Process
from model.model import Json, Stored, text_of
from model.worlds import FakeWorld
from sqlalchemy import Engine, text

from labelsync_provider.errors import EmptyListing, TooManyQuarantined
from labelsync_provider.sync import ImportOptions, ImportReport, Owner, Runtime, import_storage

Tasks = dict[int, Stored]
Origin = tuple[str, str]
"""The key of an object, and the data of the row of it that a task was made from; of a blob, its URI."""


@dataclass(frozen=True)
class Entry:
    """A task in the ledger."""

    key: str
    position: int | None
    task: int | None
    live: bool
    sure: bool
    """Whether it is decided which row it is."""


class AdoptionBench:
    """A site, a ledger, and what is known of the tasks."""

    def __init__(self, engine: Engine, site: Site, clock: Clock, *, blobs: bool) -> None:
        self.engine, self.site, self.clock, self.blobs = engine, site, clock, blobs
        self.objects: dict[str, bytes] = {}
        self.origin: dict[int, Origin | None] = {}
        """By task; None for one that was made from nothing of the place."""
        self.of_others: set[int] = set()
        """Tasks that no import has made."""
        self.deleted: Counter[str] = Counter()
        """By key, tasks that a person has deleted after they were in the ledger, or that are not restored."""
        self._written: Counter[str] = Counter()
        """By key, how often an object was written."""
        self._synced: dict[str, int] = {}
        """Of the objects that were there when the last sync began, if that has completed, how often they were."""
        self._without: Counter[str] = Counter()
        """By key, rows that the ledger has without a task."""
        self.late_ever = False
        self._runs = 0
        self._claimed: set[tuple[str, int]] = set()
        self._processes: list[Process] = []
        let_commits_fail(engine, self._processes)

    # --- what happens ---

    def put(self, key: str, content: bytes) -> None:
        self.objects[key] = content
        self._written[key] += 1
        self.site.put(key, content)

    def remove(self, key: str) -> None:
        del self.objects[key]
        self.site.remove(key)

    def press(self, breaks: str | None, at: int) -> None:
        """Press Sync; it may break off at a row of an object, which is as it should be afterwards."""
        whole = self.objects.get(breaks or "")
        if breaks and whole is not None:
            self.site.put(breaks, _broken(breaks, whole, at))
        completed = self.site.press()
        if breaks and whole is not None:
            self.site.put(breaks, whole)
        there = {key: self._written[key] for key in self.objects if self.site.takes(key) and key != breaks}
        self._synced = there if completed else {}
        made: Counter[str] = Counter()
        named = self.site.named()
        for number in sorted(self._unknown()):
            key = named[number]
            data = self._uri(key) if self.blobs else text_of(data_of(rows_in(key, self.objects[key])[made[key]]))
            made[key] += 1
            self._made_by_others(number, (key, data))

    def delete_storage(self) -> None:
        self._synced = {}
        self.site.delete_storage()

    def add(self, data: Json, note: Json | None) -> None:
        self.site.add(data, note)
        for number in self._unknown():
            self._made_by_others(number, None)

    def work(self, task: int, what: str, data: Json) -> None:
        """Do what a person does to a task."""
        if what == "delete":
            self.site.world.delete(task)
            self.deleted.update(entry.key for entry in self._ledger() if entry.task == task)
            self.origin.pop(task)
            self.of_others.discard(task)
        elif what == "edit":
            self.site.world.edit(task, data)
        else:
            getattr(self.site.world, what)(task)

    def _made_by_others(self, number: int, origin: Origin | None) -> None:
        self.origin[number] = origin
        self.of_others.add(number)

    def _unknown(self) -> set[int]:
        return self.site.world.snapshot().keys() - self.origin.keys()

    # --- runs ---

    def run(self, options: Options, attempts: list[list[Any]], *, dry_first: bool, again: bool) -> None:
        """Run until it ends with a report, with faults at first, and check all that can be."""
        before, is_first = self.site.world.snapshot(), not self._ledger() and not self.waiting
        forecast = self._foretell(options, before) if is_first and options["adopt"] else None
        dry = self.attempt({**options, "dry_run": True}, []) if dry_first and not self.waiting else None
        for faults in attempts:
            self.attempt(options, faults)
        self.let_arrive()
        outcome = self.attempt(options, [])
        if not isinstance(outcome, ImportReport):
            self._check_error(outcome, options)
            return
        if dry and not attempts:
            assert told(dry) == told(outcome), f"the dry run says {told(dry)}, the run {told(outcome)}"
        if forecast:
            COVERAGE["adoption: forecasts"] += 1
            self._check_forecast(forecast, outcome, options, before, is_whole=not attempts)
        if again:
            # Of several tasks that show an object which is gone, each import that adopts takes and deletes one.
            takes_next = outcome.adopted_sharing and options["on_missing"] == "delete"
            for adopt in (options["adopt"] and not takes_next, False):
                process = Process()
                outcome = self.attempt({**options, "adopt": adopt}, [], process)
                assert isinstance(outcome, ImportReport), outcome
                done = (outcome.tasks_created, outcome.tasks_updated, outcome.tasks_deleted, outcome.new)
                assert (process.changed, *done) == (0,) * 5, f"a second run does something: {outcome}"

    def attempt(self, options: Options, faults: list[Any], process: Process | None = None) -> Outcome:
        """Run once, and check what is always true."""
        by_kind = {kind: {n: fault for k, n, fault in faults if k == kind} for kind in ("request", "commit", "listing")}
        process = process or Process(by_kind["request"], by_kind["commit"])
        source: Any = self.site.open(options["prefix"])
        for pages in by_kind["listing"]:
            source = Breaking(source, pages)
        before, entries = self.site.world.snapshot(), self._ledger()
        outcome = self._import(source, options, process)
        COVERAGE[f"adoption ended: {type(outcome).__name__}"] += 1
        COVERAGE.update(f"adoption fault: {fault}" for fault in process.happened)
        self.late_ever |= bool({"late", "crash late", "stop late", "twice"} & set(process.happened))
        after = self.site.world.snapshot()
        if options.get("dry_run"):
            assert (after, self._ledger()) == (before, entries), "a dry run writes nothing"
            return outcome
        self._check_others(options, before, after)
        self._tag(before, after)
        self._check_claims(options, after)
        self._check_deleted(options)
        if isinstance(outcome, ImportReport) and not self.waiting:
            self._check_rows(options, outcome, before, after, some_failed="failed" in process.happened)
        return outcome

    def _import(self, source: Any, options: Options, process: Process) -> Outcome:
        self._runs += 1
        owner = Owner(f"run {self._runs}", f"task instance {self._runs}")
        runtime = Runtime(
            self.clock, self.clock, self.clock.sleep, lambda *_: InPlace(), renews_leases=False, stop=process.stop
        )
        how = {name: value for name, value in options.items() if name != "prefix"}
        given = ImportOptions(**how, use_blob_urls=self.blobs, data_key="text", max_delete=1000)
        self._processes.append(process)
        try:
            project = self.site.world.open(process)
            return import_storage(source, project, self.engine, given, owner, runtime, self.site.own_storages())
        except EXPECTED as error:
            return error
        finally:
            self._processes.pop()

    @property
    def waiting(self) -> int:
        """How many requests have not arrived yet."""
        return self.site.world.server.waiting if isinstance(self.site.world, FakeWorld) else 0

    def let_arrive(self) -> None:
        """Let requests arrive that are on their way."""
        if self.waiting:
            before = self.site.world.snapshot()
            self.site.world.server.arrive()  # type: ignore[attr-defined]
            self._tag(before, self.site.world.snapshot())

    def _tag(self, before: Tasks, after: Tasks) -> None:
        """Learn what became of the tasks: what is new was made by an import, and says from what."""
        for number in before.keys() - after.keys():
            self.origin.pop(number, None)
            self.of_others.discard(number)
        for number in after.keys() - before.keys():
            task = after[number]
            data = task.data["text"] if self.blobs else text_of(task.data)
            self.origin[number] = (self._key_of(task.note["uri"]), data)

    # --- what a run sees ---

    def scope(self, options: Options) -> dict[str, list[Any]]:
        """Return the rows of the objects that a run looks at, by key; None for a bad one."""
        return {
            key: [None] if self.blobs else [_good(row) for row in rows_in(key, content)]
            for key, content in self.objects.items()
            if self.covers(options, key)
        }

    def covers(self, options: Options, key: str) -> bool:
        start = self.site.open(options["prefix"]).location
        path = self.site.path(key)
        return path.startswith(start.start) and bool(re.match(options["regex_filter"] or "", start.key(path)))

    def _evident(self, options: Options) -> set[str]:
        """Return the keys of objects of which it is evident that the own sync has imported them as they are."""
        same = {key for key, times in self._synced.items() if key in self.objects and self._written[key] == times}
        return set() if options["restore_deleted"] else same

    def _foretell(self, options: Options, tasks: Tasks) -> Forecast:
        files, named, evident = self.scope(options), self.site.named(), self._evident(options)
        if self.site.moves_folders:
            folders = {"", *map(_folder, named.values())}
            evident = {key for key in evident if _folder(key) in folders}
        others = {number: task for number, task in tasks.items() if not task.note}
        if self.blobs:
            shown = {number: self._shown(task) for number, task in others.items()}
            seen = [Seen(n, key, None) for n, key in shown.items() if key and self.covers(options, key)]
            return foretell_blobs(files.keys(), seen, evident & files.keys())
        rows = {key: [data_of(row) for row in rows_in(key, self.objects[key])] for key in files}
        texts = {key: [text_of(data) for data in of_file] for key, of_file in rows.items()}
        rejected = {text_of(data) for of_file in rows.values() for data in of_file if "text" not in data}
        seen = [Seen(n, text_of(task.data), named.get(n)) for n, task in others.items()]
        return foretell_rows(texts, seen, evident, rejected)

    def _shown(self, task: Stored) -> str | None:
        """Return the key of the object that a task shows."""
        value = str(task.data.get("text"))
        return next((key for key in self._written if value.endswith(self._uri(key))), None)

    def _uri(self, key: str) -> str:
        return self.site.open("").object_uri(key)

    def _key_of(self, uri: str) -> str:
        path = self.site.open("").path_of(uri)
        assert path is not None, uri
        return path.removeprefix(self.site.path(""))

    # --- checks ---

    def _check_others(self, options: Options, before: Tasks, after: Tasks) -> None:
        """Nobody's work is lost, and what others made is never deleted, but for a blob's URI alone."""
        for number, then in before.items():
            task = after.get(number)
            if task is None:
                assert not then.worked_on, f"task {number}, which a person has worked on, is gone"
                assert options["on_missing"] == "delete" or self.late_ever, f"task {number} is gone, and nobody asked"
                if number in self.of_others:
                    key = self._shown(then) if self.blobs and list(then.data) == ["text"] else None
                    assert key is not None, f"task {number}, which others made, is gone: {then}"
                    assert key not in self.objects, f"task {number} is gone, and its object is there"
                continue
            assert Counter(task.annotations) >= Counter(then.annotations), f"task {number} has lost annotations"
            assert task.drafts == then.drafts, f"task {number} has lost a draft"
            if then.worked_on or options["on_changed"] != "update":
                assert self.late_ever or task.data == then.data, f"the data of task {number} was overwritten"
            if then.note.get("effect") == "another's":
                assert task == then, f"task {number}, which has a reference to another place, was changed"

    def _check_claims(self, options: Options, tasks: Tasks) -> None:
        """What came into the ledger is of the source: of what others made, nothing tells that it is another's."""
        named = self.site.named()
        for entry in self._ledger():
            if entry.task is None or (entry.key, entry.task) in self._claimed or entry.task not in tasks:
                continue
            self._claimed.add((entry.key, entry.task))
            task = tasks[entry.task]
            if task.note:
                assert task.note["uri"] == self._uri(entry.key), f"{entry} is of another object: {task.note}"
                continue
            assert options["adopt"], f"{entry} was adopted, and nobody asked"
            assert self.covers(options, entry.key), f"{entry} was adopted, and is not looked at"
            if self.blobs:
                assert self._shown(task) == entry.key, f"{entry} was adopted, and does not show this: {task.data}"
            elif entry.task in named:
                assert named[entry.task] == entry.key, f"{entry} was adopted, and is of {named[entry.task]}"
            else:
                # A row that would be rejected is one too: others do not ask the label config.
                row = rows_in(entry.key, self.objects[entry.key])[entry.position or 0]
                assert text_of(data_of(row)) == text_of(task.data), f"{entry} was adopted, and is not equal"

    def _check_deleted(self, options: Options) -> None:
        """Rows are known without a task only if a person has deleted that, as far as anything tells."""
        without = Counter(entry.key for entry in self._ledger() if entry.live and entry.task is None)
        more = without - self.deleted
        assert not more or (options["adopt"] and more.keys() <= self._evident(options)), f"nothing tells of {more}"
        self.deleted.update(without - self._without)
        self._without = without

    def _check_rows(
        self, options: Options, report: ImportReport, before: Tasks, after: Tasks, *, some_failed: bool
    ) -> None:
        """Each row is dealt with, no row has two tasks, and what was deleted stays away unless it is restored.

        :param some_failed: whether the project failed at a request: a row whose task could not be updated has it still.
        """
        scope, entries, quarantined = self.scope(options), self._ledger(), self._quarantined()
        claimed = {entry.task for entry in entries}
        undecided = {entry.key: entry.task for entry in entries if not entry.sure and entry.task in after}
        created = Counter(self.origin[number][0] for number in after.keys() - before.keys())  # type: ignore[index]
        named = self.site.named()
        for key, rows in scope.items():
            live = {entry.position: entry.task for entry in entries if entry.live and entry.key == key}
            for n, data in enumerate(rows):
                place = None if self.blobs else n
                is_aside = (key, place) in quarantined
                assert n in live or is_aside, f"{key}, row {n} is not dealt with"
                may_be_both = self.blobs or data is None or some_failed
                assert may_be_both or not (n in live and is_aside), f"{key}, row {n} is in quarantine"
            away = [n for n, task in live.items() if n is not None and task not in after]
            assert len(away) <= self.deleted[key], f"{key}: nobody has deleted tasks of {away}"
            assert not (away and options["restore_deleted"]), f"{key}: rows {away} were not restored"
            if created[key] and options["adopt"]:
                # With `add`, a row that has changed gets another task, whatever there is beside its own.
                is_certain = options["on_changed"] == "add" or key not in undecided
                assert is_certain, f"{key}: rows came in, and may be task {undecided[key]}"
                own = [n for n, name in named.items() if name == key and n not in claimed and n in after]
                assert self.blobs or not own, f"{key}: rows came in, and {own} were made from it by others"
                showing = [n for n, task in before.items() if self.blobs and not task.note and self._shown(task) == key]
                left = [n for n in showing if n in after and n not in claimed]
                assert options["on_changed"] == "add" or not left, f"{key} came in, and {left} show it"
        total = sum(map(len, scope.values()))
        parts = (report.unchanged, report.new, report.changed, report.not_restored, report.quarantined)
        assert sum(parts) == total, f"of {total} rows, these were counted: {parts}"
        told_rows = {(failure.key, failure.row) for failure in report.quarantine}
        expected = {place for place in quarantined if place[0] in scope}
        assert {self._key(options, key): row for key, row in told_rows}.keys() <= scope.keys()
        assert len(expected) == report.quarantined, f"in quarantine are {expected}"
        # With `add`, a row that has changed gets a task of its own, though nobody knows whose an equal one is.
        if options["adopt"] and not self.blobs and options["on_changed"] != "add":
            free = {
                text_of(task.data): number
                for number, task in after.items()
                if not task.note and number not in named and number not in claimed
            }
            new = {text_of(task.data) for number, task in after.items() if number not in before}
            twice = [number for data, number in free.items() if data in new]
            assert not twice, f"rows came in, and nothing tells that {twice} are not their tasks"

    def _check_forecast(
        self, forecast: Forecast, report: ImportReport, options: Options, before: Tasks, *, is_whole: bool
    ) -> None:
        """Compare with the forecast; of a run that had faults at first, what it has brought about alone."""
        after = self.site.world.snapshot()
        scope, uri = self.scope(options), self._uri
        expected = forecast.new | (forecast.changed if options["on_changed"] == "add" else set())
        brought = Counter(self.origin[number] for number in after.keys() - before.keys())
        foretold = Counter((key, uri(key) if n is None else scope[key][n]) for key, n in expected)
        assert brought == foretold, f"{brought} came in, and foretold was {foretold}"
        if not is_whole:
            return
        names = ("adopted", "adopted_sharing", "missing")
        sets = ("unchanged", "changed", "new", "not_restored", "quarantined")
        counts = {name: getattr(forecast, name) for name in names}
        counts |= {name: len(getattr(forecast, name)) for name in sets}
        differ = {name: (getattr(report, name), n) for name, n in counts.items() if getattr(report, name) != n}
        assert not differ, f"reported and foretold: {differ}"
        for there, rows in (
            (report.quarantine, forecast.quarantined),
            (report.not_restored_rows, forecast.not_restored),
        ):
            named = {(self._key(options, failure.key), failure.row) for failure in there}
            assert named == rows, f"named are {named}, and foretold was {rows}"

    def _check_error(self, error: Any, options: Options) -> None:
        scope = self.scope(options)
        if isinstance(error, EmptyListing):
            start = self.site.open(options["prefix"]).location.start
            assert not any(self.site.path(key).startswith(start) for key in self.objects), error
        else:
            assert isinstance(error, TooManyQuarantined), error
            aside = {key for key, _ in self._quarantined()}
            assert aside >= scope.keys(), f"not all is in quarantine: {error}"

    # --- the ledger ---

    def _key(self, options: Options, told: str) -> str:
        """Return the key in the site of one in a storage."""
        return self.site.open(options["prefix"]).location.path(told).removeprefix(self.site.path(""))

    def _ledger(self) -> list[Entry]:
        top = self.site.path("")
        with self.engine.connect() as connection:
            rows = connection.execute(text("SELECT * FROM labelsync_row ORDER BY path, number")).mappings()
            return [
                Entry(
                    row["path"].removeprefix(top),
                    row["position"],
                    row["task"],
                    row["state"] == "live",
                    not str(row["digest"]).endswith(".?") or row["position"] is not None,
                )
                for row in rows
            ]

    def _quarantined(self) -> set[tuple[str, int | None]]:
        top = self.site.path("")
        with self.engine.connect() as connection:
            rows = connection.execute(text("SELECT path, position FROM labelsync_quarantine")).mappings()
            return {(row["path"].removeprefix(top), None if self.blobs else row["position"]) for row in rows}


def _folder(key: str) -> str:
    return key.rpartition("/")[0]


def _good(row: Any) -> str | None:
    data = data_of(row)
    return text_of(data) if "text" in data else None


def _broken(key: str, content: bytes, at: int) -> bytes:
    """Return a task file over whose n-th row the own sync breaks off."""
    rows = rows_in(key, content)
    return content_of(key, [*rows[:at], 42, *rows[at:]])


def content_of(key: str, rows: list[Any]) -> bytes:
    """Return a task file; in a `.json`, one row is an object by itself."""
    if key.endswith(".jsonl"):
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    return json.dumps(rows[0] if len(rows) == 1 and isinstance(rows[0], dict) else rows).encode()
