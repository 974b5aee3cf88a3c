"""Places with objects, each with a client of the service's own: what a test finds there is not what the package says.

A place can be sent to another process, which opens the storage: obstore's runtime does not survive a fork. Keys are
those of the service; a storage's `prefix`, or a directory's path, is the beginning of them.
"""

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import boto3
from botocore.config import Config
from redis import Redis
from servers.redis import RedisServer
from servers.s3 import S3Server

from labelsync_provider.retry import RETRY_SECONDS
from labelsync_provider.storages.buckets import BucketStorage
from labelsync_provider.storages.local_files import LocalFiles
from labelsync_provider.storages.protocol import Storage
from labelsync_provider.storages.redis import RedisStorage
from labelsync_provider.storages.s3 import S3Bucket
from labelsync_provider.storages.service import Service

if TYPE_CHECKING:
    from servers.azure import AzureServer

LOGIN = "connection 'of this test'"
OF_A_RUN = timedelta(hours=1)
# The SDK makes a client's class of the service's description, which is nothing for two threads.
ONE_AT_A_TIME = Lock()


def as_bytes(content: Any) -> bytes:
    """Return bytes and text as they are, anything else as JSON."""
    if isinstance(content, bytes):
        return content
    return (content if isinstance(content, str) else json.dumps(content)).encode()


class Place(Protocol):
    """A bucket, a database or a directory."""

    def open(self, prefix: str = "") -> Storage:
        """Open the storage below a prefix, which ends in "/" where it is not empty."""

    def put(self, key: str, content: Any) -> None:
        """Write an object."""

    def get(self, key: str) -> bytes:
        """Return what stands in an object."""

    def delete(self, *keys: str) -> None:
        """Delete objects."""

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys that begin with a prefix, in order."""


def content(place: Place, prefix: str) -> dict[str, bytes]:
    """Return what stands below a prefix, by the rest of the keys."""
    keys = place.keys(prefix)
    with ThreadPoolExecutor(8) as pool:
        return {key.removeprefix(prefix): found for key, found in zip(keys, pool.map(place.get, keys), strict=True)}


@dataclass(frozen=True)
class Directory:
    """A document root."""

    root: Path

    def open(self, prefix: str = "") -> LocalFiles:
        return LocalFiles((self.root / prefix).as_uri(), str(self.root))

    def put(self, key: str, content: Any) -> None:
        (self.root / key).parent.mkdir(parents=True, exist_ok=True)
        (self.root / key).write_bytes(as_bytes(content))

    def get(self, key: str) -> bytes:
        return (self.root / key).read_bytes()

    def delete(self, *keys: str) -> None:
        for key in keys:
            (self.root / key).unlink()

    def keys(self, prefix: str = "") -> list[str]:
        found = (path for path in (self.root / prefix).rglob("*") if path.is_file())
        return sorted(str(path.relative_to(self.root)) for path in found)

    def copied(self, name: object) -> "Directory":
        """Copy it with the times of change, which are in an object's version."""
        return Directory(Path(shutil.copytree(self.root, self.root.with_name(f"{self.root.name}-{name}"))))


@cache
def client_of(server: S3Server) -> Any:
    """Return one client for all that a test looks at by itself."""
    with ONE_AT_A_TIME:
        return server.client()


