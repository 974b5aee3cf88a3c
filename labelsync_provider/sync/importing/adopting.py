"""Adopting: tasks that a project has already are taken for those of the objects and rows that they were made from.

They are from a ledger that was lost, or others made them: Label Studio's own sync, or another tool. The former name
their object in a source reference, and are taken into the ledger wherever in the container they belong. Of the latter,
which are looked for only if that is asked, those that show the URI of an object are entered here, and the others wait
as candidates for the rows of task files.
"""

import logging

from msgspec.structs import replace

from labelsync_provider.errors import counted
from labelsync_provider.formats.tasks.digests import data_part, is_of_data_alone
from labelsync_provider.projects.protocol import StoredTask
from labelsync_provider.projects.task_content import reference_of, uri_of
from labelsync_provider.storages.protocol import Storage
from labelsync_provider.sync.importing.candidates import Candidates
from labelsync_provider.sync.importing.listing import Filter, covers
from labelsync_provider.sync.importing.own_sync import OwnSync
from labelsync_provider.sync.importing.state import ImportRun, looked_at
from labelsync_provider.sync.importing.steps import Plan
from labelsync_provider.sync.ledger.imports import ImportLedger
from labelsync_provider.sync.ledger.records import Changes, KnownRow, RowState
from labelsync_provider.tasks import data_digest

log = logging.getLogger(__name__)

HIGHEST_POSITION = 2**31 - 1
LONGEST_BYTES = 2000
"""Length of a text that PostgreSQL takes in an index, with room for what stands beside it."""


def adopt(run: ImportRun, passes: Filter) -> None:
    """Learn from the project's tasks what was imported, if the ledger cannot tell or is asked to look again."""
    options, report = run.options, run.report
    if not options.adopt and _knows_imported(run):
        return
    if options.adopt:
        run.own_sync = OwnSync(run.own_storages, run.source.location, as_blobs=options.use_blob_urls)
        run.candidates = None if options.use_blob_urls else Candidates()
    for page in run.project.tasks_after(0, with_data=options.adopt):
        for blobs in (False, True):
            found = [row for task in page if (row := _noted(task, run.source, blobs))]
            report.adopted += _enter(run.ledger.of(blobs=blobs), found)
        others = _of_others(run, page) if options.adopt else []
        for task in page:
            if run.own_sync and task.storage_filename:
                run.own_sync.note(task.storage_filename)
        if run.candidates:
            _add_candidates(run, run.candidates, others)
        elif others:
            _adopt_shown(run, passes, others)


def _knows_imported(run: ImportRun) -> bool:
    """Tell whether the ledger can be taken to know all that was imported."""
    if not run.ledger.storages("source"):
        return False
    noted, _ = run.ledger.task_counts()
    # What came in under another name of the server, only the tasks tell.
    return not run.has_other_name or (noted is not None and noted.project_tasks == run.project.count_all())


def tell_adoption(run: ImportRun) -> None:
    """Say what was adopted, and what nothing tells."""
    report, source = run.report, run.source.uri
    if report.adopted:
        log.info(
            "Known to the project only: %s from %s.", counted(report.adopted, "task"), run.source.location.container
        )
    if report.adopted_sharing:
        log.warning(
            "%d tasks show objects of %s, or have the data of rows there, for which other tasks stand; they stay as "
            "they are.",
            report.adopted_sharing,
            source,
        )
    if report.not_restored:
        log.warning(
            "%d objects and rows of %s were not imported: Label Studio's own sync had imported them, and somebody has "
            "deleted their tasks. Such as %s. With restore_deleted=True they come in.",
            report.not_restored,
            source,
            "; ".join(row.key if row.row is None else f"{row.key}, row {row.row}" for row in report.not_restored_rows),
        )
    if run.without_evidence and report.new:
        log.warning(
            "adopt: of %s of %s that have no task, or rows without one, nothing tells whether somebody has "
            "deleted these, as no sync of a storage of the project that takes them has completed since they were "
            "written. What has no task was imported.",
            counted(run.without_evidence, "object"),
            source,
        )


def _enter(ledger: ImportLedger, tasks: list[KnownRow]) -> int:
    """Enter those of the tasks that the ledger does not know; return how many these are.

    Of several tasks for one row the youngest stands for it, unless the object has been compared: then what the ledger
    knows is right.

    :param tasks: by ascending id, each with the row that it was made from; their `number` does not count.
    """
    known_tasks = ledger.known_tasks([row.task for row in tasks if row.task is not None])
    unknown = [row for row in tasks if row.task not in known_tasks]
    paths = sorted({row.path for row in unknown})
    rows = {path: {row.number: row for row in known} for path, known in ledger.rows_of(paths).items()}
    compared = {obj.path for page in ledger.objects_at(paths) for obj in page if obj.version is not None}
    changes, adopted = Changes(), dict[tuple[str, int], KnownRow]()
    for row in unknown:
        known = rows.setdefault(row.path, {})
        row = replace(row, number=max(known, default=-1) + 1)
        live = (other for other in known.values() if other.state == RowState.LIVE)
        same = next((other for other in live if other.position == row.position), None)
        if same and row.path in compared:
            row = replace(row, state=RowState.SUPERSEDED, position=None)
        elif same:
            known[same.number] = same = replace(same, state=RowState.SUPERSEDED, position=None)
            (adopted if (same.path, same.number) in adopted else changes.changed)[same.path, same.number] = same
        known[row.number] = row
        adopted[row.path, row.number] = row
    changes.created = list(adopted.values())
    if changes:
        ledger.enter(changes, reopens=paths)
    return len(adopted)


