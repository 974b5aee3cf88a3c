"""What the sensors have in common: how they look, remember, defer and fail."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from labelsync_provider.airflow_compat import AirflowFailException, AirflowSkipException, conf
from labelsync_provider.operators.task_errors import task_errors

if TYPE_CHECKING:
    from airflow.sdk import Context

    from labelsync_provider.triggers.looking import LookingTrigger

REMEMBERED = "labelsync_sensor"
"""The key in the task's state store."""


class LookingSensor(BaseSensorOperator):
    """Looks by a trigger of its own: in the worker or, deferred, in the triggerer.

    What may pass (a server that does not answer) makes the first look fail the try, so that a mistake in a connection
    shows at once. Later looks only warn, and look again, as long as `timeout` lasts. What a person must mend fails the
    task for good, or skips it with `soft_fail`.

    With `mode="reschedule"` each look is a process of its own. What they remember of each other is in Airflow's task
    state store, which needs Airflow 3.3; for the length of one try. Give it a `poke_interval` of 15 s or more: Airflow
    3.3 fails a task that is due again before the scheduler has heard, some 5 s later, that the last process has ended.
    """

    def __init__(
        self, *, deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.deferrable = deferrable
        self._memory: dict[str, Any] = {}

    def execute(self, context: "Context") -> Any:
        """Wait, and return what was found; deferred, come back through `execute_complete`."""
        if not self.deferrable:
            return super().execute(context)
        # A look before: what is there already needs no triggerer, and a mistake is told by the worker.
        try:
            seen = self.poke(context)
        except AirflowFailException as error:
            raise self._softened(error) from error
        if seen:
            return seen.xcom_value
        timeout = timedelta(seconds=self.timeout)
        self.defer(trigger=self._looking(self._memory), method_name="execute_complete", timeout=timeout)

    def execute_complete(self, context: "Context", event: dict[str, Any]) -> Any:
        """Return what the trigger has found.

        :raises AirflowFailException: it met what a person must mend.
        """
        if "error" in event:
            raise AirflowFailException(event["error"])
        return event["found"]

    def poke(self, context: "Context") -> PokeReturnValue:
        """Look once.

        :raises AirflowException: it could not be looked, and nothing was seen before.
        :raises AirflowFailException: it could not be looked, and waiting does not help.
        """
        with task_errors():
            looking = self._looking(self._recall(context))
            look = looking.look()
        self._remember(context, looking.memory)
        return PokeReturnValue(is_done=look is not None and look.met, xcom_value=look and look.found)

    def _looking(self, memory: dict[str, Any]) -> "LookingTrigger":
        """Return the trigger, made of the parameters as they are rendered.

        :raises Invalid: one is not what it can be.
        """
        raise NotImplementedError

    def _recall(self, context: "Context") -> dict[str, Any]:
        store = self._store(context)
        kept = store.get(REMEMBERED) if store else None
        if isinstance(kept, dict) and kept.get("try") == context["ti"].try_number:
            self._memory = dict(kept["memory"])
        return self._memory

    def _remember(self, context: "Context", memory: dict[str, Any]) -> None:
        self._memory = memory
        if store := self._store(context):
            store.set(REMEMBERED, {"try": context["ti"].try_number, "memory": memory})

    def _store(self, context: "Context") -> Any:
        """Return where the next process finds what this one remembers; None if there is no next one."""
        return context.get("task_state_store") if self.reschedule and not self.deferrable else None

    def _softened(self, error: AirflowFailException) -> AirflowFailException | AirflowSkipException:
        # As Airflow does by itself for looks of other modes, and after a deferral.
        if self.soft_fail or self.never_fail:
            return AirflowSkipException(str(error))
        return error
