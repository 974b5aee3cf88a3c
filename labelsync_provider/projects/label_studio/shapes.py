"""What is needed of the answers of a Label Studio server, as types that msgspec holds them against.

What is not named may be anything. What people write, `data` and `meta`, may be anything too.
"""

from datetime import datetime
from functools import cache
from typing import Annotated, Any, NotRequired, TypedDict

from msgspec import Meta, defstruct

Id = Annotated[int, Meta(gt=0, le=2**63 - 1)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]

# --- projects and people ---


class Named(TypedDict):
    """A project among others."""

    id: Id
    title: str | None


class Projects(TypedDict):
    """A page of the projects."""

    count: Count
    results: list[Named]


class Project(TypedDict):
    """One project."""

    id: Id
    title: str | None
    label_config: str
    created_at: datetime
    task_number: NotRequired[Count | None]
    finished_task_number: NotRequired[Count | None]


class Labeled(TypedDict):
    """How far annotators are in a project."""

    task_number: Count | None
    finished_task_number: Count | None


class Counted(TypedDict):
    """The counts of a project."""

    task_number: Count | None
    total_annotations_number: Count | None
    skipped_annotations_number: Count | None


class Filled(TypedDict):
    """How many tasks a project has."""

    task_number: Count | None


class Created(TypedDict):
    """Something new."""

    id: Id


class User(TypedDict):
    """Somebody who may annotate."""

    id: Id
    email: str


class Upload(TypedDict):
    """A file that somebody has uploaded."""

    id: Id
    file: str


# --- tasks ---


class Task(TypedDict):
    """What each task of a page has."""

    id: Id


@cache
def page_of(task: Any) -> Any:
    """Return the type of a page of tasks of a type."""
    return defstruct("Page", [("tasks", list[task]), ("total", Count, 0)])


class Noted(Task):
    """A task with its source reference."""

    meta: Any


class Found(Task):
    """A task with what Label Studio's own sync made it from."""

    storage_filename: NotRequired[str | None]


class FoundNoted(Found, Noted):
    """The same with the source reference."""


class Changed(Task):
    """A task with when it was changed last."""

    updated_at: datetime


class State(Task):
    """A task with what tells whether it has changed."""

    updated_at: datetime
    total_annotations: Count | None
    cancelled_annotations: Count | None
    annotations_ids: Any


class Worked(Task):
    """A task with what tells whether somebody works on it."""

    annotations_ids: Any
    draft_exists: Any


class Seen(Worked, Noted):
    """A task that is looked at before something is done to it."""

    created_at: datetime
    updated_at: datetime
    updated_by: Any


class Prediction(TypedDict):
    """A prediction of a task."""

    id: Id
    result: Any


class Content(Worked, Noted):
    """A task that is about to be updated."""


class Predicted(Content):
    """A task whose predictions are about to be replaced."""

    predictions: list[Prediction]


class Annotation(TypedDict):
    """An annotation to be exported."""

    id: Id
    created_at: str
    was_cancelled: bool | None
    completed_by: int | None


class Updater(TypedDict):
    """Who has changed a task."""

    user_id: Any


class Exported(Task):
    """A task to be exported."""

    project: Id
    created_at: str
    comment_count: Any
    file_upload: str | None
    updated_by: list[Updater]
    annotations: list[Annotation]
    predictions: list[dict[str, Any]]


class Commented(Task):
    """A task with those who have commented on it."""

    comment_authors: list[Any]


Imported = TypedDict(
    "Imported",
    {
        "task_ids": NotRequired[list[Id] | None],
        "status": NotRequired[str | None],
        "id": NotRequired[Id | None],
        "import": NotRequired[Id | None],
    },
)
"""What became of an import; Enterprise says it of a job that goes on."""

# --- Label Studio's own storages ---


class SyncMeta(TypedDict):
    """What a storage tells of its latest sync."""

    attempts: NotRequired[Count]
    tasks_existed: NotRequired[Count]
    total_annotations: NotRequired[Count | None]
    duration: NotRequired[float]
    time_last_ping: NotRequired[str | None]
    time_queued: NotRequired[str | None]
    time_failure: NotRequired[str | None]


class OwnStorage(Created):
    """A storage among those of all types."""

    type: str
    status: NotRequired[str | None]
    meta: NotRequired[Any]


class Storage(TypedDict):
    """A storage, and how its latest sync stands."""

    project: Id
    status: str
    synchronizable: Any
    meta: NotRequired[SyncMeta | None]
    last_sync_count: NotRequired[Count | None]
    traceback: NotRequired[str | None]
