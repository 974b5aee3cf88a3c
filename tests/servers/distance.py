"""Distance: a proxy through which every round trip to a server takes so long, as it does to a storage far away.

It passes bytes on as they come, each half a round trip later; so does a connection, which takes one round trip to make.
Nothing is ever fewer or slower than on the way itself, for there is no limit on what is under way. It runs in a process
of its own, for the processor time of the client is not to hold up the wire:

    python tests/servers/distance.py PORT_OF_THE_SERVER MILLISECONDS
"""

import asyncio
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

HOST = "127.0.0.1"


@contextmanager
def at_distance(url: str, milliseconds: float) -> Iterator[str]:
    """Give the URL under which a server is so far away, until the end of the block.

    :param url: of a server at `HOST`; its path is kept.
    :param milliseconds: that a round trip takes.
    """
    server = urlsplit(url)
    command = [sys.executable, str(Path(__file__)), str(server.port), str(milliseconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            port = int(process.stdout.readline())
            yield server._replace(netloc=f"{HOST}:{port}").geturl()
        finally:
            process.kill()


class _Wire(asyncio.Protocol):
    """One end of a connection: what comes in here goes out at the other end, later."""

    def __init__(self, late: float) -> None:
        self._late = late
        self._loop = asyncio.get_running_loop()
        self._under_way: deque[tuple[float, bytes]] = deque()
        self._not_before = 0.0
        self.transport: asyncio.Transport | None = None
        self.other: _Wire | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._send(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._send(b"")

    def hold_back(self, seconds: float) -> None:
        """Have nothing go out for so long."""
        self._not_before = self._loop.time() + seconds

    def _send(self, data: bytes) -> None:
        """Send bytes on their way; none are the end."""
        due = max(self._loop.time(), self._not_before) + self._late
        self._under_way.append((due, data))
        if len(self._under_way) == 1:
            self._loop.call_at(due, self._arrive)

    def _arrive(self) -> None:
        # One timer a wire: timers of one instant come in any order.
        if not (self.other and self.other.transport):
            return  # called again once it is there
        now = self._loop.time()
        while self._under_way and self._under_way[0][0] <= now:
            if data := self._under_way.popleft()[1]:
                self.other.transport.write(data)
            else:
                self.other.transport.close()
        if self._under_way:
            self._loop.call_at(self._under_way[0][0], self._arrive)


class _Near(_Wire):
    """The client's end, which connects to the server."""

    def __init__(self, port: int, late: float) -> None:
        super().__init__(late)
        self._port = port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.hold_back(2 * self._late)  # the client has its connection at once; over the distance it would not
        self._connecting = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        remote = _Wire(self._late)
        self.other, remote.other = remote, self
        await self._loop.create_connection(lambda: remote, HOST, self._port)
        if self._under_way and self._under_way[0][0] <= self._loop.time():
            self._arrive()  # its timer found no connection yet


async def _serve(port: int, late: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Near(port, late), HOST, 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2]) / 2000))
