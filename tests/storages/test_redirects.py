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


@pytest.fixture
def asked() -> list[str]:
    """What the other host was asked for."""
    return []


@pytest.fixture
def sent_on(http_server: HttpServer, asked: list[str]) -> Callable[[int], str]:
    """Start a server that sends every request on to another one, which answers whatever it is asked."""

    def answer(request: Any) -> tuple[Any, ...]:
        asked.append(request.method)
        return 200, FORGED, LATELY

    elsewhere = http_server(answer)

    def sent_on(status: int) -> str:
        return http_server(lambda request: (status, b"", {"Location": f"{elsewhere}/latest/meta-data"}))

    return sent_on


ATTEMPTS: dict[str, Callable[[BucketStorage], object]] = {
    "list": lambda storage: list(storage.list()),
    "read by the client": lambda storage: storage.read("a//b", version="1"),
    "read": lambda storage: storage.read("a", version="1"),
    "read where nothing was listed as version": lambda storage: storage.read("a", version=""),
}


@pytest.mark.parametrize("status", [301, 307])
@pytest.mark.parametrize("how", ATTEMPTS)
@pytest.mark.parametrize("service", SERVICES)
def test_to_another_host_is_refused(
    opened: Opened, sent_on: Callable[[int], str], asked: list[str], service: str, how: str, status: int
) -> None:
    storage = opened(service, sent_on(status))
    with pytest.raises(
        Unusable if how == "list" else Denied,
        match=r"sends on to another address.*name that address as the endpoint in connection",
    ):
        ATTEMPTS[how](storage)
    # obstore cannot be told to follow none: the request is sent, and its answer dropped.
    assert asked == (["GET"] if how.startswith("read") and "client" not in how else [])


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
        storage._service.read = lambda key, most: (b"changed", "2")  # it reads another API, which none here speaks
    assert storage.read("a", version="2") == b"changed"
    assert storage.read("a", version="1") == b"changed"
