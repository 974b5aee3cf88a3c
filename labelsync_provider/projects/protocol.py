"""What the engine asks of a project, and nothing more.

Field names are Label Studio's, from its import and export formats.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from msgspec import Struct

from labelsync_provider.projects.label_config import DataKey
from labelsync_provider.projects.naming import StorageType
from labelsync_provider.tasks import Json as Json
from labelsync_provider.tasks import Task as Task


class Rejected(Struct, gc=False):
    """A task that the project did not take."""

    reason: str
    lasting: bool = True
    """Whether it is the task's fault. False: the project failed over it, and may take it another time."""


class TaskUpdate(Struct, gc=False):
    """What is to become of a task that was imported earlier."""

    uri: str
    """Of the object that it was made from. A task made from another one is not the one meant."""
    meta: Json
    """Keys of `meta` to be set, the source reference under `labelsync` among them; others stay as they are."""
    data: Json | None = None
    """The new data. None leaves the data as it is, and then only predictions and `meta` are changed, and annotations
    are added where there are none: that is also done to a task that somebody works on."""
    merge_data: bool = False
    """Whether `data` holds only the keys to be set."""
    predictions: Sequence[Json] = ()
    """They replace those of the same `model_version`; other models' stay."""
    annotations: Sequence[Json] = ()
    """Added if nobody works on the task; never to one that has an annotation or a draft."""
    data_digest: str | None = None
    """Of the data that it has, if it was made from a row: see `Project.look`."""


UpdateOutcome = Literal["updated", "in_part", "worked_on", "gone"]
"""What became of an update. `worked_on`: the task has an annotation or a draft, and was left alone. `in_part`: all but
the annotations was written, for that reason. `gone`: it is not there, or was made from another object."""


class TaskLook(NamedTuple):
    """What a look at a task shows."""

    worked_on: bool
    """It has an annotation, whoever made it, or a draft of one."""
    as_imported: bool
    """Nothing has happened to it since it was imported: what annotations it has came with it."""
    effect: str
    """The `effect` in its source reference: which import or update wrote it last; empty if it tells of none."""
    held_back: bool = False
    """Whether that update left its annotations out, because somebody worked on the task."""
    of_others: bool = False
    """Others made it, and it has more in its data than the URI of an object: it is never deleted."""


class StoredTask(NamedTuple):
    """A task of a project, as far as it is needed to tell what it was made from."""

    id: int
    meta: Json
    data: Json
    """Empty unless asked for."""
    storage_filename: str | None = None
    """What Label Studio's own sync made it from: a key or, of local files, a path on the server. None unless asked for
    with the data, for tasks that others made, and once the storage is deleted."""


class OwnStorage(NamedTuple):
    """A source storage of the project's own: what Label Studio's own sync makes tasks from."""

    type: StorageType
    id: int
    container: str
    """As a `Location` has it."""
    start: str
    """What the names of all its objects begin with: keys or, of local files, paths on the server."""
    recursive: bool
    regex_filter: str
    as_blobs: bool
    synchronizable: bool
    """Whether somebody may press Sync."""
    synced_at: datetime | None = None
    """When its last sync began, if that has completed, by the server's clock."""
    is_syncing: bool = False
    """Whether a sync of it is under way."""

    @property
    def uri(self) -> str:
        """What a person calls it."""
        return f"{self.container}/{self.start}" if self.container != "file://" else f"file://{self.start}"

    def covers(self, name: str) -> bool:
        """Tell whether its sync takes an object of this name; a filter is not looked at."""
        return name.startswith(self.start) and (self.recursive or "/" not in name[len(self.start) :])


class TaskState(NamedTuple):
    """What tells whether a task, or an annotation of it, has changed."""

    id: int
    annotated: bool
    """False only if it has no annotation, whatever a server's counters say."""
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
    skipped_tasks: int = 0
    """Of the annotated tasks, those whose annotations are all cancelled."""


class Labeling(NamedTuple):
    """How far annotators are."""

    tasks: int
    annotated: int
    """Tasks that are done: in a Label Studio server those that it calls finished, in the embedded store those with an
    annotation that was not cancelled."""


class Named(Protocol):
    """What tells a project from all others."""

    uri: str
    """What names this project among all projects of all stores, wherever they live: the name of its server, or the URI
    of its store, and its id there. Of two with one `uri`, one is refused."""

    created_at: str
    """When it was created, by its own clock. Another project that has this `uri` later was created at another time."""

    url: str
    """Where its pages begin; empty if it has none. A server may be known by another name than its address."""

    id: int

    title: str


class Watchable(Named, Protocol):
    """A project whose annotators are waited for. Each look is one request, or one statement."""

    def labeling(self) -> Labeling:
        """Return how far annotators are."""

    def count_annotated(self, since: datetime | None, exported: Callable[[Sequence[int]], set[int]]) -> int:
        """Return how many annotated tasks have changed since an instant, by the project's own clock (None: ever).

        What was only skipped does not count.

        :param exported: given ids of tasks, returns those that were exported. A project that keeps no time of changes
            counts the others, whatever the instant.
        """


