"""Stopping: how a run is told to end, and how it hears of that wherever it waits."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, wait
from contextlib import contextmanager
from typing import TypeVar

from labelsync_provider.errors import Stopped

LOOK_SECONDS = 0.1
"""So long a run that waits may not notice that it is to end."""

T = TypeVar("T")


class Stop:
    """The wish that a run ends. It begins no request after that, and waits for nothing.

    A signal handler may express it. So it is a plain flag that is looked at, and no `threading.Event`: the thread that
    the handler interrupts may hold an event's lock.
    """

    def __init__(self) -> None:
        self.wished = False

    def set(self) -> None:
        """Have the run end."""
        self.wished = True

    def check(self) -> None:
        """Make sure, before a request, that the run is to go on.

        :raises Stopped: it is not.
        """
        if self.wished:
            raise Stopped("The run was told to end.")

    def sleep(self, seconds: float, sleep: Callable[[float], None] = time.sleep) -> None:
        """Sleep, or end.

        :raises Stopped: the run is to end; it is not slept any longer.
        """
        self.check()
        while seconds > 0:
            sleep(min(seconds, LOOK_SECONDS))
            seconds -= LOOK_SECONDS
            self.check()

    def result(self, future: "Future[T]") -> T:
        """Return what came of something, or end before it is known.

        :raises Stopped: the run is to end; what was on its way is not waited for.
        """
        while not future.done():
            self.check()
            wait([future], LOOK_SECONDS)
        return future.result()

    @contextmanager
    def closing(self, pool: Executor) -> Iterator[Executor]:
        """Have threads for the length of a block. What they are at is waited for, unless the run is to end."""
        try:
            yield pool
        finally:
            pool.shutdown(wait=not self.wished, cancel_futures=True)
