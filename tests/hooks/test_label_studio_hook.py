"""A connection to a Label Studio server: what its fields mean, and what is said when it is tested."""

import asyncio
import json
import logging
import re
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers.label_studio import LABEL_CONFIG
from servers.label_studio import LabelStudioServer as Server
from servers.process import HOST, free_port
from servers.redis import write_certificate
from servers.thread import serving

from labelsync_provider.errors import Invalid, NotFound, Unusable
from labelsync_provider.hooks import label_studio as hook_module
from labelsync_provider.hooks.label_studio import LabelStudioHook
from labelsync_provider.projects.label_studio.client import READ_SECONDS, Client
from labelsync_provider.projects.label_studio.server import LabelStudioServer

pytest_plugins = ["servers.label_studio"]

TOKEN = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook_module, "TRIAL_SECONDS", 0.2)


@pytest.fixture
def connect_label_studio(connect: Callable[..., None]) -> Callable[..., None]:
    """Make a server the default connection's."""

    def connect_label_studio(host: str, password: str | None = TOKEN, **extra: Any) -> None:
        connect("label_studio_default", conn_type="label_studio", host=host, password=password, extra=extra)

    return connect_label_studio


@pytest.fixture
def legacy_switched_off(label_studio: Server) -> Iterator[None]:
    admin = Client(label_studio.url, label_studio.personal_access_token())
    switches = admin.get("/api/jwt/settings")
    admin.post("/api/jwt/settings", {**switches, "legacy_api_tokens_enabled": False})
    yield
    admin.post("/api/jwt/settings", {**switches, "legacy_api_tokens_enabled": True})
    admin.close()


def fake_label_studio(asked: Any) -> tuple[int, bytes]:
    """What a server answers to the two questions of a test."""
    return 200, b'{"release": "1.23.2"}' if asked.path == "/api/version" else b'{"email": "ann@example.com"}'


def trial() -> tuple[bool, str]:
    ok, said = LabelStudioHook().test_connection()
    assert TOKEN not in said
    return ok, said


