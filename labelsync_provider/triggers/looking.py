"""What the triggers of the sensors have in common, and the sensors with them: a look, again and again."""

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.triggers.base import BaseTrigger, TriggerEvent

from labelsync_provider.errors import LabelsyncError, NotFound
from labelsync_provider.projects.naming import is_id

if TYPE_CHECKING:
    from labelsync_provider.hooks.label_studio import LabelStudioHook
    from labelsync_provider.projects.protocol import StoredProject


class Look(NamedTuple):
    """What a look has shown."""

    met: bool
    says: str
    """For the log."""
    found: dict[str, Any]
    """What the sensor returns: counts, as plain data."""
    memory: dict[str, Any]
    """What the next look is to know of this one, as plain data; not empty."""


class LookingTrigger(BaseTrigger):
    """Looks every so often whether what a sensor waits for is there. A sensor in its worker looks through it, too.

    Its one event is `{"found": what the sensor returns}`, or `{"error": what a person must mend}`.

    :param parameters: what to look for, checked, as plain data without secrets.
    :param memory: what the look before knows. A triggerer that starts anew begins with what the first look knew.
    :param poke_interval: seconds between two looks, and before the first: Airflow 3.3 fails a task whose trigger
        answers before the scheduler knows that it was deferred.
    """

    def __init__(self, parameters: dict[str, Any], memory: dict[str, Any], poke_interval: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.parameters = parameters
        self.memory = memory
        self.poke_interval = poke_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow keeps of the trigger."""
        kind = type(self)
        kwargs = {"parameters": self.parameters, "memory": self.memory, "poke_interval": self.poke_interval}
        return f"{kind.__module__}.{kind.__qualname__}", kwargs

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the event."""
        while True:
            await asyncio.sleep(self.poke_interval)
            try:
                # Storages, databases and clients are synchronous, and connections may be asked for only outside the
                # event loop, which other triggers share.
                look = await asyncio.to_thread(self.look)
            except LabelsyncError as error:
                yield TriggerEvent({"error": str(error)})
                return
            if look and look.met:
                yield TriggerEvent({"found": look.found})
                return

    def look(self) -> Look | None:
        """Look, say in the log what is seen, and remember it; None if it could not be looked now.

        What may pass is waited for, but not by the first look: a mistake in a connection looks the same, and is told
        at once. So are those that a person must mend, whenever they are met.

        :raises LabelsyncError: it could not be looked, and waiting does not help, or nothing was seen before.
        """
        try:
            look = self._look()
        except LabelsyncError as error:
            if not (error.retry_may_help and self.memory):
                raise
            self.log.warning("Looking again in %g s: %s", self.poke_interval, error)
            return None
        self.memory = look.memory
        self.log.info("%s", look.says)
        return look

    @abstractmethod
    def _look(self) -> Look:
        """Look, from what `parameters` and `memory` say."""


def open_project(opened: ExitStack, hook: "LabelStudioHook", named: int | str, known: int | None) -> "StoredProject":
    """Open a project to be looked at. By the id that it had, which is one request, if it still has the title.

    :param opened: closes it.
    :param named: its id, or its title.
    :param known: the id of the project that the look before has seen.
    :raises NotFound: there is none.
    """
    store = opened.enter_context(hook.looking())
    if known is not None and not is_id(named):
        with suppress(NotFound):  # gone; another may have the title
            project = store.project(known)
            if project.title == str(named).strip():
                return project
    return store.project(named)


def seconds_in_words(seconds: float) -> str:
    """Return a length of time as a person says it: `40 s`, `12 min`, `7 h`, `3 days`."""
    for size, unit, up_to in ((1, "s", 100), (60, "min", 100), (3600, "h", 48)):
        if round(seconds / size) < up_to:
            return f"{round(seconds / size)} {unit}"
    return f"{round(seconds / 86400):,} days"
