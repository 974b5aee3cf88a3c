"""Writing to the target, and deleting from it: announced in the ledger before, entered after."""

import logging
from collections import deque
from collections.abc import Sequence
from itertools import chain
from typing import NoReturn

from msgspec.structs import replace

from labelsync_provider.errors import (
    AlreadyThere,
    Denied,
    EmptyListing,
    Invalid,
    NotFound,
    Unavailable,
    UploadsFailed,
    counted,
)
from labelsync_provider.in_flight import AHEAD
from labelsync_provider.storages.protocol import MOST_BYTES
from labelsync_provider.sync.exporting.planning import Plan, RenderedFile
from labelsync_provider.sync.exporting.state import ExportRun
from labelsync_provider.sync.ledger.records import KnownExport
from labelsync_provider.sync.report import FAILURES_SHOWN, Failure
from labelsync_provider.uris import printable

log = logging.getLogger(__name__)

HOPELESS = 20
"""If of so many objects none can be written, no other will be. A few bad ones do not keep the others out."""
OUTAGE_SECONDS = 1.0
"""An upload that failed sooner was refused, not tried again."""


Write = tuple[RenderedFile, KnownExport | None]
"""A file, with what is known of the object that it overwrites; None: a new one is created."""


class Writer:
    """Carries out plans, until nothing can be written any more. Some are written while the next is made."""

    def __init__(self, run: ExportRun) -> None:
        self._run = run
        self._calls = run.calls(self._write)
        self._plans: deque[list[Write]] = deque()
        """Writes that were announced and not entered yet."""
        self._outcomes: list[str | Failure] = []
        """Of the first of these plans."""
        self._paths: set[str] = set()
        """Of all of them."""
        self._in_vain = 0
        """Objects in a row that were planned, and of which none could be written."""
        self._last_written: float | None = None
        self._outage = False

    @property
    def on_the_way(self) -> int:
        """How many objects are being written, and not entered yet."""
        return sum(map(len, self._plans))

    def is_at(self, files: Sequence[RenderedFile]) -> bool:
        """Tell whether one of the files is on its way to the target already."""
        return not self._paths.isdisjoint(file.path for file in files)

    def carry_out(self, plan: Plan) -> None:
        """Announce what is to be written, and begin to write it; what cannot be is counted by name.

        :raises UploadsFailed: nothing of much could be written.
        """
        while self._plans and (self._calls.has_come or self._are_enough(len(plan.write))):
            self._take()
        # Announced first: what a killed run has written is known to be the exporter's, whatever becomes of the
        # annotation meanwhile.
        announced = [_announced(rendered, known) for rendered, known in plan.write]
        self._run.ledger.enter_exports([*plan.restamp, *announced])
        if not plan.write:
            return
        self._plans.append(plan.write)
        self._paths.update(rendered.path for rendered, _ in plan.write)
        for write in plan.write:
            while not self._calls.has_room(write[0].size):
                self._take()
            self._calls.add(write, write[0].size)

    def _are_enough(self, more: int) -> bool:
        """Tell whether as many are on their way as there should be before some more are announced.

        Until one was written it may be that none can be, and those that were planned first tell.
        """
        return self._last_written is None or (len(self._plans) > 1 and self.on_the_way + more > AHEAD)

    def finish(self) -> None:
        """Wait for all that is being written, and enter it.

        :raises UploadsFailed: nothing of much could be written.
        """
        while self._plans:
            self._take()

    def close(self) -> None:
        """Begin none of the writes that are left."""
        self._calls.drop()

    def _take(self) -> None:
        """Take what became of one write; enter the plan if it was its last.

        :raises UploadsFailed: nothing of much could be written.
        """
        self._outcomes.append(self._calls.take())
        if len(self._outcomes) < len(self._plans[0]):
            return
        plan, outcomes = self._plans.popleft(), self._outcomes
        self._outcomes = []
        written = self._enter(plan, outcomes)
        self._in_vain = 0 if written else self._in_vain + len(plan)
        if self._outage or self._in_vain >= HOPELESS:
            self._give_up(written, self._in_vain or len(plan))

    def _enter(self, plan: Sequence[Write], outcomes: Sequence[str | Failure]) -> int:
        """Enter what was written, and count what was not; return how many were."""
        report, written = self._run.report, []
        for (rendered, _), outcome in zip(plan, outcomes, strict=True):
            if isinstance(outcome, Failure):
                report.failed_as(outcome)
                if report.failed <= FAILURES_SHOWN:
                    log.warning("Not written: %s", outcome)
            else:
                report.written += 1
                report.bytes_written += rendered.size
                written.append(_entered(rendered, outcome, self._run.number))
        self._run.ledger.enter_exports(written)
        self._paths.difference_update(rendered.path for rendered, _ in plan)
        return len(written)

    def _give_up(self, written: int, planned: int) -> NoReturn:
        """End, with what is on its way already entered.

        :param written: how many of the last objects.
        :param planned: how many these were: those that were planned together, or all since one could be written.
        :raises UploadsFailed: always.
        """
        run, before = self._run, self._run.report.written - written
        self._calls.drop()
        begun = list(chain.from_iterable(self._plans))[: len(self._calls)]
        self._enter(begun, [self._calls.take() for _ in begun])
        raise UploadsFailed(
            f"{written or 'None'} of {counted(planned, 'object')} could be written to {run.target.uri}; "
            f"{before:,} were before. {'; '.join(map(str, run.report.failures[:3]))}. Report: {run.report}"
        )

    def _write(self, write: Write) -> str | Failure:
        """Return the version of the object, or why it was not written."""
        rendered, known = write
        key, monotonic = rendered.file.key, self._run.runtime.monotonic
        if self._outage:
            return Failure(key, None, "not tried: nothing could be written any more")
        if rendered.size > MOST_BYTES:
            return Failure(
                key, None, f"it would have {rendered.size:,} bytes, and none of more than {MOST_BYTES:,} is read"
            )
        began = monotonic()
        try:
            version = self._run.target.write(key, rendered.file.encode(), create=_is_new(known))
        except (AlreadyThere, Invalid, NotFound, Denied, Unavailable) as error:
            if isinstance(error, Unavailable) and began + OUTAGE_SECONDS < monotonic():
                # It was tried again and again; if nothing else got through meanwhile, no other will be.
                self._outage |= self._last_written is None or self._last_written < began
            return Failure(key, None, str(error))
        self._last_written = monotonic()
        return version


