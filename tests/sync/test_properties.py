"""Generated cases for comparing a listing with what is known, and for what a task file holds."""

import gzip
import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from labelsync_provider.formats.tasks.digests import data_part
from labelsync_provider.formats.tasks.files import rows
from labelsync_provider.formats.tasks.rows import BadRow, Row
from labelsync_provider.projects.protocol import Task
from labelsync_provider.storages.location import Location
from labelsync_provider.storages.protocol import ObjectInfo
from labelsync_provider.sync.compare import compare

KEYS = st.text("ab/\U0010ffff\ud7ff", min_size=1, max_size=4)
VERSIONS = st.sampled_from(["1", "2"])


class Known(NamedTuple):
    path: str
    version: str


@settings(max_examples=300)
@given(
    listed=st.dictionaries(KEYS, VERSIONS, max_size=12),
    known=st.dictionaries(KEYS, VERSIONS, max_size=12),
    page=st.integers(1, 4),
    order=st.randoms(use_true_random=False),
    sorts=st.booleans(),
)
def test_each_object_is_unchanged_fresh_or_missing_once(
    listed: dict[str, str], known: dict[str, str], page: int, order: Any, sorts: bool
) -> None:
    ledger = sorted(Known("in/" + key, version) for key, version in known.items())
    keys = sorted(listed)
    if not sorts:
        order.shuffle(keys)

    def between(after: str, last: str | None) -> Iterator[list[Known]]:
        yield from pages([k for k in ledger if k.path > after and (last is None or k.path <= last)], page)

    def at(paths: Sequence[str]) -> Iterator[list[Known]]:
        yield from pages([k for k in ledger if k.path in paths], page)

    listing = pages([ObjectInfo(key, 1, listed[key]) for key in keys], page)
    location = Location("mem://", "here", root="in/")
    found = list(compare(listing, location, lambda info, k: info.version == k.version, between, at))

    same = {key for key in listed if known.get(key) == listed[key]}
    unchanged = [k.path for part in found for k in part.unchanged]
    fresh = [(path, before and before.version) for part in found for path, _, before in part.fresh]
    missing = [k.path for part in found for k in part.missing]
    assert sorted(unchanged) == sorted("in/" + key for key in same)
    assert sorted(fresh, key=str) == sorted((("in/" + k, known.get(k)) for k in listed.keys() - same), key=str)
    assert sorted(missing) == sorted("in/" + key for key in known.keys() - listed.keys())


def pages(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


VALUES = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text("aé\n", max_size=3))
DATA = st.dictionaries(st.sampled_from(["text", "image", "n"]), VALUES, min_size=1, max_size=3)
LABELS = st.lists(st.fixed_dictionaries({"result": st.just([]), "score": st.integers(0, 2)}), max_size=2)


@st.composite
def written(draw: st.DrawFn) -> dict[str, Any]:
    """A row as it is written: a task, or the data itself."""
    data = draw(DATA)
    if draw(st.booleans()):
        return data
    row: dict[str, Any] = {"data": data}
    for name in ("annotations", "predictions"):
        if draw(st.booleans()):
            row[name] = draw(LABELS)
    if draw(st.booleans()):
        row["meta"] = draw(st.dictionaries(st.sampled_from(["m", "labelsync"]), VALUES, max_size=2))
    if draw(st.booleans()):
        row["allow_skip"] = draw(st.booleans())
    return row


def as_lines(items: list[Any]) -> bytes:
    return "".join(json.dumps(item) + "\n" for item in items).encode()


FORMATS = {
    "a.json": lambda items: json.dumps(items, indent=1).encode(),
    "b.jsonl": as_lines,
    "c.json": lambda items: b"\xef\xbb\xbf" + json.dumps(items).encode(),
    "d.ndjson.gz": lambda items: gzip.compress(as_lines(items)),
}


@settings(max_examples=200)
@given(st.lists(written(), min_size=1, max_size=5))
def test_a_row_is_the_same_task_however_it_is_written(items: list[dict[str, Any]]) -> None:
    read = {name: list(rows(name, write(items))) for name, write in FORMATS.items()}
    first, *others = read.values()
    assert all(isinstance(row, Row) for row in first)
    for other in others:
        assert [(row.task, row.digest) for row in other] == [(row.task, row.digest) for row in first]  # type: ignore[union-attr]


@settings(max_examples=300)
@given(written(), written())
def test_digests_are_equal_for_equal_content_and_tell_equal_data(one: dict[str, Any], other: dict[str, Any]) -> None:
    a, b = (next(rows("a.json", json.dumps([item]).encode())) for item in (one, other))
    assert isinstance(a, Row)
    assert isinstance(b, Row)
    assert (a.digest == b.digest) == (content(a.task) == content(b.task))
    same_data = json.dumps(a.task.data, sort_keys=True) == json.dumps(b.task.data, sort_keys=True)
    assert (data_part(a.digest) == data_part(b.digest)) == same_data


def content(task: Task) -> str:
    return json.dumps(
        [task.data, task.meta, list(task.annotations), list(task.predictions), task.allow_skip], sort_keys=True
    )


@settings(max_examples=200)
@given(
    st.lists(
        st.one_of(written(), st.sampled_from(["{", "1", '"x"', '{"data": 1}', '{"data": {}, "meta": 3}'])), min_size=2
    )
)
def test_a_bad_line_costs_no_good_row(items: list[dict[str, Any] | str]) -> None:
    """Two bad lines may be one: `{` with `1` below it is a document that is malformed."""
    lines = [item if isinstance(item, str) else json.dumps(item) for item in items]
    found = list(rows("a.jsonl", "\n".join(lines).encode()))
    good = [next(rows("a.json", json.dumps(item).encode())) for item in items if not isinstance(item, str)]
    assert [row.digest for row in found if isinstance(row, Row)] == [row.digest for row in good]  # type: ignore[union-attr]
    assert [row.position for row in found] == list(range(len(found)))
    assert any(isinstance(row, BadRow) for row in found) == any(isinstance(item, str) for item in items)


@settings(max_examples=200)
@given(st.lists(written(), max_size=6), st.sampled_from(["text", "data.text"]))
def test_a_row_key_tells_rows_apart(items: list[dict[str, Any]], row_key: str) -> None:
    found = list(rows("a.jsonl", as_lines(items), row_key)) if items else []
    keys = [row.key for row in found if isinstance(row, Row)]
    assert None not in keys
    assert len(set(keys)) == len(keys)
