"""Where adoption is modelled: a project, a place that it is synced from, and people; in memory, and a real one."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import httpx
from model.bucket import Bucket, BucketStorage
from model.fake_project import Clock
from model.model import Json, Stored
from model.worlds import FakeWorld, LabelStudioWorld, World

from labelsync_provider.errors import Unavailable
from labelsync_provider.projects.protocol import OwnStorage
from labelsync_provider.storages.local_files import LocalFiles
from labelsync_provider.storages.protocol import Page, Storage

SECONDS_BETWEEN_STEPS = 2.0
ELSEWHERE = {"uri": "mem://elsewhere/a.json", "row": 0, "digest": "0" * 24, "effect": "another's"}
"""The source reference of a task that was imported from another place."""


class Site(Protocol):
    """A project, the storage of its own, and the place that this syncs."""

    world: World
    regex_filter: str | None
    """Of its own storage."""

    def put(self, key: str, content: bytes) -> None: ...
    def remove(self, key: str) -> None: ...
    def open(self, prefix: str) -> Storage: ...
    def path(self, key: str) -> str:
        """Return the path of an object in its container."""

    def own_storages(self) -> Sequence[OwnStorage]: ...

    moves_folders: bool
    """Whether a folder may be moved with what is in it, and nothing tells: then it was there if it has a task."""

    def takes(self, key: str) -> bool:
        """Tell whether its own sync takes an object of this key."""

    def press(self) -> bool:
        """Have the project sync, from a storage that is made if there is none; tell whether it has completed."""

    def delete_storage(self) -> None: ...
    def named(self) -> dict[int, str]:
        """Return by task the key of the object that the own sync made it from."""

    def add(self, data: Json, note: Json | None = None) -> None:
        """Add a task, as another tool would."""


def rows_in(key: str, content: bytes) -> list[Any]:
    """Return the rows of a task file, as Label Studio's own sync finds them."""
    if key.endswith(".jsonl"):
        return [json.loads(line) for line in content.splitlines()]
    found = json.loads(content)
    return found if isinstance(found, list) else [found]


def data_of(row: Any) -> Json:
    """Return the data of a row."""
    data: Json = row.get("data", row)
    return data


# --- in memory ---


