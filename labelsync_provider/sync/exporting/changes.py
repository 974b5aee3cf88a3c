"""Which tasks are looked at: those that have changed since the last run, and more where that cannot tell.

A list of changed tasks has no deleted ones, so the project's counts are held against the ledger's. A server changes
some things without a trace of when, so once a day all tasks are read. And its counts may be wrong: what a look at all
tasks finds is believed, and the difference remembered.
"""

import logging
from contextlib import closing
from datetime import datetime, timedelta
from typing import NamedTuple

from labelsync_provider.formats.annotations.registry import LAYOUTS
from labelsync_provider.projects.protocol import Progress
from labelsync_provider.sync.exporting.looking import LISTED, Looks
from labelsync_provider.sync.exporting.state import ExportRun
from labelsync_provider.sync.ledger.records import Watermark

log = logging.getLogger(__name__)

OVERLAP = timedelta(minutes=1)
"""A change may become visible so much later than changes that bear a later time: clocks of several servers differ, and
a transaction takes its time."""
WHOLE_AFTER_SECONDS = 24 * 3600
"""So often all tasks are read, changed or not."""

READ_AGAIN = 1000
"""Tasks that are read again by themselves because of what happened in the target; of more, all are."""


class Off(NamedTuple):
    """By how many annotated tasks, and annotations, a project's counts exceed what is exported of it."""

    tasks: int
    annotations: int


class Seen(NamedTuple):
    """What came of looking."""

    told: Progress
    """What the project counts."""
    off: Off | None
    """By how much that is wrong; None if a look at all tasks was not needed, or the counts moved meanwhile."""
    up_to: datetime | None
    """Up to when, by the project's clock, all changes have been seen; None if nothing tells when a task changes."""
    read_whole: bool = False
    """Whether all tasks were read in full."""


def export_changes(run: ExportRun) -> None:
    """Write what has changed since the last run, and mark what is gone."""
    started, mark = run.runtime.now(), run.ledger.watermark()
    seen = None
    with closing(Looks(run)) as looks:
        if mark and not _is_due(run, mark, started):
            seen = _look_at_changes(run, looks, mark)
        seen = seen or _look_at_all(run, looks, by_stamp=False)
    run.account(_covered(run, seen.told)[1], seen.told.tasks)
    # What could not be written is known as not written, and its task read again.
    _remember(run, mark, seen, started)


def _is_due(run: ExportRun, mark: Watermark, now: float) -> bool:
    """Tell whether all tasks are to be read."""
    asked = run.options.full or mark.settings != run.settings
    expired = now - mark.read_whole > WHOLE_AFTER_SECONDS
    return asked or expired or len(run.ledger.unread_tasks(READ_AGAIN + 1)) > READ_AGAIN


def _look_at_all(run: ExportRun, looks: Looks, *, by_stamp: bool) -> Seen:
    # What changes while the pages of tasks are asked for may be on one that has passed.
    up_to, before = run.project.latest_change(), run.project.progress()
    tasks, annotations = _covered(run, before)
    objects = annotations if LAYOUTS[run.note.layout].is_of_annotations else tasks
    looks.at_all(objects, by_stamp=by_stamp)
    after = run.project.progress()
    off = _off(run, after)
    is_still = before == after and (not any(off) or up_to == run.project.latest_change())
    return Seen(after, off if is_still else None, up_to, not by_stamp)


def _look_at_changes(run: ExportRun, looks: Looks, mark: Watermark) -> Seen:
    up_to = max(datetime.fromisoformat(mark.changed_at), looks.at_changes(_since(mark)))
    if not run.report.failed:  # what could not be written is not tried a second time
        looks.again(run.ledger.unread_tasks(READ_AGAIN))
    known, told = Off(mark.tasks_off, mark.annotations_off), run.project.progress()
    if not run.report.failed and _off(run, told).annotations > known.annotations:
        # People are annotating: what has come since is in the list of changed tasks by now.
        up_to = looks.at_changes(up_to)
        told = run.project.progress()
    if run.report.failed or _off(run, told) == known:
        return Seen(told, None, up_to)
    if not known.tasks and _off(run, told).tasks:
        cancelled = run.options.include_cancelled and told.skipped_tasks > 0
        looks.where_counts_differ(_covered(run, told)[0], cancelled=cancelled, requests=told.tasks // LISTED)
        if run.report.failed or _off(run, told) == known:
            return Seen(told, None, up_to)
    return _look_at_all(run, looks, by_stamp=True)


def _covered(run: ExportRun, told: Progress) -> tuple[int, int]:
    """Return how many tasks and annotations an export covers, by the project's counts."""
    if run.options.include_cancelled:
        return told.annotated_tasks, told.annotations
    return told.annotated_tasks - told.skipped_tasks, told.annotations - told.cancelled_annotations


def _off(run: ExportRun, told: Progress) -> Off:
    (tasks, annotations), ours = _covered(run, told), run.counts()
    return Off(tasks - ours.tasks, annotations - ours.annotations)


def _remember(run: ExportRun, mark: Watermark | None, seen: Seen, started: float) -> None:
    before = Off(mark.tasks_off, mark.annotations_off) if mark else Off(0, 0)
    off = before if seen.off is None else seen.off
    if off != before and any(off):
        log.warning(
            "Project %r counts %d annotations in %d tasks where a look at all tasks found %d in %d. Its counts are "
            "wrong; what is there is exported.",
            run.project.title,
            run.report.annotations + off.annotations,
            run.report.annotated_tasks + off.tasks,
            run.report.annotations,
            run.report.annotated_tasks,
        )
    if seen.up_to is None:
        return
    newest = seen.up_to.isoformat()
    first_seen = mark.first_seen if mark and mark.changed_at == newest else run.runtime.now()
    read_whole = started if seen.read_whole or mark is None else mark.read_whole
    run.ledger.enter_watermark(Watermark(run.settings, newest, first_seen, started, read_whole, *off))


def _since(mark: Watermark) -> datetime:
    """Return from when on changes are to be read: an overlap earlier than the latest, until nothing can come late."""
    latest = datetime.fromisoformat(mark.changed_at)
    return latest if mark.read - mark.first_seen > OVERLAP.total_seconds() else latest - OVERLAP
