"""What a client of a Label Studio server sends, how long it waits, what it repeats, and how it explains an answer."""

import asyncio
import gzip
import json
import logging
import re
import ssl
import threading
import time
import traceback
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from servers.label_studio import LabelStudioServer as Server
from servers.process import HOST
from servers.redis import write_certificate
from servers.thread import serving

from labelsync_provider.errors import (
    Denied,
    Invalid,
    LabelsyncError,
    LeaseLost,
    NotFound,
    RequestFailed,
    Unavailable,
    Unusable,
)
from labelsync_provider.projects.label_studio.answers import NotSent, Refused
from labelsync_provider.projects.label_studio.client import Client

pytest_plugins = ["servers.label_studio"]

LEGACY = "0123456789abcdef0123456789abcdef01234567"
WHOAMI = "/api/current-user/whoami"
REFRESH = "/api/token/refresh/"
FINE = (200, b"{}")
THREADS = 8


def jwt(kind: str | None = "access", life: float = 300, **claims: Any) -> str:
    """A JSON Web Token whose signature nobody has checked."""
    now = time.time()
    said = {"token_type": kind, "iat": now, "exp": now + life, **claims}
    parts = [{"alg": "HS256", "typ": "JWT"}, {name: value for name, value in said.items() if value is not None}]
    return ".".join([urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts] + ["c2ln"])


PERSONAL = jwt("refresh", 10**9, jti="personal")


class Log(list):
    """The requests that came to a server, which answers each with the next of its answers, and then with the last."""

    def __init__(self, *answers: tuple[Any, ...]) -> None:
        super().__init__()
        self.answers = list(answers or [FINE])

    def __call__(self, asked: Any) -> tuple[Any, ...]:
        self.append(asked)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class PersonalTokens(Log):
    """A server that takes access tokens, and counts those that it gave."""

    def __init__(self, life: float = 300, refuses: Callable[[str], bool] = lambda access: False) -> None:
        super().__init__()
        self.life, self.refuses = life, refuses
        self.given: list[str] = []

    def __call__(self, asked: Any) -> tuple[Any, ...]:
        super().__call__(asked)
        if asked.path.endswith(REFRESH):
            assert json.loads(asked.body) == {"refresh": PERSONAL}
            assert "Authorization" not in asked.headers
            self.given.append(jwt(life=self.life, jti=f"{len(self.given)}"))
            return 200, json.dumps({"access": self.given[-1]}).encode()
        access = asked.headers["Authorization"].removeprefix("Bearer ")
        if access not in self.given or self.refuses(access):
            return 401, b'{"detail": "Given token not valid for any token type", "code": "token_not_valid"}'
        return FINE

    @property
    def done(self) -> list[Any]:
        return [asked for asked in self if not asked.path.endswith(REFRESH)]


@contextmanager
def opened(url: str, token: str = LEGACY, **options: Any) -> Iterator[Client]:
    client = Client(url, token, **{"retry_seconds": 0.0, **options})
    yield client
    client.close()


