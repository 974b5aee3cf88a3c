"""The HTTP API of a Label Studio server: tokens, time-outs, repetition, and what an answer means.

Source of what is said about the API: label-studio 1.23.2 and https://api.labelstud.io.
"""

import binascii
import re
import threading
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Generator, Mapping
from contextlib import nullcontext
from ssl import SSLContext
from typing import Any, Literal

import httpx
import msgspec

from labelsync_provider.errors import Denied, Invalid, NotFound, RequestFailed, Unavailable, Unusable, invalid
from labelsync_provider.retry import RETRY_SECONDS, Requests, call_with_retries

CONNECT_SECONDS = 10.0
READ_SECONDS = 120.0

REPEATABLE = frozenset({"GET", "PUT", "PATCH", "DELETE"})
"""To ask these twice has the effect of asking once. A POST that is repeated imports twice."""

MOMENTARY = frozenset({httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_EARLY, httpx.codes.TOO_MANY_REQUESTS})
"""The answers of a server that has not read a request, and may take it another time."""

USED_UP = 0.8
"""An access token is renewed when so much of its life is over; it lives for 300 seconds."""

REFRESH = "/api/token/refresh/"
WHOAMI = "/api/current-user/whoami"
NO_BASE = (
    "Set the Server URL of the connection to where the pages of Label Studio begin: https://labels.example.com, or "
    "https://example.com/label-studio if it is served below a path; without /api or whatever else follows."
)
NUMBER = re.compile(r"/\d+(?=/|$)")
"""Of a project, task or storage, in a path: requests are counted without."""
EXPLANATION = 300
"""So many characters of a server's explanation are shown."""

Method = Literal["GET", "POST", "PATCH", "DELETE"]


class NotSent(Unavailable):
    """The request did not get to the server, or was sent back unread: it may be repeated, whatever it asks."""


class Refused(Invalid):
    """The server does not take what was sent, and has done nothing."""

    def __init__(self, message: str, reasons: Any = None) -> None:
        """Keep the server's reasons.

        :param reasons: its `validation_errors`.
        """
        super().__init__(message)
        self.reasons = reasons


class Conflict(Refused):
    """What was to be created is there already."""


