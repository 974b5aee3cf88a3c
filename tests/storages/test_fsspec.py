"""What fsspec opens, beyond the contract: SFTP against a real server, and file systems that tell too little."""

import os
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from airflow.sdk import Connection
from fsspec.implementations.memory import MemoryFileSystem
from servers.process import HOST
from servers.sftp import SFTPServer
from servers.webdav import WebDAVServer, running_webdav
from webdav4.client import BadGatewayError, ClientError, ForbiddenOperation, HTTPError, InsufficientStorage

from labelsync_provider.errors import Denied, Invalid, NotFound, Stopped, Unavailable, Unusable
from labelsync_provider.hooks.fsspec import HuggingFaceStorageHook, SFTPStorageHook, WebDAVStorageHook
from labelsync_provider.hooks.sftp_keys import host_key
from labelsync_provider.hooks.storage import storage_hook
from labelsync_provider.hooks.trial import TRIAL_SECONDS
from labelsync_provider.storages.fsspec import CLOCK_SECONDS, Filesystem, FsspecStorage
from labelsync_provider.storages.fsspec_errors import explaining
from labelsync_provider.storages.protocol import ObjectInfo

pytest_plugins = ["servers.sftp", "servers.webdav"]


@pytest.fixture
def folder(sftp_server: SFTPServer, connect_sftp: Callable[..., None], tmp_path: Path) -> Path:
    """A directory of the server's, which is a test's own."""
    connect_sftp(sftp_server)
    folder = sftp_server.root / tmp_path.name
    folder.mkdir()
    return folder


def source(folder: Path) -> FsspecStorage:
    return SFTPStorageHook().get_source(f"sftp:///{folder.name}")


def problems(storage: FsspecStorage) -> dict[str, str | None]:
    return {info.key: info.problem for page in storage.list() for info in page}


