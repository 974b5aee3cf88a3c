"""Reports: the result of one sync."""

import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from labelsync_provider.storages.protocol import Priced, Target
from labelsync_provider.uris import printable

FAILURES_SHOWN = 20
"""Failures that a report names; the others are counted."""
ON_ONE_LINE = 7
"""Counts that are read at a glance."""


@dataclass(frozen=True)
class Failure:
    """An object, or a row of it, that could not be imported or exported."""

    key: str
    """Escaped, as a log may have it."""
    row: int | None
    """Counted from 0; None for the object as a whole."""
    reason: str

    def __post_init__(self) -> None:
        # Whoever writes into the source chooses keys, and a report is shown.
        for name in ("key", "reason"):
            object.__setattr__(self, name, printable(getattr(self, name)))

    def __str__(self) -> str:
        return f"{self.key}{'' if self.row is None else f', row {self.row}'}: {self.reason.rstrip('.')}"


@dataclass
class ImportReport:
    """What an import did. Objects and rows are counted as the fields say; `bytes_read` in bytes.

    A blob is one row. `unchanged`, `new`, `changed` and `missing` count rows, which is to say tasks.
    """

    dry_run: bool = False
    """Whether nothing was written, and the report is of what would happen."""
    listed: int = 0
    """Objects in the source."""
    matched: int = 0
    """Of these, those that pass `regex_filter`; markers do not count."""
    markers: int = 0
    """Those that pass, and are what tools leave beside files: folder markers, `_SUCCESS`, objects of no bytes. They are
    skipped. One that had tasks before it became empty is in quarantine instead."""
    unchanged: int = 0
    new: int = 0
    changed: int = 0
    missing: int = 0
    """Rows imported earlier that are in the source no more, because of their object or by themselves."""
    deleted_by_hand: int = 0
    """Tasks imported from this source earlier that are in the project no more, whether their row is in the source or
    not. They are looked for when the project has fewer tasks than after the last import, and once a day; else this is
    0, as it is with `restore_deleted`."""
    adopted: int = 0
    """Tasks that the project had already, and that are known from now on."""
    adopted_sharing: int = 0
    """Tasks that show the object, or have the data of the row and are known to be of its file, for which another one
    stands; they stay as they are."""
    not_restored: int = 0
    """Objects and rows whose tasks somebody has deleted after Label Studio's own sync had made them."""
    gone: int = 0
    """Objects that vanished between listing and reading."""
    tasks_created: int = 0
    tasks_updated: int = 0
    tasks_deleted: int = 0
    annotators_unknown: int = 0
    """Annotations that were imported, or would be, under another name, as the project does not know their annotator."""
    ignored_keys: int = 0
    """Keys of rows, beside `data`, that mean nothing to an import and were left out; the log names them."""
    quarantined: int = 0
    """Objects and rows in quarantine, those of earlier runs included."""
    quarantined_now: int = 0
    """Of these, those that this run has tried."""
    bytes_read: int = 0
    requests: dict[str, int] = field(default_factory=dict)
    """By kind: what is done to a storage (`list`, `read`, `sign`), or method and path at a server. Each attempt is one.
    Of local files, each page and each file is one; of Redis, each whole scan, and each batch of values."""
    seconds: float = 0.0
    created_ids: list[int] = field(default_factory=list)
    """The lowest and the highest id of the tasks created; empty if there are none."""
    quarantine: list[Failure] = field(default_factory=list)
    """The first `FAILURES_SHOWN` of what is in quarantine."""
    not_restored_rows: list[Failure] = field(default_factory=list)
    """The first `FAILURES_SHOWN` of those that were not restored."""

    @property
    def is_full(self) -> bool:
        """Whether no more of the quarantine is named."""
        return len(self.quarantine) >= FAILURES_SHOWN

    def quarantined_as(self, failure: Failure | None) -> None:
        """Count a quarantined object or row, and keep the first by name.

        :param failure: None if it would not be kept.
        """
        self.quarantined += 1
        self.quarantined_now += 1
        if failure and not self.is_full:
            self.quarantine.append(failure)

    def not_restored_as(self, row: Failure) -> None:
        """Count an object or row whose task somebody has deleted, and keep the first by name."""
        self.not_restored += 1
        if len(self.not_restored_rows) < FAILURES_SHOWN:
            self.not_restored_rows.append(row)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, as Airflow's XCom takes it."""
        return asdict(self)

    def __str__(self) -> str:
        return _in_words(self)


