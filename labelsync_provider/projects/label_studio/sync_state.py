"""A sync of one of Label Studio's own storages, as the storage tells of it, and what is said of one that is over.

What stands behind each rule, in label-studio 1.23.2:

- A storage counts its syncs in `meta.attempts`, and starts each with an empty `meta`. `traceback` outlives a success.
- Whoever lists the storages of a project, be it by opening a page, has a sync in progress marked `failed` if it has
  told nothing for 25 seconds, which a large file takes. It goes on, and says `completed` at its end.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from labelsync_provider.errors import Unavailable
from labelsync_provider.projects.label_studio.storage_types.kind import Direction
from labelsync_provider.projects.naming import StorageType
from labelsync_provider.projects.protocol import Json

IN_PROGRESS = ("queued", "in_progress")
ENDED = ("completed", "completed_with_errors", "failed")

GIVEN_UP = "last ping time is too old"
"""What the traceback says of a sync that was marked as failed by somebody who listed the storages."""

SIGN_SECONDS = 300.0
"""Time in which a sync that was marked so must show life; then it is believed dead."""

TRACEBACK_END = 2000
"""Length of the part of a traceback that is shown, in characters; what went wrong stands at its end."""


class SyncFailed(Unavailable):
    """Label Studio says that a sync failed, or it has not ended in time."""


@dataclass(frozen=True)
class Storage:
    """One storage of Label Studio's, by its id."""

    direction: Direction
    type: StorageType
    id: int

    def __str__(self) -> str:
        kind = "source" if self.direction == "import" else "target"
        return f"{kind} storage {self.id} of type {self.type!r}"


@dataclass(frozen=True)
class SyncState:
    """What a storage tells of its latest sync. Instants are the server's, as it writes them."""

    status: str
    attempt: int
    """Which of the storage's syncs it is, from 1; 0 before the first."""
    count: int
    """Tasks created, or annotations that were to be written; of a sync that failed, less than there were."""
    existed: int
    """Tasks of objects that had been imported before."""
    total: int | None
    """Of an export, the annotations of the project."""
    seconds: float
    last_sign: str | None
    failed_at: str | None
    traceback: str

    @property
    def given_up(self) -> bool:
        """Whether it was marked as failed by somebody who listed the storages: it may be alive."""
        return self.status == "failed" and self.failed_at is None and GIVEN_UP in self.traceback


def report_of(storage: Storage, state: SyncState, *, joined: bool) -> Json:
    """Return the report of a sync that is over.

    :raises SyncFailed: it did not do all that it was to do, with what the server says.
    """
    if state.status != "completed":
        raise SyncFailed(*_complaint(storage, state).splitlines())
    if storage.direction == "export" and state.total is not None and state.count < state.total:
        raise SyncFailed(
            f"Label Studio calls the sync of the {storage} completed, but dealt with {state.count} of {state.total} "
            "annotations."
        )
    counts = (
        {"tasks_created": state.count, "tasks_existed": state.existed}
        if storage.direction == "import"
        else {"annotations": state.count}
    )
    return {
        "storage_id": storage.id,
        "storage_type": storage.type,
        "direction": storage.direction,
        "status": state.status,
        "attempts": state.attempt,
        **counts,
        "seconds": state.seconds,
        "joined": joined,
    }


def late(storage: Storage, state: SyncState, seconds: float) -> SyncFailed:
    """Return the error for a sync that has not ended in time.

    :param seconds: for which it was waited.
    """
    unit = "tasks" if storage.direction == "import" else "annotations"
    return SyncFailed(
        f"The sync of the {storage} has not ended within {seconds:g} s: its status is {state.status!r}, with "
        f"{state.count} {unit}, and its last sign of life of {state.last_sign or 'no time'}. Label Studio goes on with "
        "it; a retry waits for it. If its server has died meanwhile, open the project's Cloud Storage settings, so "
        "that it notices; or raise timeout."
    )


def _complaint(storage: Storage, state: SyncState) -> str:
    if state.given_up:
        return (
            f"The sync of the {storage} has shown no life for {SIGN_SECONDS:g} s; its last sign is of "
            f"{state.last_sign}. Its server seems to have died, or to have lost it."
        )
    said = state.traceback.strip()
    said = said if len(said) <= TRACEBACK_END else "..." + said[-TRACEBACK_END:]
    # How many it had dealt with before it failed, it does not tell.
    return f"The sync of the {storage} ended as {state.status!r}. Label Studio says: {said or 'nothing'}"


def may_be_alive(state: SyncState) -> bool:
    """Tell whether a sync that was marked as failed has shown life lately: another one would import twice."""
    if not state.given_up or state.last_sign is None:
        return False
    try:
        sign = datetime.fromisoformat(state.last_sign)
    except ValueError:
        return False
    sign = sign if sign.tzinfo else sign.replace(tzinfo=UTC)
    return (datetime.now(UTC) - sign).total_seconds() < SIGN_SECONDS


def state_of(row: Json) -> SyncState:
    """Return what a storage tells of its latest sync, from the server's answer."""
    meta: dict[str, Any] = row.get("meta") or {}
    return SyncState(
        status=row["status"],
        attempt=meta.get("attempts", 0),
        count=row.get("last_sync_count") or 0,
        existed=meta.get("tasks_existed", 0),
        total=meta.get("total_annotations"),
        seconds=meta.get("duration", 0.0),
        last_sign=meta.get("time_last_ping") or meta.get("time_queued"),
        failed_at=meta.get("time_failure"),
        traceback=row.get("traceback") or "",
    )
