"""What the engine takes from where it runs: clocks, sleep, threads, and when it is to end. Tests give it others."""

import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from labelsync_provider.stop import Stop

P = ParamSpec("P")
T = TypeVar("T")


def _threads(count: int, name: str) -> Executor:
    return ThreadPoolExecutor(count, thread_name_prefix=f"labelsync-{name}")


class Inline(Executor):
    """Runs a function when it is submitted, in the thread that submits it."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Run `fn`; an error of it is raised when the result is asked for, an exit at once."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@dataclass(frozen=True)
class Runtime:
    """Clocks, sleep and threads, so that a run can be repeated instant by instant."""

    now: Callable[[], float] = time.time
    """Seconds since the epoch; processes on several machines compare them."""
    monotonic: Callable[[], float] = time.monotonic
    """Seconds since whenever."""
    sleep: Callable[[float], None] = time.sleep
    """Not to be called but by `wait`, which ends with the run."""
    executor: Callable[[int, str], Executor] = _threads
    """Given a number of threads and what they are for, returns who runs functions in them."""
    renews_leases: bool = True
    """Whether a thread of its own keeps a lease from expiring while a run goes on."""
    stop: Stop = field(default_factory=Stop)
    """Ends the run."""

    def wait(self, seconds: float) -> None:
        """Sleep.

        :raises Stopped: the run is to end.
        """
        self.stop.sleep(seconds, self.sleep)

    def threads(self, count: int, name: str) -> AbstractContextManager[Executor]:
        """Have threads for the length of a block; see `executor`. A run that is to end does not wait for them."""
        return self.stop.closing(self.executor(count, name))
