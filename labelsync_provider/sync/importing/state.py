"""What the steps of an import share: what it is given, what it has found, and objects on their way."""

import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from itertools import count

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from labelsync_provider import __version__
from labelsync_provider.errors import Denied
from labelsync_provider.formats.tasks.digests import data_part
from labelsync_provider.projects.protocol import OwnStorage, Project, TaskLook
from labelsync_provider.storages.protocol import ObjectInfo, Storage
from labelsync_provider.sync.importing.aside import SetAside
from labelsync_provider.sync.importing.bad_rows import BadRows
from labelsync_provider.sync.importing.candidates import Candidates
from labelsync_provider.sync.importing.ignored import IgnoredKeys
from labelsync_provider.sync.importing.options import ImportOptions
from labelsync_provider.sync.importing.own_sync import OwnSync
from labelsync_provider.sync.importing.unfinished import Unfinished
from labelsync_provider.sync.ledger.imports import ImportLedger
from labelsync_provider.sync.ledger.records import COMPLETE, OPEN, KnownObject, KnownRow, QuarantinedRow
from labelsync_provider.sync.report import Failure, ImportReport
from labelsync_provider.sync.runtime import Runtime

BECAME_EMPTY = "empty, and was not when it was imported; its tasks stay. Write it again, or delete it"
DELETED = "Label Studio's own sync has imported it, and somebody has deleted the task; restore_deleted brings it back"
LONGEST_REASON = 400
"""Characters of a reason that are kept: a server may repeat what is wrong, and that may be a whole row."""


def _effects() -> Iterator[str]:
    """Yield names of effects that no other run has."""
    run = secrets.token_urlsafe(6)
    return (f"{run}.{n}" for n in count())


def judged_by(project: Project, options: ImportOptions, data_key: str) -> str:
    """Return what decides whether an object or a row is bad; it is worth another try when this has changed."""
    deciding = (data_key, options.use_blob_urls, options.row_key, options.on_changed)
    text = msgspec.json.encode([__version__, project.label_config, deciding])
    return blake2b(text, digest_size=8).hexdigest()


@dataclass
class ImportRun:
    """One run: what it is given, and the report."""

    source: Storage
    project: Project
    ledger: ImportLedger
    options: ImportOptions
    data_key: str
    """Where a blob's URI goes in the task's data; empty for task files."""
    runtime: Runtime
    own_storages: Sequence[OwnStorage] = ()
    """The source storages of the project's own."""
    report: ImportReport = field(default_factory=ImportReport)
    has_other_name: bool = False
    """Whether the ledger knows the project by another `uri` too, under which tasks may have come in."""
    own_sync: OwnSync | None = None
    """What its own storages tell of the source; None unless the run adopts."""
    candidates: Candidates | None = None
    """Tasks that others made, and that rows may stand for; None unless the run adopts, and of task files."""
    without_evidence: int = 0
    """Objects with something that has no task, of which nothing tells whether the own sync has imported them."""
    unfinished: Unfinished = field(default_factory=Unfinished)
    effects: Iterator[str] = field(default_factory=_effects)
    aside: SetAside = field(default_factory=SetAside)
    ignored: IgnoredKeys = field(default_factory=IgnoredKeys)
    denied: Denied | None = None
    """The first refusal to let an object be read."""
    some_read: bool = False
    in_flight: int = 0
    """The most requests to the source that were in flight at any time."""
    others_listed: bool = False
    """Whether the source lists an object that `regex_filter` leaves out, and that is no marker."""
    overwritten: dict[tuple[str, int], str | None] = field(default_factory=dict)
    """By path and number of a row, the digest of what its task had before a late request overwrote it."""

    @cached_property
    def judged_by(self) -> str:
        """See the function of this name."""
        return judged_by(self.project, self.options, self.data_key)

    @property
    def first_key(self) -> str | None:
        """The first data key of the label config, which data without a name is meant for."""
        return next(iter(self.project.data_keys), None)

    def key(self, path: str) -> str:
        """Return the key of an object in the source."""
        return self.source.location.key(path)

    def uri(self, path: str) -> str:
        """Return the URI of an object in the source."""
        return self.source.object_uri(self.key(path))

    def was_refused(self, path: str, position: int | None) -> bool:
        """Tell whether an earlier run found that the project fails over a row, and over no other."""
        rows = self.ledger.quarantined([path])
        position = None if self.options.use_blob_urls else position
        return any(not row.lasting and row.position == position for row in rows)

    def set_aside(self, row: QuarantinedRow) -> None:
        """Count what goes into quarantine, and have it told."""
        # Of millions of bad rows, only those that are named are made fit to be shown.
        if self.report.is_full and self.aside.count_alike(row.reason, is_row=row.position is not None):
            self.report.quarantined_as(None)
            return
        failure = self.failure(row)
        self.report.quarantined_as(failure)
        self.aside.note(failure)

    def leave_deleted(self, row: KnownRow) -> None:
        """Count an object, or a row, whose task somebody has deleted, and have it told."""
        position = None if self.options.use_blob_urls else row.position
        self.report.not_restored_as(Failure(self.key(row.path), position, DELETED))

    def failure(self, row: QuarantinedRow) -> Failure:
        """Return what is in quarantine as the report shows it."""
        return Failure(self.key(row.path), row.position, row.reason)


