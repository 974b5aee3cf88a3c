"""A proxy that spoils some of what passes between a client and an HTTP server, as a storage does under load, or what
stands in front of a server that is being replaced.

It leaves every header as it is: a signature covers `Host`, so the server is told the address of the proxy. A server
that refuses a large body before it has read it looks like one that hangs up.
"""

import asyncio
import random
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from urllib.parse import urlsplit

from servers.process import HOST, STOPPING
from servers.thread import BUFFER, serving

SLOW_DOWN = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)
SLOW_DOWN_HEAD = b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n" % len(
    SLOW_DOWN
)
BAD_GATEWAY = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
    b"<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx/1.27.3</center>\r\n</body>\r\n</html>\r\n"
)
BAD_GATEWAY_HEAD = (
    b"HTTP/1.1 502 Bad Gateway\r\nServer: nginx/1.27.3\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n"
    % len(BAD_GATEWAY)
)
# Seconds.
LOOK_AGAIN = 0.01

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Fault(Enum):
    """What happens to a request."""

    NONE = auto()
    SLOW_DOWN = auto()
    # Before the server has seen it, and after the server has done it.
    RESET = auto()
    LOST = auto()
    TRUNCATE = auto()
    SWALLOW = auto()
    BAD_GATEWAY = auto()
    DELAY_REQUEST = auto()
    DELAY_ANSWER = auto()


@dataclass
class Chaos:
    """A running proxy. What is spoiled may be changed at any time; the shares are of the requests that `only` picks."""

    endpoint: str
    slow_down: float
    reset: float
    truncate: float
    reset_before: float
    swallow: float
    bad_gateway: float
    delay_request: float
    delay_answer: float
    delay: float
    only: Callable[[str, str], bool]

    requests: int = 0
    slowed: int = 0
    # Both kinds; `lost` counts the second, of which the server has done what was asked.
    resets: int = 0
    lost: int = 0
    truncated: int = 0
    swallowed: int = 0
    bad_gateways: int = 0
    requests_delayed: int = 0
    answers_delayed: int = 0

    # At this moment.
    under_way: int = 0
    # How often what is held back was let go.
    let_go: int = 0

    def let_all_go(self) -> None:
        """Hold back no longer what is held back now."""
        self.let_go += 1

    def wait_until_idle(self) -> None:
        """Wait until no request is under way, not even one whose client has given up.

        :raises TimeoutError: when the server does not answer.
        """
        deadline = time.monotonic() + self.delay + STOPPING
        while self.under_way:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.under_way} requests are still under way.")
            time.sleep(LOOK_AGAIN)


@contextmanager
def running_chaos(
    upstream_url: str,
    *,
    slow_down: float = 0.3,
    reset: float = 0.05,
    truncate: float = 0.05,
    reset_before: float = 0,
    swallow: float = 0,
    bad_gateway: float = 0,
    delay_request: float = 0,
    delay_answer: float = 0,
    delay: float = 5,
    only: Callable[[str, str], bool] = lambda method, path: True,
    seed: int = 0,
) -> Iterator[Chaos]:
    """Run a proxy in a thread of this process.

    :param upstream_url: the server; its path is kept in the endpoint.
    :param slow_down: the share of requests that get 503 and do not reach the server.
    :param reset: the share whose connection is reset: half of them before the server, half of them after its answer.
    :param truncate: the share of which half the answer's body comes; an answer without a body is left whole.
    :param reset_before: the share whose connection is reset, always before the server.
    :param swallow: the share whose connection is closed where the server's answer would come.
    :param bad_gateway: the share that gets 502, with nginx's page, in place of the server's answer.
    :param delay_request: the share that is held back before the server; it gets there even when its client has gone.
    :param delay_answer: the share whose answer is held back, when the server has done what was asked.
    :param delay: for how many seconds, if it is not let go before; at the end of the block, it is dropped.
    :param only: whether a request may be spoiled, by its method and its path with the query; it runs in the thread.
    :param seed: of the choice, which is the same for the same order of requests.
    """
    upstream = urlsplit(upstream_url)
    assert upstream.scheme == "http"
    assert upstream.hostname
    chaos = Chaos(
        "",
        slow_down=slow_down,
        reset=reset,
        truncate=truncate,
        reset_before=reset_before,
        swallow=swallow,
        bad_gateway=bad_gateway,
        delay_request=delay_request,
        delay_answer=delay_answer,
        delay=delay,
        only=only,
    )
    proxy = _Proxy(chaos, upstream.hostname, upstream.port or 80, random.Random(seed))
    with serving(proxy.handle) as port:
        chaos.endpoint = upstream._replace(netloc=f"{HOST}:{port}").geturl()
        yield chaos


