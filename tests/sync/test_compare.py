"""A listing beside what was known: each object is unchanged, fresh or missing, once, wherever pages end."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product

import pytest

from labelsync_provider.storages.location import Location
from labelsync_provider.storages.protocol import ObjectInfo
from labelsync_provider.sync.compare import compare
from labelsync_provider.sync.ledger.records import COMPLETE, KnownObject

known_as = partial(KnownObject, state=COMPLETE, rows=1, quarantined=0, judged_by=None)


def is_unchanged(info: ObjectInfo, known: KnownObject) -> bool:
    return info.version == known.version


def at(root: str = "") -> Location:
    return Location("bucket", "", root, "")


def pages(items: list, size: int) -> Iterator[list]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def outcome(
    listed: dict[str, str], known: dict[str, str], page: int, base: str = "in/", *, folders_first: bool = False
) -> dict[str, list]:
    """Compare keys with versions; `page` is the length of both sides' pages."""
    ledger = [known_as(base + key, version) for key, version in sorted(known.items())]

    def known_between(after: str, last: str | None) -> Iterator[list[KnownObject]]:
        yield from pages([k for k in ledger if k.path > after and (last is None or k.path <= last)], page)

    def known_at(paths: Sequence[str]) -> Iterator[list[KnownObject]]:
        yield from pages([k for k in ledger if k.path in paths], page)

    order = sorted(listed, key=(lambda key: key.replace("/", "\0")) if folders_first else None)
    listing = pages([ObjectInfo(key, 1, listed[key]) for key in order], page)
    found: dict[str, list] = {"unchanged": [], "new": [], "changed": [], "missing": []}
    for differences in compare(listing, at(base), is_unchanged, known_between, known_at):
        found["unchanged"] += [k.path for k in differences.unchanged]
        found["new"] += [path for path, _, k in differences.fresh if k is None]
        found["changed"] += [path for path, _, k in differences.fresh if k is not None]
        found["missing"] += [k.path for k in differences.missing]
    return found


def nothing_known(paths: Sequence[str]) -> Iterator[list[KnownObject]]:
    yield from ()


@pytest.mark.parametrize("page", [1, 2, 3, 100])
@pytest.mark.parametrize(
    ("listed", "known", "expected"),
    [
        ({}, {}, {}),
        ({"a": "1"}, {}, {"new": "a"}),
        ({"a": "1"}, {"a": "1"}, {"unchanged": "a"}),
        ({"a": "2"}, {"a": "1"}, {"changed": "a"}),
        ({}, {"a": "1", "b": "1"}, {"missing": "ab"}),
        ({"c": "1"}, {"a": "1", "b": "1", "d": "1", "e": "1"}, {"new": "c", "missing": "abde"}),
        ({"a": "1", "e": "1"}, {"a": "1", "b": "1", "c": "1", "e": "1"}, {"unchanged": "ae", "missing": "bc"}),
        (
            {"a": "1", "b": "2", "c": "1", "e": "1"},
            {"a": "1", "b": "1", "d": "1", "f": "1"},
            {"unchanged": "a", "changed": "b", "new": "ce", "missing": "df"},
        ),
    ],
)
def test_differences(listed: dict[str, str], known: dict[str, str], expected: dict[str, str], page: int) -> None:
    found = outcome(listed, known, page)
    assert {name: sorted(paths) for name, paths in found.items()} == {
        name: [f"in/{key}" for key in expected.get(name, "")] for name in found
    }


def test_every_object_is_told_once_in_every_combination_of_four() -> None:
    states = [(None, None), ("1", None), (None, "1"), ("1", "1"), ("2", "1")]
    names = {(None, None): None, ("1", None): "new", (None, "1"): "missing", ("1", "1"): "unchanged"}
    for combination in product(states, repeat=4):
        keyed = dict(zip("abcd", combination, strict=True))
        listed = {key: version for key, (version, _) in keyed.items() if version}
        known = {key: version for key, (_, version) in keyed.items() if version}
        found = outcome(listed, known, 2, base="")
        for key, state in keyed.items():
            told = [name for name, paths in found.items() for path in paths if path == key]
            expected = names.get(state, "changed")
            assert told == ([expected] if expected else []), (combination, key)