class TestSFTP:
    def test_a_link_is_named_and_not_followed(self, folder: Path) -> None:
        (folder / "a").mkdir()
        (folder / "a/b.json").write_text("1")
        (folder / "a/round").symlink_to(folder)
        (folder / "out").symlink_to("/etc")
        (folder / "passwd").symlink_to("/etc/passwd")
        storage = source(folder)
        found = problems(storage)
        assert list(found) == ["a/b.json", "a/round", "out", "passwd"]
        assert found.pop("a/b.json") is None
        assert all("symbolic link" in str(problem) for problem in found.values())
        assert [storage.covers(key) for key in ("a/c.json", "a/round/a/b.json", "out/passwd")] == [True, False, False]

    def test_a_name_that_is_not_utf8_is_named(self, folder: Path) -> None:
        (folder / os.fsdecode(b"\xff.json")).write_text("1")
        (folder / "a.json").write_text("1")
        found = problems(source(folder))
        assert found.pop("a.json") is None
        assert ["surrogate" in str(problem) for problem in found.values()] == [True]

    def test_a_directory_that_may_not_be_read_is_named(self, folder: Path, unprivileged: Callable[[], Any]) -> None:
        (folder / "closed").mkdir()
        (folder / "closed").chmod(0)
        (folder / "a.json").write_text("1")
        storage = source(folder)
        with unprivileged():
            found = problems(storage)
        (folder / "closed").chmod(0o755)
        assert found["a.json"] is None
        assert "cannot be read" in str(found["closed"])
        assert not storage.covers("closed/b.json")

    def test_of_a_directory_with_too_many_entries_says_which(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("labelsync_provider.storages.fsspec_listing.MOST_ENTRIES", 3)
        (folder / "many").mkdir()
        for n in range(4):
            (folder / f"many/{n}").write_text("1")
        storage = SFTPStorageHook()._open("source", f"sftp:///{folder.name}", None, 0)
        with pytest.raises(Unavailable, match=rf"{folder.name}/many/: this directory has 4 entries.* Up to 3 "):
            problems(storage)

    def test_an_upload_that_breaks_off_leaves_no_half_a_file(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        storage = SFTPStorageHook()._open("target", f"sftp:///{folder.name}", None, 0)

        def broken(fs: Any, path: str, content: bytes) -> None:
            with fs.open(path, "wb") as file:
                file.write(content[:1])
            raise ConnectionResetError

        with monkeypatch.context() as patch:
            patch.setattr("labelsync_provider.storages.fsspec._write", broken)
            with pytest.raises(Unavailable):
                storage.write("a.json", b"content")
        assert len(list(folder.iterdir())) == 1
        assert problems(storage) == {}
        storage.write("a.json", b"content")
        assert [path.name for path in folder.iterdir()] == ["a.json"]

    def test_another_content_in_the_same_second_is_another_version(self, folder: Path) -> None:
        storage = source(folder)
        time.sleep(1 - time.time() % 1)
        assert storage.write("a", b"1") != storage.write("a", b"2")

    def test_a_connection_that_breaks_off_is_made_anew(self, folder: Path) -> None:
        storage = source(folder)
        storage.write("a", b"1")
        storage._connection.client.abort()
        assert storage.read("a") == b"1"

    def test_a_server_that_is_not_known_is_refused_before_the_password_is_sent(
        self, folder: Path, connect_sftp: Callable[..., None], sftp_server: SFTPServer
    ) -> None:
        connect_sftp(sftp_server, extra={})
        with pytest.raises(Unusable, match=r"Host key is not trusted.*Set host_key"):
            source(folder)
        connect_sftp(sftp_server, extra={"host_key": KEY})
        with pytest.raises(Unusable, match=r"Host key is not trusted.*\. The server shows another key than host_key"):
            source(folder)
        connect_sftp(sftp_server, extra={"no_host_key_check": True})
        assert problems(source(folder)) == {}

    def test_of_a_directory_that_is_not_there_says_so(self, folder: Path) -> None:
        (folder / "a.json").write_text("1")
        for name, what in (("missing", "there is no such directory"), ("a.json", "that is no directory")):
            with pytest.raises(NotFound, match=f"sftp:///{folder.name}/{name} on .*: {what}"):
                SFTPStorageHook().get_source(f"sftp:///{folder.name}/{name}")

    def test_of_a_target_that_is_a_file_says_so(self, folder: Path) -> None:
        (folder / "a.json").write_text("1")
        with pytest.raises(Invalid, match=r"/a.json on .*: that is no directory"):
            list(SFTPStorageHook().get_target(f"sftp:///{folder.name}/a.json").list())

    def test_connection_of_a_directory_that_is_not_there_is_fine_for_a_target_only(self, folder: Path) -> None:
        ok, said = SFTPStorageHook().test_connection(f"sftp:///{folder.name}/new")
        assert (ok, "there is no such directory" in said) == (False, True)
        assert SFTPStorageHook().test_connection(f"sftp:///{folder.name}/new", target=True)[0]

    def test_connection_says_what_works(self, folder: Path) -> None:
        told = SFTPStorageHook().test_connection(f"sftp:///{folder.name}", target=True)
        assert told == (
            True,
            f"sftp:///{folder.name} can be listed, and is empty; can be written, and deleted from.",
        )


KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIJIiEbYxVx8p3A7iQKdYmZ5C9C+X9hLEDZy3tBrV2u8Q"


@pytest.mark.parametrize("form", ["{}", "ssh-ed25519 {}", "ssh-ed25519 {} ann", "[127.0.0.1]:2222 ssh-ed25519 {}"])
def test_the_key_of_a_server_is_taken_as_any_tool_shows_it(form: str) -> None:
    assert KEY in host_key(form.format(KEY), "sftp_default").export_public_key().decode()


@pytest.mark.parametrize("text", ["bla", "SHA256:0123456789abcdef", "ssh-ed25519 AAAA", "AAAA", "-----BEGIN", "\xe4"])
def test_what_is_no_key_of_a_server_is_refused_by_the_name_of_the_field(text: str) -> None:
    with pytest.raises(Invalid, match=r"^host_key='\*\*\*': connection 'sftp_default'.* such as ssh-ed25519 AAAA"):
        host_key(text, "sftp_default")


class TestWebDAV:
    @pytest.fixture
    def folder(self, webdav_server: WebDAVServer, connect_webdav: Callable[..., None], tmp_path: Path) -> Path:
        connect_webdav(webdav_server)
        folder = webdav_server.root / tmp_path.name
        folder.mkdir()
        return folder

    def test_a_name_that_no_url_can_have_is_named(self, folder: Path) -> None:
        for odd in ("\n", "\t", "\r", "\x7f"):
            (folder / f"a{odd}").write_text("1")
            (folder / f"b{odd}").mkdir()
        (folder / "c").write_text("1")
        found = problems(WebDAVStorageHook().get_source(f"webdav:///{folder.name}"))
        assert (len(found), found.pop("c")) == (9, None)
        assert all("cannot be asked for here" in str(problem) for problem in found.values())

    def test_a_key_that_cannot_be_written_is_refused_by_name(self, folder: Path) -> None:
        for key in ("a\n", "a\x01", "a\ud800"):
            with pytest.raises(Invalid, match=re.escape(ascii(key)[1:-1])):
                WebDAVStorageHook().get_target(f"webdav:///{folder.name}").write(key, b"1")
        with pytest.raises(Invalid, match=r"in\\n"):
            WebDAVStorageHook().get_source("webdav:///in\nout")

    def test_where_nothing_may_be_created_says_so_at_once(
        self, tmp_path: Path, connect_webdav: Callable[..., None]
    ) -> None:
        with running_webdav(tmp_path, readonly=True) as server:
            connect_webdav(server)
            target, began = WebDAVStorageHook().get_target("webdav:///new"), time.monotonic()
            with pytest.raises(Denied, match=r"403\. The connection 'webdav_default' has no permission to write there"):
                target.write("a", b"1", create=True)
            assert time.monotonic() - began < TRIAL_SECONDS
            ok, said = WebDAVStorageHook().test_connection("webdav:///new", target=True)
            assert (ok, "no permission to write there" in said) == (False, True)

    @pytest.mark.parametrize("host", ["https://{}", "{}"])
    def test_a_server_that_speaks_no_tls_is_told_from_one_that_is_not_to_be_trusted(
        self, webdav_server: WebDAVServer, connect_webdav: Callable[..., None], host: str
    ) -> None:
        connect_webdav(webdav_server, host=host.format(f"{HOST}:{webdav_server.port}"))
        ok, said = WebDAVStorageHook().test_connection("webdav:///")
        assert not ok
        assert "does not speak TLS. Is it https? If not, let its URL in this connection begin with http" in said
        assert "CA" not in said


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"host": "http://dav"}, "http://dav"),
        ({"host": "http://dav", "port": 81}, "http://dav:81"),
        ({"host": "http://dav/files/", "port": 81}, "http://dav:81/files"),
        ({"host": "http://dav:80", "port": 81}, "http://dav:80"),
        ({"host": "dav/files", "port": 81}, "https://dav:81/files"),
        ({"host": "dav", "schema": "http", "port": 81}, "http://dav:81"),
        ({"host": "http://[::1]/files", "port": 81}, "http://[::1]:81/files"),
    ],
)
def test_webdav_server_is_asked_at_the_port_of_its_connection(fields: dict[str, Any], expected: str) -> None:
    assert WebDAVStorageHook().endpoint(Connection(conn_id="webdav_default", conn_type="http", **fields)) == expected


