"""What every storage does. One more storage is one more entry in STORAGES."""

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest

from labelsync_provider.errors import Invalid, NotFound
from labelsync_provider.storages.local_files import LocalFiles
from labelsync_provider.storages.protocol import ObjectInfo, Storage

Open = Callable[..., Storage]


def local_files(tmp_path: Path) -> Open:
    def open_storage(prefix: str = "in", *, recursive: bool = True) -> Storage:
        return LocalFiles(f"file://{tmp_path}/{quote(prefix)}", str(tmp_path), recursive=recursive)

    return open_storage


# Name -> what, given a directory to work in, returns a function that opens a prefix of one and the same place.
STORAGES: dict[str, Callable[[Path], Open]] = {"local files": local_files}


@pytest.fixture(params=STORAGES.values(), ids=STORAGES)
def open_storage(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    return request.param(tmp_path)


@pytest.fixture
def storage(open_storage: Open) -> Storage:
    return open_storage()


def fill(storage: Storage, keys: list[str]) -> None:
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda key: storage.write(key, key.encode()), keys))


def listed(storage: Storage) -> list[ObjectInfo]:
    return [info for page in storage.list() for info in page]


def keys(storage: Storage) -> list[str]:
    return [info.key for info in listed(storage)]


# By code point, "-" and "." are below "/", digits above it, and what is astral is above the end of the BMP.
ORDERED = ["A", "Z", "a+/x", "a-", "a.json", "a/x", "a/y/z", "a/y0", "a0", "b", "é", "ﾟ", "😀"]

ODD = [
    "two words.json",
    " leading and trailing ",
    "100%.json",
    "a%20b.json",
    "a+b.json",
    "a#b.json",
    "a?b=c&d.json",
    'quote\'s "here".json',
    "back\\slash.json",
    "line\nbreak.json",
    "é composed.json",
    "e\u0301 decomposed.json",
    "😀.json",
    "...",
    "x" * 250 + ".json",
    "é" * 125 + ".json",
]

LEADING_OUT = ["", ".", "..", "../x", "a/../x", "a/./x", "/etc/passwd", "//x", "a//x", "a/", "/", "a\0b"]


class TestList:
    def test_is_in_the_order_of_code_points(self, storage: Storage) -> None:
        fill(storage, ORDERED)
        assert keys(storage) == ORDERED == sorted(ORDERED)

    def test_goes_on_past_five_thousand_objects_in_order_and_in_bounded_pages(self, storage: Storage) -> None:
        wanted = sorted(
            [f"a-{n:04}" for n in range(1400)]
            + [f"a/{n:04}.json" for n in range(3700)]
            + [f"a.{n}" for n in range(200)]
        )
        fill(storage, wanted)
        pages = list(storage.list())
        assert [info.key for page in pages for info in page] == wanted
        assert max(map(len, pages)) <= 5000

    def test_shows_what_is_below_when_recursive(self, open_storage: Open) -> None:
        fill(open_storage(), ["a", "b/c", "b/d/e"])
        assert keys(open_storage(recursive=True)) == ["a", "b/c", "b/d/e"]

    def test_shows_one_level_when_not_recursive(self, open_storage: Open) -> None:
        fill(open_storage(), ["a", "b/c", "b/d/e"])
        assert keys(open_storage(recursive=False)) == ["a"]

    @pytest.mark.parametrize("recursive", [True, False])
    def test_shows_exactly_the_keys_that_are_covered(self, open_storage: Open, recursive: bool) -> None:
        all_keys = ["a", "b/c", "b/d/e"]
        storage = open_storage(recursive=recursive)
        fill(storage, all_keys)
        assert keys(storage) == [key for key in all_keys if storage.covers(key)]

    def test_of_a_prefix_that_is_not_there_is_empty(self, open_storage: Open) -> None:
        assert listed(open_storage("nowhere")) == []

    def test_leaves_out_what_lies_beside_the_prefix(self, open_storage: Open) -> None:
        fill(open_storage("in"), ["a"])
        fill(open_storage("in-2"), ["b"])
        fill(open_storage("i"), ["c"])
        assert keys(open_storage("in")) == ["a"]

    def test_shows_size_and_no_problem(self, storage: Storage) -> None:
        storage.write("a", b"12345")
        ((info,),) = storage.list()
        assert (info.key, info.size, info.problem) == ("a", 5, None)

    def test_tells_keys_apart_that_differ_only_in_case(self, storage: Storage) -> None:
        fill(storage, ["A.json", "a.json"])
        assert keys(storage) == ["A.json", "a.json"]
        assert storage.read("a.json") == b"a.json"


