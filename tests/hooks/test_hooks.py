"""Connections become storages and projects, and say so when tested."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Connection

from labelsync_provider.errors import Denied, Invalid, NotFound
from labelsync_provider.hooks.label_studio import LabelStudioHook
from labelsync_provider.hooks.local_files import LocalFilesStorageHook
from labelsync_provider.hooks.storage import storage_hook


class TestLocalFiles:
    def test_document_root_is_the_path_of_the_connection(self, connections: Any) -> None:
        assert LocalFilesStorageHook().document_root() == str(connections.root)

    def test_source_is_walked_recursively_unless_told_otherwise(self, connections: Any) -> None:
        connections.put("a", "1")
        connections.put("sub/b", "1")

        def keys(recursive_scan: bool | None) -> list[str]:
            storage = LocalFilesStorageHook().get_source(connections.uri, recursive_scan)
            return [info.key for page in storage.list() for info in page]

        assert keys(None) == keys(True) == ["a", "sub/b"]
        assert keys(False) == ["a"]

    def test_source_must_be_there(self, connections: Any) -> None:
        with pytest.raises(NotFound, match=r"there is no directory .*nowhere. Create it, or correct"):
            LocalFilesStorageHook().get_source(f"{connections.uri}/nowhere")

    def test_source_that_is_a_file_is_no_directory(self, connections: Any) -> None:
        connections.put("a", "1")
        with pytest.raises((NotFound, Invalid), match=r"a.*director"):
            LocalFilesStorageHook().get_source(f"{connections.uri}/a")

    def test_target_need_not_be_there(self, connections: Any) -> None:
        LocalFilesStorageHook().get_target(f"{connections.uri}/new").write("a", b"1")
        assert (connections.path / "new" / "a").read_bytes() == b"1"

    @pytest.mark.parametrize("open_storage", ["get_source", "get_target"])
    def test_outside_the_document_root_is_denied(self, connections: Any, tmp_path: Path, open_storage: str) -> None:
        with pytest.raises(Denied, match="outside the document root"):
            getattr(LocalFilesStorageHook(), open_storage)(f"file://{tmp_path}")

    def test_test_of_the_connection_lists_the_document_root(self, connections: Any) -> None:
        assert LocalFilesStorageHook().test_connection() == (
            True,
            f"file://{connections.root} can be listed, and is empty.",
        )
        (connections.root / "a.json").write_text("1")
        assert LocalFilesStorageHook().test_connection() == (
            True,
            f"file://{connections.root} can be listed, and begins with 'a.json'; can be read.",
        )

    def test_test_of_the_connection_of_a_path_with_odd_characters(self, connect: Any, tmp_path: Path) -> None:
        root = tmp_path / "50% #1?"
        root.mkdir()
        connect("fs_default", conn_type="fs", extra={"path": str(root)})
        assert LocalFilesStorageHook().test_connection() == (True, f"file://{root} can be listed, and is empty.")

    @pytest.mark.parametrize(
        ("extra", "message"),
        [
            ({}, "no Path, the document root.*Create one of type 'File"),
            ({"path": ""}, "no Path"),
            ({"path": "relative"}, "relative"),
            ({"path": "/nowhere/at/all"}, "there is no directory"),
        ],
    )
    def test_test_of_the_connection_says_what_is_wrong(self, connect: Any, extra: dict, message: str) -> None:
        connect("fs_default", conn_type="fs", extra=extra)
        ok, said = LocalFilesStorageHook().test_connection()
        assert not ok
        assert re.search(message, said), said

    def test_another_connection_has_another_document_root(self, connections: Any, connect: Any, tmp_path: Path) -> None:
        connect("fs_other", conn_type="fs", extra={"path": str(tmp_path)})
        assert LocalFilesStorageHook("fs_other").document_root() == str(tmp_path)


class TestLabelStudio:
    def test_embedded_store_holds_projects_in_the_database(self, connections: Any, database: Path) -> None:
        created = LabelStudioHook().create_project("Pets", "<View/>")
        assert LabelStudioHook().get_project("Pets").id == created.id
        assert database.exists()

    def test_database_is_in_the_airflow_home_by_default(
        self, connections: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("AIRFLOW__LABELSYNC__DATABASE")
        ok, said = LabelStudioHook().test_connection()
        assert ok
        assert f"sqlite:///{os.environ['AIRFLOW_HOME']}/labelsync.db" in said

    def test_test_of_the_connection_says_where_projects_live(self, connections: Any, database: Path) -> None:
        assert LabelStudioHook().test_connection() == (
            True,
            f"Projects live in the embedded store, in sqlite:///{database}.",
        )

    def test_test_of_the_connection_hides_the_databases_password(
        self, connections: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW__LABELSYNC__DATABASE", "postgresql+psycopg://ann:secret@127.0.0.1:1/x")
        ok, said = LabelStudioHook().test_connection()
        assert not ok
        assert "postgresql+psycopg://***@127.0.0.1" in said
        assert "secret" not in said

    @pytest.mark.parametrize("host", ["", "embedded:///other", "label-studio:8080"])
    def test_host_that_is_no_store_is_invalid(self, connections: Any, connect: Any, host: str) -> None:
        connect("label_studio_default", conn_type="label_studio", host=host)
        with pytest.raises(Invalid, match=r"host=.*'label_studio_default' names no store.*or to embedded "):
            LabelStudioHook().get_project("Pets")

    def test_host_embedded_works_from_a_connection_uri(self, connections: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        for host in ("embedded", "embedded%3A%2F%2F"):
            monkeypatch.setenv("AIRFLOW_CONN_LABEL_STUDIO_DEFAULT", f"label-studio://{host}")
            assert LabelStudioHook().test_connection()[0]

    def test_host_that_airflow_has_emptied_says_what_to_write(
        self, connections: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        uri = Connection(conn_id="x", conn_type="label_studio", host="embedded://").get_uri()
        monkeypatch.setenv("AIRFLOW_CONN_LABEL_STUDIO_DEFAULT", uri)
        ok, said = LabelStudioHook().test_connection()
        assert not ok
        assert "or to embedded to keep projects in the embedded store; embedded:// is emptied" in said

    def test_no_connection_names_both_choices_and_makes_no_database(self, connections: Any, database: Path) -> None:
        database.unlink()
        with pytest.raises(
            NotFound,
            match=r"no Airflow connection 'nowhere'.*http\(s\)://.* or embedded for the embedded store.*Nothing is",
        ):
            LabelStudioHook("nowhere").create_project("Pets", "<View/>")
        assert not database.exists()

    def test_test_of_no_connection_makes_no_database(self, connections: Any, database: Path) -> None:
        database.unlink()
        ok, said = LabelStudioHook("nowhere").test_connection()
        assert not ok
        assert "embedded for the embedded store" in said
        assert not database.exists()


@pytest.mark.parametrize(
    "url",
    [
        "mysql://ann:secret@db/x",
        "no url",
        "postgresql+nosuchdriver://ann:secret@db/x",
        "sqlite:////nowhere/at/all/x.db",
        "postgresql+psycopg://ann:secret@127.0.0.1:1/x",
    ],
)
def test_database_that_cannot_be_opened_is_named_without_its_password(
    connections: Any, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("AIRFLOW__LABELSYNC__DATABASE", url)
    ok, said = LabelStudioHook().test_connection()
    assert not ok
    assert "[labelsync] database" in said
    assert "secret" not in said


class TestStorageHook:
    def test_is_chosen_by_the_scheme(self) -> None:
        hook = storage_hook("source", "file:///data", None)
        assert isinstance(hook, LocalFilesStorageHook)
        assert hook.fs_conn_id == "fs_default"

    def test_takes_the_connection_given(self) -> None:
        assert storage_hook("source", "file:///data", "mine").fs_conn_id == "mine"  # type: ignore[attr-defined]

    @pytest.mark.parametrize(
        ("uri", "said"),
        [
            ("ftp://host/x", "unknown scheme"),
            ("s4://bucket", "unknown scheme"),
            ("data", "neither a storage URI nor a path that begins with /"),
            ("", "it names no storage"),
        ],
    )
    def test_of_what_is_no_storage_uri_names_the_known_schemes(self, uri: str, said: str) -> None:
        with pytest.raises(Invalid, match=rf"source=.*{said}.* one of azure-blob://, file://"):
            storage_hook("source", uri, None)
