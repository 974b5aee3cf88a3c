"""Matching: which of the rows that stand in a file now are which of those that were imported from it.

A pure function of rows known and rows read. Each step takes what is left, in file order; known rows in order of their
position, then of their task:

1. equal content, same position;
2. equal content;
3. equal data, same position;
4. equal data: annotations, predictions or meta differ, the task is found;
5. a run of rows between two that are matched, or a file's end, pairs, first with first, with the known rows that stood
   directly between the same two.

What is left is new, or missing; where other rows may be in a bad one, nothing is missing, but held. A bad row takes
part in 5 only. Rows that are missing, or held, since an earlier run take part in 2 and 4 only, after those that stood
in the file; rows of a file that was gone, and is back, stand where they did before. Superseded rows do not take
part; planning makes the oldest of them live again for a new row of its content. With a `row_key`, it comes first: a
known row that has a key is matched with a good row by nothing else.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from math import inf

from msgspec import Struct

from labelsync_provider.formats.tasks.digests import data_part
from labelsync_provider.sync.ledger.records import KnownRow


class ReadRow(Struct, frozen=True, gc=False):
    """A row as it stands in an object now."""

    position: int
    digest: str | None
    """None if the row is bad."""
    key: str | None = None
    swallows: bool = False
    """It is bad, and others may be in it."""


@dataclass(frozen=True, slots=True)
class Match:
    """Which known row each row is, by position; and the known ones that are in the object no more."""

    known: dict[int, KnownRow]
    missing: list[KnownRow]
    by_place_only: bool
    """Nothing tells that any row of several is one that was known, but where it stands."""
    held: Sequence[KnownRow] = ()
    """Those that may be in a bad row: they were not found, and are not missing."""


def match(known: Iterable[KnownRow], rows: Sequence[ReadRow], *, by_key: bool = False) -> Match:
    """Match the rows of one object.

    :param known: its live rows.
    :param rows: all rows that it has now, by position.
    :param by_key: whether the rows have keys (option `row_key`).
    """
    # Of a million rows, the keys of one sort by all of these would take more memory than the rows.
    by_place = sorted(known, key=lambda row: row.number)
    by_place.sort(key=lambda row: row.task or 0)
    by_place.sort(key=lambda row: inf if row.position is None else row.position)
    found: dict[int, KnownRow] = {}
    left = {row.number: row for row in by_place}

    def pair(position: int, row: KnownRow) -> None:
        found[position] = row
        del left[row.number]

    good = [row for row in rows if row.digest is not None]
    if by_key:
        with_key = {row.key: row for row in reversed(by_place) if row.key is not None}
        for row in good:
            if row.key is not None and (same := with_key.pop(row.key, None)):
                pair(row.position, same)
    candidates = [row for row in by_place if row.number in left and not (by_key and row.key is not None)]
    for part in (_whole, data_part):
        _match_equal(good, candidates, part, found, left, pair)
    matched = len(found)
    if left and matched < len(rows):
        _match_runs(rows, [row for row in by_place if row.position is not None], found, left, pair, by_key=by_key)
    by_place_only = not matched and len(good) > 1 and len(by_place) > 1 and any(row.position in found for row in good)
    rest = list(left.values())
    if any(row.swallows for row in rows):
        return Match(found, [], by_place_only, held=rest)
    return Match(found, rest, by_place_only)


def _whole(digest: str) -> str:
    return digest


def _match_equal(
    rows: Sequence[ReadRow],
    candidates: Sequence[KnownRow],
    part: Callable[[str], str],
    found: dict[int, KnownRow],
    left: dict[int, KnownRow],
    pair: Callable[[int, KnownRow], None],
) -> None:
    """Pair rows of which a part of the content is equal: first those in the same position, then the others."""
    standing = {row.position: row for row in candidates if row.position is not None and row.number in left}
    for row in rows:
        there = standing.get(row.position)
        if row.position not in found and there is not None and _equal(row, there, part):
            pair(row.position, there)
    waiting: dict[str, list[KnownRow]] = defaultdict(list)
    for known in reversed(candidates):  # so that the first is the last of its list
        if known.number in left and known.digest is not None:
            waiting[part(known.digest)].append(known)
    for row in rows:
        if row.position not in found and (equal := waiting.get(part(row.digest or ""))):
            pair(row.position, equal.pop())


def _equal(row: ReadRow, known: KnownRow, part: Callable[[str], str]) -> bool:
    # Nothing is known of the content of an adopted task: it is taken to be what stands there.
    return known.digest is None or part(known.digest) == part(row.digest or "")


def _match_runs(
    rows: Sequence[ReadRow],
    standing: Sequence[KnownRow],
    found: dict[int, KnownRow],
    left: dict[int, KnownRow],
    pair: Callable[[int, KnownRow], None],
    *,
    by_key: bool,
) -> None:
    """Pair the rows between two that are matched with the known rows that stood directly between the same two."""
    between: dict[tuple[int | None, int | None], list[KnownRow]] = {}
    before: int | None = None
    run: list[KnownRow] = []
    for known in standing:
        if known.number in left:
            run.append(known)
            continue
        if run:
            between[before, known.number], run = run, []
        before = known.number
    between[before, None] = run

    before = None
    unmatched: list[ReadRow] = []
    for row in chain(rows, [None]):
        there = found.get(row.position) if row else None
        if row and not there:
            unmatched.append(row)
            continue
        after = there.number if there else None
        stood = between.get((before, after), [])
        keyed = deque(known for known in stood if by_key and known.key is not None)
        others = deque(known for known in stood if not (by_key and known.key is not None))
        for new in unmatched:
            # A good row of another key is another row. A bad one has no key that could be read, and may be any.
            open_to = [queue for queue in ((others, keyed) if new.digest is None else (others,)) if queue]
            if open_to:
                pair(new.position, min(open_to, key=lambda queue: queue[0].position or 0).popleft())
        before, unmatched = after, []
