"""Histories against the engine: a quarter of a minute of them, always the same. `make soak` runs others, and longer."""

from functools import partial
from typing import Any

import pytest
from model.bench import COVERAGE
from model.machine import DEFAULTS, Begin, Draw, Step, simpler, sqlite_history, taken

WORLDS = ["fake", "fake, ids reused", "embedded"]
STEPS = 20
HISTORIES = 6


def check(number: int, world: str, *, faults: bool, begin: Begin = sqlite_history, shrink: bool = True) -> None:
    """Draw the history of a number and run it; if it fails, print the smallest one that does."""
    draw = Draw(number)
    files, by_key, steps = draw.flag(), draw.flag(), draw.steps(STEPS, faults=faults)
    COVERAGE.update(["histories", f"world: {world}", f"source: {'files' if files else 'bucket'}"])
    told = f"check({number}, {world!r}, {faults=}), with {files=} and {by_key=},"
    taken(steps, partial(begin, world, files=files, by_key=by_key), told, simpler=simpler if shrink else None)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("faults", [False, True], ids=["without faults", "with faults"])
def test_what_the_model_foretells_comes_true(world: str, faults: bool) -> None:
    for number in range(HISTORIES):
        check(number, world, faults=faults)


ONE, TWO, THREE = ({"text": text} for text in ("one", "two", "three"))


def put(*rows: Any) -> Step:
    return Step("put", {"key": "a.json", "rows": list(rows)})


def run(**options: Any) -> Step:
    return Step("run", {"options": DEFAULTS | options, "dry_first": False, "again": True})


def run_paused(others: Any = DEFAULTS, **options: Any) -> Step:
    how = {"options": DEFAULTS | options, "at": 0, "others": others, "next_try": False}
    return Step("run_paused", how)


def run_with_fault(request: int, fault: str, **options: Any) -> Step:
    how = {"options": DEFAULTS | options, "faults": [("request", request, fault)], "next_try": False}
    return Step("run_with_faults", how)


def server(*, slow: bool = False, most_at_once: int | None = None) -> Step:
    return Step("change_server", {"slow": slow, "most_at_once": most_at_once})


def draft(task: int) -> Step:
    return Step("work_by_hand", {"task": task, "what": "draft"})


def delete(task: int) -> Step:
    return Step("work_by_hand", {"task": task, "what": "delete"})


@pytest.mark.parametrize("world", ["fake", "fake, ids reused"])
@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(
            [put(ONE), run(), put(ONE, TWO), run_paused(), draft(1), draft(2)],
            id="two tasks of one row, and each is worked on",
        ),
        pytest.param(
            [put(ONE, TWO), run(), put(TWO, TWO), run_paused(on_changed="add"), draft(1), draft(2)],
            id="a task that came late in place of a row's, and one of an equal row, each worked on",
        ),
        pytest.param(
            [put(TWO, THREE), run(), draft(0), put(ONE, {"data": ONE, "allow_skip": True}), run(on_changed="update")],
            id="a task that is updated in part, and has the content of another row then",
        ),
        pytest.param(
            [
                *[put(ONE, TWO), run(), put(ONE), run_with_fault(0, "stop late", on_missing="delete"), run()],
                *[put(ONE, {"data": TWO, "meta": {"q": 1}}), run(on_changed="update")],
            ],
            id="a deletion that comes late, right before an update of a row that is back",
        ),
        pytest.param(
            [
                *[put(ONE, TWO), run(), put(ONE), run_with_fault(0, "stop late", on_missing="delete"), run()],
                *[put(ONE, TWO, THREE), run()],
            ],
            id="a deletion that comes late, right before the id of a row that is back is given again",
        ),
        pytest.param(
            [put(ONE, TWO), run_paused(), delete(1)],
            id="a task that is deleted by hand, while those that came late are one too many",
        ),
        pytest.param(
            [
                *[put(ONE | {"id": 2}), run(), put(TWO | {"id": 1})],
                *[run_paused(DEFAULTS | {"on_changed": "update"}, on_changed="update"), Step("switch_row_key", {})],
            ],
            id="an update of a run that was paused, and another row_key",
        ),
    ],
)
def test_what_the_model_has_found_is_mended(steps: list[Step], world: str) -> None:
    taken(steps, partial(sqlite_history, world, files=False, by_key=False), f"a history with {world!r}")


def test_a_task_deleted_by_hand_does_not_come_back_once_its_double_is_deleted() -> None:
    with sqlite_history("fake", files=False, by_key=False) as history:

        def take(*steps: Step) -> None:
            for step in steps:
                history.take(step)

        def meanwhile() -> None:
            deleted = Step("work_by_hand", {"task": 0, "what": "delete the newest"})
            take(run(), deleted, put(ONE, {"data": TWO, "meta": {"q": 1}}), run(on_changed="update"))

        take(put(ONE, TWO))
        history.bench.run_meanwhile(DEFAULTS, 0, meanwhile)
        take(run_with_fault(0, "crash after"), run())
        assert [task.data for task in history.bench.world.snapshot().values()] == [ONE]


MANY = [{"text": f"row {n}"} for n in range(16)]


@pytest.mark.parametrize(
    ("before", "how", "batches"),
    [
        pytest.param([], run(), [1, 1, 2, 2, 4, 4, 2], id="up to twice as large as what was answered"),
        pytest.param([], run(batch_size=3), [1, 1, 2, 2, 3, 3, 3, 1], id="up to what is allowed"),
        pytest.param([server(slow=True)], run(), [1] * 16, id="none larger than can be answered in time"),
        pytest.param([server(most_at_once=3)], run(), [1, 1, 2, 2, 4, 2, 2, 2, 2, 2], id="halves of it"),
        pytest.param([], run_with_fault(4, "lost before"), [1, 1, 2, 2, 4, 2, 2, 2], id="once more"),
        pytest.param([], run_with_fault(4, "lost after"), [1, 1, 2, 2, 4, 2, 2, 2], id="not once more"),
    ],
)
def test_batches_find_their_size(before: list[Step], how: Step, batches: list[int]) -> None:
    with sqlite_history("fake", files=False, by_key=False) as history:
        for step in [put(*MANY), *before, how]:
            history.take(step)
        assert history.bench.world.server.batches == batches
