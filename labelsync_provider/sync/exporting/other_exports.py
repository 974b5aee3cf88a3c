"""Whose a target is: no source's, and no other export's of the project."""

import logging
from collections.abc import Sequence
from contextlib import closing

from labelsync_provider.errors import LeaseHeld, StoragesOverlap
from labelsync_provider.formats.annotations.note import Note
from labelsync_provider.in_flight import in_order
from labelsync_provider.storages.location import Location
from labelsync_provider.sync.exporting.state import ExportRun
from labelsync_provider.sync.ledger.records import ExportTarget

log = logging.getLogger(__name__)


def nested(target: Location, known: Sequence[ExportTarget]) -> list[ExportTarget]:
    """Return the other targets of a project that lie within one, or that it lies within."""
    here = (target.endpoint, target.start)
    return [
        one for one in known if (one.location.endpoint, one.location.start) != here and one.location.is_nested(target)
    ]


def is_other_export(note: Note, known: ExportTarget) -> bool:
    """Tell whether what was exported to the same target was made otherwise."""
    return known.layout is not None and (known.layout, known.key_template) != (note.layout, note.key_template)


def refuse_sources(run: ExportRun) -> None:
    """Make sure that no tasks are imported from where the target is.

    :raises StoragesOverlap: they are.
    """
    target = run.target
    for source in run.ledger.storages("source"):
        if target.location.overlaps(source):
            raise StoragesOverlap(
                f"target={target.uri!r}: tasks of project {run.project.title!r} are imported from "
                f"{source.root or '/'!r} there, where annotations would come back as tasks. Choose another target."
            )


def refuse_nested(run: ExportRun, known: Sequence[ExportTarget]) -> None:
    """Make sure that no other export of the project goes to a part of this target, or to where it is a part of.

    :raises StoragesOverlap: one does.
    """
    for other in nested(run.target.location, known):
        raise StoragesOverlap(
            f"target={run.target.uri!r}: project {run.project.title!r} is exported to {other.location.uri}. Neither of "
            "two targets may lie in the other: each holds nothing but its own export. Choose a target beside it. An "
            "export whose objects are all deleted is in nobody's way, once no run of it has its lease: one that was "
            "killed has it for a minute or so."
        )


def forget_what_is_no_more(run: ExportRun) -> None:
    """Forget nested exports of which no object is left, and what is known of this target if it is another export's.

    :raises StoragesOverlap: a nested export stays.
    """
    for other in nested(run.target.location, run.ledger.targets()):
        if _is_dead(run, other):
            log.info("%s holds no object of an earlier export any more: it is forgotten.", other.location.uri)
            run.ledger.forget_target(other.location)
    refuse_nested(run, run.ledger.targets())
    here = known_here(run)
    if here is None or here.location.endpoint != run.this.location.endpoint:
        # Left by a run that was refused, or known of another place of this name.
        run.ledger.forget_target(run.target.location)


def _is_dead(run: ExportRun, other: ExportTarget) -> bool:
    """Tell whether a nested export has no object any more, and is not about to write some."""
    if other.location.endpoint != run.target.location.endpoint:
        return False  # its paths are not those of this target
    try:
        with run.lease_of(other.location):
            return not _has_objects(run, other)
    except LeaseHeld:
        return False


def _has_objects(run: ExportRun, other: ExportTarget) -> bool:
    for page in run.ledger.exports_to(other):
        with closing(in_order(run.calls(run.target.has), [known.path for known in page])) as probes:
            if any(probes):
                return True
    return False


def known_here(run: ExportRun) -> ExportTarget | None:
    """Return what the ledger says was exported to the same path, if anything."""
    start = run.target.location.start
    return next((known for known in run.ledger.targets() if known.location.start == start), None)
