"""Projects of a Label Studio server.

Source of what is said about its API: label-studio 1.23.2 and https://api.labelstud.io. What only Enterprise does is
marked so, and taken from the signatures of its SDK.
"""

import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Literal
from uuid import NAMESPACE_URL, uuid5

import msgspec

from labelsync_provider.errors import Denied, NotFound, Unavailable, invalid
from labelsync_provider.projects.label_config import data_keys, missing_key
from labelsync_provider.projects.label_studio_client import Client, Conflict, Failed, Refused
from labelsync_provider.projects.protocol import Json, Progress, Rejected, StoredTask, Task, TaskState

log = logging.getLogger(__name__)

PAGE = 1000
IDS_IN_A_URL = 250
"""Servers in front of Label Studio take request lines of 4 KB."""

REUSED_IDS = 1000
"""On SQLite, Label Studio gives the ids of deleted tasks again, if they were the highest. A task imported later may
have an id so much lower than the highest one seen before, if somebody deletes so many tasks meanwhile."""

POLL_SECONDS = 1.0
FAILED_SECONDS = 1.0
"""So long a batch waits that the server failed to import, before it is sent again: a database may be busy."""

AT_ONCE = timedelta(seconds=1)
"""An import notes when a task was created, and when it was updated last, within microseconds."""

# `include` names the fields of tasks, annotations and predictions alike.
FIELDS_EXPORTED = (
    "id,data,meta,created_at,updated_at,is_labeled,overlap,inner_id,total_annotations,cancelled_annotations,"
    "total_predictions,comment_count,unresolved_comment_count,last_comment_updated_at,project,updated_by,file_upload,"
    "annotations,predictions,"
    "task,result,created_username,completed_by,was_cancelled,ground_truth,draft_created_at,lead_time,import_id,"
    "last_action,bulk_created,parent_prediction,parent_annotation,last_created_by,"
    "score,model_version"
)
IN_FULL = {"fields": "all", "expand": "annotations"}
"""Unless they are expanded, the server makes a serializer for the annotations of each task: four times slower."""
ANNOTATION_COUNTS = ("total_annotations", "cancelled_annotations")
FIELDS_OF_A_STATE = ",".join(("id", "updated_at", *ANNOTATION_COUNTS))

# What the task API does not tell, and every task has that nobody set it for.
NOT_TOLD: Json = {"allow_skip": True, "precomputed_agreement": None, "drafts": []}

PREDICTION_FIELDS = ("result", "score", "model_version")
"""Of an imported prediction, the server keeps no others."""

ANNOTATION_FIELDS = ("result", "was_cancelled", "ground_truth", "lead_time")
"""Of an imported annotation, the server keeps no others but its annotator."""

ANNOTATOR_FIELDS = ("id", "first_name", "last_name", "email")


