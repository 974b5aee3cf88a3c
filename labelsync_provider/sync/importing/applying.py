"""Applying plans: each effect on the project is announced in the journal, requested, and entered in the ledger.

What has been found out is entered together with the next announcement. While a batch is on its way to a remote project,
the next one is planned and announced; one request is on the way at a time.
"""

from collections.abc import Iterable
from concurrent.futures import Executor

from msgspec.structs import replace

from labelsync_provider.projects.protocol import Rejected, Remote, UpdateOutcome
from labelsync_provider.sync.importing.adopting import account_adopted
from labelsync_provider.sync.importing.batch_size import BatchSize
from labelsync_provider.sync.importing.deleting import Deletions
from labelsync_provider.sync.importing.reconciling import deduplicate
from labelsync_provider.sync.importing.sending import Outcome, Sent, outcomes_of, send
from labelsync_provider.sync.importing.state import ImportRun, SourceObject
from labelsync_provider.sync.importing.steps import Create, Plan, Quarantine, Step, Update, known_after
from labelsync_provider.sync.importing.telling import ImportProgress
from labelsync_provider.sync.importing.updating import UPDATES_AT_ONCE, effect_of, still_known, updated, worked_on
from labelsync_provider.sync.ledger.records import Changes, CreateEffect, JournalEntry, RowState
from labelsync_provider.sync.runtime import Inline

BATCH_BYTES = 8 * 1024 * 1024
"""Size at which a batch is sent, in bytes, however few its tasks are."""
ENTRIES_AT_ONCE = 10_000
"""Objects and rows that wait to be entered with the next announcement; without one, this many are entered."""


