"""Keys of rows that mean nothing to an import: each name is told once, however many rows have it."""

import logging
from dataclasses import dataclass

from labelsync_provider.formats.tasks.rows import Row
from labelsync_provider.uris import printable

NAMED = 20
"""Names that are told; in a file, there may be any number."""
COUNTED = 10_000
"""Other names that are counted, and then no more: each is remembered, by its hash."""


@dataclass
class _Key:
    rows: int
    first: str
    """Where it was seen first."""


class IgnoredKeys:
    """Keys beside `data` that were left out."""

    def __init__(self) -> None:
        self._keys: dict[str, _Key] = {}
        self._others = set[int]()

    def note(self, key: str, row: Row) -> int:
        """Note the ignored keys of a row of an object; return how many there are."""
        for name in row.ignored:
            if seen := self._keys.get(name):
                seen.rows += 1
            elif len(self._keys) < NAMED:
                self._keys[name] = _Key(1, f"{printable(key)}, row {row.position}")
            elif len(self._others) <= COUNTED:
                self._others.add(hash(name))
        return len(row.ignored)

    def log(self, log: logging.Logger) -> None:
        """Log one warning that names them all."""
        if not self._keys:
            return
        told = [f"{name!r:.80} ({key.rows:,}, such as {key.first})" for name, key in self._keys.items()]
        if self._others:
            most = f"more than {COUNTED:,}" if len(self._others) > COUNTED else f"{len(self._others):,}"
            told.append(f"{most} other names")
        log.warning(
            "What stands beside `data` under these keys was left out: %s. A task has `data`, `meta`, `annotations`, "
            "`predictions` and `allow_skip`. Rename what is one of them; put what is to be kept into `data` or `meta`.",
            ", ".join(told),
        )
