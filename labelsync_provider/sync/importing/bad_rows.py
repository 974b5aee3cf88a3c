"""Bad rows of an object: each by itself up to a number, for a file may have millions; then what is alike, together."""

from collections.abc import Iterator

from msgspec.structs import replace

from labelsync_provider.sync.importing.aside import REASONS, kind_of_reason
from labelsync_provider.sync.ledger.records import QuarantinedRow

NAMED_ROWS = 1000
"""Rows of an object that are in the quarantine one by one."""


class BadRows:
    """What of an object goes into quarantine."""

    def __init__(self, path: str) -> None:
        self.count = 0
        self._path = path
        self._named: list[QuarantinedRow] = []
        self._others: dict[str, tuple[int, QuarantinedRow]] = {}
        """By kind, how many more there are, and the first of these."""

    def add(self, position: int | None, reason: str, *, lasting: bool) -> QuarantinedRow:
        """Add the object (no position) or a row of it, and return it as it would be by itself."""
        self.count += 1
        row = QuarantinedRow(self._path, len(self._named), position, reason, lasting)
        # What may pass is looked up by its position when it is tried again.
        if len(self._named) < NAMED_ROWS or not lasting:
            self._named.append(row)
            return row
        kind = kind_of_reason(reason)
        if kind not in self._others and len(self._others) >= REASONS:
            kind = ""
        count, first = self._others.get(kind, (0, row))
        self._others[kind] = count + 1, first
        return row

    def told(self) -> Iterator[QuarantinedRow]:
        """Yield what the quarantine holds of them."""
        yield from self._named
        for number, (kind, (count, first)) in enumerate(self._others.items(), len(self._named)):
            what = f"of this kind: {first.reason}" if kind else "of other kinds"
            yield replace(first, number=number, reason=f"and {count:,} more {what}")
