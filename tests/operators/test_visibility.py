"""What `register_storage` does, so that annotators see what is imported by its URI; and that no import fails for it."""

import json
import secrets
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from servers.label_studio import LabelStudioServer

from labelsync_provider.airflow_compat import AirflowFailException
from labelsync_provider.hooks.label_studio import LabelStudioHook
from labelsync_provider.hooks.local_files import LocalFilesStorageHook
from labelsync_provider.operators.import_storage import ImportStorageSyncOperator
from labelsync_provider.operators.visibility import show_source
from labelsync_provider.projects.label_studio.client import Client
from labelsync_provider.projects.label_studio.tokens import PersonalAccessToken

pytest_plugins = ["servers.label_studio"]

README = Path(__file__).resolve().parents[2] / "README.md"
IMAGE = '<View><Image name="image" value="$image"/></View>'
PICTURE = b"\x89PNG a picture"


class Site:
    """A project of a Label Studio server that serves files, and a directory with a picture that it serves."""

    def __init__(self, server: LabelStudioServer, connect: Callable[..., None]) -> None:
        self.server, self._connect = server, connect
        connect("label_studio_default", conn_type="label_studio", host=server.url, password=server.token)
        self.project = server.create_project(label_config=IMAGE)
        self.path = server.document_root / secrets.token_hex(4)
        self.put(self.path)
        self.serve_from(server.document_root)

    def serve_from(self, document_root: Path) -> None:
        self._connect("fs_default", conn_type="fs", extra={"path": str(document_root)})

    def put(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        (directory / "a.png").write_bytes(PICTURE)

    def ask(self, path: str, **params: Any) -> Any:
        with self.server.client() as client:
            return client.get(path, params=params or None).raise_for_status()

    def storages(self, project: int | None = None) -> list[dict[str, Any]]:
        return self.ask("/api/storages/localfiles/", project=project or self.project).json()

    def load(self, **arguments: Any) -> dict[str, Any]:
        given: dict[str, Any] = {
            "source": f"file://{self.path}",
            "project": self.project,
            "use_blob_urls": True,
        } | arguments
        return ImportStorageSyncOperator(task_id="load", **given).execute({})

    def seen(self, project: int | None = None) -> list[bytes]:
        """Return the pictures of a project as a browser gets them."""
        found = self.ask("/api/tasks/", project=project or self.project, fields="all").json()["tasks"]
        return [self.ask(task["data"]["image"]).content for task in found]


@pytest.fixture
def site(label_studio: LabelStudioServer, connections: Any, connect: Callable) -> Site:
    return Site(label_studio, connect)


def test_the_first_example_of_the_readme_shows_pictures(
    site: Site, run_dag: Callable, caplog: pytest.LogCaptureFixture
) -> None:
    code = README.read_text().split("```python\n", 1)[1].split("```", 1)[0]
    site.put(site.server.document_root / "photos")
    made: dict[str, Any] = {}
    exec(code.replace("/data/", f"{site.server.document_root}/"), made)
    run = run_dag(next(found.dag for found in made.values() if isinstance(found, BaseOperator)))
    assert run.state == "success"
    project = run.get_task_instance("project").xcom_pull(task_ids="project")
    assert site.seen(project) == [PICTURE]
    assert "will not see" not in caplog.text


class TestAuto:
    def test_registers_files_that_are_served_once_and_keeps_them_from_being_synced(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in range(2):
            site.load()
        (there,) = site.storages()
        assert (there["path"], there["synchronizable"]) == (str(site.path), False)
        assert site.seen() == [PICTURE]
        assert "see the objects" not in caplog.text

    def test_deletes_what_a_stopped_run_has_registered_a_second_time(self, site: Site) -> None:
        site.load()
        (first,) = site.storages()
        with site.server.client() as client:
            kept = ("path", "project", "description", "use_blob_urls", "synchronizable", "title")
            late = {name: first[name] for name in kept}
            client.post("/api/storages/localfiles/", json=late).raise_for_status()
        assert len(site.storages()) == 2
        site.load(dry_run=True)
        assert len(site.storages()) == 2, "a dry run changes nothing"
        site.load()
        assert [one["id"] for one in site.storages()] == [first["id"]]

    def test_registers_nothing_in_a_dry_run_and_says_what_it_would(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        site.load(dry_run=True)
        assert site.storages() == []
        assert f"Dry run: file://{site.path} would be registered as a source storage" in caplog.text

    @pytest.mark.parametrize("options", [{"use_blob_urls": False}, {"register_storage": False}], ids=str)
    def test_registers_nothing_for_task_files_or_where_it_is_off(self, site: Site, options: dict[str, Any]) -> None:
        (site.path / "a.json").write_text(json.dumps({"image": "https://example.com/a.png"}))
        site.load(**options)
        assert site.storages() == []

    def test_imports_all_the_same_what_label_studio_does_not_serve(
        self, site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        site.put(tmp_path / "elsewhere")
        site.serve_from(tmp_path)
        assert site.load(source=f"file://{tmp_path}/elsewhere")["tasks_created"] == 1
        assert "Annotators may not see the objects" in caplog.text
        assert "LOCAL_FILES_DOCUMENT_ROOT" in caplog.text

    @pytest.mark.parametrize("status", [400, 403, 404, 500])
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_fails_no_import_whatever_label_studio_answers(
        self,
        method: str,
        status: int,
        connections: Any,
        connect: Callable,
        http_server: Callable,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("labelsync_provider.hooks.trial.TRIAL_SECONDS", 0.1)
        monkeypatch.setattr("labelsync_provider.projects.label_studio.storing.APPEARING_SECONDS", 0.1)
        monkeypatch.setattr("labelsync_provider.projects.label_studio.storing.LOOK_SECONDS", 0.05)

        def answer(asked: Any) -> tuple[int, bytes]:
            if asked.path.startswith("/data/local-files"):
                return 404, b"{}"
            if asked.path.startswith("/api/current-user"):  # it is a Label Studio
                return 200, b'{"id": 1, "email": "ada@example.com"}'
            return (status, b'{"detail": "no"}') if asked.method == method else (200, b"[]")

        connect("label_studio_default", conn_type="label_studio", host=http_server(answer), password="token")
        uri = connections.uri
        own = LabelStudioHook().storages_of(1)
        assert own is not None
        show_source(own, 1, LocalFilesStorageHook(), uri, uri, registers=True, dry_run=False)
        assert f"Annotators may not see the objects of {uri}" in caplog.text
        assert "Create one by hand" in caplog.text

    @pytest.mark.parametrize("sent", [None, "auto"])
    def test_is_what_a_cleared_form_means(self, site: Site, sent: str | None) -> None:
        site.load(register_storage=sent)
        assert len(site.storages()) == 1


def counted(monkeypatch: pytest.MonkeyPatch, *methods: tuple[type, str]) -> Counter[str]:
    """Count calls, which go on to what they call."""
    counts = Counter[str]()

    def counting(kind: type, name: str) -> None:
        call = getattr(kind, name)

        def counting_call(*args: Any, **kwargs: Any) -> Any:
            counts[name] += 1
            return call(*args, **kwargs)

        monkeypatch.setattr(kind, name, counting_call)

    for kind, name in methods:
        counting(kind, name)
    return counts


def test_import_that_creates_a_project_and_registers_a_storage_logs_in_once(
    site: Site, connect: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = site.server.personal_access_token()
    connect("label_studio_default", conn_type="label_studio", host=site.server.url, password=token)
    counts = counted(monkeypatch, (Client, "__init__"), (PersonalAccessToken, "_renew"), (Client, "close"))
    title = f"Signs {secrets.token_hex(4)}"
    report = site.load(project=title, create_if_missing=IMAGE, register_storage=True)
    assert report["tasks_created"] == 1
    assert counts == {"__init__": 1, "_renew": 1, "close": 1}


def test_storages_of_a_project_are_listed_once_in_a_run_that_changes_none(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.load()
    asked, ask = list[str](), Client.ask

    def noting(client: Client, method: Any, path: str, **kwargs: Any) -> Any:
        asked.append(path)
        return ask(client, method, path, **kwargs)

    monkeypatch.setattr(Client, "ask", noting)
    site.load()
    assert [path for path in asked if path.startswith("/api/storages")] == ["/api/storages/"]


def test_true_fails_where_it_cannot_be(site: Site, tmp_path: Path) -> None:
    site.put(tmp_path / "elsewhere")
    site.serve_from(tmp_path)
    with pytest.raises(AirflowFailException, match="does not take it"):
        site.load(source=f"file://{tmp_path}/elsewhere", register_storage=True)


def test_true_says_in_a_dry_run_what_it_would_register(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    site.load(register_storage="1", dry_run=True)
    assert site.storages() == []
    assert "would be registered as a source storage" in caplog.text
