"""Rehearsal: a project to which a dry run does nothing, and which tells what would have become of it."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import count

from labelsync_provider.projects.protocol import (
    Project,
    Rejected,
    StoredTask,
    Task,
    TaskLook,
    TaskUpdate,
    UpdateOutcome,
)

FIRST_ID = 2**62
"""No project has as many tasks: ids from here on are those of tasks that would be created."""


class Rehearsal:
    """A project as it is, but for the changes, which are only foretold; see `Project`.

    What only the project itself can refuse is not foretold.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self.uri, self.url, self.created_at = project.uri, project.url, project.created_at
        self.id, self.title = project.id, project.title
        self.label_config, self.data_keys = project.label_config, project.data_keys
        self._ids = count(FIRST_ID)
        self._deleted: set[int] = set()
        self._annotated: set[int] = set()

    def check(self, task: Task) -> str | None:
        """Return why the project would reject a task."""
        return self._project.check(task)

    def adapt(self, task: Task) -> int:
        """Make a task one that the project takes as it is."""
        return self._project.adapt(task)

    def last_task_id(self) -> int:
        """Return an id that all tasks imported later exceed."""
        return self._project.last_task_id()

    def import_tasks(self, tasks: Sequence[Task]) -> list[int | Rejected]:
        """Return an id for each task, or why it would be rejected."""
        reasons = [self.check(task) for task in tasks]
        return [Rejected(reason) if reason else next(self._ids) for reason in reasons]

    def count_all(self) -> int:
        """Return how many tasks there would be, those apart that would be created."""
        return self._project.count_all() - len(self._deleted)

    def tasks_after(self, task_id: int, *, with_data: bool = False) -> Iterator[list[StoredTask]]:
        """Yield the tasks above an id."""
        for page in self._project.tasks_after(task_id, with_data=with_data):
            yield [task for task in page if task.id not in self._deleted]

    def look(self, uris: Mapping[int, str], digests: Mapping[int, str] | None = None) -> dict[int, TaskLook]:
        """Look at tasks as they would be: those deleted are gone, those given annotations are worked on."""
        there = {task: uri for task, uri in uris.items() if task not in self._deleted}
        looks = self._project.look(there, digests) if there else {}
        return looks | {task: looks[task]._replace(worked_on=True) for task in looks.keys() & self._annotated}

    def update_tasks(self, updates: Mapping[int, TaskUpdate]) -> Iterator[tuple[int, UpdateOutcome | Rejected]]:
        """Yield what would become of each update."""
        digests = {task: update.data_digest for task, update in updates.items() if update.data_digest}
        looks = self.look({task: update.uri for task, update in updates.items()}, digests)
        for task, update in updates.items():
            outcome = _outcome(update, looks.get(task))
            if outcome == "updated" and update.annotations:
                self._annotated.add(task)
            yield task, outcome

    def delete_tasks(self, uris: Mapping[int, str], *, untouched: bool = False) -> set[int]:
        """Return the tasks that would be there no longer."""
        looks = self.look(uris)
        kept = {
            task
            for task, look in looks.items()
            if look.of_others or (look.worked_on and not (untouched and look.as_imported))
        }
        self._deleted |= looks.keys() - kept
        return set(uris) - kept


def _outcome(update: TaskUpdate, look: TaskLook | None) -> UpdateOutcome:
    note = update.meta.get("labelsync")
    if look is None:
        return "gone"
    if isinstance(note, dict) and look.effect and look.effect == note.get("effect"):
        return "in_part" if look.held_back and update.annotations else "updated"
    if not look.worked_on:
        return "updated"
    if update.data is not None:
        return "worked_on"
    return "in_part" if update.annotations else "updated"
