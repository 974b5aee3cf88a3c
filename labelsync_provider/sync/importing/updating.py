"""Updating: tasks that are there get what their rows have become, if they are still the tasks of these rows."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from labelsync_provider.errors import RequestFailed
from labelsync_provider.projects.protocol import Project, Rejected, TaskUpdate, UpdateOutcome
from labelsync_provider.sync.importing.sending import HALVINGS
from labelsync_provider.sync.importing.state import ImportRun, looked_at
from labelsync_provider.sync.importing.steps import Update
from labelsync_provider.sync.ledger.records import UpdateEffect

UPDATES_AT_ONCE = 1000
"""Updates that are announced together. A project makes them one by one: more at once are no faster, and more are left
to be completed where a run breaks off."""


def still_known(run: ImportRun, updates: Sequence[Update]) -> dict[int, Update]:
    """Return, by task, the updates whose task the ledger still knows: its id may be another one's by now."""
    by_task = {step.row.task: step for step in updates if step.row.task is not None}
    known = run.ledger.known_tasks(by_task)
    return {task: by_task[task] for task, row in known.items() if row.is_same(by_task[task].row)}


def worked_on(run: ImportRun, updates: Mapping[int, Update]) -> set[int]:
    """Return the tasks that would only get annotations, and that somebody works on."""
    rows = [step.before for step in updates.values() if step.only_annotations]
    return {task for task, look in looked_at(run.project, run.source, rows).items() if look.worked_on}


def effect_of(step: Update) -> UpdateEffect:
    """Return what is announced of an update.

    Without the data: it comes with the first of the requests that an update takes, and may hold a signed URL.
    """
    return UpdateEffect(step.effect, step.row, replace(step.update, data=None, merge_data=False))


def updated(
    project: Project, updates: Mapping[int, TaskUpdate], was_refused: Callable[[int], bool]
) -> Iterator[tuple[int, UpdateOutcome | Rejected]]:
    """Update tasks by id; yield what became of each. One over which the project fails does not keep the others out.

    :param was_refused: tells of a task whether it is known that the project fails over it, and over no other.
    :raises Unavailable: it is the server: no update was made.
    """
    waiting, failed = dict(updates), dict[int, RequestFailed]()
    while waiting:
        try:
            for task, outcome in project.update_tasks(dict(waiting)):
                del waiting[task]
                yield task, outcome
        except RequestFailed as error:
            # They are made in order: it is the first of those that are left.
            task = next(iter(waiting))
            failed[task] = error
            del waiting[task]
            none_made = len(failed) + len(waiting) == len(updates)
            if none_made and len(failed) > HALVINGS:
                raise
    if failed and len(failed) == len(updates) and not all(map(was_refused, failed)):
        raise next(iter(failed.values()))
    for task, failure in failed.items():
        yield task, Rejected(str(failure), lasting=False)
