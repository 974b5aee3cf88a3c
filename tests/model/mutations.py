"""Break promises of the engine on purpose, and see how soon the model finds each.

PYTHONPATH=tests python -m model.mutations ["export: deleted_without_leave" ...]
"""

import logging
import multiprocessing
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from model import test_export_model, test_model
from msgspec.structs import replace

from labelsync_provider.sync.exporting import changes, run, target_check, writing
from labelsync_provider.sync.importing import applying, planning, reconciling
from labelsync_provider.sync.importing.deciding import Decisions
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

    planning.match = by_position


def announcements_not_written() -> None:
    """Nothing is announced before it is requested."""
    _before_entering(lambda changes, announces: None)


def lease_not_confirmed() -> None:
    """A run goes on though another has taken over."""
    Lease.check = lambda self: None
    Lease.confirm = lambda self, connection: None


def superseded_not_marked() -> None:
    """Under `on_changed="add"`, the old row stays live beside the new one."""

    def live(changes: Changes, announces: JournalEntry | None) -> JournalEntry | None:
        for place, row in changes.changed.items():
            changes.changed[place] = replace(row, state=RowState.LIVE)
        return announces

    _before_entering(live)


def position_not_entered() -> None:
    """A row that only moved stays where it was in the ledger."""
    enter = Decisions._enter

    def without_position(self: Any, before: KnownRow, now: KnownRow) -> None:
        enter(self, before, replace(now, position=before.position) if before.position is not None else now)

    Decisions._enter = without_position


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

    ImportLedger.enter = entered


# --- of exporting ---


def foreign_objects_passed_over() -> None:
    """What the exporter did not write is taken to be nothing."""
    looked_at = target_check._looked_at

    def not_foreign(*args: Any) -> Any:
        found = looked_at(*args)
        return None if isinstance(found, str) else found

    target_check._looked_at = not_foreign


def written_over_what_came_meanwhile() -> None:
    """What is new to the ledger is overwritten, not created."""
    writing._is_new = lambda known: False


def never_looked_at_everything() -> None:
    """Once exported, only what shows that it has changed is read."""
    changes._is_due = lambda run, mark, now: mark.settings != run.settings


def deleted_tasks_not_missed() -> None:
    """The project's counts are not held against the ledger's."""
    changes._off = lambda run, told: changes.Off(0, 0)


def late_changes_not_looked_for() -> None:
    """A change that becomes visible after later ones is passed over."""
    changes._since = lambda mark: changes.datetime.fromisoformat(mark.changed_at)


def deleted_without_leave() -> None:
    """What is gone is deleted, whatever `can_delete_objects` says."""
    delete_gone = writing.delete_gone

    def deleted(export: Any, *args: Any, **how: Any) -> None:
        export.options = replace(export.options, can_delete_objects=True)
        delete_gone(export, *args, **how)

    run.delete_gone = deleted


def refused_exports_remembered() -> None:
    """The target is entered before it is looked at."""
    look = run.look_at_target

    def entered(export: Any) -> bool:
        export.ledger.enter_target(export.this, lambda known: None)
        return look(export)

    run.look_at_target = entered


IMPORTING = (
    matched_by_position_only,
    announcements_not_written,
    lease_not_confirmed,
    superseded_not_marked,
    position_not_entered,
    late_requests_not_looked_for,
    ids_given_again_not_noticed,
)
EXPORTING = (
    foreign_objects_passed_over,
    written_over_what_came_meanwhile,
    never_looked_at_everything,
    deleted_tasks_not_missed,
    late_changes_not_looked_for,
    deleted_without_leave,
    refused_exports_remembered,
    lease_not_confirmed,
)
MUTATIONS: Mapping[str, tuple[Callable[[], None], Any]] = {
    f"{kind}: {mutation.__name__}": (mutation, model)
    for kind, mutations, model in (("import", IMPORTING, test_model), ("export", EXPORTING, test_export_model))
    for mutation in mutations
}


def found(name: str) -> str:
    """Run histories against the engine with a mutation; return how soon one failed."""
    logging.disable(logging.CRITICAL)
    mutation, model = MUTATIONS[name]
    mutation()
    started, number = time.monotonic(), 0
    while (seconds := time.monotonic() - started) < SECONDS:
        try:
            model.check(number, model.WORLDS[number % len(model.WORLDS)], faults=number % 4 != 0, shrink=False)
        except Exception as error:
            return f"found after {number + 1} histories, {seconds:.0f} s: {type(error).__name__}: {str(error)[:100]}"
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
