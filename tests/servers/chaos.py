"""A proxy that spoils some of what passes between a client and an HTTP server, as a storage does under load.

It leaves every header as it is: a signature covers `Host`, so the server is told the address of the proxy. A server
that refuses a large body before it has read it looks like one that hangs up.
"""

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from urllib.parse import urlsplit

from servers.process import HOST
from servers.thread import BUFFER, serving

SLOW_DOWN = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)
SLOW_DOWN_HEAD = b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n" % len(
    SLOW_DOWN
)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Fault(Enum):
    """What happens to a request."""

    NONE = auto()
    SLOW_DOWN = auto()
    # Before the server has seen it, and after the server has done it.
    RESET = auto()
    LOST = auto()
    TRUNCATE = auto()


@dataclass
class Chaos:
    """A running proxy. The shares of the requests that get a fault may be changed at any time."""

    endpoint: str
    slow_down: float
    reset: float
    truncate: float

    requests: int = 0
    slowed: int = 0
    # Both kinds; `lost` counts the second, of which the server has done what was asked.
    resets: int = 0
    lost: int = 0
    truncated: int = 0


@contextmanager
def running_chaos(
    upstream_url: str, *, slow_down: float = 0.3, reset: float = 0.05, truncate: float = 0.05, seed: int = 0
) -> Iterator[Chaos]:
    """Run a proxy in a thread of this process.

    :param upstream_url: the server; its path is kept in the endpoint.
    :param slow_down: the share of requests that get 503 and do not reach the server.
    :param reset: the share whose connection is reset: half of them before the server, half of them after its answer.
    :param truncate: the share of which half the answer's body comes; an answer without a body is left whole.
    :param seed: of the choice, which is the same for the same order of requests.
    """
    upstream = urlsplit(upstream_url)
    assert upstream.scheme == "http"
    assert upstream.hostname
    chaos = Chaos("", slow_down, reset, truncate)
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
    def status(self) -> int:
        return int(self.first.split(b" ", 2)[1])

    @property
    def expects_continue(self) -> bool:
        return self.fields.get(b"expect") == b"100-continue"

    @property
    def closes(self) -> bool:
        return b"HTTP/1.0" in self.first or b"close" in self.fields.get(b"connection", b"")


class _Proxy:
    """Passes on the requests of every connection, one after the other."""

    def __init__(self, chaos: Chaos, host: str, port: int, chance: random.Random) -> None:
        self._chaos, self._host, self._port, self._chance = chaos, host, port, chance

    async def handle(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        """Keep a connection to the server for every connection of a client."""
        server: asyncio.StreamReader | None = None
        to_server: asyncio.StreamWriter | None = None
        try:
            while True:
                request = _Head(await client.readuntil(b"\r\n\r\n"))
                self._chaos.requests += 1
                fault = self._fault()
                if fault is Fault.SLOW_DOWN:
                    await _slow_down(request, client, to_client)
                    self._chaos.slowed += 1
                    if request.closes:
                        return
                    continue
                if fault is Fault.RESET:
                    self._chaos.resets += 1
                    _reset(to_client)
                    return
                # The server may have closed an idle connection.
                if server is None or to_server is None or server.at_eof() or to_server.is_closing():
                    if to_server:
                        to_server.close()
                    server, to_server = await asyncio.open_connection(self._host, self._port, limit=BUFFER)
                if not await self._exchange(request, fault, client, to_client, server, to_server):
                    return
        finally:
            if to_server:
                to_server.close()

    def _fault(self) -> Fault:
        chance, chaos = self._chance.random(), self._chaos
        if chance < chaos.slow_down:
            return Fault.SLOW_DOWN
        if chance < chaos.slow_down + chaos.reset:
            return Fault.RESET if self._chance.random() < 0.5 else Fault.LOST
        if chance < chaos.slow_down + chaos.reset + chaos.truncate:
            return Fault.TRUNCATE
        return Fault.NONE

    async def _exchange(
        self,
        request: _Head,
        fault: Fault,
        client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> bool:
        """Pass a request and its answer; return whether both connections can take another."""
        refused = False
        if request.expects_continue:
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
        if request.first.startswith(b"HEAD ") or answer.status in (204, 304) or answer.length == 0:
            to_client.write(answer.raw)
        # Where the end of the connection is the end of the body, nobody would see that something is missing.
        elif fault is Fault.TRUNCATE and (answer.chunked or answer.length):
            self._chaos.truncated += 1
            body = b"".join([part async for part in _body(answer, server)])
            to_client.write(answer.raw + body[: len(body) // 2])
            return False
        else:
            await _pass(answer.raw, _body(answer, server, until_closed=True), to_client)
            if not answer.chunked and answer.length is None:
                return False
        # Whether the body of a refused request still comes, nobody knows.
        return not (refused or request.closes or answer.closes)


async def _slow_down(request: _Head, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
    """Take the whole request, so that the connection can serve the next one."""
    if request.expects_continue:
        to_client.write(CONTINUE)
    async for _ in _body(request, client):
        pass
    to_client.write(SLOW_DOWN_HEAD + (b"" if request.first.startswith(b"HEAD ") else SLOW_DOWN))


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
