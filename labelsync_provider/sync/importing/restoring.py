"""Restoring: rows whose tasks somebody has deleted from the project are new again."""

from labelsync_provider.sync.importing.listing import Filter, covers
from labelsync_provider.sync.importing.state import ImportRun, looked_at
from labelsync_provider.sync.ledger.records import Changes


def forget_deleted(run: ImportRun, passes: Filter) -> None:
    """Forget the rows whose task is in the project no more, so that the next comparison finds them new.

    Objects that this run does not look at stay as they are.
    """
    for rows in run.ledger.all_rows():
        there = looked_at(run.project, run.source, rows)
        deleted = [row for row in rows if row.task not in there and covers(run, passes, row.path)]
        if deleted:
            run.ledger.enter(Changes(dropped=deleted), reopens={row.path for row in deleted})
