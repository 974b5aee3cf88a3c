"""Planning: what is to become of the rows of an object, as data. Nothing is done here."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from functools import partial

from msgspec.structs import replace

from labelsync_provider.errors import Denied, Invalid, NotFound, TooLarge
from labelsync_provider.formats.tasks import files as task_files
from labelsync_provider.formats.tasks.digests import data_part, is_of_data_alone, of_data_alone
from labelsync_provider.formats.tasks.rows import BadRow, Row
from labelsync_provider.projects.protocol import Task
from labelsync_provider.sync.importing.adopted_rows import Leftover, leftover
from labelsync_provider.sync.importing.candidates import Candidates
from labelsync_provider.sync.importing.deciding import Decisions, Rows
from labelsync_provider.sync.importing.matching import Match, ReadRow, match
from labelsync_provider.sync.importing.reading import Read
from labelsync_provider.sync.importing.state import ImportRun, SourceObject
from labelsync_provider.sync.importing.steps import Plan, Quarantine, Step, create
from labelsync_provider.sync.importing.unshown import Unshown
from labelsync_provider.sync.ledger.records import KnownRow, RowState
from labelsync_provider.sync.names import name_of
from labelsync_provider.uris import printable

log = logging.getLogger(__name__)


MATCHED_ROWS = 1_000_000
"""Rows that a file may have, and may have had, to be matched: all are held at once, in 600 to 800 bytes each."""
TOO_MANY_ROWS = (
    f"too many rows: in a file that was imported before, or with adopt, up to {MATCHED_ROWS:,} are told from those "
    "that have tasks already, of which there may be as many; its tasks stay. Write what is new into another file"
)


def blob_plans(run: ImportRun, objects: Iterable[SourceObject], unshown: Unshown) -> Iterator[Plan]:
    """Yield what is to become of objects that are imported as they are, each as one row."""
    extra, data_key = run.options.extra_data or {}, run.data_key
    for obj in objects:
        if problem := obj.problem:
            yield Plan(obj, [Quarantine(None, problem)])
            continue
        if "?" in obj.info.key:
            unshown.note(obj)
        row = Row(0, Task({**extra, data_key: obj.url}), obj.info.version, None, len(obj.url))
        if obj.known_rows is None and _was_synced(run, obj):
            deleted = KnownRow(obj.path, 0, RowState.LIVE, 0, None, row.digest, None)
            obj.rows = 1
            yield Plan(obj, (), adopted=[deleted])
        elif obj.known_rows is None:
            yield Plan(obj, (create(run, obj, row, 0, None),))
        else:
            yield _plan_of_known(run, obj, lambda row=row: iter((row,)))  # type: ignore[misc]


def task_file_plans(run: ImportRun, read: Iterable[Read]) -> Iterator[Plan]:
    """Yield what is to become of task files."""
    for obj, content in read:
        if isinstance(content, NotFound):
            run.report.gone += 1
            continue
        plan = _task_file_plan(run, obj, content)
        # The plan holds as much of it as is needed still, and that only until it is carried out.
        del content
        yield plan
        del plan


def _task_file_plan(run: ImportRun, obj: SourceObject, content: bytes | str | Exception) -> Plan:
    if isinstance(content, str):
        return Plan(obj, [Quarantine(None, content)])
    if isinstance(content, Exception):
        # What a storage refuses, it may give another time.
        if isinstance(content, Denied):
            run.denied = run.denied or content
        return Plan(obj, [Quarantine(None, str(content), lasting=isinstance(content, TooLarge))])
    run.some_read = True
    run.report.bytes_read += len(content)
    # Where an object is no file, its key has no extension, whatever it ends with.
    name = name_of(run.source, obj.info.key)
    parsed = partial(task_files.rows, name, content, run.options.row_key, run.first_key)
    try:
        rows = parsed()
    except Invalid as error:
        return Plan(obj, [Quarantine(None, str(error))])
    if obj.known_rows is None and run.candidates is None:
        return Plan(obj, _all_new(run, obj, rows))
    first = iter([rows])
    # The file as a whole was checked: the rows of the first pass are at hand, later ones are parsed again.
    return _plan_of_known(run, obj, lambda: next(first, None) or parsed())


def _all_new(run: ImportRun, obj: SourceObject, rows: Iterable[Row | BadRow]) -> Iterator[Step]:
    for row in rows:
        if isinstance(row, BadRow):
            yield Quarantine(row.position, row.reason)
        elif problem := run.project.check(row.task):
            # The project would say the same, but only once the task was announced: there may be millions of such rows.
            yield Quarantine(row.position, problem)
        else:
            yield create(run, obj, row, row.position, None)


def _plan_of_known(run: ImportRun, obj: SourceObject, rows: Rows) -> Plan:
    """Match the rows with those that are known, and decide about each."""
    if obj.known_rows and obj.known_rows.count(obj.path) > MATCHED_ROWS:
        return Plan(obj, [Quarantine(None, TOO_MANY_ROWS)])
    known = obj.known_rows.take(obj.path) if obj.known_rows else []
    # An import that adopts decides anew about what was left undecided.
    dropped = [row for row in known if is_of_data_alone(row.digest)] if run.candidates else []
    known = [row for row in known if not is_of_data_alone(row.digest)] if dropped else known
    of_others = _numbered(run.candidates.of_object(obj.path), [*known, *dropped]) if run.candidates else []
    live = [row for row in known if row.state == RowState.LIVE] + of_others
    digests = {row.digest: row.digest for row in live}
    rows = _checked(run, rows, digests.keys())
    read = _to_be_matched(rows(), digests, most_bad=max(len(live), 1))
    if max(len(read), len(live)) > MATCHED_ROWS:
        return Plan(obj, [Quarantine(None, TOO_MANY_ROWS)])
    if read and all(row.digest is None for row in read):
        # A file that has become garbage says nothing of its rows.
        return Plan(obj, (Quarantine(row.position, row.reason) for row in rows() if isinstance(row, BadRow)))
    matched = match(live, read, by_key=run.options.row_key is not None)
    if matched.by_place_only and run.options.on_changed != "add":
        _warn_of_guess(run, obj, len(matched.known))
    if run.candidates:
        matched, more = _matched_anywhere(run.candidates, obj, read, matched, [*known, *dropped, *of_others])
        of_others += more
    left = _leftover(run, obj, read, matched, was_undecided=bool(dropped))
    decisions = Decisions(run, obj, read, known, of_others, matched, left)
    plan = decisions.plan
    plan.dropped, plan.steps = dropped, decisions.steps(rows)
    return plan


def _matched_anywhere(
    candidates: Candidates, obj: SourceObject, read: Sequence[ReadRow], matched: Match, numbered: Sequence[KnownRow]
) -> tuple[Match, list[KnownRow]]:
    """Match the rows that are left with tasks of equal data of which nothing tells the object, and return these."""
    left = [row for row in read if row.digest is not None and row.position not in matched.known]
    found = candidates.with_data(obj.path, Counter(data_part(row.digest or "") for row in left))
    more = match(_numbered(found, numbered), left)
    of_others = list(more.known.values())
    return Match(matched.known | more.known, matched.missing, matched.by_place_only, matched.held), of_others


def _numbered(rows: Iterable[KnownRow], others: Sequence[KnownRow]) -> list[KnownRow]:
    """Return rows with numbers that no other row of their object has."""
    first = max((row.number for row in others), default=-1) + 1
    return [replace(row, number=first + n) for n, row in enumerate(rows)]


def _leftover(
    run: ImportRun, obj: SourceObject, read: Sequence[ReadRow], matched: Match, *, was_undecided: bool
) -> Leftover:
    """Return what is known of the rows and tasks that are not matched, where others have made tasks of the object.

    :param was_undecided: whether an import before has not decided which of the rows some tasks are.
    """
    rows_left = len(matched.known) < len(read)
    if not (rows_left and run.own_sync) and not any(
        is_of_data_alone(row.digest) for row in (*matched.missing, *matched.held)
    ):
        return Leftover()
    was_synced = rows_left and _was_synced(run, obj, was_undecided=was_undecided)
    left = leftover(read, matched, was_synced=was_synced)
    if left.tail:
        run.unfinished.note(obj.info.key, left.tail)
    return left


def _was_synced(run: ImportRun, obj: SourceObject, *, was_undecided: bool = False) -> bool:
    """Tell whether Label Studio's own sync has imported an object that no import of this package has decided about."""
    if run.own_sync is None or run.options.restore_deleted:
        return False
    is_new = obj.known is None or obj.known.version is None
    if not (is_new or was_undecided):
        return False
    has_imported = run.own_sync.has_imported(obj.path, obj.info)
    run.without_evidence += not has_imported
    return has_imported


