"""Visibility: whether annotators see, in Label Studio, the objects that are imported by their URIs."""

import logging
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labelsync_provider.hooks.label_studio import LabelStudioHook
    from labelsync_provider.hooks.storage import StorageHook

log = logging.getLogger(__name__)


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
    wanted = storages.label_studio_storage(source)
    if dry_run:
        return
    with closing(client):
        register(client, project_id, wanted, presign=presign, presign_ttl=presign_ttl)


def warn_if_unseen(hook: "LabelStudioHook", project_id: int, source: str) -> None:
    """Log a warning with the remedy, if annotators would not see the objects of a source; see `visible`.

    Whoever may import need not be allowed to look at storages: then the warning says so.

    :param source: the URI of the opened storage.
    """
    from labelsync_provider.errors import Denied
    from labelsync_provider.projects.label_studio_storages import visible

    client = hook.get_client()
    if client is None:
        return
    with closing(client):
        try:
            unseen = visible(client, project_id, source)
        except Denied as error:
            unseen = f"It cannot be told whether annotators will see the objects of {source}: {error}"
        if unseen:
            log.warning("%s", unseen)
