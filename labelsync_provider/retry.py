"""Retries of requests: a call that finds the other side unavailable is repeated, for a bounded time."""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_before_delay, wait_random_exponential

from labelsync_provider.errors import Unavailable

log = logging.getLogger(__name__)

RETRY_SECONDS = 60.0
"""Time for which a request is retried before the task fails; then Airflow decides about a retry of the task."""
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.1, 5.0
SILENT_SECONDS = 10.0
"""Time for which retries are not logged."""

T = TypeVar("T")


def call_with_retries(
    call: Callable[[], T],
    translate_errors: Callable[[], AbstractContextManager[None]],
    seconds: float = RETRY_SECONDS,
    retry_on: type[Unavailable] = Unavailable,
) -> T:
    """Return what `call` returns; while it raises `retry_on`, repeat it with backoff and full jitter.

    Rule: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter

    :param translate_errors: returns a context manager that turns what the call raises into the package's errors.
    :param seconds: time after which no further attempt begins.
    :param retry_on: the errors after which the call is repeated; a narrower class for a call that must not be
        repeated while its outcome is unknown.
    :raises Unavailable: the last attempt's error, with the time that the attempts took.
    """
    started = time.monotonic()

    def attempt() -> T:
        with translate_errors():
            return call()

    try:
        return attempt()  # It nearly always succeeds, and tenacity is slow.
    except retry_on:
        time.sleep(min(FIRST_WAIT_SECONDS, seconds))
    retrying = Retrying(
        retry=retry_if_exception_type(retry_on),
        wait=wait_random_exponential(multiplier=FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS),
        stop=stop_before_delay(seconds),
        before_sleep=_log_retry,
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
