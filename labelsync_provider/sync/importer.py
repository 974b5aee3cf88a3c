"""The importer: objects of a source become tasks of a project, each exactly once.

One way, as a stream: list pages -> filter -> compare with the ledger -> read what is new -> parse into rows
-> match with the rows imported earlier -> batches -> project -> ledger. The stages are generators that pull
from each other, so that only a bounded window of objects and rows is held at any time.
"""

import logging
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Literal, TypeGuard

from msgspec import Struct
from sqlalchemy import Engine

from labelsync_provider.database import chunks
from labelsync_provider.errors import (
    Denied,
    EmptyListing,
    Invalid,
    NotFound,
    StoragesOverlap,
    TooManyMissing,
    TooManyQuarantined,
    check_flags,
    check_whole_numbers,
    invalid,
)
from labelsync_provider.projects.protocol import Json, Project, Rejected, Task
from labelsync_provider.storages.protocol import ObjectInfo, Storage, span
from labelsync_provider.sync import task_files
from labelsync_provider.sync.compare import compare
from labelsync_provider.sync.lease import LEASE_SECONDS, Lease
from labelsync_provider.sync.ledger import (
    BLOB_ROW,
    Changes,
    IntendedTask,
    KnownObject,
    KnownTask,
    Ledger,
    Reference,
)
from labelsync_provider.sync.moving_in import move_in
from labelsync_provider.sync.progress import Progress
from labelsync_provider.sync.report import FAILURES_SHOWN, Failure, ImportReport
from labelsync_provider.sync.sender import Pending, Sender
from labelsync_provider.sync.task_files import BadRow, Row

log = logging.getLogger(__name__)

BATCH_BYTES = 8 * 1024 * 1024
"""A batch is sent when its rows are this many bytes, however few they are."""

FIRST_BATCH = 250
"""So many tasks are sent first to a project elsewhere, which would have to wait for a whole batch to be read."""

LOOKED_AT = 20
WAITING = 2.0
"""Reading is waiting when most of so many objects in a row took so many times what was computed for them. That a few
did is no sign: a busy machine has everybody wait now and then."""

READ_TOGETHER = 16
"""Small objects that one thread reads in a row: handing them over one by one costs more than reading them."""
SMALL_BYTES = 64 * 1024
READ_AHEAD_BYTES = 32 * 1024 * 1024

ENTRIES_AT_ONCE = 5000
"""Entries wait for the next batch, whose announcement is in the same transaction; without one, for this many."""

MISSING_SHARE = 0.1

CHOICES = {
    "url_mode": ("storage", "signed"),
    "on_changed": ("report", "update", "add"),
    "on_missing": ("report", "delete"),
}


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """How to import; the names are the operator's."""

    regex_filter: str | None = None
    use_blob_urls: bool = False
    url_mode: Literal["storage", "signed"] = "storage"
    presign_ttl: int = 15
    data_key: str | None = None
    on_changed: Literal["report", "update", "add"] = "report"
    on_missing: Literal["report", "delete"] = "report"
    max_delete: int | None = None
    max_quarantined: int | None = None
    dry_run: bool = False
    batch_size: int = 1000
    max_workers: int = 32
    adopt: bool = False
    restore_deleted: bool = False
    min_seconds_between_batches: float = 0
    lease_seconds: float = LEASE_SECONDS

    def __post_init__(self) -> None:
        """Check each value.

        :raises Invalid: one of them cannot be.
        """
        check_flags(self, "use_blob_urls", "dry_run", "adopt", "restore_deleted")
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise invalid(name, getattr(self, name), "unknown", f"Use one of {', '.join(map(repr, allowed))}.")
        if self.url_mode == "signed" and not self.use_blob_urls:
            remedy = "Set use_blob_urls=True, or leave url_mode out: what stands in task files is imported as it is."
            raise invalid("url_mode", self.url_mode, "only the URIs of blobs are signed", remedy)
        if not isinstance(self.min_seconds_between_batches, int | float) or self.min_seconds_between_batches < 0:
            value = self.min_seconds_between_batches
            raise invalid("min_seconds_between_batches", value, "no length of time", "Use a number of seconds from 0.")
        check_whole_numbers(self, presign_ttl=1, batch_size=1, max_workers=1, max_delete=0, max_quarantined=0)
        if self.regex_filter:
            try:
                re.compile(self.regex_filter)
            except re.error as error:
                remedy = "It is a regular expression of Python's, matched from the start of the key."
                raise invalid("regex_filter", self.regex_filter, str(error), remedy) from error