class LabelStudioServer:
    """The projects of one server."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def create_project(self, title: str, label_config: str, description: str = "") -> "LabelStudioProject":
        """Return the project of that title; create it if there is none.

        :raises Invalid: the server does not take the title or the label config.
        """
        if found := self._titled(title):
            return found
        body = {"title": title, "label_config": label_config, "description": description}
        try:
            return LabelStudioProject(self.client, self.client.post("/api/projects/", body))
        except Unavailable:
            # It may have been created nevertheless; to ask for it again would make a second one.
            if found := self._titled(title):
                return found
            raise

    def project(self, id_or_title: int | str) -> "LabelStudioProject":
        """Return the project with that id, or with exactly that title.

        :raises NotFound: there is none.
        :raises Invalid: the title is that of several projects, or the id of another one.
        """
        text = str(id_or_title)
        titled = self._titled(text) if isinstance(id_or_title, str) else None
        numbered = None
        if text.isdecimal():
            with suppress(NotFound):
                numbered = LabelStudioProject(self.client, self.client.get(f"/api/projects/{text}/"))
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

    def _titled(self, title: str) -> "LabelStudioProject | None":
        found: list[Json] = []
        page, total = 1, 1
        while (page - 1) * 100 < total:
            # The server looks for projects whose title contains the text, whatever its case.
            answer = self.client.get("/api/projects/", title=title, page=page, page_size=100, include="id,title")
            found += [project for project in answer["results"] if project["title"] == title]
            page, total = page + 1, answer["count"]
        if len(found) > 1:
            ids = ", ".join(str(project["id"]) for project in found)
            raise invalid("project", title, f"{len(found)} projects have this title: {ids}", "Give the id of one.")
        return LabelStudioProject(self.client, self.client.get(f"/api/projects/{found[0]['id']}/")) if found else None


class LabelStudioProject:
    """One project of a server; see `Project`."""

    remote = True

    def __init__(self, client: Client, project: Json) -> None:
        self._client = client
        self.id: int = project["id"]
        self.title: str = project["title"]
        self.label_config: str = project["label_config"]
        self.uri = f"{client.url}/projects/{self.id}"
        self._newest: int | None = None
        """The id of the youngest task, as long as it is certain that nothing was imported since."""

    @cached_property
    def data_keys(self) -> list[str]:
        """The keys that the label config takes from a task's `data`, in its order."""
        return data_keys(self.label_config)

    def fence(self, token: int) -> None:
        """Do nothing: a Label Studio server takes what comes, from whichever run; see `remote`."""

    # --- import ---

    def check(self, task: Task) -> str | None:
        """Return why the server would reject a task, or lose a part of it without a word."""
        if key := missing_key(self.data_keys, task.data):
            return f'"{key}" key is expected in task data by the label config of project {self.title!r}'
        for kind, labels in (("annotations", task.annotations), ("predictions", task.predictions)):
            for n, label in enumerate(labels):
                # Of one such prediction, the server drops all those of the batch and says that it has them.
                if not all(isinstance(item, dict) for item in label["result"]):
                    return f"bad row: `{kind}[{n}].result` must be an array of objects"
        return None

    def adapt(self, task: Task) -> int:
        """Make a task one that the server takes as it is; return of how many annotations the annotator is unknown.

        Such annotations go in under the name of the token's user: with an unknown annotator the server rejects the
        whole batch. Who it was is noted in the task's `meta`.
        """
        unknown = []
        for annotation in task.annotations:
            # The server takes an imported annotation for the ground truth unless told otherwise, and fails over null.
            annotation |= {name: annotation.get(name) or False for name in ("ground_truth", "was_cancelled")}
            annotator = annotation.get("completed_by")
            if annotator is None or self._members is None:
                continue
            known, email = self._members, annotator.get("email") if isinstance(annotator, dict) else None
            if isinstance(email, str) and email in known:
                annotation["completed_by"] = {"email": email}
            elif not isinstance(annotator, int) or annotator not in known.values():
                del annotation["completed_by"]
                unknown.append(annotator)
        if unknown:
            task.meta.setdefault("labelsync", {})["unknown_annotators"] = unknown
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
        users: list[Json] = self._client.get("/api/users/")
        return users

    def last_task_id(self) -> int:
        """Return an id that all tasks imported later exceed."""
        if self._newest is None:
            self._newest = self._highest_id()
        return max(self._newest - REUSED_IDS, 0)

    def import_tasks(self, tasks: Sequence[Task]) -> list[int | Rejected]:
        """Add tasks; see `Project.import_tasks`. Those that the server rejects do not keep the others out."""
        reasons = [self.check(task) for task in tasks]
        accepted = [task for task, reason in zip(tasks, reasons, strict=True) if not reason]
        outcomes = iter(self._import(accepted) if accepted else ())
        return [Rejected(reason) if reason else next(outcomes) for reason in reasons]

    def _import(self, items: list[Task], *, once_more: bool = True) -> list[int | Rejected]:
        path = f"/api/projects/{self.id}/import"
        newest, self._newest = self._newest, None
        try:
            answer = self._client.post(path, items, return_task_ids="true", commit_to_project="true")
            ids = self._imported(answer)
        except Refused as refusal:
            self._newest = newest
            return self._import_without(_named(refusal, len(items)), items, str(refusal))
        except Failed as failure:
            if newest is None or self._highest_id() != newest:
                raise
            # Nothing of the batch is in. It may have come at a bad time; or one task is too much for the server.
            self._newest = newest
            if once_more:
                time.sleep(FAILED_SECONDS)
                return self._import(items, once_more=False)
            return self._import_without({}, items, str(failure))
        if not isinstance(ids, list) or len(ids) != len(items):
            raise Unavailable(f"{self.uri}: the server does not tell which tasks were imported: {answer!r:.200}")
        self._newest = max(ids)
        return ids

    def _import_without(self, named: dict[int, str], items: list[Task], reason: str) -> list[int | Rejected]:
        """Import the rest of a batch that was turned down; where no task is named, find it by halving."""
        if named:
            rest = [item for n, item in enumerate(items) if n not in named]
            outcomes = iter(self._import(rest) if rest else ())
            return [Rejected(named[n]) if n in named else next(outcomes) for n in range(len(items))]
        if len(items) == 1:
            return [Rejected(reason)]
        half = len(items) // 2
        return self._import(items[:half]) + self._import(items[half:])

    def _imported(self, answer: Json) -> Any:
        """Return the ids of the tasks; Enterprise imports in the background, and is asked until it is done."""
        while "import" in answer or answer.get("status") in ("created", "in_progress"):
            number = answer.get("import", answer.get("id"))
            time.sleep(POLL_SECONDS)
            answer = self._client.get(f"/api/projects/{self.id}/imports/{number}/")
        if answer.get("status") == "failed":
            raise Refused(f"{self.uri}: the server could not import: {answer.get('error')}", answer.get("error"))
        return answer.get("task_ids")

    # --- look ---

    def tasks_after(self, task_id: int, *, with_data: bool = False) -> Iterator[list[StoredTask]]:
        """Yield the tasks above an id; see `Project.tasks_after`."""
        fields, last = "id,meta,data" if with_data else "id,meta", 0
        for page in self._by_id(fields, after=task_id):
            yield [StoredTask(task["id"], task["meta"] or {}, task.get("data") or {}) for task in page]
            last = page[-1]["id"]
        if last or not task_id:
            self._newest = last

    def annotated(self, task_ids: Sequence[int]) -> dict[int, bool]:
        """Tell, for each of the tasks that exists, whether it has an annotation, or a draft of one."""
        return {task["id"]: _is_worked_on(task) for page in self._with_work(task_ids) for task in page}

    def changes(self, since: datetime | None = None) -> Iterator[list[TaskState]]:
        """Yield the state of the tasks changed since an instant; see `Project.changes`."""
        changed = []
        if since is not None:
            instant = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            changed = [_filter("updated_at", "greater_or_equal", "Datetime", instant)]
        for page in self._by_id(FIELDS_OF_A_STATE, *changed):
            yield [
                TaskState(
                    task["id"],
                    _is_annotated(task),
                    f"{task['updated_at']} {task['total_annotations']}+{task['cancelled_annotations']}",
                    datetime.fromisoformat(task["updated_at"]),
                )
                for task in page
            ]

    def annotated_tasks(self, task_ids: Sequence[int] | None = None) -> Iterator[list[Json]]:
        """Yield the tasks that have an annotation, in Label Studio's JSON export format."""
        if task_ids is None:
            for states in self.changes():
                yield from self.annotated_tasks([state.id for state in states if state.annotated])
            return
        for page in self._these(task_ids, FIELDS_EXPORTED, **IN_FULL):
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
        project = self._client.get(f"/api/projects/{self.id}/", include=counts)
        done, skipped = _filter("total_annotations", "greater", "Number", 0), project["skipped_annotations_number"] or 0
        annotated = self._count(done)
        if skipped:
            annotated += self._count(
                _filter("total_annotations", "equal", "Number", 0),
                _filter("cancelled_annotations", "greater", "Number", 0),
            )
        return Progress(
            project["task_number"] or 0, annotated, (project["total_annotations_number"] or 0) + skipped, skipped
        )

    # --- change ---

    def update_task(self, task_id: int, task: Task) -> Literal["updated", "annotated", "gone"] | Rejected:
        """Replace a task's content, predictions included; see `Project.update_task`."""
        (found,) = self._with_work([task_id], "meta", "data", "predictions", fields="all")
        there = found[0] if found else None
        if not there or not _was_made_from(there, task.meta.get("labelsync", {}).get("uri")):
            return "gone"
        # A run that was killed has begun this very update: what annotations there are may be the task's own.
        begun = (there["data"], there["meta"]) == (task.data, task.meta)
        if _is_worked_on(there) and not begun:
            return "annotated"
        try:
            self._client.ask("PATCH", f"/api/tasks/{task_id}/", body={"data": task.data, "meta": task.meta})
            self._replace_predictions(task_id, there["predictions"], task.predictions)
            self._annotate(task_id, task)
        except Refused as refusal:
            return Rejected(str(refusal))
        return "updated"

    def _replace_predictions(self, task_id: int, there: Sequence[Json], predictions: Sequence[Json]) -> None:
        for prediction in there:
            with suppress(NotFound):
                self._client.ask("DELETE", f"/api/predictions/{prediction['id']}/")
        for prediction in predictions:
            # One by one: the bulk import of predictions drops those that do not fit the label config without a word.
            given = {name: prediction[name] for name in PREDICTION_FIELDS if prediction.get(name) is not None}
            self._client.post("/api/predictions/", {"model_version": "undefined", **given, "task": task_id})

    def _annotate(self, task_id: int, task: Task) -> None:
        for n, annotation in enumerate(task.annotations):
            body = {name: annotation[name] for name in ANNOTATION_FIELDS if annotation.get(name) is not None}
            annotator = annotation.get("completed_by")
            if isinstance(annotator, dict) and self._members:
                annotator = self._members[annotator["email"]]
            if annotator is not None:
                body["completed_by"] = annotator
            # The one thing of which the server takes no second copy is an annotation with an id of the client's.
            identity = msgspec.json.encode([self.uri, task_id, task.meta, n, body], order="sorted")
            body["unique_id"] = str(uuid5(NAMESPACE_URL, identity.decode()))
            with suppress(Conflict):
                self._client.post(f"/api/tasks/{task_id}/annotations/", body)

    def delete_tasks(self, uris: Mapping[int, str], *, untouched: bool = False) -> set[int]:
        """Delete those of the tasks that nobody has worked on; return those that are there no longer."""
        gone = set(uris)
        free, as_imported = [], []
        for page in self._with_work(list(uris), "created_at", "updated_at", "updated_by", "meta", "data"):
            for task in page:
                if _was_made_from(task, uris[task["id"]]):
                    gone.discard(task["id"])
                    if not _is_worked_on(task):
                        free.append(task["id"])
                    elif untouched and _is_untouched(task):
                        as_imported.append(task["id"])
        # The server looks once more: somebody may be annotating.
        no_draft = _filter("draft_exists", "equal", "Boolean", False)
        self._delete(free, [no_draft, *(_filter(name, "equal", "Number", 0) for name in ANNOTATION_COUNTS)])
        self._delete(as_imported, [no_draft, _filter("updated_by", "empty", "List", True)])
        doomed = free + as_imported
        return gone | (set(doomed) - self.annotated(doomed).keys())

    def _delete(self, task_ids: list[int], filters: Sequence[Json]) -> None:
        for start in range(0, len(task_ids), PAGE):
            selected = {"all": False, "included": task_ids[start : start + PAGE]}
            body: Json = {"selectedItems": selected, "filters": _all(filters)}
            params = {"id": "delete_tasks", "project": self.id}
            self._client.ask("POST", "/api/dm/actions/", params=params, body=body)

    # --- the task API ---

    def _highest_id(self) -> int:
        page = self._page("id", [], ordering="-tasks:id", size=1)["tasks"]
        return page[0]["id"] if page else 0

    def _count(self, *filters: Json) -> int:
        total: int = self._page("id", filters, size=1)["total"]
        return total

    def _by_id(self, include: str, *filters: Json, after: int = 0) -> Iterator[list[Json]]:
        while True:
            page = self._page(include, [_filter("id", "greater", "Number", after), *filters])["tasks"]
            if page:
                yield page
                after = page[-1]["id"]
            if len(page) < PAGE:
                return

    def _these(self, task_ids: Sequence[int], include: str, **params: Any) -> Iterator[list[Json]]:
        ids = sorted(task_ids)
        for start in range(0, len(ids), IDS_IN_A_URL):
            selected = {"all": False, "included": ids[start : start + IDS_IN_A_URL]}
            yield self._page(include, [], selected=selected, **params)["tasks"]

    def _with_work(self, task_ids: Sequence[int], *fields: str, **params: Any) -> Iterator[list[Json]]:
        """Yield tasks with what tells whether somebody works on them. Who sorts by drafts is told of everybody's."""
        include = ",".join(("id", *ANNOTATION_COUNTS, "draft_exists", *fields))
        return self._these(task_ids, include, ordering="tasks:draft_exists", **params)

    def _page(
        self,
        include: str,
        filters: Sequence[Json],
        *,
        ordering: str = "tasks:id",
        size: int = PAGE,
        selected: Json | None = None,
        **params: Any,
    ) -> Json:
        query: Json = {"ordering": [ordering]}
        if filters:
            query["filters"] = _all(filters)
        if selected:
            query["selectedItems"] = selected
        page: Json = self._client.get(
            "/api/tasks",
            project=self.id,
            page_size=size,
            include=include,
            resolve_uri="false",
            query=msgspec.json.encode(query).decode(),
            **params,
        )
        return page

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
        pages = self._these(task_ids, "id,comment_authors")
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
        uploads = self._client.get(f"/api/projects/{self.id}/file-uploads", all="true")
        return {upload["file"].rpartition("/")[2]: upload["id"] for upload in uploads}


