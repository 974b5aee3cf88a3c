"""What every storage does, opened through its hook. One more storage is one more entry in STORAGES."""

import functools
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import urlopen

import pytest
from airflow.sdk import Connection
from fsspec.implementations.memory import MemoryFileSystem
from servers.process import HOST, free_port
from servers.redis import RedisServer, running_valkey
from servers.s3 import S3Server
from servers.sftp import SFTPServer
from servers.webdav import WebDAVServer

from labelsync_provider.errors import (
    AlreadyThere,
    Denied,
    Invalid,
    LabelsyncError,
    NotFound,
    TooLarge,
    Unavailable,
    Unusable,
)
from labelsync_provider.hooks.azure_blob import AzureBlobStorageHook
from labelsync_provider.hooks.buckets import BucketStorageHook
from labelsync_provider.hooks.fsspec import FsspecStorageHook, SFTPStorageHook, WebDAVStorageHook
from labelsync_provider.hooks.gcs import GCSStorageHook
from labelsync_provider.hooks.local_files import LocalFilesStorageHook
from labelsync_provider.hooks.redis import RedisStorageHook
from labelsync_provider.hooks.s3 import S3StorageHook
from labelsync_provider.storages.fsspec import Filesystem
from labelsync_provider.storages.protocol import ObjectInfo, Page, Signing, Storage
from labelsync_provider.sync.compare import Differences, compare

pytest_plugins = ["servers.azure", "servers.redis", "servers.s3", "servers.sftp", "servers.webdav"]
pytestmark = pytest.mark.usefixtures("opened_quickly")


class Container(Protocol):
    """A bucket, a container, a database or a directory that is a test's own. It is opened as often as one likes."""

    @property
    def uri(self) -> str:
        """It ends with a slash; keys come behind it."""

    def __call__(self, prefix: str = "in/", *, recursive: bool | None = True) -> Storage:
        """Open what begins with a prefix, as a source."""

    def target(self, name: str) -> Storage:
        """Open a folder of that name, which need not be there."""


@dataclass(frozen=True)
class Directory:
    root: Path
    uri = "file:///"

    def __call__(self, prefix: str = "in/", *, recursive: bool | None = True) -> Storage:
        directory = self.root / prefix
        directory.mkdir(parents=True, exist_ok=True)
        return LocalFilesStorageHook().get_source(f"file://{quote(str(directory))}", recursive)

    def target(self, name: str) -> Storage:
        return LocalFilesStorageHook().get_target(f"file://{self.root}/{name}")


@dataclass(frozen=True)
class Remote:
    hook: Any
    uri: str
    retry_seconds: float = 60

    def __call__(self, prefix: str = "in/", *, recursive: bool | None = True) -> Storage:
        storage: Storage = self.hook._open("source", self.uri + prefix, recursive, self.retry_seconds)
        return storage

    def target(self, name: str) -> Storage:
        storage: Storage = self.hook.get_target(f"{self.uri}{name}/")
        return storage


@dataclass(frozen=True)
class Folders:
    """Directories of a server; as of local files, keys are the paths below the one that is opened."""

    hook: FsspecStorageHook
    uri: str
    retry_seconds: float = 60

    def __call__(self, prefix: str = "in/", *, recursive: bool | None = True) -> Storage:
        storage: Any = self.hook._open("source", self.uri + prefix, recursive, self.retry_seconds)
        return storage

    def target(self, name: str) -> Storage:
        storage: Any = self.hook.get_target(f"{self.uri}{name}/")
        return storage


def bucket(hook: BucketStorageHook, uri: str) -> Remote:
    # To log in takes longer than a test.
    hook.open_bucket = functools.cache(hook.open_bucket)  # type: ignore[method-assign]
    return Remote(hook, uri)


def directory(request: pytest.FixtureRequest) -> Container:
    root = request.getfixturevalue("tmp_path") / "root"
    root.mkdir()
    request.getfixturevalue("connect")("fs_default", conn_type="fs", extra={"path": str(root)})
    return Directory(root)


class MemoryStorageHook(FsspecStorageHook):
    """What fsspec has for tests; nobody's tasks need it."""

    default_conn_name, conn_type, hook_name, uri_form = "memory_default", "generic", "memory", "memory:///directory"

    def endpoint(self, connection: Connection) -> str:
        return "this process"

    def filesystem(self, connection: Connection) -> Filesystem:
        return Filesystem(MemoryFileSystem, ("created",), meanings={FileExistsError: NotFound})


@functools.cache
def client_of(server: S3Server) -> Any:
    return server.client()


def s3(server_name: str) -> Callable[..., Container]:
    def container(request: pytest.FixtureRequest, **changes: Any) -> Container:
        server = request.getfixturevalue(server_name)
        request.getfixturevalue("connect_s3")(replace(server, **changes))
        name = f"test-{secrets.token_hex(8)}"
        client_of(server).create_bucket(Bucket=name)
        return bucket(S3StorageHook(), f"s3://{name}/")

    return container


def gcs(request: pytest.FixtureRequest, **changes: Any) -> Container:
    server = request.getfixturevalue("rclone_anonymous")
    request.getfixturevalue("connect_gcs")(replace(server, **changes))
    return bucket(GCSStorageHook(), f"gs://{server.create_bucket()}/")


def azure(request: pytest.FixtureRequest, **changes: Any) -> Container:
    server = request.getfixturevalue("azurite")
    request.getfixturevalue("connect_azure")(replace(server, **changes))
    return bucket(AzureBlobStorageHook(), f"azure-blob://{server.create_container()}/")