def _is_new(known: KnownExport | None) -> bool:
    """Tell whether an object is created, not overwritten: nothing known stands there, but somebody else's may."""
    return not (known and known.version)


def _announced(rendered: RenderedFile, known: KnownExport | None) -> KnownExport:
    file = rendered.file
    there = known or KnownExport(rendered.path, "", "", file.task)
    return replace(there, intended=rendered.digest, state="", task=file.task, annotations=file.annotations)


def _entered(rendered: RenderedFile, version: str, written_by: int) -> KnownExport:
    file, stamp = rendered.file, rendered.stamp
    return KnownExport(rendered.path, version, rendered.digest, file.task, "", stamp, file.annotations, written_by)


def delete_gone(run: ExportRun, *, empties: bool) -> None:
    """Count objects whose annotation is gone, which the ledger announces; delete them if allowed.

    :param empties: whether nothing of the project is, or will be, in the target then.
    :raises EmptyListing: it would be emptied.
    """
    report = run.report
    for gone in run.ledger.exports_gone():
        report.gone += len(gone)
        if not run.options.can_delete_objects:
            log.warning(
                "%s: what was written of annotations that are not exported any more stays: %s, such as %s. "
                "can_delete_objects=True deletes it.",
                run.target.uri,
                counted(len(gone), "object"),
                printable(gone[0].path),
            )
        # After a failed upload nothing is deleted: what is to be replaced would be gone first.
        if not run.options.can_delete_objects or report.failed:
            continue
        if empties:
            raise EmptyListing(
                f"Project {run.project.title!r} has no annotation to export, though {run.target.uri} holds exported "
                f"ones, such as {gone[0].path}. Nothing was deleted. Is it the right project, and include_cancelled "
                "as it should be? If so, empty the target."
            )
        _delete(run, gone)


def _delete(run: ExportRun, gone: Sequence[KnownExport]) -> None:
    run.confirm()
    run.target.delete([run.target.location.key(known.path) for known in gone])
    run.ledger.enter_exports([], [known.path for known in gone])
    run.report.deleted += len(gone)
