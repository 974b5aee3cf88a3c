"""Telling how far an import is: of the tasks as soon as some are in, of the listing before."""

import logging

from labelsync_provider.errors import counted
from labelsync_provider.sync.importing.state import ImportRun
from labelsync_provider.sync.progress import Progress

log = logging.getLogger(__name__)


class ImportProgress:
    """What a run has come across. The total is known once the listing has ended and, of task files, all are read."""

    def __init__(self, run: ImportRun) -> None:
        self._run = run
        self._listing = Progress(log, run.runtime.monotonic)
        self._tasks = Progress(log, run.runtime.monotonic)
        self.all_listed = False
        self.fresh = 0
        """Objects that are new or changed, or were not dealt with completely by the run before."""
        self.planned = 0
        """Of these, those of which it is known what is to become of them."""

    def tell(self, waiting: int | None = None) -> None:
        """Say how far the run is, if it is time to.

        :param waiting: tasks that are planned and not in yet; None if that is not known here.
        """
        report, options = self._run.report, self._run.options
        done = report.tasks_created + report.tasks_updated
        if not done:
            self._tasks.begin()
            if self._listing.is_due():
                self._listing.say(
                    report.listed, "objects listed", beside=f"{counted(report.unchanged, 'task')} unchanged"
                )
            return
        if not self._tasks.is_due():
            return
        unplanned = self.fresh - self.planned
        total, beside = None, f"{counted(report.listed, 'object')} listed so far"
        if self.all_listed and waiting is not None and (options.use_blob_urls or not unplanned):
            # A blob is one task; that of the blob in hand waits.
            total, beside = done + waiting + max(unplanned - 1, 0), ""
        elif self.all_listed:
            beside = f"{self.planned:,} of {counted(self.fresh, 'object')} read"
        self._tasks.say(done, "tasks would come in" if options.dry_run else "tasks in", total, beside)
