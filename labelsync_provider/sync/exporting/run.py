"""The exporter: annotations of a project become objects of a target, and stay in step.

One way: look at the target -> tasks that have changed -> annotations -> render -> plan -> write -> account. Nothing is
written before the whole target has been looked at.
"""

import logging
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from sqlalchemy import Engine

from labelsync_provider.errors import Stopped, UploadsFailed, counted
from labelsync_provider.formats.annotations.key_template import key_renderer, key_template_of
from labelsync_provider.formats.annotations.note import Note
from labelsync_provider.projects.protocol import Annotated
from labelsync_provider.request_limit import Limit
from labelsync_provider.retry import Requests, count_in
from labelsync_provider.storages.location import Location
from labelsync_provider.storages.protocol import Target
from labelsync_provider.sync.exporting.changes import export_changes
from labelsync_provider.sync.exporting.looking import Looks
from labelsync_provider.sync.exporting.options import ExportOptions
from labelsync_provider.sync.exporting.other_exports import forget_what_is_no_more, refuse_nested, refuse_sources
from labelsync_provider.sync.exporting.rehearsal import RehearsedTarget
from labelsync_provider.sync.exporting.state import ExportRun
from labelsync_provider.sync.exporting.target_check import look_at_target
from labelsync_provider.sync.exporting.writing import delete_gone
from labelsync_provider.sync.identity import refuse_other_birth
from labelsync_provider.sync.ledger.exports import ExportLedger
from labelsync_provider.sync.ledger.lease import Lease, Owner
from labelsync_provider.sync.report import ExportReport, log_report
from labelsync_provider.sync.runtime import Runtime

REHEARSAL = -1
"""The fencing number of a dry run, which no lease has."""

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
    :raises Invalid: `key_template` cannot be; or the project is not the one that the ledger knows by its `uri`.
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
    refuse_other_birth(project, engine, read_only=options.dry_run)

    def run_with(target: Target, ledger: ExportLedger, lease: Lease | None) -> ExportReport:
        confirm, number = (lease.check, lease.token) if lease else (lambda: None, REHEARSAL)
        most = options.max_in_flight
        limit = Limit(most, runtime.monotonic())
        with runtime.threads(most, "write") as pool:
            run = ExportRun(
                project,
                target,
                ledger,
                options,
                note,
                render_key,
                confirm,
                lease_of,
                number,
                runtime,
                pool,
                limit,
                report,
            )
            return _export(run)

    def lease_of(other: Location, wait_seconds: float = 0) -> AbstractContextManager[Any]:
        if options.dry_run:
            return nullcontext()
        # The range of the ledger: what has this name elsewhere is known by the same rows.
        resource = f"export to {other.container}/{other.start}"
        return Lease(engine, resource, owner, options.lease_seconds, wait_seconds=wait_seconds, runtime=runtime)

    if options.dry_run:
        # A rehearsal: the same run, on a copy of the ledger, to a target to which nothing is done.
        return run_with(RehearsedTarget(target), ExportLedger.copy_of(engine, project.uri, location), None)
    with lease_of(location, options.wait_for_lease) as lease:
        return run_with(target, ExportLedger(engine, project.uri, location, lease.confirm), lease)


def _export(run: ExportRun) -> ExportReport:
    try:
        return _carried_out(run)
    except Stopped:
        written = counted(run.report.written, "object")
        raise Stopped(
            f"Stopped before the end of the export to {run.target.uri}, with {written} written and entered, which "
            "stay. The next run goes on from there, and first finds out what became of requests that were on their way."
        ) from None


def _carried_out(run: ExportRun) -> ExportReport:
    started, report = run.runtime.monotonic(), run.report
    refuse_sources(run)
    forget_what_is_no_more(run)
    if look_at_target(run):
        delete_gone(run, empties=not Looks(run).find_any())
    run.ledger.enter_target(run.this, lambda known: refuse_nested(run, known))
    export_changes(run)
    delete_gone(run, empties=not report.annotations)

    report.seconds = run.runtime.monotonic() - started
    if report.failed:
        raise UploadsFailed(
            f"{counted(report.failed, 'object')} could not be written to {run.target.uri}; {report.written:,} were. "
            f"Every run tries them again. The first: {'; '.join(map(str, report.failures[:3]))}. Report: {report}"
        )
    would = "Dry run, nothing was written. " if run.options.dry_run else ""
    title = f"{would}Export to {run.target.uri}, in {report.seconds:.1f} s"
    log_report(log, title, report, run.target, run.limit.reached)
    return report
