"""Progress: a line every few seconds for whoever watches the log."""

import logging
import time

SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """Logs what a run has done so far, its rate and, where the total is known, what is left."""

    def __init__(self, log: logging.Logger, verb: str, total: int | None = None) -> None:
        self._log, self._verb, self._total = log, verb, total
        self._started = self._last = time.monotonic()

    def __call__(self, done: int, account: object) -> None:
        """Say how far the run is, if a few seconds have passed since the last line.

        :param done: of what `verb` names, in all.
        :param account: printed behind it.
        """
        now = time.monotonic()
        if now - self._last < SECONDS_BETWEEN_LINES:
            return
        self._last = now
        rate = done / (now - self._started)
        of, left = "", ""
        if self._total and rate:
            of = f" of {self._total:,}"
            left = f", {max(self._total - done, 0):,} left, about {max(self._total - done, 0) / rate:.0f} s"
        self._log.info("%s %s%s at %s/s%s (%s)", self._verb, f"{done:,}", of, f"{rate:,.0f}", left, account)
