"""What is a task file, which rows it has, and what is said of one that is none."""

import gzip
import json
import re
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from labelsync_provider.errors import Invalid
from labelsync_provider.formats.tasks import content as task_content
from labelsync_provider.formats.tasks import digests as digests
from labelsync_provider.formats.tasks import files as task_files
from labelsync_provider.formats.tasks import rows as task_rows
from labelsync_provider.formats.tasks.content import size_problem
from labelsync_provider.formats.tasks.files import name_problem, rows
from labelsync_provider.formats.tasks.json_text import documents
from labelsync_provider.formats.tasks.json_text import rows as json_rows
from labelsync_provider.formats.tasks.rows import BadRow, Row
from labelsync_provider.tasks import Task


def read(content: str | bytes, key: str = "a.json") -> list[Row | BadRow]:
    return list(rows(key, content if isinstance(content, bytes) else content.encode()))


def tasks(content: str | bytes, key: str = "a.json") -> list[Task]:
    found = read(content, key)
    assert all(isinstance(row, Row) for row in found), found
    return [row.task for row in found]  # type: ignore[union-attr]


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
        ('{"data": {"text": "a"}, "meta": []}', [A]),
        # Without `data`, nothing else says what a row is.
        ('{"text": "a", "meta": {"source": "news"}}', [Task({"text": "a", "meta": {"source": "news"}})]),
        (
            '{"text": "a", "annotations": [], "predictions": 5}',
            [Task({"text": "a", "annotations": [], "predictions": 5})],
        ),
        ('{"annotations": []}', [Task({"annotations": []})]),
        # One document after another.
        ('{"text": "a"}{"text": "b"}', [A, B]),
        ('{"text": "a"} {"text": "b"}\n', [A, B]),
        ('{"text": "a"}{"text": "b"}\n{"text": "a"}\n{"text": "b"} {"text": "a"}\n', [A, B, A, B, A]),
        ('{\n "text": "a"\n}\n{\n "text": "b"\n}\n', [A, B]),
        ('{"text": "a}{"}\n{"text": "b"}', [Task({"text": "a}{"}), B]),
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
        (b"\x89PNG\r\n", "wrongly encoded: not UTF-8, byte 0x89 at line 1, column 1. Save"),
        ('{"text": "a"', "malformed"),
        ('{"text": "a"}}', "malformed"),
        ('{"text": "a"},\n', "malformed"),
        ('{"text": "a"}{"text": "b"', "malformed"),
        ('{\n "text": "a",\n "n": NaN\n}', "malformed JSON: NaN at line 3, column 7; JSON has no NaN. Write null"),
        ('[\n{"text": "a"},\n{"text": "b"', "malformed JSON: it ends too early, at line 3, column 13"),
        ('[{"text": "a"}', "malformed"),
        ('[{"text": "a"},]', "malformed"),
        ('[{"text": "a"}, "b]', "malformed"),
        ('[{"text": "a"} {"text": "b"}]', "malformed"),
        ("[,]", "malformed"),
        ("{'text': 'a'}", "malformed"),
        ('{"n": NaN}', "malformed"),
        ('{"n": Infinity}', "malformed"),
        ('{"n": 1e999}', "malformed"),
        ('{"text": "\\ud800"}', "malformed"),
        (b'{"text": "caf\xe9"}', "wrongly encoded: not UTF-8, byte 0xe9 at line 1, column 14. Save"),
        ('{"text": "a"}'.encode("utf-16"), "wrongly encoded: it is UTF-16"),
        ('{"text": "a"}'.encode("utf-16-be"), "not a task file|malformed|wrongly encoded"),
        (b"\xfe\xff" + '{"text": "a"}'.encode("utf-16-be"), "wrongly encoded: it is UTF-16"),
        ("[" * 100_000, "too deeply nested|malformed"),
        ('{"a":' * 100_000, "too deeply nested|malformed"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "too deeply nested"),
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
        ('{"text": "a"}\n{"text": "b"}{"text": c}}\n{"text": "d"}', [(1, "malformed")]),
        ('[{"text": "a"}] []', [(0, "an array"), (1, "an array")]),
        # What is bad inside a row costs that row, in lines, arrays and one after another.
        ('{"text": "a"}\n{"n": NaN}\n{"text": "b"}', [(1, r"NaN at row 1, column 7; JSON has no NaN\. Write null")]),
        ('[{"text": "a"}, {"text": "b", "n": NaN}]', [(1, "NaN at row 1, column 20; JSON has no NaN")]),
        ('[{"n": -Infinity}, {"text": "NaN"}]', [(0, "-Infinity at row 0, column 7; JSON has no -Infinity")]),
        ('{"text": "a"}{"n": NaN}{"text": "b"}', [(1, "NaN at row 1, column 7")]),
        ('[{"text": "a"}, NaN, {"text": "b"}]', [(1, "NaN at row 1, column 1")]),
        (
            '{"text": "a"}\n{"text": "\\ud800"}\n{"text": "b"}',
            [(1, r"\\ud800 at row 1, column 11 is half of a surrogate")],
        ),
        ('[{"text": "\\ud83d\\ude00"}, {"text": "\\ude00"}]', [(1, r"\\ude00 at row 1, column 11 is half")]),
        ('[{"text": "a"}, {"text": "\\ud800\\ud83d\\ude00"}]', [(1, r"\\ud800 at row 1, column 11 is half")]),
        (
            '[{"text": "\\x"}, {"text": "b"}]',
            [(0, "malformed JSON: invalid escape character in string at row 0, column ")],
        ),
        ('[{"n": 1e999}, {"text": "b"}]', [(0, "malformed JSON: 1e999 at row 0, column 7 is out of range")]),
        ('[{\n"a": 1,\n"n": tru}, {"text": "b"}]', [(0, "at row 0, line 3 of it, column 9")]),
        ('[{"text": "a"}, {"deep": ' + "[" * 2000 + "]" * 2000 + '}, {"text": "b"}]', [(1, "too deeply nested")]),
        ("[" * 100_000 + "]" * 100_000, [(0, "too deeply nested")]),
        (b'{"a": 1}\n{"text": "\xff"}\n{"a": 2}', [(1, "not UTF-8, byte 0xff at row 1, column 11. Save")]),
        (b'[{"a": 1}, {"t\xff": 1}, {"a": "\xc3\xa4"}]', [(1, "not UTF-8, byte 0xff at row 1, column 4")]),
        ('["ä", {"text": "äöü", "n": NaN}]', [(0, "a text"), (1, "NaN at row 1, column 22")]),
        # Lines, of which the first is no object.
        ('null\n{"text": "a"}', [(0, "null")]),
        ('[1, 2]\n{"text": "a"}\n', [(0, "an array")]),
        ("1\n1\n1\n", [(0, "a number"), (1, "a number"), (2, "a number")]),
        ('{"n": NaN}\n{"text": "a"}\n', [(0, "NaN at row 0")]),
        ('{"data": null}', [(0, "`data` must be an object")]),
        ('{"data": "x.jpg"}', [(0, "`data` must be an object, it is a text")]),
        ('{"data": []}', [(0, "`data` must be an object, it is an array")]),
        ('{"data": {}, "meta": [1]}', [(0, "`meta` must be an object, it is an array")]),
        ('{"data": {}, "annotations": {}}', [(0, "`annotations` must be an array, it is an object")]),
        ('{"data": {}, "predictions": "x"}', [(0, "`predictions` must be an array, it is a text")]),
        ('{"data": {}, "annotations": [5]}', [(0, r"`annotations\[0\]` must be an object with a `result` array")]),
        ('{"data": {}, "annotations": [{"result": []}, {}]}', [(0, r"`annotations\[1\]` must be an object")]),
        (
            '{"data": {}, "predictions": [{"result": null}]}',
            [(0, r"`predictions\[0\]` must be an object with a `result`: ")],
        ),
        ('{"data": {}, "predictions": [{"result": 1.5}]}', [(0, "an array, an object, a text or a whole number")]),
        (
            '{"data": {}, "predictions": [5, {"result": [1]}]}',
            [(0, r"`predictions\[0\].result` must be an array of obj")],
        ),
        (
            '{"data": {}, "annotations": [{"result": [{}, "x"]}]}',
            [(0, r"`annotations\[0\].result` must be an array of")],
        ),
        (
            '{"data": {}, "annotations": [{"result": "x"}]}',
            [(0, r"`annotations\[0\]` must be an object with a `result`")],
        ),
        (json.dumps({"a": [[]] * 3, "deep": json.loads("[" * 101 + "]" * 101)}), [(0, "too deeply nested: more than")]),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_row_that_is_no_task_leaves_the_others_alone(content: str | bytes, bad: list[tuple[int, str]]) -> None:
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


