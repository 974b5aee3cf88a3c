"""What is particular to local files: confinement to the document root, atomic writes, odd things in a directory."""

import errno
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from labelsync_provider.errors import AlreadyThere, Denied, Invalid, NotFound
from labelsync_provider.storages import local_links, local_listing, local_writing, spool
from labelsync_provider.storages.local_files import LocalFiles


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory beside the document root, with a secret."""
    path = tmp_path / "outside"
    path.mkdir()
    (path / "secret").write_text("secret")
    return path


def problems(storage: LocalFiles) -> dict[str, str | None]:
    return {info.key: info.problem for page in storage.list() for info in page}


def link(path: Path, target: str, age: int) -> None:
    """Make a symbolic link of so many seconds."""
    path.symlink_to(target)
    os.utime(path, (1_000_000_000 - age,) * 2, follow_symlinks=False)


class TestUri:
    def test_of_an_object_is_what_label_studio_serves(self, source: Any) -> None:
        assert source.storage().object_uri("cats/1.jpg") == "/data/local-files/?d=in/cats/1.jpg"

    @pytest.mark.parametrize("key", ["a b.jpg", "100%.jpg", "a+b.jpg", "a&b=c#d?e.jpg", "ä/😀.jpg"])
    def test_of_an_object_is_quoted_so_that_it_reads_back(self, source: Any, key: str) -> None:
        query = urlsplit(source.storage().object_uri(key)).query
        assert parse_qs(query)["d"] == [f"in/{key}"]

    @pytest.mark.parametrize(
        ("before", "leads"),
        [
            ("", True),
            ("http://127.0.0.1:8080", True),
            ("https://example.com/label-studio", True),
            ("the sign of ", False),
            ("the sign of https://example.com", False),
            ("https://example.com/?next=", False),
        ],
    )
    def test_leads_to_a_file_behind_the_address_of_a_server_and_not_in_a_text(
        self, source: Any, before: str, leads: bool
    ) -> None:
        storage = source.storage()
        path = storage.path_of(before + storage.object_uri("a b.jpg"))
        assert path == (storage.location.root + "a b.jpg" if leads else None)

    def test_of_the_document_root_itself_has_an_empty_root(self, source: Any) -> None:
        storage = LocalFiles(f"file://{source.root}", str(source.root))
        assert storage.location.root == ""
        assert storage.object_uri("1.jpg") == "/data/local-files/?d=1.jpg"

    @pytest.mark.parametrize("name", ["photos", "50%25 done", "a?b#c", "two words"])
    def test_may_be_just_the_path_which_is_taken_as_it_is_written(self, folder: Callable, name: str) -> None:
        folder(name).put("a", "1")
        storage = LocalFiles(f"{folder(name).path}/", str(folder(name).root))
        assert storage.path == str(folder(name).path)
        assert [info.key for page in storage.list() for info in page] == ["a"]
        assert storage.location == LocalFiles(folder(name).path.as_uri(), str(folder(name).root)).location

    def test_may_be_quoted_and_end_in_a_slash(self, folder: Callable) -> None:
        folder("two words").put("a", "1")
        storage = LocalFiles(f"file://{folder('two words').root}/two%20words/", str(folder("two words").root))
        assert problems(storage) == {"a": None}
        assert storage.location.root == "two words/"

    @pytest.mark.parametrize(
        "uri", ["file://data/in", "file:data", "file://host/data", "file:", "file:///a?b", "file:///a#b", "file:///%00"]
    )
    def test_that_is_no_absolute_path_is_invalid(self, tmp_path: Path, uri: str) -> None:
        with pytest.raises(Invalid, match="file:///absolute/directory"):
            LocalFiles(uri, "/")

    def test_of_a_file_is_no_directory_to_list(self, source: Any) -> None:
        source.put("file", "1")
        with pytest.raises(NotFound, match="Not a directory"):
            list(LocalFiles(f"{source.uri}/file", str(source.root)).list())


class TestDocumentRoot:
    @pytest.mark.parametrize("path", ["/outside", "/root/../outside", "/root-2", ""])
    def test_confines_the_directory(self, tmp_path: Path, source: Any, outside: Path, path: str) -> None:
        with pytest.raises(Denied, match="outside the document root"):
            LocalFiles(f"file://{tmp_path}{path}", str(source.root))

    def test_confines_a_directory_that_is_a_link_out_of_it(self, source: Any, outside: Path) -> None:
        (source.root / "link").symlink_to(outside)
        with pytest.raises(Denied, match="outside the document root"):
            LocalFiles(f"file://{source.root}/link", str(source.root))

    def test_must_be_absolute(self, source: Any) -> None:
        with pytest.raises(Invalid, match=r"document root='data'.*Path"):
            LocalFiles(source.uri, "data")

    def test_may_be_a_symbolic_link(self, tmp_path: Path, source: Any) -> None:
        source.put("a", "1")
        (tmp_path / "link").symlink_to(source.root)
        storage = LocalFiles(f"file://{tmp_path}/link/in", str(tmp_path / "link"))
        assert problems(storage) == {"a": None}
        assert storage.read("a") == b"1"
        assert storage.object_uri("a") == source.storage().object_uri("a")

    def test_that_is_a_link_may_be_named_by_what_it_leads_to(self, tmp_path: Path, source: Any) -> None:
        (tmp_path / "link").symlink_to(source.root)
        assert LocalFiles(source.uri, str(tmp_path / "link")).location.root == "in/"

    def test_of_the_whole_file_system_confines_nothing(self, source: Any) -> None:
        source.put("a", "1")
        storage = LocalFiles(source.uri, "/")
        assert storage.read("a") == b"1"
        assert storage.location.root == str(source.path)[1:] + "/"


class TestSymbolicLinks:
    def test_to_a_file_inside_is_read_like_a_file(self, source: Any) -> None:
        source.put("real", "12345")
        (source.path / "link").symlink_to(source.path / "real")
        sizes = {info.key: (info.size, info.problem) for page in source.storage().list() for info in page}
        assert sizes == {"link": (5, None), "real": (5, None)}
        assert source.storage().read("link") == b"12345"

    def test_to_a_directory_inside_is_walked(self, source: Any, folder: Callable) -> None:
        folder("other").put("a", "1")
        (source.path / "link").symlink_to(folder("other").path)
        assert problems(source.storage()) == {"link/a": None}
        assert source.storage().read("link/a") == b"1"

    def test_do_not_tell_of_what_they_lead_to_that_it_was_here_before_them(self, source: Any, folder: Callable) -> None:
        folder("other").put("a", "1")
        time.sleep(0.02)  # no clock of a file system is coarser
        (source.path / "file").symlink_to(folder("other").path / "a")
        (source.path / "link").symlink_to(folder("other").path)
        written = {info.key: info.modified for page in source.storage().list() for info in page}
        assert written == {"file": (source.path / "file").lstat().st_ctime, "link/a": None}
        assert written["file"] > (source.path / "file").stat().st_ctime

    def test_to_a_directory_inside_is_not_shown_when_not_recursive(self, source: Any, folder: Callable) -> None:
        folder("other").put("a", "1")
        (source.path / "link").symlink_to(folder("other").path)
        assert problems(source.storage(recursive=False)) == {}

    def test_to_a_file_outside_is_listed_with_a_problem_and_not_read(self, source: Any, outside: Path) -> None:
        (source.path / "link").symlink_to(outside / "secret")
        assert problems(source.storage()) == {"link": "it is a symbolic link that leaves the document root"}
        with pytest.raises(Denied, match="leads out of it"):
            source.storage().read("link")

    def test_to_a_directory_outside_is_listed_with_a_problem_and_not_walked(self, source: Any, outside: Path) -> None:
        (source.path / "link").symlink_to(outside)
        assert problems(source.storage()) == {"link": "it is a symbolic link that leaves the document root"}
        for act in (lambda s: s.read("link/secret"), lambda s: s.delete(["link/secret"])):
            with pytest.raises(Denied, match="outside the document root"):
                act(source.storage())
        with pytest.raises(Denied, match="outside the document root"):
            source.storage().write("link/new/file", b"1")
        assert sorted(os.listdir(outside)) == ["secret"]

    def test_that_goes_round_is_listed_with_a_problem(self, source: Any) -> None:
        source.put("a/b", "1")
        (source.path / "a" / "up").symlink_to(source.path)
        (source.path / "self").symlink_to("self")
        found = problems(source.storage())
        assert found["a/b"] is None
        assert found["a/up"] == "it is a symbolic link to a directory that it is in"
        assert found["self"]

    @pytest.mark.parametrize(
        ("links", "keys"),
        [
            pytest.param({"b": "a"}, ["a/1", "a/sub/2"], id="inside: under its own key"),
            pytest.param({"0": "a", "b": "a/sub"}, ["a/1", "a/sub/2"], id="whatever the link's name"),
            pytest.param({"m": "../other", "l": "../other"}, ["a/1", "a/sub/2", "l/3", "l/deep/4"], id="the first"),
            pytest.param(
                {"l": "../other/deep", "m": "../other"}, ["a/1", "a/sub/2", "l/4", "m/3"], id="a part by another link"
            ),
            pytest.param(
                {"l": "../other", "m": "../other/deep"}, ["a/1", "a/sub/2", "l/3", "l/deep/4"], id="the whole before"
            ),
            pytest.param(
                {"l": "../other", "../other/back": "../in/a"}, ["a/1", "a/sub/2", "l/3", "l/deep/4"], id="back inside"
            ),
            pytest.param({"up": ".."}, ["a/1", "a/sub/2", "up/other/3", "up/other/deep/4"], id="above the source"),
        ],
    )
    def test_to_directories_have_each_listed_once(
        self, source: Any, folder: Callable, links: Any, keys: list[str]
    ) -> None:
        for key in ("a/1", "a/sub/2"):
            source.put(key, "1")
        for key in ("3", "deep/4"):
            folder("other").put(key, "1")
        for name, target in links.items():
            link(source.path / name, target, age=1)
        storage = source.storage()
        assert problems(storage) == dict.fromkeys(keys)
        assert {storage.read(key) for key in keys} == {b"1"}

    @pytest.mark.parametrize(
        ("links", "keys"),
        [
            pytest.param({"z": "../other"}, ["z/3", "z/deep/4"], id="alone"),
            pytest.param({"z": "../other", "b": "../other"}, ["z/3", "z/deep/4"], id="a new one before it"),
            pytest.param({"z": "../other", "b": "../other/deep"}, ["z/3", "z/deep/4"], id="a new one to a part"),
            pytest.param({"b": "../other/deep", "a": "../other"}, ["a/3", "b/4"], id="a new one to the whole"),
            pytest.param({"sub/z": "../../other", "b": "../other"}, ["sub/z/3", "sub/z/deep/4"], id="deeper"),
            pytest.param(
                {"z": "../one", "../one/x": "../other", "b": "../other"},
                ["z/5", "z/x/3", "z/x/deep/4"],
                id="come to by another link",
            ),
            pytest.param(
                {"../other/y": "../one", "../one/x": "../other", "a": "../one", "b": "../other"},
                ["a/5", "a/x/3", "a/x/deep/4"],
                id="the oldest lead round in a circle",
            ),
        ],
    )
    def test_to_one_directory_have_it_listed_by_the_oldest(
        self, source: Any, folder: Callable, links: Any, keys: list[str]
    ) -> None:
        folder("other").put("3", "1")
        folder("other").put("deep/4", "1")
        folder("one").put("5", "1")
        (source.path / "sub").mkdir()
        for age, (name, target) in enumerate(reversed(links.items())):
            link(source.path / name, target, age)
        assert problems(source.storage()) == dict.fromkeys(keys)

    def test_are_looked_at_together_only_where_one_leads_out_of_the_source(
        self, source: Any, folder: Callable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source.put("a/1", "1")
        (source.path / "b").symlink_to("a")
        with monkeypatch.context() as patch:
            patch.setattr(local_links.Links, "_take_all", None)
            assert problems(source.storage()) == {"a/1": None}
        folder("other").put("2", "1")
        (source.path / "c").symlink_to("../other")
        assert problems(source.storage()) == {"a/1": None, "c/2": None}

    @pytest.mark.parametrize("target", ["../other", "../nothing", "../../outside"])
    def test_that_are_not_followed_have_nothing_behind_them_missing(
        self, source: Any, folder: Callable, outside: Path, target: str
    ) -> None:
        folder("other").put("2", "1")
        source.put("1", "1")
        link(source.path / "a", "../other", age=2)
        link(source.path / "z", target, age=1)
        storage = source.storage()
        list(storage.list())
        assert [key for key in ("1", "a/2", "a/gone", "gone/2", "z/2") if not storage.covers(key)] == ["z/2"]

    def test_to_a_directory_is_walked_if_that_has_no_key_of_its_own(self, source: Any) -> None:
        source.put("good", "1")
        odd = Path(os.fsdecode(os.fsencode(source.path) + b"/caf\xe9"))
        odd.mkdir()
        (odd / "a").write_text("1")
        (odd / "up").symlink_to(".")
        (source.path / "link").symlink_to(odd)
        found = problems(source.storage())
        assert (found["link/a"], found["good"]) == (None, None)
        assert len(found) < 8

    @pytest.mark.parametrize("target", ["{root}/in/real", "{root}/other/../in/real", "../in/./real", "{alias}/in/real"])
    def test_that_leads_inside_by_any_way_is_followed(
        self, source: Any, folder: Callable, tmp_path: Path, target: str
    ) -> None:
        source.put("real/a", "1")
        folder("other").put("b", "1")
        (tmp_path / "alias").symlink_to(source.root)
        (folder("other").path / "link").symlink_to(target.format(root=source.root, alias=tmp_path / "alias"))
        storage = folder("other").storage()
        assert problems(storage) == {"b": None, "link/a": None}
        assert storage.read("link/a") == b"1"
        storage.write("link/new/b", b"2")
        assert (source.path / "real/new/b").read_text() == "2"
        storage.delete(["link/a"])
        assert not (source.path / "real/a").exists()

    def test_in_a_long_chain_are_listed_with_a_problem(self, source: Any) -> None:
        source.put("good", "1")
        for number in range(200):
            (source.path / f"l{number:04}").symlink_to(f"l{number + 1:04}" if number < 199 else "good")
        found = problems(source.storage())
        assert found["good"] is None
        assert found["l0190"] is None
        assert "cannot be followed: Too many levels" in str(found["l0000"])

    def test_to_nothing_is_listed_with_a_problem(self, source: Any) -> None:
        (source.path / "link").symlink_to(source.path / "nothing")
        assert problems(source.storage()) == {"link": "it is a symbolic link to nothing"}
        with pytest.raises(NotFound):
            source.storage().read("link")

    def test_where_a_file_goes_is_replaced_and_not_followed(self, source: Any, outside: Path) -> None:
        (source.path / "link").symlink_to(outside / "secret")
        source.storage().write("link", b"mine")
        assert (outside / "secret").read_text() == "secret"
        assert source.storage().read("link") == b"mine"

    def test_where_the_temporary_file_goes_is_not_followed(
        self, source: Any, outside: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names: list[str] = []
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", lambda a, b, **given: names.append(a) or os.rename(a, b, **given))
            source.storage().write("a", b"1")
        (source.path / names[0]).symlink_to(outside / "secret")
        source.storage().write("a", b"mine")
        assert (outside / "secret").read_text() == "secret"
        assert source.storage().read("a") == b"mine"

    @pytest.mark.parametrize("number", [errno.EISDIR, errno.EOPNOTSUPP])
    def test_a_file_system_without_nameless_files_gets_a_look_before(
        self, source: Any, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        opened = os.open

        def without(path: str, flags: int, *rest: int, **given: int) -> int:
            if flags == local_writing.NAMELESS:
                raise OSError(number, "no")
            return opened(path, flags, *rest, **given)

        monkeypatch.setattr(os, "open", without)
        version = source.storage().write("a", b"1", create=True)
        assert source.storage().write("a", b"1", create=True) == version
        with pytest.raises(AlreadyThere):
            source.storage().write("a", b"2", create=True)

    @pytest.mark.parametrize("read_before", [False, True], ids=["at once", "after a first read"])
    def test_that_replaces_a_directory_after_the_listing_is_not_followed(
        self, source: Any, outside: Path, read_before: bool
    ) -> None:
        source.put("sub/secret", "mine")
        storage = source.storage()
        assert problems(storage) == {"sub/secret": None}
        if read_before:
            assert storage.read("sub/secret") == b"mine"
        (source.path / "sub").rename(source.path / "moved")
        (source.path / "sub").symlink_to(outside)
        with pytest.raises(Denied, match="outside the document root"):
            storage.read("sub/secret")


SECONDS = float(os.environ.get("LABELSYNC_EXCHANGE_SECONDS", "2"))


class TestExchange:
    """A directory is a link that leads out at one moment, and none at the next."""

    @pytest.fixture
    def exchanged(self, source: Any, outside: Path) -> Iterator[None]:
        """Two directories that another process exchanges, as fast as it can, for links that lead out."""
        for name in ("sub", "deep/sub"):
            source.put(f"{name}/secret", "mine")
            (source.path / f"{name}-link").symlink_to(outside)
        process = subprocess.Popen([sys.executable, "-c", EXCHANGE, str(source.path)])
        yield
        process.kill()
        process.wait()

    def test_lets_nothing_outside_be_listed_read_written_or_deleted(
        self, source: Any, outside: Path, exchanged: Any
    ) -> None:
        storage = source.storage()
        done: Counter[Any] = Counter()
        refused: Counter[Any] = Counter()
        (outside / "only-here").write_text("secret")
        number, until = 0, time.monotonic() + SECONDS
        while time.monotonic() < until:
            number += 1
            if not number % 5:
                listed = problems(storage)
                assert not [key for key in listed if key.endswith("only-here")]
                done["list"] += 1
            for name in ("sub", "deep/sub"):
                for what, act in {
                    "read": lambda name=name: storage.read(f"{name}/secret"),
                    "write": lambda name=name, create=number % 2 == 0: storage.write(  # type: ignore[misc]
                        f"{name}/mine", b"mine", create=create
                    ),
                    "delete": lambda name=name: storage.delete([f"{name}/only-here"]),
                }.items():
                    try:
                        assert act() in (b"mine", None) or what == "write"
                        done[what] += 1
                    except (Denied, NotFound):
                        refused[what] += 1
        print(f"\n{SECONDS:g} s: done {dict(done)}, refused {dict(refused)}")
        assert sorted(os.listdir(outside)) == ["only-here", "secret"]
        assert all(done[what] and (refused[what] or what == "list") for what in ("list", "read", "write", "delete"))


EXCHANGE = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
os.chdir(sys.argv[1])
pairs = [(name.encode(), name.encode() + b"-link") for name in ("sub", "deep/sub")]
while True:
    for one, other in pairs:
        libc.renameat2(-100, one, -100, other, 2)  # AT_FDCWD, RENAME_EXCHANGE
"""


