"""What is to become of rows of a task file that no task was found for, when others have made tasks of the file."""

import pytest

from labelsync_provider.sync.importing.adopted_rows import Leftover, leftover
from labelsync_provider.sync.importing.matching import ReadRow, match
from labelsync_provider.sync.ledger.records import KnownRow, RowState


def tasks(text: str) -> list[KnownRow]:
    """Return tasks that others made: a letter each, which stands for its data."""
    return [
        KnownRow("a.json", n, RowState.LIVE, None, 100 + n, letter * 24 + ".?", None) for n, letter in enumerate(text)
    ]


def rows(text: str) -> list[ReadRow]:
    """Return the rows of a file: a letter each; `-` is a bad one, and `~` one that may hold others."""
    return [
        ReadRow(n, None, swallows=letter == "~") if letter in "-~" else ReadRow(n, letter * 24)
        for n, letter in enumerate(text)
    ]


def left(made: str, file: str, *, was_synced: bool) -> Leftover:
    return leftover(rows(file), match(tasks(made), rows(file)), was_synced=was_synced)


@pytest.mark.parametrize("was_synced", [True, False])
@pytest.mark.parametrize(
    ("made", "file"),
    [("abc", "abc"), ("aab", "baa"), ("abc", "ab"), ("ab", ""), ("", "")],
)
def test_nothing_is_left_where_each_row_has_a_task(made: str, file: str, was_synced: bool) -> None:
    assert left(made, file, was_synced=was_synced) == Leftover()


@pytest.mark.parametrize("was_synced", [True, False])
@pytest.mark.parametrize(("made", "file", "position", "task"), [("axc", "abc", 1, 101), ("x", "b", 0, 100)])
def test_one_row_and_one_task_are_the_same(made: str, file: str, position: int, task: int, was_synced: bool) -> None:
    edited = left(made, file, was_synced=was_synced).edited
    assert {at: row.task for at, row in edited.items()} == {position: task}


@pytest.mark.parametrize("was_synced", [True, False])
@pytest.mark.parametrize(
    ("made", "file", "undecided", "held"),
    [
        ("axy", "abc", {1, 2}, {101, 102}),
        ("axc", "abcd", {1, 3}, {101}),
        ("axy", "ab", {1}, {101, 102}),
        ("ax", "a-b", {2}, {101}),
        ("ax", "a-", set(), {101}),
        ("ax", "a~b", {2}, {101}),
    ],
)
def test_of_more_nothing_is_decided(
    made: str, file: str, undecided: set[int], held: set[int], was_synced: bool
) -> None:
    found = left(made, file, was_synced=was_synced)
    assert found.undecided == undecided
    assert {row.task for row in found.held} == held
    assert found == Leftover(undecided=found.undecided, held=found.held)


@pytest.mark.parametrize(
    ("made", "file", "deleted", "tail"),
    [
        ("ac", "abc", {1}, set()),
        ("ab", "abcd", set(), {2, 3}),
        ("b", "abcd", {0}, {2, 3}),
        ("", "abc", {0, 1, 2}, set()),
        ("ac", "a-c", set(), set()),
        ("b", "aba", {0}, {2}),
    ],
)
def test_a_row_between_others_was_deleted_and_the_last_ones_were_not_come_to(
    made: str, file: str, deleted: set[int], tail: set[int]
) -> None:
    found = left(made, file, was_synced=True)
    assert found.deleted == deleted
    assert found.tail == tail
    assert left(made, file, was_synced=False) == Leftover()


@pytest.mark.parametrize("was_synced", [True, False])
@pytest.mark.parametrize(
    ("made", "file", "doubles", "edited"),
    [("aab", "ab", {101}, {}), ("aax", "ab", {101}, {1: 102}), ("aa", "a", {101}, {})],
)
def test_a_task_with_the_data_of_another_ones_row_is_its_double(
    made: str, file: str, doubles: set[int], edited: dict[int, int], was_synced: bool
) -> None:
    found = left(made, file, was_synced=was_synced)
    assert {row.task for row in found.doubles} == doubles
    assert {at: row.task for at, row in found.edited.items()} == edited
    assert not found.held