class TestTestOfTheConnection:
    @pytest.mark.parametrize("token", ["legacy", "personal"])
    def test_says_version_and_user(self, label_studio: Server, connect_label_studio: Any, token: str) -> None:
        personal = token == "personal"
        connect_label_studio(label_studio.url, label_studio.personal_access_token() if personal else label_studio.token)
        ok, said = trial()
        assert ok
        expected = rf"Label Studio [\d.]+ at {label_studio.url}; the token is that of {label_studio.email}\."
        assert re.fullmatch(expected, said)

    def test_says_that_nobody_answers(self, connect_label_studio: Any) -> None:
        url = f"http://{HOST}:{free_port()}"
        connect_label_studio(url)
        ok, said = trial()
        assert not ok
        assert said.startswith(f"{url} cannot be reached: ")

    def test_says_that_a_name_is_unknown(self, connect_label_studio: Any) -> None:
        connect_label_studio("http://label-studio.invalid")
        ok, said = trial()
        assert not ok
        assert said.startswith("http://label-studio.invalid cannot be reached: ")

    def test_says_that_a_server_is_silent_after_the_read_timeout(self, connect_label_studio: Any) -> None:
        async def handle(*_: Any) -> None:
            await asyncio.sleep(3600)

        with serving(handle) as port:
            connect_label_studio(f"http://{HOST}:{port}", read_timeout=0.2)
            started = time.monotonic()
            ok, said = trial()
        assert not ok
        assert "no answer within 0.2 s" in said
        assert time.monotonic() - started < 5

    @pytest.mark.parametrize(
        "answer",
        [(404, b"<title>Not Found</title>"), (200, b"<title>Welcome to nginx!</title>"), (200, b'{"version": 1}')],
        ids=str,
    )
    def test_says_that_what_answers_is_no_label_studio(
        self, http_server: Callable[..., str], connect_label_studio: Any, answer: tuple[Any, ...]
    ) -> None:
        url = http_server(lambda _: answer)
        connect_label_studio(url)
        ok, said = trial()
        assert not ok
        assert said.startswith(url)
        assert re.search("not the base of a Label Studio|'Welcome to nginx!', and not Label Studio's", said)

    @pytest.mark.parametrize("project", [7, "7", "Pets"])
    @pytest.mark.parametrize(
        "answer",
        [
            (404, b"<title>Not Found</title>"),
            (404, b'{"detail": "Not Found"}'),
            (200, b"{}"),
            (200, b'{"count": 0, "results": []}'),  # another tool lists projects in this shape, and has none
        ],
    )
    def test_another_server_is_not_told_as_one_without_the_project(
        self, http_server: Callable[..., str], connect_label_studio: Any, answer: tuple[Any, ...], project: int | str
    ) -> None:
        # A Label Studio below its base tells its version, and nothing else.
        url = http_server(lambda asked: (200, b'{"release": "1.23.2"}') if asked.path == "/api/version" else answer)
        connect_label_studio(url)
        with pytest.raises(Unusable, match=f"{url}.* Set the Server URL of the connection to where the pages"):
            LabelStudioHook().get_project(project)

    def test_says_that_it_is_elsewhere(self, http_server: Callable[..., str], connect_label_studio: Any) -> None:
        url = http_server(lambda _: (301, b"", {"Location": "https://label-studio.example.com/api/version"}))
        connect_label_studio(url)
        ok, said = trial()
        assert not ok
        assert "redirects to 'https://label-studio.example.com/api/version', where the token is not sent" in said

    def test_says_that_the_token_is_refused(self, label_studio: Server, connect_label_studio: Any) -> None:
        connect_label_studio(label_studio.url)
        ok, said = trial()
        assert not ok
        assert re.search(r"401, Invalid token\. Put a token that is valid there into the connection", said), said

    def test_says_that_legacy_tokens_are_switched_off(
        self, label_studio: Server, legacy_switched_off: None, connect_label_studio: Any
    ) -> None:
        connect_label_studio(label_studio.url, label_studio.token)
        ok, said = trial()
        assert not ok
        assert "Legacy tokens are switched off there. Use a personal access token, or switch them on" in said

    def test_is_fine_with_a_personal_access_token_where_legacy_tokens_are_switched_off(
        self, label_studio: Server, legacy_switched_off: None, connect_label_studio: Any
    ) -> None:
        connect_label_studio(label_studio.url, label_studio.personal_access_token())
        assert trial()[0]

    @pytest.mark.parametrize("password", [None, ""])
    def test_says_that_there_is_no_token(self, connect_label_studio: Any, password: str | None) -> None:
        connect_label_studio("http://label-studio:8080", password)
        ok, said = trial()
        assert not ok
        assert "password='': this connection has no token" in said
        assert "legacy token or a personal access token" in said

    def test_says_that_a_token_is_none(self, connect_label_studio: Any) -> None:
        connect_label_studio("http://label-studio:8080", "two words")
        ok, said = trial()
        assert not ok
        assert "token='***': it is empty, or no token" in said
        assert "two words" not in said

    @pytest.mark.parametrize("host", ["http://", "http://host:port", "https://host/?x=1"])
    def test_says_that_a_host_is_no_base_url(self, connect_label_studio: Any, host: str) -> None:
        connect_label_studio(host)
        ok, said = trial()
        assert not ok
        assert said.startswith("host='http")
        assert "http(s)://host[:port][/path]" in said

    @pytest.mark.parametrize("password", [None, TOKEN])
    def test_hides_a_login_in_the_host(self, connect_label_studio: Any, password: str | None) -> None:
        connect_label_studio("http://ann:s3cret@label-studio", password)
        ok, said = trial()
        assert not ok
        assert "s3cret" not in said

    @pytest.mark.parametrize("host", ["", "label-studio:8080", "ftp://label-studio", "embedded:"])
    def test_says_that_a_host_is_no_store(self, connect_label_studio: Any, host: str) -> None:
        connect_label_studio(host)
        ok, said = trial()
        assert not ok
        assert f"host={host!r}: this connection names no store" in said
        assert "http(s)://" in said
        assert "or to embedded " in said

    def test_of_the_embedded_store_says_where_it_is(self, connections: Any, database: Path) -> None:
        assert trial() == (True, f"Projects live in the embedded store, in sqlite:///{database}.")


