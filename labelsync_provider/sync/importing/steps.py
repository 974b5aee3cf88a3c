"""Steps: what is to be done for an object and its rows, as data."""

from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from labelsync_provider.formats.tasks.digests import data_part, with_annotations_of, with_skip_of
from labelsync_provider.formats.tasks.rows import Row
from labelsync_provider.projects.protocol import Json, Task, TaskUpdate, UpdateOutcome
from labelsync_provider.sync.importing.state import ImportRun, SourceObject
from labelsync_provider.sync.ledger.records import KnownRow, RowState


class Create(Struct, gc=False):
    """A task to be created."""

    obj: SourceObject
    task: Task
    effect: str
    row: KnownRow
    """As it is known once the task is there, but for its task."""
    replaces: KnownRow | None
    """The row whose task it supersedes."""
    annotators_unknown: int
    """Annotations that go in under another name."""
    size: int
    """In bytes."""


class Update(Struct, gc=False):
    """A task to be updated."""

    obj: SourceObject
    effect: str
    update: TaskUpdate
    before: KnownRow
    row: KnownRow
    """As it is known once the task is updated."""
    digest: str
    """Of the row as it stands in the file."""
    only_annotations: bool
    """Whether nothing else has changed: then nothing is to be done for a task that somebody works on."""
    size: int
    """In bytes."""


class Quarantine(Struct, gc=False):
    """An object (no position), or a row of it, to be put in quarantine."""

    position: int | None
    reason: str
    lasting: bool = True


Step = Create | Update | Quarantine


class Plan(Struct, gc=False):
    """What is to become of an object."""

    obj: SourceObject
    steps: Iterable[Step]
    changed_rows: Sequence[KnownRow] = ()
    """Rows of the ledger as they are from now on: in another position, superseded, or live again."""
    missing: Sequence[KnownRow] = ()
    adopted: Sequence[KnownRow] = ()
    """Rows that are new to the ledger, and whose tasks others made; without a task if somebody has deleted that."""
    missing_of_others: int = 0
    """Of these, those that are in the object no more."""
    dropped: Sequence[KnownRow] = ()
    """Rows to be forgotten: nothing is known of their tasks any more."""
    unchanged: int = 0
    changed: int = 0
    """Of the rows that have changed, those of which that is only reported, or whose content had a task before, which
    stands for them again."""
    new: int = 0
    """Of the rows that are new, those whose content had a task before, which stands for them again."""


def create(run: ImportRun, obj: SourceObject, row: Row, number: int, replaces: KnownRow | None) -> Create:
    """Return what makes a task of a row.

    :param number: of the row in the ledger.
    :param replaces: the row whose task the new one supersedes.
    """
    effect = next(run.effects)
    task = _noted(run, obj, row, effect, row.digest)
    unknown = run.project.adapt(task) if task.annotations or task.predictions else 0
    known = KnownRow(obj.path, number, RowState.LIVE, row.position, None, row.digest, row.key)
    return Create(obj, task, effect, known, replaces, unknown, row.size)


def update_of(run: ImportRun, obj: SourceObject, row: Row, before: KnownRow) -> Update:
    """Return what brings a row that has changed into the task that stands for it.

    :param before: the row as it is known, at the position where it stands now.
    """
    effect, digest = next(run.effects), row.digest
    if not run.options.use_blob_urls:
        # What cannot be written has not changed in the task, and stays reported.
        digest = with_skip_of(digest, before.digest or "")
    task = _noted(run, obj, row, effect, digest)
    run.project.adapt(task)
    update = TaskUpdate(obj.uri, task.meta)
    if run.options.use_blob_urls:
        # The constant values are for new tasks: somebody may have changed them since.
        update.data, update.merge_data = {run.data_key: obj.url}, True
    else:
        update.predictions, update.annotations = task.predictions, task.annotations
        update.data_digest = data_part(before.digest or "")
        if data_part(before.digest or "") != data_part(row.digest):
            update.data = task.data
    only_annotations = with_annotations_of(digest, before.digest or "") == before.digest
    row_after = replace(before, digest=digest)
    return Update(obj, effect, update, before, row_after, row.digest, only_annotations, row.size)


def known_after(update: Update, outcome: UpdateOutcome) -> KnownRow:
    """Return what is known of a row once its update was requested."""
    before, row = update.before, update.row
    if outcome == "updated":
        return row
    if outcome == "gone":
        return replace(row, task=None, digest=update.digest)
    if outcome == "in_part":
        # The annotations of the file were held back: they stay reported as changed.
        return replace(row, digest=with_annotations_of(row.digest or "", before.digest or ""))
    return before


def _noted(run: ImportRun, obj: SourceObject, row: Row, effect: str, digest: str) -> Task:
    """Return the row's task with its source reference in `meta`."""
    note: Json = {"uri": obj.uri, "row": None, "version": obj.info.version, "effect": effect}
    if not run.options.use_blob_urls:
        # The digest tells, of a task alone, whether its row has changed: a lost ledger is rebuilt with it.
        note |= {"row": row.position, "digest": digest}
        if row.key is not None:
            note["key"] = row.key
    row.task.meta["labelsync"] = note
    if row.ignored:
        run.report.ignored_keys += run.ignored.note(obj.info.key, row)
    return row.task
