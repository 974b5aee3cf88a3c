"""The exporter: annotations of a project become objects of a target, and stay in step.

One way: look at what stands in the target -> tasks that have changed -> annotations -> render -> compare with the
ledger -> write -> ledger -> report. Nothing is written before the whole target has been looked at.
"""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from hashlib import sha256
from typing import NamedTuple

from sqlalchemy import Engine

from labelsync_provider.database import chunks
from labelsync_provider.errors import (
    AlreadyThere,
    Denied,
    EmptyListing,
    Invalid,
    NotFound,
    StoragesOverlap,
    TargetOccupied,
    Unavailable,
    UploadsFailed,
)
from labelsync_provider.prefetch import prefetched
from labelsync_provider.projects.protocol import Project, TaskState
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
from labelsync_provider.sync.report import FAILURES_SHOWN, ExportReport, Failure
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
    :param runtime: clocks, if not the machine's own.
    :raises Invalid: `key_template` cannot be.
    :raises StoragesOverlap: tasks of the project are imported from where the target is.
    :raises TargetOccupied: the target holds objects that the exporter did not write; nothing was written.
    :raises UploadsFailed: some objects could not be written; the others were.
    :raises EmptyListing: the project has no annotations, and `can_delete_objects` would empty the target.
    :raises LeaseHeld: another run exports this project to this container.
    """
    rendered = key_renderer(options.key_template, options.layout)

    def key(**ids: int) -> str:
        return target.location.prefix + rendered(**ids)

    if options.dry_run:
        # What the look at the target finds out is entered as in a real run, and thrown away.
        ledger = ExportLedger.copy_of(engine, project.uri, target.location)
        return _Export(project, target, ledger, options, key, lambda: None).run()
    resource = f"export of {project.uri} to {target.location.container}"
    with Lease(engine, resource, owner, options.lease_seconds, runtime=runtime) as lease:
        ledger = ExportLedger(engine, project.uri, target.location, lease.confirm)
        return _Export(project, target, ledger, options, key, lease.check).run()


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
    ) -> None:
        self._project, self._target, self._ledger = project, target, ledger
        self._options, self._key, self._confirm = options, key, confirm
        self._report = ExportReport()
        self._settings = repr((options.layout, options.key_template, options.include_cancelled))
        self._whole = options.dry_run
        """Whether all tasks are to be looked at, and not only those that have changed."""
        self._newest: datetime | None = None
        self._progress = Progress(log, "objects")
        self._last_written = 0.0
        self._outage = False

    def run(self) -> ExportReport:
        started = time.monotonic()
        report, options = self._report, self._options
        self._refuse_overlap()
        self._ledger.enter_storage("target")
        with ThreadPoolExecutor(options.max_workers, thread_name_prefix="labelsync-write") as pool:
            self._look(pool)
            self._write_all(pool)
        self._drop_gone()
        report.seconds = time.monotonic() - started
        if report.failed:
            raise UploadsFailed(
                f"{report.failed:,} objects could not be written to {self._target.uri}; {report.written:,} were. Run "
                f"it again to write the rest. The first: {'; '.join(map(str, report.failures[:3]))}. Report: {report}"
            )
        log.info("%s%s: %s", "Dry run, nothing was written. " if options.dry_run else "", self._target.uri, report)
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

    def _look(self, pool: ThreadPoolExecutor) -> None:
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
            ours = self._verified(pool, differences.fresh) if differences.fresh else []
            if ours:
                ledger.enter_exports(ours)
            self._whole |= bool(lost or unwritten or ours)

    def _verified(
        self, pool: ThreadPoolExecutor, fresh: Sequence[tuple[str, ObjectInfo, KnownExport | None]]
    ) -> list[KnownExport]:
        """Return the objects as the ledger would know them, if each carries an annotation of the project."""
        ours, foreign, unknown = [], [], []
        standing = pool.map(self._identify, [info for _, info, _ in fresh])
        for (path, info, known), found in zip(fresh, standing, strict=True):
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
            content = self._target.read(info.key)
        except NotFound:
            return None
        except (Invalid, Denied) as error:
            return _Standing("", str(error))
        try:
            return _Standing(_digest(content), carried(content, self._project.id))
        except Invalid as error:
            return _Standing(_digest(content), str(error))

    # --- write ---

    def _write_all(self, pool: ThreadPoolExecutor) -> None:
        """Write what has changed since the last run; what that cannot tell is found by looking at all tasks."""
        report, started = self._report, time.time()
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
            first_seen = mark.first_seen if mark and mark.changed_at == newest else time.time()
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

    def _write_changed_since(self, pool: ThreadPoolExecutor, since: datetime | None) -> None:
        """Write the tasks that differ from what the ledger knows of them, of all or of those changed since."""
        seen = 0
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
        self, pool: ThreadPoolExecutor, states: Sequence[TaskState], known: dict[int, list[KnownExport]], *, whole: bool
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
        for tasks in prefetched(pages) if self._project.remote else pages:
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
        self._note_gone([export for path, export in by_path.items() if path not in exported])

    def _note_gone(self, gone: Sequence[KnownExport]) -> None:
        if fresh := [export.path for export in gone if export.state != GONE]:
            self._ledger.mark_gone(fresh)

    def _write_changed(
        self,
        pool: ThreadPoolExecutor,
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
                    restamped.append(known[path]._replace(state=stamps[file.task]))
            else:
                changed.append((file, path, digest))
        if restamped:
            self._ledger.enter_exports(restamped)
        self._progress(report.written + report.unchanged, report)
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
                known.get(path, KnownExport(path, "", "", file.task))._replace(intended=digest)
                for file, path, digest in changed
            ]
        )
        written = []
        # What the ledger does not know to stand there is created, not overwritten: somebody else may have come since.
        fresh = [not (path in known and known[path].version) for _, path, _ in changed]
        outcomes = pool.map(self._write, [file for file, _, _ in changed], fresh)
        for (file, path, digest), outcome in zip(changed, outcomes, strict=True):
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
        began = time.monotonic()
        try:
            version = self._target.write(file.key, file.content, create=create)
        except (AlreadyThere, Invalid, NotFound, Denied, Unavailable) as error:
            if isinstance(error, Unavailable) and began + OUTAGE_SECONDS < time.monotonic():
                # It was tried again and again; if nothing else got through meanwhile, no other will be.
                self._outage |= self._last_written < began
            return Failure(file.key, None, str(error))
        self._last_written = time.monotonic()
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
