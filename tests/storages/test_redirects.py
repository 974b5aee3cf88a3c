"""A storage that sends on to another host, which is no storage: its answer is believed by nobody."""

from collections.abc import Callable
from typing import Any

import pytest

from labelsync_provider.errors import Denied, Unusable
from labelsync_provider.storages.buckets import BucketStorage

HttpServer = Callable[..., str]
Opened = Callable[[str, str], BucketStorage]

SERVICES = ["s3", "gcs", "azure"]
FORGED = b'{"text": "the secrets of another service"}'
LATELY = {"Last-Modified": "Mon, 23 Nov 2026 00:00:00 GMT"}
PAGES = {"ETag": '"5f3c2a1b-1f4"'}
"""As any web server has them."""


@pytest.fixture
def asked() -> list[str]:
    """What the other host was asked for."""
    return []


@pytest.fixture
def sent_on(http_server: HttpServer, asked: list[str]) -> Callable[[int], str]:
    """Start a server that sends every request on to another one, which answers whatever it is asked."""

    def answer(request: Any) -> tuple[Any, ...]:
        asked.append(request.method)
        return 200, FORGED, LATELY | PAGES

    elsewhere = http_server(answer)

    def sent_on(status: int) -> str:
        return http_server(lambda request: (status, b"", {"Location": f"{elsewhere}/latest/meta-data"}))

    return sent_on


ATTEMPTS: dict[str, Callable[[BucketStorage], object]] = {
    "list": lambda storage: list(storage.list()),
    "read by the client": lambda storage: storage.read("a//b", version="1"),
    "read": lambda storage: storage.read("a", version="1"),
    "read where nothing was listed as version": lambda storage: storage.read("a", version=""),
    "write": lambda storage: storage.write("a", b"content"),
    "create": lambda storage: storage.write("a", b"content", create=True),
    "write by the client": lambda storage: storage.write("a//b", b"content"),
    "delete": lambda storage: storage.delete(["a", "b"]),
    "delete an odd key": lambda storage: storage.delete(["a//b"]),
}


@pytest.mark.parametrize("status", [301, 303, 307])
@pytest.mark.parametrize("how", ATTEMPTS)
@pytest.mark.parametrize("service", SERVICES)
def test_to_another_host_is_refused(
    opened: Opened, sent_on: Callable[[int], str], asked: list[str], service: str, how: str, status: int
) -> None:
    storage = opened(service, sent_on(status))
    with pytest.raises(
        Denied if how.startswith("read") else Unusable,
        match=r"sends on to another address.*name that address as the endpoint in connection",
    ):
        ATTEMPTS[how](storage)
    if (service, how) == ("s3", "delete"):
        # By obstore, in one request for many: an answer that names none of them is not believed.
        assert set(asked) <= {"GET", "POST"}
        return
    # obstore cannot be told to follow none: the request is sent, and its answer dropped. What has content it does not
    # send again, but a 303 means: ask there what has come of it.
    followed = how in ("read", "read where nothing was listed as version") or (
        how in ("write", "create") and status == 303
    )
    assert asked == (["GET"] if followed else [])


@pytest.mark.parametrize("answer", [b"", b"<Error><Code>NoSuchKey</Code></Error>"], ids=["bare", "as S3 says it"])
@pytest.mark.parametrize("service", SERVICES)
def test_object_that_is_not_found_at_another_host_may_be_there(
    http_server: HttpServer, opened: Opened, service: str, answer: bytes
) -> None:
    """An export that is taken to have no object any more is forgotten."""
    elsewhere = http_server(lambda request: (404, answer))
    storage = opened(service, http_server(lambda request: (307, b"", {"Location": f"{elsewhere}/"})))
    with pytest.raises(Denied, match="sends on to another address"):
        storage.has("a")
    with pytest.raises(Denied, match="sends on to another address"):
        storage.read_start("a", 1)


@pytest.mark.parametrize("create", [False, True])
def test_write_whose_answer_does_not_tell_that_it_is_the_services_is_looked_at_once(
    http_server: HttpServer, opened: Opened, create: bool
) -> None:
    """What KMS encrypts has an ETag of its own, and so has a page that a redirect leads to."""
    stored: dict[str, bytes] = {}
    asked: list[str] = []

    def answer(request: Any) -> tuple[Any, ...]:
        asked.append(request.headers["User-Agent"].partition("/")[0])
        if request.method == "PUT":
            if request.path in stored and "If-None-Match" in request.headers:
                return 412, b"<Error><Code>PreconditionFailed</Code></Error>"
            stored[request.path] = request.body
        return 200, b"" if request.method == "PUT" else stored[request.path], LATELY | {"ETag": '"of-kms"'}

    storage = opened("s3", http_server(answer))
    assert storage.write("a", b"1", create=create) == "of-kms"
    before = len(asked)
    assert storage.write("b", b"1", create=create) == "of-kms"
    assert [name.lower() for name in asked[:before]] == ["object_store", "boto3"]
    assert asked[before:] == ["object_store"]


@pytest.mark.parametrize("service", SERVICES)
def test_object_that_has_changed_since_it_was_listed_is_read_as_it_is(
    http_server: HttpServer, opened: Opened, service: str
) -> None:
    about = {"ETag": '"2"', "x-goog-generation": "2", "x-goog-hash": "crc32c=AAAAAA==", **LATELY}
    part = {"Content-Range": "bytes 0-6/7"}  # Azure's client asks for no more than it would read at once
    storage = opened(
        service,
        http_server(
            lambda asked: (
                (206, b"changed", about | part) if asked.headers.get("x-ms-range") else (200, b"changed", about)
            )
        ),
    )
    if service == "gcs":
        # It reads another API, which none here speaks.
        storage._service.read = lambda key, most: (b"changed", "2")  # type: ignore[method-assign]
    assert storage.read("a", version="2") == b"changed"
    assert storage.read("a", version="1") == b"changed"