@pytest.mark.parametrize("page", [1, 2, 3, 100])
def test_service_that_lists_folders_first_makes_no_difference(page: int) -> None:
    keys = ["a", "a-", "a-/x", "a/", "a/b", "a/b-", "a/b/c", "a0", "b!", "b/x"]
    assert sorted(keys) != sorted(keys, key=lambda key: key.replace("/", "\0"))
    states = [("1", None), (None, "1"), ("1", "1"), ("2", "1")]
    for turn in range(len(states)):
        keyed = {key: states[(n + turn) % len(states)] for n, key in enumerate(keys)}
        listed = {key: version for key, (version, _) in keyed.items() if version}
        known = {key: version for key, (_, version) in keyed.items() if version}
        in_order, folders_first = (
            {name: sorted(paths) for name, paths in outcome(listed, known, page, folders_first=first).items()}
            for first in (False, True)
        )
        assert folders_first == in_order


def test_object_listed_twice_is_told_once() -> None:
    listing = iter([[ObjectInfo("b", 1, "1")], [ObjectInfo("a", 1, "1")], [ObjectInfo("a", 1, "1")]])
    differences = list(compare(listing, at(), is_unchanged, lambda after, last: iter(()), nothing_known))
    assert [path for d in differences for path, _, _ in d.fresh] == ["b", "a"]


@pytest.mark.parametrize("version", ["1", "2", None])
def test_objects_listed_again_on_any_later_page_are_told_once(version: str | None) -> None:
    one, two, three, four = (ObjectInfo(key, 1, "1") for key in ("a", "b", "c", "d"))
    known = [] if version is None else [known_as(info.key, version) for info in (one, two, three, four)]

    def known_at(paths: Sequence[str]) -> Iterator[list[KnownObject]]:
        yield [entry for entry in known if entry.path in paths]

    listing = iter([[one, two], [two, three], [one], [two, four], [three, four]])
    told: list[str] = []
    for found in compare(listing, at(), is_unchanged, lambda *_: iter([known] if known else []), known_at):
        told += [entry.path for entry in found.unchanged] + [path for path, *_ in found.fresh]
    assert sorted(told) == ["a", "b", "c", "d"]


def test_empty_pages_of_a_listing_are_passed_over() -> None:
    listing = iter([[], [ObjectInfo("b", 1, "1")], []])
    ledger = [known_as("a", "1"), known_as("c", "1")]

    def known_between(after: str, last: str | None) -> Iterator[list[KnownObject]]:
        yield [k for k in ledger if k.path > after and (last is None or k.path <= last)]

    differences = list(compare(listing, at(), is_unchanged, known_between, nothing_known))
    assert [k.path for d in differences for k in d.missing] == ["a", "c"]
    assert [path for d in differences for path, _, _ in d.fresh] == ["b"]


def test_listing_that_breaks_off_makes_nothing_missing_behind_it() -> None:
    def broken() -> Iterator[list[ObjectInfo]]:
        yield [ObjectInfo("a", 1, "1")]
        raise ConnectionError

    ledger = [known_as("a", "1"), known_as("b", "1")]

    def known_between(after: str, last: str | None) -> Iterator[list[KnownObject]]:
        yield [k for k in ledger if k.path > after and (last is None or k.path <= last)]

    comparison = compare(broken(), at(), is_unchanged, known_between, nothing_known)
    assert next(comparison).missing == []
    with pytest.raises(ConnectionError):
        next(comparison)


def test_an_object_that_ends_a_page_and_begins_the_next_is_one() -> None:
    listing = iter([[ObjectInfo("a", 1, "1"), ObjectInfo("b", 1, "1")], [ObjectInfo("b", 1, "1")], []])
    differences = compare(listing, at(), is_unchanged, lambda after, last: iter(()), nothing_known)
    assert [path for part in differences for path, _, _ in part.fresh] == ["a", "b"]
