"""What is CSV's and TSV's alone: quotes that do not end, and rows that may hold others."""

import csv

from labelsync_provider.formats.tasks.files import rows
from labelsync_provider.formats.tasks.rows import BadRow, Row


def bad_rows(content: bytes) -> list[tuple[int, str, bool]]:
    return [(row.position, row.reason, row.swallows) for row in rows("a.csv", content) if isinstance(row, BadRow)]


def test_quote_that_is_not_closed_costs_what_follows_and_says_so() -> None:
    ((position, reason, swallows),) = bad_rows(b'text\na\n"b\nc\nd\n')
    assert (position, swallows) == (1, True)
    assert reason.startswith("line 3: malformed: a quote is opened and not closed, and all behind it is one value.")


def test_bad_row_of_several_lines_may_hold_others() -> None:
    content = b'text,n\n"a,1\n"b",2\n"c\nd"\ne\nf,6\n'
    assert [(position, reason.partition(":")[0], swallows) for position, reason, swallows in bad_rows(content)] == [
        (0, "line 2", True),
        (1, "line 4", True),
        (2, "line 6", False),
    ]
    assert [row.position for row in rows("a.csv", content) if isinstance(row, Row)] == [3]


def test_row_has_no_more_values_than_any() -> None:
    content = b"text\na\n" + b"," * 1_000_000 + b'\n"' + b"," * 1_000_000 + b'"\n'
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