def summed(reports: Iterable[ImportReport]) -> dict[str, Any]:
    """Return the sums of what several imports have counted, and the lowest and the highest id of all their tasks.

    What names objects is not among them, as a key says which is meant only beside its source; nor is what is no number.
    """
    sums: dict[str, Any] = ImportReport().as_dict()
    del sums["quarantine"], sums["not_restored_rows"], sums["dry_run"]
    for report in reports:
        for name, value in report.as_dict().items():
            if isinstance(value, int | float) and name in sums:
                sums[name] += value
            elif isinstance(value, dict):
                sums[name] = {kind: sums[name].get(kind, 0) + value.get(kind, 0) for kind in {**sums[name], **value}}
        ids = [*sums["created_ids"], *report.created_ids]
        sums["created_ids"] = [min(ids), max(ids)] if ids else []
    return sums


@dataclass
class ExportReport:
    """What an export did; `bytes_written` in bytes."""

    dry_run: bool = False
    """Whether nothing was written, and the report is of what would happen."""
    annotations: int = 0
    """Annotations in the project that the export covers."""
    annotations_told: int = 0
    """How many the project counts: another number if its counts are wrong, or somebody has annotated meanwhile."""
    annotated_tasks: int = 0
    """Tasks that have one of these."""
    tasks: int = 0
    """Tasks in the project."""
    written: int = 0
    """Objects written, and confirmed by the target."""
    unchanged: int = 0
    """Objects that were in step already."""
    deleted: int = 0
    """Of the objects that are gone, those deleted from the target."""
    gone: int = 0
    """Objects in the target whose annotation is gone, or that were exported with another layout or key template."""
    failed: int = 0
    """Objects that could not be written."""
    bytes_written: int = 0
    requests: dict[str, int] = field(default_factory=dict)
    """By kind: what is done to a storage (`list`, `read`, `write`, `delete`), or method and path at a server."""
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)
    """The first `FAILURES_SHOWN` of the objects that could not be written."""

    def failed_as(self, failure: Failure) -> None:
        """Count a failed object, and keep the first by name."""
        self.failed += 1
        if len(self.failures) < FAILURES_SHOWN:
            self.failures.append(failure)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, as Airflow's XCom takes it."""
        return asdict(self)

    def __str__(self) -> str:
        return _in_words(self)


def log_report(
    log: logging.Logger, title: str, report: ImportReport | ExportReport, storage: Target, in_flight: int
) -> None:
    """Log a report: on one line if it is short, else one thing a line.

    :param storage: the source or the target; what its requests cost is said, if it has prices.
    :param in_flight: how many requests to it were in flight at once, if they were several.
    """
    counts = _counts(report)
    if len(counts) <= ON_ONE_LINE:
        log.info("%s: %s.", title, ", ".join(counts))
    else:
        log.info("%s:", title)
        for count in counts:
            log.info("  %s", count)
    requests = sorted(report.requests.items(), key=lambda one: (-one[1], one[0]))
    said = ", ".join(f"{kind} {count:,}" for kind, count in requests) or "none"
    prices = storage.prices if isinstance(storage, Priced) else None
    cost = f" ({prices.in_words(report.requests)})" if prices else ""
    log.info("  requests: %s%s%s", said, cost, f"; up to {in_flight:,} in flight at once" if in_flight > 1 else "")


def _in_words(report: ImportReport | ExportReport) -> str:
    dry = "of a dry run, nothing was written: " if report.dry_run else ""
    return dry + ", ".join(_counts(report)) + (f" in {report.seconds:.1f} s" if report.seconds else "")


def _counts(report: ImportReport | ExportReport) -> list[str]:
    """Return the counts, leaving out what is 0, but for the first, which is always said."""
    said = asdict(report)
    if said.get("annotations_told") == said.get("annotations"):
        said.pop("annotations_told", None)  # it is news only where it is another number
    counts = [(name, value) for name, value in said.items() if type(value) is int]
    return [f"{name.replace('_', ' ')} {value:,}" for n, (name, value) in enumerate(counts) if value or not n]
