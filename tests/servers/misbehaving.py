"""A server that has the paths of Label Studio, and answers them as no Label Studio does: byte by byte as it is told.

It writes to the connection itself: a library for servers would send whole answers, and correct ones.
"""

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from servers.process import HOST
from servers.thread import serving

TOKEN = "0123456789abcdef0123456789abcdef01234567"
WHEN = "2026-01-02T03:04:05.678901Z"

ANNOTATION = {"id": 5, "created_at": WHEN, "was_cancelled": False, "completed_by": 1, "result": []}
TASK = {
    "id": 1,
    "data": {"text": "a"},
    "meta": {"labelsync": {"uri": "s3://b/a", "effect": "e"}},
    "created_at": WHEN,
    "updated_at": WHEN,
    "updated_by": [],
    "annotations_ids": "",
    "draft_exists": False,
    "total_annotations": 1,
    "cancelled_annotations": 0,
    "comment_count": 1,
    "comment_authors": [],
    "file_upload": "a.json",
    "project": 1,
    "annotations": [ANNOTATION],
    "predictions": [{"id": 6, "result": [], "model_version": "m", "score": 1}],
}
PROJECT = {
    "id": 1,
    "title": "Pets",
    "label_config": "<View/>",
    "created_at": WHEN,
    "task_number": 1,
    "finished_task_number": 1,
    "total_annotations_number": 1,
    "skipped_annotations_number": 0,
}
STORAGE = {
    "id": 1,
    "project": 1,
    "status": "completed",
    "synchronizable": True,
    "bucket": "b",
    "meta": {"attempts": 1, "tasks_existed": 0, "duration": 1.5, "time_last_ping": WHEN},
    "last_sync_count": 1,
    "traceback": None,
}
GOOD: dict[str, Any] = {
    "/api/version": {"release": "1.23.2"},
    "/api/current-user/whoami": {"id": 1, "email": "ada@example.com"},
    "/api/projects/": {"count": 1, "results": [PROJECT]},
    "/api/projects/1/": PROJECT,
    "/api/projects/1/import": {"task_ids": [7, 8]},
    "/api/projects/1/file-uploads": [{"id": 1, "file": "upload/1/a.json"}],
    "/api/users/": [{"id": 1, "email": "ada@example.com"}],
    "/api/tasks/": {"total": 1, "tasks": [TASK]},
    "/api/tasks/1/": TASK,
    "/api/dm/actions/": {"processed_items": 1},
    "/api/storages/s3/": [STORAGE],
    "/api/storages/s3/1": STORAGE,
}
"""What a Label Studio says at each path."""


@dataclass
class Asked:
    """A request."""

    method: str
    path: str
    headers: dict[str, str]


Raw = bytes | AsyncIterator[bytes]
Answering = Callable[[Asked], Raw]


def http(body: bytes = b"", status: str = "200 OK", *headers: str, length: bool = True) -> bytes:
    """Return an answer as it is sent."""
    lines = [f"HTTP/1.1 {status}", *headers, *([f"Content-Length: {len(body)}"] if length else [])]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def as_json(value: Any) -> bytes:
    """Return a value as it is sent."""
    return http(json.dumps(value).encode(), "200 OK", "Content-Type: application/json")


def good(asked: Asked) -> bytes:
    """Answer as Label Studio does."""
    found = GOOD.get(urlsplit(asked.path).path)
    return http(b"{}", "404 Not Found") if found is None else as_json(found)