def looked_at(project: Project, source: Storage, rows: Iterable[KnownRow]) -> dict[int, TaskLook]:
    """Look at the tasks of some rows of a source; return those that are there and were made from these."""
    with_task = {row.task: row for row in rows if row.task is not None}
    uris = {task: source.object_uri(source.location.key(row.path)) for task, row in with_task.items()}
    digests = {task: data_part(row.digest) for task, row in with_task.items() if row.digest}
    return project.look(uris, digests) if uris else {}


class KnownRows:
    """The rows that the ledger has of some objects, asked for together when the first one is needed."""

    def __init__(self, ledger: ImportLedger, counts: dict[str, int]) -> None:
        self._ledger, self._counts = ledger, counts
        self._rows: dict[str, list[KnownRow]] | None = None

    def count(self, path: str) -> int:
        """Return how many rows one of the objects has."""
        return self._counts[path]

    def take(self, path: str) -> list[KnownRow]:
        """Return the rows of one of the objects; they are not kept."""
        if self._rows is None:
            self._rows = self._ledger.rows_of(list(self._counts))
        return self._rows.pop(path)


class SourceObject(Struct, gc=False):
    """An object on its way into the project, with what has become of its rows."""

    path: str
    info: ObjectInfo
    uri: str
    url: str
    """What goes into the data of a blob's task: the URI, or a signed URL."""
    known: KnownObject | None
    known_rows: "KnownRows | None"
    """None if the ledger has no rows of it."""
    rows: int = 0
    """Good rows that are dealt with: each has a task, unless a person has deleted that."""
    bad: BadRows | None = None
    """What of it goes into quarantine; most objects spare one of nothing."""
    on_the_way: int = 0
    """Rows of which it is not known yet what becomes of them."""
    read_to_end: bool = False
    complete: bool = True
    """False when something was only reported, or may pass: then the next run looks again."""

    def set_aside(self, position: int | None, reason: str, *, lasting: bool) -> QuarantinedRow:
        """Put the object (no position), or a row of it, in quarantine.

        :param lasting: whether it stays as bad as it is until something changes.
        """
        said = reason if len(reason) <= LONGEST_REASON else f"{reason[:LONGEST_REASON]} ..."
        self.bad = self.bad or BadRows(self.path)
        self.complete &= lasting
        return self.bad.add(position, said, lasting=lasting)

    @property
    def problem(self) -> str | None:
        """Why nothing that could be imported is in it, if the listing tells already."""
        if self.info.problem is None and not self.info.size:
            return BECAME_EMPTY
        return self.info.problem

    def opened(self) -> KnownObject:
        """Return what is known of the object until it is dealt with: the next run looks at it, if this one does not."""
        known = self.known or KnownObject(self.path, None, OPEN, 0, 0, None)
        return replace(known, state=OPEN)

    def closed(self, judged_by: str) -> KnownObject:
        """Return what is known of the object once it is dealt with."""
        bad, state = self.bad.count if self.bad else 0, COMPLETE if self.complete else OPEN
        return KnownObject(self.path, self.info.version, state, self.rows, bad, judged_by if bad else None)
