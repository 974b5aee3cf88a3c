"""Writing to the target, and deleting from it: announced in the ledger before, entered after."""

import logging
from collections.abc import Sequence

from msgspec.structs import replace

from labelsync_provider.errors import (
    AlreadyThere,
    Denied,
    EmptyListing,
    Invalid,
    NotFound,
    Unavailable,
    UploadsFailed,
)
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


class Writer:
    """Carries out plans, until nothing can be written any more."""

    def __init__(self, run: ExportRun) -> None:
        self._run = run
        self._last_written = 0.0
        self._outage = False

    def carry_out(self, plan: Plan) -> None:
        """Write what is to be written; what cannot be is counted by name.

        :raises UploadsFailed: nothing of much could be written.
        """
        ledger, report = self._run.ledger, self._run.report
        # Announced first: what a killed run has written is known to be the exporter's, whatever becomes of the
        # annotation meanwhile.
        ledger.enter_exports([*plan.restamp, *(_announced(rendered, known) for rendered, known in plan.write)])
        if not plan.write:
            return
        # What the ledger does not know to stand there is created, not overwritten: somebody else may have come since.
        answers = [
            self._run.pool.submit(self._write, rendered, create=not (known and known.version))
            for rendered, known in plan.write
        ]
        written = []
        for (rendered, _), answer in zip(plan.write, answers, strict=True):
            outcome = self._run.runtime.stop.result(answer)
            if isinstance(outcome, Failure):
                report.failed_as(outcome)
                if report.failed <= FAILURES_SHOWN:
                    log.warning("Not written: %s", outcome)
            else:
                report.written += 1
                report.bytes_written += rendered.size
                written.append(_entered(rendered, outcome, self._run.number))
        ledger.enter_exports(written)
        if self._outage or (not written and len(plan.write) >= HOPELESS):
            raise UploadsFailed(
                f"{len(written) or 'None'} of {len(plan.write):,} objects could be written to {self._run.target.uri}; "
                f"{report.written - len(written):,} were before. {'; '.join(map(str, report.failures[:3]))}. "
                f"Report: {report}"
            )

    def _write(self, rendered: RenderedFile, *, create: bool) -> str | Failure:
        """Return the version of the object, or why it was not written."""
        key, monotonic = rendered.file.key, self._run.runtime.monotonic
        if self._outage:
            return Failure(key, None, "not tried: nothing could be written any more")
        if rendered.size > MOST_BYTES:
            return Failure(
                key, None, f"it would have {rendered.size:,} bytes, and none of more than {MOST_BYTES:,} is read"
            )
        began = monotonic()
        try:
            version = self._run.target.write(key, rendered.file.encode(), create=create)
        except (AlreadyThere, Invalid, NotFound, Denied, Unavailable) as error:
            if isinstance(error, Unavailable) and began + OUTAGE_SECONDS < monotonic():
                # It was tried again and again; if nothing else got through meanwhile, no other will be.
                self._outage |= self._last_written < began
            return Failure(key, None, str(error))
        self._last_written = monotonic()
        return version


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
                "%s: %d objects are of annotations that are not exported any more, such as %s. They stay; "
                "can_delete_objects=True deletes them.",
                run.target.uri,
                len(gone),
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