async def _dripping(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts[:-1]:
        yield part
    while True:
        yield parts[-1]
        await asyncio.sleep(0.02)


async def _flooding(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts[:-1]:
        yield part
    while True:
        yield parts[-1]


async def _silent() -> AsyncIterator[bytes]:
    await asyncio.sleep(3600)
    yield b""


def _deflated(body: bytes) -> bytes:
    return http(zlib.compress(body), "200 OK", "Content-Encoding: deflate")


REPEATS = f"no user has the token {TOKEN}, Authorization: Token {TOKEN}"
BOMB = gzip.compress(b"[" + b" " * (8 << 20))
LINES = "no\r\n2026-01-01 ERROR all is lost\x1b[2J"

MISBEHAVIOURS: dict[str, Callable[[Asked], Raw]] = {
    # JSON of another kind
    **{  # type: ignore[var-annotated]
        f"{value!r:.20}": lambda _, value=value: as_json(value)  # type: ignore[misc]
        for value in (
            None,
            True,
            7,
            -1,
            "a text",
            [],
            {},
            [None],
            [[]],
            [7],
            {"tasks": 1},
            {"detail": "no", "status_code": 400},
        )
    },
    "NaN": lambda _: http(b'{"id": NaN, "count": NaN, "tasks": NaN}'),
    "number of 5,000 digits": lambda _: http(b'{"id": ' + b"1" * 5000 + b"}"),
    "number that is too large": lambda _: http(b'{"id": 1e999}'),
    "half a surrogate": lambda _: http(b'{"release": "\\ud800", "email": "\\ud800"}'),
    "deeply nested": lambda _: http(b"[" * 100_000 + b"]" * 100_000),
    "deeply nested objects": lambda _: http(b'{"id":' * 50_000 + b"1" + b"}" * 50_000),
    # no JSON
    "JSON that breaks off": lambda asked: http(good(asked).partition(b"\r\n\r\n")[2][:-1] or b"{"),
    "JSON and more": lambda _: http(b"{} {}"),
    "bytes": lambda _: http(bytes(range(256))),
    "UTF-16": lambda _: http('{"id": 1}'.encode("utf-16"), "200 OK", "Content-Type: application/json; charset=utf-16"),
    "unknown charset": lambda _: http(b"\xff\xfe", "200 OK", "Content-Type: application/json; charset=nope-16"),
    "byte order mark": lambda _: http(b"\xef\xbb\xbf{}"),
    "page": lambda _: http(b"<html><title>Log in</title></html>", "200 OK", "Content-Type: text/html"),
    "nothing": lambda _: http(),
    "204": lambda _: http(b"", "204 No Content", length=False),
    "206": lambda _: http(b"{", "206 Partial Content"),
    # statuses
    "302 to itself": lambda asked: http(b"", "302 Found", f"Location: {asked.path}"),
    "307 to another host": lambda _: http(b"", "307 Temporary Redirect", "Location: http://127.0.0.1:9/api/tasks"),
    "301 without a location": lambda _: http(b"", "301 Moved Permanently"),
    "302 to no URL": lambda _: http(b"", "302 Found", "Location: http://[::1"),
    "304": lambda _: http(b"", "304 Not Modified", length=False),
    "401": lambda _: http(b"<title>Log in</title>", "401 Unauthorized", "WWW-Authenticate: Negotiate"),
    "403": lambda _: http(b"[]", "403 Forbidden"),
    "404": lambda _: http(b"<title>Nothing here</title>", "404 Not Found"),
    "409": lambda _: http(b'{"validation_errors": 5}', "409 Conflict"),
    "400 with reasons of another kind": lambda _: http(
        b'{"validation_errors": {"non_field_errors": [[], 7, null]}}', "400 Bad"
    ),
    "429": lambda _: http(b"", "429 Too Many Requests", "Retry-After: 999999999999"),
    "503": lambda _: http(b"{}", "503 Service Unavailable", "Retry-After: soon, I think"),
    "500": lambda _: http(b'{"status_code": 500, "detail": {"a": [1]}}', "500 Internal Server Error"),
    "status that is none": lambda _: http(b"{}", "799 What"),
    "error with the token in it": lambda _: http(json.dumps({"detail": REPEATS}).encode(), "400 Bad"),
    "page with the token in it": lambda _: http(f"<title>{REPEATS}</title>".encode(), "500 Bad"),
    "error of several lines": lambda _: http(json.dumps({"detail": LINES}).encode(), "400 Bad"),
    "error of a megabyte of blanks": lambda _: http(b" " * (1 << 20) + b"<", "500 Bad"),
    "error of 100,000 titles": lambda _: http(b"<title>" * 100_000, "500 Bad"),
    # no HTTP
    "no HTTP": lambda _: b"SSH-2.0-OpenSSH_9.6\r\n",
    "status that is no number": lambda _: http(b"{}", "abc What"),
    "header of 200 KB": lambda _: http(b"{}", "200 OK", "X-A: " + "a" * 200_000),
    "Content-Length below zero": lambda _: http(b"{}", "200 OK", "Content-Length: -5", length=False),
    "two lengths": lambda _: http(b"{}", "200 OK", "Content-Length: 5"),
    "chunk that is none": lambda _: http(b"zz\r\n{}\r\n", "200 OK", "Transfer-Encoding: chunked", length=False),
    "end at once": lambda _: b"",
    "end in the header": lambda _: b"HTTP/1.1 200 OK\r\nContent-Le",
    "end in the body": lambda _: http(b"{}", "200 OK", "Content-Length: 5", length=False),
    # packed
    "gzip that is none": lambda _: http(b"{}", "200 OK", "Content-Encoding: gzip"),
    "gzip that breaks off": lambda _: http(gzip.compress(b"{}" * 1000)[:-9], "200 OK", "Content-Encoding: gzip"),
    "deflate of a page": lambda _: _deflated(b"<title>Log in</title>"),
    "encoding that was not asked for": lambda _: http(b"{}", "200 OK", "Content-Encoding: br"),
    "several encodings": lambda _: http(b"{}", "200 OK", "Content-Encoding: gzip, gzip"),
    "bomb": lambda _: http(BOMB, "200 OK", "Content-Encoding: gzip"),
    "body without an end": lambda _: _flooding(http(b"", length=False), b" " * 65536),
}
"""By name, those that are over at once."""

SLOW: dict[str, Callable[[Asked], Raw]] = {
    "silence": lambda _: _silent(),
    "header by the byte": lambda _: _dripping(b"HTTP/1.1 200 OK\r\nX-A: ", b"a"),
    "headers without an end": lambda _: _dripping(b"HTTP/1.1 200 OK\r\n", b"X-A: a\r\n"),
    "100 Continue without an end": lambda _: _dripping(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body by the byte": lambda _: _dripping(http(b"", "200 OK", "Content-Length: 99999", length=False), b" "),
    "error by the byte": lambda _: _dripping(http(b"", "500 Bad", "Content-Length: 99999", length=False), b" "),
    "chunks by the byte": lambda _: _dripping(
        http(b"", "200 OK", "Transfer-Encoding: chunked", length=False), b"1\r\n \r\n"
    ),
}
"""By name, those that a client waits for."""


@dataclass
class Server:
    """The server."""

    url: str = ""
    answer: Answering = good
    asked: list[Asked] = field(default_factory=list)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until an answer leaves open where it ends.

        After one that does not, the client sends its next request here: to close would break that one by chance.
        """
        while True:
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, path, _ = first.split(" ", 2)
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines) if name}
            await reader.readexactly(int(headers.get("content-length", 0)))
            self.asked.append(Asked(method, path, headers))
            raw = self.answer(self.asked[-1])
            if not isinstance(raw, bytes):
                async for part in raw:
                    writer.write(part)
                    await writer.drain()
                return
            writer.write(raw)
            await writer.drain()
            head, _, body = raw.partition(b"\r\n\r\n")
            if b"Content-Length: %d" % len(body) not in head.split(b"\r\n"):
                return


@contextmanager
def misbehaving() -> Iterator[Server]:
    """Run it until the end of the block."""
    server = Server()
    with serving(server.handle) as port:
        server.url = f"http://{HOST}:{port}"
        yield server
