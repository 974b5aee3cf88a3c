"""A server of our own, in a thread of this process."""

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from servers.process import HOST

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

# Bytes that a connection may hold before its sender has to wait.
BUFFER = 256 * 1024


@contextmanager
def serving(handle: Handler, *, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Give every connection to a handler until the end of the block; return the port, at `HOST`.

    A handler that is still at work when the block ends is cancelled.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="servers", daemon=True)
    thread.start()
    handlers: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        handlers.add(task)
        try:
            await handle(reader, writer)
        # Either side may go at any time, and the other side is told by the end of its connection.
        except (ConnectionError, EOFError, asyncio.CancelledError):
            pass
        finally:
            handlers.discard(task)
            writer.close()

    async def start() -> asyncio.Server:
        return await asyncio.start_server(accept, HOST, 0, ssl=tls, limit=BUFFER)

    async def stop() -> None:
        server.close()
        for task in list(handlers):
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        await loop.shutdown_asyncgens()

    try:
        server = asyncio.run_coroutine_threadsafe(start(), loop).result()
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            asyncio.run_coroutine_threadsafe(stop(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
