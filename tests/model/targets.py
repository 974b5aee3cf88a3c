"""The targets of the model, and what becomes of the requests to them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from model.bench import COVERAGE
from model.bucket import Bucket
from model.fake_project import FakeServer, Process, sent

from labelsync_provider.storages.local_files import LocalFiles


class Buckets(Bucket):
    """A bucket with targets, requests to which may arrive late."""

    starts = ("out/", "other/", "out/sub/", "out")
    late = True


class Folders:
    """Folders with targets below a document root."""

    starts = ("out/", "other/", "out/sub/")
    late = False

    def __init__(self, root: Path) -> None:
        self._root = root / "files"
        self._root.mkdir()

    @property
    def objects(self) -> dict[str, bytes]:
        files = [path for path in self._root.rglob("*") if path.is_file()]
        return {path.relative_to(self._root).as_posix(): path.read_bytes() for path in files}

    def put(self, path: str, content: bytes) -> None:
        if not path.endswith("/"):
            (self._root / path).parent.mkdir(parents=True, exist_ok=True)
            (self._root / path).write_bytes(content)

    def delete(self, path: str) -> None:
        (self._root / path).unlink()

    def open(self, start: str) -> LocalFiles:
        return LocalFiles((self._root / start).as_uri(), str(self._root))


Place = Buckets | Folders


class FaultyTarget:
    """A target as one run has it, with the faults that wait for that; see `Storage`."""

    def __init__(self, place: Place, start: str, way: FakeServer, process: Process) -> None:
        self._open: Callable[[], Any] = lambda: place.open(start)
        self._storage, self._way, self._process, self._late = self._open(), way, process, place.late

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    @property
    def requests(self) -> Any:
        return self._storage.requests

    @requests.setter
    def requests(self, requests: Any) -> None:
        self._storage.requests = requests

    def write(self, key: str, content: bytes, *, create: bool = False) -> str:
        # A storage of its own: what is on the way goes on when the run has ended.
        return self._sent("write", lambda: self._open().write(key, content, create=create))

    def delete(self, keys: Sequence[str]) -> None:
        self._sent("delete", lambda: self._open().delete(keys))

    def _sent(self, kind: str, deliver: Callable[[], Any]) -> Any:
        happened = len(self._process.happened)
        try:
            return sent(self._way, self._process, deliver, lambda: self.requests.begin(kind), late=self._late)
        finally:
            COVERAGE[f"fault of a {kind}"] += len(self._process.happened) - happened
