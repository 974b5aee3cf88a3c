"""Progress: a line every few seconds for whoever watches the log."""

import logging
from collections.abc import Callable

SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """Says how much of the work is done, how fast it goes and, where the total is known, how long it still takes."""

    def __init__(self, log: logging.Logger, clock: Callable[[], float]) -> None:
        """Begin.

        :param clock: seconds since whenever, such as `Runtime.monotonic`.
        """
        self._log, self._clock = log, clock
        self._began = self._last = clock()

    def is_due(self) -> bool:
        """Tell whether a few seconds have passed since the last line."""
        return self._clock() - self._last >= SECONDS_BETWEEN_LINES

    def begin(self) -> None:
        """Have the rate counted from now on: what it is of begins only now."""
        self._began = self._clock()

    def say(self, done: int, of: str, total: int | None = None, beside: str = "") -> None:
        """Log a line.

        :param done: how many are.
        :param of: what they are, as in "tasks in".
        :param total: how many there will be.
        :param beside: what else there is to say.
        """
        self._last = self._clock()
        rate = done / max(self._last - self._began, 1e-3)
        of_all = "" if total is None else f" of {max(total, done):,}"
        parts = [f"{done:,}{of_all} {of}", f"{rate:,.{0 if rate >= 10 else 1}f}/s"]
        if total is not None and rate:
            parts.append(f"about {_duration(max(total - done, 0) / rate)} left")
        self._log.info("%s", ", ".join([*parts, *([beside] if beside else [])]))


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