PRETTY = '{{\n "list": [\n  {{"x": 1}},\n  {{"x": 2}}\n ],\n "text": {}\n}}\n'
"""A document over several lines, of which one would be a document by itself."""
P = Task({"list": [{"x": 1}, {"x": 2}], "text": "a"})
FLAT = json.dumps({"list": [{"x": 1}, {"x": 2}], "text": "a"}, indent=0)
DEEP = '{\n "a":\n' + " [\n" * 1200 + "1" + "\n ]" * 1200 + "}\n"
CUT_DEEP = '{"a":' + "[" * 1200 + "\n"


@pytest.mark.parametrize("key", ["a.jsonl", "a.json", "a"])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"text": "a"}\n' + PRETTY.format('"a"'), [A, P]),
        (PRETTY.format('"a"') * 2, [P, P]),
        (PRETTY.format('"a"') + '{"text": "b"}\n' + PRETTY.format('"a"'), [P, B, P]),
        ('{"text": "a"}{\n"text": "b"\n} {"text": "b"}\r\n', [A, B, B]),
        (f'{{"text": "a"}}\n{FLAT}\n{FLAT}\n{{"text": "b"}}', [A, P, P, B]),
        ('{"list": [\n{"x": 1},\n{"x": 2}\n], "text": "a"}\n{"text": "b"}\n', [P, B]),
        ('{"text":\n"a"}\n\n\n{"text": "b"\n}', [A, B]),
    ],
)
def test_documents_over_several_lines_are_rows_whatever_the_name(key: str, content: str, expected: list[Task]) -> None:
    assert tasks(content, key) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        # One bad line costs a row.
        ('{"text": \n{"text": "a"}\n{"text": "b"}\n', ["it ends|expected", A, B]),
        ('{"text": "a"}\n{"text": \n{"text": "b"}', [A, "expected|ends", B]),
        ('{"text": "a"}\n{"text": "x\n{"text": "b"}', [A, "at row 1, column", B]),
        ('{"text": "a"}\n{"text": 1, "x": [1\n{"text": \n{"text": "b"}\n', [A, "row 1", "row 2", B]),
        ('{"text": "a"}\n}\n{"text": "b"}', [A, "row 1", B]),
        # What is malformed over several lines costs one too, and none of its lines is one.
        ('{"text": "a"}\n' + PRETTY.format("NaN") + '{"text": "b"}', [A, "NaN at row 1, line 6 of it, column 10", B]),
        (PRETTY.format("tru") * 2 + PRETTY.format('"a"'), ["row 0, line 6 of it", "row 1, line 6 of it", P]),
        (f'{{"text": "a"}}\n{FLAT.replace("2", "tru")}\n{{"text": "b"}}', [A, "row 1, line 7 of it", B]),
        # Nor if it is cut off.
        ('{"text": "a"}\n' + PRETTY.format('"a"')[:35], [A, "ends too early, at row 1, line 4 of it, column"]),
        (FLAT[: FLAT.index("2") + 3], ["ends too early, at row 0, line 8 of it"]),
        ('{"text": "a"}\n' + PRETTY.format('"a"')[:38] + '\n{"text": "b"}\n', [A, "row 1, line 5 of it", B]),
        ('{"list": [\n{"x": 1},\n{"x": 2}\n', ["ends too early, at row 0, line 3 of it, column 9"]),
        # Nor if its lines stand at the margin, without commas between them.
        (
            '{"list": [\n{"x": 1}\n{"x": 2}\n],\n"text": "a"}\n{"text": "b"}\n{"text": 1, "x": [1\n{"text": "a"}',
            ["row 0", B, "row 2, column", A],
        ),
        # One that is too deep ends where its brackets close; if they do not, it is a line that was cut.
        (DEEP + '{"text": "a"}\n' + DEEP + '{"text": "b"}\n', ["deeply", A, "deeply", B]),
        (CUT_DEEP + '{"text": "a"}\n' + CUT_DEEP + '{"text": "b"}\n', ["deeply", A, "deeply", B]),
        # Or stands in something of which the begin is not there.
        ('{\n"x": 1\n},\n{\n"x": 2\n},\n', ["row 0, line 3 of it, column 2"]),
        # A whole array with a bad element is an array.
        ('[\n{"text": "a"},\n{"n": NaN},\n{"text": "b"}\n]\n', [A, "NaN at row 1", B]),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_malformed_document_among_lines_is_one_bad_row(content: str, expected: list[Task | str]) -> None:
    found = read(content, "a.jsonl")
    assert len(found) == len(expected), found
    for row, one in zip(found, expected, strict=True):
        if isinstance(row, Row):
            assert row.task == one
        else:
            assert isinstance(one, str)
            assert re.search(one, row.reason), row.reason


