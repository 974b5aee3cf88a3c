"""How Label Studio is to use one of its own storages, and the fields that say so."""

from typing import Annotated

from msgspec import Meta, Struct

from labelsync_provider.errors import check_flags, check_whole_numbers, invalid
from labelsync_provider.projects.label_studio.storage_types.kind import Direction, Kind
from labelsync_provider.projects.label_studio.storage_types.registry import LabelStudioStorage
from labelsync_provider.projects.protocol import Json
from labelsync_provider.regex_filter import check_regex_filter

LONGEST_PRESIGN_TTL = 32_767
"""Minutes: a small integer, where Label Studio keeps its tables in PostgreSQL."""


class StorageOptions(Struct, frozen=True, kw_only=True):
    """How Label Studio is to use a storage. Names and meaning are Label Studio's, unless said here.

    :param title: by default the storage's URI; that of a storage which is there already stays.
    :param recursive_scan: None is the guide's rule: a local directory is walked recursively, a bucket without a
        prefix is scanned whole, with a prefix its sub-folders are not.
    :param presign_ttl: the life of a signed URL, in minutes.
    """

    title: str | None = None
    regex_filter: str | None = None
    use_blob_urls: bool = False
    recursive_scan: bool | None = None
    presign: bool = True
    presign_ttl: Annotated[int, Meta(ge=1, le=LONGEST_PRESIGN_TTL)] = 15
    can_delete_objects: bool | None = None
    synchronizable: bool = True


def check_options(wanted: LabelStudioStorage, direction: Direction, options: StorageOptions) -> None:
    """Refuse what makes no sense, and what Label Studio would take and ignore.

    :raises Invalid: there is such an option.
    """
    if direction not in ("import", "export"):
        raise invalid("direction", direction, "no direction", 'Use "import" or "export".')
    check_flags(options, "use_blob_urls", "presign", "synchronizable")
    check_whole_numbers(options, presign_ttl=1)
    if options.presign_ttl > LONGEST_PRESIGN_TTL:
        raise invalid("presign_ttl", options.presign_ttl, "too many minutes", f"Use at most {LONGEST_PRESIGN_TTL}.")
    if options.recursive_scan not in (None, True, False):
        raise invalid("recursive_scan", options.recursive_scan, "no such choice", "Use True, False or None.")
    if options.can_delete_objects not in (None, True, False):
        raise invalid("can_delete_objects", options.can_delete_objects, "no such choice", "Use True, False or None.")
    check_regex_filter(options.regex_filter)
    ignored = _ignored(wanted.kind, direction, options)
    if ignored:
        value = getattr(options, ignored)
        what = f"Label Studio ignores it for an {direction} storage of type {wanted.type!r}"
        raise invalid(ignored, value, what, "Leave it out.")
    if problem := wanted.kind.problem(wanted.location, direction):
        raise invalid("storage", wanted.uri, *problem)


def _ignored(kind: Kind, direction: Direction, options: StorageOptions) -> str | None:
    if direction == "import":
        if options.can_delete_objects is not None:
            return "can_delete_objects"
        if kind.selects:
            return None
    elif options.can_delete_objects and not kind.deletes:
        return "can_delete_objects"
    if options.regex_filter:
        return "regex_filter"
    if options.use_blob_urls:
        return "use_blob_urls"
    return "recursive_scan" if options.recursive_scan is not None else None


def fields_of(wanted: LabelStudioStorage, direction: Direction, options: StorageOptions) -> Json:
    """Return the full set of fields: of some types, Label Studio checks a PATCH as if the others were empty."""
    location = dict(wanted.location)
    if "prefix" in location:
        # With a slash at its end, exports would go to `prefix//`.
        location["prefix"] = str(location["prefix"]).rstrip("/")
    fields: Json = {**location, **wanted.login, "synchronizable": options.synchronizable}
    if options.title is not None:
        fields["title"] = options.title
    if direction == "export":
        return {**fields, "can_delete_objects": options.can_delete_objects}
    fields |= {"regex_filter": options.regex_filter, "use_blob_urls": options.use_blob_urls}
    if wanted.kind.selects:
        by_the_guide = not location.get("prefix")
        fields["recursive_scan"] = by_the_guide if options.recursive_scan is None else options.recursive_scan
    if wanted.kind.presigns:
        fields |= {"presign": options.presign, "presign_ttl": options.presign_ttl}
    return fields
