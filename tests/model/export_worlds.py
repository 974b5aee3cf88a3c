"""The projects that are exported, and what annotators do there: of a fake server, the embedded store, a Label Studio.

A change is shown if it moves the task's `updated_at`, or the counts, and is found by every run; others are found when
everything is looked at.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, Protocol

import httpx
from model.export_model import Annotation, Labeled, annotation, prediction, text_of
from model.fake_labeling import new_result, results, stamp
from model.fake_project import LOOSE, Process
from sqlalchemy import Engine, delete, insert, select, update

from labelsync_provider.database import writing
from labelsync_provider.projects.embedded.store import EmbeddedStore
from labelsync_provider.projects.embedded.tables import ANNOTATION, PREDICTION, TASK
from labelsync_provider.projects.protocol import Annotated, Json
from labelsync_provider.projects.protocol import Task as ImportedTask


class World(Protocol):
    """A project, and people who work in it. What they do to a task returns whether it is shown."""

    miscounted: int
    """Annotations that the project counts too many."""
    counts_right: bool
    """Whether all its counters are."""

    def open(self, process: Process) -> Annotated: ...
    def snapshot(self) -> dict[int, Labeled]: ...
    def add(self, cancelled: Sequence[bool]) -> int:
        """Add a task with annotations."""

    def annotate(self, task: int, cancelled: bool) -> bool: ...
    def edit(self, task: int, annotation: int) -> bool: ...
    def toggle(self, task: int, annotation: int) -> bool:
        """Cancel an annotation, or take that back."""

    def remove(self, task: int, annotation: int) -> bool: ...
    def delete(self, task: int) -> bool: ...
    def change_data(self, task: int) -> bool: ...
    def predict(self, task: int) -> bool: ...
    def rename(self, task: int) -> bool:
        """Give the annotators of a task another name."""


# --- the embedded store ---


class EmbeddedLabeling:
    """The embedded store, in the database of the ledger. It keeps no time: every run looks at everything."""

    miscounted, counts_right = 0, True
    _ids = count(10**9)
    _ann: Mapping[str, Any] = {"id": 1, "first_name": "Ann"}

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._id = EmbeddedStore(engine).create_project("Model", LOOSE).id

    def open(self, process: Process) -> Any:
        return EmbeddedStore(self._engine).project(self._id)

    def snapshot(self) -> dict[int, Labeled]:
        with self._engine.connect() as connection:
            tasks = connection.execute(select(TASK).where(TASK.c.project == self._id)).mappings().all()
            predictions = connection.execute(select(PREDICTION)).mappings().all()
            annotations = connection.execute(select(ANNOTATION).order_by(ANNOTATION.c.id)).mappings().all()
        return {
            task["id"]: _labeled(
                {**task, "annotations": [a for a in annotations if a["task"] == task["id"]]},
                [p for p in predictions if p["task"] == task["id"]],
            )
            for task in tasks
        }

    def add(self, cancelled: Sequence[bool]) -> int:
        labels = [
            {"result": new_result(), "was_cancelled": each, "completed_by": dict(self._ann)} for each in cancelled
        ]
        (added,) = self.open(Process()).import_tasks([ImportedTask({"text": "one"}, annotations=labels)])
        return int(added)

    def annotate(self, task: int, cancelled: bool) -> bool:
        row = self._new(task) | {"was_cancelled": cancelled, "ground_truth": False, "completed_by": dict(self._ann)}
        self._do(insert(ANNOTATION).values(row))
        return True

    def edit(self, task: int, annotation: int) -> bool:
        return self._change(annotation, result=new_result())

    def toggle(self, task: int, annotation: int) -> bool:
        return self._change(annotation, was_cancelled=~ANNOTATION.c.was_cancelled)

    def remove(self, task: int, annotation: int) -> bool:
        self._do(delete(ANNOTATION).where(ANNOTATION.c.id == annotation))
        return True

    def delete(self, task: int) -> bool:
        for table in (ANNOTATION, PREDICTION):
            self._do(delete(table).where(table.c.task == task))
        self._do(delete(TASK).where(TASK.c.id == task))
        return True

    def change_data(self, task: int) -> bool:
        self._do(update(TASK).where(TASK.c.id == task).values(data={"text": "one", "added": next(results)}))
        return True

    def predict(self, task: int) -> bool:
        self._do(insert(PREDICTION).values(self._new(task) | {"model_version": "m"}))
        return True

    def rename(self, task: int) -> bool:
        renamed = {**self._ann, "first_name": f"Ann {next(results)}"}
        self._do(update(ANNOTATION).where(ANNOTATION.c.task == task).values(completed_by=renamed))
        return True

    def _new(self, task: int) -> Json:
        now = stamp(0)
        row = {"id": next(self._ids), "task": task, "result": new_result(), "other": {}}
        return row | {"created_at": now, "updated_at": now}

    def _change(self, annotation: int, **values: Any) -> bool:
        self._do(update(ANNOTATION).where(ANNOTATION.c.id == annotation).values(values))
        return True

    def _do(self, statement: Any) -> None:
        with writing(self._engine) as connection:
            connection.execute(statement)


def _labeled(task: Mapping[str, Any], predictions: Sequence[Any]) -> Labeled:
    told = tuple(sorted(map(annotation, task["annotations"])))
    predicted = tuple(sorted(map(prediction, predictions)))
    return Labeled(task["id"], text_of(task["data"]), task["updated_at"], _counters(told), predicted, told)


def _counters(annotations: Sequence[Annotation]) -> tuple[int, int]:
    cancelled = sum(a.cancelled for a in annotations)
    return len(annotations) - cancelled, cancelled


# --- a real server ---


class LabelStudioLabeling:
    """A project of a real server."""

    miscounted, counts_right = 0, True

    def __init__(self, client: httpx.Client, project: int, open_project: Callable[[], Any]) -> None:
        self._client, self._id, self._open = client, project, open_project

    def open(self, process: Process) -> Any:
        return self._open()

    def snapshot(self) -> dict[int, Labeled]:
        asked = {"project": self._id, "page_size": 1000, "fields": "all", "resolve_uri": "false"}
        people = {user["id"]: user for user in self._ask("GET", "/api/users/")}
        tasks = self._ask("GET", "/api/tasks/", params=asked)["tasks"]
        for a in (a for task in tasks for a in task["annotations"]):
            a["completed_by"] = people[a["completed_by"]]
        return {task["id"]: _labeled(task, task["predictions"]) for task in tasks}

    def add(self, cancelled: Sequence[bool]) -> int:
        task = self._ask("POST", "/api/tasks/", json={"project": self._id, "data": {"text": "one"}})["id"]
        for each in cancelled:
            self.annotate(task, each)
        return int(task)

    def annotate(self, task: int, cancelled: bool) -> bool:
        self._ask("POST", f"/api/tasks/{task}/annotations/", json={"result": new_result(), "was_cancelled": cancelled})
        return True

    def edit(self, task: int, annotation: int) -> bool:
        self._ask("PATCH", f"/api/annotations/{annotation}/", json={"result": new_result()})
        return True

    def toggle(self, task: int, annotation: int) -> bool:
        cancelled = next(a.cancelled for a in self.snapshot()[task].annotations if a.id == annotation)
        self._ask("PATCH", f"/api/annotations/{annotation}/", json={"was_cancelled": not cancelled})
        return True

    def remove(self, task: int, annotation: int) -> bool:
        self._ask("DELETE", f"/api/annotations/{annotation}/")
        return True

    def delete(self, task: int) -> bool:
        self._ask("DELETE", f"/api/tasks/{task}/")
        return True

    def change_data(self, task: int) -> bool:
        self._ask("PATCH", f"/api/tasks/{task}/", json={"data": {"text": "one", "added": next(results)}})
        return True

    def predict(self, task: int) -> bool:
        made = [{"task": task, "result": new_result(), "model_version": "m"}]
        self._ask("POST", f"/api/projects/{self._id}/import/predictions", json=made)
        return False

    def rename(self, task: int) -> bool:
        (user,) = self._ask("GET", "/api/users/")
        self._ask("PATCH", f"/api/users/{user['id']}/", json={"first_name": f"Ann {next(results)}"})
        return False

    def _ask(self, method: str, path: str, **request: Any) -> Any:
        answer = self._client.request(method, path, **request).raise_for_status()
        return answer.json() if answer.content else None


# --- whichever it is ---


class Interrupted:
    """A project as one run has it; between two pages of it, people do something."""

    def __init__(self, project: Any, meanwhile: dict[int, Callable[[], None]]) -> None:
        self._project, self._meanwhile, self._pages = project, meanwhile, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._project, name)

    def changes(self, *since: Any, **ids: Any) -> Iterator[Any]:
        yield from self._interrupted(self._project.changes(*since, **ids))

    def annotated_tasks(self, task_ids: Sequence[int] | None = None) -> Iterator[Any]:
        yield from self._interrupted(self._project.annotated_tasks(task_ids))

    def _interrupted(self, pages: Iterator[Any]) -> Iterator[Any]:
        for page in pages:
            yield page
            what = self._meanwhile.pop(self._pages, None)
            self._pages += 1
            if what:
                what()
