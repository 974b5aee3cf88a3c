"""What the ledger holds, as values.

Of objects, rows and exports there are millions. They hold nothing but texts and numbers, so Python's garbage collector
need not look at them again and again, which took a fifth of the time of a listing.
"""

from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from msgspec import Struct

from labelsync_provider.projects.protocol import TaskUpdate
from labelsync_provider.storages.location import Location

# Plain strings: SQLite takes thrice as long over a member of an enum.
OPEN: Final = "open"
COMPLETE: Final = "complete"


class KnownObject(Struct, frozen=True, array_like=True, gc=False):
    """An object of a source, as it was when a run looked at it last."""

    path: str
    version: str | None
    """None if no run has compared it yet: its tasks are known from a run that was killed, or from the project."""
    state: str
    """`COMPLETE` if all that is in this version has been dealt with; `OPEN`: the next run looks at it again."""
    rows: int
    """Good rows that are dealt with: each has a live task, unless a person has deleted that."""
    quarantined: int
    judged_by: str | None
    """What decided that a part of it is bad: label config, options, package. None if nothing is."""


class RowState:
    """What a row of the ledger is to its object."""

    LIVE: Final = "live"
    """No other task stands for this row."""
    SUPERSEDED: Final = "superseded"
    """Another task stands for this row, mostly a newer one; this one was left in the project."""


class KnownRow(Struct, frozen=True, array_like=True, gc=False):
    """A row of an object, and the task that stands for it. A blob is one row."""

    path: str
    number: int
    """Tells the rows of an object apart; it has no other meaning."""
    state: str
    position: int | None
    """Where the row stands in the object, counted from 0; None if it is in the object no more."""
    task: int | None
    """None if the task is gone: a person has deleted it."""
    digest: str | None
    """Of the content that the task has; None if that is not known, and taken to be what is listed."""
    key: str | None
    """The value of `row_key` in this row, if that option was given."""

    def is_same(self, other: "KnownRow") -> bool:
        """Tell whether two are the same row of the same object."""
        return (self.path, self.number) == (other.path, other.number)


class LiveTask(NamedTuple):
    """A task that stands for a row of the object at a path."""

    task: int
    path: str


class TaskCount(NamedTuple):
    """What an import from a source has noted of the tasks in its project."""

    project_tasks: int | None
    """How many there should be; None if that is not known."""
    looked_at: float | None
    """When it was looked which of the source's own are there, in seconds since the epoch. The first import counts as a
    look; None if it has not ended yet."""


class QuarantinedRow(Struct, frozen=True, array_like=True, gc=False):
    """What could not be imported, and why."""

    path: str
    number: int
    position: int | None
    """None for the object as a whole."""
    reason: str
    lasting: bool
    """False if whoever refused it may take it another time: then every run tries it again."""


# --- the journal ---


class CreateEffect(Struct, frozen=True, array_like=True, gc=False):
    """A task that is about to be created."""

    effect: str
    uri: str
    row: KnownRow
    replaces: KnownRow | None


class UpdateEffect(Struct, frozen=True, array_like=True, gc=False):
    """A task that is about to be updated."""

    effect: str
    row: KnownRow
    """As it will be known once the task is updated."""
    update: TaskUpdate


class DeleteEffect(Struct, frozen=True, array_like=True, gc=False):
    """A task that is about to be deleted."""

    uri: str
    row: KnownRow


Effects = list[CreateEffect] | list[UpdateEffect] | list[DeleteEffect]


class JournalEntry(NamedTuple):
    """Effects of one kind on a project that were, or are about to be, requested together."""

    kind: Literal["create", "update", "delete"]
    effects: Effects
    after_task: int
    """Tasks that these effects create have higher ids."""
    id: int = 0
    """0 until it is announced."""
    as_blob: bool = False
    doubted_since: float | None = None
    """Since when (seconds since the epoch) nobody waits for its outcome, though it may arrive yet."""


@dataclass
class Changes:
    """What is to be entered in one transaction."""

    objects: dict[str, KnownObject] = field(default_factory=dict)
    """By path."""
    cleared: list[str] = field(default_factory=list)
    """Paths of the objects whose quarantine is over, but for what is entered anew."""
    quarantine: list[QuarantinedRow] = field(default_factory=list)
    created: list[KnownRow] = field(default_factory=list)
    """Rows that are new to the ledger."""
    changed: dict[tuple[str, int], KnownRow] = field(default_factory=dict)
    """By path and number, rows that the ledger has, as they are now; their task is the same or none."""
    dropped: list[KnownRow] = field(default_factory=list)

    def change(self, row: KnownRow) -> None:
        """Note what a row that the ledger has is now."""
        self.changed[row.path, row.number] = row

    def __len__(self) -> int:
        parts = (self.objects, self.cleared, self.quarantine, self.created, self.changed, self.dropped)
        return sum(map(len, parts))


# --- export ---


class ExportTarget(NamedTuple):
    """Where, and how, a project was exported. What stands there belongs to this export."""

    location: Location
    layout: str | None
    key_template: str | None
    """Both None if a version of this package wrote it that did not note them."""
    project_created_at: str | None


class KnownExport(Struct, frozen=True, array_like=True, gc=False):
    """An object that was written to a target, or was about to be."""

    path: str
    version: str
    """Empty until it is known to be written."""
    digest: str
    task: int
    intended: str = ""
    """The digest of what was about to be written, until it is known to be."""
    state: str = ""
    """The state of the task when it was read last; empty if it is to be read again."""
    annotations: int = 1
    """How many of them it holds."""
    written_by: int = 0
    """The fencing number of the run that wrote it last."""


GONE = "gone"
"""The state of an object whose annotation is there no longer: it is announced to be deleted, where that is allowed."""


class ExportCounts(NamedTuple):
    """What was exported to a target, but for objects whose annotation is gone."""

    unchanged: int
    """Objects that are as they should be, and were not written by the run that asks."""
    annotations: int
    tasks: int


class Watermark(NamedTuple):
    """How far a project has been exported; seconds since the epoch by this side's clock, but for the first."""

    settings: str
    """With which options: others export the same task to another object."""
    changed_at: str
    """The latest change seen, by the project's clock, in ISO 8601."""
    first_seen: float
    """When that was seen first."""
    read: float
    """When the changes were read last."""
    read_whole: float
    """When all tasks were read in full last."""
    tasks_off: int = 0
    """How many annotated tasks more the project counts than a look at all of them has found."""
    annotations_off: int = 0
    """The same of annotations."""
