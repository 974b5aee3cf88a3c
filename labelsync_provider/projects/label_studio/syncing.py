"""A sync of one of Label Studio's own storages: started at most once, watched, believed only when it is over.

What stands behind each rule, in label-studio 1.23.2; see `sync_state` for what a storage tells:

- The Community edition syncs inside the request, so that an answer may take hours; without it, the sync goes on. The
  answer is 200 however the sync ended.
- On PostgreSQL, a request for a sync while one is in progress does nothing, and says 200. On SQLite it starts a second
  one.
"""

import logging
import time
from dataclasses import dataclass

from labelsync_provider.errors import RequestFailed, Unavailable, invalid
from labelsync_provider.projects.label_studio import shapes
from labelsync_provider.projects.label_studio.answers import NotSent
from labelsync_provider.projects.label_studio.client import Client
from labelsync_provider.projects.label_studio.storages import storages_path
from labelsync_provider.projects.label_studio.sync_state import (
    ENDED,
    IN_PROGRESS,
    SIGN_SECONDS,
    Storage,
    SyncFailed,
    SyncState,
    may_be_alive,
    state_of,
)
from labelsync_provider.projects.protocol import Json

log = logging.getLogger(__name__)

BEGIN_SECONDS = 60.0
"""Time in which a sync must begin whose request was not answered."""


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
    return state_of(row)


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
    before = state_of(row)
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
        if state_of(row).attempt < attempt:
            raise RequestFailed(
                f"Label Studio did not start to sync the {storage}, which it looks at first: {error} Check that it "
                "reaches it from its own machine, and that there is at least one object below the prefix of a source."
            ) from error
    except Unavailable as error:
        log.info("The %s: %s Looking how the sync goes on.", storage, error)
        return Started(attempt, False, read_state(client, storage))
    state = state_of(row)
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


def _check_project(row: Json, storage: Storage, project_id: int) -> None:
    if row["project"] != project_id:
        remedy = "Give the id that the project's storage has, or its URI."
        raise invalid("storage", storage.id, f"the {storage} is one of project {row['project']}", remedy)


def _path(storage: Storage) -> str:
    return storages_path(storage.direction, storage.type, storage.id)
