"""Requests in flight: how many there are finds itself, and what comes of them is taken in order."""

import heapq
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress

import pytest

from labelsync_provider.errors import NotFound, Stopped, Unavailable
from labelsync_provider.in_flight import AHEAD, BYTES_AHEAD, InFlight, in_order
from labelsync_provider.request_limit import FIRST, ROUND_SECONDS, Limit
from labelsync_provider.retry import call_with_retries
from labelsync_provider.stop import Stop
from labelsync_provider.sync.runtime import Inline


class Server:
    """A server that answers after a round trip, and so many requests a second; its clock is that of the test."""

    def __init__(self, round_trip: float, rate: float, most: int = 256) -> None:
        self.round_trip, self.rate = round_trip, rate
        self.now = self.free = 0.0
        self.refuses_above: int | None = None
        """Requests at once that it answers; it is asked to slow down about others."""
        self.refuses_each: int | None = None
        """Of so many requests it refuses one, however many there are at once."""
        self.answers = self.refusals = 0
        self.limit = Limit(most, self.now)
        self.under_way: list[float] = []

    def run(self, seconds: float) -> Iterator[int]:
        """Send as many requests as are allowed; yield how many they are, at each answer."""
        end = self.now + seconds
        while self.now < end:
            while len(self.under_way) < self.limit.now_allowed:
                self.free = max(self.free, self.now) + 1 / self.rate
                heapq.heappush(self.under_way, max(self.now + self.round_trip, self.free))
            self.now = heapq.heappop(self.under_way)
            count = len(self.under_way) + 1
            self.answers += 1
            is_above = self.refuses_above is not None and count > self.refuses_above
            if is_above or (self.refuses_each and self.answers % self.refuses_each == 0):
                self.refusals += 1
                self.limit.refused(self.now, count)
            else:
                self.limit.answered(self.now, count)
            yield self.limit.now_allowed

    def after(self, seconds: float) -> int:
        """Return how many are allowed then."""
        return list(self.run(seconds))[-1]


class TestLimit:
    @pytest.mark.parametrize(
        ("round_trip", "rate", "most", "expected"),
        [
            (0.001, 3000, 256, 32),  # near: more bring nothing
            (0.01, 100_000, 256, 64),  # that is as often as S3 lets itself be asked
            (0.03, 100_000, 256, 256),
            (0.1, 100_000, 256, 256),
            (0.1, 100_000, 100, 100),
            (0.1, 100_000, 5, 5),
            (0.1, 500, 256, 128),  # 50 would do
            (0.1, 100_000, 1, 1),
        ],
    )
    def test_is_where_more_bring_no_more(self, round_trip: float, rate: float, most: int, expected: int) -> None:
        server = Server(round_trip, rate, most)
        seen = set(server.run(3.5))
        assert server.limit.now_allowed == expected
        assert max(seen) <= most

    def test_begins_as_a_near_server_can_use(self) -> None:
        assert (Limit(256, 0).now_allowed, Limit(7, 0).now_allowed) == (FIRST, 7)

    @pytest.mark.parametrize("round_trip", [0.03, 0.1])
    def test_is_found_within_a_few_round_trips(self, round_trip: float) -> None:
        server = Server(round_trip, 100_000)
        assert server.after(max(4 * round_trip, 0.2)) == 256

    def test_is_what_helped_last_where_more_help_no_more_and_are_not_even_used(self) -> None:
        limit, now = Limit(256, 0), 0.0

        def answers(count: int, under_way: int) -> int:
            nonlocal now
            for _ in range(count - 1):
                limit.answered(now, under_way)
            now += 2 * ROUND_SECONDS
            limit.answered(now, under_way)
            return limit.now_allowed

        assert answers(150, FIRST) == 2 * FIRST
        assert answers(150, 2 * FIRST) == 4 * FIRST, "it may take a round until more help"
        assert answers(150, 3) == 4 * FIRST, "there may be a moment with nothing to be sent"
        assert answers(150, 3) == FIRST

    def test_is_looked_for_again(self) -> None:
        server = Server(0.001, 3000)
        server.after(3)
        server.round_trip, server.rate = 0.1, 100_000
        assert server.after(6) == 256

    def test_is_halved_once_for_requests_that_were_under_way_together(self) -> None:
        limit = Limit(256, 0)
        for count in range(FIRST, 0, -1):
            limit.refused(1, count)
        assert limit.now_allowed == FIRST // 2

    def test_falls_where_requests_are_refused_and_rises_again(self) -> None:
        server = Server(0.03, 100_000)
        assert server.after(1) == 256
        server.refuses_above = 40
        seen = list(server.run(10))[2000:]
        assert max(seen) <= 2 * 40
        assert min(seen) >= 1
        server.refuses_above = None
        assert server.after(10) == 256

    @pytest.mark.parametrize("round_trip", [0.03, 0.1])
    def test_is_as_before_where_one_request_in_a_hundred_is_lost(self, round_trip: float) -> None:
        server = Server(round_trip, 100_000)
        server.refuses_each = 100
        assert server.after(5) == 256
        assert min(server.run(5)) == 256

    @pytest.mark.parametrize("round_trip", [0.03, 0.1])
    def test_that_was_refused_is_not_tried_again_at_once(self, round_trip: float) -> None:
        server = Server(round_trip, 100_000)
        server.refuses_above = 40
        assert min(list(server.run(30))[2000:]) >= 16
        assert server.refusals < 2000

    def test_is_half_of_what_was_refused_where_that_is_more_than_before(self) -> None:
        server = Server(0.1, 100_000)
        server.refuses_above = 100
        assert server.after(3) == 64

    def test_is_never_below_one(self) -> None:
        server = Server(0.03, 1000)
        server.refuses_above = 0
        assert server.after(3) == 1
        server.refuses_above = None
        assert server.after(5) >= FIRST

    def test_does_not_grow_where_there_is_nothing_more_to_send(self) -> None:
        limit = Limit(256, 0)
        for n in range(10_000):
            limit.answered(n / 1000, 3)
        assert limit.now_allowed == FIRST


