"""What is CSV's and TSV's alone: quotes out of place, rows that may hold others, and columns."""

import csv
import re

import pytest

from labelsync_provider.errors import Invalid
from labelsync_provider.formats.tasks.files import rows
from labelsync_provider.formats.tasks.rows import MAX_ROW_BYTES, BadRow, Row
from labelsync_provider.formats.tasks.separated import rows as separated_rows


def bad_rows(content: bytes) -> list[tuple[int, str, bool]]:
    return [(row.position, row.reason, row.swallows) for row in rows("a.csv", content) if isinstance(row, BadRow)]


def good_rows(content: bytes) -> list[int]:
    return [row.position for row in rows("a.csv", content) if isinstance(row, Row)]


def test_quote_that_is_not_closed_costs_each_line_behind_it() -> None:
    content = b'text,n\na,1\n"b,2\nc,3\n,\n\nd,4\n'
    assert good_rows(content) == [0]
    first, *others = bad_rows(content)
    assert first == (
        1,
        "line 3: malformed: a quote is opened and not closed, and all behind it is one value of 5 lines. Close it; or, "
        "if it is a part of the value, write it twice, and the value in quotes",
        True,
    )
    assert others == [
        (2, "line 4: a part of the malformed row that begins in line 3", False),
        (3, "line 7: a part of the malformed row that begins in line 3", False),
    ]


def test_quote_that_another_value_closes_costs_the_lines_between_them() -> None:
    content = b'text,n\n"two\nlines","b,2\r\nc,3\nd,"4"\ne,5\n'
    (first, second, third), good = bad_rows(content), good_rows(content)
    assert first[:2] == (
        0,
        "line 3: malformed: a quote is opened, and closed where no value ends, so that 3 lines are one row. Close it; "
        "or, if it is a part of the value, write it twice, and the value in quotes",
    )
    assert [(position, reason.partition(":")[0]) for position, reason, _ in (second, third)] == [
        (1, "line 4"),
        (2, "line 5"),
    ]
    assert good == [3]


def test_quote_that_is_not_closed_costs_each_line_however_much_stands_behind_it() -> None:
    found = bad_rows(b'text\na\n"' + b"abcdefg\n" * (MAX_ROW_BYTES // 8 + 1))
    assert len(found) == MAX_ROW_BYTES // 8 + 1
    assert found[0][1].startswith(
        "line 3: malformed: a quote is opened and not closed, and all behind it is one value of"
    )


def test_bad_row_of_several_lines_may_hold_others() -> None:
    content = b'text,n\n"c\nd"\ne\nf,6\n'
    assert [(position, reason.partition(":")[0], swallows) for position, reason, swallows in bad_rows(content)] == [
        (0, "line 2", True),
        (1, "line 4", False),
    ]
    assert good_rows(content) == [2]


@pytest.mark.parametrize(
    ("row_key", "said"),
    [
        ("ID", "row_key='ID': the table has no such column, it has 'id', 'text'. Name one of these"),
        (
            "data.id",
            "row_key='data.id': the table has no such column, it has 'id', 'text'. Name it 'id': columns are data",
        ),
    ],
)
def test_row_key_that_no_column_has_is_told_once(row_key: str, said: str) -> None:
    with pytest.raises(Invalid, match=re.escape(said)):
        rows("a.csv", b"id,text\n1,a\n2,b\n", row_key)


def test_rows_of_a_key_are_told_by_their_lines() -> None:
    content = b'sep=;\nid;text\n1;"a\nb"\n;c\n2;d\n1;e\n'
    found = [row.reason for row in rows("a.csv", content, "id") if isinstance(row, BadRow)]
    assert [reason.partition(":")[0] for reason in found] == ["line 5", "line 7"]
    assert "'1', is that of line 3 too" in found[1]


def test_row_has_no_more_values_than_any() -> None:
    content = b"text\na\nb" + b"," * 1_000_000 + b'\n"' + b"," * 1_000_000 + b'"\n'
    assert bad_rows(content) == [
        (1, "line 3: oversized row: 1,000,001 values; a row may have 1,000,000. Make several of it", False)
    ]


def test_limit_of_the_process_on_a_value_is_raised_and_never_lowered() -> None:
    before = csv.field_size_limit(10)
    try:
        assert bad_rows(b"text\n" + b"a" * 200_000) == []
        csv.field_size_limit(2**30)
        assert bad_rows(b"text\na") == []
        assert csv.field_size_limit() == 2**30
    finally:
        csv.field_size_limit(before)


def test_long_header_makes_no_more_of_short_rows_than_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(separated_rows, "MAX_NAMED_BYTES", 1000)
    content = b"text," + b"n" * 90 + b"\n" + b"a,b\n" * 20
    assert good_rows(content) == list(range(10))
    assert bad_rows(content) == [
        (
            10,
            "too many rows with a header of 95 bytes, which is in each task: a file may come to 1,000, and none is "
            "read from here on. Split it, or shorten the names",
            True,
        )
    ]