class _Head:
    """The first line and the fields of a request or an answer."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.first, *lines = raw[:-4].split(b"\r\n")
        self.fields = {
            name.strip().lower(): value.strip().lower() for name, _, value in (line.partition(b":") for line in lines)
        }
        self.chunked = self.fields.get(b"transfer-encoding", b"").endswith(b"chunked")
        self.length = int(self.fields[b"content-length"]) if b"content-length" in self.fields else None

    @property
    def method(self) -> str:
        return self.first.split(b" ", 2)[0].decode()

    @property
    def path(self) -> str:
        return self.first.split(b" ", 2)[1].decode()

    @property
    def status(self) -> int:
        return int(self.first.split(b" ", 2)[1])

    @property
    def expects_continue(self) -> bool:
        return self.fields.get(b"expect") == b"100-continue"

    @property
    def closes(self) -> bool:
        return b"HTTP/1.0" in self.first or b"close" in self.fields.get(b"connection", b"")


class _Line:
    """A connection to the server, made when it is needed."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter | None = None

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        # The server may have closed an idle connection.
        if self.writer is None or self.reader.at_eof() or self.writer.is_closing():
            self.close()
            self.reader, self.writer = await asyncio.open_connection(self._host, self._port, limit=BUFFER)
        return self.reader, self.writer

    def close(self) -> None:
        if self.writer:
            self.writer.close()