def test_no_line_of_a_document_is_a_row_however_it_is_written_and_wherever_it_is_cut() -> None:
    for seed in range(500):
        draw = Random(seed)
        given = [
            {"n": n, "list": [{"x": k} for k in range(draw.choice([1, 2, 3]))], "text": "{"}
            for n in range(draw.choice([2, 3, 5]))
        ]
        parts = [json.dumps(each, indent=draw.choice([None, 0, 1, 4])) for each in given]
        assert [task.data for task in tasks("\n".join(parts), "a.jsonl")] == given, seed
        cut = draw.randrange(len(parts))
        parts[cut] = parts[cut][: draw.randrange(1, len(parts[cut]))]
        found = [row.task.data for row in read("\n".join(parts), "a.jsonl") if isinstance(row, Row)]
        left = [each for n, each in enumerate(given) if n != cut]
        assert [each for each in found if each not in left] == [], seed
        # A document that was cut where a value should be is one with the next: that may be lost, no other.
        assert len(found) >= len(left) - 1, seed


@pytest.mark.parametrize("key", ["a.jsonl", "a.ndjson", "a.json", "a", "a.jsonl.gz"])
@pytest.mark.parametrize(
    ("content", "place"),
    [
        ('[\n{"text": "a"},\n{"text": "b"}', "it ends too early, at line 3, column 14. Write it to its end"),
        ('[\n{"text": "a"},\n{"text": "b"}\n', "it ends too early, at line 3, column 14"),
        ('[{"text": "a"},\n{"text": "b"},\n{"te', "it ends too early, at line 3, column 5"),
        ('\n [\n{"text": "a"},\n{"text": "b"},\n]', "trailing comma in array at line 4, column 15"),
        ('[\n{"text": "a",\n{"text": "b"}\n]\n', "at line 2, column 14"),
        ('[\n{"text": "a"}\n{"text": "b"}\n]\n', "at line 2, column 14"),
    ],
)
def test_array_that_does_not_end_is_one_bad_file(key: str, content: str, place: str) -> None:
    ((position, reason),) = reasons(gzip.compress(content.encode()) if key.endswith(".gz") else content, key)
    assert position == -1
    assert reason.startswith("malformed JSON: ")
    assert place in reason


