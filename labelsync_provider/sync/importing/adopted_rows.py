"""Adopted rows: what is to become of the rows of a task file for which no task was found. A pure decision.

What Label Studio's own sync has left: a person has edited the data of tasks, and has deleted others; and a file of
which the sync broke off has no tasks from some row to its end.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from labelsync_provider.formats.tasks.digests import data_part, is_of_data_alone
from labelsync_provider.sync.importing.matching import Match, ReadRow
from labelsync_provider.sync.ledger.records import KnownRow


@dataclass(frozen=True, slots=True)
class Leftover:
    """Positions of rows that no task was found for, by what they are."""

    edited: dict[int, KnownRow] = field(default_factory=dict)
    """The one row that is left, and the one task: its data was edited."""
    undecided: frozenset[int] = frozenset()
    """Each may be one of the tasks that are left."""
    deleted: frozenset[int] = frozenset()
    """They were imported by Label Studio's own sync, and somebody has deleted their tasks."""
    tail: frozenset[int] = frozenset()
    """The last of the file, which the sync did not come to."""
    held: Sequence[KnownRow] = ()
    """Tasks that may be those of undecided rows, or of bad ones: they are not missing."""
    doubles: Sequence[KnownRow] = ()
    """Tasks with the data of a row that another one stands for: two syncs have made them, or a row was there twice."""


def leftover(read: Sequence[ReadRow], matched: Match, *, was_synced: bool) -> Leftover:
    """Decide about the rows of one object.

    :param was_synced: whether this object was there when a sync began that has completed.
    """
    left = [row for row in read if row.position not in matched.known]
    rows = frozenset(row.position for row in left if row.digest is not None)
    tasks = [row for row in (*matched.missing, *matched.held) if is_of_data_alone(row.digest)]
    present = {data_part(row.digest) for row in read if row.digest} if tasks else frozenset()
    doubles = tuple(row for row in tasks if data_part(row.digest or "") in present)
    tasks = [row for row in tasks if data_part(row.digest or "") not in present]
    if rows and len(tasks) == len(left) == 1:
        return Leftover(edited={min(rows): tasks[0]}, doubles=doubles)
    if left and tasks:
        return Leftover(undecided=rows, held=tasks, doubles=doubles)
    if not was_synced:
        return Leftover(doubles=doubles)
    last = max(matched.known, default=None)
    tail = frozenset() if last is None else frozenset(position for position in rows if position > last)
    return Leftover(deleted=rows - tail, tail=tail, doubles=doubles)
