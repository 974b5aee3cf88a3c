"""Where a retry of a request is decided: what may pass is tried again, for a bounded time."""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_before_delay, wait_random_exponential

from labelsync_provider.errors import Unavailable

log = logging.getLogger(__name__)

RETRY_SECONDS = 60.0
"""So long a request is tried before the task fails, and Airflow's own retries are to decide."""
FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0
SILENT_SECONDS = 10.0

T = TypeVar("T")


def insist(
    attempt: Callable[[], T],
    explaining: Callable[[], AbstractContextManager[None]],
    seconds: float = RETRY_SECONDS,
    passing: type[Unavailable] = Unavailable,
) -> T:
    """Return what `attempt` returns; while that is Unavailable, try again with backoff and full jitter.

    Rule: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter

    :param explaining: a block that turns what the attempt raises into the package's errors.
    :param seconds: after these no further attempt begins.
    :param passing: what is tried again; a narrower class for what may not simply be repeated.
    :raises Unavailable: the last attempt's, with how long was tried.
    """
    started = time.monotonic()

    def explained() -> T:
        with explaining():
            return attempt()

    try:
        return explained()  # nearly always enough, and the rest of this is slow
    except passing:
        time.sleep(min(FIRST_WAIT, seconds))
    retrying = Retrying(
        retry=retry_if_exception_type(passing),
        wait=wait_random_exponential(multiplier=FIRST_WAIT, max=LONGEST_WAIT),
        stop=stop_before_delay(seconds),
        before_sleep=_tell,
        reraise=True,
    )
    try:
        return retrying(explained)
    except passing as error:
        raise type(error)(f"{error} Tried for {time.monotonic() - started:.0f} s.") from None


def _tell(state: RetryCallState) -> None:
    waited = state.seconds_since_start or 0.0
    if waited > SILENT_SECONDS and state.outcome is not None:
        log.warning("Trying again, for %.0f s now: %s", waited, state.outcome.exception())
