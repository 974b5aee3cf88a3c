"""What a target may be, and what stands in it: all of it is looked at before the first write."""

import logging
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

from labelsync_provider.errors import Denied, Invalid, NotFound, StoragesOverlap, TargetOccupied
from labelsync_provider.storages.location import Location
from labelsync_provider.storages.protocol import ObjectInfo, Page
from labelsync_provider.sync.annotation_files import LONGEST_NOTE, Note, Written, check_note, recognised
from labelsync_provider.sync.compare import compare
from labelsync_provider.sync.exporting.state import ExportRun
from labelsync_provider.sync.ledger.records import GONE, ExportTarget, KnownExport
from labelsync_provider.sync.progress import Progress
from labelsync_provider.sync.report import Failure

log = logging.getLogger(__name__)

FOREIGN_SHOWN = 5
READ_WHOLE = 64 * 1024
"""Objects of so many bytes are read at once; of larger ones the note first."""
PROBED_AT_ONCE = 32


# --- decide ---


def nested(target: Location, known: Sequence[ExportTarget]) -> list[ExportTarget]:
    """Return the other targets of a project that lie within one, or that it lies within."""
    return [one for one in known if one.location.start != target.start and one.location.is_nested(target)]


def is_other_export(note: Note, known: ExportTarget) -> bool:
    """Tell whether what was exported to the same target was made otherwise."""
    return known.layout is not None and (known.layout, known.key_template) != (note.layout, note.key_template)


def is_folder_marker(info: ObjectInfo) -> bool:
    """Tell whether an object is what tools leave to show a folder."""
    return info.size == 0 and info.key.endswith("/") and not info.problem


# --- other exports ---


def refuse_sources(run: ExportRun) -> None:
    """Make sure that no tasks are imported from where the target is.

    :raises StoragesOverlap: they are.
    """
    target = run.target
    for source in run.ledger.storages("source"):
        # A database is shared as a whole.
        same = source.endpoint == target.location.endpoint
        if source.is_nested(target.location) if target.holds_files else same:
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
            f"target={run.target.uri!r}: project {run.project.title!r} is exported to {other.location.root or '/'!r} "
            f"there, and neither target may lie in the other: each holds nothing but its own export. Choose a target "
            "beside it. An export whose objects are all deleted is in nobody's way."
        )


def forget_exports_without_objects(run: ExportRun) -> None:
    """Forget the exports to nested targets of which no object is left."""
    for other in nested(run.target.location, run.ledger.targets()):
        if not _has_objects(run, other):
            log.info("%s holds no object of an earlier export any more: it is forgotten.", other.location.root or "/")
            run.ledger.forget_target(other)


def _has_objects(run: ExportRun, other: ExportTarget) -> bool:
    for page in run.ledger.exports_to(other):
        for start in range(0, len(page), PROBED_AT_ONCE):
            probes = [run.pool.submit(run.target.has, known.path) for known in page[start : start + PROBED_AT_ONCE]]
            if any(run.runtime.stop.result(probe) for probe in probes):
                return True
    return False


def earlier_export(run: ExportRun) -> ExportTarget | None:
    """Return what was exported to this target with another layout or key template, if that is known."""
    here = (known for known in run.ledger.targets() if known.location.start == run.target.location.start)
    return next((known for known in here if is_other_export(run.note, known)), None)


# --- look ---


