"""What a storage that means harm, or is broken, can do: no more than fail with an error of ours, soon."""

import asyncio
import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from obstore.exceptions import GenericError
from redis import Redis
from servers.process import HOST
from servers.thread import serving

from labelsync_provider.errors import LabelsyncError, TooLarge, Unavailable
from labelsync_provider.storages import answers, bucket_errors, bucket_listing, faults, local_files, redis, s3_pages
from labelsync_provider.storages.answers import fault_of_answer, no_answer
from labelsync_provider.storages.bucket_errors import fault_of_obstore
from labelsync_provider.storages.buckets import BucketStorage
from labelsync_provider.storages.faults import Fault, explained
from labelsync_provider.storages.going_on import GoingOn
from labelsync_provider.storages.obstore_use import INEXPRESSIBLE
from labelsync_provider.storages.redis import ABOUT_A_KEY, LOOKED_AT, RedisStorage
from labelsync_provider.storages.s3_pages import objects_of_page

HttpServer = Callable[..., str]
LONG = 200_000
ANSWERED = "Server returned non-2xx status code: 403 Forbidden: "

TEXTS = {
    "blanks in an element": "<Code>" + " " * LONG,
    "elements without an end": "<Code>" * (LONG // 6),
    "one word": "a" * LONG,
    "one word that ends as a URL does not": "a" * LONG + ":/",
    "blanks": " " * LONG,
    "assignments": "a=" * (LONG // 2),
    "equals signs": "=" * LONG,
    "braces": "{" * LONG,
    "URLs": "http://a " * (LONG // 9),
    "commands": "unknown command " * (LONG // 16),
    "providers": "External a credential provider" * (LONG // 30),
    "bodies": "<ListBucketResult " * (LONG // 18),
    "ends": "<ListBucketResult>" + "</ListBucketResult> " * (LONG // 20) + "x",
    "objects without an end": "<ListBucketResult>" + "<Contents>" * (LONG // 10) + "</ListBucketResult>",
    "keys": "<ListBucketResult><Contents>" + "<Key>" * (LONG // 5) + "</Contents></ListBucketResult>",
    "characters": "<ListBucketResult><Contents><Key>"
    + "&#" * LONG
    + "</Key><Size>1</Size></Contents></ListBucketResult>",
    "a large character": "<ListBucketResult><Contents><Key>&#x"
    + "f" * LONG
    + ";</Key><Size>1</Size></Contents></ListBucketResult>",
    "a large size": "<ListBucketResult><Contents><Key>a</Key><Size>"
    + "9" * LONG
    + "</Size></Contents></ListBucketResult>",
    "blanks in flags": "<ListBucketResult><EncodingType>"
    + " " * LONG
    + "<IsTruncated>"
    + " " * LONG
    + "</ListBucketResult>",
}


def page(text: str) -> None:
    try:
        objects_of_page(text.encode())
    except ValueError:
        return


LOOKED_AT_BY: dict[str, Callable[[str], object]] = {
    "an error's text": lambda text: fault_of_obstore(GenericError(text)),
    "an error's text with an answer": lambda text: fault_of_obstore(GenericError(ANSWERED + text)),
    "an answer": lambda text: fault_of_answer(403, text),
    "a message": lambda text: fault_of_answer(403, f"<Message>{text}</Message>"),
    "no answer": lambda text: no_answer(OSError(text)),
    "what is said of it": lambda text: explained(
        Fault(403, text, text, text), "s3://photos", "read a", "connection 'a'"
    ),
    "the region that is said": lambda text: explained(
        Fault(301, text, text, text), "s3://photos", "list", "connection 'a'"
    ),
    "a refused provider": lambda text: bucket_errors.PROVIDER.search(text),
    "a key": lambda text: INEXPRESSIBLE(text),
    "an error of Redis": lambda text: ABOUT_A_KEY.search(text[:LOOKED_AT]),
    "a page": page,
}


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("by", LOOKED_AT_BY)
def test_long_text_is_looked_at_soon(by: str, text: str, processor_seconds: Callable[[], float]) -> None:
    made = LOOKED_AT_BY[by](TEXTS[text])
    assert processor_seconds() < 0.5
    if isinstance(made, LabelsyncError):
        assert len(str(made)) < 1000


def test_expressions_are_no_others_than_these() -> None:
    """Each expression of the storages has its place in the table above, or is of what a storage cannot write."""
    modules = (answers, bucket_errors, faults, redis, s3_pages, local_files)
    found = {name for module in modules for name, value in vars(module).items() if isinstance(value, re.Pattern)}
    assert found == {"PROVIDER", "URL", "UNTRUSTED", "PLAIN", "REFUSED", "ABOUT_A_KEY", "PASSING"} | {
        "FIELDS",
        "URL_ENCODED",
        "NEXT",
        "ENTITY",
        "TRUNCATED",
    }


S3_PAGE = (
    "<?xml version='1.0'?><ListBucketResult><IsTruncated>true</IsTruncated>{objects}"
    "<NextContinuationToken>{token}</NextContinuationToken></ListBucketResult>"
)
S3_OBJECT = "<Contents><Key>{key}</Key><ETag>1</ETag><Size>1</Size></Contents>"
AZURE_PAGE = (
    "<?xml version='1.0' encoding='utf-8'?><EnumerationResults ServiceEndpoint='{endpoint}' ContainerName='photos'>"
    "<Blobs>{objects}</Blobs><NextMarker>{token}</NextMarker></EnumerationResults>"
)
AZURE_OBJECT = (
    "<Blob><Name>{key}</Name><Deleted>false</Deleted><Snapshot></Snapshot><Properties><Etag>1</Etag>"
    "<Last-Modified>Mon, 23 Nov 2026 00:00:00 GMT</Last-Modified><Content-Length>1</Content-Length>"
    "<BlobType>BlockBlob</BlobType></Properties></Blob>"
)

ROUND: dict[str, tuple[Callable[[int], str], Callable[[int], str]]] = {
    "the same page again": (lambda _: "token", lambda _: "a"),
    "pages that take turns": (lambda n: f"token{n % 3}", lambda n: f"a{n % 3}"),
    "the same objects by another token": (lambda n: f"token{n}", lambda _: "a"),
    "other objects by the same token": (lambda _: "token", lambda n: f"a{n}"),
    "no objects by ever other tokens": (lambda n: f"token{n}", lambda _: ""),
}


@pytest.mark.parametrize("how", ROUND)
@pytest.mark.parametrize("service", ["s3", "gcs", "azure"])
def test_listing_that_does_not_go_on_fails(
    http_server: HttpServer,
    opened: Callable[..., BucketStorage],
    monkeypatch: pytest.MonkeyPatch,
    service: str,
    how: str,
) -> None:
    monkeypatch.setattr(bucket_listing, "MOST_EMPTY", 5)
    token, key = ROUND[how]
    numbers = itertools.count()
    whole, one = (AZURE_PAGE, AZURE_OBJECT) if service == "azure" else (S3_PAGE, S3_OBJECT)

    def answer(_: Any) -> tuple[Any, ...]:
        number = next(numbers)
        objects = one.format(key=key(number)) if key(number) else ""
        body = whole.format(objects=objects, token=token(number), endpoint="")
        return 200, body.encode(), {"Content-Type": "application/xml"}

    with pytest.raises(Unavailable, match="cannot list objects: the listing does not go on"):
        list(opened(service, http_server(answer)).list())
    assert next(numbers) < 20


@pytest.mark.parametrize("length", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("before", [0, 1, 5, 64])
def test_going_round_is_noticed_whatever_comes_before_and_however_long_it_is(before: int, length: int) -> None:
    marks = itertools.chain(range(before), itertools.cycle(range(1000, 1000 + length)))
    going_on = GoingOn()
    seen = next(n for n, mark in enumerate(marks) if going_on.is_round(mark))
    assert seen < 4 * (before + length)
    assert not any(map(GoingOn().is_round, range(10_000)))


def test_scan_of_redis_that_does_not_go_on_fails() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            words = [(await reader.readline(), await reader.readline())[1].strip() for _ in range(int(line[1:]))]
            scans = words[0].upper() == b"SCAN"
            writer.write(b"*2\r\n$1\r\n7\r\n*1\r\n$1\r\na\r\n" if scans else b"+OK\r\n")
            await writer.drain()

    with serving(answer) as port:
        storage = RedisStorage(
            lambda: Redis(HOST, port, db=1, protocol=2), 1, "", server=f"{HOST}:{port}", login="", retry_seconds=0
        )
        with pytest.raises(Unavailable, match="the scan does not go on, cursor 7 came before"):
            list(storage.list())


@pytest.fixture
def endless() -> Iterator[str]:
    """A server whose answers are said to have five bytes, and never end."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = [
            b"HTTP/1.1 200 OK",
            b"Content-Length: 5",
            b"Transfer-Encoding: chunked",
            b'ETag: "1"',
            b"x-goog-generation: 1",
            b"Last-Modified: Mon, 23 Nov 2026 00:00:00 GMT",
            b"Content-Range: bytes 0-4/5",
            b"",
            b"",
        ]
        writer.write(b"\r\n".join(head))
        try:
            while True:
                writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
                await writer.drain()
        except ConnectionError:
            writer.close()

    with serving(answer) as port:
        yield f"http://{HOST}:{port}"


@pytest.mark.parametrize("key", ["a", "a//b"], ids=["by obstore", "by the client"])
@pytest.mark.parametrize("service", ["s3", "gcs", "azure"])
def test_body_that_is_longer_than_it_is_said_to_be_is_not_read_to_its_end(
    endless: str, opened: Callable[..., BucketStorage], service: str, key: str
) -> None:
    with pytest.raises((TooLarge, Unavailable)):
        opened(service, endless).read(key, most=1_000_000, version="1")