def _to_be_matched(
    rows: Iterable[Row | BadRow], digests: Mapping[str | None, str | None], most_bad: int
) -> list[ReadRow]:
    """Return the rows as they are matched.

    :param digests: of the known rows, by themselves: one text for both takes half the memory.
    :param most_bad: how many bad ones, one after another, are kept: more than there are known rows match none.
    """
    read, bad = list[ReadRow](), 0
    for row in rows:
        if isinstance(row, Row):
            bad = 0
            read.append(ReadRow(row.position, digests.get(row.digest, row.digest), row.key))
        elif bad < most_bad:
            bad += 1
            read.append(ReadRow(row.position, None, swallows=row.swallows))
        elif row.swallows:
            read[-1] = replace(read[-1], swallows=True)
        if len(read) > MATCHED_ROWS:
            break
    return read


def _checked(run: ImportRun, rows: Rows, known: Set[str | None]) -> Rows:
    """Give rows that the project would reject as bad ones, unless it has taken their content already.

    :param known: digests of what it has taken; of tasks that others made, of the data alone.
    """

    def is_known(digest: str) -> bool:
        return not known.isdisjoint((digest, of_data_alone(data_part(digest)), None))

    def checked() -> Iterator[Row | BadRow]:
        for row in rows():
            is_new = isinstance(row, Row) and not is_known(row.digest)
            problem = run.project.check(row.task) if is_new and isinstance(row, Row) else None
            yield BadRow(row.position, problem) if problem else row

    return checked


def _warn_of_guess(run: ImportRun, obj: SourceObject, paired: int) -> None:
    row_key = run.options.row_key
    log.warning(
        "%s: none of its rows is one that was imported before; by their place in the file, %d were taken for changed. "
        "If the file was replaced by another one, on_changed='add' makes new tasks of its rows%s",
        printable(obj.uri),
        paired,
        "; if its rows have names of their own, row_key matches them by these."
        if row_key is None
        else f". They were imported without row_key={row_key!r}, which matches them from now on.",
    )
