"""Projects of a Label Studio server.

Source of what is said about its API: label-studio 1.23.2 and https://api.labelstud.io. What only Enterprise does is
marked so, and taken from the signatures of its SDK.
"""

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from labelsync_provider.annotators import note_unknown
from labelsync_provider.errors import Denied, NotFound, Unavailable, Unusable, invalid
from labelsync_provider.projects.label_config import Control, DataKey, controls, data_keys, data_problem
from labelsync_provider.projects.label_studio import changes, creation
from labelsync_provider.projects.label_studio import shapes as shapes
from labelsync_provider.projects.label_studio.answers import LOOKED_AT, NO_BASE
from labelsync_provider.projects.label_studio.client import Client, Refused
from labelsync_provider.projects.label_studio.queries import EACH_ANNOTATION, TaskApi, column_filter, id_filters
from labelsync_provider.projects.naming import is_id, title_of
from labelsync_provider.projects.predictions import labels_problem, write_out_predictions
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
)
from labelsync_provider.projects.task_content import UpdateOutcome
from labelsync_provider.retry import Requests

log = logging.getLogger(__name__)

REUSED_IDS = 1000
"""On SQLite, Label Studio gives the ids of deleted tasks again, if they were the highest. A task imported later may
have an id so much lower than the highest one seen before, if somebody deletes so many tasks meanwhile."""

POLL_SECONDS = 1.0
JOB_SECONDS = 3600.0
"""Time in which an import must end that the server does in the background."""
MOST_PAGES = 1000
"""Of projects whose title contains a text, a hundred each."""

# `include` names the fields of tasks, annotations and predictions alike.
FIELDS_EXPORTED = (
    "id,data,meta,created_at,updated_at,is_labeled,overlap,inner_id,total_annotations,cancelled_annotations,"
    "total_predictions,comment_count,unresolved_comment_count,last_comment_updated_at,project,updated_by,file_upload,"
    "annotations,predictions,"
    "task,result,created_username,completed_by,was_cancelled,ground_truth,draft_created_at,lead_time,import_id,"
    "last_action,bulk_created,parent_prediction,parent_annotation,last_created_by,"
    "score,model_version"
)
IN_FULL: Json = {"fields": "all", "expand": "annotations"}
"""Unless they are expanded, the server makes a serializer for the annotations of each task: four times slower."""
DONE = "task_number,finished_task_number"
"""What tells how far annotators are; the server counts it when it is asked."""
FIELDS_OF_A_STATE = "id,updated_at,total_annotations,cancelled_annotations,annotations_ids"
IDS_TOLD = 500
"""Characters of the ids of a task's annotations. Of more the server cuts some off, not the same ones every time."""

# By the server's counters; `total_annotations` has no cancelled ones.
ANNOTATED = (column_filter("total_annotations", "greater", "Number", 0),)
SKIPPED = (
    column_filter("total_annotations", "equal", "Number", 0),
    column_filter("cancelled_annotations", "greater", "Number", 0),
)

# What the task API does not tell, and every task has that nobody set it for.
NOT_TOLD: Json = {"allow_skip": True, "precomputed_agreement": None, "drafts": []}

NONE: tuple[Any, ...] = (None, "", "...", {}, [])
"""What stands in a refusal in the place of a task that is fine, or that is not named any more."""
ANNOTATOR_FIELDS = ("id", "first_name", "last_name", "email")