def _filter(column: str, operator: str, kind: str, value: Any) -> Json:
    return {"filter": f"filter:tasks:{column}", "operator": operator, "type": kind, "value": value}


def _all(filters: Sequence[Json]) -> Json:
    return {"conjunction": "and", "items": list(filters)}


def _is_annotated(task: Json) -> bool:
    return bool(task["total_annotations"] or task["cancelled_annotations"])


def _is_worked_on(task: Json) -> bool:
    return _is_annotated(task) or bool(task["draft_exists"])


def _is_untouched(task: Json) -> bool:
    """Tell whether nothing has happened to a task since it was imported: its annotations came with it.

    Whoever annotates, or changes an annotation, is noted as `updated_by`. Other changes only move `updated_at`.
    """
    created, updated = (datetime.fromisoformat(task[name]) for name in ("created_at", "updated_at"))
    return not task["updated_by"] and not task["draft_exists"] and updated - created < AT_ONCE


def _was_made_from(task: Json, uri: str | None) -> bool:
    """Tell whether a task is the one that was made from an object, and not another one that was given its id."""
    note = (task["meta"] or {}).get("labelsync")
    return note.get("uri") == uri if isinstance(note, dict) else uri in task["data"].values()


def _named(refusal: Refused, count: int) -> dict[int, str]:
    """Return the tasks that a refusal names, by their place in the batch; it names the first hundred."""
    reasons = refusal.reasons.get("non_field_errors") if isinstance(refusal.reasons, dict) else None
    if not isinstance(reasons, list) or len(reasons) > count:
        return {}
    # "Error at item 3: what is wrong :: the whole item"
    said = {n: str(reason).partition(" :: ")[0] for n, reason in enumerate(reasons) if reason and reason != "..."}
    if count > 1 and not all(re.match(r"Errors? .*at item|Error at item", reason) for reason in said.values()):
        return {}
    return {n: re.sub(r"^Errors?.*? at item \d+: ", "", reason) for n, reason in said.items()}
