"""What an `aws` connection wants to be said of each object is said, or refused by name."""

from collections.abc import Callable
from typing import Any

import pytest

from labelsync_provider.errors import Invalid
from labelsync_provider.hooks.s3 import S3StorageHook

OPTIONS = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "key-1", "ACL": "bucket-owner-full-control"} | {
    "StorageClass": "STANDARD_IA",
    "Metadata": {"team": "labels"},
}
HEADERS = {
    "x-amz-server-side-encryption": "aws:kms",
    "x-amz-server-side-encryption-aws-kms-key-id": "key-1",
    "x-amz-acl": "bucket-owner-full-control",
    "x-amz-storage-class": "STANDARD_IA",
    "x-amz-meta-team": "labels",
}

Connected = Callable[..., None]


@pytest.fixture
def connected(connect: Callable[..., None]) -> Connected:
    """Make the default connection one with this extra."""

    def connected(endpoint: str = "http://127.0.0.1:1", **extra: Any) -> None:
        login = {"login": "key", "password": "secret-secret"}
        connect(
            "aws_default",
            conn_type="aws",
            **login,
            extra={"endpoint_url": endpoint, "region_name": "us-east-1", **extra},
        )

    return connected


@pytest.mark.parametrize(
    "extra", [{"extra_args": OPTIONS}, {"service_config": {"s3": {"extra_args": OPTIONS}}}], ids=["extra", "of S3"]
)
@pytest.mark.parametrize("create", [True, False])
def test_are_said_of_each_object_that_is_written(
    http_server: Callable[..., str], connected: Connected, extra: dict[str, Any], create: bool
) -> None:
    written: list[Any] = []
    connected(http_server(lambda asked: written.append(asked) or (200, b"", {"ETag": '"1"'})), **extra)
    storage = S3StorageHook().get_target("s3://photos/out")
    assert storage.write("out/a", b"content", create=create) == "1"
    (asked,) = written
    assert {name: asked.headers[name] for name in HEADERS} == HEADERS
    assert asked.headers["If-None-Match"] == ("*" if create else None)
    assert b"content" in asked.body


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"RequestPayer": "requester"}, "names RequestPayer, which cannot be passed on. Take that out"),
        ({"SSECustomerKey": "k", "ACL": "private"}, "names SSECustomerKey, which cannot"),
        ({"ContentEncoding": "gzip"}, "names ContentEncoding"),
        (
            {"acl": "private"},
            "names acl, which cannot be passed on. Take that out; what can be said of objects is ACL, ",
        ),
        ({"ACL": 7}, "Invalid type for parameter ACL"),
        ({"Metadata": "team"}, "Invalid type for parameter Metadata"),
    ],
)
def test_that_cannot_be_are_refused_by_name(connected: Connected, given: Any, words: str) -> None:
    connected(extra_args=given)
    with pytest.raises(Invalid) as caught:
        S3StorageHook().get_target("s3://photos/out")
    assert "connection='aws_default': extra_args in its extra" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize("given", ['{"ACL": "private"}', ["ACL"]])
@pytest.mark.parametrize("where", ["extra", "of S3"])
def test_that_are_no_object_are_refused(connected: Connected, given: Any, where: str) -> None:
    connected(**({"extra_args": given} if where == "extra" else {"service_config": {"s3": {"extra_args": given}}}))
    with pytest.raises(Invalid, match=r"extra_args.* is no (JSON )?object\."):
        S3StorageHook().get_target("s3://photos/out")