class _Object(Struct, gc=False):
    """An object on its way into the project, with what has become of its rows."""

    path: str
    info: ObjectInfo
    uri: str
    url: str
    """What goes into the data of a blob's task: the URI, or a signed URL."""
    known: bool
    """Whether the ledger has an entry for it, in another version."""
    has_tasks: bool
    """Whether rows of it were imported, completely or by a run that was killed."""
    rows: int = 0
    bad: list[tuple[int, str]] | None = None
    """Row and reason of what is in quarantine, if anything is."""
    on_the_way: int = 0
    read_to_end: bool = False
    settled: bool = True
    """False when something was only reported: then the entry stays old, and the next run looks again."""


Content = Iterable[Row | BadRow]
Read = tuple[_Object, bytes | Invalid | Denied | NotFound]

_Pending = Pending[_Object]


def import_storage(
    source: Storage, project: Project, engine: Engine, options: ImportOptions, holder: str
) -> ImportReport:
    """Import what is new in a source, and report the rest.

    :param engine: the database of the ledger.
    :param holder: who runs this, in words that tell a person where to look.
    :raises Invalid: `data_key` is needed and not given.
    :raises EmptyListing: the source lists nothing where the ledger knows objects.
    :raises StoragesOverlap: the project's annotations are exported to where the source is.
    :raises TooManyMissing: more tasks would be deleted than allowed; none was.
    :raises TooManyQuarantined: with the good objects imported.
    :raises LeaseHeld: another run imports into this project.
    """
    data_key = _data_key(project, options)
    if options.dry_run:
        ledger = Ledger(engine, project.uri, source.place, span(source), confirm=None, blob=options.use_blob_urls)
        if not ledger.storages("source"):
            # What it would learn from the project is entered where it can be thrown away.
            ledger = ledger.blank()
        return _Import(source, project, ledger, options, data_key).run()
    with Lease(engine, f"import into {project.uri}", holder, options.lease_seconds) as lease:
        project.fence(lease.token)
        ledger = Ledger(
            engine, project.uri, source.place, span(source), confirm=lease.confirm, blob=options.use_blob_urls
        )
        return _Import(source, project, ledger, options, data_key).run()


def _data_key(project: Project, options: ImportOptions) -> str:
    if not options.use_blob_urls or options.data_key:
        return options.data_key or ""
    if not project.data_keys:
        remedy = "Give data_key, or a label config with an object tag such as <Image name='image' value='$image'/>."
        raise invalid("data_key", options.data_key, f"the label config of {project.title!r} has no data key", remedy)
    return project.data_keys[0]


