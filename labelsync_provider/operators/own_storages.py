"""Label Studio's own sync of what is imported: whoever presses Sync gets everything a second time."""

import logging
from contextlib import nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from labelsync_provider.projects.protocol import OwnStorage
    from labelsync_provider.projects.stores import OwnStorages
    from labelsync_provider.storages.protocol import Storage
    from labelsync_provider.sync import ImportOptions

log = logging.getLogger(__name__)


def own_storages_at(
    own: "OwnStorages", project_id: int, source: "Storage", options: "ImportOptions", *, locks: bool
) -> "Sequence[OwnStorage]":
    """Return the source storages of a project, those at the source locked, if that is asked.

    Who may import need not be allowed to look at storages: unless the run needs to know, what goes wrong is only said.

    :param locks: whether nobody is to press Sync on them any more.
    :raises Denied: the run needs to know, and the user of the token may not look at storages, or not lock them.
    """
    from labelsync_provider.errors import Denied, LabelsyncError, Stopped
    from labelsync_provider.hooks.trial import TRIAL_SECONDS

    is_needed = options.adopt or locks
    try:
        with nullcontext() if is_needed else own.trying(TRIAL_SECONDS):
            return _locked(own, project_id, source, dry_run=options.dry_run) if locks else own.listed()
    except Stopped:
        raise
    except LabelsyncError as error:
        if is_needed and isinstance(error, Denied):
            raise Denied(
                f"{'lock_own_sync' if locks else 'adopt'}=True: {error} It needs to look at the source storages of "
                f"project {project_id}. Give the connection the token of somebody who may, or leave it out."
            ) from error
        if is_needed:
            raise
        log.warning("It could not be seen whether somebody can press Sync on what is imported here. %s", error)
        return ()


def _locked(own: "OwnStorages", project_id: int, source: "Storage", *, dry_run: bool) -> "Sequence[OwnStorage]":
    from labelsync_provider.sync.importing.own_sync import syncable

    storages = own.listed()
    at_source = syncable(storages, source.location)
    if not at_source:
        log.warning(
            "lock_own_sync: project %d has no source storage at %s that could be locked.", project_id, source.uri
        )
    for storage in at_source:
        if dry_run:
            log.info("Dry run: source storage %d, %s, would be locked.", storage.id, storage.uri)
        else:
            own.lock(storage)
            log.info("Nobody can press Sync any more on source storage %d, %s.", storage.id, storage.uri)
    return [storage._replace(synchronizable=False) if storage in at_source else storage for storage in storages]
