"""Spools give back what came, and what is sorted on disk comes in order."""

import random
import tempfile
from pathlib import Path

import pytest

from labelsync_provider.storages import spool as spools
from labelsync_provider.storages.protocol import ObjectInfo
from labelsync_provider.storages.spool import Spool, sorted_on_disk

ODD = ["", " ", "line\nbreak", "a\r\nb", '"quoted"', "\\", "\0", "é", "e\u0301", "😀", "\u2028", "x" * 10_000]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


class TestSpool:
    def test_gives_items_back_in_the_order_in_which_they_came(self) -> None:
        spool = Spool(str)
        spool.extend(ODD)
        spool.extend(reversed(ODD))
        assert list(spool) == ODD + ODD[::-1]

    def test_gives_them_as_often_as_it_is_asked(self) -> None:
        spool = Spool(str)
        spool.extend(["a", "b"])
        assert list(spool) == list(spool) == ["a", "b"]

    def test_takes_more_after_it_was_read(self) -> None:
        spool = Spool(str)
        spool.extend(["a"])
        assert list(spool) == ["a"]
        spool.extend(["b"])
        assert list(spool) == ["a", "b"]

    def test_of_nothing_is_empty(self) -> None:
        spool = Spool(str)
        assert list(spool) == []
        spool.extend([])
        assert list(spool) == []

    def test_holds_named_tuples(self) -> None:
        infos = [ObjectInfo(key, n, str(n), None if n % 2 else "why") for n, key in enumerate(ODD)]
        spool = Spool(ObjectInfo)
        spool.extend(infos)
        assert list(spool) == infos
        assert all(isinstance(info, ObjectInfo) for info in spool)

    def test_goes_to_disk_when_it_is_large_and_comes_back_whole(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(spools, "IN_MEMORY_BYTES", 1000)
        spool = Spool(str)
        spool.extend(f"{n:05}" for n in range(10_000))
        assert spool._file._rolled  # type: ignore[attr-defined]
        assert list(spool) == [f"{n:05}" for n in range(10_000)]

    def test_leaves_nothing_behind(self, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(spools, "IN_MEMORY_BYTES", 10)
        spool = Spool(str)
        spool.extend(["x" * 1000])
        spool.close()
        assert list(temporary.iterdir()) == []


class TestSortedOnDisk:
    @pytest.mark.parametrize("many", [0, 1, 9, 10, 11, 20, 95, 100, 101])
    def test_gives_all_items_in_the_order_of_code_points(self, monkeypatch: pytest.MonkeyPatch, many: int) -> None:
        monkeypatch.setattr(spools, "SORTED_IN_MEMORY", 10)
        items = [random.Random(n).choice(ODD[:-1]) + str(n) for n in range(many)]
        assert list(sorted_on_disk(iter(items))) == sorted(items)

    def test_keeps_what_comes_twice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(spools, "SORTED_IN_MEMORY", 3)
        assert list(sorted_on_disk(iter("abcabcab"))) == sorted("abcabcab")

    def test_takes_all_items_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(spools, "SORTED_IN_MEMORY", 3)
        items = iter("hgfedcba")
        found = sorted_on_disk(items)
        assert list(items) == []
        assert "".join(found) == "abcdefgh"

    def test_leaves_nothing_behind_when_it_is_not_read_to_its_end(
        self, temporary: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(spools, "SORTED_IN_MEMORY", 100)
        monkeypatch.setattr(spools, "IN_MEMORY_BYTES", 10)
        found = sorted_on_disk(str(n) for n in range(1000))
        assert next(found) == "0"
        del found
        assert list(temporary.iterdir()) == []