class TestToken:
    def test_of_the_legacy_kind_is_shown_as_it_is(self, http_server: Callable[..., str]) -> None:
        log = Log()
        with opened(http_server(log)) as client:
            client.get(WHOAMI)
            client.post("/api/projects/", {})
        assert [asked.headers["Authorization"] for asked in log] == [f"Token {LEGACY}"] * 2

    def test_of_the_personal_kind_is_shown_only_for_access_tokens(self, http_server: Callable[..., str]) -> None:
        server = PersonalTokens()
        with opened(http_server(server), PERSONAL) as client:
            client.get(WHOAMI)
            client.post("/api/projects/", {})
        assert [asked.path for asked in server] == [REFRESH, WHOAMI, "/api/projects/"]
        assert [asked.headers["Authorization"] for asked in server.done] == [f"Bearer {server.given[0]}"] * 2

    @pytest.mark.parametrize(
        "token",
        ["a.b.c", "no.jwt", f"{PERSONAL}.x", "e30.IiI.x", "~!$"],
        ids=["no base64", "two parts", "four parts", "no object", "no letters"],
    )
    def test_that_is_no_jwt_is_taken_for_a_legacy_one(self, http_server: Callable[..., str], token: str) -> None:
        log = Log()
        with opened(http_server(log), token) as client:
            client.get(WHOAMI)
        assert log[0].headers["Authorization"] == f"Token {token}"

    def test_of_the_legacy_kind_works(self, any_label_studio: Server) -> None:
        with opened(any_label_studio.url, any_label_studio.token) as client:
            assert client.get(WHOAMI)["email"] == any_label_studio.email

    def test_of_the_personal_kind_works(self, any_label_studio: Server) -> None:
        with opened(any_label_studio.url, any_label_studio.personal_access_token()) as client:
            assert client.get(WHOAMI)["email"] == any_label_studio.email

    def test_that_gives_access_only_is_invalid_as_it_ends_in_minutes(self, label_studio: Server) -> None:
        with label_studio.client() as browser:
            answer = browser.post(REFRESH, json={"refresh": label_studio.personal_access_token()})
            access = answer.raise_for_status().json()["access"]
        with pytest.raises(
            Invalid, match=r"token='\*\*\*': it is an 'access' token.*Use a personal access token"
        ) as it:
            Client(label_studio.url, access)
        assert access not in str(it.value)

    @pytest.mark.parametrize("token", ["", " ", "two words", "line\n", "ä", "tab\t", "\0"], ids=repr)
    def test_that_is_none_is_invalid(self, token: str) -> None:
        with pytest.raises(Invalid, match=r"token='\*\*\*': it is empty, or no token"):
            Client("http://127.0.0.1:1", token)

    @pytest.mark.parametrize("token", ["0" * 40, jwt("refresh", 10**9)], ids=["legacy", "personal"])
    def test_that_the_server_does_not_know_is_unusable(self, label_studio: Server, token: str) -> None:
        with (
            opened(label_studio.url, token) as client,
            pytest.raises(Unusable, match=r"401, .*Put a token that is valid there into the connection"),
        ):
            client.get(WHOAMI)

    def test_of_the_legacy_kind_where_these_are_switched_off_is_told_so(self, label_studio: Server) -> None:
        with opened(label_studio.url, label_studio.personal_access_token()) as admin:
            switches = admin.get("/api/jwt/settings")
            admin.post("/api/jwt/settings", {**switches, "legacy_api_tokens_enabled": False})
            try:
                with (
                    opened(label_studio.url, label_studio.token) as client,
                    pytest.raises(Unusable, match=r"401.*Legacy tokens are switched off there. Use a personal access"),
                ):
                    client.get(WHOAMI)
            finally:
                admin.post("/api/jwt/settings", {**switches, "legacy_api_tokens_enabled": True})


