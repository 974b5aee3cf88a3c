"""Operators that end soon after Airflow says so: marked failed, cleared, late, or on a worker that shuts down.

Airflow 3.3 says so by SIGTERM. Its handler calls `on_kill` in the main thread, between two instructions of whatever
that is at, which then goes on; SIGKILL follows after 5 s. `execution_timeout` is an alarm that raises in the main
thread, wherever that is. So the work is done in a thread of its own, and the main one only waits: it hears of a signal
at once, and no alarm goes off in the middle of a transaction.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextvars import copy_context
from functools import wraps
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar, cast

from airflow.sdk import BaseOperator

from labelsync_provider.airflow_compat import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferred,
)
from labelsync_provider.errors import LabelsyncError
from labelsync_provider.stop import LOOK_SECONDS, Stop

if TYPE_CHECKING:
    from airflow.sdk import Context

    from labelsync_provider.sync import Runtime

END_SECONDS = 3.0
"""So long the work may take to end once it is told to. By then it has given its lease back."""
ON_ITS_WAY = (
    "Stopped with a request still on its way. The next run finds out what became of it, and goes on from there."
)

LAST_WORDS = (type(None), AirflowFailException, AirflowSkipException, TaskDeferred)
"""What work raises that is done: nothing, or one of these. More time would not have changed it."""

log = logging.getLogger(__name__)

T = TypeVar("T")
Execute = TypeVar("Execute", bound=Callable[..., Any])


class StoppableOperator(BaseOperator):
    """Tells its work when Airflow wishes the task to end; `execute` is decorated with `stoppable`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stop = Stop()

    def on_kill(self) -> None:
        """Have the work end: it begins no request any more, and gives its lease back. This itself does nothing else."""
        self.stop.set()

    @property
    def runtime(self) -> "Runtime":
        """What a run of the engine takes from this task: when it is to end."""
        from labelsync_provider.sync import Runtime

        return Runtime(stop=self.stop)


def stoppable(execute: Execute) -> Execute:
    """Run an operator's `execute` in a thread of its own; end soon after Airflow says so.

    Work that came to its own end, though it was told to end, is done: what it returns is returned, and what it raises
    when it fails for good, is skipped or deferred is raised.

    :raises AirflowTaskTimeout: `execution_timeout` is over; it says how far the work has come.
    :raises AirflowException: a request was still on its way `END_SECONDS` after the work was told to end.
    """

    @wraps(execute)
    def watched(self: StoppableOperator, context: "Context", *args: Any, **kwargs: Any) -> Any:
        # Of this try: Airflow copies the operator for each. A signal may have come before.
        before, self.stop = self.stop, Stop()
        self.stop.wished = self.stop.wished or before.wished
        outcome: Future[Any] = Future()

        def work() -> None:
            try:
                outcome.set_result(execute(self, context, *args, **kwargs))
            except BaseException as error:  # that a task is deferred or skipped is one, too
                outcome.set_exception(error)

        try:
            Thread(target=copy_context().run, args=(work,), name="labelsync-run", daemon=True).start()
            while not (outcome.done() or self.stop.wished):
                wait([outcome], LOOK_SECONDS)
            return _ended(outcome)
        except AirflowTaskTimeout as late:
            self.stop.set()
            wait([outcome], END_SECONDS)
            if _is_last_word(outcome):
                log.warning("execution_timeout was over when this came to its end.")
                return _ended(outcome)
            how_far = _how_far(outcome)
            raise AirflowTaskTimeout(f"{late or 'Timeout'}: not done within execution_timeout. {how_far}") from None
        except KeyboardInterrupt:
            self.stop.set()
            wait([outcome], END_SECONDS)
            raise

    return cast("Execute", watched)


def _ended(outcome: "Future[T]") -> T:
    """Return what came of the work, which has ended or has been told to."""
    wait([outcome], END_SECONDS)
    if not outcome.done():
        raise AirflowException(ON_ITS_WAY)
    error = outcome.exception()
    if error is not None and isinstance(error.__context__, LabelsyncError):
        # One of this package: its sentence says all, and where in the code it was raised helps nobody.
        raise error.with_traceback(None) from None
    return outcome.result()


def _is_last_word(outcome: "Future[Any]") -> bool:
    """Tell whether the work has ended in a way that more time would not have changed."""
    return outcome.done() and isinstance(outcome.exception(), LAST_WORDS)


def _how_far(outcome: "Future[Any]") -> str:
    """Return how far the work has come, once it has been told to end."""
    if not outcome.done():
        return ON_ITS_WAY
    error = outcome.exception()
    return str(error) if isinstance(error, AirflowException) else f"{type(error).__name__}: {error}"
