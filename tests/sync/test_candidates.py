"""Candidates: which tasks that others made are looked at for the rows of a file."""

import pytest

from labelsync_provider.sync.importing.candidates import Candidates


@pytest.fixture
def candidates() -> Candidates:
    found = Candidates()
    found.add([(1, None, "a"), (2, "a.json", "a"), (3, None, "b"), (4, None, "a"), (5, None, "a"), (6, None, "c")])
    return found


@pytest.mark.parametrize(
    ("wanted", "tasks"),
    [({}, []), ({"a": 1}, [1]), ({"a": 2}, [1, 4]), ({"a": 9}, [1, 4, 5]), ({"b": 1, "c": 1}, [3, 6]), ({"d": 1}, [])],
)
def test_of_equal_data_the_oldest_and_no_more_than_wanted(
    candidates: Candidates, wanted: dict[str, int], tasks: list[int]
) -> None:
    assert [row.task for row in candidates.with_data("b.json", wanted)] == tasks


def test_what_was_taken_is_none_any_more(candidates: Candidates) -> None:
    candidates.take([1])
    assert [row.task for row in candidates.with_data("b.json", {"a": 1})] == [4]
