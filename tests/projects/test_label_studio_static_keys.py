"""Keys go to Label Studio only if that is allowed, and by no plain http to another machine."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from labelsync_provider.errors import Invalid
from labelsync_provider.hooks.label_studio import LabelStudioHook
from labelsync_provider.hooks.s3 import S3StorageHook
from labelsync_provider.operators.visibility import register_source, show_source
from labelsync_provider.projects.label_studio.client import Client
from labelsync_provider.projects.label_studio.static_keys import check_handover
from labelsync_provider.projects.label_studio.storage_types.registry import LabelStudioStorage
from labelsync_provider.projects.label_studio.visibility import register

URI = "s3://bucket/photos"
WITH_KEYS = {
    "S3": {"region_name": "eu-west-1", "aws_access_key_id": "AKIA", "aws_secret_access_key": "s3cret"},
    "a session of S3": {"aws_session_token": "s3cret"},
    "GCS": {"google_project_id": "p", "google_application_credentials": "s3cret"},
    "Azure": {"account_name": "a", "account_key": "s3cret"},
    "Redis": {"password": "s3cret"},
}
WITHOUT: list[dict[str, str | None]] = [{}, {"region_name": "eu-west-1"}, {"password": None}, {"account_key": ""}]
HERE = ["http://localhost:8080", "http://127.0.0.1", "http://127.8.9.1:80", "http://[::1]:8080", "http://ls.localhost"]
ELSEWHERE = ["http://label-studio:8080", "http://10.0.0.1", "http://localhost.example.com", "http://[2001:db8::1]"]


@pytest.mark.parametrize("login", WITH_KEYS.values(), ids=list(WITH_KEYS))
def test_keys_are_handed_over_only_if_that_is_allowed(login: dict[str, str | None]) -> None:
    said = (
        r"allow_static_keys=False: .*https://labels.example.com.*s3://bucket/photos.*allow_static_keys=True.*only read"
    )
    with pytest.raises(Invalid, match=said) as raised:
        check_handover(URI, login, "https://labels.example.com", allowed=False)
    assert "s3cret" not in str(raised.value)
    check_handover(URI, login, "https://labels.example.com", allowed=True)


@pytest.mark.parametrize("login", WITHOUT, ids=str)
@pytest.mark.parametrize("server", [*ELSEWHERE, *HERE])
def test_what_holds_no_keys_needs_no_leave(server: str, login: dict[str, str | None]) -> None:
    check_handover(URI, login, server, allowed=False)


@pytest.mark.parametrize("server", ELSEWHERE)
def test_by_plain_http_no_keys_leave_this_machine(server: str) -> None:
    with pytest.raises(Invalid, match=r"host='http://.*plain http.*Use https://"):
        check_handover(URI, WITH_KEYS["S3"], server, allowed=True)


@pytest.mark.parametrize("server", HERE)
def test_to_this_machine_plain_http_will_do(server: str) -> None:
    check_handover(URI, WITH_KEYS["S3"], server, allowed=True)


class Recording:
    """A Label Studio that lists the source storages given, and takes down what else it is asked."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self.rows, self.changes = rows, list[str]()

    def __call__(self, asked: Any) -> tuple[int, bytes]:
        if asked.method == "GET":
            return 200, json.dumps(self.rows).encode()
        self.changes.append(asked.method)
        return 400, b"{}"


def test_nothing_is_sent_that_may_not_be(http_server: Callable[..., str]) -> None:
    server = Recording()
    client = Client(http_server(server), "token")
    with pytest.raises(Invalid, match="allow_static_keys=False"):
        register(client, 1, LabelStudioStorage("s3", {"bucket": "bucket", "prefix": ""}, WITH_KEYS["S3"]))
    assert server.changes == []


def test_storage_that_a_person_made_needs_no_keys(http_server: Callable[..., str]) -> None:
    client = Client(http_server(Recording({"id": 1, "bucket": "bucket", "prefix": "", "description": "ours"})), "token")
    wanted = LabelStudioStorage("s3", {"bucket": "bucket", "prefix": ""}, WITH_KEYS["S3"])
    assert register(client, 1, wanted) is None


@pytest.fixture
def asked(connect: Callable[..., None], http_server: Callable[..., str]) -> Recording:
    server = Recording()
    connect("label_studio_default", conn_type="label_studio", host=http_server(server), password="token")
    connect("aws_default", conn_type="aws", login="AKIA", password="s3cret", extra={"region_name": "eu-west-1"})
    return server


@pytest.mark.parametrize("dry_run", [False, True])
def test_register_storage_needs_leave_in_a_dry_run_too(asked: Recording, dry_run: bool) -> None:
    how: dict[str, Any] = {"presign": True, "presign_ttl": 15, "allow_static_keys": False, "dry_run": dry_run}
    own = LabelStudioHook().storages_of(1)
    assert own is not None
    with pytest.raises(Invalid, match="allow_static_keys=False"):
        register_source(own, 1, S3StorageHook(), URI, **how)
    assert asked.changes == []


def test_auto_hands_nothing_over_and_never_fails_for_it(asked: Recording, caplog: pytest.LogCaptureFixture) -> None:
    own = LabelStudioHook().storages_of(1)
    assert own is not None
    show_source(own, 1, S3StorageHook(), URI, URI, registers=True, dry_run=False)
    assert "Annotators will not see the objects of s3://bucket/photos" in caplog.text
    assert asked.changes == []