WRONG_TYPES: list[tuple[str, str, Any]] = [
    ("annotations", "id", "abc"),
    ("annotations", "id", 2**63),
    ("annotations", "was_cancelled", "no"),
    ("annotations", "ground_truth", "true"),
    ("annotations", "lead_time", "5 s"),
    ("annotations", "lead_time", 2**64),
    ("predictions", "score", []),
    ("predictions", "model_version", "a\0b"),
]


@pytest.mark.parametrize(("kind", "field", "value"), WRONG_TYPES, ids=lambda value: str(value)[:20])
def test_field_that_the_server_would_fail_over_makes_a_bad_row(kind: str, field: str, value: Any) -> None:
    ((index, reason),) = reasons(json.dumps([{"data": {}, kind: [{"result": [], field: value}]}]))
    assert index == 0
    assert f"`{kind}[0].{field}`" in reason
    assert "it must be" in reason


CONVERTED: list[tuple[str, str, Any, Any]] = [
    ("annotations", "id", "7", 7),
    ("annotations", "id", 7.0, 7),
    ("annotations", "id", True, 1),
    ("annotations", "was_cancelled", 0, False),
    ("annotations", "was_cancelled", 1, True),
    ("annotations", "was_cancelled", "True", True),
    ("annotations", "ground_truth", "0", False),
    ("annotations", "lead_time", "5.5", 5.5),
    ("predictions", "score", "0.5", 0.5),
    ("predictions", "score", True, 1.0),
    ("predictions", "score", "high", None),
    ("predictions", "score", "nan", None),
    ("predictions", "model_version", 3, "3"),
    # What the server dates and numbers itself is kept as far as a column holds it, and is no reason to refuse a row.
    ("annotations", "created_at", 1700000000, "2023-11-14T22:13:20.000000Z"),
    ("annotations", "created_at", 1700000000000, "2023-11-14T22:13:20.000000Z"),
    ("predictions", "updated_at", 1700000000.5, "2023-11-14T22:13:20.500000Z"),
    ("annotations", "import_id", "8", 8),
]


