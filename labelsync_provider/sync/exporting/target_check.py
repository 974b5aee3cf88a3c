"""What stands in a target: all of it is looked at before the first write."""

import logging
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

from msgspec.structs import replace

from labelsync_provider.errors import Denied, Invalid, NotFound, TargetOccupied
from labelsync_provider.formats.annotations.files import Written, recognised
from labelsync_provider.formats.annotations.note import LONGEST_NOTE, Note, check_note
from labelsync_provider.in_flight import in_order
from labelsync_provider.storages.protocol import ObjectInfo, Page
from labelsync_provider.sync.compare import compare
from labelsync_provider.sync.exporting.other_exports import is_other_export, known_here
from labelsync_provider.sync.exporting.state import ExportRun
from labelsync_provider.sync.ledger.records import GONE, ExportTarget, KnownExport
from labelsync_provider.sync.names import has_name_of_marker
from labelsync_provider.sync.progress import Progress
from labelsync_provider.sync.report import Failure
from labelsync_provider.uris import printable

log = logging.getLogger(__name__)

FOREIGN_SHOWN = 5
READ_WHOLE = 64 * 1024
"""Objects of so many bytes are read at once; of larger ones the note first."""


def is_left_by_tools(info: ObjectInfo) -> bool:
    """Tell whether an object is what tools leave in folders, or to show one. An empty one may be a file cut by hand."""
    return (info.size == 0 and info.key.endswith("/") and not info.problem) or has_name_of_marker(info.key)


def look_at_target(run: ExportRun) -> bool:
    """Bring the ledger in step with what stands in the target.

    :returns: whether something was exported here with another layout or key template, and is marked as gone.
    :raises TargetOccupied: something there is not the exporter's, or was exported otherwise and may not go.
    """
    ledger, progress, seen = run.ledger, Progress(log, run.runtime.monotonic), 0
    here = known_here(run)
    earlier = here if here and is_other_export(run.note, here) else None
    replaces = False
    would = "would be" if run.options.dry_run else "are"
    for differences in compare(
        _objects(run.target.list()), run.target.location, _is_unchanged, ledger.exports_between, ledger.exports_at
    ):
        if lost := [known for known in differences.missing if known.state != GONE]:
            if any(known.version for known in lost):
                log.warning(
                    "%s: objects written earlier are gone, %d such as %s. They %s written again.",
                    run.target.uri,
                    len(lost),
                    printable(lost[0].path),
                    would,
                )
            # Their tasks are read again, in this run or, should it end here, in the next.
            ledger.enter_exports([replace(known, version="", digest="", intended="", state="") for known in lost])
        ledger.enter_exports([], [known.path for known in differences.missing if known.state == GONE])
        seen += len(differences.unchanged) + len(differences.fresh)
        if progress.is_due():
            progress.say(seen, "objects of the target looked at")
        ours = _verified(run, differences.fresh, earlier) if differences.fresh else []
        if altered := [found.export.path for found in ours if found.is_altered]:
            log.warning(
                "%s: objects were changed by somebody else, %d such as %s. They %s written again, if their annotation "
                "is there.",
                run.target.uri,
                len(altered),
                printable(altered[0]),
                would,
            )
        standing = [*differences.unchanged, *(found.export for found in ours if found.is_known)]
        if earlier and standing and not replaces:
            _replace(run, earlier.layout, earlier.key_template, standing[0].path)
            replaces = True
        for found in ours:
            if found.other and not replaces:
                _replace(run, found.other.layout, found.other.key_template, found.export.path)
                replaces = True
        ledger.enter_exports([found.export for found in ours])
    if earlier and replaces:
        ledger.mark_all_gone()
    elif earlier:
        log.info("%s holds no object of the earlier export any more: it is forgotten.", run.target.uri)
    return replaces


def _replace(run: ExportRun, layout: str | None, key_template: str | None, path: str) -> None:
    """Say that what was exported here otherwise is deleted first.

    :raises TargetOccupied: it may not be.
    """
    how = f"with layout={layout!r}, key_template={key_template!r}"
    if not run.options.can_delete_objects:
        raise TargetOccupied(
            f"target={run.target.uri!r}: project {run.project.title!r} was exported here {how}, such as {path}. "
            "Nothing was written. Set can_delete_objects=True to have these objects deleted first, or choose another "
            "target."
        )
    would = "would be" if run.options.dry_run else "is"
    log.warning("%s: what was exported here %s %s deleted first.", run.target.uri, how, would)


class _Ours(NamedTuple):
    """An object in the target that this exporter wrote."""

    export: KnownExport
    is_known: bool
    """Whether the ledger knew of it."""
    is_altered: bool = False
    """Whether it is not as the ledger knows it."""
    other: Note | None = None
    """Its note, if that names another layout or key template."""


def _objects(listing: Iterator[Page]) -> Iterator[Page]:
    for page in listing:
        yield [info for info in page if not is_left_by_tools(info)]


def _verified(
    run: ExportRun, fresh: Sequence[tuple[str, ObjectInfo, KnownExport | None]], earlier: ExportTarget | None
) -> list[_Ours]:
    """Return the objects as the ledger would know them, if all of them are of exports of the project.

    :param earlier: the export that the ledger knows here, if it is another one.
    """
    ours, foreign = [], []

    def looked_at(one: tuple[str, ObjectInfo, KnownExport | None]) -> tuple[str, Written | None] | str | None:
        return _looked_at(run, one[1], one[2])

    looks = in_order(run.calls(looked_at), fresh, lambda one: one[1].size)
    for (path, info, known), found in zip(fresh, looks, strict=True):
        if isinstance(found, str):
            foreign.append(Failure(info.key, None, found))
        elif found is not None:
            digest, written = found
            if written is None and known is not None:
                export = KnownExport(path, info.version, digest, known.task, annotations=known.annotations)
                ours.append(_Ours(export, True))
            elif written is not None:
                other = None if written.note == run.note else written.note
                # In the place of an own file, that is written again: its task is read for it, not the one that this
                # object says, which may have come late, or been put back.
                of = known or written
                # Another export's is announced to go. Without a digest, it is looked at again until it has gone: the
                # next run may not be allowed to delete.
                state = GONE if other and (known is None or known.state == GONE) else ""
                # So is this one's, as long as the ledger takes it for the earlier one's, like all that stands here.
                digest = "" if other or earlier else digest
                export = KnownExport(path, info.version, digest, of.task, "", state, of.annotations)
                ours.append(_Ours(export, known is not None, bool(known and known.digest), other))
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
        if info.size > READ_WHOLE:
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
    return known.version == info.version and known.digest != ""


def digest_of(content: bytes) -> str:
    """Return what tells one content from another."""
    return sha256(content).hexdigest()