def answered(status: int, kind: type[ClientError] | None = None) -> ClientError:
    """Return an error of webdav4's, which it raises over an answer."""
    error = HTTPError(httpx.Response(status, request=httpx.Request("MKCOL", "http://dav.example.com/new/")))
    if kind is None:
        return error
    named = kind("of its own")
    named.__cause__ = error
    return named


@pytest.mark.parametrize(
    ("error", "meaning", "said"),
    [
        (answered(403, ForbiddenOperation), Denied, "403. The connection 'dav' has no permission to write there"),
        (answered(403), Denied, "403. The connection 'dav' has no permission to write there"),
        (answered(423), Unavailable, "423"),
        (BadGatewayError(), Unavailable, "502"),
        (InsufficientStorage("a"), Unavailable, "507"),
        (httpx.InvalidURL("non-printable"), Invalid, "non-printable"),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), Invalid, "the name is no UTF-8"),
        (httpx.ConnectError("[SSL: WRONG_VERSION_NUMBER] wrong version number"), Unusable, "does not speak TLS"),
        (httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"), Unusable, "name the CA file"),
    ],
)
def test_what_webdav4_raises_has_a_meaning(
    connect: Callable[..., None], error: Exception, meaning: type[Exception], said: str
) -> None:
    connect("webdav_default", conn_type="http", host="https://dav.example.com")
    meanings = WebDAVStorageHook().get_target("webdav:///in")._filesystem.meanings
    known = {"uri": "webdav:///in", "endpoint": "https://dav.example.com", "login": "connection 'dav'"}
    with pytest.raises(meaning, match=re.escape(said)), explaining(meanings, "write a", **known):
        raise error