class TestCaFile:
    @pytest.fixture
    def ca_file(self, tmp_path: Path) -> Path:
        return write_certificate(tmp_path)[0]

    @pytest.fixture
    def url(self, http_server: Callable[..., str], ca_file: Path) -> str:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(ca_file, ca_file.with_name("key.pem"))
        return http_server(fake_label_studio, tls=context)

    def test_that_is_missing_for_an_unknown_certificate_is_asked_for(self, url: str, connect_label_studio: Any) -> None:
        connect_label_studio(url)
        ok, said = trial()
        assert not ok
        assert "its certificate is not trusted" in said
        assert "Name its CA file in the connection" in said

    def test_makes_an_unknown_certificate_known(self, url: str, ca_file: Path, connect_label_studio: Any) -> None:
        connect_label_studio(url, ca_file=str(ca_file))
        assert trial() == (True, f"Label Studio 1.23.2 at {url}; the token is that of ann@example.com.")

    def test_of_another_authority_is_of_no_use(self, url: str, tmp_path: Path, connect_label_studio: Any) -> None:
        (tmp_path / "other").mkdir()
        connect_label_studio(url, ca_file=str(write_certificate(tmp_path / "other")[0]))
        ok, said = trial()
        assert not ok
        assert "its certificate is not trusted" in said

    def test_that_is_not_there_is_invalid(self, connect_label_studio: Any) -> None:
        connect_label_studio("https://label-studio", ca_file="/nowhere/ca.pem")
        ok, said = trial()
        assert not ok
        assert "ca_file='/nowhere/ca.pem': this connection: it is no file that can be read here" in said
        assert "Name a file of certificates in PEM" in said

    @pytest.mark.parametrize("content", ["", "no certificate"])
    def test_that_holds_none_is_invalid(self, connect_label_studio: Any, tmp_path: Path, content: str) -> None:
        path = tmp_path / "ca.pem"
        path.write_text(content)
        connect_label_studio("https://label-studio", ca_file=str(path))
        ok, said = trial()
        assert not ok
        assert f"ca_file={str(path)!r}: this connection" in said
        assert "Name a file of certificates in PEM" in said


class TestReadTimeout:
    @pytest.mark.parametrize("value", [-1, "soon", [1], -0.5], ids=str)
    def test_that_is_no_length_of_time_is_invalid(self, connect_label_studio: Any, value: object) -> None:
        connect_label_studio("http://label-studio", read_timeout=value)
        ok, said = trial()
        assert not ok
        assert said.startswith(f"read_timeout={value!r}: this connection: it is no length of time")

    @pytest.mark.parametrize(("extra", "seconds"), [({}, READ_SECONDS), ({"read_timeout": None}, READ_SECONDS)])
    def test_that_is_not_set_is_the_default(self, connect_label_studio: Any, extra: dict, seconds: float) -> None:
        connect_label_studio("http://label-studio", **extra)
        store = LabelStudioHook().open_store()
        assert isinstance(store, LabelStudioServer)
        assert store.client.read_seconds == seconds


@pytest.mark.parametrize(
    ("extra", "known_as"),
    [
        ({}, "http://labels"),
        ({"server": None}, "http://labels"),
        ({"server": ""}, "http://labels"),
        ({"server": "http://old:8080/"}, "http://old:8080"),
        ({"server": "Etiketten 2"}, "Etiketten 2"),
    ],
)
def test_a_server_is_known_by_its_url_or_by_a_name(connect_label_studio: Any, extra: dict, known_as: str) -> None:
    connect_label_studio("http://labels/", **extra)
    store = LabelStudioHook().open_store()
    assert isinstance(store, LabelStudioServer)
    assert (store.uri, store.client.url) == (known_as, "http://labels")


class TestProjects:
    def test_are_created_and_found_on_the_server(self, any_label_studio: Server, connect_label_studio: Any) -> None:
        connect_label_studio(any_label_studio.url + "/", any_label_studio.token)
        title = f"Pets {time.time_ns()}"
        created = LabelStudioHook().create_project(title, LABEL_CONFIG)
        found = [LabelStudioHook().get_project(name) for name in (title, created.id, str(created.id))]
        assert {project.uri for project in found} == {f"{any_label_studio.url}/projects/{created.id}"}

    def test_that_are_not_there_are_not_found(self, label_studio: Server, connect_label_studio: Any) -> None:
        connect_label_studio(label_studio.url, label_studio.token)
        with pytest.raises(NotFound, match=r"project='no such project'.*CreateProjectOperator"):
            LabelStudioHook().get_project("no such project")

    def test_are_not_looked_for_with_a_token_that_is_refused(
        self, label_studio: Server, connect_label_studio: Any
    ) -> None:
        connect_label_studio(label_studio.url)
        with pytest.raises(Unusable, match="401"):
            LabelStudioHook().get_project(1)

    def test_of_no_store_are_invalid(self, connect_label_studio: Any) -> None:
        connect_label_studio("label-studio:8080")
        with pytest.raises(Invalid, match="names no store"):
            LabelStudioHook().get_project(1)

    def test_are_not_logged_request_by_request(
        self, http_server: Callable[..., str], connect_label_studio: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        project = {"id": 1, "title": "Pets", "label_config": "<View/>", "created_at": "2026-01-02T03:04:05Z"}
        connect_label_studio(http_server(lambda _: (200, json.dumps(project).encode())))
        assert LabelStudioHook().get_project(1).title == "Pets"
        assert "HTTP" not in caplog.text


def test_projects_of_the_embedded_store_have_no_storages_of_their_own(connections: Any) -> None:
    assert LabelStudioHook().storages_of(1) is None
