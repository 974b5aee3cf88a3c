"""What every format of task files does, with the cases of each. One that is added passes this as it is."""

import gzip
import re
import tracemalloc
from pathlib import Path
from random import Random

import pytest
from formats.cases import CASES, Cases

from labelsync_provider.errors import Invalid
from labelsync_provider.formats.tasks import files as task_files
from labelsync_provider.formats.tasks.digests import digest_of
from labelsync_provider.formats.tasks.files import name_problem, rows
from labelsync_provider.formats.tasks.registry import FORMATS, TaskFormat, format_of
from labelsync_provider.formats.tasks.rows import MAX_ROW_BYTES, BadRow, Row
from labelsync_provider.parameter_texts import PARAMETERS
from labelsync_provider.tasks import Task

README = Path(__file__).resolve().parents[2] / "README.md"

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
WORDS = ["a", "", "ä 😀", 'he said "no"', "one, two; three\tfour", " blanks ", "two\nlines", "007", "{}", "'", "NaN"]
SPOILT = [b'"', b"\n", b"\r", b"\0", b"\xe9", b",", b"\t", b""]
GOOD = [{"id": str(n), "text": word} for n, word in enumerate(WORDS)]


def test_every_format_has_cases() -> None:
    assert [one.name for one in FORMATS] == list(CASES)


def test_every_format_is_named_where_people_read_of_it() -> None:
    table = "| format | extension |\n|---|---|\n" + "".join(
        f"| {one.name} | {', '.join(f'`{extension}`' if extension else 'or none' for extension in one.extensions)} |\n"
        for one in FORMATS
    )
    assert table in README.read_text()
    assert all(one.name in PARAMETERS["use_blob_urls"].meaning for one in FORMATS)


def test_no_two_formats_have_an_extension_in_common() -> None:
    extensions = [extension for one in FORMATS for extension in one.extensions]
    assert len(extensions) == len(set(extensions))