@pytest.mark.parametrize(("kind", "field", "value", "kept"), CONVERTED, ids=lambda value: str(value)[:20])
def test_field_in_another_form_becomes_what_the_server_makes_of_it(
    kind: str, field: str, value: Any, kept: Any
) -> None:
    (task,) = tasks(json.dumps({"data": {}, kind: [{"result": [], field: value}]}))
    (label,) = getattr(task, kind)
    assert (label[field], type(label[field])) == (kept, type(kept))


IGNORED = [
    ("created_at", "a\0b"),
    ("created_at", {}),
    ("updated_at", 10**30),
    ("import_id", "abc"),
    ("import_id", 2**63),
]


@pytest.mark.parametrize(("field", "value"), IGNORED, ids=lambda value: str(value)[:20])
def test_field_that_the_server_ignores_is_left_out_if_no_column_could_hold_it(field: str, value: Any) -> None:
    (task,) = tasks(json.dumps({"data": {}, "annotations": [{"result": [], field: value}]}))
    assert task.annotations == [{"result": []}]


@pytest.mark.parametrize("result", ["yes", 4, {"choices": ["yes"]}])
def test_prediction_in_short_is_one(result: Any) -> None:
    assert tasks(json.dumps({"data": {}, "predictions": [{"result": result}]})) == [
        Task({}, predictions=[{"result": result}])
    ]


def test_completions_are_annotations() -> None:
    row = {"data": {}, "completions": [{"result": [{"id": "x"}], "id": "5"}]}
    assert tasks(json.dumps(row)) == [Task({}, annotations=[{"result": [{"id": "x"}], "id": 5}])]


@pytest.mark.parametrize("nothing", [None, []])
def test_completions_that_hold_nothing_take_no_annotations_away(nothing: Any) -> None:
    row = {"data": {}, "annotations": [{"result": []}], "completions": nothing}
    assert tasks(json.dumps(row)) == [Task({}, annotations=[{"result": []}])]


def test_a_line_may_hold_several_documents_whatever_the_blanks_between() -> None:
    assert len(tasks('{"text": "a"}\t{"text": "b"}\n{"text": "c"}  {"text": "d"}\n', "a.jsonl")) == 4


@pytest.mark.parametrize("one", ['{"text": "a"}', "[1] "])
def test_a_line_of_many_documents_that_was_cut_is_read_at_once(
    one: str, processor_seconds: Callable[[], float]
) -> None:
    found = read(one * 5000 + '{"te', "a.jsonl")
    assert len(found) == 5001
    assert processor_seconds() < 2  # half a minute, where what is left of the line is looked at for each


def ignored(**beside: Any) -> tuple[str, ...]:
    (row,) = read(json.dumps({"data": {"text": "a"}, **beside}))
    assert isinstance(row, Row)
    return row.ignored


class TestIgnoredKeys:
    def test_are_those_that_hold_something_and_mean_nothing(self) -> None:
        assert ignored(prediction=[{"result": []}], drafts=[{"id": 1}], weight=0) == ("drafts", "prediction", "weight")

    @pytest.mark.parametrize("name", ["id", "total_annotations", "inner_id", "comment_authors", "file_upload", "state"])
    def test_are_not_the_bookkeeping_of_label_studio(self, name: str) -> None:
        assert ignored(**{name: 5}) == ()

    def test_are_not_those_that_hold_nothing(self) -> None:
        assert ignored(drafts=[], prediction=None, weight="") == ()

    def test_are_completions_beside_annotations(self) -> None:
        one: list[Any] = [{"result": []}]
        assert ignored(annotations=one, completions=one) == ("completions",)

    def test_are_none_of_a_row_that_is_data(self) -> None:
        (row,) = read('{"text": "a", "prediction": 1}')
        assert isinstance(row, Row)
        assert row.ignored == ()