class _Proxy:
    """Passes on the requests of every connection, one after the other."""

    def __init__(self, chaos: Chaos, host: str, port: int, chance: random.Random) -> None:
        self._chaos, self._host, self._port, self._chance = chaos, host, port, chance

    async def handle(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        """Keep a connection to the server for every connection of a client."""
        line = _Line(self._host, self._port)
        try:
            while await self._next(client, to_client, line):
                pass
        finally:
            line.close()

    async def _next(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter, line: _Line) -> bool:
        """Serve the next request; return whether its connection can take another."""
        request = _Head(await client.readuntil(b"\r\n\r\n"))
        self._chaos.requests += 1
        self._chaos.under_way += 1
        try:
            return await self._serve(request, client, to_client, line)
        finally:
            self._chaos.under_way -= 1

    def _fault(self, request: _Head) -> Fault:
        chaos = self._chaos
        if not chaos.only(request.method, request.path):
            return Fault.NONE
        chance, until = self._chance.random(), 0.0
        for share, fault in (
            (chaos.slow_down, Fault.SLOW_DOWN),
            (chaos.reset, None),
            (chaos.truncate, Fault.TRUNCATE),
            (chaos.reset_before, Fault.RESET),
            (chaos.swallow, Fault.SWALLOW),
            (chaos.bad_gateway, Fault.BAD_GATEWAY),
            (chaos.delay_request, Fault.DELAY_REQUEST),
            (chaos.delay_answer, Fault.DELAY_ANSWER),
        ):
            until += share
            if chance < until:
                return fault or (Fault.RESET if self._chance.random() < 0.5 else Fault.LOST)
        return Fault.NONE

    async def _serve(
        self, request: _Head, client: asyncio.StreamReader, to_client: asyncio.StreamWriter, line: _Line
    ) -> bool:
        """Do what is to happen to a request; return whether its connection can take another."""
        fault = self._fault(request)
        body: bytes | None = None
        if fault is Fault.SLOW_DOWN:
            await _take(request, client, to_client)
            _answer(request, SLOW_DOWN_HEAD, SLOW_DOWN, to_client)
            self._chaos.slowed += 1
            return not request.closes
        if fault is Fault.RESET:
            self._chaos.resets += 1
            _reset(to_client)
            return False
        if fault is Fault.DELAY_REQUEST:
            body = await _take(request, client, to_client)
            # Only a request that has come whole gets to the server, whatever becomes of its client.
            self._chaos.requests_delayed += 1
            await self._hold()
        return await self._exchange(request, body, fault, client, to_client, *await line.open())

    async def _hold(self) -> None:
        until, let_go = time.monotonic() + self._chaos.delay, self._chaos.let_go
        while time.monotonic() < until and self._chaos.let_go == let_go:
            await asyncio.sleep(LOOK_AGAIN)

    async def _exchange(
        self,
        request: _Head,
        body: bytes | None,
        fault: Fault,
        client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> bool:
        """Pass a request and its answer; return whether both connections can take another.

        :param body: the request's, if it has been taken already.
        """
        refused = False
        if body is not None:
            to_server.write(request.raw + body)
            await to_server.drain()
        elif request.expects_continue:
            to_server.write(request.raw)
            answer = _Head(await server.readuntil(b"\r\n\r\n"))
            refused = answer.status != 100
            if not refused:
                to_client.write(answer.raw)
                await _pass(b"", _body(request, client), to_server)
        else:
            await _pass(request.raw, _body(request, client), to_server)
        if not refused:
            answer = _Head(await server.readuntil(b"\r\n\r\n"))
            while answer.status < 200:
                answer = _Head(await server.readuntil(b"\r\n\r\n"))

        if fault is Fault.LOST:
            self._chaos.resets += 1
            self._chaos.lost += 1
            _reset(to_client)
            return False
        if fault is Fault.SWALLOW:
            self._chaos.swallowed += 1
            return False
        if fault is Fault.BAD_GATEWAY:
            self._chaos.bad_gateways += 1
            _answer(request, BAD_GATEWAY_HEAD, BAD_GATEWAY, to_client)
            # The rest of the true answer goes with it. The client's connection stays: 502 is no reason to hang up.
            to_server.close()
            return not (refused or request.closes)
        if fault is Fault.DELAY_ANSWER:
            self._chaos.answers_delayed += 1
            await self._hold()
        if request.method == "HEAD" or answer.status in (204, 304) or answer.length == 0:
            to_client.write(answer.raw)
        # Where the end of the connection is the end of the body, nobody would see that something is missing.
        elif fault is Fault.TRUNCATE and (answer.chunked or answer.length):
            self._chaos.truncated += 1
            whole = b"".join([part async for part in _body(answer, server)])
            to_client.write(answer.raw + whole[: len(whole) // 2])
            return False
        else:
            await _pass(answer.raw, _body(answer, server, until_closed=True), to_client)
            if not answer.chunked and answer.length is None:
                return False
        # Whether the body of a refused request still comes, nobody knows.
        return not (refused or request.closes or answer.closes)


async def _take(request: _Head, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> bytes:
    """Take the whole request, so that the connection can serve the next one; return its body."""
    if request.expects_continue:
        to_client.write(CONTINUE)
    return b"".join([part async for part in _body(request, client)])


def _answer(request: _Head, head: bytes, body: bytes, to_client: asyncio.StreamWriter) -> None:
    to_client.write(head if request.method == "HEAD" else head + body)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection so that the other side gets RST."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def _pass(head: bytes, body: AsyncIterator[bytes], writer: asyncio.StreamWriter) -> None:
    """Write a head and a body, and the beginning of the body at once with the head."""
    async for part in body:
        writer.write(head + part)
        head = b""
        await writer.drain()
    if head:
        writer.write(head)


async def _body(head: _Head, reader: asyncio.StreamReader, *, until_closed: bool = False) -> AsyncIterator[bytes]:
    """Give the body that belongs to a head as it comes over the wire, chunk sizes and trailers included.

    :param until_closed: a body of which nothing is said ends with the connection; else there is none.
    """
    if head.chunked:
        size = -1
        while size:
            line = await reader.readuntil(b"\r\n")
            yield line
            size = int(line.partition(b";")[0], 16)
            if size:
                async for part in _exactly(size + len(b"\r\n"), reader):
                    yield part
        while line != b"\r\n":
            line = await reader.readuntil(b"\r\n")
            yield line
    elif head.length is not None:
        async for part in _exactly(head.length, reader):
            yield part
    elif until_closed:
        while part := await reader.read(BUFFER):
            yield part


async def _exactly(size: int, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size:
        part = await reader.read(min(size, BUFFER))
        if not part:
            raise EOFError
        size -= len(part)
        yield part
