"""What is a task file, which rows it has, and what is said of one that is none."""

import gzip
import json
import re
from typing import Any

import pytest

from labelsync_provider.errors import Invalid
from labelsync_provider.projects.protocol import Task
from labelsync_provider.sync import task_files
from labelsync_provider.sync.task_files import BadRow, Row, name_problem, rows, size_problem


def read(content: str | bytes, key: str = "a.json") -> list[Row | BadRow]:
    return list(rows(key, content if isinstance(content, bytes) else content.encode()))


def tasks(content: str | bytes, key: str = "a.json") -> list[Task]:
    found = read(content, key)
    assert all(isinstance(row, Row) for row in found), found
    return [row.task for row in found]


def reasons(content: str | bytes, key: str = "a.json") -> list[tuple[int, str]]:
    """Return the bad rows, or, under -1, why the whole file is bad."""
    try:
        return [(row.position, row.reason) for row in read(content, key) if isinstance(row, BadRow)]
    except Invalid as error:
        return [(-1, str(error))]


A, B = Task({"text": "a"}), Task({"text": "b"})


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"data": {"text": "a"}}', [A]),
        ('{"text": "a"}', [A]),
        ('[{"data": {"text": "a"}}, {"text": "b"}]', [A, B]),
        ('{"text": "a"}\n{"text": "b"}', [A, B]),
        ('{"text": "a"}\n{"text": "b"}\n', [A, B]),
        ('{"text": "a"}\r\n\r\n  \n{"data": {"text": "b"}}\r\n', [A, B]),
        ('\n\n{"text": "a"}\n{"text": "b"}', [A, B]),
        ('  \n\t{\n "text":\n "a"}\n ', [A]),
        (b'\xef\xbb\xbf{"text": "a"}', [A]),
        (b'\xef\xbb\xbf[{"text": "a"}]', [A]),
        (b'\xef\xbb\xbf{"text": "a"}\n{"text": "b"}', [A, B]),
        ("{}", [Task({})]),
        ('{"data": {}}', [Task({})]),
        ('{"data": {"text": "a"}, "meta": null, "annotations": null, "predictions": null}', [A]),
        ('{"data": {"text": "a"}, "meta": {"page": 1}}', [Task({"text": "a"}, {"page": 1})]),
        ('{"data": {"text": "a"}, "id": 5, "project": 7, "drafts": []}', [A]),
        # An earlier import's note says where that task came from, not this one.
        ('{"data": {"text": "a"}, "meta": {"labelsync": {"uri": "x"}, "page": 1}}', [Task({"text": "a"}, {"page": 1})]),
        # Label Studio's export gives predictions by id unless it is asked for more.
        ('{"data": {"text": "a"}, "predictions": [1, 2]}', [A]),
        (
            '{"data": {"text": "a"}, "predictions": [1, {"result": [], "score": 1}]}',
            [Task({"text": "a"}, predictions=[{"result": [], "score": 1}])],
        ),
        (
            '{"data": {"text": "a"}, "annotations": [{"result": [{"id": "x"}], "completed_by": {"email": "a@b.c"}}]}',
            [Task({"text": "a"}, annotations=[{"result": [{"id": "x"}], "completed_by": {"email": "a@b.c"}}])],
        ),
        (
            '{"data": {"text": "a"}, "annotations": [{"result": [], "lead_time": null, "id": null}]}',
            [Task({"text": "a"}, annotations=[{"result": [], "lead_time": None, "id": None}])],
        ),
        ('{"n": 123456789012345678901234567890}', [Task({"n": 123456789012345678901234567890})]),
        ('{"n": -9223372036854775809, "m": 1.5e300}', [Task({"n": -9223372036854775809, "m": 1.5e300})]),
        ('{"text": "\\u0000 \\ud83d\\ude00 ä"}', [Task({"text": "\0 😀 ä"})]),
        ('{"text": "a", "text": "b"}', [B]),
    ],
)
def test_rows_of_a_task_file(content: str | bytes, expected: list[Task]) -> None:
    assert tasks(content) == expected


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "empty"),
        (" \n ", "empty"),
        ("[]", "empty"),
        (" [ ]\n", "empty"),
        ("5", "not a task file: it begins with b'5'"),
        ('"text"', "not a task file"),
        ("null", "not a task file"),
        ("NaN", "not a task file"),
        ("id,text\n1,a", "not a task file"),
        ("<html></html>", "not a task file"),
        (b"\x89PNG\r\n", "wrongly encoded: not UTF-8, byte 0x89 at 0"),
        ('{"text": "a"', "malformed"),
        ('{"text": "a"}}', "malformed"),
        ('{"text": "a"}{"text": "b"}', "malformed"),
        ('{"text": "a"},\n', "malformed"),
        ('[{"text": "a"}', "malformed"),
        ('[{"text": "a"},]', "malformed"),
        ('[{"text": "a"}] []', "malformed"),
        ("{'text': 'a'}", "malformed"),
        ('{"n": NaN}', "malformed"),
        ('{"n": Infinity}', "malformed"),
        ('{"n": 1e999}', "malformed"),
        ('{"text": "\\ud800"}', "malformed"),
        ('[{"text": "a"}, {"text": "\\ud800"}]', "malformed"),
        (b'{"text": "caf\xe9"}', "wrongly encoded: not UTF-8, byte 0xe9 at 13"),
        (b'{"a": 1}\n{"text": "\xff"}', "wrongly encoded: not UTF-8, byte 0xff at 19"),
        ('{"text": "a"}'.encode("utf-16"), "wrongly encoded: it is UTF-16"),
        ('{"text": "a"}'.encode("utf-16-be"), "not a task file|malformed|wrongly encoded"),
        (b"\xfe\xff" + '{"text": "a"}'.encode("utf-16-be"), "wrongly encoded: it is UTF-16"),
        ("[" * 100_000, "too deeply nested|malformed"),
        ('{"a":' * 100_000, "too deeply nested|malformed"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "too deeply nested"),
        ("[" * 100_000 + "]" * 100_000, "too deeply nested"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_file_that_is_none(content: str | bytes, reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        read(content)


@pytest.mark.parametrize(
    ("content", "bad"),
    [
        ("[1]", [(0, "a row is a JSON object, this is a number")]),
        ('[{"text": "a"}, null, "x", [], true]', [(1, "null"), (2, "a text"), (3, "an array"), (4, "a boolean")]),
        ('{"text": "a"}\n{"text": \n{"text": "b"}', [(1, "malformed")]),
        ('{"text": "a"}\n[1]\n', [(1, "an array")]),
        ('{"text": "a"}\n{"text": "b"}{"text": "c"}\n{"text": "d"}', [(1, "malformed")]),
        ('{"text": "a"}\n{"n": NaN}\n{"text": "b"}', [(1, "malformed")]),
        ('{"text": "a"}\n{"text": "\\ud800"}\n{"text": "b"}', [(1, "malformed")]),
        ('{"annotations": []}', [(0, "`data` must be an object, it is missing or null")]),
        ('{"data": null}', [(0, "`data` must be an object")]),
        ('{"data": "x.jpg"}', [(0, "`data` must be an object, it is a text")]),
        ('{"data": []}', [(0, "`data` must be an object, it is an array")]),
        ('{"data": {}, "meta": []}', [(0, "`meta` must be an object, it is an array")]),
        ('{"data": {}, "annotations": {}}', [(0, "`annotations` must be an array, it is an object")]),
        ('{"data": {}, "predictions": "x"}', [(0, "`predictions` must be an array, it is a text")]),
        ('{"data": {}, "annotations": [5]}', [(0, r"`annotations\[0\]` must be an object with a `result` array")]),
        ('{"data": {}, "annotations": [{"result": []}, {}]}', [(0, r"`annotations\[1\]` must be an object")]),
        ('{"data": {}, "predictions": [{"result": {}}]}', [(0, r"`predictions\[0\]` must be an object")]),
        (json.dumps({"a": [[]] * 3, "deep": json.loads("[" * 101 + "]" * 101)}), [(0, "too deeply nested: more than")]),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_row_that_is_no_task_leaves_the_others_alone(content: str, bad: list[tuple[int, str]]) -> None:
    found = reasons(content)
    assert [index for index, _ in found] == [index for index, _ in bad]
    for (_, reason), (_, expected) in zip(found, bad, strict=True):
        assert re.search(expected, reason), reason
    assert [row.position for row in read(content) if isinstance(row, Row)] == [
        n for n in range(len(read(content))) if n not in dict(bad)
    ]


@pytest.mark.parametrize("key", ["a.jsonl", "a.ndjson"])
def test_bad_first_line_leaves_the_others_alone(key: str) -> None:
    assert [index for index, _ in reasons('{"text": \n{"text": "b"}\n{"text": "c"}\n', key)] == [0]


WRONG_TYPES: list[tuple[str, Any]] = [
    ("id", "7"),
    ("id", 7.0),
    ("id", True),
    ("id", 2**63),
    ("was_cancelled", "no"),
    ("was_cancelled", 0),
    ("ground_truth", "true"),
    ("lead_time", "5 s"),
    ("lead_time", 2**64),
    ("created_at", 5),
    ("updated_at", {}),
    ("created_at", "a\0b"),
    ("unique_id", 5),
    ("import_id", "abc"),
    ("import_id", 2**63),
]


@pytest.mark.parametrize(("field", "value"), WRONG_TYPES, ids=lambda value: str(value)[:20])
def test_annotation_field_that_a_database_could_not_hold_makes_a_bad_row(field: str, value: Any) -> None:
    row = {"data": {}, "annotations": [{"result": [], field: value}]}
    ((index, reason),) = reasons(json.dumps([row]))
    assert index == 0
    assert f"`annotations[0].{field}`" in reason


@pytest.mark.parametrize(("field", "value"), [("score", "0.5"), ("score", True), ("model_version", 3)], ids=str)
def test_prediction_field_that_a_database_could_not_hold_makes_a_bad_row(field: str, value: Any) -> None:
    ((_, reason),) = reasons(json.dumps({"data": {}, "predictions": [{"result": [], field: value}]}))
    assert f"`predictions[0].{field}`" in reason


def test_exactly_as_deep_as_allowed_is_a_row() -> None:
    deepest = json.loads('{"a":' * 99 + "1" + "}" * 99)
    assert tasks(json.dumps({"data": deepest})) == [Task(deepest)]


class TestGzip:
    def test_is_unpacked_by_suffix(self) -> None:
        packed = gzip.compress(b'\xef\xbb\xbf{"text": "a"}\n{"text": "b"}')
        assert tasks(packed, "a.jsonl.gz") == tasks(packed, "A.JSON.GZ") == [A, B]

    def test_of_several_members_is_one_file(self) -> None:
        packed = gzip.compress(b'{"text": "a"}\n') + gzip.compress(b'{"text": "b"}\n')
        assert tasks(packed, "a.jsonl.gz") == [A, B]

    @pytest.mark.parametrize(
        "broken",
        [
            b"",
            b'{"text": "a"}',
            gzip.compress(b'{"text": "a"}')[:-5],
            gzip.compress(b'{"text": "a"}')[:12],
            gzip.compress(b'{"text": "a"}')[:-8] + b"\0" * 8,
            b"\x1f\x8b\x08\x00" + b"\xff" * 30,
        ],
        ids=["empty", "not packed", "truncated at its end", "truncated", "wrong checksum", "garbage"],
    )
    def test_that_is_broken_says_so(self, broken: bytes) -> None:
        with pytest.raises(Invalid, match=r"gzip compression is broken|empty"):
            read(broken, "a.json.gz")

    def test_that_unpacks_to_too_much_says_so(self, monkeypatch) -> None:
        monkeypatch.setattr(task_files, "MAX_BYTES", 1000)
        with pytest.raises(Invalid, match="unpacked oversized"):
            read(gzip.compress(json.dumps({"text": "a" * 2000}).encode()), "a.json.gz")

    def test_of_a_whole_that_is_small_enough_is_read(self, monkeypatch) -> None:
        monkeypatch.setattr(task_files, "MAX_BYTES", 1000)
        assert len(tasks(gzip.compress(json.dumps({"text": "a" * 980}).encode()), "a.json.gz")) == 1


class TestName:
    @pytest.mark.parametrize(
        "key", ["a.json", "a.jsonl", "a.ndjson", "A.JSON", "a", "x.y/a", "a.json.gz", "a.gz", ".hidden", "a.b.json"]
    )
    def test_of_a_task_file(self, key: str) -> None:
        assert name_problem(key) is None

    @pytest.mark.parametrize("key", ["a.jpg", "a.csv", "a.json.bak", "a.tar.gz", "x/a.JPG", "a.parquet"])
    def test_of_something_else_says_what_to_do(self, key: str) -> None:
        problem = name_problem(key) or ""
        assert problem.startswith("not a task file")
        assert "use_blob_urls" in problem
        assert "regex_filter" in problem


class TestSize:
    def test_of_too_much_says_how_much(self, monkeypatch) -> None:
        monkeypatch.setattr(task_files, "MAX_BYTES", 1000)
        assert size_problem(1000) is None
        assert size_problem(1001) == "oversized: 1,001 bytes; a task file may have 1,000. Split it"
        with pytest.raises(Invalid, match="oversized"):
            read(json.dumps({"text": "a" * 1000}))

    def test_of_a_row_is_that_in_the_file(self) -> None:
        assert [row.size for row in read('[{"a": 1},   {"bb": 22}]')] == [8, 10]


class TestDigest:
    SAME = (
        '{"data": {"a": 1, "b": {"c": [1, 2], "d": "ä"}}}',
        '{ "data" :\n{"b": {"d": "\\u00e4", "c": [1,2]}, "a": 1} }',
        '{"a": 1, "b": {"c": [1, 2], "d": "ä"}}',
        '{"id": 9, "data": {"a": 1, "b": {"c": [1, 2], "d": "ä"}}, "annotations": [], "meta": {}}',
        '{"data": {"a": 1, "b": {"c": [1, 2], "d": "ä"}}, "meta": {"labelsync": {"row": 1}}}',
        '[{"data": {"a": 1, "b": {"c": [1, 2], "d": "ä"}}}]',
    )
    OTHER = (
        '{"data": {"a": 1, "b": {"c": [2, 1], "d": "ä"}}}',
        '{"data": {"a": "1", "b": {"c": [1, 2], "d": "ä"}}}',
        '{"data": {"a": 1, "b": {"c": [1, 2], "d": "ä"}}, "meta": {"x": 1}}',
        '{"data": {"a": 1, "b": {"c": [1, 2], "d": "ä"}}, "annotations": [{"result": []}]}',
        '{"data": {"a": 1, "b": {"c": [1, 2], "d": "ä"}}, "predictions": [{"result": []}]}',
    )

    @staticmethod
    def of(content: str) -> str:
        (row,) = read(content)
        return row.digest

    def test_is_the_same_however_the_content_is_written(self) -> None:
        assert len({self.of(content) for content in self.SAME}) == 1

    def test_differs_with_the_content(self) -> None:
        assert len({self.of(content) for content in (*self.OTHER, self.SAME[0])}) == len(self.OTHER) + 1


class TestAllowSkip:
    @pytest.mark.parametrize(("given", "kept"), [("true", True), ("false", False), ("null", None)])
    def test_comes_with_the_task(self, given: str, kept: bool | None) -> None:
        assert tasks(f'{{"data": {{"text": "a"}}, "allow_skip": {given}}}') == [Task({"text": "a"}, allow_skip=kept)]

    @pytest.mark.parametrize("given", ["1", '"no"', "[]"])
    def test_of_another_type_makes_a_bad_row(self, given: str) -> None:
        ((_, reason),) = reasons(f'{{"data": {{"text": "a"}}, "allow_skip": {given}}}')
        assert reason.startswith("bad row: `allow_skip` must be true or false, it is ")

    def test_alone_is_data_like_any_other_key(self) -> None:
        assert tasks('{"allow_skip": true}') == [Task({"allow_skip": True})]

    def test_alone_makes_another_digest_of_the_same_data(self) -> None:
        first, second = read('[{"data": {"a": 1}}, {"data": {"a": 1}, "allow_skip": false}]')
        assert isinstance(first, Row)
        assert isinstance(second, Row)
        assert first.digest != second.digest
        assert task_files.without_skip(second.digest) == first.digest


class TestRowKey:
    @staticmethod
    def keys(content: str, row_key: str) -> list[str | None]:
        """Return the keys of the rows; of a bad one, why it is bad."""
        found = rows("a.json", content.encode(), row_key)
        return [row.key if isinstance(row, Row) else row.reason for row in found]

    @pytest.mark.parametrize(
        ("row_key", "row"),
        [
            ("id", '{"id": 7, "text": "a"}'),
            ("id", '{"id": "7", "data": {"text": "a"}}'),
            ("data.id", '{"data": {"id": 7}}'),
            ("data.file.name", '{"data": {"file": {"name": "7"}}}'),
            ("meta.row", '{"data": {}, "meta": {"row": 7}}'),
        ],
    )
    def test_is_the_field_as_written_a_number_or_a_text(self, row_key: str, row: str) -> None:
        assert self.keys(row, row_key) == ["7"]

    @pytest.mark.parametrize(
        "value", ['""', "null", "true", "1.5", "[]", "{}"], ids=["empty", "null", "boolean", "float", "array", "object"]
    )
    def test_of_another_kind_makes_a_bad_row(self, value: str) -> None:
        (reason,) = self.keys(f'{{"id": {value}, "text": "a"}}', "id")
        assert str(reason).startswith("bad row: its 'id' (row_key) must be a text or a whole number, it is ")

    def test_that_a_row_lacks_makes_a_bad_row(self) -> None:
        assert [str(key)[:7] for key in self.keys('[{"id": 1}, {"text": "a"}, {"data": {"id": 2}}]', "id")] == [
            "1",
            "bad row",
            "bad row",
        ]

    def test_given_a_second_time_makes_the_second_row_a_bad_one(self) -> None:
        first, second, third = self.keys('[{"id": 1}, {"id": 2}, {"id": "1"}]', "id")
        assert (first, second) == ("1", "2")
        assert "is that of row 0 too" in str(third)

    def test_is_none_where_it_is_not_asked_for(self) -> None:
        assert [row.key for row in read('[{"id": 1}]') if isinstance(row, Row)] == [None]