def redis(server_name: str, db: int) -> Callable[..., Container]:
    def container(request: pytest.FixtureRequest, **changes: Any) -> Container:
        server: RedisServer = request.getfixturevalue(server_name)
        server.flush()
        request.getfixturevalue("connect_redis")(replace(server, **changes))
        return Remote(RedisStorageHook(), f"redis://{db}/")

    return container


def sftp(request: pytest.FixtureRequest, **changes: Any) -> Container:
    server: SFTPServer = request.getfixturevalue("sftp_server")
    request.getfixturevalue("connect_sftp")(replace(server, **changes))
    name = f"test-{secrets.token_hex(8)}"
    (server.root / name).mkdir()
    return Folders(SFTPStorageHook(), f"sftp:///{name}/")


def webdav(request: pytest.FixtureRequest, **changes: Any) -> Container:
    server: WebDAVServer = request.getfixturevalue("webdav_server")
    request.getfixturevalue("connect_webdav")(replace(server, **changes))
    name = f"test-{secrets.token_hex(8)}"
    (server.root / name).mkdir()
    return Folders(WebDAVStorageHook(), f"webdav:///{name}/")


def memory(request: pytest.FixtureRequest) -> Container:
    request.getfixturevalue("connect")("memory_default", conn_type="generic")
    return Folders(MemoryStorageHook(), f"memory:///test-{secrets.token_hex(8)}/")


@pytest.fixture(scope="module")
def guarded_redis() -> Iterator[RedisServer]:
    with running_valkey(password=secrets.token_hex(16)) as server:
        yield server


@pytest.fixture(scope="module")
def guarded_cluster() -> Iterator[RedisServer]:
    with running_valkey(password=secrets.token_hex(16), cluster=True) as server:
        yield server


ORDERED = ["A", "Z", "a+/x", "a-", "a.json", "a/x", "a/y/z", "a/y0", "a0", "b", "é", "ﾟ", "😀"]
"""By code point, "-" and "." are below "/", digits above it, and what is astral is above the end of the BMP."""

ODD = {
    "spaces": "two words.json",
    "outer spaces": " leading and trailing ",
    "percent": "100%.json",
    "quoted space": "a%20b.json",
    "quoted slash": "a%2Fb.json",
    "plus": "a+b.json",
    "hash": "a#b.json",
    "query": "a?b=c&d.json",
    "entity": "a&#10;&amp;b.json",
    "quotes": 'quote\'s "here".json',
    "marks": "a|b<c>d^e{f}[g]~!$()*,;:@`.json",
    "backslash": "back\\slash.json",
    "newline": "line\nbreak.json",
    "carriage return": "carriage\rreturn.json",
    "tab": "tab\there.json",
    "delete": "\x7f.json",
    "control": "\x01.json",
    "composed": "é composed.json",
    "decomposed": "e\u0301 decomposed.json",
    "emoji": "😀.json",
    "three dots": "...",
    "dot": ".",
    "dots": "..",
    "dot inside": "a/./b",
    "dots inside": "a/../b",
    "leading dots": "../b",
    "trailing dot": "a/.",
    "trailing dots": "a/..",
    "empty segment": "a//b",
    "leading slash": "/a",
    "trailing slash": "a/",
    "trailing slashes": "a//",
    "255 bytes": "é" * 125 + ".json",
    "900 bytes": "é" * 447 + ".json",
    # Each is a directory more, of which a server of files takes long to make and to list hundreds.
    "900 bytes in segments": "/".join(["é" * 89] * 5),
}

DOTS = {"dot", "dots", "dot inside", "dots inside", "leading dots", "trailing dot", "trailing dots"}
EMPTY_SEGMENTS = {"empty segment", "leading slash", "trailing slash", "trailing slashes"}
CONTROLS = {"newline", "carriage return", "tab", "delete", "control"}

LEADING_OUT = ["", ".", "..", "../x", "a/../x", "a/./x", "/etc/passwd", "//x", "a//x", "a/", "/", "a\0b"]


@dataclass(frozen=True)
class Kind:
    """A storage, and the server behind it. What is said here of a server, it does to its own SDK as well."""

    container: Callable[..., Container]
    many: int = 1050
    """So many objects are listed and deleted: more than one request takes."""
    page_size: str = ""
    """What says how many objects a page has, where these are more. The test wants fewer."""
    in_order: bool = True
    """The server lists in the order of code points."""
    refuses: set[str] = field(default_factory=set)
    """Odd keys that it answers with an error."""
    spoils: set[str] = field(default_factory=set)
    """Odd keys with which it does worse: it stores another one, or cannot list any more."""
    holds_parents: bool = True
    """There may be both `a` and `a/b`."""
    holds_markers: bool = True
    """There may be an object whose key ends with a slash."""
    minds_conditions: bool = True
    """A conditional write fails where something is."""
    one_at_a_time: bool = False
    """It looks whether something is, and then writes: of two at once, both may."""
    longest_life: timedelta | None = None
    """Of a signed URL."""
    refuses_to_sign: bool = False
    """It has no key that signs."""
    minds_expiry: bool = True
    wrong: Mapping[str, str] = field(default_factory=dict)
    """What makes its credentials wrong."""
    elsewhere: Callable[[], Mapping[str, Any]] | None = None
    """What makes it unreachable."""
    nowhere: str = ""
    """The URI of a container that it does not have."""
    makes_containers: bool = False
    """It makes one for the first object."""


SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQ="

DAYS_7 = timedelta(days=7)
THREE_PAGES = 2100

STORAGES = {
    "local files": Kind(
        directory,
        page_size="labelsync_provider.storages.local_files.PAGE",
        # They lead out of the directory, and a name has 255 bytes.
        refuses=DOTS | EMPTY_SEGMENTS | {"900 bytes"},
        holds_parents=False,
        holds_markers=False,
    ),
    "S3 on SeaweedFS": Kind(
        s3("weed"),
        # Folders come before their siblings.
        in_order=False,
        # A key is a path of its file system, whose names have 255 bytes.
        refuses=DOTS | {"900 bytes"},
        spoils={"backslash", *EMPTY_SEGMENTS},
        holds_parents=False,
        longest_life=DAYS_7,
        wrong={"secret_key": SECRET},
        elsewhere=lambda: {"endpoint": f"http://{HOST}:{free_port()}"},
        nowhere="s3://no-such-bucket-of-ours/",
        makes_containers=True,
    ),
    "S3 on rclone": Kind(
        s3("rclone"),
        # A key is a path of the machine's file system.
        refuses=DOTS | {"empty segment", "leading slash"},
        # A name too long is answered with 500, and listed.
        spoils={"trailing slash", "trailing slashes", "900 bytes"},
        holds_parents=False,
        holds_markers=False,
        minds_conditions=False,
        longest_life=DAYS_7,
        wrong={"secret_key": SECRET},
        elsewhere=lambda: {"endpoint": f"http://{HOST}:{free_port()}"},
        nowhere="s3://no-such-bucket-of-ours/",
    ),
    "S3 on moto": Kind(
        s3("moto"),
        # It matches paths with an expression whose dot stops there.
        refuses={"newline"},
        longest_life=DAYS_7,
        # It takes any credentials, and URLs of any age.
        minds_expiry=False,
        elsewhere=lambda: {"endpoint": f"http://{HOST}:{free_port()}"},
        nowhere="s3://no-such-bucket-of-ours/",
    ),
    "GCS on rclone": Kind(
        gcs,
        # As above; and what obstore cannot express goes through the JSON API, which rclone does not speak: these keys
        # are tested with another server in test_buckets.py.
        refuses=DOTS | EMPTY_SEGMENTS | CONTROLS,
        spoils={"900 bytes"},
        holds_parents=False,
        holds_markers=False,
        minds_conditions=False,
        # Nobody is logged in.
        refuses_to_sign=True,
        elsewhere=lambda: {"endpoint": f"http://{HOST}:{free_port()}"},
        nowhere="gs://no-such-bucket-of-ours/",
    ),
    "Azure on Azurite": Kind(
        azure,
        # It deletes 256 at once.
        many=300,
        page_size="labelsync_provider.storages.azure_blob.PAGE",
        # UTF-16 comes before the code points.
        in_order=False,
        # The service has no dots in paths.
        refuses=DOTS,
        # It makes a slash of the first; where the second is, listings are answered with 500, as XML has no such thing.
        spoils={"backslash", "control"},
        longest_life=timedelta.max,
        wrong={"key": SECRET},
        elsewhere=lambda: {"endpoint": f"http://{HOST}:{free_port()}/tests"},
        nowhere="azure-blob://no-such-container-of-ours/",
    ),
    "Redis": Kind(
        redis("guarded_redis", 5),
        many=THREE_PAGES,
        wrong={"password": SECRET},
        elsewhere=lambda: {"port": free_port()},
        nowhere="redis://99/",
    ),
    "Redis cluster": Kind(
        redis("guarded_cluster", 0),
        many=THREE_PAGES,
        wrong={"password": SECRET},
        elsewhere=lambda: {"port": free_port()},
    ),
    "SFTP": Kind(
        sftp,
        many=150,
        page_size="labelsync_provider.storages.fsspec.PAGE",
        refuses=DOTS | EMPTY_SEGMENTS | {"900 bytes"},
        holds_parents=False,
        holds_markers=False,
        one_at_a_time=True,
        wrong={"password": SECRET},
        elsewhere=lambda: {"port": free_port()},
    ),
    "WebDAV": Kind(
        webdav,
        many=60,
        # webdav4 does not quote all that a URL cannot have.
        refuses=DOTS
        | EMPTY_SEGMENTS
        | CONTROLS
        | {"900 bytes", "quoted space", "quoted slash", "hash", "query", "entity"},
        holds_parents=False,
        holds_markers=False,
        one_at_a_time=True,
        wrong={"password": SECRET},
        elsewhere=lambda: {"port": free_port()},
    ),
    "memory": Kind(
        memory,
        page_size="labelsync_provider.storages.fsspec.PAGE",
        refuses=DOTS | EMPTY_SEGMENTS,
        holds_parents=False,
        holds_markers=False,
        one_at_a_time=True,
    ),
}

BUCKETS = [name for name in STORAGES if name.startswith(("S3", "GCS", "Azure"))]
DATABASES = ["Redis", "Redis cluster"]
REMOTE = BUCKETS + DATABASES
DIRECTORIES = ["local files", "SFTP", "WebDAV", "memory"]


