"""Buckets at the servers that the tests of faults make up."""

from collections.abc import Callable

import pytest
from servers.azure import AzureServer
from servers.s3 import S3Server

from labelsync_provider.hooks.azure_blob import AzureBlobStorageHook
from labelsync_provider.hooks.gcs import GCSStorageHook
from labelsync_provider.hooks.s3 import S3StorageHook
from labelsync_provider.storages.buckets import BucketStorage

KEY = "c2VjcmV0LXNlY3JldC1zZWNyZXQ="
Opened = Callable[[str, str], BucketStorage]


@pytest.fixture
def opened(
    connect_s3: Callable[..., None], connect_gcs: Callable[..., None], connect_azure: Callable[..., None]
) -> Opened:
    """Open a service's bucket at an endpoint, with no time for retries."""

    def opened(service: str, endpoint: str) -> BucketStorage:
        if service == "s3":
            connect_s3(S3Server(endpoint, "key", KEY))
            return S3StorageHook()._open("source", "s3://photos/", True, retry_seconds=0)
        if service == "gcs":
            connect_gcs(S3Server(endpoint, "", ""))
            return GCSStorageHook()._open("source", "gs://photos/", True, retry_seconds=0)
        connect_azure(AzureServer("tests", KEY, f"{endpoint}/tests"))
        return AzureBlobStorageHook()._open("source", "azure-blob://photos/", True, retry_seconds=0)

    return opened
