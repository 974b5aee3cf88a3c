"""Restoring: rows whose tasks somebody has deleted from the project are new again."""

from labelsync_provider.sync.importing.state import ImportRun
from labelsync_provider.sync.ledger.records import Changes


def forget_deleted(run: ImportRun) -> None:
    """Forget the rows whose task is in the project no more, so that the next comparison finds them new."""
    for rows in run.ledger.live_rows():
        there = run.project.look({row.task: run.uri(row.path) for row in rows if row.task is not None})
        deleted = [row for row in rows if row.task is None or row.task not in there]
        if deleted:
            run.ledger.enter(Changes(dropped=deleted))
            run.ledger.reopen({row.path for row in deleted})
