"""Looking at tasks, of which some have changed: each that may have is read, rendered, compared and written."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from labelsync_provider.database import chunks
from labelsync_provider.formats.annotations.files import annotation_files
from labelsync_provider.prefetch import prefetched
from labelsync_provider.projects.protocol import Json, Remote, TaskState
from labelsync_provider.sync.exporting.planning import RenderedFile, batches, planned, tasks_to_read
from labelsync_provider.sync.exporting.state import ExportRun
from labelsync_provider.sync.exporting.target_check import digest_of
from labelsync_provider.sync.exporting.writing import Writer
from labelsync_provider.sync.ledger.records import GONE, KnownExport
from labelsync_provider.sync.progress import Progress

log = logging.getLogger(__name__)

LISTED = 1000
"""Tasks of a range that are listed rather than counted: a page of them is one request."""
READ_FOR_ONE = 20
"""Tasks that are read to find one that has something to export: nearly always, the first has."""
KEPT_BYTES = 16 * 1024
"""Objects of a task are kept, instead of the task, until they are written, if together they have no more bytes: each of
them holds all of the task's data, and of a task there may be thousands. So is one that holds several annotations."""
READ_AGAIN = "read again"
"""The state of a task that is read without having asked for it."""


class Looks:
    """Looks at tasks of the project, and brings the target in step with what is seen."""

    def __init__(self, run: ExportRun) -> None:
        self._run, self._writer = run, Writer(run)
        self._progress = Progress(log, run.runtime.monotonic)
        self._in_step = 0

    def close(self) -> None:
        """Begin no more of the writes that are planned, if there are any left."""
        self._writer.close()

    def at_all(self, objects: int, *, by_stamp: bool) -> None:
        """Look at all tasks.

        :param objects: how many the target should hold then, by the project's counts.
        :param by_stamp: read only those whose stamp has changed.
        """
        self._in_step = 0
        self._at(self._run.project.changes(), 0, None, by_stamp=by_stamp, objects=objects)

    def at_changes(self, since: datetime) -> datetime:
        """Look at the tasks that may have changed since an instant, by the project's clock.

        :returns: up to when all changes have been seen. What changes while further pages are asked for may be on one
            that has passed.
        """
        seen = None
        for states in self._run.project.changes(since):
            seen = seen or max((state.updated_at for state in states if state.updated_at), default=None)
            self._writer.finish()  # a task may have changed again since the page before
            self._at_states(states, self._run.ledger.exports_of([state.id for state in states]), by_stamp=True)
        self._writer.finish()
        return max(since, seen or since)

    def again(self, task_ids: Iterable[int]) -> None:
        """Read some tasks, whatever has become of them."""
        for some in chunks(sorted(task_ids), LISTED):
            states = [TaskState(task, True, READ_AGAIN) for task in some]
            self._at_states(states, self._run.ledger.exports_of(some), by_stamp=False)
        self._writer.finish()

    def find_any(self) -> bool:
        """Tell whether the project has something to export; its counts are not asked."""
        for states in self._run.project.changes():
            for some in chunks([state.id for state in states if state.annotated], READ_FOR_ONE):
                if any(any(self._rendered(task, "")) for tasks in self._read(some) for task in tasks):
                    return True
        return False

    def where_counts_differ(self, told: int, *, cancelled: bool, requests: int) -> None:
        """Look at the tasks of those ranges of ids in which project and ledger count different numbers of them.

        Ranges are halved until few tasks are in one; of two halves, one is counted.

        :param told: how many annotated tasks the project counts in all.
        :param cancelled: whether there are tasks among them whose annotations are all cancelled.
        :param requests: after so many counts, a look at all tasks is cheaper; then the rest is left alone.
        """
        project, ledger = self._run.project, self._run.ledger
        ranges: list[tuple[int, int | None, int]] = [(0, None, told)]
        while ranges:
            after, last, told = ranges.pop()
            ours = ledger.count_tasks(after, last)
            if told == ours:
                continue
            middle = ledger.nth_task(after, ours // 2 - 1) if max(ours, told) > LISTED and ours > 1 else None
            if middle is None:
                self._at(project.changes(after=after, last=last), after, last, by_stamp=True)
            elif requests:
                first = project.count_tasks(after, middle, cancelled=cancelled)
                ranges += [(middle, last, told - first), (after, middle, first)]
                requests -= 1

    def _at(
        self,
        pages: Iterator[list[TaskState]],
        after: int,
        last: int | None,
        *,
        by_stamp: bool,
        objects: int | None = None,
    ) -> None:
        """Look at all tasks above an id and up to another; what is known of others there is gone."""
        for states in pages:
            seen, known = {state.id for state in states}, list[KnownExport]()
            for page in self._run.ledger.exports_of_tasks(after, states[-1].id):
                # Of the deleted tasks between these there may be any number.
                self._mark_gone([export for export in page if export.task not in seen])
                known += [export for export in page if export.task in seen]
            self._at_states(states, [known], by_stamp=by_stamp, objects=objects)
            after = states[-1].id
        self._writer.finish()
        for page in self._run.ledger.exports_of_tasks(after, last):
            self._mark_gone(page)

    def _at_states(
        self,
        states: Sequence[TaskState],
        pages: Iterable[Sequence[KnownExport]],
        *,
        by_stamp: bool,
        objects: int | None = None,
    ) -> None:
        run, known = self._run, dict[int, list[KnownExport]]()
        for page in pages:
            for export in page:
                known.setdefault(export.task, []).append(export)
        wanted = tasks_to_read(states, known, run.settings, by_stamp=by_stamp)
        self._in_step += wanted.in_step
        left = dict(wanted.in_doubt)
        for tasks in self._read(list(wanted.stamps)):
            files = [file for task in tasks for file in self._rendered(task, wanted.stamps[task["id"]])]
            for some in batches(files, run.options.batch_size):
                self._writer.carry_out(planned(some, self._standing(some, left)))
                for file in some:
                    # If its annotation moves, and comes with another task too, what was known is out of date.
                    left.pop(file.path, None)
                self._in_step += len(some)
                self._tell(objects)
        self._mark_gone(list(left.values()))

    def _standing(
        self, files: Sequence[RenderedFile], in_doubt: Mapping[str, KnownExport]
    ) -> Mapping[str, KnownExport]:
        """Return what is known of the objects at the paths of some files, by path."""
        if self._writer.is_at(files):
            self._writer.finish()
        others = [file.path for file in files if file.path not in in_doubt]
        if not others:
            return in_doubt
        # An annotation may have been moved to this task from another one, and has its object.
        moved = (known for page in self._run.ledger.exports_at(others) for known in page)
        return {**in_doubt, **{known.path: known for known in moved}}

    def _read(self, task_ids: Sequence[int]) -> Iterator[list[Json]]:
        if not task_ids:
            return iter(())
        pages = self._run.project.annotated_tasks(task_ids)
        return prefetched(pages, self._run.runtime.stop) if isinstance(self._run.project, Remote) else pages

    def _rendered(self, task: Json, stamp: str) -> Iterator[RenderedFile]:
        run = self._run
        files = list(annotation_files(task, run.note, run.key, include_cancelled=run.options.include_cancelled))
        for file in files:
            content = file.encode()
            if file.annotations > 1 or len(content) * len(files) <= KEPT_BYTES:
                file = replace(file, encode=partial(bytes, content))
            yield RenderedFile(file, run.path(file), digest_of(content), len(content), stamp)

    def _mark_gone(self, exports: Sequence[KnownExport]) -> None:
        """Enter that the annotations of objects are there no longer."""
        ledger = self._run.ledger
        ledger.mark_gone([known.path for known in exports if known.version and known.state != GONE])
        ledger.enter_exports([], [known.path for known in exports if not known.version])

    def _tell(self, objects: int | None) -> None:
        """Say how far the run is, if it is time to."""
        if not self._progress.is_due():
            return
        in_step = self._in_step - self._writer.on_the_way - self._run.report.failed
        written = f"{self._run.report.written:,} {'would be ' if self._run.options.dry_run else ''}written"
        if objects is None:
            self._progress.say(in_step, "objects compared", beside=written)
        else:
            self._progress.say(in_step, "objects in step", objects, written)
