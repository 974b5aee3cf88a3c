"""A sync of one of Label Studio's own storages: started at most once, watched, believed only when it is over.

What stands behind each rule, in label-studio 1.23.2:

- The Community edition syncs inside the request, so that an answer may take hours; without it, the sync goes on. The
  answer is 200 however the sync ended.
- A storage counts its syncs in `meta.attempts`, and starts each with an empty `meta`. `traceback` outlives a success.
- On PostgreSQL, a request for a sync while one is in progress does nothing, and says 200. On SQLite it starts a second
  one.
- Whoever lists the storages of a project, be it by opening a page, has a sync in progress marked `failed` if it has
  told nothing for 25 seconds, which a large file takes. It goes on, and says `completed` at its end.
"""

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from labelsync_provider.errors import RequestFailed, Unavailable, invalid
from labelsync_provider.projects.label_studio import shapes as shapes
from labelsync_provider.projects.label_studio.client import Client, NotSent
from labelsync_provider.projects.label_studio.storages import Direction, storages_path
from labelsync_provider.projects.naming import StorageType
from labelsync_provider.projects.protocol import Json

log = logging.getLogger(__name__)

IN_PROGRESS = ("queued", "in_progress")
ENDED = ("completed", "completed_with_errors", "failed")

GIVEN_UP = "last ping time is too old"
"""What the traceback says of a sync that was marked as failed by somebody who listed the storages."""

SIGN_SECONDS = 300.0
"""Time in which a sync that was marked so must show life; then it is believed dead."""

BEGIN_SECONDS = 60.0
"""Time in which a sync must begin whose request was not answered."""

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


@dataclass(frozen=True)
class Started:
    """A sync to be waited for.

    :param attempt: the number of it.
    :param joined: it was in progress already, when a sync was asked for.
    """

    attempt: int
    joined: bool
    state: SyncState


def read_state(client: Client, storage: Storage, project_id: int | None = None) -> SyncState:
    """Return what a storage tells of its latest sync.

    Not through the list of storages: to list them marks living syncs as failed.

    :param project_id: whose storage it must be, if that is not known.
    :raises NotFound: there is no such storage.
    :raises Invalid: the storage is another project's.
    """
    row = client.get(_path(storage), shapes.Storage)
    if project_id is not None:
        _check_project(row, storage, project_id)
    return _state(row)


def start_sync(client: Client, project_id: int, storage: Storage, read_seconds: float | None = None) -> Started:
    """Start a sync, unless one is in progress; return which sync is to be waited for, and how it stands.

    :param read_seconds: time to wait for an answer, which comes when the sync is over; by default the client's.
    :raises Invalid: the storage is another project's, or cannot be synced.
    :raises NotFound: there is no such storage.
    :raises Unavailable: Label Studio cannot look at the storage, or cannot be reached.
    """
    row = client.get(_path(storage), shapes.Storage)
    _check_project(row, storage, project_id)
    if not row["synchronizable"]:
        remedy = "Set synchronizable=True with LabelStudioStorageOperator, or import with ImportStorageSyncOperator."
        raise invalid("storage", storage.id, f"the {storage} is not synchronizable", remedy)
    before = _state(row)
    if before.status in IN_PROGRESS or may_be_alive(before):
        log.warning("The %s is being synced already, for the %d. time: waiting for that.", storage, before.attempt)
        return Started(before.attempt, True, before)
    attempt = before.attempt + 1
    try:
        row = client.post(_path(storage) + "/sync", None, shapes.Storage, read_seconds=read_seconds)
    except NotSent:
        raise
    except RequestFailed as error:
        row = client.get(_path(storage), shapes.Storage)
        if _state(row).attempt < attempt:
            raise RequestFailed(
                f"Label Studio did not start to sync the {storage}, which it looks at first: {error} Check that it "
                "reaches it from its own machine, and that there is at least one object below the prefix of a source."
            ) from error
    except Unavailable as error:
        log.info("The %s: %s Looking how the sync goes on.", storage, error)
        return Started(attempt, False, read_state(client, storage))
    state = _state(row)
    if state.status in ENDED and state.attempt < attempt:
        raise SyncFailed(f"Label Studio answered, but has not synced the {storage}: its status is {state.status!r}.")
    # Community answers when a sync is over; but Enterprise, which has jobs, when one is queued.
    is_anothers = state.status in IN_PROGRESS and not row.get("last_sync_job")
    if is_anothers:
        log.warning("The %s was being synced already when a sync was asked for: waiting for that.", storage)
    return Started(attempt, is_anothers, state)


class Watch:
    """Tells, from one look at a storage to the next, whether a sync is over."""

    def __init__(self, storage: Storage, attempt: int) -> None:
        """Begin to watch.

        :param attempt: which sync; a later one will do, as it began later.
        """
        self.storage, self._attempt = storage, attempt
        self._began = self._signed = time.monotonic()
        self._sign: SyncState | None = None

    def is_over(self, state: SyncState) -> bool:
        """Tell whether the sync has ended.

        :raises SyncFailed: it has not even begun.
        """
        now = time.monotonic()
        if state.attempt < self._attempt:
            if now - self._began > BEGIN_SECONDS:
                raise SyncFailed(
                    f"Label Studio has not begun to sync the {self.storage} within {BEGIN_SECONDS:g} s after it was "
                    f"asked to, without an answer; the status of its last sync is {state.status!r}."
                )
            return False
        if state.given_up:
            if state != self._sign:
                self._sign, self._signed = state, now
            return now - self._signed > SIGN_SECONDS
        return state.status in ENDED


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


def _check_project(row: Json, storage: Storage, project_id: int) -> None:
    if row["project"] != project_id:
        remedy = "Give the id that the project's storage has, or its URI."
        raise invalid("storage", storage.id, f"the {storage} is one of project {row['project']}", remedy)


def _path(storage: Storage) -> str:
    return storages_path(storage.direction, storage.type, storage.id)


def _state(row: Json) -> SyncState:
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