class DatedBucket(Bucket):
    """A bucket that tells when its objects were written."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self.written: dict[str, float] = {}

    def put(self, key: str, content: bytes) -> None:
        super().put(key, content)
        self._clock.sleep(SECONDS_BETWEEN_STEPS)
        self.written[key] = self._clock()

    def open(self, prefix: str = "") -> BucketStorage:
        return _DatedStorage(self, prefix)


class _DatedStorage(BucketStorage):
    def __init__(self, bucket: DatedBucket, prefix: str) -> None:
        super().__init__(bucket.objects, prefix)
        self._written = bucket.written

    def list(self) -> Iterator[Page]:
        for page in super().list():
            yield [type(info)(info.key, info.size, info.version, None, self._written[info.key]) for info in page]


class FakeSite:
    """A fake server, with a bucket in memory."""

    moves_folders = False

    def __init__(self, clock: Clock, *, reuses_ids: bool, blobs: bool, regex_filter: str | None) -> None:
        self.world = FakeWorld(clock, reuses_ids=reuses_ids)
        self.regex_filter = regex_filter
        self._clock, self._blobs, self._bucket = clock, blobs, DatedBucket(clock)
        self._storage: OwnStorage | None = None

    def put(self, key: str, content: bytes) -> None:
        self._bucket.put(key, content)

    def remove(self, key: str) -> None:
        self._bucket.delete(key)

    def open(self, prefix: str) -> BucketStorage:
        return self._bucket.open(prefix)

    def path(self, key: str) -> str:
        return key

    def own_storages(self) -> Sequence[OwnStorage]:
        return [self._storage] if self._storage else []

    def takes(self, key: str) -> bool:
        return re.match(self.regex_filter or "", key) is not None

    def press(self) -> bool:
        """Do as `ImportStorage._scan_and_create_links` does: an object that has a link is passed over."""
        self._clock.sleep(SECONDS_BETWEEN_STEPS)
        began = datetime.fromtimestamp(self._clock(), UTC)
        of_type = ("s3", 1, "mem://bucket", "", True, self.regex_filter or "", self._blobs, True)
        self._storage = OwnStorage(*of_type)  # type: ignore[arg-type]
        linked, server = set(self.named().values()), self.world.server
        for key, content in sorted(self._bucket.objects.items()):
            if key in linked or not self.takes(key):
                continue
            for row in [{"text": f"mem://bucket/{key}"}] if self._blobs else rows_in(key, content):
                if not isinstance(row, dict):
                    return False
                server.add(data_of(row), key)
        self._storage = self._storage._replace(synced_at=began)
        return True

    def delete_storage(self) -> None:
        self._storage = None
        self.world.server.links.clear()

    def named(self) -> dict[int, str]:
        server = self.world.server
        return {task: name for task in server.tasks if (name := server.storage_filename(task))}

    def add(self, data: Json, note: Json | None = None) -> None:
        number = self.world.server.add(data)
        if note:
            self.world.server.tasks[number] = Stored(data, {}, note)


# --- a real one ---


class LabelStudioSite:
    """A project of a real Label Studio, with a directory below its document root."""

    moves_folders = True

    def __init__(
        self,
        client: httpx.Client,
        project: int,
        open_project: Callable[[], Any],
        open_storages: Callable[[], Sequence[OwnStorage]],
        directory: Path,
        *,
        blobs: bool,
        regex_filter: str | None,
    ) -> None:
        """Begin with an empty project.

        :param directory: in the document root.
        """
        self.world = LabelStudioWorld(client, project, open_project)
        self.regex_filter = regex_filter
        self.own_storages = open_storages
        self._client, self._project, self._directory, self._blobs = client, project, directory, blobs
        self._storage: str | None = None
        directory.mkdir()

    def put(self, key: str, content: bytes) -> None:
        (self._directory / key).parent.mkdir(exist_ok=True)
        (self._directory / key).write_bytes(content)

    def remove(self, key: str) -> None:
        (self._directory / key).unlink()

    def open(self, prefix: str) -> LocalFiles:
        (self._directory / prefix).mkdir(exist_ok=True)
        return LocalFiles((self._directory / prefix).as_uri(), str(self._directory.parent))

    def path(self, key: str) -> str:
        return f"{self._directory.name}/{key}"

    def takes(self, key: str) -> bool:
        return re.match(self.regex_filter or "", key.rpartition("/")[2]) is not None

    def press(self) -> bool:
        if self._storage is None:
            given = {"project": self._project, "path": str(self._directory), "use_blob_urls": self._blobs}
            given |= {"recursive_scan": True, "regex_filter": self.regex_filter or ""}
            made = self._ask("POST", "/api/storages/localfiles/", json=given)
            self._storage = f"/api/storages/localfiles/{made['id']}"
        return bool(self._ask("POST", f"{self._storage}/sync")["status"] == "completed")

    def delete_storage(self) -> None:
        if self._storage:
            self._ask("DELETE", self._storage)
            self._storage = None

    def named(self) -> dict[int, str]:
        asked = {"project": self._project, "page_size": 1000, "include": "id,storage_filename"}
        tasks = self._ask("GET", "/api/tasks/", params=asked)["tasks"]
        names = {task["id"]: task["storage_filename"] for task in tasks if task["storage_filename"]}
        return {task: str(Path(name).relative_to(self._directory)) for task, name in names.items()}

    def add(self, data: Json, note: Json | None = None) -> None:
        task = {"data": data, "meta": {"labelsync": note} if note else {}}
        self._ask("POST", f"/api/projects/{self._project}/import", json=[task])

    def _ask(self, method: str, path: str, **request: Any) -> Any:
        answer = self._client.request(method, path, **request).raise_for_status()
        return answer.json() if answer.content else None


class Breaking:
    """A storage whose listing breaks off."""

    def __init__(self, storage: Storage, pages: int) -> None:
        """Prepare.

        :param pages: how many come before.
        """
        self._storage, self._pages = storage, pages

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def list(self) -> Iterator[Page]:
        for n, page in enumerate(self._storage.list()):
            if n >= self._pages:
                raise Unavailable("the listing broke off")
            yield page
