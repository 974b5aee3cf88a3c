"""Waits for a sync of one of Label Studio's own storages."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import closing
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from labelsync_provider.errors import LabelsyncError, Unavailable
from labelsync_provider.triggers.looking import Look, LookingTrigger

if TYPE_CHECKING:
    from labelsync_provider.projects.label_studio.syncing import Watch


class LabelStudioSyncTrigger(BaseTrigger):
    """Looks every few seconds whether a sync is over.

    Its one event, when the sync is over or the deadline past, is `{"storage": ..., "joined": ..., "state": ...,
    "is_over": bool}` with the fields of `Storage` and `SyncState`; or `{"error": what, "retry_may_help": bool}`.

    :param label_studio_conn_id: the connection of the server.
    :param direction: `"import"` or `"export"`.
    :param storage_type: Label Studio's word for the service.
    :param storage_id: the storage.
    :param attempt: which of the storage's syncs it is.
    :param joined: whether it was in progress already; passed on.
    :param deadline: when to give up, in seconds since 1970.
    :param poll_interval: seconds between two looks, and before the first: Airflow 3.3 fails a task whose trigger
        answers before the scheduler knows that it was deferred.
    """

    def __init__(
        self,
        label_studio_conn_id: str,
        direction: str,
        storage_type: str,
        storage_id: int,
        attempt: int,
        joined: bool,
        deadline: float,
        poll_interval: float,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.label_studio_conn_id = label_studio_conn_id
        self.direction = direction
        self.storage_type = storage_type
        self.storage_id = storage_id
        self.attempt = attempt
        self.joined = joined
        self.deadline = deadline
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow keeps of the trigger: no secret is among it."""
        return (
            "labelsync_provider.triggers.label_studio.LabelStudioSyncTrigger",
            {
                "label_studio_conn_id": self.label_studio_conn_id,
                "direction": self.direction,
                "storage_type": self.storage_type,
                "storage_id": self.storage_id,
                "attempt": self.attempt,
                "joined": self.joined,
                "deadline": self.deadline,
                "poll_interval": self.poll_interval,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the event."""
        while True:
            await asyncio.sleep(self.poll_interval)
            # The client is a synchronous one, and connections may be asked for only outside the event loop.
            event = await asyncio.to_thread(self._look)
            if event is not None:
                yield TriggerEvent(event)
                return

    def _look(self) -> dict[str, Any] | None:
        """Return the event, if it is time for one."""
        from dataclasses import asdict

        from labelsync_provider.hooks.label_studio import LabelStudioHook
        from labelsync_provider.projects.label_studio.server import LabelStudioServer
        from labelsync_provider.projects.label_studio.sync_state import SyncFailed
        from labelsync_provider.projects.label_studio.syncing import read_state

        is_late = time.time() >= self.deadline
        try:
            with closing(LabelStudioHook(self.label_studio_conn_id)) as hook:
                store = hook.open_store(retry_seconds=self.poll_interval)
                if not isinstance(store, LabelStudioServer):
                    raise LabelsyncError(f"Connection {self.label_studio_conn_id!r} leads to no Label Studio any more.")
                state = read_state(store.client, self._watch.storage)
            is_over = self._watch.is_over(state)
        except LabelsyncError as error:
            if isinstance(error, Unavailable) and not isinstance(error, SyncFailed) and not is_late:
                self.log.warning("Looking again in %g s: %s", self.poll_interval, error)
                return None
            return {"error": str(error), "retry_may_help": error.retry_may_help}
        if not (is_over or is_late):
            return None
        storage = asdict(self._watch.storage)
        return {"storage": storage, "joined": self.joined, "state": asdict(state), "is_over": is_over}

    @cached_property
    def _watch(self) -> "Watch":
        from labelsync_provider.projects.label_studio.sync_state import Storage
        from labelsync_provider.projects.label_studio.syncing import Watch

        return Watch(Storage(self.direction, self.storage_type, self.storage_id), self.attempt)  # type: ignore[arg-type]


class StorageSyncTrigger(LookingTrigger):
    """Looks whether the latest sync of one of Label Studio's own storages is over; see `StorageSyncSensor`.

    Its parameters are those of the sensor. It remembers which storage it is: to look for one by its URI lists those of
    the project, at which Label Studio marks living syncs as failed.
    """

    def _look(self) -> Look:
        from labelsync_provider.hooks.label_studio_storages import find_own_storage, opened_server
        from labelsync_provider.projects.label_studio.sync_state import (
            ENDED,
            Storage,
            SyncFailed,
            may_be_alive,
            report_of,
        )
        from labelsync_provider.projects.label_studio.syncing import read_state

        given = self.parameters
        # By its title each time: the project may be gone, and another may have it now.
        with opened_server(given["label_studio_conn_id"], given["project"]) as (client, project_id):
            if self.memory.get("project") == project_id:
                storage = Storage(*self.memory["storage"])
            else:
                named = (given["direction"], given["storage"], given["storage_type"], given["storage_conn_id"])
                storage = find_own_storage(client, project_id, *named)
            state = read_state(client, storage, project_id)
        memory = {"project": project_id, "storage": [storage.direction, storage.type, storage.id]}
        unit = "tasks" if storage.direction == "import" else "annotations"
        says = f"The latest sync of the {storage}: {state.status}, {state.count:,} {unit}"
        if state.status not in ENDED or may_be_alive(state):
            says += f" so far; its last sign of life is of {state.last_sign or 'no time'}."
            return Look(False, says, {}, memory)
        try:
            report = report_of(storage, state, joined=False)
        except SyncFailed as error:
            # It does not end in another way by being looked at again.
            raise LabelsyncError(str(error)) from None
        del report["joined"]
        return Look(True, f"{says}, in {state.seconds:,.1f} s.", report, memory)
