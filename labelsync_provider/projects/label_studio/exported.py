"""Tasks as Label Studio's JSON exports and target storages have them, from what its task API tells.

Source of what is said about it: label-studio 1.23.2.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

from labelsync_provider.projects.label_studio import shapes
from labelsync_provider.projects.label_studio.client import Client
from labelsync_provider.projects.label_studio.queries import TaskApi
from labelsync_provider.projects.protocol import Json

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

# What the task API does not tell, and every task has that nobody set it for.
NOT_TOLD: Json = {"allow_skip": True, "precomputed_agreement": None, "drafts": []}

ANNOTATOR_FIELDS = ("id", "first_name", "last_name", "email")


class Exporter:
    """Tasks of one project, with people in full and links by id."""

    def __init__(self, client: Client, api: TaskApi, project_id: int, users: Callable[[], list[Json]]) -> None:
        """Prepare to ask; nothing is asked yet.

        :param users: returns those who may annotate.
        """
        self._client, self._api, self._project_id, self._users = client, api, project_id, users

    def annotated(self, task_ids: Sequence[int]) -> Iterator[list[Json]]:
        """Yield those of some tasks that have an annotation."""
        for page in self._api.by_ids(task_ids, FIELDS_EXPORTED, shapes.Exported, **IN_FULL):
            authors = self._comment_authors([task["id"] for task in page if task["comment_count"]])
            tasks = [
                self._exported(task | {"comment_authors": authors.get(task["id"], [])})
                for task in page
                if task["annotations"]
            ]
            if tasks:
                yield tasks

    def _exported(self, task: Json) -> Json:
        """Return a task as it is exported."""
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
        return {user["id"]: {name: user.get(name) for name in ANNOTATOR_FIELDS} for user in self._users()}

    @cached_property
    def _uploads(self) -> dict[str, int]:
        """The ids of uploaded files by their names, which is what the task API tells of them."""
        uploads = self._client.get(f"/api/projects/{self._project_id}/file-uploads", list[shapes.Upload], all="true")
        return {upload["file"].rpartition("/")[2]: upload["id"] for upload in uploads}