def only(names: Sequence[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("kind", names, indirect=True)


def where(does: Callable[[Kind], Any]) -> pytest.MarkDecorator:
    return only([name for name, kind in STORAGES.items() if does(kind)])


@pytest.fixture(params=STORAGES)
def kind(request: pytest.FixtureRequest) -> Kind:
    return STORAGES[request.param]


@pytest.fixture
def container(kind: Kind, request: pytest.FixtureRequest) -> Container:
    return kind.container(request)


@pytest.fixture
def storage(container: Container) -> Storage:
    return container()


def fill(storage: Storage, keys: Sequence[str]) -> None:
    """Write objects whose content is their key. Keys are given and taken without the storage's prefix."""

    def write(key: str) -> None:
        storage.write(storage.location.prefix + key, key.encode())

    # SeaweedFS takes a second where the first ones come at once.
    write(keys[0])
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(write, keys[1:]))


def listed(storage: Storage) -> list[ObjectInfo]:
    return [info for page in storage.list() for info in page]


def keys(storage: Storage) -> list[str]:
    return [info.key.removeprefix(storage.location.prefix) for info in listed(storage)]


class Known(NamedTuple):
    path: str
    version: str


def compared(storage: Storage, ledger: Sequence[Known]) -> Differences[Known]:
    """Compare a listing with a ledger, and return all differences at once."""
    paths = {known.path: known for known in ledger}

    def is_unchanged(info: ObjectInfo, known: Known) -> bool:
        return info.version == known.version

    def known_between(low: str, high: str | None) -> Iterator[list[Known]]:
        yield [paths[path] for path in sorted(paths) if path > low and (high is None or path <= high)]

    def known_at(some: Sequence[str]) -> Iterator[list[Known]]:
        yield [paths[path] for path in some if path in paths]

    found: Differences[Known] = Differences([], [], [])
    for part in compare(storage.list(), storage.location, is_unchanged, known_between, known_at):
        found.unchanged.extend(part.unchanged)
        found.fresh.extend(part.fresh)
        found.missing.extend(part.missing)
    return found


class TestList:
    @where(lambda kind: kind.in_order)
    def test_is_in_the_order_of_code_points(self, storage: Storage) -> None:
        fill(storage, ORDERED)
        assert keys(storage) == ORDERED == sorted(ORDERED)

    def test_is_compared_with_the_ledger_in_whatever_order_it_is(self, storage: Storage) -> None:
        fill(storage, ORDERED)
        here = {info.key: info.version for info in listed(storage)}
        ledger = [Known(storage.location.path(key), version) for key, version in here.items()]
        gone = Known(storage.location.start + "a/y/gone", "1")
        found = compared(storage, [*ledger[1:], gone])
        assert sorted(found.unchanged) == sorted(ledger[1:])
        assert [path for path, _, _ in found.fresh] == [ledger[0].path]
        assert found.missing == [gone]

    def test_shows_size_and_no_problem(self, storage: Storage) -> None:
        key = storage.location.prefix + "a"
        storage.write(key, b"12345")
        ((info,),) = storage.list()
        assert (info.key, info.size, info.problem) == (key, 5, None)

    def test_tells_keys_apart_that_differ_only_in_case(self, storage: Storage) -> None:
        fill(storage, ["A.json", "a.json"])
        assert keys(storage) == ["A.json", "a.json"]
        assert storage.read(storage.location.prefix + "a.json") == b"a.json"

    def test_of_a_prefix_that_is_not_there_is_empty(self, container: Container) -> None:
        assert listed(container.target("nowhere")) == []

    def test_of_a_folder_leaves_out_what_lies_beside_it(self, container: Container) -> None:
        fill(container("in/"), ["a"])
        fill(container("in-2/"), ["b"])
        fill(container("i/"), ["c"])
        assert keys(container("in/")) == ["a"]
        assert keys(container.target("in")) == ["a"]

    @where(lambda kind: "quoted space" not in kind.refuses)
    def test_takes_a_prefix_as_it_is_written(self, container: Container) -> None:
        storage = container("100% a%20b+#?&='\"é😀/")
        fill(storage, ["a", "b/c"])
        fill(container("100% a b+#?&='\"é😀/"), ["d"])
        assert keys(storage) == ["a", "b/c"]
        assert storage.read(storage.location.prefix + "b/c") == b"b/c"

    @where(lambda kind: kind.holds_markers)
    def test_shows_a_folder_marker_as_what_it_is_or_not_at_all(self, container: Container) -> None:
        storage = container("")
        storage.write("folder/", b"")
        storage.write("folder/a", b"1")
        for folder in (storage, container("folder/"), container("folder")):
            found = {info.key: info.size for info in listed(folder)}
            assert found.pop("folder/", 0) == 0
            assert found == {"folder/a": 1}


LEVELS = [
    "2024-05-01/x",
    "2024-05.json",
    "2024-06.json",
    "a",
    "photos-1",
    "photos.json",
    "photos/1",
    "photos/2/3",
    "photos/2/4/5",
    "photos2/6",
]
"""No key is a folder of another one, which not every server could hold."""


def levels(container: Container, *prefixes: str) -> dict[tuple[str, bool | None], list[str]]:
    """Return the keys that are listed, by prefix and `recursive`."""
    return {
        (prefix, recursive): sorted(info.key for info in listed(container(prefix, recursive=recursive)))
        for prefix in prefixes
        for recursive in (True, False, None)
    }


BELOW_PHOTOS = ["photos/1", "photos/2/3", "photos/2/4/5"]
TOP = [key for key in LEVELS if "/" not in key]


class TestRecursion:
    @only(BUCKETS)
    def test_in_a_bucket_is_the_default_without_a_prefix(self, container: Container) -> None:
        fill(container(""), LEVELS)
        assert levels(container, "", "photos/", "photos", "2024-05") == {
            ("", True): LEVELS,
            ("", False): TOP,
            ("", None): LEVELS,
            ("photos/", True): BELOW_PHOTOS,
            ("photos/", False): ["photos/1"],
            ("photos/", None): ["photos/1"],
            ("photos", True): ["photos-1", "photos.json", *BELOW_PHOTOS, "photos2/6"],
            ("photos", False): ["photos-1", "photos.json", "photos/1"],
            ("photos", None): ["photos-1", "photos.json", "photos/1"],
            ("2024-05", True): ["2024-05-01/x", "2024-05.json"],
            ("2024-05", False): ["2024-05.json"],
            ("2024-05", None): ["2024-05.json"],
        }

    @only(DATABASES)
    def test_in_a_database_is_the_default(self, container: Container) -> None:
        fill(container(""), LEVELS)
        assert levels(container, "", "photos/", "2024-05") == {
            ("", True): LEVELS,
            ("", False): TOP,
            ("", None): LEVELS,
            ("photos/", True): BELOW_PHOTOS,
            ("photos/", False): ["photos/1"],
            ("photos/", None): BELOW_PHOTOS,
            ("2024-05", True): ["2024-05-01/x", "2024-05.json"],
            ("2024-05", False): ["2024-05.json"],
            ("2024-05", None): ["2024-05-01/x", "2024-05.json"],
        }

    @only(DIRECTORIES)
    def test_in_a_directory_is_the_default(self, container: Container) -> None:
        fill(container(""), LEVELS)
        assert levels(container, "", "photos/") == {
            ("", True): LEVELS,
            ("", False): TOP,
            ("", None): LEVELS,
            ("photos/", True): ["1", "2/3", "2/4/5"],
            ("photos/", False): ["1"],
            ("photos/", None): ["1", "2/3", "2/4/5"],
        }

    def test_shows_exactly_the_keys_that_are_covered(self, kind: Kind, container: Container) -> None:
        fill(container(""), LEVELS)
        if kind.holds_parents:
            fill(container(""), ["photos", "photos/2"])
        if kind.holds_markers:
            container("").write("photos/", b"")
        everything = sorted(info.key for info in listed(container("")))
        prefixes = ["", "photos/", "photos", "2024-05"] if isinstance(container, Remote) else [""]
        shown = levels(container, *prefixes)
        assert shown == {
            (prefix, recursive): [key for key in everything if container(prefix, recursive=recursive).covers(key)]
            for prefix, recursive in shown
        }

    @only([name for name in REMOTE if STORAGES[name].holds_parents])
    def test_shows_an_object_whose_key_is_the_prefix_and_it_can_be_read(self, container: Container) -> None:
        fill(container(""), ["photos", "photos/1"])
        storage = container("photos")
        assert [info.key for info in listed(storage)] == ["photos", "photos/1"]
        assert storage.read("photos") == b"photos"


class TestOddKey:
    def test_is_written_listed_read_and_deleted(self, kind: Kind, storage: Storage) -> None:
        held = {storage.location.prefix + key: key for odd, key in ODD.items() if odd not in kind.refuses | kind.spoils}
        contents = {key: b"" if key.endswith("/") else odd.encode() for key, odd in held.items()}
        versions = {key: storage.write(key, content) for key, content in contents.items()}
        found = {info.key: (info.size, info.version) for info in listed(storage)}
        assert found == {key: (len(content), versions[key]) for key, content in contents.items()}
        assert {key: storage.read(key) for key in contents} == contents
        for key in contents:
            storage.delete([key])
        assert listed(storage) == []

    @where(lambda kind: kind.refuses)
    def test_that_the_server_refuses_is_an_error_and_not_another_key(self, kind: Kind, container: Container) -> None:
        storage = replace(container, retry_seconds=0.2)() if isinstance(container, Remote | Folders) else container()

        def refusal(odd: str) -> str | None:
            try:
                storage.write(storage.location.prefix + ODD[odd], b"content")
            except LabelsyncError:
                return odd
            return None

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(refusal, kind.refuses)) == kind.refuses
        assert listed(storage) == []

    @where(lambda kind: kind.longest_life)
    def test_is_signed(self, kind: Kind, storage: Storage) -> None:
        held = [ODD[odd] for odd in ODD if odd not in kind.refuses | kind.spoils and not ODD[odd].endswith("/")]
        fill(storage, held)
        urls = signing(storage).sign([storage.location.prefix + key for key in held], timedelta(minutes=5))
        assert {key: fetched(url) for key, url in zip(held, urls, strict=True)} == {key: key for key in held}