class Client:
    """Asks one server. Threads may share it."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        verify: SSLContext | bool = True,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        """Prepare to ask; nothing is sent yet.

        :param url: the base URL, with or without a path.
        :param token: a legacy token or a personal access token; which of them is told by looking at it.
        :param connect_seconds: so long a connection may take.
        :param read_seconds: so long the server may be silent.
        :param retry_seconds: so long a request that may be repeated is.
        :raises Invalid: the token is of neither kind, or the URL is none.
        """
        self.url = _checked(url).rstrip("/")
        self._base_path = httpx.URL(self.url).path.rstrip("/")
        self._connect_seconds, self._read_seconds, self._retry_seconds = connect_seconds, read_seconds, retry_seconds
        self._http = httpx.Client(
            base_url=self.url,
            auth=_auth(token, self.url),
            verify=verify,
            timeout=httpx.Timeout(read_seconds, connect=connect_seconds),
            headers={"Accept": "application/json"},
            # With a redirect the token would go along; where to, the answer decides.
            follow_redirects=False,
            event_hooks={"request": [self._begin]},
        )
        self.requests = Requests()
        self._known = False
        """Whether it has turned out to be a Label Studio."""

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str, **params: Any) -> Any:
        """Return what is there; see `ask` for the errors."""
        return self.ask("GET", path, params=params)

    def post(self, path: str, body: Any = None, *, read_seconds: float | None = None, **params: Any) -> Any:
        """Have something done, at most once; see `ask` for the errors."""
        return self.ask("POST", path, params=params, body=body, read_seconds=read_seconds)

    def ask(
        self,
        method: Method,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        read_seconds: float | None = None,
        confirm: Callable[[], None] | None = None,
    ) -> Any:
        """Return the decoded answer; None if it is empty.

        A POST is repeated only as long as it certainly did not get through.

        :param confirm: called right before the request is sent, each time that it is; what it raises ends this.
        :raises NotFound: there is no such thing.
        :raises Denied: the token's user may not.
        :raises Refused: the server does not take what was sent; nothing was done.
        :raises Unusable: no Label Studio answers there, or it does not take the token.
        :raises Unavailable: of a POST, it is not certain whether it was done, unless it is `NotSent`.
        """
        passing = Unavailable if method in REPEATABLE else NotSent

        def attempt() -> Any:
            return self._attempt(method, path, params, body, read_seconds or self._read_seconds, confirm)

        try:
            return call_with_retries(attempt, nullcontext, self._retry_seconds, passing, self.requests.stop)
        except NotFound:
            # Another server says so too, and so does Label Studio below its base, of everything.
            if path == WHOAMI:
                raise self._no_base() from None
            if not self._known:
                self.whoami()
            raise

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

    def whoami(self) -> dict[str, Any]:
        """Return the user of the token.

        :raises Unusable: the URL is not the base of a Label Studio; `version` need not tell, a Label Studio says it
            below its base too.
        """
        user = self.get(WHOAMI)
        if not isinstance(user, dict):
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
        what = f"{self.url}: {method} {path}"
        try:
            response = self._http.request(
                method,
                path,
                params=params,
                content=content,
                headers={"Content-Type": "application/json"} if content else None,
                timeout=httpx.Timeout(read_seconds, connect=self._connect_seconds),
                extensions={"confirm": confirm},
            )
        # Without the cause: it holds the request, and that the token.
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            if "certificate" in str(error).lower():
                raise Unusable(
                    f"{self.url}: its certificate is not trusted: {error}. Name its CA file in the connection."
                ) from None
            raise NotSent(f"{self.url} cannot be reached: {error or 'the connection took too long'}.") from None
        except httpx.TimeoutException:
            raise Unavailable(f"{what}: no answer within {read_seconds:g} s.") from None
        except httpx.HTTPError as error:
            raise Unavailable(f"{what}: the connection broke: {error}.") from None
        return _understood(response, what)


def _checked(url: str) -> str:
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
    no_port = not 0 < (parsed.port or 80) < 2**16
    if parsed.scheme not in ("http", "https") or not parsed.host or no_port or parsed.query or parsed.fragment:
        raise invalid("host", url, "this is no base URL", remedy)
    return url


def _understood(response: httpx.Response, what: str) -> Any:
    """Return the decoded content of an answer, or raise what it says."""
    status = response.status_code
    value, is_json = _decoded(response)
    if response.is_success:
        if not is_json:
            raise Unusable(f"{what}: the answer is {_said(response, value)}, and not Label Studio's. {NO_BASE}")
        return value
    said = f"{what}: {status}, {_said(response, value)}"
    if response.is_redirect:
        raise Unusable(
            f"{what}: redirects to {response.headers.get('Location', 'nowhere')!r}, where the token is not sent. "
            "Correct the Server URL of the connection."
        )
    if status == httpx.codes.UNAUTHORIZED:
        raise Unusable(f"{said}. {_remedy(value)}")
    if status == httpx.codes.FORBIDDEN:
        raise Denied(f"{said}. The user of this token may not do that.")
    if status == httpx.codes.NOT_FOUND:
        raise NotFound(f"{what}: there is no such thing, or the user of this token may not see it.")
    if status in MOMENTARY:
        raise NotSent(f"{said}.")
    if response.is_client_error:
        refusal = Conflict if status == httpx.codes.CONFLICT else Refused
        raise refusal(f"{said}.", value.get("validation_errors") if isinstance(value, dict) else None)
    by_label_studio = isinstance(value, dict) and "status_code" in value
    raise (RequestFailed if by_label_studio else Unavailable)(f"{said}.")


def _decoded(response: httpx.Response) -> tuple[Any, bool]:
    if not response.content:
        return None, True
    try:
        return msgspec.json.decode(response.content), True
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None, False


def _said(response: httpx.Response, value: Any) -> str:
    """Return what an answer says to a person: the detail of Label Studio's errors, the title of a page."""
    if isinstance(value, dict):
        said = "; ".join(
            str(part) for part in (value.get("detail") or value.get("message"), value.get("validation_errors")) if part
        )
    elif value is not None:
        said = str(value)
    else:
        title = re.search(r"<title>(.*?)</title>", response.text, re.DOTALL | re.IGNORECASE)
        said = f"a page titled {title.group(1).strip()!r}" if title else f"{response.text.strip()[:100]!r}"
    said = said or response.reason_phrase
    return said.rstrip(".") if len(said) <= EXPLANATION else said[:EXPLANATION] + "..."