@contextmanager
def flight(call: Callable[[int], int], most: int = 256, stop: Stop | None = None) -> Iterator[InFlight[int, int]]:
    stop = stop or Stop()
    with stop.closing(ThreadPoolExecutor(most)) as pool:
        yield InFlight(call, Limit(most, time.monotonic()), pool, stop, time.monotonic)


class TestInFlight:
    def test_gives_results_in_order(self) -> None:
        def call(n: int) -> int:
            time.sleep(0.001 * (n % 7))
            return n

        with flight(call) as calls:
            assert list(in_order(calls, range(1000), lambda _: 1)) == list(range(1000))

    def test_runs_inline(self) -> None:
        calls = InFlight[int, int](lambda n: n, Limit(4, 0), Inline(), Stop(), lambda: 0.0)
        assert list(in_order(calls, range(100), lambda _: 1)) == list(range(100))

    def test_has_no_more_under_way_than_allowed(self) -> None:
        counting, now, seen = threading.Lock(), 0, []

        def call(n: int) -> int:
            nonlocal now
            with counting:
                now += 1
                seen.append(now)
            time.sleep(0.002)
            with counting:
                now -= 1
            return n

        with flight(call, 5) as calls:
            list(in_order(calls, range(200), lambda _: 1))
        assert max(seen) == 5

    def test_a_slow_one_does_not_idle_the_others(self) -> None:
        others = threading.Event()

        def call(n: int) -> int:
            if n == 0:
                assert others.wait(10)
            if n == AHEAD - 1:
                others.set()
            return n

        with flight(call, 4) as calls:
            assert len(list(in_order(calls, range(AHEAD), lambda _: 1))) == AHEAD

    def test_bounds_what_is_ahead(self) -> None:
        with flight(lambda n: n) as calls:
            sizes = [BYTES_AHEAD // 2, BYTES_AHEAD // 2, 1, 2 * BYTES_AHEAD, 1]
            added = 0
            for expected in (2, 1, 1, 1):
                while added < len(sizes) and calls.has_room(sizes[added]):
                    calls.add(added, sizes[added])
                    added += 1
                assert len(calls) == expected
                while len(calls):
                    calls.take()
            assert added == len(sizes)

    def test_raises_in_the_place_of_a_result(self) -> None:
        def call(n: int) -> int:
            if n == 3:
                raise NotFound("three")
            return n

        with flight(call) as calls:
            results = in_order(calls, range(1000), lambda _: 1)
            assert [next(results) for _ in range(3)] == [0, 1, 2]
            with pytest.raises(NotFound):
                next(results)

    def test_begins_none_once_the_run_is_to_end(self) -> None:
        begun, stop = [], Stop()

        def call(n: int) -> int:
            begun.append(n)
            if n == 10:
                stop.set()
            return n

        with flight(call, 1, stop) as calls, suppress(Stopped):
            list(in_order(calls, range(100), lambda _: 1))
        assert begun == list(range(11))

    def test_others_are_sent_while_one_waits_to_be_repeated(self) -> None:
        refused, others = list[int](), threading.Event()

        def call(n: int) -> int:
            def attempt() -> int:
                if n == 0 and not refused:
                    refused.append(n)
                    raise Unavailable("slow down")
                if n == 0:
                    assert others.is_set()
                else:
                    others.set()
                return n

            return call_with_retries(attempt, nullcontext)

        with flight(call, 2) as calls:
            assert list(in_order(calls, range(2), lambda _: 1)) == [0, 1]

    @pytest.mark.parametrize("most", [1, 3])
    def test_as_many_as_there_are_threads_wait_to_be_repeated_and_none_for_a_thread(self, most: int) -> None:
        refused, stop = set[int](), Stop()

        def call(n: int) -> int:
            def attempt() -> int:
                if n not in refused:
                    refused.add(n)
                    raise Unavailable("slow down")
                return n

            return call_with_retries(attempt, nullcontext)

        hanging = threading.Timer(5, stop.set)
        hanging.start()
        with flight(call, most, stop) as calls:
            assert list(in_order(calls, range(2 * most), lambda _: 1)) == list(range(2 * most))
        assert not stop.wished, "they wait for each other"
        hanging.cancel()
