"""What Amazon S3, Google Cloud Storage and Azure Blob share: objects of a bucket, moved by obstore.

What each of them does in its own way is a `Service`: it lists, signs, and moves the few objects whose keys
obstore cannot express. Its listing dies of one such key, so listings are the service's as well.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TypeVar

import obstore

from labelsync_provider.errors import AlreadyThere, Invalid, NotFound, TooLarge, invalid
from labelsync_provider.retry import RETRY_SECONDS, Requests
from labelsync_provider.storages.bucket_errors import explaining
from labelsync_provider.storages.bucket_listing import Answer, merged, pages
from labelsync_provider.storages.bucket_reading import content_of, is_there, standing, start_of
from labelsync_provider.storages.bucket_writing import Writing
from labelsync_provider.storages.keys import is_longer
from labelsync_provider.storages.obstore_use import INEXPRESSIBLE
from labelsync_provider.storages.prices import Prices, prices_at
from labelsync_provider.storages.protocol import MOST_BYTES, HoldsFiles, Page
from labelsync_provider.storages.ranges import Range, Ranges
from labelsync_provider.storages.service import Service, StartsBehind

DELETING_THREADS = 8
LONGEST_KEY = 1024
"""In bytes of UTF-8: the limit of S3, GCS and (in characters) Azure."""

T = TypeVar("T")


class BucketStorage(HoldsFiles):
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
        self._writing = Writing(service)
        self.requests = Requests()

    @property
    def prices(self) -> Prices | None:
        """What requests cost; see `Priced`."""
        return prices_at(self.location)

    def list(self) -> Iterator[Page]:
        """Yield the objects in pages; the next ones are fetched while this one is used. See `Storage.list`."""
        if self._recursive:
            yield from self._pages(self._prefix, "")
        elif not self._prefix or self._prefix.endswith("/"):
            yield from self._pages(self._prefix, "/")
        else:
            yield from merged(self._pages(self._prefix, "/"), self._pages(self._prefix + "/", "/"))

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

    def path_of(self, uri: str) -> str | None:
        """Return the full key in a URI of this bucket."""
        before, _, key = uri.partition(self._bucket_uri)
        return None if before or not key else key

    def read(self, key: str, most: int = MOST_BYTES, version: str | None = None) -> bytes:
        """Return the content of an object; see `Storage.read`."""
        self._check(key)
        return self._retry(f"read {key}", lambda: content_of(self._service, key, most, version))

    def read_start(self, key: str, size: int) -> bytes:
        """Return the first bytes of an object; see `Storage.read_start`."""
        self._check(key)
        return self._retry(f"read {key}", lambda: start_of(self._service, key, size))

    def has(self, path: str) -> bool:
        """Tell whether an object stands at a path; see `Storage.has`."""
        return self._retry(f"read {path}", lambda: is_there(self._service, path))

    def write(self, key: str, content: bytes, *, create: bool = False) -> str:
        """Write an object in one request, so that it is there whole or not at all; see `Storage.write`."""
        self._check(key)
        try:
            return self._retry(f"write {key}", lambda: self._writing.put(key, content, create=create))
        except AlreadyThere:
            # Maybe by an earlier attempt of this very call, whose answer was lost.
            with suppress(TooLarge):
                found, version = self._retry(f"read {key}", lambda: standing(self._service, key, len(content)))
                if found == content:
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
        if is_longer(key, LONGEST_KEY):
            raise Invalid(f"key {key[:80]!r}... has {len(key.encode())} bytes, a key may have {LONGEST_KEY}.")

    def _pages(self, prefix: str, delimiter: str) -> Iterator[Page]:
        service = self._service

        def ask(asked: Range) -> Answer:
            if asked.token is None and asked.after and isinstance(service, StartsBehind):
                # Once, as it can be done without.
                return self._retry("list objects", lambda: service.page_behind(prefix, delimiter, asked.after), 0)
            return self._retry("list objects", lambda: service.page(prefix, delimiter, asked.token))

        ranges = Ranges(prefix, service.listers if isinstance(service, StartsBehind) else 1)
        return pages(ask, ranges, self.location.container, self.requests.stop)

    def _delete(self, key: str) -> None:
        with suppress(NotFound):
            self._retry(f"delete {key}", partial(self._service.delete, key))

    def _retry(self, doing: str, attempt: Callable[[], T], seconds: float | None = None) -> T:
        kind = doing.partition(" ")[0]
        explain = partial(explaining, self._service, doing, self._list_page)
        return self.requests.repeat(kind, attempt, explain, self._retry_seconds if seconds is None else seconds)

    def _list_page(self) -> None:
        self.requests.begin("list")
        self._service.page(self._prefix, "", None)
