"""What annotators have done since the last export: counted for whoever waits for it."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Engine

from labelsync_provider.projects.protocol import Watchable
from labelsync_provider.storages.location import Location
from labelsync_provider.sync.identity import refuse_other_birth
from labelsync_provider.sync.ledger.exports import ExportLedger


def annotated_since_export(project: Watchable, target: Location, engine: Engine) -> int:
    """Return how many annotated tasks are new, or have changed, since the last complete export to a target.

    :param engine: the database of the ledger. Without tables in it, all annotated tasks are new.
    :raises Invalid: the project is not the one that the ledger knows by its `uri`.
    :raises SchemaOutdated: the database is of another version of this package.
    :raises Unavailable: the project did not answer as it should.
    """
    refuse_other_birth(project, engine, read_only=True)
    ledger = ExportLedger.if_known(engine, project.uri, target)
    mark = ledger.watermark() if ledger else None
    since = datetime.fromisoformat(mark.changed_at) if mark else None
    return project.count_annotated(since, ledger.exported_among if ledger else _none)


def _none(_: Sequence[int]) -> set[int]:
    return set()
