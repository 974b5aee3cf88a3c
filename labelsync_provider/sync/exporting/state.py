"""What the steps of one export share."""

from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeVar

from labelsync_provider.formats.annotations.files import AnnotationFile
from labelsync_provider.formats.annotations.key_template import KeyRenderer
from labelsync_provider.formats.annotations.note import Note
from labelsync_provider.in_flight import InFlight
from labelsync_provider.projects.protocol import Annotated
from labelsync_provider.request_limit import Limit
from labelsync_provider.storages.location import Location
from labelsync_provider.storages.protocol import Target
from labelsync_provider.sync.exporting.options import ExportOptions
from labelsync_provider.sync.ledger.exports import ExportLedger
from labelsync_provider.sync.ledger.records import ExportCounts, ExportTarget
from labelsync_provider.sync.report import ExportReport
from labelsync_provider.sync.runtime import Runtime

I = TypeVar("I")  # noqa: E741
R = TypeVar("R")


@dataclass
class ExportRun:
    """One export, from beginning to end."""

    project: Annotated
    target: Target
    ledger: ExportLedger
    options: ExportOptions
    note: Note
    render_key: KeyRenderer
    confirm: Callable[[], None]
    """Makes sure that the lease is still this run's."""
    lease_of: Callable[[Location], AbstractContextManager[object]]
    """Returns the lease of another target; it is not waited for."""
    number: int
    """The fencing number."""
    runtime: Runtime
    pool: Executor
    """Reads from the target, and writes to it."""
    limit: Limit
    """How many requests to the target may be in flight."""
    report: ExportReport

    @property
    def this(self) -> ExportTarget:
        """What is exported, where and how."""
        note = self.note
        return ExportTarget(self.target.location.at_start(), note.layout, note.key_template, note.project_created_at)

    @property
    def settings(self) -> str:
        """What decides which objects a task makes."""
        return repr((self.note.layout, self.note.key_template, self.options.include_cancelled))

    def calls(self, function: Callable[[I], R]) -> InFlight[I, R]:
        """Return who calls a function that sends requests to the target."""
        return InFlight(function, self.limit, self.pool, self.runtime.stop, self.runtime.monotonic)

    def key(self, **ids: int) -> str:
        """Return the key of an object."""
        return self.target.location.prefix + self.render_key(**ids)

    def path(self, file: AnnotationFile) -> str:
        """Return the path of a file in the target."""
        return self.target.location.path(file.key)

    def counts(self) -> ExportCounts:
        """Return what is exported here, as the ledger has it."""
        return self.ledger.counts(self.number)

    def account(self, annotations_told: int, tasks: int) -> None:
        """Count what is in step.

        :param annotations_told: how many annotations the export covers, by the project's counts.
        :param tasks: all that the project has.
        """
        report, counts = self.report, self.counts()
        report.tasks, report.annotated_tasks = tasks, counts.tasks
        report.annotations, report.annotations_told = counts.annotations, annotations_told
        report.unchanged = counts.unchanged
