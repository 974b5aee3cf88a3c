"""A run that is told to end: it begins nothing more, and waits for nothing."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import pytest

from labelsync_provider.errors import Stopped, Unavailable
from labelsync_provider.prefetch import prefetched
from labelsync_provider.projects.label_studio.client import Client
from labelsync_provider.retry import Requests, call_with_retries
from labelsync_provider.stop import Stop

PROMPT_SECONDS = 1.0


@pytest.fixture
def stop() -> Stop:
    return Stop()


@pytest.fixture
def soon(stop: Stop) -> Iterator[None]:
    """A wish that comes while the test waits."""
    timer = threading.Timer(0.2, stop.set)
    timer.start()
    started = time.monotonic()
    yield
    timer.join()
    assert time.monotonic() - started < 0.2 + PROMPT_SECONDS


@pytest.fixture
def forever() -> Iterator[Callable[[], Any]]:
    """What does not return before the test is over."""
    over = threading.Event()
    yield lambda: over.wait(60)
    over.set()


def test_ends_a_sleep(stop: Stop, soon: Callable) -> None:
    with pytest.raises(Stopped):
        stop.sleep(60)


def test_ends_the_wait_for_a_result(stop: Stop, soon: Callable) -> None:
    with pytest.raises(Stopped):
        stop.result(Future())


def test_leaves_a_result_that_is_there(stop: Stop) -> None:
    future: Future[int] = Future()
    future.set_result(3)
    stop.set()
    assert stop.result(future) == 3


def test_ends_the_wait_for_threads(stop: Stop, soon: Callable, forever: Any) -> None:
    pool = ThreadPoolExecutor(1)
    begun, waiting = pool.submit(forever), pool.submit(forever)
    with pytest.raises(Stopped), stop.closing(pool):
        stop.result(begun)
    assert waiting.cancelled()


def test_ends_the_wait_for_a_page_that_is_fetched_ahead(stop: Stop, soon: Callable, forever: Any) -> None:
    def pages() -> Iterator[int]:
        yield 1
        forever()
        yield 2

    with pytest.raises(Stopped):
        list(prefetched(pages(), stop))


def test_ends_retries_without_another_attempt(stop: Stop, soon: Callable) -> None:
    attempts = []

    def fails() -> None:
        attempts.append(stop.wished)
        raise Unavailable("no")

    with pytest.raises(Stopped):
        call_with_retries(fails, nullcontext, stop=stop)
    assert attempts
    assert not any(attempts)


def test_lets_no_request_of_a_server_begin(stop: Stop, http_server: Callable[..., str]) -> None:
    asked = []

    def answer(request: Any) -> tuple[int, bytes]:
        asked.append(request.path)
        return 200, b"{}"

    client = Client(http_server(answer), "token")
    client.requests = Requests(stop)
    client.get("/api/projects/7/", include="id")
    client.post("/api/projects/7/import", [])
    client.get("/api/projects/8/")
    stop.set()
    with pytest.raises(Stopped):
        client.get("/api/projects/7/")
    assert len(asked) == 3
    assert client.requests.counts == {"GET projects": 2, "POST projects/import": 1}
    client.close()


def test_may_be_wished_by_a_handler_that_interrupts_the_waiting_thread_itself(stop: Stop) -> None:
    """As Airflow's task runner does it."""
    before = signal.signal(signal.SIGALRM, lambda *_: stop.set())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(Stopped):
            stop.sleep(60)
    finally:
        signal.signal(signal.SIGALRM, before)