class Project(Named, Protocol):
    """What an import asks of a project. Both stores pass the same contract tests."""

    label_config: str

    @property
    def data_keys(self) -> Mapping[str, DataKey]:
        """What the label config takes from a task's `data`, by key, in its order."""

    def check(self, task: Task) -> str | None:
        """Return why the project would reject a task, as far as that can be told without asking it."""

    def adapt(self, task: Task) -> int:
        """Make a task one that the project takes as it is; return of how many annotations the annotator is unknown.

        Such an annotation goes in under another name, rather than not at all.
        """

    def last_task_id(self) -> int:
        """Return an id that all tasks imported later exceed, though not by far."""

    def count_all(self) -> int:
        """Return how many tasks there are, by the project's own counter; the first time, as it was when it was opened.

        So that it costs no request. Asked again, it is what the counter says then.
        """

    def import_tasks(self, tasks: Sequence[Task]) -> list[int | Rejected]:
        """Add tasks; return their ids, or why they were rejected, in the order of `tasks`.

        :raises TooLarge: they are more bytes than the project takes at once; none was added. A single task is rejected
            instead.
        :raises RequestFailed: the project says that it failed, and is not at work on it any more. Some of the tasks
            may have been added; `tasks_after` tells.
        :raises Unavailable: it is not certain whether they were added, or will be. `tasks_after` tells; sending them
            again would not.
        """

    def tasks_after(self, task_id: int, *, with_data: bool = False) -> Iterator[list[StoredTask]]:
        """Yield the tasks above an id, in pages of bounded length, by ascending id."""

    def look(self, uris: Mapping[int, str], digests: Mapping[int, str] | None = None) -> dict[int, TaskLook]:
        """Look at tasks, in few requests; return those that are there and were made from the object named.

        The annotations and drafts themselves are looked at: a server's counters are not the truth.

        :param uris: by task id, the URI of the object that it was made from: that of its source reference. Where it has
            none, it is known by a value of its data, or by its `storage_filename`.
        :param digests: by task id, `data_digest` of what the row has that it was made from: a task that has no source
            reference, and this data, is known by it.
        """

    def update_tasks(self, updates: Mapping[int, TaskUpdate]) -> Iterator[tuple[int, UpdateOutcome | Rejected]]:
        """Update tasks by id; yield of each, as soon as it is known, what became of it.

        To do an update again (the `effect` in the task's source reference is that in the update's) completes it,
        whoever works on the task now.

        :raises Unavailable: it is not certain whether the one not yet yielded was done.
        """

    def delete_tasks(self, uris: Mapping[int, str], *, untouched: bool = False) -> set[int]:
        """Delete those of the tasks that have no annotation and no draft; return those that are there no longer.

        One that others made stays; see `TaskLook.of_others`.

        :param uris: by task id, the URI of the object that it was made from. A task made from another one is not the
            one meant.
        :param untouched: delete those too that have the annotations they were imported with, and nothing else has
            happened to. A store that keeps no such trace deletes none of these.
        """


# What only some projects can do is asked for by presence: pages, and how a run that was paused, lost its lease and woke
# up again is kept from writing.


@runtime_checkable
class HasPages(Protocol):
    """A project whose tasks and storages have pages in a browser."""

    def tasks_page(self, ids: tuple[int, int] | None = None) -> str:
        """Return the URL of the page of its tasks.

        :param ids: show those from one id to another, and no others.
        """

    def storages_page(self) -> str:
        """Return the URL of the page of its own storages."""


@runtime_checkable
class Fencing(Protocol):
    """A project that refuses a writer whose fencing number is smaller than one it has seen."""

    def fence(self, token: int) -> None:
        """Write with this fencing number from now on.

        :raises LeaseLost: a larger number has been seen; so does every later write.
        """


@runtime_checkable
class Remote(Protocol):
    """A project that is written to by requests, which outlive who sent them: given up, one may be carried out yet.

    While its answer is waited for, something else can be done.
    """

    @property
    def read_seconds(self) -> float:
        """Time after which an answer is given up."""

    def confirm_before_changes(self, confirm: Callable[[], None]) -> None:
        """Have a function called right before each request that changes something, each time that it is sent.

        :param confirm: raises LeaseLost if another run has taken over.
        """


class Annotated(Named, Protocol):
    """A project whose annotations are exported. What an import asks for, `Project`, is another matter."""

    def changes(
        self, since: datetime | None = None, *, after: int = 0, last: int | None = None
    ) -> Iterator[list[TaskState]]:
        """Yield the state of the tasks that may have changed since an instant, annotated or not.

        In pages of bounded length, by ascending id.

        :param since: by the project's own clock; None for all.
        :param after: only tasks above this id.
        :param last: only those up to this one; None for all.
        """

    def latest_change(self) -> datetime | None:
        """Return when a task was changed last, by the project's own clock; None if nothing tells."""

    def annotated_tasks(self, task_ids: Sequence[int] | None = None) -> Iterator[list[Json]]:
        """Yield the tasks that have an annotation, in pages of bounded length, by ascending id.

        A task is in Label Studio's JSON export format, its annotations and predictions in full.

        :param task_ids: only these.
        """

    def progress(self) -> Progress:
        """Return the counts of tasks and annotations."""

    def count_tasks(self, after: int, last: int | None, *, cancelled: bool) -> int:
        """Return how many tasks have an annotation, by the counts that the project keeps.

        :param after: only tasks above this id.
        :param last: only those up to this one; None for all.
        :param cancelled: whether a cancelled annotation is one.
        """


class StoredProject(Project, Annotated, Watchable, Protocol):
    """A project as its store gives it: it is imported into, exported from, and waited for."""
