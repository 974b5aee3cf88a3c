"""Places that cannot be: a storage URI says so by itself, before anybody is asked."""

from collections.abc import Callable
from typing import Any

import pytest

from labelsync_provider.errors import Invalid
from labelsync_provider.hooks.azure_blob import AzureBlobStorageHook
from labelsync_provider.hooks.gcs import GCSStorageHook
from labelsync_provider.hooks.s3 import S3StorageHook
from labelsync_provider.hooks.storage import storage_hook
from labelsync_provider.projects.label_studio.storage_types.s3 import OF_AMAZON

CANNOT_BE = [
    "s3://B_A D/x",
    "s3://..",
    "s3://b\u00fccher/x",
    "s3://bucket?versionId=1/x",
    "s3://arn:aws:s3:nowhere",
    "s3://" + "b" * 256,
    "gs://Photos/x",
    "gs://ab",
    "gs://-photos",
    "gs://photos_/x",
    "gs://my photos",
    "azure-blob://Photos/x",
    "azure-blob://my_photos",
    "azure-blob://my--photos",
    "azure-blob://photos-/x",
    "azure-blob://ab",
    "azure-blob://" + "b" * 64,
    "redis://one/x",
    "redis://-1/x",
    "redis://localhost:6379/0",
    "redis://" + "9" * 5000,
    "redis://\u0661/x",
    # keys of somebody
    "s3://AKIA:wJ/x@bucket/a",
    "s3://bucket/a?X-Amz-Signature=wJ",
    "gs://bucket/a?X-Goog-Signature=wJ",
    "azure-blob://container/a?sv=1&sig=wJ",
    "redis://:wJ@host:6379/1",
]
CAN_BE = [
    (S3StorageHook, "s3://My_Old.Bucket/x"),
    (S3StorageHook, "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint:mine/x"),
    (S3StorageHook, "s3://mine-abc123-s3alias/x"),
    (GCSStorageHook, "gs://photos.example.com/a?b"),
    (GCSStorageHook, "gs://0_a-b"),
    (AzureBlobStorageHook, "azure-blob://$root/x"),
    (AzureBlobStorageHook, "azure-blob://my-photos-2/ann@example.com"),
]


@pytest.mark.parametrize("uri", CANNOT_BE, ids=lambda uri: uri[:40])
@pytest.mark.parametrize("parameter", ["source", "target", "storage"])
def test_place_that_cannot_be_is_invalid_and_named(parameter: str, uri: str) -> None:
    hook: Any = storage_hook(parameter, uri)
    opened = {"source": hook.get_source, "target": hook.get_target, "storage": hook.access}
    with pytest.raises(Invalid, match=rf"^{parameter}='\w") as caught:
        opened[parameter](uri)
    assert "wJ" not in str(caught.value)


@pytest.mark.parametrize(("hook", "uri"), CAN_BE, ids=[uri for _, uri in CAN_BE])
def test_place_that_can_be_is_not_refused_by_its_name(hook: Any, uri: str) -> None:
    bucket, prefix = hook().split_uri("source", uri)
    assert f"{bucket}/{prefix}".rstrip("/") == uri.partition("://")[2]


@pytest.mark.parametrize("part", ["a", "a.", "-", "a-", ".", "1", "$", "arn:aws:", "amazonaws.com."])
@pytest.mark.parametrize("begin", ["", "arn:aws:", "https://s3."])
def test_time_that_a_name_takes_grows_with_its_length_alone(
    begin: str, part: str, processor_seconds: Callable[[], float]
) -> None:
    text = begin + part * 100_000
    for kind in (S3StorageHook, GCSStorageHook, AzureBlobStorageHook):
        assert not kind.bucket_name.fullmatch(text)
    OF_AMAZON(text)
    assert processor_seconds() < 1