@pytest.mark.parametrize("task_format", FORMATS, ids=lambda one: one.name)
class TestFormat:
    @pytest.fixture
    def cases(self, task_format: TaskFormat) -> Cases:
        return CASES[task_format.name]

    @pytest.fixture
    def key(self, task_format: TaskFormat) -> str:
        return f"a{task_format.extensions[0]}"

    def test_is_told_by_its_extensions(self, task_format: TaskFormat) -> None:
        for extension in task_format.extensions:
            for key in (f"a{extension}", f"x.y/a{extension.upper()}", f"a{extension}.gz", f"a b/c{extension}.GZ"):
                assert format_of(key) is task_format
                assert name_problem(key) is None

    def test_makes_a_task_of_each_row(self, key: str, cases: Cases) -> None:
        found = list(rows(key, cases.write(GOOD)))
        assert found == [
            Row(n, Task(data), digest_of(Task(data)), None, row.size)
            for n, (data, row) in enumerate(zip(GOOD, found, strict=True))
            if isinstance(row, Row)
        ]
        assert all(row.size >= len(data["text"]) for row, data in zip(found, GOOD, strict=True) if isinstance(row, Row))

    def test_reads_what_only_it_writes(self, key: str, cases: Cases) -> None:
        for content, expected in cases.tasks.items():
            assert [task_of(row).data for row in rows(key, content)] == expected, content

    def test_is_the_same_packed_and_with_a_byte_order_mark(self, key: str, cases: Cases) -> None:
        content = cases.write(GOOD)
        expected = list(rows(key, content))
        packed = gzip.compress(content, mtime=0)
        marked = gzip.compress(BYTE_ORDER_MARK + content, mtime=0)
        for other in (BYTE_ORDER_MARK + content, packed, gzip.compress(packed, mtime=0), marked):
            assert list(rows(key, other)) == expected
            assert list(rows(f"{key}.gz", other)) == expected

    def test_of_another_encoding_says_so(self, key: str, cases: Cases) -> None:
        with pytest.raises(Invalid, match=r"wrongly encoded: it is UTF-16, not UTF-8\. Save it as UTF-8"):
            rows(key, cases.write(GOOD).decode().encode("utf-16"))

    def test_without_a_row_is_empty(self, key: str, cases: Cases) -> None:
        for content in (b"", b" \n\r\n ", BYTE_ORDER_MARK, cases.write([])):
            with pytest.raises(Invalid, match="empty: a task file holds at least one row"):
                rows(key, content)

    def test_that_its_name_says_is_packed_and_that_is_neither_says_both(self, key: str, cases: Cases) -> None:
        for content, reason in cases.bad_files.items():
            said = f"not gzip, though its name ends with .gz; and, read as it is, {reason}"
            with pytest.raises(Invalid, match=re.escape(said).replace(re.escape(reason), f".*{re.escape(reason)}")):
                rows(f"{key}.GZ", content)
            with pytest.raises(Invalid) as packed:
                rows(f"{key}.gz", gzip.compress(content, 1))
            assert "not gzip" not in str(packed.value)

    def test_that_is_bad_as_a_whole_says_so_before_its_first_row(self, key: str, cases: Cases) -> None:
        for content, reason in cases.bad_files.items():
            with pytest.raises(Invalid, match=re.escape(reason)):
                rows(key, content)

    def test_with_a_bad_row_has_the_others(self, key: str, cases: Cases) -> None:
        for content, reason in cases.bad_rows.items():
            first, bad, last = rows(key, content)
            assert [first.position, bad.position, last.position] == [0, 1, 2]
            assert [task_of(first).data, task_of(last).data] == [{"text": "a"}, {"text": "b"}]
            assert reason in reason_of(bad)

    def test_with_a_row_that_is_too_large_has_the_others(self, key: str, cases: Cases) -> None:
        first, bad, last = rows(key, cases.write([{"text": "a"}, {"text": "a" * MAX_ROW_BYTES}, {"text": "b"}]))
        assert [task_of(first).data, task_of(last).data] == [{"text": "a"}, {"text": "b"}]
        assert "oversized row: 16,777,2" in reason_of(bad)

    def test_of_too_many_rows_says_so_behind_the_last(
        self, key: str, cases: Cases, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(task_files, "MAX_ROWS", 3)
        *found, bad = rows(key, cases.write(GOOD[:5]))
        assert [row.position for row in found if isinstance(row, Row)] == [0, 1, 2]
        too_many = "too many rows: a file may have 3, and none is read from here on. Split it"
        assert bad == BadRow(3, too_many, swallows=True)
        assert len(list(rows(key, cases.write(GOOD[:3])))) == 3

    def test_tells_rows_apart_by_a_key(self, key: str, cases: Cases) -> None:
        content = cases.write([*GOOD[:2], {"id": "0", "text": "again"}, {"id": "", "text": "no id"}])
        first, second, again, without = rows(key, content, "id")
        assert [row.key for row in (first, second) if isinstance(row, Row)] == ["0", "1"]
        said = r"bad row: its 'id' \(row_key\), '0', is that of (row 0|line 2) too\. Give each row one of its own"
        assert re.search(said, reason_of(again))
        assert "bad row: its 'id' (row_key) must be a text or a whole number, it is empty" in reason_of(without)

    def test_names_the_fields_that_are_there_if_none_is_the_key(self, key: str, cases: Cases) -> None:
        said = only_reason(key, cases.write(GOOD[:1]), "other")
        assert re.search("'other'.* has 'id', 'text'", said)

    def test_has_one_value_for_a_data_key(self, key: str, cases: Cases) -> None:
        content = cases.write([{"$undefined$": "a", "text": "b"}])
        said = "it has '$undefined$' and 'text', and the former is Label Studio's name for the first data key of the"
        assert said in only_reason(key, content, None, "text")
        assert [task_of(row).data for row in rows(key, content, None, "other")] == [{"text": "b", "other": "a"}]

    def test_has_a_name_for_data_without_one(self, key: str, cases: Cases) -> None:
        content = cases.write([{"$undefined$": "a"}])
        assert [task_of(row) for row in rows(key, content, None, "text")] == [Task({"text": "a"})]
        assert [task_of(row) for row in rows(key, content)] == [Task({"$undefined$": "a"})]
        assert [row.key for row in rows(key, content, "$undefined$", "text") if isinstance(row, Row)] == ["a"]

    def test_holds_one_row_at_a_time(self, key: str, cases: Cases) -> None:
        content = cases.write([{"id": str(n), "text": "a" * 1000} for n in range(5000)])
        tracemalloc.start()
        try:
            assert sum(1 for row in rows(key, content) if isinstance(row, Row)) == 5000
            assert tracemalloc.get_traced_memory()[1] < len(content) / 4
        finally:
            tracemalloc.stop()

    def test_of_whatever_content_has_rows_or_is_bad(self, key: str, cases: Cases) -> None:
        draw = Random(14)
        for _ in range(300):
            content = bytearray(cases.write(draw.sample(GOOD, draw.choice([1, 2, 5]))))
            for _ in range(draw.choice([1, 1, 5])):
                at = draw.randrange(len(content) + 1)
                content[at : at + draw.choice([0, 1, 1, 9])] = draw.choice(SPOILT)
            try:
                found = list(rows(key, bytes(content), draw.choice([None, "id"])))
            except Invalid:
                continue
            assert [row.position for row in found] == list(range(len(found))), bytes(content)


def task_of(row: Row | BadRow) -> Task:
    assert isinstance(row, Row), row
    return row.task


def reason_of(row: Row | BadRow) -> str:
    assert isinstance(row, BadRow), row
    return row.reason


def only_reason(key: str, content: bytes, *options: str | None) -> str:
    """Return what is said of a content, or of the one row that it has."""
    try:
        (bad,) = rows(key, content, *options)
    except Invalid as error:
        return str(error)
    return reason_of(bad)
