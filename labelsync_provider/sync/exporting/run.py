"""The exporter: annotations of a project become objects of a target, and stay in step.

One way: look at the target -> tasks that have changed -> annotations -> render -> plan -> write -> account. Nothing is
written before the whole target has been looked at.
"""

import logging
from collections.abc import Callable

from sqlalchemy import Engine

from labelsync_provider.errors import Stopped, TargetOccupied, UploadsFailed
from labelsync_provider.projects.protocol import Annotated
from labelsync_provider.retry import Requests, count_in
from labelsync_provider.storages.protocol import Target
from labelsync_provider.sync.annotation_files import Note, key_renderer, key_template_of
from labelsync_provider.sync.exporting.changes import export_changes
from labelsync_provider.sync.exporting.looking import Looks
from labelsync_provider.sync.exporting.options import ExportOptions
from labelsync_provider.sync.exporting.rehearsal import RehearsedTarget
from labelsync_provider.sync.exporting.state import ExportRun
from labelsync_provider.sync.exporting.target_check import (
    earlier_export,
    forget_exports_without_objects,
    look_at_target,
    refuse_nested,
    refuse_sources,
)
from labelsync_provider.sync.exporting.writing import delete_gone
from labelsync_provider.sync.ledger.exports import ExportLedger
from labelsync_provider.sync.ledger.lease import Lease, Owner
from labelsync_provider.sync.report import ExportReport, log_report
from labelsync_provider.sync.runtime import Runtime

log = logging.getLogger(__name__)


def export_annotations(
    project: Annotated,
    target: Target,
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
    :raises StoragesOverlap: tasks of the project are imported from where the target is, or it is exported to a part of
        it, or to where it is a part of.
    :raises TargetOccupied: the target holds objects that the exporter did not write, or wrote with another layout or
        key template; nothing was written.
    :raises UploadsFailed: some objects could not be written; the others were.
    :raises EmptyListing: the project has no annotations, and `can_delete_objects` would empty the target.
    :raises LeaseHeld: another run still exported to this target when the time to wait was over.
    :raises Stopped: the run was told to end.
    """
    runtime, location = runtime or Runtime(), target.location
    render_key = key_renderer(options.key_template, options.layout)
    template = key_template_of(options.key_template, options.layout)
    note = Note(project.uri, project.created_at, options.layout, template)
    report = ExportReport(dry_run=options.dry_run)
    count_in(Requests(runtime.stop, report.requests), project, target)

    def run_with(target: Target, ledger: ExportLedger, confirm: Callable[[], None]) -> ExportReport:
        with runtime.threads(options.max_workers, "write") as pool:
            return _export(
                ExportRun(project, target, ledger, options, note, render_key, confirm, runtime, pool, report)
            )

    if options.dry_run:
        # A rehearsal: the same run, on a copy of the ledger, to a target to which nothing is done.
        return run_with(RehearsedTarget(target), ExportLedger.copy_of(engine, project.uri, location), lambda: None)
    with Lease(
        engine,
        f"export to {location.container}/{location.start} at {location.endpoint}",
        owner,
        options.lease_seconds,
        wait_seconds=options.wait_for_lease,
        runtime=runtime,
    ) as lease:
        return run_with(target, ExportLedger(engine, project.uri, location, lease.confirm), lease.check)


def _export(run: ExportRun) -> ExportReport:
    try:
        return _carried_out(run)
    except Stopped:
        raise Stopped(
            f"Stopped before the end of the export to {run.target.uri}, with {run.report.written:,} objects "
            "written, which stay. The next run goes on from there, and first finds out what became of requests "
            "that were on their way."
        ) from None


def _carried_out(run: ExportRun) -> ExportReport:
    started, report = run.runtime.monotonic(), run.report
    refuse_sources(run)
    forget_exports_without_objects(run)
    refuse_nested(run, run.ledger.targets())
    if look_at_target(run):
        _take_down(run)
    run.ledger.enter_target(run.note.layout, run.note.key_template, lambda known: refuse_nested(run, known))
    export_changes(run)
    delete_gone(run, empties=not report.annotations)

    report.seconds = run.runtime.monotonic() - started
    if report.failed:
        raise UploadsFailed(
            f"{report.failed:,} objects could not be written to {run.target.uri}; {report.written:,} were. Run "
            f"it again to write the rest. The first: {'; '.join(map(str, report.failures[:3]))}. Report: {report}"
        )
    would = "Dry run, nothing was written. " if run.options.dry_run else ""
    log_report(log, f"{would}Export to {run.target.uri}, in {report.seconds:.1f} s", report)
    return report


def _take_down(run: ExportRun) -> None:
    """Delete all that is exported here, so that it can be exported another way.

    :raises TargetOccupied: it may not be deleted.
    :raises EmptyListing: nothing would come in its place.
    """
    earlier = earlier_export(run)
    how = f"with layout={earlier.layout!r}, key_template={earlier.key_template!r}" if earlier else "another way"
    if not run.options.can_delete_objects:
        raise TargetOccupied(
            f"target={run.target.uri!r}: project {run.project.title!r} was exported here {how}. Nothing was written. "
            "Set can_delete_objects=True to have these objects deleted first, or choose another target."
        )
    log.warning("%s: what was exported here %s is deleted first.", run.target.uri, how)
    run.ledger.mark_all_gone()
    delete_gone(run, empties=not Looks(run).find_any())
