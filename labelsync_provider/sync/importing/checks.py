"""Checks: what stops an import before it begins, and what a finished look at the source says about it."""

import logging
from collections.abc import Mapping
from typing import Any

from labelsync_provider.errors import (
    Denied,
    EmptyListing,
    Invalid,
    StoragesOverlap,
    TooManyQuarantined,
    Unavailable,
    counted,
    invalid,
)
from labelsync_provider.formats.tasks.rows import UNDEFINED
from labelsync_provider.projects.label_config import DataKey, keys_of_lists
from labelsync_provider.projects.protocol import Project, Task
from labelsync_provider.storages.protocol import HoldsFiles, MadeByWrites, Signing
from labelsync_provider.sync.compare import compare
from labelsync_provider.sync.importing.listing import Filter
from labelsync_provider.sync.importing.options import ImportOptions
from labelsync_provider.sync.importing.own_sync import mounted_elsewhere, syncable, syncing
from labelsync_provider.sync.importing.state import ImportRun
from labelsync_provider.uris import if_wildcard

log = logging.getLogger(__name__)


def data_key_of(project: Project, options: ImportOptions) -> str:
    """Return the key of a task's data where a blob's URI goes; empty for task files.

    :raises Invalid: the label config has none, and `data_key` does not name one.
    """
    if not options.use_blob_urls or options.data_key:
        return options.data_key or ""
    if not project.data_keys:
        remedy = "Give data_key, or a label config with an object tag such as <Image name='image' value='$image'/>."
        raise invalid("data_key", options.data_key, f"the label config of {project.title!r} has no data key", remedy)
    return next(iter(project.data_keys))


def check_blob_data(project: Project, options: ImportOptions, data_key: str) -> None:
    """Make sure that the label config can show what the tasks of blobs have in their data, before any is listed.

    :param data_key: where the URI goes.
    :raises Invalid: it wants a list or an object there, or other keys as well.
    """
    if not options.use_blob_urls:
        return
    given, lists = options.extra_data or {}, keys_of_lists(project.label_config)
    config = f"the label config of {project.title!r}"
    if data_key in given:
        remedy = "Leave it out there, or name another data_key."
        raise invalid("extra_data", given, f"{data_key!r} in it is where the URI of the object goes", remedy)
    if UNDEFINED in (data_key, *given):
        what = f"{UNDEFINED!r} is Label Studio's name for the first data key, and would be taken for that"
        raise invalid("extra_data" if UNDEFINED in given else "data_key", UNDEFINED, what, "Name the key itself.")
    known = project.data_keys.get(data_key)
    if (known and known.path != (data_key,)) or any(data_key == key.path[0] for key in lists):
        what = f"{config} takes a list or an object there, and the URI of an object is a text"
        remedy = "Name a key that one file can fill, or write task files."
        raise invalid("data_key", data_key, what, remedy)
    needed = {key.path[0]: key for key in (*lists, *project.data_keys.values())}
    if lacking := {name: key for name, key in needed.items() if name != data_key and name not in given}:
        what = f"{config} also shows {', '.join(map(repr, lacking))}, which an object alone cannot fill"
        remedy = (
            f"Give them constant values, extra_data={_constants(lacking)!r} ('Other values' in the form), "
            "name the key that is meant, if it is another one, or write task files."
        )
        raise invalid("data_key", data_key, what, remedy)
    if problem := project.check(Task(given | {data_key: ""})):
        raise invalid("extra_data", given, problem, "Give it a value of such a type.")


def _constants(keys: Mapping[str, DataKey]) -> dict[str, Any]:
    """Return values that the label config takes: objects and lists where a text would not do."""
    return {name: {} if len(key.path) > 1 else "" if str in key.takes else [] for name, key in keys.items()}


def check_source(run: ImportRun) -> None:
    """Make sure that the source is one that the project can be imported from.

    :raises StoragesOverlap: annotations of the project are exported to where it is.
    :raises Invalid: objects of the same names, from elsewhere, were imported into the project; or signed URLs are asked
        for, and it has none.
    :raises Unavailable: the run adopts what Label Studio's own sync is still making.
    """
    _refuse_to_sign(run)
    _warn(run)
    _refuse_while_syncing(run)
    _refuse_overlap(run)
    _refuse_elsewhere(run)


def _refuse_to_sign(run: ImportRun) -> None:
    if run.options.url_mode == "signed" and not isinstance(run.source, Signing):
        raise invalid("url_mode", "signed", f"{run.source.uri} has no signed URLs", "Use 'storage'.")


def _warn(run: ImportRun) -> None:
    options = run.options
    if options.url_mode == "signed":
        log.warning(
            "The URLs in the tasks expire %d minutes after they were listed. URIs (url_mode='storage') do not.",
            options.presign_ttl,
        )
    for storage in syncable(run.own_storages, run.source.location):
        log.warning(
            "Somebody can still press Sync on source storage %d of project %d, %s: Label Studio would import "
            "everything there a second time. Set lock_own_sync=True, which leaves it to show objects only, or delete "
            "it.",
            storage.id,
            run.project.id,
            storage.uri,
        )
    for storage in mounted_elsewhere(run.own_storages, run.source.location) if options.adopt else ():
        log.warning(
            "Source storage %d of project %d, %s, is not below %s, the document root of this source. If it has the "
            "same files, mounted at another path, their rows are known by equal data alone, nothing tells what was "
            "deleted, and it is not seen whether Sync can be pressed. Mount them at one path, here and there.",
            storage.id,
            run.project.id,
            storage.uri,
            run.source.location.endpoint,
        )
    if options.use_blob_urls and options.url_mode != "signed" and not isinstance(run.source, HoldsFiles):
        log.warning("%s: Label Studio cannot show values under their URIs.", run.source.uri)


