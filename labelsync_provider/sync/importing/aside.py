"""What a run puts in quarantine, told once a reason: a line for each of forty pictures is read by nobody."""

import logging
import re
from dataclasses import dataclass, field
from functools import lru_cache

from labelsync_provider.errors import counted
from labelsync_provider.sync.report import FAILURES_SHOWN, Failure

NAMED = 3
"""Objects or rows that are named for a reason."""
REASONS = 30
"""Reasons that are told apart. What comes after these is counted."""
# What is quoted, and a word with a digit in it, is the row's own; what is left of a reason is the same for many rows.
WORD = re.compile(r"'[^']*'|\"[^\"]*\"|[\w.,:]+")


@lru_cache(1024)
def kind_of_reason(reason: str) -> str:
    """Return what is the same of all reasons of this kind."""
    return WORD.sub(lambda word: "" if _is_the_rows(word[0]) else word[0], reason)[:200]


def _is_the_rows(word: str) -> bool:
    return word[0] in "'\"" or any(map(str.isdigit, word))


@dataclass
class _Reason:
    first: str
    """As it is said of the first of them."""
    objects: int = 0
    rows: int = 0
    named: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = [counted(n, what) for n, what in ((self.objects, "object"), (self.rows, "row")) if n]
        return f"{' and '.join(counts)}: {self.first.rstrip('.')}. Such as {', '.join(self.named)}"


class SetAside:
    """What a run has put in quarantine, by the reason. Its size has a bound, whatever the reasons are."""

    def __init__(self) -> None:
        self.objects = 0
        """In quarantine as a whole or in part, those of earlier runs included."""
        self._earlier = 0
        """Objects and rows in quarantine that this run had no reason to try."""
        self._earliest: Failure | None = None
        self._reasons: dict[str, _Reason] = {}
        self._others = _Reason("for other reasons, which the report and the table labelsync_quarantine name")

    def note(self, failure: Failure) -> None:
        """Note one more object or row."""
        kind = kind_of_reason(failure.reason)
        reason = self._reasons.get(kind)
        if reason is None:
            if len(self._reasons) < REASONS:
                reason = self._reasons[kind] = _Reason(failure.reason)
            else:
                reason = self._others
        reason.objects += failure.row is None
        reason.rows += failure.row is not None
        if len(reason.named) < NAMED:
            reason.named.append(failure.key if failure.row is None else f"{failure.key}, row {failure.row}")

    def count_alike(self, reason: str, *, is_row: bool) -> bool:
        """Count one more for a reason, if enough are named for it; return whether it was counted."""
        known = self._reasons.get(kind_of_reason(reason))
        if known is None or len(known.named) < NAMED:
            return False
        known.rows += is_row
        known.objects += not is_row
        return True

    def note_earlier(self, count: int, first: Failure | None) -> None:
        """Note objects and rows that earlier runs have put there, and that are as bad as they were."""
        self._earlier += count
        self._earliest = self._earliest or first

    def lines(self) -> list[str]:
        """Return a sentence for each reason, those of the most first."""
        reasons = sorted(self._reasons.values(), key=lambda reason: -reason.objects - reason.rows)
        return [str(reason) for reason in (*reasons, self._others) if reason.named]

    def commonest(self, most: int) -> str:
        """Return a text with the reasons of the most, and how many others there are."""
        lines = self.lines()
        others = len(lines) - most
        more = (
            [f"And {others} more {'reason' if others == 1 else 'reasons'}, which the log names"] if others > 0 else []
        )
        return ". ".join([*lines[:most], *more])

    def log(self, log: logging.Logger) -> None:
        """Log a warning for each reason."""
        for line in self.lines():
            log.warning("Quarantined %s", line)
        if self._earlier:
            log.warning(
                "In quarantine since earlier runs, and not tried again: %s%s. The report names the first %d of all, "
                "the table labelsync_quarantine every one. Mend the objects: one that has changed is tried again, and "
                "all are when the label config or the options of the import have.",
                counted(self._earlier, "object or row", "objects or rows"),
                f", such as {self._earliest}" if self._earliest else "",
                FAILURES_SHOWN,
            )
