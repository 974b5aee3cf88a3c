"""What an import with `adopt` makes of a project that no import has dealt with: the rule, written from its description.

Nothing here is the engine's. A task that others made is seen as anybody can see it: its data, and the object that Label
Studio's own sync made it from, as long as that storage is there.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import NamedTuple

Place = tuple[str, int | None]
"""The key of an object, and a row of it; of a blob, none."""


class Seen(NamedTuple):
    """A task that others made."""

    id: int
    data: str
    """As text; of a blob, the key of the object that it shows."""
    key: str | None
    """Of the object that it was made from, if the project tells."""


@dataclass
class Forecast:
    """What becomes of each row, and how many tasks are adopted."""

    adopted: int = 0
    adopted_sharing: int = 0
    missing: int = 0
    unchanged: set[Place] = field(default_factory=set)
    changed: set[Place] = field(default_factory=set)
    new: set[Place] = field(default_factory=set)
    not_restored: set[Place] = field(default_factory=set)
    quarantined: set[Place] = field(default_factory=set)


def foretell_rows(
    files: Mapping[str, Sequence[str]], tasks: Sequence[Seen], was_synced: Set[str], rejected: Set[str]
) -> Forecast:
    """Foretell an import of task files.

    :param files: by key, the data of each row as text.
    :param rejected: data that the project does not take; a row that has it is bad, unless a task made from its file
        has it too.
    :param was_synced: keys of the files that were there when a sync began that has completed.
    """
    forecast = Forecast()
    unnamed = [task for task in tasks if task.key is None]
    for key, texts in sorted(files.items()):
        own = [task for task in tasks if task.key == key]
        taken = {task.data for task in own}
        rows = [None if data in rejected - taken else data for data in texts]
        bad = {n for n, data in enumerate(rows) if data is None}
        forecast.quarantined |= {(key, n) for n in bad}
        if len(bad) == len(rows):
            continue
        paired = _paired(dict(enumerate(rows)), own)
        elsewhere = _paired({n: data for n, data in enumerate(rows) if n not in paired}, unnamed)
        unnamed = [task for task in unnamed if task not in elsewhere.values()]
        # Tasks with the data of a row that another one stands for are one too many; they stand for no other row.
        doubles = [task for task in own if task not in paired.values() and task.data in rows]
        own = [task for task in own if task not in doubles]
        forecast.adopted += len(own) + len(elsewhere)
        forecast.adopted_sharing += len(doubles)
        found = paired.keys() | elsewhere.keys()
        forecast.unchanged |= {(key, n) for n in found}
        left = set(range(len(rows))) - found
        good, tasks_left = {(key, n) for n in left - bad}, len(own) - len(paired)
        if good and len(left) == tasks_left == 1:
            forecast.changed |= good
        elif left and tasks_left:
            forecast.quarantined |= good
        elif tasks_left:
            forecast.missing += tasks_left
        else:
            # Of a file of which nothing is left, the sync has come to the end: else it would have begun again.
            last = max(found, default=len(rows))
            deleted = {(key, n) for key, n in good if n < last} if key in was_synced else set()
            forecast.not_restored |= deleted
            # Of a row that is there twice, and rejected, only one had been taken.
            refused = {(key, n) for key, n in good - deleted if rows[n] in rejected}
            forecast.quarantined |= refused
            forecast.new |= good - deleted - refused
    return forecast


def foretell_blobs(keys: Set[str], tasks: Sequence[Seen], was_synced: Set[str]) -> Forecast:
    """Foretell an import of objects as they are.

    :param tasks: those that show an object which the import looks at, be it gone.
    """
    shown = {task.data for task in tasks}
    places = {key: (key, None) for key in keys}
    absent = keys - shown
    return Forecast(
        adopted=len(shown),
        adopted_sharing=len(tasks) - len(shown),
        missing=len(shown - keys),
        unchanged={places[key] for key in keys & shown},
        new={places[key] for key in absent - was_synced},
        not_restored={places[key] for key in absent & was_synced},
    )


def _paired(rows: Mapping[int, str | None], tasks: Sequence[Seen]) -> dict[int, Seen]:
    """Pair rows and tasks of equal data: the first row with the task of the lowest id."""
    waiting = sorted(tasks)
    paired: dict[int, Seen] = {}
    for n, data in sorted(rows.items()):
        equal = next((task for task in waiting if task.data == data), None)
        if equal:
            paired[n] = equal
            waiting.remove(equal)
    return paired