class TestAccessToken:
    def test_is_renewed_before_its_end(self, http_server: Callable[..., str]) -> None:
        server = PersonalTokens(life=1)
        with opened(http_server(server), PERSONAL) as client:
            client.get(WHOAMI)
            client.get(WHOAMI)
            assert len(server.given) == 1
            time.sleep(0.9)
            client.get(WHOAMI)
        assert len(server.given) == 2
        assert [asked.headers["Authorization"] for asked in server.done][-1] == f"Bearer {server.given[1]}"

    def test_of_a_server_with_another_clock_lasts_as_long(self, http_server: Callable[..., str]) -> None:
        server = PersonalTokens()
        early = time.time() - 10**6

        def answer(asked: Any) -> tuple[Any, ...]:
            if asked.path == REFRESH:
                server.given.append(jwt(iat=early, exp=early + 300))
                return 200, json.dumps({"access": server.given[-1]}).encode()
            return FINE

        with opened(http_server(answer), PERSONAL) as client:
            client.get(WHOAMI)
            client.get(WHOAMI)
        assert len(server.given) == 1

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_that_is_refused_is_renewed_once(self, http_server: Callable[..., str], method: Any) -> None:
        server = PersonalTokens(refuses=lambda access: access == server.given[0])
        with opened(http_server(server), PERSONAL) as client:
            assert client.ask(method, WHOAMI, body=[1] if method == "POST" else None) == {}
        assert len(server.given) == len(server.done) == 2
        assert {asked.body for asked in server.done} == {b"[1]" if method == "POST" else b""}

    def test_that_is_refused_again_is_unusable(self, http_server: Callable[..., str]) -> None:
        server = PersonalTokens(refuses=lambda access: True)
        with (
            opened(http_server(server), PERSONAL, retry_seconds=60) as client,
            pytest.raises(Unusable, match="Given token not valid"),
        ):
            client.get(WHOAMI)
        assert len(server.given) == len(server.done) == 2

    def test_that_is_not_given_is_unusable_with_the_servers_words(self, http_server: Callable[..., str]) -> None:
        log = Log((401, b'{"detail": "Token is blacklisted", "code": "token_not_valid"}'))
        with (
            opened(http_server(log), PERSONAL, retry_seconds=60) as client,
            pytest.raises(Unusable, match=r"Token is blacklisted.*Put a token that is valid"),
        ):
            client.get(WHOAMI)
        assert [asked.path for asked in log] == [REFRESH]

    @pytest.mark.parametrize(
        "answer", [b"{}", b"[]", b"", b'{"access": 1}', b'{"access": "none"}', b"<html>"], ids=repr
    )
    def test_that_is_none_is_unusable(self, http_server: Callable[..., str], answer: bytes) -> None:
        with opened(http_server(Log((200, answer))), PERSONAL) as client, pytest.raises(Unusable, match=REFRESH):
            client.get(WHOAMI)

    def test_is_asked_for_again_while_the_server_cannot_give_one(self, http_server: Callable[..., str]) -> None:
        """Nothing was done yet, so that even a POST begins anew."""
        server, failures = PersonalTokens(), Log((503, b""), (502, b"<title>Bad Gateway</title>"), FINE)

        def answer(asked: Any) -> tuple[Any, ...]:
            failure = failures(asked)
            return failure if failure != FINE else server(asked)

        with opened(http_server(answer), PERSONAL, retry_seconds=30) as client:
            client.post("/api/projects/", {})
        assert [asked.path for asked in server] == [REFRESH, "/api/projects/"]

    def test_is_shared_by_threads(self, http_server: Callable[..., str]) -> None:
        server = PersonalTokens()
        with opened(http_server(server), PERSONAL) as client, ThreadPoolExecutor(8) as pool:
            client.get(WHOAMI)
            list(pool.map(lambda _: client.get(WHOAMI), range(40)))
        assert len(server.given) == 1

    @pytest.mark.parametrize("revoked", [False, True], ids=["at first", "once it is refused"])
    def test_is_renewed_by_one_of_many_threads_that_need_it_at_once(
        self, http_server: Callable[..., str], revoked: bool
    ) -> None:
        together = threading.Barrier(THREADS)
        server = PersonalTokens(refuses=lambda access: revoked and access == server.given[0])

        def answer(asked: Any) -> tuple[Any, ...]:
            if asked.path == REFRESH:
                time.sleep(0.1)  # so that the others come meanwhile
            elif revoked and asked.headers["Authorization"] == f"Bearer {server.given[0]}":
                together.wait(10)  # all of them show it before one is refused
            return server(asked)

        with opened(http_server(answer), PERSONAL) as client, ThreadPoolExecutor(THREADS) as pool:
            assert list(pool.map(lambda _: client.get(WHOAMI), range(THREADS))) == [{}] * THREADS
        assert len(server.given) == 1 + revoked


