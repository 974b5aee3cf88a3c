"""The HTTP API of a Label Studio server: tokens, time-outs, repetition, and what an answer means.

Source of what is said about the API: label-studio 1.23.2 and https://api.labelstud.io.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from copy import copy
from ssl import SSLContext
from typing import Any, Self

import httpx
import msgspec

from labelsync_provider.errors import Denied, NotFound, TooLarge, Unavailable, Unusable
from labelsync_provider.projects.label_studio.answers import (
    EXPLANATION,
    NO_BASE,
    Answer,
    NotSent,
    NotUnderstood,
    Refused,
    TooLate,
    checked,
    text_of,
    understood,
)
from labelsync_provider.projects.label_studio.tokens import token_of
from labelsync_provider.projects.label_studio.transport import Method, Transport, checked_url
from labelsync_provider.retry import RETRY_SECONDS, Requests, call_with_retries
from labelsync_provider.uris import without

CONNECT_SECONDS = 10.0
READ_SECONDS = 120.0
TRANSFER_SECONDS = 300.0
"""So long a request and its answer may be on the way, beside the time for which the server may be silent."""

REPEATABLE = frozenset({"GET", "PUT", "PATCH", "DELETE"})
"""To ask these twice has the effect of asking once. A POST that is repeated imports twice."""

WHOAMI = "/api/current-user/whoami"
NUMBER = re.compile(r"/\d+(?=/|$)")
"""Of a project, task or storage, in a path: requests are counted without."""


class Client:
    """Asks one server. Threads may share it."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        server: str | None = None,
        verify: SSLContext | bool = True,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
        transfer_seconds: float = TRANSFER_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        """Prepare to ask; nothing is sent yet.

        :param url: the base URL, with or without a path.
        :param token: a legacy token or a personal access token; which of them is told by looking at it.
        :param server: by what name the server is known, wherever it is reached; by default the base URL.
        :param connect_seconds: so long a connection may take.
        :param read_seconds: so long the server may be silent.
        :param transfer_seconds: so long it may take besides to send a request and to receive the whole answer.
        :param retry_seconds: so long a request that may be repeated is.
        :raises Invalid: the token is of neither kind, or the URL is none.
        """
        self.url = checked_url(url).rstrip("/")
        self.server = (server or self.url).rstrip("/")
        self._base_path = httpx.URL(self.url).path.rstrip("/")
        self.read_seconds, self._retry_seconds = read_seconds, retry_seconds
        self._token = token_of(token, self.url)
        self._hidden = set[str]()
        self._transport = Transport(
            self.url,
            verify=verify,
            connect_seconds=connect_seconds,
            transfer_seconds=transfer_seconds,
            begin=self._begin,
        )
        self.requests = Requests()
        self._known = False
        """Whether it has turned out to be a Label Studio."""

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def trying(self, seconds: float) -> Self:
        """Return the same client, with its connections and its login, that repeats a request for so long."""
        other = copy(self)
        other._retry_seconds = seconds
        return other

    def hide(self, secrets: Iterable[str]) -> None:
        """Have these hidden too, like the token, in whatever the server says."""
        self._hidden.update(secrets)

    def shown(self, value: Any) -> str:
        """Return what the server has said, cut, and without the secrets that it repeats."""
        said = without(text_of(value), self._secrets)
        return said if len(said) <= EXPLANATION else said[:EXPLANATION] + "..."

    def get(self, path: str, shape: Any = Any, *, divisible: bool = False, **params: Any) -> Any:
        """Return what is there; see `ask` for `divisible` and the errors."""
        return self.ask("GET", path, params=params, shape=shape, divisible=divisible)

    def post(
        self, path: str, body: Any = None, shape: Any = Any, *, read_seconds: float | None = None, **params: Any
    ) -> Any:
        """Have something done, at most once; see `ask` for the errors."""
        return self.ask("POST", path, params=params, body=body, shape=shape, read_seconds=read_seconds)

    def ask(
        self,
        method: Method,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        shape: Any = Any,
        read_seconds: float | None = None,
        confirm: Callable[[], None] | None = None,
        divisible: bool = False,
    ) -> Any:
        """Return the decoded answer; None if it is empty.

        A POST is repeated only as long as it certainly did not get through.

        :param shape: the type that the answer must be of, as msgspec knows them.
        :param confirm: called right before the request is sent, each time that it is; what it raises ends this.
        :param divisible: whether less can be asked for. An answer that is too late is TooLarge then, at once: the next
            one would be as late.
        :raises NotFound: there is no such thing.
        :raises Denied: the token's user may not.
        :raises Refused: the server does not take what was sent; nothing was done.
        :raises Unusable: no Label Studio answers there, or it does not take the token.
        :raises TooLarge: the answer has more bytes than may be read.
        :raises Unavailable: of a POST, it is not certain whether it was done, unless it is `NotSent`. So it is where
            the answer is a page of a proxy, says nothing at all, or is too long, whatever its status.
        """
        passing = Unavailable if method in REPEATABLE else NotSent

        def attempt() -> Any:
            try:
                return self._attempt(method, path, params, body, read_seconds or self.read_seconds, confirm)
            except TooLate as error:
                if divisible:
                    raise TooLarge(str(error)) from None
                raise

        try:
            value = call_with_retries(attempt, nullcontext, self._retry_seconds, passing, self.requests.stop)
            if value is None and method not in REPEATABLE:
                raise NotUnderstood(f"{self._what(method, path)}: the answer is empty.")
            return checked(value, shape, self._what(method, path))
        except NotFound:
            # Another server says so too, and so does Label Studio below its base, of everything.
            if path == WHOAMI:
                raise self._no_base() from None
            self.check_base()
            raise
        except (NotUnderstood, TooLarge) as error:
            if method in REPEATABLE:
                raise
            raise Unavailable(f"{error} It is not certain whether it was done.") from None

    def version(self) -> str:
        """Return the server's version. No token is asked for, so this tells whether it is a Label Studio at all.

        :raises Unusable: it is none.
        """
        try:
            release = self.get("/api/version").get("release")
        except (NotFound, Denied, Refused, AttributeError):
            release = None
        if not isinstance(release, str):
            raise self._no_base()
        return release

    def check_base(self) -> None:
        """Make sure, once, that it is a Label Studio which says that there is nothing.

        :raises Unusable: it is none.
        """
        if not self._known:
            self.whoami()

    def whoami(self) -> dict[str, Any]:
        """Return the user of the token.

        :raises Unusable: the URL is not the base of a Label Studio; `version` need not tell, a Label Studio says it
            below its base too.
        """
        user = self.get(WHOAMI)
        if not isinstance(user, dict) or not isinstance(user.get("email"), str):
            raise self._no_base()
        self._known = True
        return user

    def _no_base(self) -> Unusable:
        return Unusable(f"{self.url}: this is not the base of a Label Studio, something else answers there. {NO_BASE}")

    def _begin(self, request: httpx.Request) -> None:
        # Here and not before the whole exchange: to get an access token first may take minutes.
        path = request.url.path.removeprefix(self._base_path)
        self.requests.begin(f"{request.method} {NUMBER.sub('', path).removeprefix('/api').strip('/')}")
        if confirm := request.extensions.get("confirm"):
            confirm()

    @property
    def _secrets(self) -> set[str]:
        return self._hidden | self._token.secrets

    def _what(self, method: str, path: str) -> str:
        return f"{self.url}: {method} {path}"

    def _attempt(
        self,
        method: Method,
        path: str,
        params: Mapping[str, Any] | None,
        body: Any,
        read_seconds: float,
        confirm: Callable[[], None] | None,
    ) -> Any:
        content = None if body is None else msgspec.json.encode(body)

        def refresh(path: str, body: dict[str, str]) -> Answer:
            try:
                return self._transport.send("POST", path, None, msgspec.json.encode(body), "", read_seconds, None)
            except (Unavailable, TooLarge) as error:
                raise NotSent(str(error)) from None
            except NotUnderstood as error:
                raise Unusable(str(error)) from None

        def asked(header: str) -> Answer:
            return self._transport.send(method, path, params, content, header, read_seconds, confirm)

        header = self._token.header(refresh)
        answer = asked(header)
        if answer.status == httpx.codes.UNAUTHORIZED and self._token.renewable:
            # Revoked before its time, or the clock of the server has jumped. It has done nothing yet.
            answer = asked(self._token.header(refresh, refused=header))
        return understood(answer, self._what(method, path), self._secrets)
