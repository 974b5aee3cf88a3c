"""Redis: the values of one database whose keys begin with a path."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property, partial
from hashlib import blake2b
from itertools import groupby, islice
from threading import Lock
from typing import Any, NamedTuple, TypeVar

import msgspec
from redis.exceptions import AuthenticationError, NoPermissionError, RedisClusterException, RedisError
from redis.exceptions import ConnectionError as BrokenConnection
from redis.exceptions import TimeoutError as TimedOut

from labelsync_provider.errors import (
    AlreadyThere,
    Denied,
    Invalid,
    LabelsyncError,
    NotFound,
    Unavailable,
    Unusable,
    invalid,
)
from labelsync_provider.retry import RETRY_SECONDS, Requests
from labelsync_provider.storages.faults import explained, no_answer
from labelsync_provider.storages.location import Location
from labelsync_provider.storages.protocol import ObjectInfo, Page
from labelsync_provider.storages.spool import sorted_on_disk

SCANNED_AT_ONCE = 1000
READ_AT_ONCE = 500
READ_AT_ONCE_BYTES = 16 * 1024 * 1024
LARGEST = 100 * 1024 * 1024
"""Values above it are listed and not read; in bytes."""
KEPT_BYTES = 32 * 1024 * 1024
"""Values are read once for their version, and kept so long for who reads them next."""

UNREADABLE = "unreadable"
READ_BY = {"string": "get", "hash": "hgetall", UNREADABLE: "get"}
"""How a value of each type is read; of one that may not be looked at, the attempt says why."""
SAID_LENGTH = 200

NOT_UTF8 = "its key is not UTF-8; rename it"
HASH_NOT_UTF8 = "a field or value of the hash is not UTF-8"
REFUSED = re.compile(r"WRONGPASS|NOAUTH|invalid username-password|Authentication required", re.I)
ABOUT_A_KEY = re.compile(r"WRONGTYPE|permissions? to access", re.I)
PASSING = re.compile(r"LOADING|BUSY|TRYAGAIN|CLUSTERDOWN|MASTERDOWN|OOM|MISCONF|READONLY|max number of clients", re.I)

T = TypeVar("T")


class _Value(NamedTuple):
    """What stands under a key."""

    content: bytes | None
    """A hash as the task that it is, in JSON. None if it is not, or not yet, to be read."""
    size: int
    version: str
    problem: str | None


class RedisStorage:
    """The values whose keys begin with a path. Strings are task files, hashes are the data of a task."""

    holds_files = False

    def __init__(
        self,
        connect: Callable[[], Any],
        db: int,
        path: str,
        *,
        server: str,
        login: str,
        recursive: bool | None = None,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        """Open the values below `path`, which is taken as it is written.

        :param connect: returns redis-py's `Redis` of that database, or its `RedisCluster`.
        :param server: host and port.
        :param login: the Airflow connection, in words.
        :param recursive: False leaves out keys with a `/` behind the path.
        """
        self.location = Location(f"redis://{db}", server, prefix=path)
        self._database_uri = f"redis://{db}/"
        self.uri = self._database_uri + path
        self._path = path
        self._connect, self._login = connect, login
        self._recursive = recursive is not False
        self._retry_seconds = retry_seconds
        self.requests = Requests()
        self._odd: set[str] = set()
        """Keys that are not UTF-8, as they are escaped."""
        self._kept: dict[str, bytes] = {}
        self._kept_bytes = 0
        self._keeping = Lock()

    def list(self) -> Iterator[Page]:
        """Yield the values in pages; see `Storage.list`. SCAN has no order and repeats keys: they are sorted first."""
        scanned = self._retry("list keys", lambda: sorted_on_disk(self._scan()))
        keys = (key for key, _ in groupby(scanned))
        while some := list(islice(keys, READ_AT_ONCE)):
            covered = [key for key in some if self.covers(key)]
            yield self._retry("read values", partial(self._page, covered))

    def covers(self, key: str) -> bool:
        """Tell whether a key begins with the path, and is listed."""
        return key.startswith(self._path) and (self._recursive or "/" not in key[len(self._path) :])

    def object_uri(self, key: str) -> str:
        """Return `redis://db/key`, which names the value and is nothing that Label Studio could show."""
        return self._database_uri + key

    def path_of(self, uri: str) -> str | None:
        """Return the full key in a URI of this database."""
        before, _, key = uri.partition(self._database_uri)
        return None if before or not key else key

    def read(self, key: str) -> bytes:
        """Return a string, or a hash as a task; see `Storage.read`."""
        with self._keeping:
            kept = self._kept.pop(key, None)
            if kept is not None:
                self._kept_bytes -= len(kept)
                return kept
        value = self._standing(key)
        if value is None:
            raise NotFound(f"{self.location.container}: there is no key {key}.")
        if value.content is None:
            raise Invalid(f"{key}: {value.problem or f'{value.size:,} bytes are not read, {LARGEST:,} would be'}.")
        return value.content

    def write(self, key: str, content: bytes, *, create: bool = False) -> str:
        """Set a string; see `Storage.write`."""
        self._check(key)
        if not self._retry(f"write {key}", lambda: self._client.set(key, content, nx=create)):
            # Maybe by an earlier attempt of this very call, whose answer was lost.
            standing = self._standing(key)
            if standing is None or standing.content != content:
                raise AlreadyThere(f"{self.location.container}: {key} is there already, with another value.")
        return _version(b"string", content)

    def delete(self, keys: Sequence[str]) -> None:
        """Delete keys; see `Storage.delete`."""
        for key in keys:
            self._check(key)
        for start in range(0, len(keys), READ_AT_ONCE):
            some = keys[start : start + READ_AT_ONCE]
            self._retry("delete keys", partial(self._pipelined, [("unlink", key) for key in some]))

    def sign(self, keys: Sequence[str], life: timedelta) -> Sequence[str]:
        """Refuse: values have no URLs."""
        raise invalid("url_mode", "signed", "values in Redis have no URLs", "Use 'storage'.")

    @cached_property
    def _client(self) -> Any:
        return self._connect()

    def _check(self, key: str) -> None:
        if not key.startswith(self._path) or not key:
            raise Invalid(f"key {key!r} does not begin with {self._path!r}, the path of {self.uri}.")

    def _scan(self) -> Iterator[str]:
        scanned = self._client.scan_iter(match=_literally(self._path), count=SCANNED_AT_ONCE)
        for number, raw in enumerate(scanned):
            if not number % SCANNED_AT_ONCE:
                self.requests.stop.check()
            try:
                yield raw.decode()
            except UnicodeDecodeError:
                escaped = raw.decode("utf-8", "backslashreplace")
                self._odd.add(escaped)
                yield escaped

    def _page(self, keys: Sequence[str]) -> Page:
        """Return the objects of some keys, without those that are gone since."""
        page = []
        for key, value in self._values(keys):
            page.append(ObjectInfo(key, value.size, value.version, value.problem))
            if value.content is not None:
                self._keep(key, value.content)
        found = {info.key for info in page}
        return page + [ObjectInfo(key, 0, "", NOT_UTF8) for key in keys if key in self._odd and key not in found]

    def _keep(self, key: str, content: bytes) -> None:
        with self._keeping:
            self._kept_bytes += len(content) - len(self._kept.pop(key, b""))
            self._kept[key] = content
            while self._kept_bytes > KEPT_BYTES:
                self._kept_bytes -= len(self._kept.pop(next(iter(self._kept))))

    def _standing(self, key: str) -> _Value | None:
        return self._retry(f"read {key}", lambda: next((value for _, value in self._values([key])), None))

    def _values(self, keys: Sequence[str]) -> Iterator[tuple[str, _Value]]:
        """Yield what stands under keys; those that are gone, or expired, are left out."""
        kinds = self._pipelined([("type", key) for key in keys])
        sizes = self._pipelined([("strlen", key) for key in keys])
        known = [
            (key, kind.decode() if isinstance(kind, bytes) else UNREADABLE, size if isinstance(size, int) else 0)
            for key, kind, size in zip(keys, kinds, sizes, strict=True)
        ]
        for some in _together(known):
            readable = [(key, kind) for key, kind, size in some if kind in READ_BY and size <= LARGEST]
            answers = dict(
                zip(
                    [key for key, _ in readable],
                    self._pipelined([(READ_BY[kind], key) for key, kind in readable]),
                    strict=True,
                )
            )
            for key, kind, size in some:
                if isinstance(answers.get(key), NoPermissionError):
                    yield key, _Value(None, size, "denied", "the user of the connection may not read it")
                elif kind not in (*READ_BY, "none"):
                    yield key, _Value(None, 0, kind, f"it is a {kind}, not a string or a hash")
                elif size > LARGEST:
                    yield key, _Value(None, size, f"{size} bytes", None)
                elif isinstance(answer := answers.get(key), bytes):
                    yield key, _Value(answer, len(answer), _version(b"string", answer), None)
                elif isinstance(answer, dict) and answer:
                    yield key, _hash_value(answer)

    def _pipelined(self, commands: Sequence[tuple[str, str]]) -> Sequence[Any]:
        """Return the answers to commands of one key each.

        That a value is of another type is an answer too, and that this one key may not be read.
        """
        with self._client.pipeline(transaction=False) as pipeline:
            for command, key in commands:
                getattr(pipeline, command)(key)
            answers: Sequence[Any] = pipeline.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, Exception) and not ABOUT_A_KEY.search(str(answer)):
                raise answer
        return answers

    def _retry(self, doing: str, attempt: Callable[[], T]) -> T:
        kind = doing.partition(" ")[0]
        return self.requests.repeat(kind, attempt, lambda: self._explaining(doing), self._retry_seconds)

    @contextmanager
    def _explaining(self, doing: str) -> Iterator[None]:
        """Turn the client's errors into the package's, without their causes: these may quote a command."""
        try:
            yield
        except LabelsyncError:
            raise
        except (RedisError, RedisClusterException, OSError) as error:
            raise self._explained(error, doing) from None

    def _explained(self, error: Exception, doing: str) -> LabelsyncError:
        database = f"{self.location.container} on {self.location.endpoint}"
        what = f"{database}: cannot {doing}"
        said = str(error).partition("\n")[0][:SAID_LENGTH]
        if isinstance(error, AuthenticationError) or REFUSED.search(said):
            return Unusable(f"{what}: {said}. The user name or password of {self._login} is not accepted.")
        if isinstance(error, NoPermissionError) or said.startswith("NOPERM"):
            return Denied(f"{what}: {said}. The user of {self._login} has no permission for it.")
        if "DB index" in said:
            return Unusable(f"{what}: {said}. The server has no database of this number. Correct the storage URI.")
        broken = isinstance(error, BrokenConnection | TimedOut | OSError | RedisClusterException)
        if broken and not PASSING.search(said):
            return explained(no_answer(error), database, doing, self._login)
        if PASSING.search(said):
            return Unavailable(f"{what}: {said}.")
        return Invalid(f"{what}: {said}.")


def _literally(path: str) -> bytes:
    """Return the pattern of keys that begin with a path, whatever characters it has."""
    return re.sub(r"([*?\[\]\\^])", r"\\\1", path).encode() + b"*"


def _together(known: Sequence[tuple[str, str, int]]) -> Iterator[list[tuple[str, str, int]]]:
    """Group values that are read at once, by their bytes."""
    group: list[tuple[str, str, int]] = []
    room = READ_AT_ONCE_BYTES
    for entry in known:
        if group and entry[2] > room:
            yield group
            group, room = [], READ_AT_ONCE_BYTES
        group.append(entry)
        room -= entry[2]
    if group:
        yield group


def _hash_value(fields: dict[bytes, bytes]) -> _Value:
    try:
        data = {field.decode(): value.decode() for field, value in fields.items()}
    except UnicodeDecodeError:
        return _Value(None, 0, "hash", HASH_NOT_UTF8)
    content = msgspec.json.encode({"data": data}, order="sorted")
    read = content if len(content) <= LARGEST else None
    return _Value(read, len(content), _version(b"hash", content), None)


def _version(kind: bytes, content: bytes) -> str:
    return blake2b(content, digest_size=16, person=kind).hexdigest()
