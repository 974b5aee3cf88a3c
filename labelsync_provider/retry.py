"""Requests: each is counted, repeated for a bounded time, and none begins once the run is to end."""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from threading import Lock
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_before_delay, wait_random_exponential

from labelsync_provider.errors import Unavailable
from labelsync_provider.stop import Stop

log = logging.getLogger(__name__)

RETRY_SECONDS = 60.0
"""Time for which a request is retried before the task fails; then Airflow decides about a retry of the task."""
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.1, 5.0
SILENT_SECONDS = 10.0
"""Time for which retries are not logged."""

T = TypeVar("T")

between_attempts: ContextVar[Callable[[], AbstractContextManager[None]]] = ContextVar(
    "between_attempts", default=nullcontext
)
"""Entered when an attempt was refused, and left when the next may begin: whoever bounds the requests in flight hears
of it, and has others sent meanwhile."""


class Requests:
    """The requests of one run. A storage or project has some of its own until a run gives it those that it counts."""

    def __init__(self, stop: Stop | None = None, counts: dict[str, int] | None = None) -> None:
        self.stop = stop or Stop()
        self.counts = {} if counts is None else counts
        """By kind: what is done to a storage (`list`, `read`, `write`, `delete`, `sign`), or method and path."""
        self._counting = Lock()

    def begin(self, kind: str) -> None:
        """Count a request that is about to be sent; each attempt is one.

        :raises Stopped: the run is to end, and the request not to be sent.
        """
        self.stop.check()
        with self._counting:
            self.counts[kind] = self.counts.get(kind, 0) + 1

    def repeat(
        self,
        kind: str,
        call: Callable[[], T],
        translate_errors: Callable[[], AbstractContextManager[None]],
        seconds: float,
    ) -> T:
        """Return what `call` returns, which sends a request of this kind; see `call_with_retries`."""

        def counted() -> T:
            self.begin(kind)
            return call()

        return call_with_retries(counted, translate_errors, seconds, stop=self.stop)


def count_in(requests: Requests, *places: object) -> None:
    """Have those of the storages and projects that send requests count them there, and stop with that run."""
    for place in places:
        if hasattr(place, "requests"):
            place.requests = requests


def call_with_retries(
    call: Callable[[], T],
    translate_errors: Callable[[], AbstractContextManager[None]],
    seconds: float = RETRY_SECONDS,
    retry_on: type[Unavailable] = Unavailable,
    stop: Stop | None = None,
) -> T:
    """Return what `call` returns; while it raises `retry_on`, repeat it with backoff and full jitter.

    Rule: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter

    :param translate_errors: returns a context manager that turns what the call raises into the package's errors.
    :param seconds: time after which no further attempt begins; with 0 there is one attempt.
    :param retry_on: the errors after which the call is repeated; a narrower class for a call that must not be
        repeated while its outcome is unknown.
    :param stop: ends the waits between attempts.
    :raises Unavailable: the last attempt's error, with the time that the attempts took.
    :raises Stopped: the run is to end.
    """
    started = time.monotonic()
    wait = stop.sleep if stop else time.sleep

    def sleep(seconds: float) -> None:
        with between_attempts.get()():
            wait(seconds)

    def attempt() -> T:
        with translate_errors():
            return call()

    try:
        return attempt()  # It nearly always succeeds, and tenacity is slow.
    except retry_on:
        if not seconds:
            raise
        sleep(min(FIRST_WAIT_SECONDS, seconds))
    retrying = Retrying(
        retry=retry_if_exception_type(retry_on),
        wait=wait_random_exponential(multiplier=FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS),
        stop=stop_before_delay(seconds),
        before_sleep=_log_retry,
        sleep=sleep,
        reraise=True,
    )
    try:
        return retrying(attempt)
    except retry_on as error:
        raise type(error)(f"{error} Tried for {time.monotonic() - started:.0f} s.") from None


def _log_retry(state: RetryCallState) -> None:
    waited = state.seconds_since_start or 0.0
    if waited > SILENT_SECONDS and state.outcome is not None:
        log.warning("Trying again, for %.0f s now: %s", waited, state.outcome.exception())