class TestUrl:
    @pytest.fixture
    def proxied(self, label_studio: Server, http_server: Callable[..., str]) -> str:
        """Label Studio below a path, as behind a reverse proxy."""

        def answer(asked: Any) -> tuple[Any, ...]:
            inside = asked.path.removeprefix("/deep/label-studio")
            if inside == asked.path:
                return 404, b"not here"
            headers = {name: asked.headers[name] for name in ("Authorization", "Content-Type") if name in asked.headers}
            with httpx.Client(base_url=label_studio.url, trust_env=False) as browser:
                there = browser.request(asked.method, inside, headers=headers, content=asked.body)
            return there.status_code, there.content

        return f"{http_server(answer)}/deep/label-studio"

    @pytest.mark.parametrize("end", ["", "/"])
    def test_with_a_path_works(self, label_studio: Server, proxied: str, end: str) -> None:
        with opened(proxied + end, label_studio.token) as client:
            assert client.get(WHOAMI)["email"] == label_studio.email
            assert client.url == proxied

    def test_with_a_path_gives_access_tokens(self, label_studio: Server, proxied: str) -> None:
        with opened(proxied, label_studio.personal_access_token()) as client:
            assert client.get(WHOAMI)["email"] == label_studio.email

    def test_with_a_path_imports(self, label_studio: Server, proxied: str) -> None:
        project = label_studio.create_project()
        with opened(proxied, label_studio.token) as client:
            answer = client.post(f"/api/projects/{project}/import", [{"data": {"text": "x"}}], return_task_ids="true")
            assert len(answer["task_ids"]) == 1

    @pytest.mark.parametrize(
        "url",
        ["http://", "http://host:port", "http://host:99999999", "ftp://host", "host", "http://host/?a=1", "http://a#b"],
    )
    def test_that_is_none_is_invalid(self, url: str) -> None:
        with pytest.raises(Invalid, match=r"host='.*'.*base URL"):
            Client(url, LEGACY)

    def test_with_a_login_is_invalid_and_not_shown(self) -> None:
        with pytest.raises(Invalid, match=r"host='\*\*\*': it holds a login") as raised:
            Client("https://ann:secret@host", LEGACY)
        assert "secret" not in str(raised.value)


class TestTls:
    @pytest.fixture
    def ca_file(self, tmp_path: Path) -> Path:
        return write_certificate(tmp_path)[0]

    @pytest.fixture
    def url(self, http_server: Callable[..., str], ca_file: Path) -> str:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(ca_file, ca_file.with_name("key.pem"))
        return http_server(Log(), tls=context)

    def test_with_an_unknown_certificate_is_unusable_and_names_the_remedy(self, url: str) -> None:
        with (
            opened(url, retry_seconds=60) as client,
            pytest.raises(Unusable, match=r"certificate is not trusted.*Name its CA file in the connection"),
        ):
            client.get(WHOAMI)

    def test_with_its_ca_file_is_fine(self, url: str, ca_file: Path) -> None:
        with opened(url, verify=ssl.create_default_context(cafile=str(ca_file))) as client:
            assert client.get(WHOAMI) == {}

    def test_with_another_name_than_the_certificates_is_unusable(self, url: str, ca_file: Path) -> None:
        context = ssl.create_default_context(cafile=str(ca_file))
        with (
            opened(url.replace("127.0.0.1", "127.0.0.2"), verify=context) as client,
            pytest.raises((Unusable, NotSent)) as raised,
        ):
            client.get(WHOAMI)
        assert "127.0.0.2" in str(raised.value)

    def test_where_none_is_spoken_cannot_be_reached(self, http_server: Callable[..., str]) -> None:
        url = http_server(Log()).replace("http://", "https://")
        with opened(url) as client, pytest.raises(NotSent, match=f"{url} cannot be reached"):
            client.get(WHOAMI)


class TestRedirect:
    @pytest.mark.parametrize("method", ["GET", "POST"])
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_is_not_followed_and_named(self, http_server: Callable[..., str], status: int, method: Any) -> None:
        elsewhere = Log()
        location = f"{http_server(elsewhere)}/login"
        with (
            opened(http_server(Log((status, b"", {"Location": location})))) as client,
            pytest.raises(Unusable, match=rf"redirects to '{location}', where the token is not sent. Correct the Ser"),
        ):
            client.ask(method, WHOAMI)
        assert elsewhere == []

    def test_of_a_personal_access_token_is_not_followed(self, http_server: Callable[..., str]) -> None:
        elsewhere = Log()
        with (
            opened(http_server(Log((307, b"", {"Location": http_server(elsewhere)}))), PERSONAL) as client,
            pytest.raises(Unusable, match="redirects to"),
        ):
            client.get(WHOAMI)
        assert elsewhere == []