class TestOddThings:
    def test_file_below_300_directories_is_written_listed_read_and_deleted(self, source: Any) -> None:
        storage, key = source.storage(), "é/" * 300 + "a"
        version = storage.write(key, b"deep")
        assert [(info.key, info.version) for page in storage.list() for info in page] == [(key, version)]
        assert storage.read(key) == b"deep"
        storage.delete([key])
        assert problems(storage) == {}

    def test_name_that_is_not_utf8_is_listed_by_an_escaped_key_and_stops_no_other(self, source: Any) -> None:
        source.put("good", "1")
        (Path(os.fsdecode(os.fsencode(source.path) + b"/caf\xe9.json"))).write_text("1")
        assert problems(source.storage()) == {
            "caf\\xe9.json": "its name is not UTF-8; rename the file",
            "good": None,
        }

    def test_directory_whose_name_is_not_utf8_gives_its_files_a_problem(self, source: Any) -> None:
        source.put("good", "1")
        odd = Path(os.fsdecode(os.fsencode(source.path) + b"/caf\xe9"))
        (odd / "sub").mkdir(parents=True)
        (odd / "sub" / "a").write_text("1")
        assert problems(source.storage()) == {
            "caf\\xe9/sub/a": "its name is not UTF-8; rename the file",
            "good": None,
        }

    def test_fifo_socket_and_device_are_listed_with_a_problem(
        self, source: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source.put("good", "1")
        os.mkfifo(source.path / "fifo")
        (source.path / "link").symlink_to("fifo")
        monkeypatch.chdir(source.path)  # a socket's path may have 108 bytes
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("socket")
            assert problems(source.storage()) == {
                "fifo": "it is a FIFO, and no file",
                "good": None,
                "link": "it is a FIFO, and no file",
                "socket": "it is a socket, and no file",
            }
        assert problems(LocalFiles("file:///dev", "/", recursive=False))["null"] == "it is a device, and no file"

    def test_empty_directory_is_no_object(self, source: Any) -> None:
        (source.path / "empty").mkdir()
        assert list(source.storage().list()) == []

    def test_directory_read_as_a_file_is_invalid(self, source: Any) -> None:
        (source.path / "sub").mkdir()
        with pytest.raises(Invalid, match="directory"):
            source.storage().read("sub")

    def test_file_that_grows_is_read_to_its_end(self, source: Any) -> None:
        # Files of /proc have no size, as a file may have grown since its size was looked up.
        assert LocalFiles("file:///proc/self", "/").read("status").startswith(b"Name:")

    @pytest.mark.parametrize("in_memory", [1, 2, 7, 10])
    def test_more_names_than_are_sorted_in_memory_come_in_order(
        self, source: Any, monkeypatch: pytest.MonkeyPatch, in_memory: int
    ) -> None:
        names = ["a", "a-", "a.json", "line\nbreak", "é", "😀", "z", *map(str, range(13))]
        for name in names:
            source.put(name, "1")
        source.put("a0/b", "1")
        monkeypatch.setattr(spool, "SORTED_IN_MEMORY", in_memory)
        keys = list(problems(source.storage()))
        assert keys == sorted([*names, "a0/b"])

    @pytest.mark.parametrize("mode", [0o000, 0o100, 0o400], ids=["closed", "unreadable", "not to be passed through"])
    def test_directory_that_may_not_be_listed_is_an_object_with_a_problem(
        self, open_folder: Any, unprivileged: Callable, mode: int
    ) -> None:
        for key in ("a", "closed/b", "closed/c/d", "closed-not/e"):
            open_folder.put(key, "1")
        (open_folder.path / "closed").chmod(mode)
        storage = open_folder.storage()
        with unprivileged():
            found = problems(storage)
        assert str(found.pop("closed")).startswith("nothing in it is listed, for it may not be read by user ")
        assert found == {"a": None, "closed-not/e": None}
        assert [key for key in ("a", "closed/b", "closed/c/d", "closed-not/e") if not storage.covers(key)] == [
            "closed/b",
            "closed/c/d",
        ], "what is not listed is not missing"

    def test_directory_that_may_be_listed_again_is_covered(self, open_folder: Any, unprivileged: Callable) -> None:
        open_folder.put("closed/b", "1")
        (open_folder.path / "closed").chmod(0)
        storage = open_folder.storage()
        with unprivileged():
            assert list(problems(storage)) == ["closed"]
        (open_folder.path / "closed").chmod(0o755)
        assert problems(storage) == {"closed/b": None}
        assert storage.covers("closed/b")

    def test_source_that_may_not_be_listed_is_denied(self, open_folder: Any, unprivileged: Callable) -> None:
        open_folder.put("a", "1")
        open_folder.path.chmod(0)
        with unprivileged(), pytest.raises(Denied, match=r"may not be listed by user \d+"):
            list(open_folder.storage().list())

    def test_too_many_directories_that_may_not_be_listed_stop_the_listing(
        self, open_folder: Any, unprivileged: Callable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(local_listing, "MOST_UNLISTED", 2)
        for name in "abc":
            open_folder.put(f"{name}/1", "1")
            (open_folder.path / name).chmod(0)
        with unprivileged(), pytest.raises(Denied, match="2 other directories"):
            list(open_folder.storage().list())

    def test_directory_that_is_too_deep_is_an_object_with_a_problem(
        self, source: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(local_listing, "LONGEST_KEY", 7)
        source.put("good", "1")
        source.put("1/2/3/file", "1")
        source.put("1/2/3/4/5/file", "1")
        storage = source.storage()
        assert problems(storage) == {"1/2/3/4": local_listing.TOO_DEEP, "1/2/3/file": None, "good": None}
        assert not storage.covers("1/2/3/4/5/file")

    def test_directories_as_deep_as_they_can_be_made_stop_nothing(self, source: Any) -> None:
        source.put("good", "1")
        where = os.open(source.path, os.O_RDONLY)
        for _ in range(300):
            os.mkdir("d" * 100, dir_fd=where)
            below = os.open("d" * 100, os.O_RDONLY, dir_fd=where)
            os.close(where)
            where = below
        os.close(where)
        found = problems(source.storage())
        assert found.pop("good") is None
        assert list(found.values()) == [local_listing.TOO_DEEP]
        subprocess.run(["rm", "-rf", source.path], check=True)

    def test_directories_that_are_not_held_open_are_opened_again(
        self, source: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(local_listing, "HELD", 2)
        keys = sorted(f"{'d/' * depth}{name}" for depth in range(8) for name in ("a", "z"))
        for key in keys:
            source.put(key, "1")
        assert list(problems(source.storage())) == keys

    def test_key_that_is_too_long_for_an_index_is_listed_by_another(self, source: Any) -> None:
        source.put("good", "1")
        deep = "/".join(["d" * 240] * 10)
        source.put(f"{deep}/{'f' * 240}", "1")
        found = problems(source.storage())
        assert found.pop("good") is None
        ((key, problem),) = found.items()
        assert key.startswith("ddd")
        assert len(key) < 250
        assert problem == "its key has 2,650 bytes, more than 2,500; shorten it"

    @pytest.mark.parametrize("kind", ["fifo", "socket", "directory"])
    def test_what_a_file_was_exchanged_for_is_invalid_and_keeps_nobody_waiting(
        self, source: Any, monkeypatch: pytest.MonkeyPatch, kind: str
    ) -> None:
        path = source.put("a", "1")
        storage = source.storage()
        assert problems(storage) == {"a": None}
        path.unlink()
        monkeypatch.chdir(source.path)
        with socket.socket(socket.AF_UNIX) as server:
            {"fifo": lambda: os.mkfifo(path), "socket": lambda: server.bind("a"), "directory": path.mkdir}[kind]()
            with pytest.raises(Invalid, match="in/a"):
                storage.read("a")

    def test_file_that_may_not_be_read_is_denied(self, open_folder: Any, unprivileged: Callable) -> None:
        open_folder.put("a", "1").chmod(0)
        with unprivileged(), pytest.raises(Denied, match="may not be read"):
            open_folder.storage().read("a")

    def test_file_that_may_not_be_written_is_denied(self, open_folder: Any, unprivileged: Callable) -> None:
        open_folder.path.chmod(0o555)
        with unprivileged(), pytest.raises(Denied, match="written"):
            open_folder.storage().write("a", b"1")
        assert open_folder.names() == []


class TestAtomicWrite:
    def test_leaves_the_old_file_and_no_other_when_the_rename_fails(
        self, source: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source.put("a", "old")

        def no_rename(*_: str, **given: int) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(os, "replace", no_rename)
        with pytest.raises(Exception, match="Input/output error"):
            source.storage().write("a", b"new")
        assert (source.path / "a").read_text() == "old"
        assert os.listdir(source.path) == ["a"]

    def test_is_synced_before_it_is_renamed(self, source: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        calls: list[str] = []
        for name in ("fsync", "replace"):
            real: Callable = getattr(os, name)
            monkeypatch.setattr(os, name, lambda *a, name=name, real=real, **k: calls.append(name) or real(*a, **k))
        source.storage().write("a", b"1")
        assert calls == ["fsync", "replace", "fsync"], "the file, its name, the directory"

    @pytest.fixture
    def killed(self, source: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """A write of `a` that a signal ended before the file was renamed."""

        class Killed(BaseException):
            pass

        def kill(*_: str, **given: int) -> None:
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", kill)
            with pytest.raises(Killed):
                source.storage().write("a", b"new")
        assert len(os.listdir(source.path)) == 1

    def test_that_was_killed_leaves_what_no_listing_shows_and_the_next_write_takes_over(
        self, source: Any, killed: Any
    ) -> None:
        assert problems(source.storage()) == {}
        source.storage().write("a", b"newer")
        assert os.listdir(source.path) == ["a"]

    def test_that_was_killed_leaves_what_a_delete_takes_away(self, source: Any, killed: Any) -> None:
        source.storage().delete(["a"])
        assert os.listdir(source.path) == []

    def test_of_a_temporary_files_name_is_refused(self, source: Any) -> None:
        with pytest.raises(Invalid, match="reserved"):
            source.storage().write("sub/.labelsync-1.tmp", b"1")

    def test_where_a_directory_stands_is_invalid_and_leaves_nothing(self, source: Any) -> None:
        (source.path / "a").mkdir()
        with pytest.raises(Invalid, match="directory"):
            source.storage().write("a", b"1")
        assert os.listdir(source.path) == ["a"]

    def test_below_a_file_is_an_error_that_names_it(self, source: Any) -> None:
        source.put("a", "1")
        with pytest.raises((NotFound, Invalid), match="a/b"):
            source.storage().write("a/b", b"1")

    def test_of_a_name_too_long_is_invalid(self, source: Any) -> None:
        with pytest.raises(Invalid, match="too long"):
            source.storage().write("x" * 256, b"1")

    def test_makes_the_directories_above(self, folder: Callable) -> None:
        storage = LocalFiles(f"file://{folder('in').root}/new/deep", str(folder("in").root))
        storage.write("er/a", b"1")
        assert storage.read("er/a") == b"1"
