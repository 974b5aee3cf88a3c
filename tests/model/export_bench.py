"""The bench of exports: a project, targets and a ledger, runs between them, and what is checked after each.

After a run without faults everything is compared with the model's forecast. What a run with faults leaves must be whole
and its own; the next run without one has to put it right, and is compared with the forecast again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model.bench import COVERAGE, InPlace, Options, let_commits_fail
from model.export_model import (
    TEMPLATES,
    Annotation,
    Content,
    Export,
    Forecast,
    Labeled,
    foretell,
    is_marker,
    written_by,
)
from model.export_worlds import Interrupted, World
from model.fake_project import Clock, Crash, FakeServer, Process
from model.targets import FaultyTarget, Place
from sqlalchemy import Engine, text

from labelsync_provider.database import writing
from labelsync_provider.errors import (
    EmptyListing,
    LeaseLost,
    Stopped,
    StoragesOverlap,
    TargetOccupied,
    Unavailable,
    UploadsFailed,
)
from labelsync_provider.sync import ExportOptions, ExportReport, Owner, Runtime, export_annotations
from labelsync_provider.sync.ledger.lease import LEASE_SECONDS
from labelsync_provider.sync.ledger.tables import METADATA

DEFAULTS: Options = {
    "target": 0,
    "layout": "annotation",
    "template": None,
    "include_cancelled": True,
    "can_delete_objects": False,
    "full": False,
    "batch_size": 2,
}
DAY = 24 * 3600
TOLD = "annotated_tasks"
REFUSALS = (StoragesOverlap, TargetOccupied, EmptyListing)
EXPECTED = (Crash, Unavailable, UploadsFailed, LeaseLost, Stopped, *REFUSALS)
"""How a run may end otherwise than with a report."""
EXPORTS = ("labelsync_export", "labelsync_watermark")
"""The tables of what was exported."""
LEDGER = [name for name in METADATA.tables if name != "labelsync_lease"]

Outcome = ExportReport | BaseException


# --- runs ---


@dataclass(frozen=True)
class Look:
    """How things stand."""

    project: Mapping[int, Labeled]
    objects: Mapping[str, bytes]


class ExportBench:
    """A project, targets, a ledger, and what is known of the runs between them."""

    def __init__(self, engine: Engine, place: Place, world: World, clock: Clock) -> None:
        self.engine, self.place, self.world, self.clock = engine, place, world, clock
        self.way = FakeServer(clock, reuses_ids=False)
        """What is on the way to the targets."""
        self.remembered: dict[str, bool] = {}
        """By the start of its target, each export that may be remembered; whether it certainly is."""
        self.unshown: dict[str, dict[int, list[float]]] = {}
        """By the start of the target, the tasks of which the export may not know all, and when they were changed."""
        self._ever: dict[str, set[tuple[Export, Content]]] = {}
        """By path, what runs were to write there; it may arrive late."""
        self._late_ever = False
        self._looked: dict[str, float] = {}
        """By the start of its target, when the latest run ended that may have looked at all tasks, however it ended."""
        self._leased: dict[str, float] = {}
        """By the start of its target, until when a run that was killed has its lease; till then it may be going on."""
        self._put_meanwhile: dict[str, bytes] = {}
        """What somebody else has put into a target while the run goes on."""
        self._runs = 0
        self._processes: list[Process] = []
        let_commits_fail(engine, self._processes)

    def look(self) -> Look:
        return Look(self.world.snapshot(), dict(self.place.objects))

    def export(self, options: Options) -> Export:
        """Return which export one with some options is."""
        project = self.world.open(Process())
        start = self.place.starts[options["target"] % len(self.place.starts)]
        template = _template(options) or TEMPLATES[options["layout"]][0]
        return Export((project.uri, project.created_at), project.id, start, options["layout"], template)

    def run(self, options: Options, *, dry_first: bool = False, again: bool = False) -> None:
        """Run without faults, and check all that can be."""
        alone = not self.way.waiting and not self._is_beside_one_killed(self.export(options))
        foretold = self._dry(options) if dry_first and alone else None
        outcome = self.run_with(options, Process())
        if foretold is not None:
            dry, real = _told(foretold), _told(outcome)
            differences = {name: (dry[name], real.get(name)) for name in dry if dry[name] != real.get(name)}
            assert not differences, f"the dry run and the run say: {differences}"
        again &= alone and not self.unshown.get(self.export(options).start)
        if again and isinstance(outcome, ExportReport):
            before = self.look().objects
            second = self.run_with(options, Process())
            assert isinstance(second, ExportReport), second
            assert (second.written, second.deleted) == (0, 0), f"a second run does something: {second}"
            assert self.look().objects == before

    def run_with(
        self, options: Options, process: Process, *, others: Options | None = None, hand: "Hand | None" = None
    ) -> Outcome:
        """Run with what faults wait for it, and check what can be checked.

        :param others: of a run that goes through while this one is paused.
        :param hand: what people do meanwhile, by the number of the page of the project before that.
        """
        export, before, late = self.export(options), self.look(), bool(self.way.waiting)
        forecast, seen = self._foretold(options, before), self._will_have_seen(options)
        must_refuse, may_refuse = self._refusals(export, forecast, before)
        self.unshown.setdefault(export.start, {})
        outcome = self._attempt(options, process, hand)
        self._leased[export.start] = self.clock() + LEASE_SECONDS if isinstance(outcome, Crash) else 0.0
        after = self.look()
        late |= bool(self.way.waiting)
        self._late_ever |= late or bool(others)
        COVERAGE[f"ended: {type(outcome).__name__}"] += 1
        COVERAGE.update(f"fault: {fault}" for fault in process.happened)
        later = self._foretold(options, Look(after.project, before.objects))
        runs = [(forecast, options), (later, options)]
        runs += [(self._foretold(others, before), others)] if others else []
        self._check_traces(before, after, runs, late=late)
        disturbed = bool(process.happened or late or hand or others)
        if isinstance(outcome, REFUSALS):
            possible = may_refuse | ({self._foretold(options, after).refused} if disturbed else set())
            assert type(outcome) in possible, outcome
            assert disturbed or after.objects == before.objects, "what is refused changes nothing"
            if isinstance(outcome, EmptyListing):
                # It has found its own objects, and keeps them: it is an export like another.
                self.remembered.setdefault(export.start, False)
            if export.start not in self.remembered:
                del self.unshown[export.start]
            return outcome
        self.remembered.setdefault(export.start, False)
        if not isinstance(outcome, ExportReport):
            assert process.happened or ((hand or late) and isinstance(outcome, UploadsFailed)), outcome
            return outcome
        assert disturbed or not must_refuse, f"it was to be refused: {must_refuse}"
        self._has_run(export)
        if disturbed:
            self._check_between(export, options, before, after, late=late)
            if not late:
                changed = self.unshown[export.start].items()
                left = {task: [at for at in times if at > seen] for task, times in changed}
                self.unshown[export.start] = {task: times for task, times in left.items() if times}
        else:
            self._check_report(outcome, options, forecast, before, after, seen)
        return outcome

    def run_paused(self, options: Options, at: int, others: Options) -> None:
        """Run, paused right before its n-th request; another run goes through meanwhile."""
        took_over: list[bool] = []

        def pause() -> None:
            took_over.append(not isinstance(self._attempt(others, Process()), REFUSALS))

        outcome = self.run_with(options, Process({at: "pause"}, pause=pause), others=others)
        start, other = self.export(options).start, self.export(others).start
        if any(took_over) and start == other:
            assert not isinstance(outcome, ExportReport), "it went on without its lease"
        elif any(took_over):
            # Of two that are nested, either may have been forgotten while nothing stood there.
            for each in (start, other):
                self.remembered[each] = False
                self.unshown.setdefault(each, {})

    def run_where_somebody_writes(self, options: Options, at: int) -> dict[str, bytes]:
        """Run; right before its n-th request, somebody else puts an object where one is to be created; return it."""

        def put() -> None:
            look = self.look()
            for path in sorted(self._foretold(options, look).rendered.keys() - look.objects.keys())[-1:]:
                self._put_meanwhile[path] = b"mine"
                self.place.put(path, b"mine")

        self.run_with(options, Process({at: "pause"}, pause=put))
        put_there, self._put_meanwhile = self._put_meanwhile, {}
        assert put_there.items() <= self.place.objects.items(), "what somebody else has put there was overwritten"
        return put_there

    def _dry(self, options: Options) -> Outcome:
        before = self.look(), self.ledger()
        outcome = self._attempt({**options, "dry_run": True}, Process())
        assert (self.look(), self.ledger()) == before, "a dry run writes nothing"
        return outcome

    def _attempt(self, options: Options, process: Process, hand: "Hand | None" = None) -> Outcome:
        asked = {name: value for name, value in options.items() if name not in ("target", "template")}
        asked |= {"key_template": _template(options), "max_in_flight": 1}
        self._runs += 1
        owner = Owner(f"run {self._runs}", f"task instance {self._runs}")
        runtime = Runtime(
            self.clock, self.clock, self.clock.sleep, lambda *_: InPlace(), renews_leases=False, stop=process.stop
        )
        project = Interrupted(self.world.open(process), dict(hand or {}))
        start = self.export(options).start
        target = FaultyTarget(self.place, start, self.way, process)
        self._processes.append(process)
        outcome: Outcome
        try:
            outcome = export_annotations(project, target, self.engine, ExportOptions(**asked), owner, runtime)
        except EXPECTED as error:
            outcome = error
        finally:
            self._processes.pop()
        # These are refused before the project is looked at.
        if not options.get("dry_run") and not isinstance(outcome, StoragesOverlap | TargetOccupied):
            self._looked[start] = self.clock()
        return outcome

    def _foretold(self, options: Options, look: Look) -> Forecast:
        forecast = foretell(
            self.export(options),
            look.project,
            look.objects,
            include_cancelled=options["include_cancelled"],
            can_delete_objects=options["can_delete_objects"],
            miscounted=self.world.miscounted,
        )
        for path, content in forecast.rendered.items():
            self._ever.setdefault(path, set()).add((self.export(options), content))
        return forecast

    # --- what is remembered ---

    def _refusals(self, export: Export, forecast: Forecast, look: Look) -> tuple[set[Any], set[Any]]:
        """Return as what a run must be refused, one of these, and as what it may."""
        must = {forecast.refused} - {None}
        may = must | ({StoragesOverlap} if self._is_beside_one_killed(export) else set())
        for start, certain in self.remembered.items():
            other = export._replace(start=start)
            if export.is_nested(other):
                here = {
                    path: content
                    for path, content in look.objects.items()
                    if path.startswith(start) and not is_marker(path, content)
                }
                by = [written_by(path, content, start) for path, content in here.items()]
                if any(file and file[0].project == export.project for file in by):
                    must |= {StoragesOverlap} if certain and not self._late_ever else set()
                if here:
                    may.add(StoragesOverlap)
        return must, may | must

    def _is_beside_one_killed(self, export: Export) -> bool:
        """Tell whether a run to a nested target was killed, and may be taken for one that goes on."""
        leased = [start for start, until in self._leased.items() if self.clock() < until]
        return any(export.is_nested(export._replace(start=start)) for start in leased)

    def _has_run(self, export: Export) -> None:
        """Note that the export is known. What is nested with it, and was no obstacle, is forgotten."""
        for start in list(self.remembered):
            if export.is_nested(export._replace(start=start)):
                del self.remembered[start]
                self.unshown.pop(start, None)
        self.remembered[export.start] = True

    def _will_have_seen(self, options: Options) -> float:
        """Return up to when all changes have been seen, shown or not, should a run that begins now end well.

        It has to look at all tasks itself, or a run of the last day has, even if that one failed.
        """
        now, looked = self.clock(), self._looked.get(self.export(options).start, 0.0)
        return now if options["full"] or now - looked > DAY else now - DAY

    def has_changed(self, task: int) -> None:
        """Note that a task has changed, and nothing shows it."""
        for tasks in self.unshown.values():
            tasks.setdefault(task, []).append(self.clock())

    def lose_the_ledger(self, *, exports_only: bool) -> None:
        """Lose what is known, or what was exported and nothing else."""
        with writing(self.engine) as connection:
            for name in EXPORTS if exports_only else METADATA.tables:
                connection.execute(text(f"DELETE FROM {name}"))
        self.unshown.clear()
        self.remembered = dict.fromkeys(self.remembered, False) if exports_only else {}

    def ledger(self) -> dict[str, Any]:
        """Return all rows of the ledger's tables."""
        with self.engine.connect() as connection:
            rows = {name: connection.execute(text(f"SELECT * FROM {name}")).mappings() for name in LEDGER}
            return {name: sorted(map(dict, some), key=str) for name, some in rows.items()}

    # --- checks ---

    def _check_traces(self, before: Look, after: Look, runs: Sequence[tuple[Forecast, Options]], *, late: bool) -> None:
        """Check what runs may have done, whatever became of them: to their own files, and wholly or not at all."""
        may_write: dict[str, set[tuple[Export, Content]]] = {}
        may_delete: set[str] = set()
        for forecast, options in runs:
            export = self.export(options)
            for path, content in forecast.rendered.items():
                may_write.setdefault(path, set()).add((export, content))
            if options["can_delete_objects"]:
                # Another run's options may cover what this one has just written.
                may_delete |= forecast.deletable | (set(may_write) if len(runs) > 2 else set())
        exports = {self.export(options) for _, options in runs}
        starts, may_clear = {export.start for export in exports}, any(o["can_delete_objects"] for _, o in runs)
        for path in (before.objects.keys() | after.objects.keys()) - self._put_meanwhile.keys():
            was, now = before.objects.get(path), after.objects.get(path)
            if was == now:
                continue
            mine = [start for start in starts if path.startswith(start)]
            arrived = self._ever.get(path, set()) if late else set()
            assert mine or arrived, f"{path}: it is not in the target"
            files = [written_by(path, now, start) for start in self.place.starts if now is not None]
            if was is not None:
                by = {file[0] for start in starts if (file := written_by(path, was, start))}
                assert by or arrived, f"{path}: it was foreign, or another export's"
                assert may_clear or by & exports or arrived, f"{path}: it was another export's"
            if now is None:
                assert path in may_delete or arrived, f"{path}: it was not to be deleted"
            else:
                allowed = may_write.get(path, set()) | arrived
                assert any(file in allowed for file in files), f"{path}: nothing of the project says {now!r}"

    def _check_between(self, export: Export, options: Options, before: Look, after: Look, *, late: bool) -> None:
        """Check that each file that was to be there all the time is, as it was to be before or after."""
        one, other = (self._foretold(options, look).rendered for look in (before, after))
        for path in one.keys() & other.keys() if not late else ():
            file = written_by(path, after.objects.get(path, b""), export.start)
            stale = one[path].task.id in self.unshown[export.start]
            assert stale or (file and file[1] in (one[path], other[path])), f"{path}: it is not in step"

    def _check_report(
        self, report: ExportReport, options: Options, forecast: Forecast, before: Look, after: Look, seen: float
    ) -> None:
        """Check a run that nothing disturbed.

        :param seen: up to when all changes have been seen.
        """
        export = self.export(options)
        unshown = self.unshown[export.start]
        uncertain = {task for task, times in unshown.items() if max(times) > seen}
        there = {path: content for path, content in after.objects.items() if path.startswith(export.start)}
        files = {p: written_by(p, content, export.start) for p, content in there.items() if not is_marker(p, content)}
        stale = {path for path in files.keys() | forecast.files.keys() if files.get(path) != forecast.files.get(path)}
        tasks = {file[1].task.id for each in (files, forecast.files) for path in stale if (file := each.get(path))}
        assert tasks <= uncertain, f"not in step: {sorted(stale)}"
        if forecast.is_mixed:
            # What is in step already may be deleted with what is not, and written again.
            return
        written = [path for path in there if there[path] != before.objects.get(path)]
        assert report.written == len(written), f"{report.written} are reported as written, {len(written)} were"
        assert report.bytes_written == sum(len(there[path]) for path in written)
        if not uncertain:
            # With wrong counters, these may be told of by them.
            told = {name: n for name, n in forecast.counts.items() if self.world.counts_right or name != TOLD}
            wrong = {name: (getattr(report, name), n) for name, n in told.items() if getattr(report, name) != n}
            assert not wrong, f"reported and foretold: {wrong}"
            unshown.clear()
        elif report.gone == forecast.counts["gone"]:
            for task in unshown.keys() - tasks:
                if options["include_cancelled"] or not any(a.cancelled for a in _annotations(after.project, task)):
                    del unshown[task]


Hand = Mapping[int, Callable[[], None]]


def _annotations(project: Mapping[int, Labeled], task: int) -> Sequence[Annotation]:
    return project[task].annotations if task in project else ()


def _template(options: Options) -> str | None:
    number, templates = options["template"], TEMPLATES[options["layout"]]
    return None if number is None else templates[number % len(templates)]


def _told(outcome: Outcome) -> Any:
    if not isinstance(outcome, ExportReport):
        return {"ended": type(outcome)}
    said = outcome.as_dict() | {"failures": sorted(map(str, outcome.failures))}
    return {name: value for name, value in said.items() if name not in ("dry_run", "seconds", "requests")}