def _remedy(value: Any) -> str:
    detail = str(value.get("detail", "")).lower() if isinstance(value, dict) else ""
    if "legacy" in detail:
        return (
            "Legacy tokens are switched off there. Use a personal access token, or switch them on: Organization, "
            "API Tokens Settings."
        )
    return "Put a token that is valid there into the connection: Account & Settings of its user shows it."


# --- tokens ---


def _auth(token: str, url: str) -> httpx.Auth:
    """Tell the two kinds apart: a personal access token is a JWT that says "refresh".

    Source: https://labelstud.io/guide/access_tokens
    """
    claims = _claims(token)
    if claims is None:
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise invalid("token", "***", "it is empty, or no token", "Set the connection's password to a token.")
        return _LegacyToken(token)
    if claims.get("token_type") != "refresh":
        remedy = "Use a personal access token, or the legacy token, from Account & Settings."
        raise invalid("token", "***", f"it is an {claims.get('token_type')!r} token, which ends in minutes", remedy)
    return _PersonalAccessToken(token, url)


def _claims(token: str) -> dict[str, Any] | None:
    """Return what a JWT says, unverified; None if it is none."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = msgspec.json.decode(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return None
    return claims if isinstance(claims, dict) else None


class _LegacyToken(httpx.Auth):
    def __init__(self, token: str) -> None:
        self._header = f"Token {token}"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = self._header
        yield request


class _PersonalAccessToken(httpx.Auth):
    """Sends the access tokens that a personal access token gives: one after the other, each for minutes."""

    requires_response_body = True

    def __init__(self, token: str, url: str) -> None:
        self._token, self._url = token, url
        self._lock = threading.Lock()
        self._access = ""
        self._renew_at = 0.0

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        access = self._access
        if time.monotonic() >= self._renew_at:
            access = self._taken((yield self._asking(request)))
        request.headers["Authorization"] = f"Bearer {access}"
        response = yield request
        if response.status_code == httpx.codes.UNAUTHORIZED:
            # Revoked before its time, or the clock of the server has jumped. It has done nothing yet.
            request.headers["Authorization"] = f"Bearer {self._taken((yield self._asking(request)))}"
            yield request

    def _asking(self, request: httpx.Request) -> httpx.Request:
        url, body = self._url + REFRESH, {"refresh": self._token}
        # Without the time-outs of what is to be asked, it would be waited for without end.
        return httpx.Request("POST", url, json=body, extensions={"timeout": request.extensions["timeout"]})

    def _taken(self, response: httpx.Response) -> str:
        what = f"{self._url}: POST {REFRESH}"
        if response.is_server_error:
            value, _ = _decoded(response)
            raise NotSent(f"{what}: {response.status_code}, {_said(response, value)}.")
        answer = _understood(response, what)
        access = answer.get("access") if isinstance(answer, dict) else None
        claims = _claims(access) if isinstance(access, str) else None
        if claims is None:
            raise Unusable(f"{what}: the answer holds no access token. Is there a Label Studio at {self._url}?")
        life = claims.get("exp", 0) - claims.get("iat", claims.get("exp", 0))
        with self._lock:
            self._access, self._renew_at = str(access), time.monotonic() + USED_UP * life
        return self._access
