"""The sender: brings batches of tasks into a project so that each arrives once, whatever becomes of the answers.

A batch is announced in the ledger before it is sent. What an answer does not tell, or a run that was killed left open,
is found out by reading back the tasks above the highest id from before. Nothing is sent twice to find out.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
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
        self._announced: int | None = None
        """The number of the batch announced last, until its outcome is entered."""
        self._sent: float | None = None
        self._on_the_way: tuple[Batch[T], Future[list[Outcome]]] | None = None
        self._pool: ThreadPoolExecutor | None = None

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Send in the block; at its end everything has arrived and is entered, unless it ends with an error."""
        if not self._project.remote:
            yield
            self.enter()
            return
        # While an answer is waited for, the next batch is read. There is one batch on the way at a time.
        with ThreadPoolExecutor(1, thread_name_prefix="labelsync-send") as self._pool:
            yield
            self.enter()
        self._undouble()

    def send(self, batch: Batch[T]) -> None:
        """Announce a batch and send it; the ledger learns the outcome with the next one."""
        self._collect()
        intended = [pending.intended for pending in batch]
        self.enter(intends=IntendedBatch(0, self._project.last_task_id(), intended))
        if self._sent is not None:
            time.sleep(max(0.0, self._sent + self._pause - time.monotonic()))
        self._sent = time.monotonic()
        tasks = [pending.task for pending in batch]
        if self._pool:
            self._on_the_way = batch, self._pool.submit(self._project.import_tasks, tasks)
        else:
            self._receive(batch, lambda: self._project.import_tasks(tasks))

    def enter(self, intends: IntendedBatch | None = None) -> None:
        """Enter what has been done since the last time, and what is to be done next."""
        self._collect()
        entries, self.entries = self.entries, Changes()
        if entries or intends or self._announced:
            self._announced = self._ledger.enter(entries, settles=self._announced, intends=intends)

    def _collect(self) -> None:
        """Wait for the batch that is on the way."""
        if self._on_the_way:
            (batch, sent), self._on_the_way = self._on_the_way, None
            self._receive(batch, sent.result)

    def _receive(self, batch: Batch[T], answer: Callable[[], list[Outcome]]) -> None:
        try:
            outcomes = answer()
        except Unavailable as error:
            if not self._project.remote:
                raise
            outcomes = self._find_out(batch, error)
        self._account(batch, outcomes)

    # --- after an answer that did not come ---

    def _find_out(self, batch: Batch[T], error: Unavailable) -> list[Outcome]:
        """Find out which tasks of a batch have arrived, and send the others again."""
        outcomes: dict[Key, Outcome] = {}
        missing = {_key(pending.intended): pending for pending in batch}
        for attempt in range(1, ATTEMPTS + 1):
            outcomes |= self._look_for(list(missing.values()))
            missing = {key: pending for key, pending in missing.items() if key not in outcomes}
            log.warning("%s Read back: %d of %d tasks have arrived.", error, len(outcomes), len(batch))
            if not missing:
                return [outcomes[_key(pending.intended)] for pending in batch]
            if attempt == ATTEMPTS:
                break
            # It may arrive yet. That is looked at again, when this one is through and in later runs.
            intended = [pending.intended for pending in missing.values()]
            again = IntendedBatch(0, self._project.last_task_id(), intended)
            self._announced = self._ledger.enter(Changes(), doubts=self._announced, intends=again)
            try:
                sent = self._project.import_tasks([pending.task for pending in missing.values()])
            except Unavailable as again_error:
                error = again_error
            else:
                outcomes |= zip(missing, sent, strict=True)
                return [outcomes[_key(pending.intended)] for pending in batch]
        raise error

    def _look_for(self, pending: Iterable[Pending[T]]) -> dict[Key, Outcome]:
        wanted = {_key(each.intended) for each in pending}
        found: dict[Key, Outcome] = {}
        for seconds in LOOKS_AFTER_SECONDS:
            time.sleep(seconds)
            found = {key: ids[0] for key, ids in self._arrived(wanted, self._project.last_task_id()).items()}
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
        for batch in self._ledger.intended():
            if not batch.doubted:
                continue
            intended = {_key(task): task for task in batch.tasks}
            for key, ids in self._arrived(set(intended), batch.after_task).items():
                self._keep_one(intended[key], ids)
            if time.time() - batch.doubted > DOUBT_SECONDS:
                self._ledger.enter(Changes(), settles=batch.id)

    def _keep_one(self, intended: IntendedTask, ids: list[int]) -> None:
        """Of tasks made from the same row, keep the one that has annotations, or else the one in the ledger."""
        reference = intended.reference
        known = [
            task.task
            for task in self._ledger.tasks_of(reference.path)
            if (task.row, task.version) == (reference.row, reference.version)
        ]
        kept = known[0] if known else ids[0]
        others = {task_id: intended.uri for task_id in ids if task_id != kept}
        if others:
            log.warning("A batch that was given up arrived after all; tasks %s are double.", sorted(others))
            annotated = sorted(others.keys() - self._project.delete_tasks(others))
            if len(annotated) == 1 and self._project.delete_tasks({kept: intended.uri}):
                kept, annotated = annotated[0], []
            if annotated:
                log.error(
                    "Tasks %s were made from the same row of %s, and each has been annotated: keep one by hand.",
                    [kept, *annotated],
                    intended.uri,
                )
        if known != [kept]:
            superseded = [intended.replaces] if intended.replaces else []
            self._ledger.enter(Changes(created=[(reference, kept)], superseded=superseded))


def _key(task: IntendedTask) -> Key:
    """Return what a task's `meta` tells of its source."""
    return task.uri, task.noted_row, task.reference.version
