"""The sender: brings batches of tasks into a project so that each arrives once, whatever becomes of the answers.

A batch is announced in the ledger before it is sent. What an answer does not tell, or a run that was killed left open,
is found out by reading back the tasks above the highest id from before. Nothing is sent twice to find out.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from msgspec import Struct

from labelsync_provider.errors import Unavailable
from labelsync_provider.projects.protocol import Project, Rejected, Task
from labelsync_provider.sync.ledger import Changes, IntendedBatch, IntendedTask, Ledger, Reference

log = logging.getLogger(__name__)

LOOKS_AFTER_SECONDS = (0.0, 0.5, 1.0, 2.0, 4.0)
"""Waits before each look for a batch whose answer did not come: the project may still be at work on it."""
ATTEMPTS = 5
"""So often a batch is sent that was not found in the project afterwards; then the run gives up."""
DOUBT_SECONDS = 3600.0
"""So long a request that was given up is thought to be able to arrive after all."""

T = TypeVar("T")
Outcome = int | Rejected
Key = tuple[Any, Any, Any]


class Pending(Struct, Generic[T], gc=False):
    """A task on its way into the project."""

    task: Task
    intended: IntendedTask
    item: T
    """What it is part of, for whoever accounts for it."""
    size: int
    """In bytes."""


Batch = list[Pending[T]]
_Arrived = tuple[Batch[T], int | None, list[Outcome]]
"""A batch, its number in the ledger, and what became of its tasks."""


@dataclass(frozen=True, slots=True)
class _Sent(Generic[T]):
    """A batch that is on the way."""

    batch: Batch[T]
    number: int | None
    after_task: int
    answer: Future[list[Outcome]]


class Sender(Generic[T]):
    """Sends for one run. `entries` is what the run has to enter in the ledger besides; it goes with the next batch."""

    def __init__(
        self, project: Project, ledger: Ledger, account: Callable[[Batch[T], Sequence[Outcome]], None], pause: float
    ) -> None:
        """Prepare to send.

        :param account: told of each batch what became of its tasks.
        :param pause: seconds at least between two batches.
        """
        self._project, self._ledger, self._account, self._pause = project, ledger, account, pause
        self.entries = Changes()
        self._settles: int | None = None
        """The number of the batch whose outcome is in `entries`."""
        self._after_task: int | None = None
        """What is sent from now on lies above in the project."""
        self._highest_task: int | None = None
        """The highest id in the ledger."""
        self._sent_at: float | None = None
        self._on_the_way: _Sent[T] | None = None
        self._pool: ThreadPoolExecutor | None = None

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Send in the block; at its end everything has arrived and is entered, unless it ends with an error."""
        if not self._project.remote:
            yield
            self.enter()
            return
        # While an answer is waited for, the next batch is read and announced. One is on the way at a time.
        with ThreadPoolExecutor(1, thread_name_prefix="labelsync-send") as self._pool:
            yield
            self._receive(self._arrival())
            self.enter()
        self._undouble()

    def send(self, batch: Batch[T]) -> None:
        """Announce a batch and send it; the ledger learns the outcome later."""
        if self._after_task is None or not self._pool:
            self._after_task = self._project.last_task_id()
        intended = IntendedBatch(0, self._after_task, [pending.intended for pending in batch])
        tasks = [pending.task for pending in batch]
        if not self._pool:
            number = self.enter(intends=intended)
            self._wait()
            self._receive((batch, number, self._project.import_tasks(tasks)))
            return
        number = self._ledger.enter(Changes(), intends=intended)
        arrived = self._arrival()
        self._wait()
        self._ledger.confirm()  # it may have taken long since the announcement
        answer = self._pool.submit(self._project.import_tasks, tasks)
        self._on_the_way = _Sent(batch, number, self._after_task, answer)
        self._receive(arrived)
        self.enter()

    def enter(self, intends: IntendedBatch | None = None) -> int | None:
        """Enter what has been done since the last time, and what is to be done next; return the number of that."""
        entries, self.entries = self.entries, Changes()
        settles, self._settles = self._settles, None
        if entries or intends or settles:
            return self._ledger.enter(entries, settles=settles, intends=intends)
        return None

    def _wait(self) -> None:
        # Even to sleep for no time gives the processor away.
        if self._sent_at is not None and (early := self._sent_at + self._pause - time.monotonic()) > 0:
            time.sleep(early)
        self._sent_at = time.monotonic()

    def _arrival(self) -> "_Arrived[T] | None":
        """Wait for the batch that is on the way; return it with its outcome."""
        sent, self._on_the_way = self._on_the_way, None
        if sent is None:
            return None
        number = sent.number
        try:
            outcomes = sent.answer.result()
        except Unavailable as error:
            outcomes, number = self._find_out(sent, error)
        self._after_task = self._project.last_task_id()
        self._bury([outcome for outcome in outcomes if isinstance(outcome, int)])
        return sent.batch, number, outcomes

    def _bury(self, task_ids: list[int]) -> None:
        """Take note of tasks that are gone: on SQLite, Label Studio gives the ids of deleted tasks again."""
        if self._highest_task is None:
            self._highest_task = self._ledger.highest_task()
        if task_ids and min(task_ids) <= self._highest_task:
            self._ledger.bury(task_ids)
        self._highest_task = max([self._highest_task, *task_ids])

    def _receive(self, arrived: "_Arrived[T] | None") -> None:
        if arrived:
            batch, self._settles, outcomes = arrived
            self._account(batch, outcomes)

    # --- after an answer that did not come ---

    def _find_out(self, sent: "_Sent[T]", error: Unavailable) -> tuple[list[Outcome], int | None]:
        """Find out which tasks of a batch have arrived, and send the others again.

        :returns: what became of each task, and the number of the batch that settles.
        """
        outcomes: dict[Key, Outcome] = {}
        missing = {_key(pending.intended): pending for pending in sent.batch}
        number = sent.number
        for attempt in range(1, ATTEMPTS + 1):
            outcomes |= self._look_for(set(missing), sent.after_task)
            missing = {key: pending for key, pending in missing.items() if key not in outcomes}
            log.warning("%s Read back: %d of %d tasks have arrived.", error, len(outcomes), len(sent.batch))
            if not missing:
                break
            if attempt == ATTEMPTS:
                raise error
            # It may arrive yet. That is looked at again, when this one is through and in later runs.
            again = IntendedBatch(0, sent.after_task, [pending.intended for pending in missing.values()])
            number = self._ledger.enter(Changes(), doubts=number, intends=again)
            try:
                outcomes |= zip(
                    missing, self._project.import_tasks([pending.task for pending in missing.values()]), strict=True
                )
                break
            except Unavailable as again_error:
                error = again_error
        return [outcomes[_key(pending.intended)] for pending in sent.batch], number

    def _look_for(self, wanted: set[Key], after_task: int) -> dict[Key, Outcome]:
        found: dict[Key, Outcome] = {}
        for seconds in LOOKS_AFTER_SECONDS:
            time.sleep(seconds)
            found = {key: ids[0] for key, ids in self._arrived(wanted, after_task).items()}
            if len(found) == len(wanted):
                break
        return found

    def _arrived(self, wanted: set[Key], after_task: int) -> dict[Key, list[int]]:
        """Return, of the wanted tasks, the ids of those that are in the project, lowest first."""
        found: dict[Key, list[int]] = {}
        for page in self._project.tasks_after(after_task):
            for task in page:
                note = task.meta.get("labelsync")
                if isinstance(note, dict):
                    key = (note.get("uri"), note.get("row"), note.get("version"))
                    if key in wanted:
                        found.setdefault(key, []).append(task.id)
        return found

    # --- after a run that was killed ---

    def settle(self) -> set[Reference]:
        """Find out what became of the batches that a run announced and did not see through.

        :returns: the rows that have arrived; the ledger knows them, unless it may only be read.
        """
        arrived: set[Reference] = set()
        for batch in self._ledger.intended():
            if batch.doubted:
                continue
            wanted = {_key(task): task for task in batch.tasks}
            found = self._arrived(set(wanted), batch.after_task)
            log.warning(
                "A run broke off: of its last batch, %d tasks had arrived and %d not.",
                len(found),
                len(wanted) - len(found),
            )
            arrived.update(wanted[key].reference for key in found)
            if self._ledger.read_only:
                continue
            changes = Changes(
                created=[(wanted[key].reference, ids[0]) for key, ids in found.items()],
                superseded=[task.replaces for key in found if (task := wanted[key]).replaces],
            )
            # Who was killed, or paused, may have sent what has not arrived yet.
            open_still = self._project.remote and len(found) < len(wanted)
            self._ledger.enter(
                changes, settles=None if open_still else batch.id, doubts=batch.id if open_still else None
            )
        if self._project.remote and not self._ledger.read_only:
            self._undouble()
        return arrived

    def _undouble(self) -> None:
        """Look whether batches that were given up have arrived after all, and undo what that doubled."""
        now, doubted = time.time(), [batch for batch in self._ledger.intended() if batch.doubted]
        if not doubted:
            return
        intended = {_key(task): task for batch in doubted for task in batch.tasks}
        arrived = self._arrived(set(intended), min(batch.after_task for batch in doubted))
        self._keep_one_each([(intended[key], ids) for key, ids in arrived.items()])
        for batch in doubted:
            if now - (batch.doubted or now) > DOUBT_SECONDS:
                self._ledger.enter(Changes(), settles=batch.id)

    def _keep_one_each(self, arrived: Sequence[tuple[IntendedTask, list[int]]]) -> None:
        """Of the tasks made from the same row, keep the one that somebody has annotated, or else the ledger's."""
        known = self._known([intended.reference for intended, _ in arrived])
        # Of an object that has been entered since, what the ledger does not know is out of date.
        paths = sorted({intended.reference.path for intended, _ in arrived})
        entered = {known_object.path for page in self._ledger.objects_at(paths) for known_object in page}
        kept: dict[IntendedTask, int | None] = {
            intended: known.get(intended.reference, None if intended.reference.path in entered else ids[0])
            for intended, ids in arrived
        }
        others = {task: intended for intended, ids in arrived for task in ids if task != kept[intended]}
        if others:
            log.warning("A batch that was given up arrived after all; %d tasks are one too many.", len(others))
            uris = {task: intended.uri for task, intended in others.items()}
            deleted = self._project.delete_tasks(uris, untouched=True)
            annotated = {task: intended for task, intended in others.items() if task not in deleted}
            uris = {task: intended.uri for intended in annotated.values() if (task := kept[intended]) is not None}
            given_way = self._project.delete_tasks(uris, untouched=True)
            for task, intended in annotated.items():
                if kept[intended] is None or kept[intended] in given_way:
                    kept[intended] = task
                else:
                    log.error(
                        "Tasks %d and %d were made from the same row of %s, and each has been annotated: keep one by "
                        "hand.",
                        kept[intended],
                        task,
                        intended.uri,
                    )
        changed = [
            (intended, task)
            for intended, task in kept.items()
            if task is not None and known.get(intended.reference) != task
        ]
        if changed:
            self._ledger.enter(
                Changes(
                    created=[(intended.reference, task) for intended, task in changed],
                    superseded=[intended.replaces for intended, _ in changed if intended.replaces],
                )
            )

    def _known(self, references: Iterable[Reference]) -> dict[Reference, int]:
        """Return the tasks that the ledger has for some rows."""
        wanted = {(reference.path, reference.row, reference.version): reference for reference in references}
        return {
            wanted[task.path, task.row, task.version]: task.task
            for path in {path for path, _, _ in wanted}
            for task in self._ledger.tasks_of(path)
            if (task.path, task.row, task.version) in wanted
        }


def _key(task: IntendedTask) -> Key:
    """Return what a task's `meta` tells of its source."""
    return task.uri, task.noted_row, task.reference.version
