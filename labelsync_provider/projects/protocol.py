"""What the engine asks of a project, and nothing more.

Field names are Label Studio's, from its import and export formats.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol

from msgspec import Struct

Json = dict[str, Any]


class Task(Struct, gc=False, omit_defaults=True):
    """A task to be imported."""

    data: Json
    meta: Json = {}
    annotations: Sequence[Json] = ()
    predictions: Sequence[Json] = ()


class Rejected(Struct, gc=False):
    """A task that the project did not take."""

    reason: str


class StoredTask(NamedTuple):
    """A task of a project, as far as it is needed to tell what it was made from."""

    id: int
    meta: Json
    data: Json
    """Empty unless asked for."""


class TaskState(NamedTuple):
    """What tells whether a task, or an annotation of it, has changed."""

    id: int
    annotated: bool
    state: str = ""
    """Another one whenever something has changed; empty if only a look at the task would tell."""
    updated_at: datetime | None = None
    """By the project's own clock; None if it keeps no time."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the work in a project is."""

    tasks: int
    annotated_tasks: int
    annotations: int
    cancelled_annotations: int = 0
    """Of the annotations, those that were cancelled (skipped)."""


class Project(Protocol):
    """Tasks and annotations of one project. Both stores pass the same contract tests."""

    uri: str
    """What names this project among all projects, wherever they live."""

    id: int

    title: str

    remote: bool
    """Whether a request outlives who sent it: given up, it may still be carried out, and `fence` keeps nothing out.
    Then, too, something else can be done while an answer is waited for."""

    @property
    def data_keys(self) -> Sequence[str]:
        """The keys that the label config takes from a task's `data`, in its order."""

    def fence(self, token: int) -> None:
        """Write with this fencing number from now on.

        Where the store can, it refuses a writer whose number is smaller than one it has seen: a run that
        was paused, lost its lease and woke up again.

        :raises LeaseLost: a larger number has been seen; so does every write below.
        """

    def check(self, task: Task) -> str | None:
        """Return why the project would reject a task, as far as that can be told without asking it."""

    def adapt(self, task: Task) -> int:
        """Make a task one that the project takes as it is; return of how many annotations the annotator is unknown.

        Such an annotation goes in under another name, rather than not at all.
        """

    def last_task_id(self) -> int:
        """Return an id that all tasks imported later exceed, though not by far."""

    def import_tasks(self, tasks: Sequence[Task]) -> list[int | Rejected]:
        """Add tasks; return their ids, or why they were rejected, in the order of `tasks`.

        :raises Unavailable: it is not certain whether they were added. `tasks_after` tells; sending them
            again would not.
        """

    def tasks_after(self, task_id: int, *, with_data: bool = False) -> Iterator[list[StoredTask]]:
        """Yield the tasks above an id, in pages of bounded length, by ascending id."""

    def annotated(self, task_ids: Sequence[int]) -> dict[int, bool]:
        """Tell, for each of the tasks that exists, whether it has an annotation, or a draft of one."""

    def update_task(self, task_id: int, task: Task) -> Literal["updated", "annotated", "gone"] | Rejected:
        """Replace a task's content, unless it has an annotation, a draft of one, or is gone: then leave it alone.

        To do it again, after it was broken off, completes it.

        :param task: with the source reference in its `meta`: a task made from another object is not the one meant.
        """

    def delete_tasks(self, uris: Mapping[int, str], *, untouched: bool = False) -> set[int]:
        """Delete those of the tasks that have no annotation and no draft; return those that are there no longer.

        :param uris: by task id, the URI of the object that it was made from. A task made from another one is not the
            one meant.
        :param untouched: delete those too that have the annotations they were imported with, and nothing else has
            happened to. Only a `remote` project can tell.
        """

    def changes(self, since: datetime | None = None) -> Iterator[list[TaskState]]:
        """Yield the state of the tasks that may have changed since an instant, annotated or not.

        In pages of bounded length, by ascending id.

        :param since: by the project's own clock; None for all.
        """

    def annotated_tasks(self, task_ids: Sequence[int] | None = None) -> Iterator[list[Json]]:
        """Yield the tasks that have an annotation, in pages of bounded length, by ascending id.

        A task is in Label Studio's JSON export format, its annotations and predictions in full.

        :param task_ids: only these.
        """

    def progress(self) -> Progress:
        """Return the counts of tasks and annotations."""
