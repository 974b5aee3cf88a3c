"""What Amazon S3, Google Cloud Storage and Azure Blob share: objects of a bucket, moved by obstore.

What each of them does in its own way is a `Service`: it lists, signs, and moves the few objects whose keys
obstore cannot express. Its listing dies of one such key, so listings are the service's as well.
"""

import heapq
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, TypeVar

import obstore
from obstore.exceptions import BaseError

from labelsync_provider.errors import (
    AlreadyThere,
    Invalid,
    LabelsyncError,
    NotFound,
    TooLarge,
    Unavailable,
    Unusable,
    invalid,
)
from labelsync_provider.prefetch import prefetched
from labelsync_provider.retry import RETRY_SECONDS, Requests
from labelsync_provider.storages.faults import Fault, explained, fault_in, too_large
from labelsync_provider.storages.going_on import GoingOn
from labelsync_provider.storages.protocol import MOST_BYTES, ObjectInfo, Page
from labelsync_provider.storages.service import Service

if TYPE_CHECKING:
    from obstore import GetResult, PutMode
    from obstore.store import ClientConfig, RetryConfig

CLIENT_OPTIONS: "ClientConfig" = {
    "connect_timeout": timedelta(seconds=10),
    "read_timeout": timedelta(seconds=60),
    # Of a whole request; the largest task file takes its time on a thin line.
    "timeout": timedelta(minutes=15),
}
NO_RETRIES: "RetryConfig" = {"max_retries": 0}
"""obstore's own retries would multiply with those of `call_with_retries`."""

PAGE = 1000
MOST_EMPTY = 10_000
"""Pages in a row without an object. A few are usual, where much was deleted."""
DELETING_THREADS = 8
SHORT_KEY, LONGEST_KEY = 256, 1024
"""In bytes of UTF-8: the limit of S3, GCS and (in characters) Azure."""

INEXPRESSIBLE = re.compile(r"(?:^|/)\.{0,2}(?:/|$)|[\x00-\x1f\x7f]").search
"""obstore takes no empty segment, `.`, `..` or control character; some it rewrites, into another object's key."""

NO_OBJECT = "Header missing from response"
"""What obstore says of an answer that is not like one of the service."""
PROVIDER = re.compile(r"External \w+ credential provider: (.*)", re.DOTALL)

T = TypeVar("T")


