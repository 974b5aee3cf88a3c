"""A project of a Label Studio server.

Source of what is said about its API: label-studio 1.23.2 and https://api.labelstud.io.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

from labelsync_provider.annotators import note_unknown
from labelsync_provider.errors import Denied
from labelsync_provider.projects.checks import Checked, accepted_and_rejected
from labelsync_provider.projects.label_studio import changes, pages, shapes
from labelsync_provider.projects.label_studio.client import Client
from labelsync_provider.projects.label_studio.exported import Exporter
from labelsync_provider.projects.label_studio.importing import Importer
from labelsync_provider.projects.label_studio.queries import TaskApi, column_filter, id_filters
from labelsync_provider.projects.label_studio.states import changed_since, states
from labelsync_provider.projects.predictions import write_out_predictions
from labelsync_provider.projects.protocol import (
    Json,
    Labeling,
    Progress,
    Rejected,
    StoredTask,
    Task,
    TaskLook,
    TaskState,
    TaskUpdate,
    UpdateOutcome,
)
from labelsync_provider.retry import Requests

log = logging.getLogger(__name__)

REUSED_IDS = 1000
"""On SQLite, Label Studio gives the ids of deleted tasks again, if they were the highest. A task imported later may
have an id so much lower than the highest one seen before, if somebody deletes so many tasks meanwhile."""

DONE = "task_number,finished_task_number"
"""What tells how far annotators are; the server counts it when it is asked."""

# By the server's counters; `total_annotations` has no cancelled ones.
ANNOTATED = (column_filter("total_annotations", "greater", "Number", 0),)
SKIPPED = (
    column_filter("total_annotations", "equal", "Number", 0),
    column_filter("cancelled_annotations", "greater", "Number", 0),
)


class LabelStudioProject(Checked):
    """One project of a server; see `Project`."""

    def __init__(self, client: Client, project: Json) -> None:
        self._client = client
        self._api = TaskApi(client, project["id"])
        self.id: int = project["id"]
        self.title: str = project["title"] or ""
        self.label_config: str = project["label_config"]
        self.uri = f"{client.server}/projects/{self.id}"
        self.url = f"{client.url}/projects/{self.id}"
        self.created_at: str = project["created_at"]
        self._opened = project
        self._importer = Importer(client, self._api, self.id)
        self._exporter = Exporter(client, self._api, self.id, self._users)

    @property
    def requests(self) -> Requests:
        """The requests to the server; a run puts its own there."""
        return self._client.requests

    @requests.setter
    def requests(self, requests: Requests) -> None:
        self._client.requests = requests

    @property
    def read_seconds(self) -> float:
        """See `Remote.read_seconds`."""
        return self._client.read_seconds

    def confirm_before_changes(self, confirm: Callable[[], None]) -> None:
        """See `Remote.confirm_before_changes`; a server takes what comes, from whichever run."""
        self._api.confirm = confirm
        # What was imported before this run got its lease is not known.
        self._importer.newest = None

    # --- import ---

    def adapt(self, task: Task) -> int:
        """Make a task one that the server takes as it is; return of how many annotations the annotator is unknown.

        Such annotations go in under the name of the token's user: with an unknown annotator the server rejects the
        whole batch. Who it was is noted in the task's `meta`. People are known by their e-mail addresses: an id alone
        does not say on which server it is somebody's, and is unknown.
        """
        write_out_predictions(self.controls, task)
        unknown = []
        for annotation in task.annotations:
            # The server takes an imported annotation for the ground truth unless told otherwise, and fails over null.
            annotation |= {name: annotation.get(name) or False for name in ("ground_truth", "was_cancelled")}
            annotator = annotation.get("completed_by")
            if annotator is None:
                continue
            email = annotator.get("email") if isinstance(annotator, dict) else None
            if isinstance(email, str) and (self._members is None or email in self._members):
                annotation["completed_by"] = {"email": email}
            else:
                unknown.append(annotation)
        note_unknown(task, unknown)
        return len(unknown)

    @cached_property
    def _members(self) -> dict[Any, int] | None:
        """The ids of those whom an annotation may be by, by e-mail address; None if the server does not tell."""
        try:
            return {user["email"]: user["id"] for user in self._users()}
        except Denied as error:
            log.warning("Annotators cannot be checked before they are sent: %s", error)
            return None

    def _users(self) -> list[Json]:
        users: list[Json] = self._client.get("/api/users/", list[shapes.User])
        return users

    def last_task_id(self) -> int:
        """Return an id that all tasks imported later exceed."""
        if self._importer.newest is None:
            self._importer.newest = self._api.highest_id()
        return max(self._importer.newest - REUSED_IDS, 0)

    def import_tasks(self, tasks: Sequence[Task]) -> list[int | Rejected]:
        """Add tasks; see `Project.import_tasks`. Those that the server rejects do not keep the others out."""
        return accepted_and_rejected(tasks, self.check, self._importer.add)

    # --- look ---

    def tasks_after(self, task_id: int, *, with_data: bool = False) -> Iterator[list[StoredTask]]:
        """Yield the tasks above an id; see `Project.tasks_after`."""
        fields, last = "id,meta,data,storage_filename" if with_data else "id,meta", 0
        for page in self._api.by_id(fields, shapes.FoundNoted, after=task_id):
            yield [changes.stored(task) for task in page]
            last = page[-1]["id"]
        if last or not task_id:
            self._importer.newest = last

    def look(self, uris: Mapping[int, str], digests: Mapping[int, str] | None = None) -> dict[int, TaskLook]:
        """Look at tasks; see `Project.look`."""
        return changes.look(self._api, uris, digests or {})

    def changes(
        self, since: datetime | None = None, *, after: int = 0, last: int | None = None
    ) -> Iterator[list[TaskState]]:
        """Yield the state of the tasks changed since an instant; see `Annotated.changes`."""
        return states(self._api, since, after=after, last=last)

    def latest_change(self) -> datetime | None:
        """Return when a task was changed last; see `Annotated.latest_change`."""
        told = self._api.latest_change()
        return None if told is None else datetime.fromisoformat(told)

    def annotated_tasks(self, task_ids: Sequence[int] | None = None) -> Iterator[list[Json]]:
        """Yield the tasks that have an annotation, in Label Studio's JSON export format."""
        if task_ids is None:
            for states in self.changes():
                yield from self.annotated_tasks([state.id for state in states if state.annotated])
            return
        yield from self._exporter.annotated(task_ids)

    def progress(self) -> Progress:
        """Return the counts of tasks and annotations."""
        counts = "id,task_number,total_annotations_number,skipped_annotations_number"
        project = self._client.get(f"/api/projects/{self.id}/", shapes.Counted, include=counts)
        skipped = project["skipped_annotations_number"] or 0
        skipped_tasks = self._api.count(*SKIPPED) if skipped else 0
        return Progress(
            project["task_number"] or 0,
            self._api.count(*ANNOTATED) + skipped_tasks,
            (project["total_annotations_number"] or 0) + skipped,
            skipped,
            skipped_tasks,
        )

    def count_tasks(self, after: int, last: int | None, *, cancelled: bool) -> int:
        """Return how many tasks have an annotation; see `Annotated.count_tasks`."""
        within = id_filters(after, last)
        # One request would do for both with filters within filters, which a server may not know and then passes over.
        kinds = (ANNOTATED, SKIPPED) if cancelled else (ANNOTATED,)
        return sum(self._api.count(*within, *having) for having in kinds)

    def labeling(self) -> Labeling:
        """Return how far annotators are; see `Watchable.labeling`. The first time, as it was when it was opened."""
        counts = self._counts()
        return Labeling(counts["task_number"] or 0, counts["finished_task_number"] or 0)

    def count_all(self) -> int:
        """Return how many tasks there are; see `Project.count_all`."""
        return self._counts()["task_number"] or 0

    def _counts(self) -> Json:
        counts, self._opened = self._opened, {}
        if "finished_task_number" not in counts:
            counts = self._client.get(f"/api/projects/{self.id}/", shapes.Labeled, include=DONE)
        return counts

    def count_annotated(self, since: datetime | None, exported: Callable[[Sequence[int]], set[int]]) -> int:
        """Return how many annotated tasks have changed; see `Watchable.count_annotated`."""
        changed = () if since is None else (changed_since(since, "greater"),)
        return self._api.count(*ANNOTATED, *changed)

    def tasks_page(self, ids: tuple[int, int] | None = None) -> str:
        """Return the URL of the page of its tasks; see `HasPages.tasks_page`."""
        return pages.tasks_page(self.url, ids)

    def storages_page(self) -> str:
        """Return the URL of the settings of its storages; see `HasPages.storages_page`."""
        return pages.storages_page(self.url)

    # --- change ---

    def update_tasks(self, updates: Mapping[int, TaskUpdate]) -> Iterator[tuple[int, UpdateOutcome | Rejected]]:
        """Update tasks, one by one; see `Project.update_tasks`."""
        return changes.update_tasks(self._api, updates, self.uri, lambda: self._members)

    def delete_tasks(self, uris: Mapping[int, str], *, untouched: bool = False) -> set[int]:
        """Delete those of the tasks that nobody has worked on; return those that are there no longer."""
        return changes.delete_tasks(self._api, uris, untouched=untouched)
