"""The exporter: annotations of a project become objects of a target, and stay in step.

One way: look at what stands in the target -> tasks that have changed -> annotations -> render -> compare with the
ledger -> write -> ledger -> report. Nothing is written before the whole target has been looked at.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from datetime import datetime, timedelta
from hashlib import sha256
from typing import NamedTuple

from msgspec.structs import replace
from sqlalchemy import Engine

from labelsync_provider.database import chunks
from labelsync_provider.errors import (
    AlreadyThere,
    Denied,
    EmptyListing,
    Invalid,
    NotFound,
    Stopped,
    StoragesOverlap,
    TargetOccupied,
    Unavailable,
    UploadsFailed,
)
from labelsync_provider.prefetch import prefetched
from labelsync_provider.projects.protocol import Project, TaskState
from labelsync_provider.retry import Requests, count_in
from labelsync_provider.storages.protocol import ObjectInfo, Storage
from labelsync_provider.sync.annotation_files import (
    AnnotationFile,
    Carried,
    KeyRenderer,
    annotation_files,
    carried,
    carries,
    key_renderer,
)
from labelsync_provider.sync.compare import compare
from labelsync_provider.sync.export_options import ExportOptions
from labelsync_provider.sync.ledger.exports import ExportLedger
from labelsync_provider.sync.ledger.lease import Lease, Owner
from labelsync_provider.sync.ledger.records import GONE, KnownExport, Watermark
from labelsync_provider.sync.progress import Progress
from labelsync_provider.sync.report import FAILURES_SHOWN, ExportReport, Failure, log_report
from labelsync_provider.sync.runtime import Runtime

log = logging.getLogger(__name__)

FOREIGN_SHOWN = 5

OVERLAP = timedelta(minutes=1)
"""A change may become visible so much later than changes that bear a later time: clocks of several servers differ, and
a transaction takes its time."""
WHOLE_AFTER_SECONDS = 24 * 3600
"""So often all tasks are looked at, changed or not."""

HOPELESS = 20
"""If of so many objects none can be written, no other will be. A few bad ones do not keep the others out."""
OUTAGE_SECONDS = 1.0
"""An upload that failed sooner was refused, not tried again."""


def export_annotations(
    project: Project,
    target: Storage,
    engine: Engine,
    options: ExportOptions,
    owner: Owner | str,
    runtime: Runtime | None = None,
) -> ExportReport:
    """Write what is new or has changed in a project, and report the rest.

    :param engine: the database of the ledger.
    :param owner: who runs this.
    :param runtime: clocks and threads, if not the machine's own; and what ends the run.
    :raises Invalid: `key_template` cannot be.
    :raises StoragesOverlap: tasks of the project are imported from where the target is.
    :raises TargetOccupied: the target holds objects that the exporter did not write; nothing was written.
    :raises UploadsFailed: some objects could not be written; the others were.
    :raises EmptyListing: the project has no annotations, and `can_delete_objects` would empty the target.
    :raises LeaseHeld: another run exports this project to this container.
    :raises Stopped: the run was told to end.
    """
    runtime = runtime or Runtime()
    rendered = key_renderer(options.key_template, options.layout)

    def key(**ids: int) -> str:
        return target.location.prefix + rendered(**ids)

    if options.dry_run:
        # What the look at the target finds out is entered as in a real run, and thrown away.
        ledger = ExportLedger.copy_of(engine, project.uri, target.location)
        return _Export(project, target, ledger, options, key, lambda: None, runtime).run()
    resource = f"export of {project.uri} to {target.location.container}"
    with Lease(engine, resource, owner, options.lease_seconds, runtime=runtime) as lease:
        ledger = ExportLedger(engine, project.uri, target.location, lease.confirm)
        return _Export(project, target, ledger, options, key, lease.check, runtime).run()


class _Export:
    """One run. Its steps stand in the order in which they are taken."""

    def __init__(
        self,
        project: Project,
        target: Storage,
        ledger: ExportLedger,
        options: ExportOptions,
        key: KeyRenderer,
        confirm: Callable[[], None],
        runtime: Runtime,
    ) -> None:
        self._project, self._target, self._ledger = project, target, ledger
        self._options, self._key, self._confirm, self._runtime = options, key, confirm, runtime
        self._report = ExportReport(dry_run=options.dry_run)
        count_in(Requests(runtime.stop, self._report.requests), project, target)
        self._settings = repr((options.layout, options.key_template, options.include_cancelled))
        self._whole = options.dry_run
        """Whether all tasks are to be looked at, and not only those that have changed."""
        self._newest: datetime | None = None
        self._looking = Progress(log, runtime.monotonic)
        self._writing = Progress(log, runtime.monotonic)
        self._looked_at = 0
        """Objects of the target."""
        self._expected: int | None = None
        """Objects that the export makes, where all tasks are looked at; asked for when there is time to tell of it."""
        self._last_written = 0.0
        self._outage = False

    def run(self) -> ExportReport:
        try:
            return self._carried_out()
        except Stopped:
            raise Stopped(
                f"Stopped before the end of the export to {self._target.uri}, with {self._report.written:,} objects "
                "written, which stay. The next run goes on from there, and first finds out what became of requests "
                "that were on their way."
            ) from None

    def _carried_out(self) -> ExportReport:
        started = self._runtime.monotonic()
        report, options = self._report, self._options
        self._refuse_overlap()
        self._ledger.enter_storage("target")
        with self._runtime.threads(options.max_workers, "write") as pool:
            self._look(pool)
            self._write_all(pool)
        self._drop_gone()
        report.seconds = self._runtime.monotonic() - started
        if report.failed:
            raise UploadsFailed(
                f"{report.failed:,} objects could not be written to {self._target.uri}; {report.written:,} were. Run "
                f"it again to write the rest. The first: {'; '.join(map(str, report.failures[:3]))}. Report: {report}"
            )
        would = "Dry run, nothing was written. " if options.dry_run else ""
        log_report(log, f"{would}Export to {self._target.uri}, in {report.seconds:.1f} s", report)
        return report

    def _refuse_overlap(self) -> None:
        target = self._target
        for source in self._ledger.storages("source"):
            # A database is shared as a whole.
            same = source.endpoint == target.location.endpoint
            if source.is_nested(target.location) if target.holds_files else same:
                raise StoragesOverlap(
                    f"target={target.uri!r}: tasks of project {self._project.title!r} are imported from "
                    f"{source.root or '/'!r} there, where annotations would come back as tasks. Choose another target."
                )

    # --- look ---

    def _look(self, pool: Executor) -> None:
        """Bring the ledger in step with what stands in the target, or stop at what is not the exporter's."""
        target, ledger = self._target, self._ledger
        for differences in compare(
            target.list(), target.location, _is_unchanged, ledger.exports_between, ledger.exports_at
        ):
            lost = [known.path for known in differences.missing if known.version]
            if lost:
                log.warning("%d objects written earlier are gone from the target, such as %s.", len(lost), lost[0])
            unwritten = [known.path for known in differences.missing if not known.version]
            if lost or unwritten:
                ledger.lose_exports(lost + unwritten)
            self._looked_at += len(differences.unchanged) + len(differences.fresh)
            if self._looking.is_due():
                self._looking.say(self._looked_at, "objects of the target looked at")
            ours = self._verified(pool, differences.fresh) if differences.fresh else []
            if ours:
                ledger.enter_exports(ours)
            self._whole |= bool(lost or unwritten or ours)

    def _verified(
        self, pool: Executor, fresh: Sequence[tuple[str, ObjectInfo, KnownExport | None]]
    ) -> list[KnownExport]:
        """Return the objects as the ledger would know them, if each carries an annotation of the project."""
        ours, foreign, unknown = [], [], []
        standing = [pool.submit(self._identify, info) for _, info, _ in fresh]
        for (path, info, known), identified in zip(fresh, standing, strict=True):
            found = self._runtime.stop.result(identified)
            if found is None:
                continue
            if known and found.digest and found.digest in (known.digest, known.intended):
                ours.append(KnownExport(path, info.version, found.digest, known.task))
            elif isinstance(found.carried, str):
                foreign.append(Failure(info.key, None, found.carried))
            else:
                unknown.append((path, info, found.digest, found.carried))
        tasks_wanted = sorted({what.task for _, _, _, what in unknown})
        tasks = {task["id"]: task for page in self._project.annotated_tasks(tasks_wanted) for task in page}
        for path, info, digest, what in unknown:
            if what.task in tasks and carries(tasks[what.task], what):
                ours.append(KnownExport(path, info.version, digest, what.task))
            else:
                foreign.append(Failure(info.key, None, "the annotation in it is none of this project's"))
        if foreign:
            shown = "; ".join(map(str, foreign[:FOREIGN_SHOWN]))
            raise TargetOccupied(
                f"target={self._target.uri!r} holds objects that this exporter did not write for project "
                f"{self._project.title!r}: {shown}{' ...' if len(foreign) > FOREIGN_SHOWN else ''}. Nothing was "
                "written. Move them away, or choose a target of its own for this project."
            )
        return ours

    def _identify(self, info: ObjectInfo) -> "_Standing | None":
        """Return what an object in the target is, or None if it is gone."""
        if info.problem:
            return _Standing("", info.problem)
        try:
            content = self._target.read(info.key, version=info.version)
        except NotFound:
            return None
        except (Invalid, Denied) as error:
            return _Standing("", str(error))
        try:
            return _Standing(_digest(content), carried(content, self._project.id))
        except Invalid as error:
            return _Standing(_digest(content), str(error))

    # --- write ---

    def _write_all(self, pool: Executor) -> None:
        """Write what has changed since the last run; what that cannot tell is found by looking at all tasks."""
        report, started = self._report, self._runtime.now()
        mark = self._ledger.watermark()
        if self._whole or mark is None or mark.settings != self._settings:
            mark = None
        whole = mark is None or started - mark.read_whole > WHOLE_AFTER_SECONDS
        if mark and not whole:
            report.unchanged = self._ledger.count_exports()
            self._write_changed_since(pool, _since(mark))
            report.annotations, expected = self._count()
            # A task that was deleted is in no list of changed ones; its absence shows in the number. What could not be
            # written shows there too, and is not tried a second time.
            whole = not report.failed and self._ledger.count_exports() != expected
        if whole:
            report.unchanged = -report.written
            self._write_changed_since(pool, None)
            report.annotations, _ = self._count()
        newest = self._newest.isoformat() if self._newest else mark.changed_at if mark else None
        if newest and not self._options.dry_run and not report.failed:
            first_seen = mark.first_seen if mark and mark.changed_at == newest else self._runtime.now()
            read_whole = mark.read_whole if mark and not whole else started
            self._ledger.enter_watermark(Watermark(self._settings, newest, first_seen, started, read_whole))

    def _count(self) -> tuple[int, int | None]:
        """Return how many annotations there are to export, and how many objects they make, if that can be told."""
        progress, options = self._project.progress(), self._options
        cancelled = 0 if options.include_cancelled else progress.cancelled_annotations
        annotations = progress.annotations - cancelled
        if options.layout == "annotation":
            return annotations, annotations
        return annotations, None if cancelled else progress.annotated_tasks

    def _write_changed_since(self, pool: Executor, since: datetime | None) -> None:
        """Write the tasks that differ from what the ledger knows of them, of all or of those changed since."""
        seen = 0
        self._writing.begin()
        for states in self._project.changes(since):
            last = states[-1].id
            pages = (
                self._ledger.exports_of_tasks(seen, last)
                if since is None
                else self._ledger.exports_of([state.id for state in states])
            )
            known: dict[int, list[KnownExport]] = {}
            for page in pages:
                for export in page:
                    known.setdefault(export.task, []).append(export)
            self._write_tasks(pool, states, known, whole=since is None)
            seen = last
        if since is None:
            for page in self._ledger.exports_of_tasks(seen, None):
                self._note_gone(page)

    def _write_tasks(
        self, pool: Executor, states: Sequence[TaskState], known: dict[int, list[KnownExport]], *, whole: bool
    ) -> None:
        report, wanted = self._report, dict[int, str]()
        for task in states:
            if task.updated_at:
                self._newest = max(self._newest or task.updated_at, task.updated_at)
            stamp = task.state and f"{task.state} {self._settings}"
            there = [export for export in known.get(task.id, ()) if export.state != GONE]
            if stamp and there and all(export.state == stamp for export in there):
                report.unchanged += len(there) if whole else 0
                known.pop(task.id)
                continue
            # What has not changed since was counted before.
            report.unchanged -= 0 if whole else len([export for export in there if export.version])
            if task.annotated:
                wanted[task.id] = stamp
        by_path = {export.path: export for exports in known.values() for export in exports}
        exported: set[str] = set()
        pages = self._project.annotated_tasks(list(wanted)) if wanted else iter(())
        for tasks in prefetched(pages, self._runtime.stop) if self._project.remote else pages:
            files = [
                file
                for task in tasks
                for file in annotation_files(
                    task, self._options.layout, self._key, include_cancelled=self._options.include_cancelled
                )
            ]
            exported.update(self._path(file) for file in files)
            for some in chunks(files, self._options.batch_size):
                self._write_changed(pool, some, by_path, wanted)
                self._tell(whole=whole)
        self._note_gone([export for path, export in by_path.items() if path not in exported])

    def _tell(self, *, whole: bool) -> None:
        """Say how far the run is, if it is time to."""
        report, would = self._report, "would be " if self._options.dry_run else ""
        if not self._writing.is_due():
            return
        if not whole:
            self._writing.say(report.written, f"objects {would}written")
            return
        if self._expected is None:
            _, self._expected = self._count()
        done = report.written + report.unchanged
        self._writing.say(done, "objects in step", self._expected, f"{report.written:,} {would}written")

    def _note_gone(self, gone: Sequence[KnownExport]) -> None:
        if fresh := [export.path for export in gone if export.state != GONE]:
            self._ledger.mark_gone(fresh)

    def _write_changed(
        self,
        pool: Executor,
        files: list[AnnotationFile],
        known: dict[str, KnownExport],
        stamps: dict[int, str],
    ) -> None:
        report = self._report
        changed, restamped = [], []
        for file in files:
            path, digest = self._path(file), _digest(file.content)
            if path in known and known[path].digest == digest:
                report.unchanged += 1
                if known[path].state != stamps[file.task]:
                    restamped.append(replace(known[path], state=stamps[file.task]))
            else:
                changed.append((file, path, digest))
        if restamped:
            self._ledger.enter_exports(restamped)
        if not changed:
            return
        if self._options.dry_run:
            report.written += len(changed)
            report.bytes_written += sum(len(file.content) for file, _, _ in changed)
            return
        # Announced first: what a killed run has written is known to be the exporter's, whatever becomes of
        # the annotation meanwhile.
        self._ledger.enter_exports(
            [
                replace(known.get(path, KnownExport(path, "", "", file.task)), intended=digest)
                for file, path, digest in changed
            ]
        )
        written = []
        # What the ledger does not know to stand there is created, not overwritten: somebody else may have come since.
        fresh = [not (path in known and known[path].version) for _, path, _ in changed]
        outcomes = [pool.submit(self._write, file, new) for (file, _, _), new in zip(changed, fresh, strict=True)]
        for (file, path, digest), answer in zip(changed, outcomes, strict=True):
            outcome = self._runtime.stop.result(answer)
            if isinstance(outcome, Failure):
                report.failed_as(outcome)
                if report.failed <= FAILURES_SHOWN:
                    log.warning("Not written: %s", outcome)
            else:
                report.written += 1
                report.bytes_written += len(file.content)
                written.append(KnownExport(path, outcome, digest, file.task, state=stamps[file.task]))
        self._ledger.enter_exports(written)
        if self._outage or (not written and len(changed) >= HOPELESS):
            raise UploadsFailed(
                f"{len(written) or 'None'} of {len(changed):,} objects could be written to {self._target.uri}; "
                f"{report.written - len(written):,} were before. {'; '.join(map(str, report.failures[:3]))}. "
                f"Report: {report}"
            )

    def _write(self, file: AnnotationFile, create: bool) -> str | Failure:
        if self._outage:
            return Failure(file.key, None, "not tried: nothing could be written any more")
        began = self._runtime.monotonic()
        try:
            version = self._target.write(file.key, file.content, create=create)
        except (AlreadyThere, Invalid, NotFound, Denied, Unavailable) as error:
            if isinstance(error, Unavailable) and began + OUTAGE_SECONDS < self._runtime.monotonic():
                # It was tried again and again; if nothing else got through meanwhile, no other will be.
                self._outage |= self._last_written < began
            return Failure(file.key, None, str(error))
        self._last_written = self._runtime.monotonic()
        return version

    def _drop_gone(self) -> None:
        """Report objects whose annotation is gone; delete them if allowed."""
        report = self._report
        for gone in self._ledger.exports_gone():
            report.gone += len(gone)
            # After a failed upload nothing is deleted: what is to be replaced would be gone first.
            if not self._options.can_delete_objects or report.failed:
                continue
            if not report.annotations:
                raise EmptyListing(
                    f"Project {self._project.title!r} has no annotation, though {self._target.uri} holds exported "
                    f"ones, such as {gone[0].path}. Nothing was deleted. Is it the right project? If so, empty the "
                    "target."
                )
            report.deleted += len(gone)
            if not self._options.dry_run:
                self._confirm()
                self._target.delete([self._target.location.key(known.path) for known in gone])
                self._ledger.enter_exports([], [known.path for known in gone])

    def _path(self, file: AnnotationFile) -> str:
        return self._target.location.path(file.key)


def _is_unchanged(info: ObjectInfo, known: KnownExport) -> bool:
    return known.version == info.version


def _since(mark: Watermark) -> datetime:
    """Return from when on changes are to be read: an overlap earlier than the latest, until nothing can come late."""
    latest = datetime.fromisoformat(mark.changed_at)
    return latest if mark.read - mark.first_seen > OVERLAP.total_seconds() else latest - OVERLAP


class _Standing(NamedTuple):
    """What stands in the target."""

    digest: str
    """Empty if it cannot be read."""
    carried: Carried | str
    """What it carries; a text says why it is foreign."""


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()