class BucketStorage:
    """The objects of one bucket whose keys begin with a prefix, as it is written: `2024-05` is a prefix too.

    Keys are full keys. Not recursive: one level of them, that of `photos/` as well for the prefix `photos`.
    """

    def __init__(
        self, service: Service, prefix: str, *, recursive: bool | None = None, retry_seconds: float = RETRY_SECONDS
    ) -> None:
        """Open it; nothing is asked of the service yet.

        :param recursive: None is the guide's rule: only without a prefix.
        """
        self.location = replace(service.location, prefix=prefix)
        self.uri = f"{self.location.container}/{prefix}"
        self._bucket_uri = self.location.container + "/"
        self._prefix = prefix
        self._service = service
        self._recursive = not prefix if recursive is None else recursive
        self._retry_seconds = retry_seconds
        self._client_writes = service.writes_all
        self._obstore_writes = False
        """Whether it was seen that what obstore says to have written is there."""
        self.requests = Requests()

    def list(self) -> Iterator[Page]:
        """Yield the objects in pages; the next one is fetched while this one is used. See `Storage.list`."""
        if self._recursive:
            yield from prefetched(self._pages(self._prefix, ""), self.requests.stop)
        elif not self._prefix or self._prefix.endswith("/"):
            yield from prefetched(self._pages(self._prefix, "/"), self.requests.stop)
        else:
            beside, below = (self._objects(prefix) for prefix in (self._prefix, self._prefix + "/"))
            objects = heapq.merge(beside, below, key=attrgetter("key"))
            while page := list(islice(objects, PAGE)):
                yield page

    def covers(self, key: str) -> bool:
        """Tell whether a key begins with the prefix, and is on a level that is listed."""
        below = key[len(self._prefix) :]
        if self._prefix and not self._prefix.endswith("/"):
            below = below.removeprefix("/")
        return key.startswith(self._prefix) and (self._recursive or "/" not in below)

    def object_uri(self, key: str) -> str:
        """Return `s3://bucket/key`: nothing in the key is quoted, as Label Studio takes it.

        Rule: guide "Sync data from external storage", the section of the storage, "URIs".
        """
        return self._bucket_uri + key

    def file_name(self, key: str) -> str:
        """Return what stands behind the last slash of a key."""
        return key.rpartition("/")[2]

    def path_of(self, uri: str) -> str | None:
        """Return the full key in a URI of this bucket."""
        before, _, key = uri.partition(self._bucket_uri)
        return None if before or not key else key

    def read(self, key: str, most: int = MOST_BYTES, version: str | None = None) -> bytes:
        """Return the content of an object; see `Storage.read`."""
        self._check(key)
        return self._retry(f"read {key}", lambda: self._content(key, most, version))

    def read_start(self, key: str, size: int) -> bytes:
        """Return the first bytes of an object; see `Storage.read_start`."""
        self._check(key)
        return self._retry(f"read {key}", lambda: self._start(key, size))

    def has(self, path: str) -> bool:
        """Tell whether an object stands at a path; see `Storage.has`."""
        try:
            self._retry(f"read {path}", lambda: self._start(path, 1))
        except NotFound:
            return False
        return True

    def write(self, key: str, content: bytes, *, create: bool = False) -> str:
        """Write an object in one request, so that it is there whole or not at all; see `Storage.write`."""
        self._check(key)
        try:
            return self._retry(f"write {key}", lambda: self._put(key, content, create=create))
        except AlreadyThere:
            # Maybe by an earlier attempt of this very call, whose answer was lost.
            with suppress(TooLarge):
                standing, version = self._retry(f"read {key}", lambda: self._standing(key, len(content)))
                if standing == content:
                    return version
            raise

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects, several at a time; see `Storage.delete`.

        By obstore only where the answer names what was deleted: it follows a redirect, and believes any other answer.
        """
        for key in keys:
            self._check(key)
        if (at_once := self._service.deletes_at_once) > 1:
            plain = [key for key in keys if not INEXPRESSIBLE(key)]
            keys = [key for key in keys if INEXPRESSIBLE(key)]
            for start in range(0, len(plain), at_once):
                some = plain[start : start + at_once]
                try:
                    self._retry("delete objects", partial(obstore.delete, self._service.store, some))
                except NotFound:
                    keys += some
        first, others = keys[:1], keys[1:]
        for key in first:
            self._delete(key)  # if it may not, no others are tried
        if others:
            with ThreadPoolExecutor(DELETING_THREADS, thread_name_prefix="labelsync-delete") as pool:
                list(pool.map(self._delete, others))

    def sign(self, keys: Sequence[str], life: timedelta) -> Sequence[str]:
        """Return signed URLs; see `Storage.sign`."""
        if not timedelta(0) < life <= self._service.longest_life:
            minutes, most = (round(each.total_seconds() / 60) for each in (life, self._service.longest_life))
            remedy = f"{self.location.container} signs for up to {most:,} minutes."
            raise invalid("presign_ttl", minutes, "no life of a signed URL, in minutes", remedy)
        return self._retry("sign URLs", lambda: self._service.sign(keys, life))

    def _check(self, key: str) -> None:
        if not key or not key.startswith(self._prefix):
            raise Invalid(f"key {key!r} does not begin with {self._prefix!r}, the prefix of {self.uri}.")
        if len(key) > SHORT_KEY and len(key.encode()) > LONGEST_KEY:
            raise Invalid(f"key {key[:80]!r}... has {len(key.encode())} bytes, a key may have {LONGEST_KEY}.")

    def _pages(self, prefix: str, delimiter: str) -> Iterator[Page]:
        token: str | None = None
        going_on, empty = GoingOn(), 0
        while True:
            page, token = self._retry("list objects", lambda: self._service.page(prefix, delimiter, token))  # noqa: B023
            yield page
            if token is None:
                return
            empty = 0 if page else empty + 1
            if going_on.is_round(token, page[-1].key if page else None) or empty > MOST_EMPTY:
                what = f"{empty:,} pages of it are empty" if empty > MOST_EMPTY else "a page of it came before"
                raise Unavailable(
                    f"{self.location.container}: cannot list objects: the listing does not go on, {what}."
                )

    def _objects(self, prefix: str) -> Iterator[ObjectInfo]:
        for page in self._pages(prefix, "/"):
            yield from page

    def _content(self, key: str, most: int, version: str | None) -> bytes:
        if INEXPRESSIBLE(key):
            return self._service.read(key, most)[0]
        # obstore follows a redirect to whatever host. Who answers there does not know the version; the service's own
        # client follows none, and reads what has changed since it was listed.
        try:
            found = obstore.get(self._service.store, key)
        except BaseError as error:
            if version is None or NO_OBJECT not in str(error):
                raise
        else:
            if version is None or (version and self._service.version(found.meta) == version):
                return self._bytes(key, found, most)
        return self._service.read(key, most)[0]

    def _start(self, key: str, size: int) -> bytes:
        if INEXPRESSIBLE(key):
            return self._service.read(key, MOST_BYTES)[0][:size]
        for chunk in obstore.get(self._service.store, key).stream(min_chunk_size=size):
            return bytes(chunk)[:size]
        return b""

    def _standing(self, key: str, most: int) -> tuple[bytes, str]:
        if INEXPRESSIBLE(key):
            return self._service.read(key, most)
        found = obstore.get(self._service.store, key)
        return self._bytes(key, found, most), self._service.version(found.meta)

    def _bytes(self, key: str, found: "GetResult", most: int) -> bytes:
        chunks, length = [], found.range[1]
        if length <= most:
            length = 0
            for chunk in found.stream():  # what comes can be more than the answer's head has said
                chunks.append(chunk)
                length += len(chunk)
                if length > most:
                    break
        if length > most:
            raise too_large(key, most)
        return b"".join(chunks)

    def _put(self, key: str, content: bytes, *, create: bool) -> str:
        errors: tuple[type[Exception], ...] = (BaseError, *self._service.errors)
        try:
            return self._sent(key, content, create=create)
        except errors as error:
            fault = fault_in(str(error)) if isinstance(error, BaseError) else self._service.fault(error)
            if not create or fault.status != HTTPStatus.NOT_IMPLEMENTED:
                raise
        # A server that has no conditions, and says so: a look before is the best there is.
        return self._put_after_a_look(key, content)

    def _sent(self, key: str, content: bytes, *, create: bool) -> str:
        if not (INEXPRESSIBLE(key) or self._client_writes):
            mode: PutMode = "create" if create else "overwrite"
            written = obstore.put(self._service.store, key, content, mode=mode, use_multipart=False)
            # obstore follows a redirect 303 by asking for what is there, and takes any page for the answer. The
            # service's own client follows none: it looks whether the object is there, else it writes all that comes.
            if self._obstore_writes or self._service.confirms(written, content) or self._stands(key, content):
                return self._service.version(written)
            self._client_writes = True
        return self._service.write(key, content, create=create)

    def _stands(self, key: str, content: bytes) -> bool:
        try:
            self._obstore_writes = self._service.read(key, len(content))[0] == content
        except TooLarge:
            return False
        except self._service.errors as error:
            if self._service.fault(error).status != HTTPStatus.NOT_FOUND:
                raise
        return self._obstore_writes

    def _put_after_a_look(self, key: str, content: bytes) -> str:
        try:
            obstore.head(self._service.store, key)
        except FileNotFoundError:
            return self._put(key, content, create=False)
        raise AlreadyThere(f"{self.location.container}: {key} is there already.")

    def _delete(self, key: str) -> None:
        with suppress(NotFound):
            self._retry(f"delete {key}", partial(self._service.delete, key))

    def _retry(self, doing: str, attempt: Callable[[], T]) -> T:
        kind = doing.partition(" ")[0]
        return self.requests.repeat(kind, attempt, lambda: self._explaining(doing), self._retry_seconds)

    @contextmanager
    def _explaining(self, doing: str) -> Iterator[None]:
        """Turn the errors of obstore and of the service into the package's.

        Without their causes: these quote requests and answers, with signatures and tokens in them.
        """
        try:
            yield
        except LabelsyncError:
            raise
        except self._service.errors as error:
            raise explained(self._service.fault(error), self.location.container, doing, self._service.login) from None
        except (BaseError, OSError) as error:
            text = str(error)
            if refused := PROVIDER.search(text):
                reason = refused[1].partition("\n")[0][:200]
                raise Unusable(
                    f"{self.location.container}: cannot {doing}: no credentials from {self._service.login}: {reason}"
                ) from None
            fault = fault_in(text)
            if fault.status is None and isinstance(error, FileNotFoundError):
                fault = Fault(HTTPStatus.NOT_FOUND)  # of one in a batch
            raise explained(fault, self.location.container, doing, self._service.login) from None
