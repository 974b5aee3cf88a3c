"""Visibility: whether annotators see, in Label Studio, the objects that are imported by their URIs."""

import logging
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labelsync_provider.hooks.label_studio import LabelStudioHook
    from labelsync_provider.hooks.storage import StorageHook
    from labelsync_provider.operators.parameters import ImportParameters
    from labelsync_provider.sync import ImportOptions

log = logging.getLogger(__name__)


def see_to_visibility(
    hook: "LabelStudioHook",
    project_id: int,
    storages: "StorageHook",
    uri: str,
    source: str,
    given: "ImportParameters",
    options: "ImportOptions",
) -> None:
    """Do what `register_storage` says, before a source is imported.

    :param storages: the hook that opens the source.
    :param uri: the storage URI, as it was given.
    :param source: that of the opened storage.
    :raises Invalid: it is asked for, and cannot be.
    """
    if given.register_storage is True:
        presign, ttl, dry_run = given.presign, options.presign_ttl, options.dry_run
        register_source(hook, project_id, storages, uri, presign=presign, presign_ttl=ttl, dry_run=dry_run)
    elif options.use_blob_urls and options.url_mode == "storage":
        if given.register_storage == "auto":
            show_source(hook, project_id, storages, uri, source, dry_run=options.dry_run)
        else:
            warn_if_unseen(hook, project_id, source)


def register_source(
    hook: "LabelStudioHook",
    project_id: int,
    storages: "StorageHook",
    source: str,
    *,
    presign: bool,
    presign_ttl: int,
    dry_run: bool,
) -> None:
    """Create or update the storage that shows the objects of a source; see `label_studio_storages.register`.

    :param storages: the hook that opens the source.
    :param source: the storage URI, as it was given.
    :raises Invalid: projects live in the embedded store; or Label Studio cannot have such a storage.
    """
    from labelsync_provider.errors import invalid
    from labelsync_provider.projects.label_studio_storages import register

    client = hook.get_client()
    if client is None:
        what = f"projects of connection {hook.label_studio_conn_id!r} live in the embedded store, which shows nothing"
        raise invalid("register_storage", True, what, "Leave it out, or name the connection of a Label Studio server.")
    with closing(client):
        wanted = storages.label_studio_storage(source)
        if dry_run:
            _say_what_would_be(wanted.uri, project_id)
        else:
            register(client, project_id, wanted, presign=presign, presign_ttl=presign_ttl)


def show_source(
    hook: "LabelStudioHook", project_id: int, storages: "StorageHook", uri: str, source: str, *, dry_run: bool
) -> None:
    """Have annotators see local files that Label Studio serves; whatever else it takes is said in a warning.

    A bucket is not registered unasked: Label Studio would read it, with keys of its own, for whoever may open the
    project. No import fails for what is seen: what goes wrong here is in the warning too.

    :param storages: the hook that opens the source.
    :param uri: the storage URI, as it was given.
    :param source: that of the opened storage.
    """
    from labelsync_provider.errors import LabelsyncError
    from labelsync_provider.hooks.storage import TRIAL_SECONDS
    from labelsync_provider.projects.label_studio_storages import register, serves_files, visible

    client = hook.get_client(TRIAL_SECONDS)
    if client is None:
        return
    with closing(client):
        try:
            unseen = visible(client, project_id, source)
            if unseen and source.startswith("file://") and serves_files(client):
                unseen = None
                if dry_run:
                    _say_what_would_be(source, project_id)
                else:
                    register(client, project_id, storages.label_studio_storage(uri))
        except LabelsyncError as error:
            unseen = (
                f"Annotators may not see the objects of {source}: it could not be made sure that project {project_id} "
                f"has a source storage for them. {error} Create one by hand in the project's Settings, Cloud Storage; "
                "it need not be synced. Or set register_storage=False."
            )
        if unseen:
            log.warning("%s", unseen)


def warn_if_unseen(hook: "LabelStudioHook", project_id: int, source: str) -> None:
    """Log a warning with the remedy, if annotators would not see the objects of a source; see `visible`.

    Whoever may import need not be allowed to look at storages: then the warning says so.

    :param source: the URI of the opened storage.
    """
    from labelsync_provider.errors import LabelsyncError
    from labelsync_provider.hooks.storage import TRIAL_SECONDS
    from labelsync_provider.projects.label_studio_storages import visible

    client = hook.get_client(TRIAL_SECONDS)
    if client is None:
        return
    with closing(client):
        try:
            unseen = visible(client, project_id, source)
        except LabelsyncError as error:
            unseen = f"It cannot be told whether annotators will see the objects of {source}: {error}"
        if unseen:
            log.warning("%s", unseen)


def _say_what_would_be(uri: str, project_id: int) -> None:
    log.info("Dry run: %s would be registered as a source storage of project %d, unless it is.", uri, project_id)