class Telling(MemoryFileSystem):  # type: ignore[misc]
    """Tells of each file only what a test says."""

    def __init__(self, **told: Any) -> None:
        super().__init__(skip_instance_cache=True)
        self._told = told

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        return [{"name": f"{path}/a.json", "type": "file"} | self._told]


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        ({"size": 1, "mtime": 2.5}, None),
        ({"mtime": 2.5}, "its size is not told"),
        ({"size": 1}, "its version or time of change is not told"),
        ({"size": 1, "mtime": None}, "its version or time of change is not told"),
        ({"size": 1, "mtime": 2.5, "type": "unknown"}, "it is no file"),
    ],
)
def test_an_object_of_which_too_little_is_told_is_refused_by_name(told: dict[str, Any], problem: str | None) -> None:
    filesystem = Filesystem(lambda: Telling(**told), ("etag", "mtime"))
    storage = FsspecStorage(filesystem, "memory://", "here", "in", top="/", login="nobody")
    ((info,),) = storage.list()
    assert isinstance(info, ObjectInfo)
    assert (info.key, info.problem and info.problem.partition(",")[0]) == ("a.json", problem)


def test_of_webdav_the_etag_tells_the_version_where_there_is_one(connect: Callable[..., None]) -> None:
    connect("webdav_default", conn_type="http", host="https://dav.example.com")
    storage = WebDAVStorageHook().get_target("webdav:///in")
    told = {"size": 1, "modified": datetime(2026, 11, 1, tzinfo=UTC)}
    versions = [storage._version(told | more) for more in ({"etag": "a"}, {"etag": "b"}, {"etag": None})]
    assert len(set(versions)) == 3


def test_a_write_that_waits_for_another_second_ends_when_the_run_is_to() -> None:
    """Nothing of it tells another content: it would be written once more, a second later."""
    puts: list[bytes] = []

    class Timeless(MemoryFileSystem):  # type: ignore[misc]
        def pipe_file(self, path: str, value: bytes, **kwargs: Any) -> None:
            super().pipe_file(path, value, **kwargs)
            puts.append(value)
            storage.requests.stop.wished = len(puts) == 2

    filesystem = Filesystem(Timeless, versions=("size",))
    storage = FsspecStorage(filesystem, "memory://", "memory", "stopping", top="/", login="nobody")
    storage.write("a.json", b"1")
    began = time.monotonic()
    with pytest.raises(Stopped):
        storage.write("a.json", b"2")
    assert puts == [b"1", b"2"]
    assert time.monotonic() - began < CLOCK_SECONDS


class TestURI:
    @pytest.mark.parametrize(
        "uri",
        [
            "local:///etc",
            "dir::sftp:///in",
            "simplecache::sftp:///in",
            "http://127.0.0.1/in",
            "github:///in",
            "memory:///in",
        ],
    )
    def test_of_any_other_file_system_is_unknown(self, uri: str) -> None:
        with pytest.raises(Invalid, match="unknown scheme"):
            storage_hook("source", uri)

    @pytest.mark.parametrize(
        "uri",
        [
            "sftp::file:///etc",
            "sftp:/in",
            "sftp://files.example.com/in",
            "sftp:///in/../../etc",
            "sftp:///in//out",
            "sftp:///./in",
            "sftp://",
            "sftp://ann:secret@files.example.com/in",
            "webdav://dav.example.com/in",
            "hf:///datasets/owner/name",
            "hf://datasets",
        ],
    )
    def test_that_is_another_place_or_leads_out_is_refused(self, uri: str, connect: Callable[..., None]) -> None:
        for scheme in ("sftp", "webdav", "hf"):
            connect(f"{scheme}_default", conn_type=scheme, host="files.example.com")
        with pytest.raises(Invalid, match="source=") as caught:
            storage_hook("source", uri).get_source(uri)
        assert "secret" not in str(caught.value)

    def test_of_webdav_and_the_hub_names_the_server_by_the_connection(self, connect: Callable[..., None]) -> None:
        connect("webdav_default", conn_type="http", host="https://dav.example.com/files/", login="ann", password="p")
        storage = WebDAVStorageHook().get_target("webdav:///in")
        assert (storage.location.endpoint, storage.object_uri("a")) == (
            "https://dav.example.com/files",
            "webdav:///in/a",
        )
        connect("hf_default", conn_type="generic", password="token")
        storage = HuggingFaceStorageHook().get_target("hf://datasets/owner/name/in/")
        assert storage.location.endpoint == "https://huggingface.co"
        assert storage.object_uri("a") == "hf://datasets/owner/name/in/a"
        assert storage.path_of("hf://datasets/owner/name/in/a") == storage.location.path("a") == "owner/name/in/a"