class TestUndefined:
    @pytest.mark.parametrize("content", ['{"$undefined$": "a"}', '{"data": {"$undefined$": "a"}}'])
    def test_is_the_first_data_key(self, content: str) -> None:
        (row,) = rows("a.json", content.encode(), None, "text")
        assert isinstance(row, Row)
        assert row.task == A

    def test_stays_where_the_label_config_has_no_data_key(self) -> None:
        assert tasks('{"$undefined$": "a"}') == [Task({"$undefined$": "a"})]


class TestBounds:
    """Of rows, before anything is made of them."""

    def test_of_a_row_in_bytes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(json_rows, "MAX_VALUES", 10)
        monkeypatch.setattr(documents, "MAX_VALUES", 10)
        monkeypatch.setattr(json_rows, "MAX_ROW_BYTES", 100)
        monkeypatch.setattr(task_rows, "MAX_ROW_BYTES", 100)
        large = json.dumps({"text": "a" * 100})
        for content in (f'[{large}, {{"text": "b"}}]', f'{large}\n{{"text": "b"}}', f'{large}{{"text": "b"}}'):
            assert reasons(content) == [(0, "oversized row: 112 bytes; a row may have 100. Make several of it")]
        assert reasons(large) == [(0, "oversized row: 112 bytes; a row may have 100. Make several of it")]

    def test_of_a_row_in_values(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(json_rows, "MAX_VALUES", 10)
        monkeypatch.setattr(documents, "MAX_VALUES", 10)
        many, text = json.dumps({"list": [[]] * 11}), json.dumps({"text": "a, [b], {c}, " * 10})
        for content in (many, f"[{many}, {text}]", f"{many}\n{text}", f"{many}{text}"):
            assert reasons(content) == [(0, "oversized row: 13 values; a row may have 10. Make several of it")]

    def test_of_rows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(task_files, "MAX_ROWS", 3)
        for content in ('{"text": "a"}\n' * 5, '{"text": "a"}' * 5, f"[{', '.join(['{}'] * 5)}]"):
            found = read(content)
            assert [type(row) for row in found] == [Row, Row, Row, BadRow]
            assert reasons(content) == [
                (3, "too many rows: a file may have 3, and none is read from here on. Split it")
            ]
        assert len(tasks('{"text": "a"}\n' * 3)) == 3

    def test_of_rows_with_keys(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(task_files, "MAX_KEYED_ROWS", 2)
        found = list(rows("a.json", b'{"id": 1}{"id": 2}{"id": 3}{"id": 1}', "id"))
        assert [row.reason[:13] for row in found if isinstance(row, BadRow)] == ["too many rows", "bad row: its "]

    def test_large_arrays_are_split_an_element_at_a_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(documents, "SPLIT_AT_ONCE", 0)
        content = ' [ {"data": {"text": "a"}} , 5,{"text": "b"}]\n'
        assert [row.task for row in read(content) if isinstance(row, Row)] == [A, B]
        assert [row.size for row in read(content) if isinstance(row, Row)] == [23, 13]
        assert reasons(" [] ") == [(-1, "empty: a task file holds at least one row")]


def test_exactly_as_deep_as_allowed_is_a_row() -> None:
    deepest = json.loads('{"a":' * 99 + "1" + "}" * 99)
    assert tasks(json.dumps({"data": deepest})) == [Task(deepest)]


class TestGzip:
    @pytest.mark.parametrize("key", ["a.jsonl.gz", "A.JSON.GZ", "a.json", "a"])
    def test_is_unpacked_by_its_magic_bytes(self, key: str) -> None:
        packed = gzip.compress(b'\xef\xbb\xbf{"text": "a"}\n{"text": "b"}')
        assert tasks(packed, key) == [A, B]
        assert tasks(gzip.compress(packed), key) == [A, B]

    def test_that_a_service_has_unpacked_is_read_as_it_is(self) -> None:
        assert tasks(b'{"text": "a"}', "a.json.gz") == [A]

    def test_of_several_members_is_one_file(self) -> None:
        packed = gzip.compress(b'{"text": "a"}\n') + gzip.compress(b'{"text": "b"}\n')
        assert tasks(packed, "a.jsonl.gz") == [A, B]

    @pytest.mark.parametrize(
        "broken",
        [
            b"",
            gzip.compress(b'{"text": "a"}')[:-5],
            gzip.compress(b'{"text": "a"}')[:12],
            gzip.compress(b'{"text": "a"}')[:-8] + b"\0" * 8,
            b"\x1f\x8b\x08\x00" + b"\xff" * 30,
        ],
        ids=["empty", "truncated at its end", "truncated", "wrong checksum", "garbage"],
    )
    def test_that_is_broken_says_so(self, broken: bytes) -> None:
        with pytest.raises(Invalid, match=r"gzip compression is broken|empty"):
            read(broken, "a.json.gz")

    def test_that_unpacks_to_too_much_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(task_content, "MAX_BYTES", 1000)
        with pytest.raises(Invalid, match="unpacked oversized"):
            read(gzip.compress(json.dumps({"text": "a" * 2000}).encode()), "a.json.gz")

    def test_of_a_whole_that_is_small_enough_is_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(task_content, "MAX_BYTES", 1000)
        assert len(tasks(gzip.compress(json.dumps({"text": "a" * 980}).encode()), "a.json.gz")) == 1


class TestName:
    @pytest.mark.parametrize(
        "key", ["a.json", "a.jsonl", "a.ndjson", "A.JSON", "a", "x.y/a", "a.json.gz", "a.gz", ".hidden", "a.b.json"]
    )
    def test_of_a_task_file(self, key: str) -> None:
        assert name_problem(key) is None

    @pytest.mark.parametrize("key", ["a.jpg", "a.xml", "a.json.bak", "a.tar.gz", "x/a.JPG", "a.parquet"])
    def test_of_something_else_says_what_to_do(self, key: str) -> None:
        problem = name_problem(key) or ""
        assert problem.startswith("not a task file")
        assert "use_blob_urls" in problem
        assert "regex_filter" in problem


class TestSize:
    def test_of_too_much_says_how_much(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(task_content, "MAX_BYTES", 1000)
        assert size_problem(1000) is None
        assert size_problem(1001) == "oversized: 1,001 bytes; a task file may have 1,000. Split it"
        with pytest.raises(Invalid, match="oversized"):
            read(json.dumps({"text": "a" * 1000}))

    def test_of_a_row_is_that_in_the_file(self) -> None:
        assert [row.size for row in read('[{"a": 1},   {"bb": 22}]')] == [8, 10]  # type: ignore[union-attr]


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
        return row.digest  # type: ignore[union-attr]

    def test_is_the_same_however_the_content_is_written(self) -> None:
        assert len({self.of(content) for content in self.SAME}) == 1

    def test_differs_with_the_content(self) -> None:
        assert len({self.of(content) for content in (*self.OTHER, self.SAME[0])}) == len(self.OTHER) + 1


class TestAllowSkip:
    @pytest.mark.parametrize(
        ("given", "kept"), [("true", True), ("false", False), ("null", None), ("0", False), ("1", True)]
    )
    def test_comes_with_the_task(self, given: str, kept: bool | None) -> None:
        assert tasks(f'{{"data": {{"text": "a"}}, "allow_skip": {given}}}') == [Task({"text": "a"}, allow_skip=kept)]

    @pytest.mark.parametrize("given", ["2", '"no"', "[]"])
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
        assert digests.without_skip(second.digest) == first.digest


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
        _, flat, nested = self.keys('[{"id": 1}, {"text": "a"}, {"data": {"id": 2}, "meta": {}}]', "id")
        assert str(flat).endswith("it is missing or null; the row has 'text'")
        assert str(nested).endswith("it is missing or null; the row has 'data.id', 'meta'")

    def test_given_a_second_time_makes_the_second_row_a_bad_one(self) -> None:
        first, second, third = self.keys('[{"id": 1}, {"id": 2}, {"id": "1"}]', "id")
        assert (first, second) == ("1", "2")
        assert "is that of row 0 too" in str(third)

    def test_is_none_where_it_is_not_asked_for(self) -> None:
        assert [row.key for row in read('[{"id": 1}]') if isinstance(row, Row)] == [None]
