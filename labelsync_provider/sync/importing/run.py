"""The importer: objects of a source become tasks of a project, each exactly once.

One way, as a stream: list -> filter -> compare -> what the ledger knows -> read -> parse -> match -> plan -> apply ->
account. The stages are generators that pull from each other, so that only a bounded window of objects and rows is held.
"""

import logging
from collections.abc import Sequence

from sqlalchemy import Engine

from labelsync_provider.errors import Stopped, counted
from labelsync_provider.projects.protocol import Fencing, OwnStorage, Project, Remote
from labelsync_provider.retry import Requests, count_in
from labelsync_provider.storages.protocol import Storage
from labelsync_provider.sync.identity import has_other_name, refuse_other_birth
from labelsync_provider.sync.importing.adopting import adopt, tell_adoption
from labelsync_provider.sync.importing.applying import Applier
from labelsync_provider.sync.importing.checks import (
    check_blob_data,
    check_source,
    data_key_of,
    judge_listing,
    judge_quarantine,
)
from labelsync_provider.sync.importing.deleted_by_hand import look_for_deleted, note_tasks
from labelsync_provider.sync.importing.deleting import Deletions
from labelsync_provider.sync.importing.listing import Filter, objects_to_look_at
from labelsync_provider.sync.importing.options import ImportOptions
from labelsync_provider.sync.importing.planning import blob_plans, task_file_plans
from labelsync_provider.sync.importing.reading import contents
from labelsync_provider.sync.importing.readings import refuse_other_reading
from labelsync_provider.sync.importing.reconciling import reconcile
from labelsync_provider.sync.importing.rehearsal import Rehearsal
from labelsync_provider.sync.importing.restoring import forget_deleted
from labelsync_provider.sync.importing.state import ImportRun
from labelsync_provider.sync.importing.telling import ImportProgress
from labelsync_provider.sync.importing.unshown import Unshown
from labelsync_provider.sync.ledger.imports import ImportLedger
from labelsync_provider.sync.ledger.lease import Lease, Owner
from labelsync_provider.sync.report import ImportReport, log_report
from labelsync_provider.sync.runtime import Runtime

log = logging.getLogger(__name__)


def import_storage(
    source: Storage,
    project: Project,
    engine: Engine,
    options: ImportOptions,
    owner: Owner | str,
    runtime: Runtime | None = None,
    own_storages: Sequence[OwnStorage] = (),
) -> ImportReport:
    """Import what is new in a source, and report the rest.

    :param engine: the database of the ledger.
    :param owner: who runs this.
    :param runtime: clocks, sleep and threads, if not the machine's own; and what ends the run.
    :param own_storages: the project's source storages, from which its own sync has made tasks: `adopt` needs them, and
        without them no warning says where somebody can press Sync.
    :raises Invalid: `data_key` is needed and not given, or does not suffice for the label config; or the source
        cannot be told from another one; or what is in it was imported by the other value of `use_blob_urls`; or the
        project is not the one that the ledger knows by its `uri`.
    :raises EmptyListing: the source lists nothing, or nothing but markers, where the ledger knows objects.
    :raises NotFound: the source is a directory that is not there.
    :raises StoragesOverlap: the project's annotations are exported to where the source is.
    :raises TooManyMissing: more tasks would be deleted than allowed; none was.
    :raises TooManyQuarantined: with the good objects imported.
    :raises LeaseHeld: another run still imported into this project when the time to wait was over.
    :raises LeaseLost: another run has taken over.
    :raises Stopped: the run was told to end.
    :raises Denied: nothing of the source may be read.
    :raises Unusable: source or server cannot be used as they are named and logged in to.
    :raises Unavailable: source or server did not answer as they should.
    :raises SchemaOutdated: the database is of another version of this package.
    """
    runtime = runtime or Runtime()
    data_key = data_key_of(project, options)
    check_blob_data(project, options, data_key)
    blobs, report = options.use_blob_urls, ImportReport(dry_run=options.dry_run)
    count_in(Requests(runtime.stop, report.requests), source, project)
    refuse_other_birth(project, engine, read_only=options.dry_run)
    other_name = has_other_name(project, engine)
    if options.dry_run:
        # A rehearsal: the same run, on a copy of the ledger, with a project to which nothing is done.
        ledger = ImportLedger.copy_of(engine, project.uri, source.location, as_blobs=blobs)
        rehearsal = Rehearsal(project)
        run = ImportRun(source, rehearsal, ledger, options, data_key, runtime, own_storages, report, other_name)
        return _import(run)
    with Lease(
        engine,
        f"import into {project.uri}",
        owner,
        options.lease_seconds,
        wait_seconds=options.wait_for_lease,
        runtime=runtime,
    ) as lease:
        _hold_to(project, lease)
        ledger = ImportLedger(engine, project.uri, source.location, lease.confirm, as_blobs=blobs)
        run = ImportRun(source, project, ledger, options, data_key, runtime, own_storages, report, other_name)
        return _import(run)


def _hold_to(project: Project, lease: Lease) -> None:
    """Have writes of this run refused once another one has its lease."""
    if isinstance(project, Fencing):
        project.fence(lease.token)
    if isinstance(project, Remote):
        project.confirm_before_changes(lease.check)


def _import(run: ImportRun) -> ImportReport:
    try:
        return _carried_out(run)
    except Stopped:
        report = run.report
        raise Stopped(
            f"Stopped before the end of {run.source.uri}, with {counted(report.tasks_created, 'task')} created and "
            f"{report.tasks_updated:,} updated, which stay. The next run goes on from there, and first finds out what "
            "became of requests that were on their way."
        ) from None


def _carried_out(run: ImportRun) -> ImportReport:
    started, options, report = run.runtime.monotonic(), run.options, run.report
    check_source(run)
    reconcile(run)
    passes = Filter(options.regex_filter)
    adopt(run, passes)
    refuse_other_reading(run.source, run.project, run.ledger, options)
    tasks_before = look_for_deleted(run)
    if options.restore_deleted:
        forget_deleted(run, passes)

    progress, deletions = ImportProgress(run), Deletions(run)
    objects = objects_to_look_at(run, passes, deletions, progress)
    unshown = Unshown()
    plans = blob_plans(run, objects, unshown) if options.use_blob_urls else task_file_plans(run, contents(run, objects))
    try:
        Applier(run, deletions, progress).apply(plans)
    finally:
        run.aside.log(log)
        run.ignored.log(log)
        unshown.log(log)
        run.unfinished.log(log)

    report.seconds = run.runtime.monotonic() - started
    tell_adoption(run)
    judge_listing(run, passes)
    deletions.forget_gone()
    judge_quarantine(run)
    deletions.carry_out()
    note_tasks(run, tasks_before)
    report.seconds = run.runtime.monotonic() - started
    if options.dry_run:
        report.created_ids = []
    would = "Dry run, nothing was written. " if options.dry_run else ""
    title = f"{would}Import from {run.source.uri}, in {report.seconds:.1f} s"
    log_report(log, title, report, run.source, run.in_flight)
    return report