class LabelStudioServer:
    """The projects of one server."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def create_project(
        self, title: int | str, label_config: str, description: str = "", confirm: Callable[[], None] | None = None
    ) -> "LabelStudioProject":
        """Return the project of that title; create it if there is none. See `creation.create`."""
        title = title_of(title)
        if found := self.titled(title):
            return found
        fields = {"title": title, "label_config": label_config, "description": description}
        return LabelStudioProject(self.client, creation.create(self.client, self._ids_of, fields, confirm))

    def check_title(self, title: int | str) -> None:
        """Make sure that a project can have a title; see `creation.check_title`."""
        creation.check_title(title_of(title))

    def project(self, id_or_title: int | str) -> "LabelStudioProject":
        """Return the project with that id, or with exactly that title; a number is the id, where there is one.

        :raises NotFound: there is none.
        :raises Invalid: the title is that of several projects; or a text is the title of one and the id of another.
        :raises Unusable: it is no Label Studio that has none.
        """
        text = title_of(id_or_title, "project")
        numbered = None
        if is_id(text):
            with suppress(NotFound):
                numbered = self._opened(text)
        if numbered and isinstance(id_or_title, int):
            return numbered
        titled = self._titled(text, "project", "Give the id of one.")
        if titled and numbered and titled.id != numbered.id:
            remedy = "Give the id as a number, or rename the project with that title."
            raise invalid("project", id_or_title, "it is the id of one project and the title of another", remedy)
        found = titled or numbered
        if found is None:
            raise NotFound(
                f"project={id_or_title!r}: {self.client.url} has no project with this id or title that the user of the "
                "token may see. Create it with CreateProjectOperator, or correct it."
            )
        return found

    def titled(self, title: int | str) -> "LabelStudioProject | None":
        """Return the project with exactly that title, whatever the ids; None if there is none.

        :raises Invalid: several projects have it.
        :raises Unusable: it is no Label Studio that has none.
        """
        return self._titled(title_of(title), "title", "Rename all but one of them, or delete those not needed.")

    def _titled(self, title: str, parameter: str, remedy: str) -> "LabelStudioProject | None":
        found = self._ids_of(title)
        if len(found) > 1:
            ids = ", ".join(map(str, found))
            raise invalid(parameter, title, f"{len(found)} projects have this title: {ids}", remedy)
        if not found:
            # Another program that lists projects, and of which none is found, has none of that title either.
            self.client.check_base()
        return self._opened(found[0]) if found else None

    def _ids_of(self, title: str) -> list[int]:
        """Return the ids of the projects with exactly that title, the oldest first."""
        found: list[int] = []
        seen = set[int]()
        page, total = 1, 1
        while (page - 1) * 100 < total:
            # The server looks for projects whose title contains the text, whatever its case.
            answer = self.client.get(
                "/api/projects/", shapes.Projects, title=title, page=page, page_size=100, include="id,title"
            )
            ids = {project["id"] for project in answer["results"]}
            if len(ids) < len(answer["results"]) or ids & seen or page > MOST_PAGES:
                raise Unusable(f"{self.client.url}: the pages of its projects do not advance. {NO_BASE}")
            seen |= ids
            found += [project["id"] for project in answer["results"] if project["title"] == title]
            page, total = page + 1, answer["count"] if ids else 0
        return sorted(found)

    def _opened(self, project_id: int | str) -> "LabelStudioProject":
        # Of its own accord the server counts everything that can be counted.
        fields = f"id,title,label_config,created_at,{DONE}"
        project = self.client.get(f"/api/projects/{project_id}/", shapes.Project, include=fields)
        return LabelStudioProject(self.client, project)


class LabelStudioProject:
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
        self._newest: int | None = None
        """The id of the youngest task, as long as it is certain that nothing was imported since."""

    @property
    def requests(self) -> Requests:
        """The requests to the server; a run puts its own there."""
        return self._client.requests

    @requests.setter
    def requests(self, requests: Requests) -> None:
        self._client.requests = requests

    @cached_property
    def data_keys(self) -> dict[str, DataKey]:
        """See `Project.data_keys`."""
        return data_keys(self.label_config)

    @cached_property
    def controls(self) -> list[Control]:
        """The control tags of the label config."""
        return controls(self.label_config)

    def confirm_before_changes(self, confirm: Callable[[], None]) -> None:
        """See `Remote.confirm_before_changes`; a server takes what comes, from whichever run."""
        self._api.confirm = confirm
        # What was imported before this run got its lease is not known.
        self._newest = None

    # --- import ---

    def check(self, task: Task) -> str | None:
        """Return why the server would reject a task, or lose a part of it without a word."""
        problem = data_problem(self.data_keys, task.data, self.title)
        return problem or labels_problem(self.controls, task, self.title)

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
            return {user["email"]: user["id"] for user in self._users}
        except Denied as error:
            log.warning("Annotators cannot be checked before they are sent: %s", error)
            return None

    @property
    def _users(self) -> list[Json]:
        users: list[Json] = self._client.get("/api/users/", list[shapes.User])
        return users

    def last_task_id(self) -> int:
        """Return an id that all tasks imported later exceed."""
        if self._newest is None:
            self._newest = self._api.highest_id()
        return max(self._newest - REUSED_IDS, 0)

    def import_tasks(self, tasks: Sequence[Task]) -> list[int | Rejected]:
        """Add tasks; see `Project.import_tasks`. Those that the server rejects do not keep the others out."""
        reasons = [self.check(task) for task in tasks]
        accepted = [task for task, reason in zip(tasks, reasons, strict=True) if not reason]
        outcomes = iter(self._import(accepted) if accepted else ())
        return [Rejected(reason) if reason else next(outcomes) for reason in reasons]

    def _import(self, items: list[Task]) -> list[int | Rejected]:
        """Import a batch; of one that is turned down, the rest, or where no task is named, each half by itself."""
        outcomes: dict[int, int | Rejected] = {}
        parts = [list(range(len(items)))]
        while parts:
            part = parts.pop()
            try:
                outcomes |= zip(part, self._import_all([items[n] for n in part]), strict=True)
            except Refused as refusal:
                if named := _named(refusal, len(part)):
                    outcomes |= {part[n]: Rejected(reason) for n, reason in named.items()}
                    rest = [n for place, n in enumerate(part) if place not in named]
                    parts += [rest] if rest else []
                elif len(part) == 1:
                    outcomes[part[0]] = Rejected(str(refusal))
                else:
                    half = len(part) // 2
                    parts += [part[half:], part[:half]]
        return [outcomes[n] for n in range(len(items))]

    def _import_all(self, items: list[Task]) -> list[int]:
        """Import a batch, or nothing of it.

        :raises Refused: nothing.
        """
        path = f"/api/projects/{self.id}/import"
        newest, self._newest = self._newest, None
        how = {"return_task_ids": "true", "commit_to_project": "true"}
        try:
            ids = self._imported(self._api.change("POST", path, items, shapes.Imported, **how))
        except Refused:
            self._newest = newest
            raise
        if ids is None or not len(set(ids)) == len(ids) == len(items):
            told = f"of {len(items)}: {self._client.shown(ids)}"
            raise Unavailable(f"{self.url}: the server does not tell which tasks were imported, {told}.")
        self._newest = max(ids)
        return ids

    def _imported(self, answer: Json) -> list[int] | None:
        """Return the ids of the tasks; Enterprise imports in the background, and is asked until it is done."""
        deadline = time.monotonic() + JOB_SECONDS
        while "import" in answer or answer.get("status") in ("created", "in_progress"):
            number = answer.get("import") or answer.get("id")
            if number is None or time.monotonic() > deadline:
                raise Unavailable(
                    f"{self.url}: import {number} has not ended within {JOB_SECONDS:g} s: {self._client.shown(answer)}."
                )
            self.requests.stop.sleep(POLL_SECONDS)
            answer = self._client.get(f"/api/projects/{self.id}/imports/{number}/", shapes.Imported)
        if answer.get("status") == "failed":
            error = answer.get("error")
            raise Refused(f"{self.url}: the server could not import: {self._client.shown(error)}", reasons=error)
        ids: list[int] | None = answer.get("task_ids")
        return ids

    # --- look ---

    def tasks_after(self, task_id: int, *, with_data: bool = False) -> Iterator[list[StoredTask]]:
        """Yield the tasks above an id; see `Project.tasks_after`."""
        fields, last = "id,meta,data,storage_filename" if with_data else "id,meta", 0
        for page in self._api.by_id(fields, shapes.FoundNoted, after=task_id):
            yield [changes.stored(task) for task in page]
            last = page[-1]["id"]
        if last or not task_id:
            self._newest = last

    def look(self, uris: Mapping[int, str], digests: Mapping[int, str] | None = None) -> dict[int, TaskLook]:
        """Look at tasks; see `Project.look`."""
        return changes.look(self._api, uris, digests or {})

    def changes(
        self, since: datetime | None = None, *, after: int = 0, last: int | None = None
    ) -> Iterator[list[TaskState]]:
        """Yield the state of the tasks changed since an instant; see `Annotated.changes`."""
        filters = [EACH_ANNOTATION]
        if since is not None:
            filters.append(column_filter("updated_at", "greater_or_equal", "Datetime", _instant(since)))
        for page in self._api.by_id(FIELDS_OF_A_STATE, shapes.State, *filters, after=after, last=last):
            yield [_state(task) for task in page]

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
        for page in self._api.by_ids(task_ids, FIELDS_EXPORTED, shapes.Exported, **IN_FULL):
            authors = self._comment_authors([task["id"] for task in page if task["comment_count"]])
            tasks = [
                self._exported(task | {"comment_authors": authors.get(task["id"], [])})
                for task in page
                if task["annotations"]
            ]
            if tasks:
                yield tasks

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
        changed = () if since is None else (column_filter("updated_at", "greater", "Datetime", _instant(since)),)
        return self._api.count(*ANNOTATED, *changed)

    # --- change ---

    def update_tasks(self, updates: Mapping[int, TaskUpdate]) -> Iterator[tuple[int, UpdateOutcome | Rejected]]:
        """Update tasks, one by one; see `Project.update_tasks`."""
        return changes.update_tasks(self._api, updates, self.uri, lambda: self._members)

    def delete_tasks(self, uris: Mapping[int, str], *, untouched: bool = False) -> set[int]:
        """Delete those of the tasks that nobody has worked on; return those that are there no longer."""
        return changes.delete_tasks(self._api, uris, untouched=untouched)

    # --- what is exported ---

    def _exported(self, task: Json) -> Json:
        """Return a task as Label Studio's exports and target storages have it: people in full, links by id."""
        task |= NOT_TOLD
        task["updated_by"] = next((who["user_id"] for who in task["updated_by"]), None)
        if task["file_upload"] is not None:
            task["file_upload"] = self._uploads.get(task["file_upload"])
        for annotation in task["annotations"]:
            annotation["completed_by"] = self._annotator(annotation["completed_by"])
        for label in (*task["annotations"], *task["predictions"]):
            label.pop("created_ago", None)  # "2 minutes": another one at every look
        return task

    def _comment_authors(self, task_ids: Sequence[int]) -> dict[int, list[int]]:
        """Ask by itself for what costs the server a query for each task; most have no comment."""
        pages = self._api.by_ids(task_ids, "id,comment_authors", shapes.Commented)
        return {task["id"]: task["comment_authors"] for page in pages for task in page}

    def _annotator(self, user_id: int | None) -> Json | None:
        if user_id is None:
            return None
        if user_id not in self._annotators:
            self.__dict__.pop("_annotators")  # somebody who came since
        user = self._annotators.setdefault(user_id, {"id": user_id})
        return user

    @cached_property
    def _annotators(self) -> dict[int, Json]:
        return {user["id"]: {name: user.get(name) for name in ANNOTATOR_FIELDS} for user in self._users}

    @cached_property
    def _uploads(self) -> dict[str, int]:
        """The ids of uploaded files by their names, which is what the task API tells of them."""
        uploads = self._client.get(f"/api/projects/{self.id}/file-uploads", list[shapes.Upload], all="true")
        return {upload["file"].rpartition("/")[2]: upload["id"] for upload in uploads}


