"""Requests in flight: as many calls under way, in threads, as a limit allows; what comes of them is taken in order."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Generic, TypeVar

from labelsync_provider.request_limit import Limit
from labelsync_provider.retry import between_attempts
from labelsync_provider.stop import LOOK_SECONDS, Stop

AHEAD = 2048
"""Items that are begun, or have come back, before they are asked for: while the first is waited for, others go on."""
BYTES_AHEAD = 64 * 1024 * 1024
"""Content that is in flight, or has come back and was not taken yet. A larger item is alone."""

I = TypeVar("I")  # noqa: E741
R = TypeVar("R")


class _Slot(Generic[I, R]):
    """An item, and what has come of it."""

    __slots__ = ("error", "is_done", "item", "result", "size")

    result: R

    def __init__(self, item: I, size: int) -> None:
        self.item, self.size = item, size
        self.error: BaseException | None = None
        self.is_done = False


class InFlight(Generic[I, R]):
    """Calls of a function under way, as many at once as a limit allows; what they return is taken in order.

    A call that waits to repeat a request is not under way meanwhile, and the limit hears of the refusal.
    """

    def __init__(
        self,
        call: Callable[[I], R],
        limit: Limit,
        pool: Executor,
        stop: Stop,
        monotonic: Callable[[], float],
    ) -> None:
        """Prepare; no call is begun.

        :param pool: threads, as many as the limit's `most`.
        :param stop: once it is wished for, no call begins.
        """
        self._call, self._limit, self._pool, self._stop, self._monotonic = call, limit, pool, stop, monotonic
        self._ahead: deque[_Slot[I, R]] = deque()
        """All that was not taken yet, in order."""
        self._bytes = 0
        self._to_begin: deque[_Slot[I, R]] = deque()
        self._under_way = self._between = self._returning = 0
        """Calls that send a request; calls that have a thread and send none until they repeat one; and of these, those
        that have waited long enough."""
        self._changing = threading.Condition(threading.Lock())
        self._awaited: _Slot[I, R] | None = None
        self._arrived = threading.Event()

    def __len__(self) -> int:
        """How many items were not taken yet."""
        return len(self._ahead)

    def has_room(self, size: int) -> bool:
        """Tell whether one more item may be added."""
        return not self._ahead or (len(self._ahead) < AHEAD and self._bytes + size <= BYTES_AHEAD)

    @property
    def has_come(self) -> bool:
        """Whether the next result is there."""
        return bool(self._ahead) and self._ahead[0].is_done

    @property
    def has_enough(self) -> bool:
        """Whether the next result is there, and as many calls can begin as may be under way."""
        return self.has_come and len(self._to_begin) >= self._limit.now_allowed

    def add(self, item: I, size: int) -> None:
        """Have the function called with one more item.

        :param size: bytes that the call holds, and what it returns.
        """
        slot = _Slot[I, R](item, size)
        self._ahead.append(slot)
        self._bytes += size
        self._to_begin.append(slot)
        self._begin_more()

    def take(self) -> R:
        """Return what the call with the item that was added first returns, or raise what it raises.

        :raises Stopped: the run is to end; what is under way is not waited for.
        """
        slot = self._awaited = self._ahead[0]
        while not slot.is_done:
            self._stop.check()
            self._arrived.clear()
            if not slot.is_done:
                self._arrived.wait(LOOK_SECONDS)
        self._awaited = None
        self._ahead.popleft()
        self._bytes -= slot.size
        if slot.error:
            raise slot.error
        return slot.result

    def drop(self) -> None:
        """Forget the items with which no call has begun."""
        with self._changing:
            dropped = set(self._to_begin)
            self._to_begin.clear()
        self._ahead = deque(slot for slot in self._ahead if slot not in dropped)
        self._bytes = sum(slot.size for slot in self._ahead)

    def _begin_more(self) -> None:
        while True:
            with self._changing:
                if not self._may_begin():
                    return
                slot = self._begin()
            self._pool.submit(self._work, slot)

    def _may_begin(self) -> bool:
        allowed = self._under_way + self._returning < self._limit.now_allowed
        # One that had to wait for a thread would count as under way, and keep those from returning that have one.
        has_thread = self._under_way + self._between < self._limit.most
        return bool(self._to_begin) and allowed and has_thread and not self._stop.wished

    def _begin(self) -> _Slot[I, R]:
        self._under_way += 1
        return self._to_begin.popleft()

    def _work(self, slot: _Slot[I, R] | None) -> None:
        """Call with one item after the other, as long as there is one and the limit allows."""
        before = between_attempts.set(self._waiting)
        try:
            while slot:
                try:
                    slot.result = self._call(slot.item)
                except BaseException as error:
                    slot.error = error
                    if not isinstance(error, Exception):
                        raise
                finally:
                    following = self._done(slot)
                slot = following
        finally:
            between_attempts.reset(before)

    def _done(self, slot: _Slot[I, R]) -> _Slot[I, R] | None:
        """Note that a call is over; return what the thread goes on with."""
        slot.is_done = True
        if slot is self._awaited:
            self._arrived.set()
        with self._changing:
            allowed = self._limit.now_allowed
            self._limit.answered(self._monotonic(), self._under_way)
            self._under_way -= 1
            if self._returning:
                self._changing.notify()
            following = self._begin() if self._may_begin() else None
            may_grow = self._limit.now_allowed > allowed
        if may_grow:
            self._begin_more()
        return following

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """A request was refused: until it may be sent again, it is not under way."""
        with self._changing:
            self._limit.refused(self._monotonic(), self._under_way)
            self._under_way -= 1
            self._between += 1
        self._begin_more()
        try:
            yield
        finally:
            with self._changing:
                self._wait_for_turn()

    def _wait_for_turn(self) -> None:
        """Wait until one more request may be under way: before any that is the first of its call."""
        self._returning += 1
        while self._under_way >= self._limit.now_allowed and not self._stop.wished:
            self._changing.wait(LOOK_SECONDS)
        self._returning -= 1
        self._between -= 1
        self._under_way += 1


def in_order(flight: InFlight[I, R], items: Iterable[I], size: Callable[[I], int] = lambda _: 0) -> Generator[R]:
    """Yield what the calls with some items return, in order; a bounded number of them are ahead of what is taken.

    :param size: returns the bytes that a call with an item holds, and what it returns.
    """
    try:
        for item in items:
            while len(flight) and (flight.has_enough or not flight.has_room(size(item))):
                yield flight.take()
            flight.add(item, size(item))
        while len(flight):
            yield flight.take()
    finally:
        flight.drop()
