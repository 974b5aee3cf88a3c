"""One request to a Label Studio server and its whole answer, in bounded time."""

import re
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from socket import SHUT_RDWR
from ssl import SSLContext
from typing import Any, Literal

import httpx

from labelsync_provider.errors import Unavailable, Unusable, invalid
from labelsync_provider.projects.label_studio.answers import Answer, NotSent, TooLate, read

Method = Literal["GET", "POST", "PATCH", "DELETE"]


class Transport:
    """Sends requests to one server. Threads may share it."""

    def __init__(
        self,
        url: str,
        *,
        verify: SSLContext | bool,
        connect_seconds: float,
        transfer_seconds: float,
        begin: Callable[[httpx.Request], None],
    ) -> None:
        """Prepare to ask; nothing is sent yet.

        :param url: the base URL; see `checked_url`.
        :param connect_seconds: so long a connection may take.
        :param transfer_seconds: so long it may take besides to send a request and to receive the whole answer.
        :param begin: called with each request right before it is sent; what it raises ends this.
        """
        self._url = url
        self._connect_seconds, self._transfer_seconds = connect_seconds, transfer_seconds
        self._sockets: weakref.WeakSet[Any] = weakref.WeakSet()
        self._http = httpx.Client(
            base_url=self._url,
            verify=verify,
            headers={"Accept": "application/json", "Accept-Encoding": "gzip, deflate"},
            # With a redirect the token would go along; where to, the answer decides.
            follow_redirects=False,
            event_hooks={"request": [begin]},
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(
        self,
        method: Method,
        path: str,
        params: Mapping[str, Any] | None,
        content: bytes | None,
        token: str,
        read_seconds: float,
        confirm: Callable[[], None] | None,
    ) -> Answer:
        """Send one request and return the whole answer.

        :param token: the header that says who asks; empty for nobody.
        :param read_seconds: so long the server may be silent.
        :param confirm: called right before the request is sent; what it raises ends this.
        :raises NotSent: it did not get to the server.
        :raises TooLate: the answer, or the whole of it, did not come in time.
        :raises Unavailable: the connection broke, or what came is no HTTP.
        :raises Unusable: the server's certificate is not trusted.
        """
        what = f"{self._url}: {method} {path}"
        headers = {"Content-Type": "application/json"} if content else {}
        headers |= {"Authorization": token} if token else {}
        seconds = self._connect_seconds + read_seconds + self._transfer_seconds
        try:
            with (
                self._ended_after(seconds) as overdue,
                self._http.stream(
                    method,
                    path,
                    params=params,
                    content=content,
                    headers=headers,
                    timeout=httpx.Timeout(read_seconds, connect=self._connect_seconds),
                    extensions={"confirm": confirm, "trace": self._note_socket},
                ) as response,
            ):
                return read(response, what)
        # Without the cause: it holds the request, and that the token.
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            if "certificate" in str(error).lower():
                raise Unusable(
                    f"{self._url}: its certificate is not trusted: {error}. Name its CA file in the connection."
                ) from None
            raise NotSent(f"{self._url} cannot be reached: {error or 'the connection took too long'}.") from None
        except httpx.TimeoutException:
            raise TooLate(f"{what}: no answer within {read_seconds:g} s.") from None
        except (httpx.HTTPError, httpx.StreamError) as error:
            if overdue.is_set():
                raise TooLate(f"{what}: no whole answer within {seconds:g} s.") from None
            raise Unavailable(f"{what}: the connection broke: {error}.") from None
        except (httpx.InvalidURL, ValueError, LookupError) as error:
            raise Unavailable(f"{what}: the answer is no HTTP: {type(error).__name__}.") from None

    @contextmanager
    def _ended_after(self, seconds: float) -> Iterator[threading.Event]:
        """Break the connections if a block takes too long: a server that sends a byte now and then is never silent.

        httpx has no bound for the whole of a request. It does not tell which connection it takes either, so that
        requests of other threads break too; they are as good as any that broke.
        """
        overdue = threading.Event()

        def end() -> None:
            overdue.set()
            for one in list(self._sockets):
                with suppress(OSError):  # closed meanwhile
                    one.shutdown(SHUT_RDWR)

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            yield overdue
        finally:
            timer.cancel()

    def _note_socket(self, event: str, info: Mapping[str, Any]) -> None:
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._sockets.add(info["return_value"].get_extra_info("socket"))


def checked_url(url: str) -> str:
    """Return a base URL that can be asked and shown.

    :raises Invalid: it is none.
    """
    remedy = "Use the base URL of a Label Studio server, http(s)://host[:port][/path], and nothing else."
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise invalid("host", url, str(error).rstrip("."), remedy) from None
    if parsed.userinfo:
        raise invalid("host", "***", "it holds a login, which would be shown wherever the host is", remedy)
    if re.search(r"\s", url):
        raise invalid("host", url, "there is a blank in it", remedy)
    no_port = not 0 < (parsed.port or 80) < 2**16
    if parsed.scheme not in ("http", "https") or not parsed.host or no_port or parsed.query or parsed.fragment:
        raise invalid("host", url, "this is no base URL", remedy)
    return url
