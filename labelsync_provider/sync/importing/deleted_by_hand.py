"""Deleted by hand: tasks that were imported from the source, and that are in the project no more.

They are counted and told, and that is all: none comes back unasked, and a server that hides its tasks for a moment does
no harm. A look goes through the tasks of the project, so there is one only when it has fewer than it should, and once a
day.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from labelsync_provider.projects.protocol import StoredTask
from labelsync_provider.projects.task_content import uri_of
from labelsync_provider.sync.importing.state import ImportRun
from labelsync_provider.sync.ledger.records import LiveTask, TaskCount
from labelsync_provider.uris import printable

LOOK_AGAIN_SECONDS = 24 * 3600.0
NAMED = 2
"""Objects that are named in the log."""

log = logging.getLogger(__name__)


def look_for_deleted(run: ImportRun) -> TaskCount:
    """Look for tasks that somebody has deleted, if it is time to.

    :returns: how many tasks the project has before this run changes that, and when they were looked at last.
    """
    noted, most = run.ledger.task_counts()
    now, count = run.runtime.now(), run.project.count_all()
    if count < most:
        # It may have been counted when the project was opened, and another import has come in since.
        count = run.project.count_all()
    if noted is None or noted.looked_at is None:
        # No import from here has ended yet: what the ledger knows was in the project just now.
        return TaskCount(count, now)
    fewer = noted.project_tasks is not None and count < noted.project_tasks
    is_time = fewer or now - noted.looked_at > LOOK_AGAIN_SECONDS
    # What is to be restored is looked for by whoever restores it, and told as new.
    if run.options.restore_deleted or not is_time:
        return TaskCount(count, noted.looked_at)
    _look(run)
    looked = TaskCount(count, now)
    # Should this run fail, the next one need not look again.
    run.ledger.note_tasks(looked)
    return looked


def note_tasks(run: ImportRun, before: TaskCount) -> None:
    """Note how many tasks the project has at the end of a run, for the next one to see whether it has lost any.

    :param before: what `look_for_deleted` has returned.
    """
    run.ledger.note_tasks(before, added=run.report.tasks_created - run.report.tasks_deleted)


def _look(run: ImportRun) -> None:
    known = chain.from_iterable(run.ledger.live_tasks())
    first = next(known, None)
    if first is None:
        return
    tasks = chain.from_iterable(run.project.tasks_after(first.task - 1))
    count, keys = 0, dict[str, None]()
    for row, is_there in compared(chain([first], known), tasks, run.source.path_of):
        count += 1
        if not is_there:
            run.report.deleted_by_hand += 1
            if len(keys) < NAMED:
                keys[printable(run.key(row.path))] = None
    if run.report.deleted_by_hand:
        _tell(run, count, list(keys))


def compared(
    rows: Iterable[LiveTask], tasks: Iterator[StoredTask], path_of: Callable[[str], str | None]
) -> Iterator[tuple[LiveTask, bool]]:
    """Yield the rows, and whether the task of each is among some tasks; both come by ascending id.

    An id alone says nothing where it is given again: a task that was made from another object is another one.

    :param path_of: returns the path of the object with a URI; None if that is elsewhere.
    """
    task = next(tasks, None)
    for row in rows:
        while task and task.id < row.task:
            task = next(tasks, None)
        uri = uri_of(task.meta) if task else None
        yield row, task is not None and task.id == row.task and (uri is None or path_of(uri) == row.path)


def _tell(run: ImportRun, count: int, keys: list[str]) -> None:
    uri, title, deleted = run.source.uri, run.project.title, run.report.deleted_by_hand
    remedy = "They do not come back by themselves: to import them again, run once with restore_deleted=True."
    if deleted == count:
        log.warning("All tasks from %s, %s of them, are gone from project %r. %s", uri, f"{count:,}", title, remedy)
    else:
        log.info(
            "Somebody has deleted %s of %s tasks from %s in project %r, those of %s among them. %s",
            f"{deleted:,}",
            f"{count:,}",
            uri,
            title,
            " and ".join(keys),
            remedy,
        )