def look_at_target(run: ExportRun) -> bool:
    """Bring the ledger in step with what stands in the target.

    :returns: whether some of it was exported with another layout or key template.
    :raises TargetOccupied: something there is not the exporter's.
    """
    ledger, progress, seen = run.ledger, Progress(log, run.runtime.monotonic), 0
    earlier, known_objects, others = earlier_export(run), False, False
    for differences in compare(
        _objects(run.target.list()), run.target.location, _is_unchanged, ledger.exports_between, ledger.exports_at
    ):
        if lost := [known for known in differences.missing if known.state != GONE]:
            if any(known.version for known in lost):
                log.warning("%d objects written earlier are gone from the target, such as %s.", len(lost), lost[0].path)
            # Their tasks are read again, in this run or, should it end here, in the next.
            ledger.enter_exports([KnownExport(known.path, "", "", known.task) for known in lost])
        ledger.enter_exports([], [known.path for known in differences.missing if known.state == GONE])
        seen += len(differences.unchanged) + len(differences.fresh)
        known_objects |= bool(differences.unchanged)
        if progress.is_due():
            progress.say(seen, "objects of the target looked at")
        if differences.fresh:
            ours = _verified(run, differences.fresh)
            known_objects |= any(found.is_known for found in ours)
            for other in {found.other for found in ours if found.other}:
                # The ledger has lost it: it is entered as the export that it is, which stands in this one's way.
                ledger.enter_target(other.layout, other.key_template, lambda _: None)
                others = True
            ledger.enter_exports([found.export for found in ours])
    if earlier and not (known_objects or others):
        log.info("%s holds no object of the earlier export any more: it is forgotten.", run.target.uri)
        return False
    return others or earlier is not None


class _Ours(NamedTuple):
    """An object in the target that this exporter wrote."""

    export: KnownExport
    is_known: bool
    """Whether the ledger knew of it."""
    other: Note | None = None
    """Its note, if that names another layout or key template."""


def _objects(listing: Iterator[Page]) -> Iterator[Page]:
    for page in listing:
        yield [info for info in page if not is_folder_marker(info)]


def _verified(run: ExportRun, fresh: Sequence[tuple[str, ObjectInfo, KnownExport | None]]) -> list[_Ours]:
    """Return the objects as the ledger would know them, if all of them are of exports of the project."""
    ours, foreign = [], []
    looks = [run.pool.submit(_looked_at, run, info, known) for _, info, known in fresh]
    for (path, info, known), looked_at in zip(fresh, looks, strict=True):
        found = run.runtime.stop.result(looked_at)
        if isinstance(found, str):
            foreign.append(Failure(info.key, None, found))
        elif found is not None:
            digest, written = found
            if written is None and known is not None:
                export = KnownExport(path, info.version, digest, known.task, annotations=known.annotations)
                ours.append(_Ours(export, True))
            elif written is not None:
                export = KnownExport(path, info.version, digest, written.task, annotations=written.annotations)
                ours.append(_Ours(export, known is not None, written.note if written.note != run.note else None))
    if foreign:
        shown = "; ".join(map(str, foreign[:FOREIGN_SHOWN]))
        raise TargetOccupied(
            f"target={run.target.uri!r} holds objects that this exporter did not write for project "
            f"{run.project.title!r}: {shown}{' ...' if len(foreign) > FOREIGN_SHOWN else ''}. Nothing was "
            "written. Move them away, or choose a target of its own for this project."
        )
    return ours


def _looked_at(run: ExportRun, info: ObjectInfo, known: KnownExport | None) -> tuple[str, Written | None] | str | None:
    """Return an object's digest, with what it is unless that is known; or why it is foreign; None if it is gone."""
    if info.problem:
        return info.problem
    try:
        if info.size > READ_WHOLE and known is None:
            check_note(run.target.read_start(info.key, LONGEST_NOTE), run.note)
        content = run.target.read(info.key, version=info.version)
        digest = digest_of(content)
        if known and digest in (known.digest, known.intended):
            return digest, None
        return digest, recognised(info.key.removeprefix(run.target.location.prefix), content, run.note)
    except NotFound:
        return None
    except (Invalid, Denied) as error:
        return str(error)


def _is_unchanged(info: ObjectInfo, known: KnownExport) -> bool:
    return known.version == info.version


def digest_of(content: bytes) -> str:
    """Return what tells one content from another."""
    return sha256(content).hexdigest()