class TestSilence:
    @pytest.fixture
    def silent(self) -> Iterator[tuple[str, list[int]]]:
        """A server that never answers, and the connections it got."""
        connections: list[int] = []

        async def handle(*_: Any) -> None:
            connections.append(1)
            await asyncio.sleep(3600)

        with serving(handle) as port:
            yield f"http://{HOST}:{port}", connections

    def test_of_a_server_that_got_a_post_is_unavailable_in_time_and_not_broken_by_another(self, silent: Any) -> None:
        url, connections = silent
        started = time.monotonic()
        with opened(url, read_seconds=0.3, retry_seconds=60) as client, pytest.raises(Unavailable) as raised:
            client.post("/api/projects/", {})
        assert 0.3 <= time.monotonic() - started < 5
        assert "POST /api/projects/: no answer within 0.3 s" in str(raised.value)
        assert not isinstance(raised.value, NotSent)
        assert len(connections) == 1

    def test_of_a_server_that_got_a_get_is_broken_by_others_for_a_bounded_time(self, silent: Any) -> None:
        url, connections = silent
        started = time.monotonic()
        with (
            opened(url, read_seconds=0.1, retry_seconds=0.5) as client,
            pytest.raises(Unavailable, match=r"no answer within 0.1 s\. Tried for"),
        ):
            client.get(WHOAMI)
        assert time.monotonic() - started < 5
        assert len(connections) >= 2

    def test_may_last_longer_for_one_request(self, http_server: Callable[..., str]) -> None:
        def answer(_: Any) -> tuple[Any, ...]:
            time.sleep(0.3)
            return FINE

        with opened(http_server(answer), read_seconds=0.1) as client:
            assert client.post("/", read_seconds=10) == {}

    def test_at_the_token_is_unavailable_in_time(self, silent: Any) -> None:
        url, _ = silent
        with opened(url, PERSONAL, read_seconds=0.2) as client, pytest.raises(Unavailable, match="no answer within"):
            client.post("/api/projects/", {})


@contextmanager
def hanging_up(after: bytes = b"") -> Iterator[tuple[str, list[int]]]:
    """A server that reads requests, and closes the connection instead of an answer, or in the middle of it."""
    requests: list[int] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        requests.append(1)
        writer.write(after)
        await writer.drain()

    with serving(handle) as port:
        yield f"http://{HOST}:{port}", requests