def fetched(url: str) -> str:
    """Return the content, or the server's refusal."""
    try:
        with urlopen(url) as answer:
            return str(answer.read().decode())
    except HTTPError as error:
        return str(error)


@only(REMOTE)
class TestKeyBesideThePrefix:
    def test_is_not_written(self, storage: Storage) -> None:
        with pytest.raises(Invalid, match=r"key 'out/a' does not begin with 'in/'"):
            storage.write("out/a", b"1")

    def test_is_not_deleted(self, container: Container) -> None:
        outer = container("")
        outer.write("out/a", b"1")
        with pytest.raises(Invalid, match=r"key 'out/a' does not begin with 'in/'"):
            container("in/").delete(["in/a", "out/a"])
        assert outer.read("out/a") == b"1"

    def test_is_no_key_if_it_is_empty(self, container: Container) -> None:
        with pytest.raises(Invalid):
            container("").write("", b"1")


class TestRead:
    def test_returns_what_was_written(self, storage: Storage) -> None:
        key = storage.location.prefix + "a"
        storage.write(key, bytes(range(256)))
        assert storage.read(key) == bytes(range(256))

    def test_returns_nothing_of_an_empty_object(self, storage: Storage) -> None:
        key = storage.location.prefix + "a"
        storage.write(key, b"")
        assert storage.read(key) == b""
        assert listed(storage)[0].size == 0

    def test_returns_all_of_12_megabytes(self, storage: Storage) -> None:
        """More than is sent or received at once."""
        key, content = storage.location.prefix + "a", bytes(range(256)) * (12 * 4096)
        storage.write(key, content)
        assert [info.size for info in listed(storage)] == [len(content)]
        assert storage.read(key) == content

    def test_of_more_than_is_allowed_is_refused(self, storage: Storage) -> None:
        key = storage.location.prefix + "a"
        storage.write(key, b"12345")
        assert storage.read(key, most=5) == b"12345"
        listed(storage)
        with pytest.raises(TooLarge, match="a: more than 4 bytes"):
            storage.read(key, most=4)

    def test_is_written_and_read_once(self, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
        if hasattr(storage, "_service"):
            # By these, what does not tell that it was written is written again, and what comes with another version
            # than that which was listed is read again.
            for name in ("read", "write"):
                monkeypatch.setattr(storage._service, name, None)
        storage.write(storage.location.prefix + "a", b"1")
        (info,) = listed(storage)
        assert storage.read(info.key, version=info.version) == b"1"

    def test_of_a_missing_key_is_not_found(self, storage: Storage) -> None:
        storage.write(storage.location.prefix + "a", b"1")
        with pytest.raises(NotFound, match="missing"):
            storage.read(storage.location.prefix + "missing.json")

    def test_of_a_key_below_an_object_is_not_found(self, storage: Storage) -> None:
        storage.write(storage.location.prefix + "a", b"1")
        with pytest.raises(NotFound):
            storage.read(storage.location.prefix + "a/b")

    @only(DIRECTORIES)
    @pytest.mark.parametrize("key", LEADING_OUT)
    def test_of_a_key_that_leads_out_is_invalid(self, storage: Storage, key: str) -> None:
        with pytest.raises(Invalid):
            storage.read(key)


class TestReadStart:
    def test_returns_the_first_bytes(self, storage: Storage) -> None:
        key, content = storage.location.prefix + "a", bytes(range(256)) * 1000
        storage.write(key, content)
        assert storage.read_start(key, 1000) == content[:1000]

    def test_returns_all_of_an_object_that_has_no_more(self, storage: Storage) -> None:
        key = storage.location.prefix + "a"
        storage.write(key, b"123")
        assert storage.read_start(key, 1000) == b"123"


class TestHas:
    def test_tells_whether_an_object_stands_at_a_path_of_the_container(self, container: Container) -> None:
        inside, beside = container("in/"), container("beside/")
        for storage in (inside, beside):
            storage.write(storage.location.prefix + "a", b"1")
        for storage in (inside, beside):
            there = storage.location.path(storage.location.prefix + "a")
            assert [inside.has(there), beside.has(there)] == [True, True]
            assert not inside.has(there + "-missing")
            assert not inside.has(there + "/below")


class TestWrite:
    def test_returns_the_version_that_the_listing_shows_each_time(self, storage: Storage) -> None:
        version = storage.write(storage.location.prefix + "a/b", b"1")
        assert [info.version for info in listed(storage)] == [version]
        assert [info.version for info in listed(storage)] == [version]

    def test_replaces_what_was_there(self, storage: Storage) -> None:
        key = storage.location.prefix + "a"
        storage.write(key, b"a long first content")
        storage.write(key, b"short")
        assert storage.read(key) == b"short"
        assert [info.size for info in listed(storage)] == [5]

    def test_of_another_content_of_the_same_size_makes_another_version(self, storage: Storage) -> None:
        key = storage.location.prefix + "a"
        before = storage.write(key, b"1")
        time.sleep(0.02)  # a file system's clock ticks every few milliseconds
        assert storage.write(key, b"2") != before

    def test_leaves_the_versions_of_others_alone(self, storage: Storage) -> None:
        before = storage.write(storage.location.prefix + "a", b"1")
        storage.write(storage.location.prefix + "b", b"2")
        assert listed(storage)[0].version == before

    @only(DIRECTORIES)
    @pytest.mark.parametrize("key", LEADING_OUT)
    def test_to_a_key_that_leads_out_is_invalid(self, storage: Storage, key: str) -> None:
        with pytest.raises(Invalid, match="key"):
            storage.write(key, b"1")


class TestCreate:
    def test_writes_where_nothing_is(self, storage: Storage) -> None:
        key = storage.location.prefix + "a"
        version = storage.write(key, b"1", create=True)
        assert [info.version for info in listed(storage)] == [version]
        assert storage.read(key) == b"1"

    @where(lambda kind: kind.minds_conditions)
    def test_where_something_larger_is_is_refused(self, storage: Storage) -> None:
        key = storage.location.prefix + "a"
        storage.write(key, b"1" * 1000)
        with pytest.raises(AlreadyThere):
            storage.write(key, b"1", create=True)
        assert len(storage.read(key)) == 1000

    def test_of_the_same_content_again_is_as_good_as_written(self, storage: Storage) -> None:
        key = storage.location.prefix + "a"
        version = storage.write(key, b"1", create=True)
        again = storage.write(key, b"1", create=True)
        assert [info.version for info in listed(storage)] == [again]
        assert again == version

    @where(lambda kind: kind.minds_conditions)
    def test_leaves_another_content_as_it_is(self, storage: Storage) -> None:
        key = storage.location.prefix + "a"
        version = storage.write(key, b"1", create=True)
        with pytest.raises(AlreadyThere, match=re.escape(key)):
            storage.write(key, b"2", create=True)
        assert [info.version for info in listed(storage)] == [version]
        assert storage.read(key) == b"1"

    @where(lambda kind: kind.minds_conditions and not kind.one_at_a_time)
    def test_lets_one_of_many_at_once_win(self, storage: Storage) -> None:
        key = storage.location.prefix + "a"

        def won(n: int) -> bytes | None:
            content = str(n).encode()
            try:
                storage.write(key, content, create=True)
            except AlreadyThere:
                return None
            return content

        with ThreadPoolExecutor(8) as pool:
            winners = [content for content in pool.map(won, range(8)) if content is not None]
        assert winners == [storage.read(key)]

    @where(lambda kind: not kind.minds_conditions)
    def test_where_conditions_are_ignored_is_a_write(self, storage: Storage) -> None:
        key = storage.location.prefix + "a"
        storage.write(key, b"1", create=True)
        version = storage.write(key, b"2", create=True)
        assert [info.version for info in listed(storage)] == [version]
        assert storage.read(key) == b"2"


class TestDelete:
    def test_takes_away_what_is_named_and_nothing_else(self, storage: Storage) -> None:
        fill(storage, ["a", "b/c", "b/d"])
        storage.delete([storage.location.prefix + "a", storage.location.prefix + "b/c"])
        assert keys(storage) == ["b/d"]

    def test_a_second_time_is_no_error(self, storage: Storage) -> None:
        key = storage.location.prefix + "a"
        storage.write(key, b"1")
        storage.delete([key])
        storage.delete([key, storage.location.prefix + "never/there"])
        assert listed(storage) == []

    def test_of_nothing_is_no_error(self, storage: Storage) -> None:
        storage.delete([])

    @only(DIRECTORIES)
    @pytest.mark.parametrize("key", LEADING_OUT)
    def test_of_a_key_that_leads_out_is_invalid(self, storage: Storage, key: str) -> None:
        with pytest.raises(Invalid):
            storage.delete([key])


def signing(storage: Storage) -> Signing:
    assert isinstance(storage, Signing)
    return storage


class TestSign:
    @where(lambda kind: kind.longest_life)
    def test_gives_urls_in_the_order_of_the_keys(self, storage: Storage) -> None:
        fill(storage, ["a", "b", "c/d"])
        urls = signing(storage).sign(
            [storage.location.prefix + key for key in ("c/d", "a", "b", "a")], timedelta(minutes=5)
        )
        assert [urlopen(url).read() for url in urls] == [b"c/d", b"a", b"b", b"a"]

    @where(lambda kind: kind.longest_life)
    def test_needs_no_object(self, storage: Storage) -> None:
        (url,) = signing(storage).sign([storage.location.prefix + "missing"], timedelta(minutes=5))
        with pytest.raises(HTTPError, match="404"):
            urlopen(url)

    @where(lambda kind: kind.longest_life and kind.minds_expiry)
    def test_lasts_as_long_as_is_said(self, storage: Storage) -> None:
        storage.write(storage.location.prefix + "a", b"1")
        (url,) = signing(storage).sign([storage.location.prefix + "a"], timedelta(seconds=1))
        time.sleep(1.2)
        with pytest.raises(HTTPError, match=r"40[03]"):
            urlopen(url)

    @where(lambda kind: kind.longest_life and kind.longest_life < timedelta.max)
    def test_takes_the_longest_life_and_none_that_is_longer(self, kind: Kind, storage: Storage) -> None:
        assert kind.longest_life
        storage.write(storage.location.prefix + "a", b"1")
        (url,) = signing(storage).sign([storage.location.prefix + "a"], kind.longest_life)
        assert urlopen(url).read() == b"1"
        with pytest.raises(Invalid, match=r"presign_ttl=10081: .*up to 10,080 minutes"):
            signing(storage).sign([storage.location.prefix + "a"], kind.longest_life + timedelta(minutes=1))

    @where(lambda kind: kind.longest_life == timedelta.max)
    def test_takes_a_life_of_ten_years(self, storage: Storage) -> None:
        storage.write(storage.location.prefix + "a", b"1")
        (url,) = signing(storage).sign([storage.location.prefix + "a"], timedelta(days=3650))
        assert urlopen(url).read() == b"1"

    @where(lambda kind: kind.longest_life)
    @pytest.mark.parametrize("life", [timedelta(0), timedelta(seconds=-1)])
    def test_takes_no_life_that_is_over(self, storage: Storage, life: timedelta) -> None:
        with pytest.raises(Invalid, match="presign_ttl=0"):
            signing(storage).sign([storage.location.prefix + "a"], life)

    @where(lambda kind: kind.refuses_to_sign)
    def test_without_a_key_to_sign_with_says_so(self, storage: Storage) -> None:
        storage.write(storage.location.prefix + "a", b"1")
        with pytest.raises(Denied, match=r"sign"):
            signing(storage).sign([storage.location.prefix + "a"], timedelta(minutes=5))

    @where(lambda kind: not (kind.longest_life or kind.refuses_to_sign))
    def test_is_not_there_where_nothing_can_be_signed(self, storage: Storage) -> None:
        assert not isinstance(storage, Signing)


class TestIdentity:
    def test_of_an_object_is_its_path_through_whatever_prefix_it_is_reached(self, container: Container) -> None:
        outer, inner = container("in/"), container("in/sub/")
        inside, outside = inner.location.prefix + "a.json", outer.location.prefix + "sub/a.json"
        inner.write(inside, b"1")
        assert [info.key for info in listed(outer)] == [outside]
        assert outer.location.container == inner.location.container
        assert outer.location.endpoint == inner.location.endpoint
        assert outer.location.path(outside) == inner.location.path(inside)
        assert outer.object_uri(outside) == inner.object_uri(inside)

    def test_leads_back_to_the_path(self, storage: Storage) -> None:
        keys = [storage.location.prefix + key for key in ODD.values()]
        assert [storage.path_of(storage.object_uri(key)) for key in keys] == [
            storage.location.path(key) for key in keys
        ]
        assert storage.path_of("https://example.com/1.jpg") is None

    def test_no_two_objects_share_a_uri(self, storage: Storage) -> None:
        assert len({storage.object_uri(storage.location.prefix + key) for key in ODD.values()}) == len(ODD)

    @only(REMOTE)
    def test_of_an_object_is_the_uri_of_its_container_and_the_key_as_it_is(self, container: Container) -> None:
        storage = container("in/")
        assert storage.uri == f"{container.uri}in/"
        for key in ODD.values():
            assert storage.object_uri(f"in/{key}") == f"{container.uri}in/{key}"

    @only(["local files"])
    def test_of_a_file_holds_no_character_that_a_uri_cannot(self, storage: Storage) -> None:
        for key in ODD.values():
            uri = storage.object_uri(key)
            assert re.fullmatch(r"[A-Za-z0-9:/?=%._~!$&()*+,;@'-]+", uri), uri


class TestTrouble:
    @where(lambda kind: kind.wrong)
    def test_of_wrong_credentials_says_that_they_are_not_accepted_and_not_which_they_are(
        self, kind: Kind, request: pytest.FixtureRequest
    ) -> None:
        storage = kind.container(request, **kind.wrong)()
        for attempt in (
            lambda: listed(storage),
            lambda: storage.read("in/a"),
            lambda: storage.write("in/a", b"1"),
            lambda: storage.delete(["in/a"]),
        ):
            with pytest.raises(Unusable, match=r"of connection '.*_default' (are|is) not accepted") as caught:
                attempt()
            assert SECRET not in str(caught.value)
            assert caught.value.__cause__ is None

    @where(lambda kind: kind.nowhere)
    def test_of_a_container_that_is_not_there_says_so(self, kind: Kind, container: Container) -> None:
        assert isinstance(container, Remote)
        storage = replace(container, uri=kind.nowhere)()
        attempts: list[Callable[[], object]] = [lambda: listed(storage), lambda: storage.read("in/a")]
        if not kind.makes_containers:
            attempts.append(lambda: storage.write("in/a", b"1"))
        for attempt in attempts:
            with pytest.raises(Unusable, match=r"no such bucket or container|no database of this number"):
                attempt()

    @where(lambda kind: kind.elsewhere)
    def test_of_an_endpoint_that_does_not_answer_is_unavailable_within_the_time_for_retries(
        self, kind: Kind, request: pytest.FixtureRequest
    ) -> None:
        assert kind.elsewhere
        container = kind.container(request, **kind.elsewhere())
        assert isinstance(container, Remote | Folders)
        storage = replace(container, retry_seconds=0.3)()
        for attempt in (lambda: listed(storage), lambda: storage.read("in/a")):
            started = time.monotonic()
            with pytest.raises(Unavailable, match=r"the connection is refused.*Tried for [01] s\."):
                attempt()
            assert time.monotonic() - started < 2


MANY = sorted(
    [f"a-{n:04}" for n in range(700)] + [f"a/{n:04}.json" for n in range(4200)] + [f"a.{n}" for n in range(200)]
)


# Two of the S3 servers take long to write so many, and are asked no other way.
@only([name for name in STORAGES if name not in ("S3 on rclone", "S3 on moto")])
class TestMany:
    def test_are_listed_in_bounded_pages_and_deleted_at_once(
        self, kind: Kind, storage: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if kind.page_size:
            monkeypatch.setattr(kind.page_size, 100)
        wanted = MANY[: kind.many]
        fill(storage, wanted)
        pages: list[Page] = list(storage.list())
        found = [info.key.removeprefix(storage.location.prefix) for page in pages for info in page]
        assert (found if kind.in_order else sorted(found)) == wanted
        assert max(map(len, pages)) <= (100 if kind.page_size else 5000)
        # Some may be missing.
        storage.delete([storage.location.prefix + key for key in [*wanted[1:], "never/there", "nor/this"]])
        assert keys(storage) == wanted[:1]