def _instant(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _state(task: Json) -> TaskState:
    """Return the state of a task: another one, too, when only a counter or an annotation of it is another one."""
    told, updated_at = str(task["annotations_ids"]), task["updated_at"]
    ids = re.findall(r"\d+", told)
    counters = [task["total_annotations"] or 0, task["cancelled_annotations"] or 0]
    known = ",".join(sorted(ids)) if len(told) < IDS_TOLD else ""
    return TaskState(
        task["id"],
        # A counter is not the truth. Should it say that there is an annotation where none is told, a look tells.
        bool(ids) or any(counters),
        f"{updated_at} {counters[0]}+{counters[1]} {known}",
        datetime.fromisoformat(updated_at),
    )


def _named(refusal: Refused, count: int) -> dict[int, str]:
    """Return the tasks that a refusal names, by their place in the batch; it names the first hundred."""
    reasons = refusal.reasons.get("non_field_errors") if isinstance(refusal.reasons, dict) else None
    if not isinstance(reasons, list) or len(reasons) > count:
        return {}
    # "Error at item 3: what is wrong :: the whole item"
    said = {n: str(reason)[:LOOKED_AT].partition(" :: ")[0] for n, reason in enumerate(reasons) if reason not in NONE}
    if count > 1 and not all(re.match(r"Errors? .*at item|Error at item", reason) for reason in said.values()):
        return {}
    return {n: re.sub(r"^Errors?.*? at item \d+: ", "", reason) for n, reason in said.items()}
