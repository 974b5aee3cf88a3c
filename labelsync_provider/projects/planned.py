"""A project that a run would create, for a dry run."""

from collections.abc import Iterator, Mapping, Sequence

from labelsync_provider.projects.checks import Checked
from labelsync_provider.projects.protocol import (
    Rejected,
    StoredTask,
    Task,
    TaskLook,
    TaskUpdate,
    UpdateOutcome,
)


class PlannedProject(Checked):
    """A project without tasks, as it would be right after its creation; see `Project`. Nothing can be written to it."""

    id = 0
    """What no project has."""
    url = created_at = ""

    def __init__(self, title: str, label_config: str) -> None:
        self.title, self.label_config = title, label_config
        self.uri = f"planned://projects/{title}"

    def adapt(self, task: Task) -> int:
        """Return 0: the members of a project that is not there are not known."""
        return 0

    def last_task_id(self) -> int:
        """Return 0: there are no tasks."""
        return 0

    def count_all(self) -> int:
        """Return 0: there are no tasks."""
        return 0

    def import_tasks(self, tasks: Sequence[Task]) -> list[int | Rejected]:
        """Take none."""
        return [Rejected("the project is not there yet", lasting=False) for _ in tasks]

    def tasks_after(self, task_id: int, *, with_data: bool = False) -> Iterator[list[StoredTask]]:
        """Yield nothing."""
        return iter(())

    def look(self, uris: Mapping[int, str], digests: Mapping[int, str] | None = None) -> dict[int, TaskLook]:
        """Return nothing."""
        return {}

    def update_tasks(self, updates: Mapping[int, TaskUpdate]) -> Iterator[tuple[int, UpdateOutcome | Rejected]]:
        """Yield that the tasks are not there."""
        return iter([(task, "gone") for task in updates])

    def delete_tasks(self, uris: Mapping[int, str], *, untouched: bool = False) -> set[int]:
        """Return them all: they are not there."""
        return set(uris)
