"""Break promises of the engine on purpose, and see how soon the model finds each.

PYTHONPATH=tests python -m model.mutations [name ...]
"""

import logging
import multiprocessing
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from model.test_model import WORLDS, check

from labelsync_provider.sync.importing import applying, planning, reconciling
from labelsync_provider.sync.importing.matching import Match
from labelsync_provider.sync.ledger import entering
from labelsync_provider.sync.ledger.imports import ImportLedger
from labelsync_provider.sync.ledger.lease import Lease
from labelsync_provider.sync.ledger.records import Changes, JournalEntry, KnownRow, RowState

SECONDS = 60


def matched_by_position_only() -> None:
    """Rows that moved are not found again."""
    match = planning.match

    def by_position(known: Any, rows: Sequence[Any], **options: bool) -> Match:
        found = match(known, rows, **options)
        kept = {n: row for n, row in found.known.items() if row.position == n}
        moved = [row for n, row in found.known.items() if n not in kept]
        return Match(kept, [*found.missing, *moved], found.by_place_only)

    planning.match = by_position  # type: ignore[assignment]


def announcements_not_written() -> None:
    """Nothing is announced before it is requested."""
    _before_entering(lambda changes, announces: None)


def lease_not_confirmed() -> None:
    """A run goes on though another has taken over."""
    Lease.check = lambda self: None  # type: ignore[method-assign]
    Lease.confirm = lambda self, connection: None  # type: ignore[method-assign]


def superseded_not_marked() -> None:
    """Under `on_changed="add"`, the old row stays live beside the new one."""

    def live(changes: Changes, announces: JournalEntry | None) -> JournalEntry | None:
        for place, row in changes.changed.items():
            changes.changed[place] = row._replace(state=RowState.LIVE)
        return announces

    _before_entering(live)


def position_not_entered() -> None:
    """A row that only moved stays where it was in the ledger."""
    enter = planning._Decisions._enter

    def without_position(self: Any, before: KnownRow, now: KnownRow) -> None:
        enter(self, before, now._replace(position=before.position) if before.position is not None else now)

    planning._Decisions._enter = without_position  # type: ignore[method-assign]


def late_requests_not_looked_for() -> None:
    """What arrives after it was given up stays."""
    applying.deduplicate = reconciling.deduplicate = lambda run: None


def ids_given_again_not_noticed() -> None:
    """The row of a task that a person deleted is taken to be that of the task that has its id now."""
    entering.mark_ids_reused = lambda connection, project, task_ids: None


def _before_entering(change: Callable[[Changes, JournalEntry | None], JournalEntry | None]) -> None:
    enter = ImportLedger.enter

    def entered(self: Any, changes: Changes, *, announces: JournalEntry | None = None, **rest: Any) -> int:
        return enter(self, changes, announces=change(changes, announces), **rest)

    ImportLedger.enter = entered  # type: ignore[method-assign]


MUTATIONS: Mapping[str, Callable[[], None]] = {
    mutation.__name__: mutation
    for mutation in (
        matched_by_position_only,
        announcements_not_written,
        lease_not_confirmed,
        superseded_not_marked,
        position_not_entered,
        late_requests_not_looked_for,
        ids_given_again_not_noticed,
    )
}


def found(name: str) -> str:
    """Run histories against the engine with a mutation; return how soon one failed."""
    logging.disable(logging.CRITICAL)
    MUTATIONS[name]()
    started, number = time.monotonic(), 0
    while (seconds := time.monotonic() - started) < SECONDS:
        try:
            check(number, WORLDS[number % len(WORLDS)], faults=number % 4 != 0, shrink=False)
        except Exception as error:
            return f"found after {number + 1} histories, {seconds:.0f} s: {str(error)[:100] or type(error).__name__}"
        number += 1
    return f"NOT FOUND by {number} histories"


def main() -> None:
    """Print of each mutation how soon it was found."""
    # Each in a process of its own, for it is not undone.
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for name in sys.argv[1:] or MUTATIONS:
            print(f"{name}: {pool.apply(found, (name,))}", flush=True)


if __name__ == "__main__":
    main()
