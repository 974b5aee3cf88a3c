"""What a project's label config says of tasks, without asking anybody: the same in every store."""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

from labelsync_provider.projects.label_config import Control, DataKey, controls, data_keys, data_problem
from labelsync_provider.projects.predictions import labels_problem
from labelsync_provider.projects.protocol import Rejected, Task


class Checked:
    """A project that is there or planned, with its label config."""

    title: str
    label_config: str

    @cached_property
    def data_keys(self) -> dict[str, DataKey]:
        """See `Project.data_keys`."""
        return data_keys(self.label_config)

    @cached_property
    def controls(self) -> list[Control]:
        """The control tags of the label config."""
        return controls(self.label_config)

    def check(self, task: Task) -> str | None:
        """Return why the project would reject a task, or lose a part of it without a word."""
        problem = data_problem(self.data_keys, task.data, self.title)
        if problem is None and (task.annotations or task.predictions):
            return labels_problem(self.controls, task, self.title)
        return problem


def accepted_and_rejected(
    tasks: Sequence[Task],
    check: Callable[[Task], str | None],
    add: Callable[[list[Task]], Iterable[int | Rejected]],
) -> list[int | Rejected]:
    """Add those tasks that pass a check; return what became of each, in their order.

    :param check: returns why a task is rejected.
    :param add: adds tasks, of which there is one at least, and returns what became of each.
    """
    reasons = [check(task) for task in tasks]
    accepted = [task for task, reason in zip(tasks, reasons, strict=True) if not reason]
    outcomes = iter(add(accepted) if accepted else ())
    return [Rejected(reason) if reason else next(outcomes) for reason in reasons]
