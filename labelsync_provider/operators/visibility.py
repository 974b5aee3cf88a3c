"""Visibility: whether annotators see, in Label Studio, the objects that are imported by their URIs."""

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labelsync_provider.hooks.storage import StorageHook
    from labelsync_provider.operators.parameters import ImportParameters
    from labelsync_provider.projects.stores import OwnStorages
    from labelsync_provider.sync import ImportOptions

log = logging.getLogger(__name__)


def see_to_visibility(
    own: "OwnStorages | None",
    project_id: int,
    storages: "StorageHook",
    uri: str,
    source: str,
    given: "ImportParameters",
    options: "ImportOptions",
) -> None:
    """Do what `register_storage` says, before a source is imported.

    :param own: the project's own storages; None if it has none.
    :param storages: the hook that opens the source.
    :param uri: the storage URI, as it was given.
    :param source: the URI of the opened storage.
    :raises Invalid: it is `True`, and Label Studio cannot have such a storage, or not its keys.
    """
    from labelsync_provider.errors import invalid

    if given.register_storage is True:
        if own is None:
            what = (
                f"projects of connection {given.label_studio_conn_id!r} live in the embedded store, which shows nothing"
            )
            remedy = "Leave it out, or name the connection of a Label Studio server."
            raise invalid("register_storage", True, what, remedy)
        register_source(
            own,
            project_id,
            storages,
            uri,
            presign=given.presign,
            presign_ttl=options.presign_ttl,
            allow_static_keys=given.allow_static_keys,
            dry_run=options.dry_run,
        )
    elif own is not None and options.use_blob_urls and options.url_mode == "storage":
        registers = given.register_storage == "auto"
        show_source(own, project_id, storages, uri, source, registers=registers, dry_run=options.dry_run)


def register_source(
    own: "OwnStorages",
    project_id: int,
    storages: "StorageHook",
    source: str,
    *,
    presign: bool,
    presign_ttl: int,
    allow_static_keys: bool,
    dry_run: bool,
) -> None:
    """Create or update the storage that shows the objects of a source; see `OwnStorages.register`.

    :param storages: the hook that opens the source.
    :param source: the storage URI, as it was given.
    :raises Invalid: Label Studio cannot have such a storage, or not its keys.
    """
    from labelsync_provider.hooks.storage import access_to

    access = access_to(storages, source)
    if dry_run:
        _say_what_would_be(own.would_register(access, allow_static_keys=allow_static_keys), project_id)
    else:
        own.register(access, presign=presign, presign_ttl=presign_ttl, allow_static_keys=allow_static_keys)


def show_source(
    own: "OwnStorages",
    project_id: int,
    storages: "StorageHook",
    uri: str,
    source: str,
    *,
    registers: bool,
    dry_run: bool,
) -> None:
    """Look whether annotators see the objects of a source; if not, warn, and say what is to be done.

    A bucket is not registered unasked: Label Studio would read it, with keys of its own, for whoever may open the
    project. No import fails for what is seen, and who may import need not be allowed to look at storages: what goes
    wrong here is in the warning too.

    :param storages: the hook that opens the source.
    :param uri: the storage URI, as it was given.
    :param source: the URI of the opened storage.
    :param registers: whether local files that Label Studio serves are seen to at once.
    """
    from labelsync_provider.errors import LabelsyncError, Stopped
    from labelsync_provider.hooks.storage import access_to
    from labelsync_provider.hooks.trial import TRIAL_SECONDS

    try:
        with own.trying(TRIAL_SECONDS):
            unseen = own.why_unseen(source)
            registers = registers and source.startswith("file://")
            if registers and not unseen and not dry_run:
                own.delete_doubles_of_files()
            elif registers and unseen and own.serves_files():
                unseen = None
                if dry_run:
                    _say_what_would_be(source, project_id)
                else:
                    own.register(access_to(storages, uri))
    except Stopped:
        raise
    except LabelsyncError as error:
        unseen = (
            f"Annotators may not see the objects of {source}: it could not be made sure that project {project_id} "
            f"has a source storage for them. {error} Create one by hand in the project's Settings, Cloud Storage; "
            "it need not be synced. Or set register_storage=False."
        )
    if unseen:
        log.warning("%s", unseen)


def _say_what_would_be(uri: str, project_id: int) -> None:
    log.info("Dry run: %s would be registered as a source storage of project %d, unless it is.", uri, project_id)
