"""Sites: a project that Label Studio's own sync fills, the place that it is filled from, and people who work in it.

A test module says `pytest_plugins = ["servers.label_studio", "servers.s3", "sites"]` and takes the fixture `open_site`.
No test asserts here, so that a module may import it before it is a plugin: PYTEST_DONT_REWRITE.
"""

import json
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
from places import Directory, Place, S3Place
from servers.label_studio import LabelStudioServer
from servers.s3 import S3Server
from sqlalchemy import Engine

from labelsync_provider.database import open_database
from labelsync_provider.projects.label_studio.client import Client
from labelsync_provider.projects.label_studio.project_storages import ProjectStorages
from labelsync_provider.projects.label_studio.server import LabelStudioServer as Projects
from labelsync_provider.projects.protocol import Task
from labelsync_provider.sync import ImportOptions, ImportReport, import_storage

Json = dict[str, Any]
Tasks = dict[int, Json]


@dataclass
class Site:
    """A project of a Label Studio server, a place that the server reads too, and a ledger."""

    server: LabelStudioServer
    project: int
    place: Place
    top: str
    """What all keys begin with: a document root is shared by many tests, a bucket is not."""
    engine: Engine

    def ask(self, method: str, path: str, **given: Any) -> Any:
        """Ask the server's API, as anybody would."""
        with self.server.client() as client:
            answer = client.request(method, path, **given).raise_for_status()
        return answer.json() if answer.content else None

    def put(self, key: str, content: Any) -> None:
        self.place.put(self.top + key, content)

    def own_storage(self, prefix: str, **fields: Any) -> str:
        """Add a storage of its own to the project, as its settings page does, and sync it; return its path."""
        api, where = storage_fields(self.place, self.top + prefix)
        given = {"project": self.project, "use_blob_urls": False, "recursive_scan": False, **where, **fields}
        path = f"/api/storages/{api}/{self.ask('POST', f'/api/storages/{api}/', json=given)['id']}"
        self.sync(path)
        return path

    def sync(self, storage: str) -> Json:
        """Press Sync; the answer comes when it is over."""
        return self.ask("POST", f"{storage}/sync")

    def run(self, prefix: str, *, recursive: bool = True, **options: Any) -> ImportReport:
        """Import what is below a prefix, which says what it is."""
        blobs = {"use_blob_urls": prefix.startswith("photos")}
        with closing(Client(self.server.url, self.server.token)) as client:
            storage, project = self.place.open(self.top + prefix), Projects(client).project(self.project)
            if not recursive:
                assert isinstance(self.place, S3Place)
                storage = self.place.open(self.top + prefix, recursive=False)
            own = ProjectStorages(client, self.project).listed()
            given = ImportOptions(**{**blobs, **options})
            return import_storage(storage, project, self.engine, given, "the run of this test", own_storages=own)

    def tasks(self) -> Tasks:
        """Return what the project has, by id: all that an import could change of a task, and what people made of it."""
        asked = {"project": self.project, "fields": "all", "resolve_uri": "false", "page_size": 10_000}
        return {
            task["id"]: {name: task[name] for name in ("data", "meta", "updated_at")}
            | {kind: [(one["id"], one["result"]) for one in task[kind]] for kind in ("annotations", "predictions")}
            for task in self.ask("GET", "/api/tasks/", params=asked)["tasks"]
        }

    def texts(self) -> Counter[str]:
        """Return what the tasks show, the URI of a blob by its key."""
        return Counter(short(task["data"]["text"]) for task in self.tasks().values())

    def of(self, *texts: str) -> list[int]:
        """Return the first task of each text."""
        shown = {short(task["data"]["text"]): number for number, task in sorted(self.tasks().items(), reverse=True)}
        return [shown[text] for text in texts]

    def delete(self, *texts: str) -> None:
        for number in self.of(*texts):
            self.ask("DELETE", f"/api/tasks/{number}/")

    def edit(self, **texts: str) -> None:
        """Write another text into the data of tasks."""
        for number, text in zip(self.of(*texts), texts.values(), strict=True):
            self.ask("PATCH", f"/api/tasks/{number}/", json={"data": {"text": text}})

    def add(self, data: Json, meta: Json | None = None) -> None:
        """Add a task, as another tool would."""
        with closing(Client(self.server.url, self.server.token)) as client:
            (added,) = Projects(client).project(self.project).import_tasks([Task(data, meta or {})])
        assert isinstance(added, int), added

    def uri(self, key: str) -> str:
        folder, _, name = (self.top + key).rpartition("/")
        storage = self.place.open(f"{folder}/")
        return storage.object_uri(name if isinstance(self.place, Directory) else self.top + key)


def storage_fields(place: Place, prefix: str) -> tuple[str, Json]:
    """Return what the API calls a storage of a place, and the fields that say where it is."""
    if isinstance(place, Directory):
        return "localfiles", {"path": str(place.root / prefix)}
    assert isinstance(place, S3Place)
    server = place.server
    keys = {"aws_access_key_id": server.access_key, "aws_secret_access_key": server.secret_key}
    at = {"s3_endpoint": server.endpoint, "region_name": server.region}
    return "s3", {"bucket": place.bucket, "prefix": prefix, **at, **keys}


def short(text: str) -> str:
    """Return the name of the file that a text is the URI of; another text as it is."""
    return text.rpartition("/")[2]


def named(failures: list[Any]) -> set[tuple[str, int | None]]:
    return {(short(failure.key), failure.row) for failure in failures}


def rows_of(*texts: str, **beside: Any) -> list[Json]:
    return [{"data": {"text": text}, **beside} for text in texts]


def content(name: str, rows: list[Json]) -> Any:
    """Return a task file: JSON lines, or an array, or an object by itself."""
    if name.endswith(".jsonl"):
        return "\n".join(map(json.dumps, rows))
    return rows[0] if name.startswith("single") else rows


@pytest.fixture(scope="module", params=["label_studio", "label_studio_postgres"])
def server(request: pytest.FixtureRequest) -> LabelStudioServer:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def open_site(tmp_path_factory: pytest.TempPathFactory, rclone: S3Server) -> Iterator[Callable[..., Site]]:
    """Make a site with an empty project, an empty place and an empty ledger."""
    engines = []

    def open_site(server: LabelStudioServer, kind: str) -> Site:
        place = Directory(server.document_root) if kind == "files" else S3Place(rclone, rclone.create_bucket())
        engine = open_database(f"sqlite:///{tmp_path_factory.mktemp('ledger')}/labelsync.db")
        engines.append(engine)
        top = f"{secrets.token_hex(8)}/" if kind == "files" else ""
        return Site(server, server.create_project(), place, top, engine)

    yield open_site
    for engine in engines:
        engine.dispose()
