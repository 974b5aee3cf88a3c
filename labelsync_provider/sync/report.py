"""Reports: the result of one sync."""

from dataclasses import asdict, dataclass, field
from typing import Any

FAILURES_SHOWN = 20
"""Failures that a report names; the others are counted."""


@dataclass(frozen=True)
class Failure:
    """An object, or a row of it, that could not be imported or exported."""

    key: str
    row: int | None
    """Counted from 0; None for the object as a whole."""
    reason: str

    def __str__(self) -> str:
        return f"{self.key}{'' if self.row is None else f', row {self.row}'}: {self.reason.rstrip('.')}"


@dataclass
class ImportReport:
    """What an import did. Objects and rows are counted as the fields say; `bytes_read` in bytes.

    A blob is one row. `unchanged`, `new`, `changed` and `missing` count rows, which is to say tasks.
    """

    listed: int = 0
    """Objects in the source."""
    matched: int = 0
    """Of these, those that pass `regex_filter`; folder markers do not count."""
    unchanged: int = 0
    new: int = 0
    changed: int = 0
    missing: int = 0
    """Rows imported earlier that are in the source no more, because of their object or by themselves."""
    adopted: int = 0
    """Tasks that the project had already, and that are known from now on."""
    gone: int = 0
    """Objects that vanished between listing and reading."""
    tasks_created: int = 0
    tasks_updated: int = 0
    tasks_deleted: int = 0
    annotators_unknown: int = 0
    """Annotations that were imported, or would be, under another name, as the project does not know their annotator."""
    quarantined: int = 0
    """Objects and rows in quarantine, those of earlier runs included."""
    bytes_read: int = 0
    seconds: float = 0.0
    created_ids: list[int] = field(default_factory=list)
    """The lowest and the highest id of the tasks created; empty if there are none."""
    quarantine: list[Failure] = field(default_factory=list)
    """The first of them."""

    def quarantined_as(self, failure: Failure) -> bool:
        """Count a quarantined object or row; keep the first by name, and tell whether this is one of them."""
        self.quarantined += 1
        shown = len(self.quarantine) < FAILURES_SHOWN
        if shown:
            self.quarantine.append(failure)
        return shown

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, as Airflow's XCom takes it."""
        return asdict(self)

    def __str__(self) -> str:
        return _in_words(self, "listed")


@dataclass
class ExportReport:
    """What an export did; `bytes_written` in bytes."""

    annotations: int = 0
    """Annotations in the project that the export covers."""
    written: int = 0
    """Objects written, and confirmed by the target."""
    unchanged: int = 0
    deleted: int = 0
    """Of the objects that are gone, those deleted from the target."""
    gone: int = 0
    """Objects in the target whose annotation is gone, or that have another key now."""
    failed: int = 0
    """Objects that could not be written."""
    bytes_written: int = 0
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)
    """The first of them."""

    def failed_as(self, failure: Failure) -> None:
        """Count a failed object, and keep the first by name."""
        self.failed += 1
        if len(self.failures) < FAILURES_SHOWN:
            self.failures.append(failure)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, as Airflow's XCom takes it."""
        return asdict(self)

    def __str__(self) -> str:
        return _in_words(self, "annotations")


def _in_words(report: ImportReport | ExportReport, always: str) -> str:
    """Return the counts on one line, leaving out what is 0, but for one count that is always said."""
    counts = {name: value for name, value in asdict(report).items() if isinstance(value, int)}
    said = [f"{name.replace('_', ' ')} {value:,}" for name, value in counts.items() if value or name == always]
    return ", ".join(said) + (f" in {report.seconds:.1f} s" if report.seconds else "")
