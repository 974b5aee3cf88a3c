"""The projects of the model, and what people do there: of a fake server, the embedded store, a real Label Studio."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, Protocol

import httpx
from model.fake_project import LOOSE, STRICT, Clock, FakeProject, FakeServer, Process
from model.model import Json, Stored, text_of
from sqlalchemy import Engine, delete, insert, select, update

from labelsync_provider.database import writing
from labelsync_provider.projects.embedded.store import EmbeddedStore
from labelsync_provider.projects.embedded.tables import ANNOTATION, PREDICTION, PROJECT, TASK
from labelsync_provider.projects.protocol import Project

RESULT: list[Json] = [{"from_name": "c", "to_name": "t", "type": "choices", "value": {"choices": ["x"]}}]
DRAFTS = json.dumps({"ordering": ["tasks:draft_exists"]})
"""Only who sorts by drafts is told of them."""
STAMP = "2021-07-06T06:06:25.927570Z"


class World(Protocol):
    """A project, and people who work in it."""

    remote: bool
    odd_rows: bool
    """Whether it does not take rows that say `refused`, and fails over those that say `poison`."""
    tells_skip: bool
    """Whether it tells a task's `allow_skip`."""

    def open(self, process: Process) -> Project: ...
    def snapshot(self) -> dict[int, Stored]: ...
    def annotate(self, task: int) -> None: ...
    def edit(self, task: int, data: Json) -> None: ...
    def delete(self, task: int) -> None: ...
    def set_strict(self, strict: bool) -> None:
        """Have the label config need `text` in the data, or nothing."""


class FakeWorld:
    """A fake server."""

    remote = odd_rows = tells_skip = True

    def __init__(self, clock: Clock, *, reuses_ids: bool) -> None:
        self.server = FakeServer(clock, reuses_ids=reuses_ids)

    def open(self, process: Process) -> Any:
        return FakeProject(self.server, process)

    def snapshot(self) -> dict[int, Stored]:
        return dict(self.server.tasks)

    def annotate(self, task: int) -> None:
        self._change(task, annotations=(*self.server.tasks[task].annotations, text_of(RESULT)))

    def draft(self, task: int) -> None:
        self._change(task, drafts=self.server.tasks[task].drafts + 1)

    def edit(self, task: int, data: Json) -> None:
        self._change(task, data=data)

    def delete(self, task: int) -> None:
        del self.server.tasks[task]

    def set_strict(self, strict: bool) -> None:
        self.server.label_config = STRICT if strict else LOOSE

    def _change(self, task: int, **values: Any) -> None:
        self.server.tasks[task] = replace(self.server.tasks[task], **values)
        self.server.touched.add(task)


class EmbeddedWorld:
    """The embedded store, in the database of the ledger."""

    remote = odd_rows = False
    tells_skip = True
    _annotation_ids = count(10**9)

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._id = EmbeddedStore(engine).create_project("Model", STRICT).id

    def open(self, process: Process) -> "Watched":
        return Watched(EmbeddedStore(self._engine).project(self._id), process)

    def snapshot(self) -> dict[int, Stored]:
        with self._engine.connect() as connection:
            tasks = connection.execute(select(TASK).where(TASK.c.project == self._id)).mappings().all()
            predictions = connection.execute(select(PREDICTION)).mappings().all()
            annotations = connection.execute(select(ANNOTATION)).mappings().all()
        return {
            task["id"]: Stored(
                task["data"],
                {name: value for name, value in task["meta"].items() if name != "labelsync"},
                task["meta"].get("labelsync", {}),
                tuple((p["model_version"], text_of(p["result"])) for p in predictions if p["task"] == task["id"]),
                tuple(text_of(a["result"]) for a in annotations if a["task"] == task["id"]),
                skip=task["allow_skip"],
            )
            for task in tasks
        }

    def annotate(self, task: int) -> None:
        row = {"id": next(self._annotation_ids), "task": task, "result": RESULT, "other": {}, "created_at": STAMP}
        self._do(insert(ANNOTATION).values(was_cancelled=False, ground_truth=False, updated_at=STAMP, **row))

    def edit(self, task: int, data: Json) -> None:
        self._do(update(TASK).where(TASK.c.id == task).values(data=data))

    def delete(self, task: int) -> None:
        for table in (ANNOTATION, PREDICTION):
            self._do(delete(table).where(table.c.task == task))
        self._do(delete(TASK).where(TASK.c.id == task))

    def set_strict(self, strict: bool) -> None:
        self._do(update(PROJECT).where(PROJECT.c.id == self._id).values(label_config=STRICT if strict else LOOSE))

    def _do(self, statement: Any) -> None:
        with writing(self._engine) as connection:
            connection.execute(statement)


class Watched:
    """A project of a store, with a process that may be paused before it changes anything."""

    def __init__(self, project: Any, process: Process) -> None:
        self._project, self._process = project, process

    def __getattr__(self, name: str) -> Any:
        return getattr(self._project, name)

    def import_tasks(self, tasks: Sequence[Any]) -> Any:
        self._about_to_change()
        return self._project.import_tasks(tasks)

    def update_tasks(self, updates: Mapping[int, Any]) -> Iterator[Any]:
        self._about_to_change()
        yield from self._project.update_tasks(updates)

    def delete_tasks(self, uris: Mapping[int, str], **options: bool) -> set[int]:
        self._about_to_change()
        gone: set[int] = self._project.delete_tasks(uris, **options)
        return gone

    def _about_to_change(self) -> None:
        fault = self._process.next_fault()
        if fault == "pause":
            self._process.pause()
        elif fault == "stop":
            self._process.stop.set()


class LabelStudioWorld:
    """A project of a real server."""

    remote = True
    odd_rows = tells_skip = False

    def __init__(self, client: httpx.Client, project: int, open_project: Callable[[], Any]) -> None:
        self._client, self._id, self._open = client, project, open_project

    def open(self, process: Process) -> Watched:
        return Watched(self._open(), process)

    def snapshot(self) -> dict[int, Stored]:
        asked = {"project": self._id, "page_size": 1000, "fields": "all", "resolve_uri": "false", "query": DRAFTS}
        return {
            task["id"]: Stored(
                task["data"],
                {name: value for name, value in (task["meta"] or {}).items() if name != "labelsync"},
                (task["meta"] or {}).get("labelsync", {}),
                tuple((p["model_version"], text_of(p["result"])) for p in task["predictions"]),
                tuple(text_of(a["result"]) for a in task["annotations"]),
                int(task["draft_exists"]),
            )
            for task in self._ask("GET", "/api/tasks/", params=asked)["tasks"]
        }

    def annotate(self, task: int) -> None:
        self._ask("POST", f"/api/tasks/{task}/annotations/", json={"result": RESULT})

    def draft(self, task: int) -> None:
        self._ask("POST", f"/api/tasks/{task}/drafts", json={"result": RESULT, "lead_time": 1})

    def edit(self, task: int, data: Json) -> None:
        self._ask("PATCH", f"/api/tasks/{task}/", json={"data": data})

    def delete(self, task: int) -> None:
        self._ask("DELETE", f"/api/tasks/{task}/")

    def set_strict(self, strict: bool) -> None:
        self._ask("PATCH", f"/api/projects/{self._id}/", json={"label_config": STRICT if strict else LOOSE})

    def _ask(self, method: str, path: str, **request: Any) -> Any:
        answer = self._client.request(method, path, **request).raise_for_status()
        return answer.json() if answer.content else None