def _refuse_while_syncing(run: ImportRun) -> None:
    """Refuse to adopt while Label Studio is syncing: both would make a task of what the sync has not come to yet."""
    for storage in syncing(run.own_storages, run.source.location):
        if run.options.adopt and storage.as_blobs == run.options.use_blob_urls:
            raise Unavailable(
                f"adopt: Label Studio is syncing source storage {storage.id} of project {run.project.id}, "
                f"{storage.uri}, just now, and what it has not come to yet would come in twice. Nothing was done. Run "
                "again once it has ended: StorageSyncSensor waits for that."
            )


def _refuse_overlap(run: ImportRun) -> None:
    source = run.source
    for target in run.ledger.storages("target"):
        if source.location.overlaps(target):
            raise StoragesOverlap(
                f"source={source.uri!r}: annotations of project {run.project.title!r} are exported to "
                f"{target.root or '/'!r} there, which would come back as tasks. Import from, or export to, another "
                f"{'directory' if source.location.has_folders else 'database'}."
            )


def _refuse_elsewhere(run: ImportRun) -> None:
    """Refuse a source whose objects have the names of others; one that has only moved is the same."""
    source, ledger = run.source, run.ledger
    if not any(used.is_elsewhere(source.location) for used in ledger.storages("source")):
        return
    known = False
    for found in compare(
        source.list(),
        source.location,
        lambda info, known: known.version == info.version,
        ledger.objects_between,
        ledger.objects_at,
    ):
        if found.unchanged:
            return
        known |= bool(found.missing) or any(before for _, _, before in found.fresh)
    if known:
        raise Invalid(
            f"source={source.uri!r}: project {run.project.title!r} has objects of the same names from elsewhere, "
            f"and none of them is the same in {source.location.endpoint}. Import these into another project; or, for "
            "local files, set the Path of the connection to a directory above both."
        )


def judge_listing(run: ImportRun, passed: Filter) -> None:
    """Say what a listing means that shows nothing.

    :raises EmptyListing: the ledger knows objects, and none is there, or nothing but markers: an unmounted disk looks
        like this, and so does a folder whose files are gone.
    :raises NotFound: the source is not there at all.
    :raises Denied: none of the objects may be read.
    """
    report, source = run.report, run.source.uri
    if report.missing and not (report.matched or run.others_listed):
        known = counted(report.missing, "task")
        but_markers = f" but {counted(report.listed, 'empty object')}, or markers" if report.listed else ""
        raise EmptyListing(
            f"source={source!r} lists nothing{but_markers}, but {known} of {run.project.title!r} came from "
            "there. Nothing was deleted. Is the disk mounted, the bucket the right one? Put the objects back, or leave "
            "this source out."
        )
    if not report.listed and isinstance(run.source, MadeByWrites):
        run.source.check_exists()
    if not report.listed:
        log.warning("source=%r lists no object.%s", source, if_wildcard(source))
    elif not report.matched and report.markers:
        log.warning(
            "source=%r lists nothing to import: it has %s, all empty or markers.",
            source,
            counted(report.markers, "object"),
        )
    elif not report.matched:
        log.warning(
            "regex_filter=%r matches none of %s of %s; it is matched from the start of the key, and "
            "%r, for one, does not match.",
            run.options.regex_filter,
            counted(report.listed, "object"),
            source,
            passed.unmatched,
        )
    if run.denied and not (run.some_read or report.unchanged):
        raise Denied(f"{run.denied} None of what was to be read could be. Report: {report}")


def judge_quarantine(run: ImportRun) -> None:
    """Make sure that not too much is in quarantine.

    :raises TooManyQuarantined: more than `max_quarantined`, or all that there is and was; everything else is imported.
    """
    report, most, source = run.report, run.options.max_quarantined, run.source.uri
    first = "; ".join(map(str, report.quarantine[:3]))
    good = report.unchanged + report.new + report.changed
    everything = report.quarantined and run.aside.objects + report.gone >= report.matched and not good
    if everything and not run.ledger.count_tasks():
        raise TooManyQuarantined(
            f"Nothing could be imported: all that matches in {source} is in quarantine, and nothing came in from there "
            f"before. Mend the objects, or the parameters of the import. {run.aside.commonest(3) or first}. "
            f"Report: {report}"
        )
    if isinstance(most, float):
        if run.aside.objects > most * report.matched:
            raise TooManyQuarantined(
                f"In quarantine: {run.aside.objects:,} of {counted(report.matched, 'object')} of {source}, or rows of "
                f"them, max_quarantined is {most:g}, a share; nothing else is kept out. Mend them, or allow more. "
                f"The first: {first}. Report: {report}"
            )
    elif most is not None and report.quarantined > most:
        these = counted(report.quarantined, "object or row", "objects or rows")
        raise TooManyQuarantined(
            f"In quarantine: {these} of {source}, max_quarantined is {most:,}; "
            f"nothing else is kept out. Mend them, or allow more. The first: {first}. Report: {report}"
        )