@dataclass(frozen=True)
class S3Place:
    """A bucket of an S3 server."""

    server: S3Server
    bucket: str

    def open(self, prefix: str = "", *, recursive: bool = True, retry_seconds: float = RETRY_SECONDS) -> BucketStorage:
        return BucketStorage(self.service(), prefix, recursive=recursive, retry_seconds=retry_seconds)

    def service(self, secret_key: Callable[[], str] | None = None) -> Service:
        """Open the bucket.

        :param secret_key: asked for every object, if it is not always the server's.
        """
        server = self.server

        def credentials() -> Any:
            return {
                "access_key_id": server.access_key,
                "secret_access_key": secret_key() if secret_key else server.secret_key,
                "token": None,
                "expires_at": datetime.now(UTC) + (timedelta(0) if secret_key else OF_A_RUN),
            }

        config = Config(signature_version="s3v4", retries={"total_max_attempts": 1})
        keys = {"aws_access_key_id": server.access_key, "aws_secret_access_key": server.secret_key}
        with ONE_AT_A_TIME:
            client = boto3.client("s3", endpoint_url=server.endpoint, region_name=server.region, config=config, **keys)
        return S3Bucket(self.bucket, client, credentials, login=LOGIN)

    def through(self, endpoint: str) -> "S3Place":
        """Return the same bucket as it is reached through another endpoint."""
        return replace(self, server=replace(self.server, endpoint=endpoint))

    def put(self, key: str, content: Any) -> None:
        client_of(self.server).put_object(Bucket=self.bucket, Key=key, Body=as_bytes(content))

    def get(self, key: str) -> bytes:
        return bytes(client_of(self.server).get_object(Bucket=self.bucket, Key=key)["Body"].read())

    def delete(self, *keys: str) -> None:
        for key in keys:
            client_of(self.server).delete_object(Bucket=self.bucket, Key=key)

    def keys(self, prefix: str = "") -> list[str]:
        pages = client_of(self.server).get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return sorted(item["Key"] for page in pages for item in page.get("Contents", ()))


@dataclass(frozen=True)
class GCSPlace(S3Place):
    """A bucket of rclone's server, which asks for no credentials: it has enough of GCS's XML API, and S3's for us."""

    def service(self, credentials: Any = None) -> Service:
        """Open the bucket.

        :param credentials: google-auth's; None for nobody's.
        """
        from google.auth.credentials import AnonymousCredentials
        from google.cloud.storage import Client

        from labelsync_provider.storages.gcs import GCSBucket

        credentials = credentials or AnonymousCredentials()
        client = Client("tests", credentials, client_options={"api_endpoint": self.server.endpoint})
        return GCSBucket(self.bucket, client, credentials, login=LOGIN)


@dataclass(frozen=True)
class AzurePlace:
    """A container."""

    server: "AzureServer"
    container: str

    def open(self, prefix: str = "") -> BucketStorage:
        from labelsync_provider.storages.azure_blob import AzureContainer

        return BucketStorage(AzureContainer(self.container, self.server.client(), login=LOGIN), prefix, recursive=True)

    def put(self, key: str, content: Any) -> None:
        with self.server.client().get_blob_client(self.container, key) as blob:
            blob.upload_blob(as_bytes(content), overwrite=True)

    def get(self, key: str) -> bytes:
        with self.server.client().get_blob_client(self.container, key) as blob:
            return bytes(blob.download_blob().readall())

    def delete(self, *keys: str) -> None:
        with self.server.client().get_container_client(self.container) as container:
            for key in keys:
                container.delete_blob(key)

    def keys(self, prefix: str = "") -> list[str]:
        with self.server.client().get_container_client(self.container) as container:
            return sorted(container.list_blob_names(name_starts_with=prefix))


@cache
def values_of(server: RedisServer, db: int) -> Redis:
    """Return one client for all that a test looks at by itself."""
    return server.client(db)


@dataclass(frozen=True)
class RedisPlace:
    """A database of a Redis server."""

    server: RedisServer
    db: int = 0

    def open(self, prefix: str = "") -> RedisStorage:
        where = f"{self.server.host}:{self.server.port}"
        return RedisStorage(lambda: self.server.client(self.db), self.db, prefix, server=where, login=LOGIN)

    def put(self, key: str, content: Any) -> None:
        values_of(self.server, self.db).set(key, as_bytes(content))

    def get(self, key: str) -> bytes:
        return bytes(values_of(self.server, self.db)[key])

    def delete(self, *keys: str) -> None:
        values_of(self.server, self.db).delete(*keys)

    def keys(self, prefix: str = "") -> list[str]:
        found = (key.decode() for key in values_of(self.server, self.db).scan_iter(count=1000))
        return sorted(key for key in found if key.startswith(prefix))