class TestPost:
    @pytest.mark.parametrize("status", [500, 502, 503, 504])
    def test_that_got_through_is_not_repeated_whatever_the_server_says(
        self, http_server: Callable[..., str], status: int
    ) -> None:
        log = Log((status, b"<title>Sorry</title>"))
        with (
            opened(http_server(log), retry_seconds=60) as client,
            pytest.raises(Unavailable, match=f"{status}, a page titled 'Sorry'") as raised,
        ):
            client.post("/api/projects/", {})
        assert not isinstance(raised.value, NotSent | RequestFailed)
        assert len(log) == 1

    def test_that_failed_by_label_studios_own_words_is_not_repeated(self, http_server: Callable[..., str]) -> None:
        log = Log((500, b'{"id": "x", "status_code": 500, "detail": "database is locked"}'))
        with (
            opened(http_server(log), retry_seconds=60) as client,
            pytest.raises(RequestFailed, match="500, database is locked"),
        ):
            client.post("/api/projects/", {})
        assert len(log) == 1

    @pytest.mark.parametrize(
        "after", [b"", b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{"], ids=["no", "half"]
    )
    def test_with_an_answer_that_breaks_off_is_not_repeated(self, after: bytes) -> None:
        with (
            hanging_up(after) as (url, requests),
            opened(url, retry_seconds=60) as client,
            pytest.raises(Unavailable, match="the connection broke") as raised,
        ):
            client.post("/api/projects/", {})
        assert not isinstance(raised.value, NotSent)
        assert len(requests) == 1

    @pytest.mark.parametrize(
        "answer",
        [
            (200, b"<html><title>Log in</title></html>"),
            (201, b"not JSON"),
            (200, b""),
            (204, b""),
            (200, b"[]"),
            (200, b"{}", {"Content-Encoding": "br"}),
            (200, b'"' + b"a" * 2000 + b'"'),
            (400, b"a" * 2000),
        ],
        ids=["page", "text", "nothing", "204", "another shape", "another encoding", "too long", "too long a refusal"],
    )
    @pytest.mark.parametrize("token", [LEGACY, PERSONAL], ids=["legacy", "personal"])
    def test_that_is_answered_as_by_no_label_studio_is_not_certain_and_not_repeated(
        self, http_server: Callable[..., str], monkeypatch: pytest.MonkeyPatch, token: str, answer: tuple[Any, ...]
    ) -> None:
        monkeypatch.setattr("labelsync_provider.projects.label_studio.answers.ANSWER_BYTES", 1000)
        tokens, asked = PersonalTokens(), Log(answer)
        url = http_server(lambda one: tokens(one) if one.path == REFRESH else asked(one))
        with (
            opened(url, token, retry_seconds=60) as client,
            pytest.raises(Unavailable, match="It is not certain whether it was done") as raised,
        ):
            client.post("/api/projects/", {}, dict[str, Any])
        assert not isinstance(raised.value, NotSent)
        assert len(asked) == 1

    def test_whose_token_is_answered_by_a_page_was_not_sent(self, http_server: Callable[..., str]) -> None:
        log = Log((200, b"<title>Log in</title>"))
        with opened(http_server(log), PERSONAL) as client, pytest.raises(Unusable, match="page titled 'Log in'"):
            client.post("/api/projects/", {})
        assert [asked.path for asked in log] == [REFRESH]

    def test_is_repeated_while_the_connection_is_refused_and_gets_there_once(self) -> None:
        got: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                got.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer((HOST, 0), Handler, bind_and_activate=False)
        # The port is taken, but nobody listens.
        server.server_bind()

        def begin() -> None:
            time.sleep(0.5)
            server.server_activate()
            server.serve_forever(poll_interval=0.01)

        thread = threading.Thread(target=begin)
        thread.start()
        try:
            with opened(f"http://{HOST}:{server.server_port}", retry_seconds=30) as client:
                assert client.post("/api/projects/", {}) == {}
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
        assert got == ["/api/projects/"]

    @pytest.mark.parametrize("status", [408, 425, 429])
    def test_that_was_sent_back_unread_is_repeated(self, http_server: Callable[..., str], status: int) -> None:
        log = Log((status, b'{"detail": "Not now."}'), FINE)
        with opened(http_server(log), retry_seconds=30) as client:
            assert client.post("/api/projects/", {}) == {}
        assert len(log) == 2

    def test_is_given_up_after_a_bounded_time_of_refused_connections(self) -> None:
        started = time.monotonic()
        with (
            opened("http://127.0.0.1:1", retry_seconds=0.5) as client,
            pytest.raises(NotSent, match=r"http://127.0.0.1:1 cannot be reached.*Tried for"),
        ):
            client.post("/api/projects/", {})
        assert time.monotonic() - started < 10


class TestRepeatable:
    @pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
    def test_is_asked_again_until_the_server_answers(self, http_server: Callable[..., str], method: Any) -> None:
        log = Log((502, b""), (500, b'{"status_code": 500}'), (429, b""), FINE)
        with opened(http_server(log), retry_seconds=30) as client:
            assert client.ask(method, "/api/tasks/1/") == {}
        assert [asked.method for asked in log] == [method] * 4

    def test_is_asked_again_after_an_answer_that_broke_off(self) -> None:
        with (
            hanging_up() as (url, requests),
            opened(url, retry_seconds=0.5) as client,
            pytest.raises(Unavailable, match="the connection broke"),
        ):
            client.get(WHOAMI)
        assert len(requests) >= 2


class TestConfirm:
    """What is called right before a request is sent, each time that it is."""

    @pytest.mark.parametrize("method", ["PATCH", "DELETE"])
    def test_is_called_before_each_repetition(self, http_server: Callable[..., str], method: Any) -> None:
        log, seen = Log((502, b""), (500, b'{"status_code": 500}'), (429, b""), FINE), []
        with opened(http_server(log), retry_seconds=30) as client:
            client.ask(method, "/api/tasks/1/", confirm=lambda: seen.append(len(log)))
        assert seen == [0, 1, 2, 3]

    def test_is_called_after_the_access_token_has_come(self, http_server: Callable[..., str]) -> None:
        server, seen = PersonalTokens(refuses=lambda access: access == server.given[0]), []
        with opened(http_server(server), PERSONAL) as client:
            client.ask("POST", "/api/projects/", body={}, confirm=lambda: seen.append([a.path for a in server]))
        assert seen == [[REFRESH], [REFRESH, "/api/projects/", REFRESH]]

    def test_that_raises_keeps_the_request_from_being_sent(self, http_server: Callable[..., str]) -> None:
        log = Log()

        def confirm() -> None:
            raise LeaseLost("another run has taken over")

        with opened(http_server(log), retry_seconds=30) as client:
            for method in ("POST", "PATCH"):
                with pytest.raises(LeaseLost, match="another run"):
                    client.ask(method, "/api/tasks/1/", confirm=confirm)
            client.get(WHOAMI)
        assert [asked.method for asked in log] == ["GET"]


class TestAnswer:
    def test_that_is_empty_is_none(self, http_server: Callable[..., str]) -> None:
        with opened(http_server(Log((204, b"")))) as client:
            assert client.ask("DELETE", "/api/tasks/1/") is None

    @pytest.mark.parametrize("length", [0, 5, -9])
    def test_that_is_packed_and_cut_is_unavailable_before_its_first_byte_too(
        self, http_server: Callable[..., str], length: int
    ) -> None:
        packed = gzip.compress(b"{}" * 100)[: length or None] if length else b""
        log = Log((200, packed, {"Content-Encoding": "gzip"}))
        with opened(http_server(log)) as client, pytest.raises(Unavailable, match="the answer breaks off"):
            client.get("/api/tasks/1/")

    def test_of_a_gateway_names_its_title(self, http_server: Callable[..., str]) -> None:
        page = b"<html><head><TITLE>\n 502 Bad Gateway </title></head><body><center>nginx</center></body></html>"
        with (
            opened(http_server(Log((502, page)))) as client,
            pytest.raises(Unavailable, match=r"GET /api/version: 502, a page titled '502 Bad Gateway'\."),
        ):
            client.get("/api/version")

    def test_that_is_no_page_is_shown_by_its_beginning(self, http_server: Callable[..., str]) -> None:
        with opened(http_server(Log((503, b"overload " * 50)))) as client, pytest.raises(Unavailable) as raised:
            client.get(WHOAMI)
        assert "503, 'overload overload" in str(raised.value)
        assert len(str(raised.value)) < 300

    def test_that_is_empty_is_shown_by_its_status(self, http_server: Callable[..., str]) -> None:
        with opened(http_server(Log((503, b"")))) as client, pytest.raises(Unavailable, match="503, "):
            client.get(WHOAMI)

    @pytest.mark.parametrize(
        "path", ["/api/tasks/999999999/", "/api/tasks/999999999", "/api/storages/export/s3/999999999", "/api/nothing"]
    )
    def test_of_what_is_not_there_is_not_found_whether_page_or_json(self, label_studio: Server, path: str) -> None:
        with (
            opened(label_studio.url, label_studio.token) as client,
            pytest.raises(NotFound, match=f"GET {path}: there is no such thing, or the user of this token may not"),
        ):
            client.get(path)

    def test_of_what_the_user_may_not_is_denied(self, http_server: Callable[..., str]) -> None:
        said = b'{"detail": "You do not have permission to perform this action."}'
        with (
            opened(http_server(Log((403, said)))) as client,
            pytest.raises(Denied, match=r"403, You do not have permission to perform this action\. The user of this"),
        ):
            client.get(WHOAMI)

    def test_to_what_the_server_does_not_take_carries_its_reasons(self, label_studio: Server) -> None:
        with opened(label_studio.url, label_studio.token) as client, pytest.raises(Refused) as raised:
            client.post("/api/projects/", {"title": "ab"})
        assert raised.value.reasons == {"title": ["Ensure this field has at least 3 characters."]}
        assert "at least 3 characters" in str(raised.value)

    def test_that_is_a_page_where_json_was_expected_is_unusable(self, http_server: Callable[..., str]) -> None:
        with (
            opened(http_server(Log((200, b"<title>Welcome to nginx!</title>")))) as client,
            pytest.raises(Unusable, match=r"the answer is a page titled 'Welcome to nginx!', and not Label Studio's"),
        ):
            client.get(WHOAMI)


class TestVersion:
    def test_is_the_servers(self, label_studio: Server) -> None:
        with opened(label_studio.url, label_studio.token) as client:
            assert re.fullmatch(r"\d+\.\d+\.\d+", client.version())

    @pytest.mark.parametrize(
        "answer",
        [(404, b"<title>404</title>"), (200, b"[]"), (200, b"{}"), (200, b""), (403, b""), (400, b"")],
        ids=str,
    )
    def test_of_another_kind_of_server_is_unusable(
        self, http_server: Callable[..., str], answer: tuple[Any, ...]
    ) -> None:
        url = http_server(Log(answer))
        with (
            opened(url) as client,
            pytest.raises(Unusable, match=f"{url}: this is not the base of a Label Studio, something else"),
        ):
            client.version()


class TestSecrets:
    @pytest.fixture(autouse=True)
    def log_everything(self, caplog: pytest.LogCaptureFixture) -> None:
        # The hook silences the last two.
        for name in (None, "httpx", "httpcore"):
            caplog.set_level(logging.DEBUG, name)

    ANSWERS = (
        (200, b"<html>"),
        (302, b"", {"Location": "http://elsewhere"}),
        (400, b'{"detail": "bad"}'),
        (401, b'{"detail": "Invalid token."}'),
        (403, b""),
        (404, b""),
        (429, b""),
        (500, b'{"status_code": 500}'),
        (502, b""),
    )

    @pytest.mark.parametrize("token", [LEGACY, PERSONAL], ids=["legacy", "personal"])
    @pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: str(answer[0]))
    def test_are_in_no_error_and_no_log(
        self, http_server: Callable[..., str], caplog: pytest.LogCaptureFixture, token: str, answer: tuple[Any, ...]
    ) -> None:
        server = PersonalTokens()
        url = http_server(lambda asked: server(asked) if asked.path.endswith(REFRESH) else answer)
        assert_silent_about(url, token, server.given, caplog)

    @pytest.mark.parametrize("token", [LEGACY, PERSONAL], ids=["legacy", "personal"])
    def test_are_in_no_error_and_no_log_of_a_server_that_cannot_be_reached(
        self, caplog: pytest.LogCaptureFixture, token: str
    ) -> None:
        assert_silent_about("http://127.0.0.1:1", token, [], caplog)
        with hanging_up() as (url, _):
            assert_silent_about(url, token, [], caplog)

    def test_are_in_no_error_and_no_log_of_a_silent_server(self, caplog: pytest.LogCaptureFixture) -> None:

        async def handle(*_: Any) -> None:
            await asyncio.sleep(3600)

        with serving(handle) as port:
            assert_silent_about(f"http://{HOST}:{port}", PERSONAL, [], caplog)

    def test_are_in_no_log_of_what_goes_well(self, label_studio: Server, caplog: pytest.LogCaptureFixture) -> None:
        for token in (label_studio.token, label_studio.personal_access_token()):
            caplog.clear()
            with opened(label_studio.url, token) as client:
                client.get(WHOAMI)
            assert "HTTP Request: GET" in caplog.text
            assert token not in caplog.text
            assert "Bearer" not in caplog.text


def assert_silent_about(url: str, token: str, given: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """Let a request fail; look for the token, and for those given for it, in all that is said of it."""
    with opened(url, token, read_seconds=0.2, retry_seconds=0.2) as client, pytest.raises(LabelsyncError) as raised:
        client.post("/api/projects/", {})
    chain: list[BaseException] = []
    left: list[BaseException | None] = [raised.value]
    while left:
        error = left.pop()
        if error is not None and error not in chain:
            chain.append(error)
            left += [error.__cause__, error.__context__]
    said = [f"{error} {error!r} {error.args} {vars(error)}" for error in chain]
    said += ["".join(traceback.format_exception(error, chain=True)) for error in chain]
    said += [caplog.text, *(f"{record.msg} {record.args}" for record in caplog.records)]
    for secret in (token, *given):
        assert not any(secret in text for text in said)
    assert not any("Authorization" in text or "Bearer" in text for text in said)