@pytest.mark.parametrize("key", ODD)
def test_odd_key_is_written_listed_read_and_deleted(storage: Storage, key: str) -> None:
    version = storage.write(key, b"content")
    assert [(info.key, info.version) for info in listed(storage)] == [(key, version)]
    assert storage.read(key) == b"content"
    storage.delete([key])
    assert listed(storage) == []


class TestRead:
    def test_returns_what_was_written(self, storage: Storage) -> None:
        storage.write("a", bytes(range(256)))
        assert storage.read("a") == bytes(range(256))

    def test_returns_nothing_of_an_empty_object(self, storage: Storage) -> None:
        storage.write("a", b"")
        assert storage.read("a") == b""
        assert listed(storage)[0].size == 0

    def test_returns_all_of_50_megabytes(self, storage: Storage) -> None:
        content = bytes(range(256)) * (50 * 4096)
        storage.write("a", content)
        assert storage.read("a") == content

    def test_of_a_missing_key_is_not_found(self, storage: Storage) -> None:
        storage.write("a", b"1")
        with pytest.raises(NotFound, match="missing"):
            storage.read("missing.json")

    def test_of_a_key_below_an_object_is_not_found(self, storage: Storage) -> None:
        storage.write("a", b"1")
        with pytest.raises(NotFound):
            storage.read("a/b")

    @pytest.mark.parametrize("key", LEADING_OUT)
    def test_of_a_key_that_leads_out_is_invalid(self, storage: Storage, key: str) -> None:
        with pytest.raises(Invalid):
            storage.read(key)


class TestWrite:
    def test_returns_the_version_that_the_listing_shows(self, storage: Storage) -> None:
        version = storage.write("a/b", b"1")
        assert [info.version for info in listed(storage)] == [version]

    def test_replaces_what_was_there(self, storage: Storage) -> None:
        storage.write("a", b"a long first content")
        storage.write("a", b"short")
        assert storage.read("a") == b"short"
        assert [info.size for info in listed(storage)] == [5]

    def test_of_another_content_of_the_same_size_makes_another_version(self, storage: Storage) -> None:
        before = storage.write("a", b"1")
        time.sleep(0.02)  # a file system's clock ticks every few milliseconds
        assert storage.write("a", b"2") != before

    def test_leaves_the_versions_of_others_alone(self, storage: Storage) -> None:
        before = storage.write("a", b"1")
        storage.write("b", b"2")
        assert listed(storage)[0].version == before

    @pytest.mark.parametrize("key", LEADING_OUT)
    def test_to_a_key_that_leads_out_is_invalid(self, storage: Storage, key: str) -> None:
        with pytest.raises(Invalid, match="key"):
            storage.write(key, b"1")


class TestDelete:
    def test_takes_away_what_is_named_and_nothing_else(self, storage: Storage) -> None:
        fill(storage, ["a", "b/c", "b/d"])
        storage.delete(["a", "b/c"])
        assert keys(storage) == ["b/d"]

    def test_a_second_time_is_no_error(self, storage: Storage) -> None:
        storage.write("a", b"1")
        storage.delete(["a"])
        storage.delete(["a", "never/there"])
        assert listed(storage) == []

    @pytest.mark.parametrize("key", LEADING_OUT)
    def test_of_a_key_that_leads_out_is_invalid(self, storage: Storage, key: str) -> None:
        with pytest.raises(Invalid):
            storage.delete([key])


class TestIdentity:
    def test_base_and_key_name_an_object_through_whatever_prefix_it_is_reached(self, open_storage: Open) -> None:
        outer, inner = open_storage("in"), open_storage("in/sub")
        assert outer.place == inner.place
        assert outer.base + "sub/a.json" == inner.base + "a.json"
        assert outer.object_uri("sub/a.json") == inner.object_uri("a.json")

    def test_no_two_objects_share_a_uri(self, storage: Storage) -> None:
        assert len({storage.object_uri(key) for key in ODD}) == len(ODD)

    def test_uri_holds_no_character_that_a_uri_cannot(self, storage: Storage) -> None:
        for key in ODD:
            uri = storage.object_uri(key)
            assert re.fullmatch(r"[A-Za-z0-9:/?=%._~!$&()*+,;@'-]+", uri), uri
