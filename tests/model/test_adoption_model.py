"""Histories of adoption against the engine: some seconds of them, always the same. `make soak` runs others."""

from functools import partial
from typing import Any

import pytest
from model.adoption_machine import DEFAULTS, AdoptionHistory, Draw, simpler
from model.bench import COVERAGE
from model.machine import Begin, Step, sqlite_history, taken

WORLDS = ["fake", "fake, ids reused"]
STEPS = 14
HISTORIES = 4


def check(number: int, world: str, *, faults: bool, begin: Begin = sqlite_history, shrink: bool = True) -> None:
    """Draw the history of a number and run it; if it fails, print the smallest one that does."""
    draw = Draw(number)
    blobs, regex_filter, steps = draw.flag(), draw.filter(), draw.steps(STEPS, faults=faults)
    COVERAGE.update(["adoption histories", f"adoption of: {'blobs' if blobs else 'rows'}"])
    told = f"check({number}, {world!r}, {faults=}), with {blobs=} and {regex_filter=},"
    begun = partial(begin, world, kind=AdoptionHistory, blobs=blobs, regex_filter=regex_filter)
    taken(steps, begun, told, simpler=simpler if shrink else None)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("faults", [False, True], ids=["without faults", "with faults"])
def test_adopts_as_the_model_foretells(world: str, faults: bool) -> None:
    for number in range(HISTORIES):
        check(number, world, faults=faults)


A, B = 0, 1
"""The first two objects."""
ONE, TWO, THREE = ({"text": text} for text in ("one", "two", "three"))
BAD = {"other": 1}
PRESS = Step("press", {"breaks": None, "at": 0})
DELETE = Step("work", {"task": 0, "what": "delete", "to": ""})
REMOVE = Step("remove", {"file": 0})


def put(key: int, *rows: Any) -> Step:
    return Step("put", {"key": key, "rows": list(rows)})


def add(what: str) -> Step:
    return Step("add", {"file": 0, "at": 0, "what": what})


def run(*faults: Any, **options: Any) -> Step:
    how = {"attempts": [[fault] for fault in faults], "dry_first": False, "again": True}
    return Step("run", {"options": DEFAULTS | options, **how})


UPDATE, THEN_DELETE = run(on_changed="update"), run(adopt=False, on_missing="delete")
BREAKS = ("listing", 1, "breaks off")


@pytest.mark.parametrize(
    ("blobs", "steps"),
    [
        pytest.param(
            False,
            [put(A, ONE), put(B, TWO), PRESS, put(A, THREE), UPDATE, REMOVE, THEN_DELETE],
            id="a row of others, updated and gone",
        ),
        pytest.param(
            True,
            [put(A, ONE), put(B, TWO), add("more than that"), run(), put(A, TWO), UPDATE, REMOVE, THEN_DELETE],
            id="a blob's task with more than the URI, updated and gone",
        ),
        pytest.param(
            False,
            [put(n, ONE) for n in range(4)]
            + [PRESS, put(A, TWO), put(2, TWO), run(BREAKS, on_changed="update", on_missing="delete", batch_size=1)],
            id="a listing that breaks off after an update, with leave to delete",
        ),
        pytest.param(True, [put(A, ONE), put(B, ONE), PRESS, DELETE, run()], id="a blob that is not restored"),
        pytest.param(
            False,
            [put(A, THREE, ONE, ONE), PRESS, put(A, ONE, BAD), run(), put(A, ONE, BAD, ONE)],
            id="an undecided row, for which a task lives again",
        ),
        pytest.param(
            False,
            [put(A, THREE, ONE, BAD, TWO), PRESS, run(), put(A, THREE, BAD, TWO, TWO)],
            id="a row that the project rejects, and has a task of, where another one is gone and one is new",
        ),
    ],
)
def test_what_the_model_has_found_is_mended(blobs: bool, steps: list[Step]) -> None:
    taken(steps, partial(sqlite_history, "fake", kind=AdoptionHistory, blobs=blobs), "a history with 'fake'")


@pytest.mark.parametrize("blobs", [False, True], ids=["rows", "blobs"])
def test_a_task_that_has_the_id_of_a_deleted_one_is_of_the_object_that_it_names_or_shows(blobs: bool) -> None:
    row_of_another = [put(2, THREE), PRESS, run(prefix="b/"), DELETE]
    steps = [*row_of_another, put(B, ONE, TWO), PRESS, run(restore_deleted=True)]
    begun = partial(sqlite_history, "fake, ids reused", kind=AdoptionHistory, blobs=blobs)
    taken(steps, begun, "a history with 'fake, ids reused'")
