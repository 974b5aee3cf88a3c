"""What Label Studio's own sync has left to do in files of which it broke off: told once a run."""

import logging
from collections.abc import Collection

from labelsync_provider.uris import printable

NAMED = 3
"""Files that are named."""


class Unfinished:
    """Files whose last rows have no task, though the sync that made those before has completed since."""

    def __init__(self) -> None:
        self._files = self._rows = 0
        self._named: list[str] = []

    def note(self, key: str, positions: Collection[int]) -> None:
        """Note the rows of a file that are imported for that."""
        self._files += 1
        self._rows += len(positions)
        if len(self._named) < NAMED:
            self._named.append(f"{printable(key)}, from row {min(positions)} on")

    def log(self, log: logging.Logger) -> None:
        """Say which files these are."""
        if self._files:
            log.warning(
                "%d rows at the end of %d files have no task, as where Label Studio's own sync has broken off; they "
                "are imported: %s.",
                self._rows,
                self._files,
                "; ".join(self._named),
            )
