"""What a run puts in quarantine, told once a reason: a line for each of forty pictures is read by nobody."""

import logging
import re
from dataclasses import dataclass, field

from labelsync_provider.sync.report import Failure

NAMED = 3
"""Objects or rows that are named for a reason."""
REASONS = 30
"""Reasons that are told apart. What comes after these is counted."""
# What is quoted, and a word with a digit in it, is the row's own; what is left of a reason is the same for many rows.
OF_THE_ROW = re.compile(r"'[^']*'|\"[^\"]*\"|[\w.,:]*\d[\w.,:]*")


@dataclass
class _Reason:
    first: str
    """As it is said of the first of them."""
    objects: int = 0
    rows: int = 0
    named: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = [
            f"{n:,} {what}{'' if n == 1 else 's'}" for n, what in ((self.objects, "object"), (self.rows, "row")) if n
        ]
        return f"{' and '.join(counts)}: {self.first.rstrip('.')}. Such as {', '.join(self.named)}"


class SetAside:
    """What a run has put in quarantine, by the reason. Its size has a bound, whatever the reasons are."""

    def __init__(self) -> None:
        self.objects = 0
        """In quarantine as a whole or in part, those of earlier runs included."""
        self._reasons: dict[str, _Reason] = {}
        self._others = _Reason("for other reasons, which the report and the table labelsync_quarantine name")

    def note(self, failure: Failure) -> None:
        """Note one more object or row."""
        alike = OF_THE_ROW.sub("", failure.reason)[:200]
        reason = self._reasons.get(alike)
        if reason is None:
            if len(self._reasons) < REASONS:
                reason = self._reasons[alike] = _Reason(failure.reason)
            else:
                reason = self._others
        reason.objects += failure.row is None
        reason.rows += failure.row is not None
        if len(reason.named) < NAMED:
            reason.named.append(failure.key if failure.row is None else f"{failure.key}, row {failure.row}")

    def lines(self) -> list[str]:
        """Return a sentence for each reason, those of the most first."""
        reasons = sorted(self._reasons.values(), key=lambda reason: -reason.objects - reason.rows)
        return [str(reason) for reason in (*reasons, self._others) if reason.named]

    def log(self, log: logging.Logger) -> None:
        """Log a warning for each reason."""
        for line in self.lines():
            log.warning("Quarantined %s", line)