class _Import:
    """One run. Its stages stand in the order in which objects pass through them."""

    def __init__(
        self, source: Storage, project: Project, ledger: Ledger, options: ImportOptions, data_key: str
    ) -> None:
        self._source, self._project, self._ledger = source, project, ledger
        self._options, self._data_key = options, data_key
        self._matches = re.compile(options.regex_filter or "").match
        self._report = ImportReport()
        self._progress = Progress(log, "listed")
        self._unmatched: str | None = None
        self._sender = Sender(project, ledger, self._account, options.min_seconds_between_batches)
        self._denied: Denied | None = None
        self._some_read = False
        self._arrived: set[Reference] = set()
        """What a dry run finds to have arrived and may not enter."""
        self._deletable = 0
        self._allowed = 0
        self._doomed: list[KnownTask] = []
        self._gone: list[KnownTask] = []
        """Tasks of missing objects that are there no longer, deleted by a person or a run that was killed."""

    def run(self) -> ImportReport:
        started = time.monotonic()
        report, options = self._report, self._options
        self._warn()
        self._refuse_overlap()
        self._refuse_namesakes()
        arrived = self._sender.settle()
        if options.dry_run:
            self._arrived = arrived
        if not self._ledger.read_only:
            self._move_in()
            self._ledger.enter_storage("source", self._source.origin)
        if options.restore_deleted and not options.dry_run:
            self._restore_deleted()
        if options.on_missing == "delete":
            share = int(self._ledger.count_tasks() * MISSING_SHARE)
            self._allowed = max(1, share) if options.max_delete is None else options.max_delete
        batches = self._batches(self._rows(self._contents(self._fresh())))
        if options.dry_run:
            self._try_out(batches)
        else:
            self._send_all(batches)
        self._judge_listing()
        report.seconds = time.monotonic() - started
        if self._denied and not (self._some_read or report.unchanged):
            raise Denied(f"{self._denied} None of what was to be read could be. Report: {report}")
        self._judge_quarantine()
        self._delete_missing()
        report.seconds = time.monotonic() - started
        log.info("%s%s: %s", "Dry run, nothing was written. " if options.dry_run else "", self._source.uri, report)
        return report

    def _warn(self) -> None:
        options = self._options
        if options.url_mode == "signed":
            log.warning(
                "The URLs in the tasks expire %d minutes after they were listed. URIs (url_mode='storage') do not.",
                options.presign_ttl,
            )
        elif options.use_blob_urls and not self._source.holds_files:
            log.warning("%s: Label Studio cannot show values under their URIs.", self._source.uri)

    def _refuse_overlap(self) -> None:
        source = self._source
        for target in self._ledger.storages("target"):
            if target.overlaps(source):
                raise StoragesOverlap(
                    f"source={source.uri!r}: annotations of project {self._project.title!r} are exported to "
                    f"{target.base or '/'!r} there, which would come back as tasks. Import from, or export to, another "
                    f"{'directory' if source.holds_files else 'database'}."
                )

    def _refuse_namesakes(self) -> None:
        """Refuse a source whose objects have the names of others; one that has only moved is the same."""
        source = self._source
        if not any(used.is_namesake(source.origin, span(source)) for used in self._ledger.storages("source")):
            return
        known = False
        for found in compare(source.list(), source.base, self._ledger.objects_between, self._ledger.objects_at):
            if found.unchanged:
                return
            known |= bool(found.missing) or any(before for _, _, before in found.fresh)
        if known:
            raise Invalid(
                f"source={source.uri!r}: project {self._project.title!r} has objects of the same names from elsewhere, "
                f"and none of them is the same in {source.origin}. Import these into another project; or, for local "
                "files, set the Path of the connection to a directory above both."
            )

    def _move_in(self) -> None:
        """Learn from the project's tasks what was imported, if the ledger cannot tell or is asked to look again."""
        options = self._options
        if options.adopt or not self._ledger.storages("source"):
            by_data = options.adopt and options.use_blob_urls
            self._report.adopted = move_in(self._project, self._source, self._ledger, by_data=by_data)
            if self._report.adopted:
                log.info("%d tasks of %s were known to the project only.", self._report.adopted, self._source.place)

    def _restore_deleted(self) -> None:
        """Forget the tasks that somebody has deleted from the project, so that their rows are new."""
        for tasks in self._ledger.tasks_by_id():
            there = self._project.annotated([known.task for known in tasks])
            deleted = [known for known in tasks if known.task not in there]
            if deleted:
                self._ledger.enter(Changes(dropped=deleted))
                self._ledger.reopen({known.path for known in deleted})

    # --- list, filter, compare ---

    def _fresh(self) -> Iterator[_Object]:
        """Yield the objects that are new or have changed."""
        object_uri, signed = self._source.object_uri, self._options.url_mode == "signed"
        ledger = self._ledger
        for differences in compare(self._matching(), self._source.base, ledger.objects_between, ledger.objects_at):
            self._count_unchanged(differences.unchanged)
            self._note_missing(differences.missing)
            with_tasks = ledger.paths_with_tasks([path for path, _, _ in differences.fresh])
            uris = [object_uri(info.key) for _, info, _ in differences.fresh]
            urls = self._signed([info for _, info, _ in differences.fresh]) if signed else uris
            for (path, info, known), uri, url in zip(differences.fresh, uris, urls, strict=True):
                yield _Object(path, info, uri, url, known is not None, path in with_tasks)
            self._progress(self._report.listed, self._report)

    def _signed(self, objects: Sequence[ObjectInfo]) -> Sequence[str]:
        keys = [info.key for info in objects]
        return self._source.sign(keys, timedelta(minutes=self._options.presign_ttl)) if keys else ()

    def _matching(self) -> Iterator[list[ObjectInfo]]:
        report = self._report
        for page in self._source.list():
            report.listed += len(page)
            objects = [info for info in page if info.size or not info.key.endswith("/")]
            if self._options.regex_filter:
                page, objects = objects, [info for info in objects if self._matches(info.key)]
                if self._unmatched is None and len(objects) < len(page):
                    self._unmatched = next(info.key for info in page if not self._matches(info.key))
            report.matched += len(objects)
            yield objects

    def _count_unchanged(self, unchanged: list[KnownObject]) -> None:
        report = self._report
        report.unchanged += sum([known.rows for known in unchanged])
        in_quarantine = [known for known in unchanged if known.quarantined]
        if in_quarantine:
            report.quarantined += sum([known.quarantined for known in in_quarantine])
            shown = in_quarantine[: FAILURES_SHOWN - len(report.quarantine)]
            failures = (self._failure(*entry) for entry in self._ledger.reasons([known.path for known in shown]))
            report.quarantine.extend(islice(failures, FAILURES_SHOWN - len(report.quarantine)))

    def _note_missing(self, missing: list[KnownObject]) -> None:
        missing = [known for known in missing if self._in_scope(self._key(known.path))]
        if not missing:
            return
        without_tasks = []
        for known in missing:
            self._report.missing += known.rows
            # Of an object in quarantine, tasks of an earlier version may be left that it does not count.
            if known.quarantined or self._options.on_missing == "delete":
                tasks = self._ledger.tasks_of(known.path)
                self._report.missing += sum([not task.superseded for task in tasks]) - known.rows
                if self._options.on_missing == "delete":
                    self._doom(tasks)
                if not tasks:
                    without_tasks.append(known.path)
        if without_tasks and not self._options.dry_run:
            self._ledger.forget(without_tasks)

    def _in_scope(self, key: str) -> bool:
        return self._source.covers(key) and self._matches(key) is not None

    # --- read ---

    def _contents(self, fresh: Iterable[_Object]) -> Iterator[tuple[_Object, Content]]:
        """Read what must be read; yield each object with its rows."""
        if self._options.use_blob_urls:
            for item in fresh:
                if item.info.problem:
                    self._quarantine_object(item, item.info.problem)
                else:
                    yield item, (self._blob(item),)
            return
        for item, read in self._read_all(self._worth_reading(fresh)):
            try:
                if isinstance(read, Exception):
                    raise read
                content = task_files.rows(item.info.key, read)
            except NotFound:
                self._report.gone += 1
            except (Invalid, Denied) as error:
                if isinstance(error, Denied):
                    # Permission comes without a new version of the object: entered without one, it is tried again.
                    item.info = item.info._replace(version="")
                    self._denied = self._denied or error
                self._quarantine_object(item, str(error))
            else:
                self._some_read = True
                self._report.bytes_read += item.info.size
                yield item, content

    def _blob(self, item: _Object) -> Row:
        return Row(BLOB_ROW, Task({self._data_key: item.url}), digest=item.info.version, size=len(item.url))

    def _worth_reading(self, fresh: Iterable[_Object]) -> Iterator[_Object]:
        for item in fresh:
            info = item.info
            problem = info.problem or task_files.size_problem(info.size)
            if not problem and self._source.holds_files:
                problem = task_files.name_problem(info.key)
            if problem:
                self._quarantine_object(item, problem)
            else:
                yield item

    def _read_all(self, items: Iterator[_Object]) -> Iterator[Read]:
        """Read: here as long as reading is computing, in threads once it proves to be waiting.

        Threads that compute take turns, at a price: files in a warm cache are read thrice as fast without. So they only
        read; to parse is for whoever takes what they have read.
        """
        looked_at = waited = 0
        for item in items:
            started, computing = time.perf_counter(), time.thread_time()
            read = self._read(item.info)
            took, computed = time.perf_counter() - started, time.thread_time() - computing
            waited += took > WAITING * computed
            yield item, read
            looked_at += 1
            if looked_at == LOOKED_AT:
                if waited > LOOKED_AT // 2:
                    yield from self._read_ahead(items)
                looked_at = waited = 0

    def _read_ahead(self, items: Iterable[_Object]) -> Iterator[Read]:
        """Read in threads, a bounded number of objects and bytes ahead of the import."""
        ahead: deque[tuple[int, Future[list[Read]]]] = deque()
        ahead_bytes, ahead_most = 0, 2 * self._options.max_workers
        with ThreadPoolExecutor(self._options.max_workers, thread_name_prefix="labelsync-read") as pool:
            try:
                for together in _together(items, self._options.max_workers):
                    size = sum([item.info.size for item in together])
                    while ahead and (len(ahead) >= ahead_most or ahead_bytes + size > READ_AHEAD_BYTES):
                        read_bytes, read = ahead.popleft()
                        ahead_bytes -= read_bytes
                        yield from read.result()
                    ahead.append((size, pool.submit(self._read_together, together)))
                    ahead_bytes += size
                while ahead:
                    yield from ahead.popleft()[1].result()
            finally:
                for _, read in ahead:
                    read.cancel()

    def _read_together(self, items: list[_Object]) -> list[Read]:
        return [(item, self._read(item.info)) for item in items]

    def _read(self, info: ObjectInfo) -> bytes | Invalid | Denied | NotFound:
        try:
            return self._source.read(info.key)
        except (Invalid, Denied, NotFound) as error:
            return error

    # --- match with what was imported earlier ---

    def _rows(self, contents: Iterable[tuple[_Object, Content]]) -> Iterator[_Pending]:
        """Yield the rows that are to be imported."""
        for item, content in contents:
            if item.has_tasks:
                yield from self._match(item, content)
            else:
                for row in content:
                    if self._is_good(row, item):
                        yield self._pending(item, row)
            self._finish(item)

    def _is_good(self, row: Row | BadRow, item: _Object) -> TypeGuard[Row]:
        """Tell whether a row is one to go on with; put it in quarantine if it is bad."""
        if isinstance(row, BadRow):
            self._quarantine_row(item, row.index, row.reason)
            return False
        if self._arrived and _reference(item, row) in self._arrived:
            item.rows += 1
            self._report.unchanged += 1
            return False
        return True

    def _match(self, item: _Object, content: Content) -> Iterator[_Pending]:
        """Match by content first: a row that only moved is unchanged. What is left is matched by its place."""
        before = self._ledger.tasks_of(item.path)
        superseded = {known.digest: known for known in before if known.superseded}
        left: dict[str, list[KnownTask]] = {}
        for known in before:
            if not known.superseded:
                left.setdefault(known.digest, []).append(known)
        different: list[Row] = []
        for row in content:
            if not self._is_good(row, item):
                continue
            if same := left.get(row.digest):
                self._keep(item, row, same.pop(0))
                self._report.unchanged += 1
            else:
                different.append(row)
        for known in left.pop("", ()):
            # Adopted by its URI: it is taken to be what is listed.
            row = different.pop()  # the one of a blob
            self._sender.entries.dropped.append(known)
            self._sender.entries.created.append((_reference(item, row), known.task))
            item.rows += 1
            self._report.unchanged += 1
        there = {known.position: known for same in left.values() for known in same}
        vanished = [known for same in left.values() for known in same if there[known.position] is not known]
        for index, _ in item.bad or ():
            there.pop(index, None)  # in quarantine, not vanished
        for row in different:
            changed = there.pop(row.index, None)
            again = superseded.pop(row.digest, None)
            if changed and self._options.on_changed != "add":
                self._change(item, row, changed)
            elif again:
                self._sender.entries.revived.append(again)
                self._sender.entries.superseded.extend([changed] if changed else [])
                self._keep(item, row, again)
                self._report.new += not changed
                self._report.changed += bool(changed)
            else:
                yield self._pending(item, row, changed)
        vanished += there.values()
        self._report.missing += len(vanished)
        if vanished:
            item.settled = False
            if self._options.on_missing == "delete":
                self._doom(vanished)

    def _keep(self, item: _Object, row: Row, known: KnownTask) -> None:
        item.rows += 1
        if known.position != row.index:
            moved = Reference(known.path, known.row, known.version, known.digest, row.index)
            self._sender.entries.created.append((moved, known.task))

    def _change(self, item: _Object, row: Row, known: KnownTask) -> None:
        """Act on a row whose content has changed, or only report it."""
        task = self._task(item, row)
        outcome: str | Rejected = "reported"
        if self._options.on_changed == "update":
            if problem := self._project.check(task):
                outcome = Rejected(problem)
            elif self._options.dry_run:
                there = self._project.annotated([known.task])
                outcome = "gone" if known.task not in there else "annotated" if there[known.task] else "updated"
            else:
                outcome = self._project.update_task(known.task, task)
        if isinstance(outcome, Rejected):
            item.settled = False
            self._quarantine_row(item, row.index, outcome.reason)
            return
        self._report.changed += 1
        self._report.tasks_updated += outcome == "updated"
        item.rows += 1
        if outcome in ("updated", "gone"):
            # A task that somebody deleted does not come back: its reference stays, for the new version.
            self._sender.entries.dropped.append(known)
            self._sender.entries.created.append((_reference(item, row), known.task))
        else:
            item.settled = False

    def _pending(self, item: _Object, row: Row, replaces: KnownTask | None = None) -> _Pending:
        item.on_the_way += 1
        return Pending(self._task(item, row), IntendedTask(item.uri, _reference(item, row), replaces), item, row.size)

    def _task(self, item: _Object, row: Row) -> Task:
        """Return the row's task with its source reference in `meta`."""
        note: Json = {"uri": item.uri, "row": None, "version": item.info.version}
        if row.index != BLOB_ROW:
            # The digest tells, of a task alone, whether its row has changed: a lost ledger is rebuilt with it.
            note |= {"row": row.index, "digest": row.digest}
        row.task.meta["labelsync"] = note
        self._report.annotators_unknown += self._project.adapt(row.task)
        return row.task

    # --- write ---

    def _batches(self, rows: Iterable[_Pending]) -> Iterator[list[_Pending]]:
        batch: list[_Pending] = []
        size, most = 0, self._options.batch_size
        if self._project.remote:
            most = min(most, FIRST_BATCH)
        for pending in rows:
            batch.append(pending)
            size += pending.size
            if len(batch) >= most or size >= BATCH_BYTES:
                yield batch
                batch, size, most = [], 0, self._options.batch_size
        if batch:
            yield batch

    def _send_all(self, batches: Iterable[list[_Pending]]) -> None:
        with self._sender.sending():
            for batch in batches:
                self._sender.send(batch)
                self._progress(self._report.listed, self._report)

    def _try_out(self, batches: Iterable[list[_Pending]]) -> None:
        for batch in batches:
            reasons = [self._project.check(pending.task) for pending in batch]
            self._account(batch, [Rejected(reason) if reason else 0 for reason in reasons])
            self._progress(self._report.listed, self._report)

    def _account(self, batch: Sequence[_Pending], outcomes: Sequence[int | Rejected]) -> None:
        entries, changed, created = self._sender.entries, 0, 0
        for pending, outcome in zip(batch, outcomes, strict=True):
            item, intended = pending.item, pending.intended
            item.on_the_way -= 1
            if isinstance(outcome, Rejected):
                self._quarantine_row(item, intended.reference.row, outcome.reason)
            else:
                item.rows += 1
                created += 1
                entries.created.append((intended.reference, outcome))
                if intended.replaces:
                    changed += 1
                    entries.superseded.append(intended.replaces)
            if item.read_to_end and not item.on_the_way:
                self._close(item)
        report = self._report
        if created and not self._options.dry_run:
            ids = [outcome for outcome in outcomes if isinstance(outcome, int)]
            ids.extend(report.created_ids)
            report.created_ids = [min(ids), max(ids)]
        report.tasks_created += created
        report.changed += changed
        report.new += created - changed

    def _finish(self, item: _Object) -> None:
        item.read_to_end = True
        if not item.on_the_way:
            self._close(item)
        if len(self._sender.entries.objects) >= ENTRIES_AT_ONCE and not self._options.dry_run:
            self._sender.enter()

    def _close(self, item: _Object) -> None:
        """Enter an object: all that is to become of its rows is known."""
        bad = item.bad or ()
        if item.settled:
            self._sender.entries.objects.append(KnownObject(item.path, item.info.version, item.rows, len(bad)))
        if item.known:
            self._sender.entries.cleared.append(item.path)
        if bad:
            self._sender.entries.quarantine.extend([(item.path, row, reason) for row, reason in bad])

    def _quarantine_object(self, item: _Object, reason: str) -> None:
        self._quarantine_row(item, BLOB_ROW, reason)
        self._finish(item)

    def _quarantine_row(self, item: _Object, row: int, reason: str) -> None:
        if item.bad is None:
            item.bad = []
        item.bad.append((row, reason))
        failure = self._failure(item.path, row, reason)
        self._report.quarantined_as(failure)
        if self._report.quarantined <= FAILURES_SHOWN:
            log.warning("Quarantined %s", failure)

    def _failure(self, path: str, row: int, reason: str) -> Failure:
        return Failure(self._key(path), None if row == BLOB_ROW else row, reason)

    def _key(self, path: str) -> str:
        return path.removeprefix(self._source.base)

    # --- judge, and delete ---

    def _judge_listing(self) -> None:
        report, source = self._report, self._source.uri
        if not report.listed and report.missing:
            raise EmptyListing(
                f"source={source!r} lists nothing, but {report.missing:,} tasks of {self._project.title!r} came from "
                "there. Nothing was deleted. Is the disk mounted, the bucket the right one? Put the objects back, or "
                "leave this source out."
            )
        if not report.listed:
            log.warning("source=%r lists no object.", source)
        elif not report.matched:
            log.warning(
                "regex_filter=%r matches none of the %s objects of %s; it is matched from the start of the key, and "
                "%r, for one, does not match.",
                self._options.regex_filter,
                f"{report.listed:,}",
                source,
                self._unmatched,
            )

    def _judge_quarantine(self) -> None:
        report, most = self._report, self._options.max_quarantined
        if most is not None and report.quarantined > most:
            raise TooManyQuarantined(
                f"{report.quarantined:,} objects or rows of {self._source.uri} are in quarantine, max_quarantined is "
                f"{most:,}; everything else is imported. Mend them, or allow more. The first: "
                f"{'; '.join(map(str, report.quarantine[:3]))}. Report: {report}"
            )

    def _doom(self, tasks: Sequence[KnownTask]) -> None:
        """Note tasks to be deleted at the end of the run, as long as they are not too many."""
        annotated = self._project.annotated([known.task for known in tasks])
        self._gone.extend(known for known in tasks if known.task not in annotated)
        free = [known for known in tasks if annotated.get(known.task) is False]
        self._deletable += len(free)
        if self._deletable <= self._allowed:
            self._doomed.extend(free)

    def _delete_missing(self) -> None:
        if self._deletable > self._allowed:
            raise TooManyMissing(
                f"{self._deletable:,} tasks without annotations are missing in {self._source.uri}, max_delete allows "
                f"{self._allowed:,}; none was deleted. Put the objects back, or set max_delete to at least "
                f"{self._deletable}. Report: {self._report}"
            )
        if self._options.dry_run:
            self._report.tasks_deleted = len(self._doomed)
            return
        for some in chunks(self._doomed, self._options.batch_size):
            uris = {known.task: self._source.object_uri(self._key(known.path)) for known in some}
            deleted = self._project.delete_tasks(uris)
            dropped = [known for known in some if known.task in deleted]
            self._report.tasks_deleted += len(dropped)
            self._forget(dropped)
        self._forget(self._gone)

    def _forget(self, tasks: list[KnownTask]) -> None:
        if tasks:
            self._ledger.enter(Changes(dropped=tasks))
            self._ledger.forget({known.path for known in tasks})


def _together(items: Iterable[_Object], threads: int) -> Iterator[list[_Object]]:
    """Group small objects for one thread; a larger one goes alone. What comes first is waited for: not in groups."""
    group: list[_Object] = []
    groups = 0
    for item in items:
        if item.info.size > SMALL_BYTES:
            yield [item]
            continue
        group.append(item)
        if len(group) > min(groups // threads, READ_TOGETHER - 1):
            yield group
            group = []
            groups += 1
    if group:
        yield group


def _reference(item: _Object, row: Row) -> Reference:
    return Reference(item.path, row.index, item.info.version, row.digest, row.index)
