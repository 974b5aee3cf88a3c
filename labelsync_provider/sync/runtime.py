"""What the engine takes from the machine it runs on: clocks, sleep and threads. Tests give it others."""

import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

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
    executor: Callable[[int, str], Executor] = _threads
    """Given a number of threads and what they are for, returns who runs functions in them."""
    renews_leases: bool = True
    """Whether a thread of its own keeps a lease from expiring while a run goes on."""
