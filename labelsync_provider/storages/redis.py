"""Redis: the values of one database whose keys begin with a path."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from itertools import groupby, islice
from typing import Any, TypeVar

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
)
from labelsync_provider.retry import RETRY_SECONDS, Requests
from labelsync_provider.storages.answers import no_answer
from labelsync_provider.storages.faults import explained, too_large
from labelsync_provider.storages.location import Location
from labelsync_provider.storages.protocol import MOST_BYTES, ObjectInfo, Page
from labelsync_provider.storages.redis_kept import Kept
from labelsync_provider.storages.redis_scanning import scanned
from labelsync_provider.storages.redis_values import LARGEST, Value, values_of, version_of
from labelsync_provider.storages.spool import sorted_on_disk

READ_AT_ONCE = 500
"""Values that are read, and keys that are deleted, by one pipeline."""
SAID_LENGTH = 200
LOOKED_AT = 1000
"""Characters of an error that are looked at."""

# Redis names most errors by a word at the beginning of the message; its client has classes for few of them.
REFUSED = re.compile(r"WRONGPASS|NOAUTH|invalid username-password|Authentication required", re.I)
ABOUT_A_KEY = re.compile(
    r"WRONGTYPE|permissions? to access|unknown (sub)?command.*memory|'(memory\|usage|hlen|hkeys|hstrlen)'", re.I
)
PASSING = re.compile(r"LOADING|BUSY|TRYAGAIN|CLUSTERDOWN|MASTERDOWN|OOM|MISCONF|READONLY|max number of clients", re.I)

T = TypeVar("T")


class RedisStorage:
    """The values whose keys begin with a path. Strings are task files, hashes are the data of a task."""

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
        self.location = Location(f"redis://{db}", server, prefix=path, has_folders=False)
        self._database_uri = f"redis://{db}/"
        self.uri = self._database_uri + path
        self._path = path
        self._connect, self._login = connect, login
        self._recursive = recursive is not False
        self._retry_seconds = retry_seconds
        self.requests = Requests()
        self._kept = Kept()

    def list(self) -> Iterator[Page]:
        """Yield the values in pages; see `Storage.list`. SCAN has no order and repeats keys: they are sorted first."""
        scanned = self._retry("list keys", lambda: sorted_on_disk(self._scanned()))
        keys = (key for key, _ in groupby(scanned))
        while some := list(islice(keys, READ_AT_ONCE)):
            covered = [key for key in some if self.covers(key)]
            fit = [key for key in covered if "\0" not in key]
            page = self._retry("read values", partial(self._page, fit))
            found = {info.key for info in page}
            unfit = (key.split("\0") for key in covered if "\0" in key)
            yield page + [ObjectInfo(key, 0, "", problem) for key, problem in unfit if key not in found]

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

    def read(self, key: str, most: int = MOST_BYTES, version: str | None = None) -> bytes:
        """Return a string, or a hash as a task; see `Storage.read`."""
        most = min(most, LARGEST)
        content = self._kept.take(key)
        if content is None:
            value = self._standing(key, most)
            if value is None:
                raise NotFound(f"{self.location.container}: there is no key {key}.")
            if value.content is None and value.problem:
                raise Invalid(f"{key}: {value.problem}.")
            content = value.content
        if content is None or len(content) > most:
            raise too_large(key, most)
        return content

    def read_start(self, key: str, size: int) -> bytes:
        """Return the first bytes of a value; see `Storage.read_start`."""
        start: bytes = self._retry(f"read {key}", lambda: self._client.getrange(key, 0, size - 1))
        return start

    def has(self, path: str) -> bool:
        """Tell whether there is a key; see `Storage.has`."""
        return bool(self._retry("read keys", lambda: self._client.exists(path)))

    def write(self, key: str, content: bytes, *, create: bool = False) -> str:
        """Set a string; see `Storage.write`."""
        self._check(key)
        if not self._retry(f"write {key}", lambda: self._client.set(key, content, nx=create)):
            # Maybe by an earlier attempt of this very call, whose answer was lost.
            standing = self._standing(key, len(content))
            if standing is None or standing.content != content:
                raise AlreadyThere(f"{self.location.container}: {key} is there already, with another value.")
        return version_of(b"string", content)

    def delete(self, keys: Sequence[str]) -> None:
        """Delete keys; see `Storage.delete`."""
        for key in keys:
            self._check(key)
        for start in range(0, len(keys), READ_AT_ONCE):
            some = keys[start : start + READ_AT_ONCE]
            self._retry("delete keys", partial(self._pipelined, [("unlink", key) for key in some]))

    @cached_property
    def _client(self) -> Any:
        return self._connect()

    def _check(self, key: str) -> None:
        if not key.startswith(self._path) or not key:
            raise Invalid(f"key {key!r} does not begin with {self._path!r}, the path of {self.uri}.")

    def _scanned(self) -> Iterator[str]:
        return scanned(self._client, self._path, self.requests.stop, self.uri)

    def _page(self, keys: Sequence[str]) -> Page:
        """Return the objects of some keys, without those that are gone since."""
        page = []
        for key, value in values_of(self._pipelined, keys, LARGEST):
            page.append(ObjectInfo(key, value.size, value.version, value.problem))
            if value.content is not None:
                self._kept.keep(key, value.content)
        return page

    def _standing(self, key: str, most: int) -> Value | None:
        return self._retry(
            f"read {key}", lambda: next((value for _, value in values_of(self._pipelined, [key], most)), None)
        )

    def _pipelined(self, commands: Sequence[tuple[Any, ...]]) -> Sequence[Any]:
        """Return the answers to commands of one key each.

        That a value is of another type is an answer too; and so is Denied, if this one key may not be read.
        """
        with self._client.pipeline(transaction=False) as pipeline:
            for command, *given in commands:
                getattr(pipeline, command)(*given)
            answers: list[Any] = pipeline.execute(raise_on_error=False)
        for place, answer in enumerate(answers):
            if isinstance(answer, Exception) and not ABOUT_A_KEY.search(str(answer)[:LOOKED_AT]):
                raise answer
            if isinstance(answer, NoPermissionError):
                answers[place] = Denied(str(answer))
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
        said = str(error)[:LOOKED_AT].partition("\n")[0][:SAID_LENGTH]
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