class Applier:
    """Brings what was planned into the project and the ledger, and counts it."""

    def __init__(self, run: ImportRun, deletions: Deletions, progress: ImportProgress) -> None:
        self._run, self._deletions, self._progress = run, deletions, progress
        self._changes = Changes()
        self._closes: list[int] = []
        """Announcements whose outcome is in `_changes`."""
        self._doubts: list[int] = []
        """Those of which a request may arrive yet."""
        self._creations: list[Create] = []
        self._creation_bytes = 0
        self._waits = isinstance(run.project, Remote)
        most, project = run.options.batch_size, run.project
        at_first = BatchSize.at_first(most, project.read_seconds) if isinstance(project, Remote) else None
        self._size = at_first or BatchSize.of_local(most)
        self._updates: list[Update] = []
        self._updates_at_once = min(run.options.batch_size, UPDATES_AT_ONCE)
        self._update_bytes = 0
        self._on_the_way: Sent | None = None
        self._after_task: int | None = None
        """An id that all tasks created from now on exceed."""
        self._requested_at = float("-inf")
        self._source_entered = run.source.location.at_start() in run.ledger.storages("source")

    def apply(self, plans: Iterable[Plan]) -> None:
        """Carry out plans as they come; at the end all that was requested has arrived and is entered.

        :raises Unavailable: the project did not answer as it should; what was announced stays in the journal.
        :raises LeaseLost: another run has taken over.
        :raises Stopped: the run is to end.
        """
        # What is written by this process itself is not waited for.
        with self._run.runtime.threads(1, "send") if self._waits else Inline() as pool:
            for plan in plans:
                if plan.obj.known_rows is not None or plan.adopted:
                    self._open(plan)
                for step in plan.steps:
                    self._take(plan.obj, step, pool)
                self._read_to_end(plan.obj)
                self._progress.planned += 1
            self._create(pool)
            self._update()
            self._receive()
            self._enter()
        if self._run.report.unchanged or self._run.report.changed:
            self._enter_source()
        deduplicate(self._run)

    # --- plans ---

    def _open(self, plan: Plan) -> None:
        report, obj = self._run.report, plan.obj
        report.unchanged += plan.unchanged
        report.changed += plan.changed
        report.new += plan.new
        report.missing += len(plan.missing) + plan.missing_of_others
        self._deletions.note(plan.missing)
        self._changes.created.extend(plan.adopted)
        self._changes.dropped.extend(plan.dropped)
        account_adopted(self._run, plan)
        if plan.changed_rows or plan.adopted or plan.dropped:
            for row in plan.changed_rows:
                self._changes.change(row)
            self._changes.objects[obj.path] = obj.opened()
            self._enter_if_many()

    def _take(self, obj: SourceObject, step: Step, pool: Executor) -> None:
        if isinstance(step, Quarantine):
            self._set_aside(obj, step.position, step.reason, lasting=step.lasting)
            return
        obj.on_the_way += 1
        if isinstance(step, Create):
            self._creations.append(step)
            self._creation_bytes += step.size
            if self._is_batch():
                self._create(pool)
        elif step.row.task is None:
            # A task that somebody deleted does not come back: its row is known in the new version.
            self._account_update(step, "gone")
        else:
            self._updates.append(step)
            self._update_bytes += step.size
            if len(self._updates) >= self._updates_at_once or self._update_bytes >= BATCH_BYTES:
                self._update()

    def _read_to_end(self, obj: SourceObject) -> None:
        obj.read_to_end = True
        if not obj.on_the_way:
            self._close(obj)
            self._enter_if_many()

    def _close(self, obj: SourceObject) -> None:
        """Enter an object: all that is to become of its rows is known."""
        self._changes.objects[obj.path] = obj.closed(self._run.judged_by)
        if obj.known:
            self._changes.cleared.append(obj.path)
        if obj.bad:
            self._changes.quarantine.extend(obj.bad.told())
            self._run.aside.objects += 1

    def _close_or_keep_open(self, obj: SourceObject) -> None:
        """Enter an object of which something has been done: the next run looks at it, if this one does not end."""
        if obj.read_to_end and not obj.on_the_way:
            self._close(obj)
        elif obj.path not in self._changes.objects:
            self._changes.objects[obj.path] = obj.opened()

    def _set_aside(self, obj: SourceObject, position: int | None, reason: str, *, lasting: bool) -> None:
        # A blob is no row of anything.
        position = None if self._run.options.use_blob_urls else position
        self._run.set_aside(obj.set_aside(position, reason, lasting=lasting))

    # --- requests ---

    def _is_batch(self) -> bool:
        """Tell whether the tasks that are waiting are to be sent: as many as may be, or enough for an idle server."""
        count, sent = len(self._creations), self._on_the_way
        if self._creation_bytes >= BATCH_BYTES:
            return True
        if count < self._size.tasks:
            return False
        return sent is None or sent.answer.done() or count >= self._size.at_best

    def _create(self, pool: Executor) -> None:
        """Announce the tasks that are waiting and send them; what became of them is learnt later."""
        batch, self._creations, self._creation_bytes = self._creations, [], 0
        if not batch:
            return
        after_task = self._run.project.last_task_id() if self._after_task is None else self._after_task
        effects = [CreateEffect(create.effect, create.obj.uri, create.row, create.replaces) for create in batch]
        number = self._enter(JournalEntry("create", effects, after_task))
        before = self._answered()
        self._wait()
        self._on_the_way = send(self._run, pool, Sent(batch, number, after_task), self._size.tasks)
        # Only now, so that the server is not idle meanwhile.
        self._account(before)
        if not self._waits:
            self._receive()
        self._tell()

    def _receive(self) -> None:
        """Wait for the batch that is on the way, and account for it."""
        self._account(self._answered())

    def _answered(self) -> tuple[Sent, list[Outcome]] | None:
        """Wait for the batch that is on the way; return it and what became of each task, if there is one."""
        sent, self._on_the_way = self._on_the_way, None
        if sent is None:
            return None
        outcomes = outcomes_of(self._run, sent)
        self._after_task = self._run.project.last_task_id()
        if self._waits:
            size, tasks = self._size, sent.at_once
            self._size = size.after_failure(tasks) if sent.failed else size.after_answer(tasks, sent.seconds)
        report, created = self._run.report, [outcome for outcome in outcomes if isinstance(outcome, int)]
        report.tasks_created += len(created)
        if created:
            ids = [*report.created_ids, *created]
            report.created_ids = [min(ids), max(ids)]
        return sent, outcomes

    def _account(self, answered: tuple[Sent, list[Outcome]] | None) -> None:
        """Account for a batch of which is known what became of it."""
        if answered is None:
            return
        sent, outcomes = answered
        (self._doubts if sent.doubted else self._closes).append(sent.number)
        for create, outcome in zip(sent.batch, outcomes, strict=True):
            self._account_creation(create, outcome)

    def _update(self) -> None:
        """Announce the updates that are waiting, and have them made."""
        updates, self._updates, self._update_bytes = self._updates, [], 0
        if not updates:
            return
        self._receive()
        self._enter()
        wanted = self._to_be_made(updates)
        if not wanted:
            return
        number = self._enter(JournalEntry("update", [effect_of(step) for step in wanted.values()], 0))
        self._wait()

        def was_refused(task: int) -> bool:
            return self._run.was_refused(wanted[task].row.path, wanted[task].row.position)

        begun = False
        for task, outcome in updated(self._run.project, {n: step.update for n, step in wanted.items()}, was_refused):
            # What the project failed over may have been begun: the next run completes it.
            begun |= isinstance(outcome, Rejected) and not outcome.lasting
            self._account_update(wanted[task], outcome)
        (self._doubts if begun else self._closes).append(number)
        self._tell()

    def _to_be_made(self, updates: list[Update]) -> dict[int, Update]:
        """Account for the updates that are not to be made; return the others, by task."""
        known = still_known(self._run, updates)
        theirs = worked_on(self._run, known)
        for step in updates:
            if step.row.task not in known:
                self._account_update(step, "gone")
            elif step.row.task in theirs:
                self._account_update(step, "worked_on")
        return {task: step for task, step in known.items() if task not in theirs}

    def _tell(self) -> None:
        on_the_way = self._on_the_way.batch if self._on_the_way else ()
        self._progress.tell(len(on_the_way) + len(self._creations) + len(self._updates))

    def _wait(self) -> None:
        runtime, options = self._run.runtime, self._run.options
        pause = 0 if options.dry_run else options.min_seconds_between_batches
        runtime.wait(self._requested_at + pause - runtime.monotonic())
        self._requested_at = runtime.monotonic()

    # --- accounts ---

    def _account_creation(self, create: Create, outcome: Outcome) -> None:
        obj, changes, report = create.obj, self._changes, self._run.report
        obj.on_the_way -= 1
        if isinstance(outcome, Rejected):
            self._set_aside(obj, create.row.position, outcome.reason, lasting=outcome.lasting)
        else:
            obj.rows += 1
            report.annotators_unknown += create.annotators_unknown
            changes.created.append(replace(create.row, task=outcome))
            if create.replaces:
                changes.change(replace(create.replaces, state=RowState.SUPERSEDED, position=None))
                report.changed += 1
            else:
                report.new += 1
        self._close_or_keep_open(obj)

    def _account_update(self, update: Update, outcome: UpdateOutcome | Rejected) -> None:
        obj, report = update.obj, self._run.report
        obj.on_the_way -= 1
        if isinstance(outcome, Rejected):
            self._set_aside(obj, update.row.position, outcome.reason, lasting=outcome.lasting)
        else:
            obj.rows += 1
            report.changed += 1
            report.tasks_updated += outcome in ("updated", "in_part")
            now = known_after(update, outcome)
            if now != update.before:
                self._changes.change(now)
            obj.complete = obj.complete and now.digest == update.digest
        self._close_or_keep_open(obj)

    def _enter_if_many(self) -> None:
        if len(self._changes) >= ENTRIES_AT_ONCE:
            self._enter()

    def _enter(self, announces: JournalEntry | None = None) -> int:
        """Enter what has been found out since the last time, and announce what is to be requested next."""
        changes, self._changes = self._changes, Changes()
        closes, doubts = self._closes, self._doubts
        self._closes, self._doubts = [], []
        if not (changes or announces or closes or doubts):
            return 0
        if announces:
            self._enter_source()
        now = self._run.runtime.now()
        return self._run.ledger.enter(changes, announces=announces, closes=closes, doubts=doubts, now=now)

    def _enter_source(self) -> None:
        """Remember the source, which something comes from: one that brings nothing may be mistyped."""
        if not self._source_entered:
            self._run.ledger.enter_source(self._run.project.created_at)
            self._source_entered = True