def _of_others(run: ImportRun, tasks: list[StoredTask]) -> list[StoredTask]:
    """Return those of the tasks that others made, and that stand for nothing elsewhere in the project."""
    digests = {task.id: data_digest(task.data) for task in tasks if uri_of(task.meta) is None}
    # An id alone says nothing of a row: the task that had it may be deleted.
    standing = {
        task
        for task, digest in run.ledger.standing_elsewhere(digests)
        if digest is None or data_part(digest) == digests[task]
    }
    return [task for task in tasks if task.id in digests and task.id not in standing]


def _adopt_shown(run: ImportRun, passes: Filter, tasks: list[StoredTask]) -> None:
    """Enter, for each object that this import looks at, the oldest of the tasks that show it, unless it has one."""
    ledger, report = run.ledger, run.report
    shown = [row for task in tasks if (row := _shown(run, task)) and covers(run, passes, row.path)]
    known = ledger.known_tasks([row.task for row in shown if row.task is not None])
    unknown = [row for row in shown if row.task is not None and _is_free(known.get(row.task), row.path)]
    standing = [row for rows in ledger.rows_of(sorted({row.path for row in unknown})).values() for row in rows]
    gone = _without_task(run, standing) if run.options.restore_deleted else []
    taken = {row.path for row in standing if row not in gone}
    adopted: dict[str, KnownRow] = {}
    for row in unknown:
        if row.path in taken or row.path in adopted:
            report.adopted_sharing += 1
        else:
            adopted[row.path] = row
    report.adopted += len(adopted)
    if adopted:
        instead_of = [row for row in gone if row.path in adopted]
        ledger.enter(Changes(created=list(adopted.values()), dropped=instead_of), reopens=adopted)


def _without_task(run: ImportRun, rows: list[KnownRow]) -> list[KnownRow]:
    """Return the rows whose task somebody has deleted: to restore such an object, another one that shows it will do."""
    there = looked_at(run.project, run.source, rows)
    return [row for row in rows if row.task not in there]


def _add_candidates(run: ImportRun, candidates: Candidates, tasks: list[StoredTask]) -> None:
    """Keep the tasks that a row of a task file may stand for: not those of other places, nor those that have a row."""
    known = run.ledger.known_tasks([task.id for task in tasks])
    placed = [
        (task, path)
        for task, path in _placed(run, tasks)
        if _is_free(row := known.get(task.id), path) or (row and is_of_data_alone(row.digest))
    ]
    candidates.add([(task.id, path, data_digest(task.data)) for task, path in placed])


def _is_free(row: KnownRow | None, path: str | None) -> bool:
    """Tell whether a task stands for nothing: a row of another object has the id of one that was deleted.

    :param row: what the ledger knows under its id.
    :param path: of the object that the task names or shows, if it does.
    """
    return row is None or path not in (None, row.path)


def _placed(run: ImportRun, tasks: list[StoredTask]) -> list[tuple[StoredTask, str | None]]:
    """Return tasks that may be of this source, with the path of the object if that is told."""
    own_sync = run.own_sync
    placed = list[tuple[StoredTask, str | None]]()
    for task in tasks:
        name = task.storage_filename
        if own_sync is None or name is None:
            placed.append((task, None))
        elif not own_sync.is_elsewhere(name):
            path = own_sync.path_of(name)
            # A task that shows the object itself was made from it as a file, not from a row in it.
            placed.append((task, None if path in _paths_shown(run.source, task) else path))
    return placed


def _paths_shown(source: Storage, task: StoredTask) -> list[str | None]:
    return [source.path_of(value) for value in task.data.values() if isinstance(value, str)]


def _noted(task: StoredTask, source: Storage, blobs: bool) -> KnownRow | None:
    """Return the row in a task's source reference, if it leads to this container."""
    note = reference_of(task.meta)
    uri, position, key = note.get("uri"), note.get("row"), note.get("key")
    digest = note.get("version") if blobs else note.get("digest")
    path = source.path_of(uri) if isinstance(uri, str) else None
    if not path or not isinstance(digest, str) or blobs != (position is None):
        return None
    # To Python, true is a number.
    if not (position is None or (type(position) is int and 0 <= position <= HIGHEST_POSITION)):
        return None
    key = key if isinstance(key, str) else None
    if not all(map(_can_be_entered, (path, digest, key or ""))):
        return None
    return KnownRow(path, 0, RowState.LIVE, position or 0, task.id, digest, key)


def _shown(run: ImportRun, task: StoredTask) -> KnownRow | None:
    """Return the row of the object whose URI a task has under the data key; of its version, nothing is known."""
    value = task.data.get(run.data_key)
    path = run.source.path_of(value) if isinstance(value, str) else None
    if path is None or not _can_be_entered(path):
        return None
    return KnownRow(path, 0, RowState.LIVE, 0, task.id, None, None)


def _can_be_entered(text: str) -> bool:
    """Tell whether every database takes a text in an index: what stands in a task may be anybody's."""
    try:
        return "\0" not in text and len(text.encode()) <= LONGEST_BYTES
    except UnicodeEncodeError:
        return False


def account_adopted(run: ImportRun, plan: Plan) -> None:
    """Count the tasks that a plan has found to stand for rows."""
    tasks = {row.task for row in plan.adopted if row.task is not None}
    standing = {row.task for row in plan.adopted if row.task is not None and row.state == RowState.LIVE}
    # What was left undecided before is decided about anew, and has been counted.
    run.report.adopted += len(standing - {row.task for row in plan.dropped})
    run.report.adopted_sharing += len(tasks) - len(standing)
    if run.candidates and tasks:
        run.candidates.take(tasks)
    for row in plan.adopted:
        if row.task is None:
            run.leave_deleted(row)
