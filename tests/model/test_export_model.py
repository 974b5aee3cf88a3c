"""Histories of exports against the engine: some seconds of them, always the same. `make soak` runs longer."""

from functools import partial
from typing import Any

import pytest
from model.bench import COVERAGE
from model.export_machine import ExportDraw, ExportHistory, simpler
from model.machine import Begin, Step, sqlite_history, taken

WORLDS = ["fake", "fake, ids reused", "embedded"]
STEPS = 16
HISTORIES = 5
COMMITS = 9
"""Of a small run."""


def check(number: int, world: str, *, faults: bool, begin: Begin = sqlite_history, shrink: bool = True) -> None:
    """Draw the history of a number and run it; if it fails, print the smallest one that does."""
    draw = ExportDraw(number)
    files, steps = draw.flag(), draw.steps(STEPS, faults=faults)
    COVERAGE.update(["export histories", f"export world: {world}", f"target: {'files' if files else 'bucket'}"])
    told = f"check({number}, {world!r}, {faults=}), with {files=},"
    how = {"kind": ExportHistory, "files": files}
    taken(steps, partial(begin, world, **how), told, simpler=simpler if shrink else None)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("faults", [False, True], ids=["without faults", "with faults"])
def test_what_the_model_foretells_comes_true(world: str, faults: bool) -> None:
    for number in range(HISTORIES):
        check(number, world, faults=faults)


def add(*cancelled: bool) -> Step:
    return Step("add", {"cancelled": list(cancelled)})


def work(what: str, task: int = 0) -> Step:
    return Step("work", {"what": what, "task": task, "annotation": 0, "lag": 0.0})


def run(*faults: tuple[str, int, str], **options: Any) -> Step:
    return Step("run_with_faults", {"options": options, "faults": list(faults)})


def touch(what: str, object: int = 0) -> Step:
    return Step("touch", {"what": what, "object": object})


DAY_LATER = Step("pass_time", {"seconds": 90_000.0})
LOST = Step("lose_the_ledger", {"exports_only": False})
MISCOUNTED = Step("miscount", {"what": "miscount the project", "task": 0})


@pytest.mark.parametrize(
    ("world", "steps"),
    [
        pytest.param(
            "fake",
            [add(False), run(), LOST, run(layout="task"), run(layout="task")],
            id="files of another export, seen by a run that was refused",
        ),
        pytest.param(
            "fake, ids reused",
            [add(), add(), work("annotate", 0), run(), work("delete", 0), work("annotate", 0)],
            id="the id of a deleted annotation, given to one of another task",
        ),
        pytest.param(
            "fake",
            [MISCOUNTED, add(False), run(), work("delete"), run(template=1, can_delete_objects=True)],
            id="an annotation that is counted and not there",
        ),
        pytest.param(
            "fake",
            [add(False, False), add(False), run(layout="task"), run(can_delete_objects=True), touch("put back", 1)],
            id="a file of another task, put back in the place of an annotation's",
        ),
        pytest.param(
            "fake",
            [
                add(False),
                run(layout="task"),
                run(can_delete_objects=True),
                work("delete"),
                touch("put back"),
                run(can_delete_objects=True),
                run(),
            ],
            id="a file of another export, seen by a run that would have emptied the target",
        ),
        pytest.param(
            "fake",
            [add(), run(("commit", 4, "crash after")), run(target=3)],
            id="a nested target, and the lease of a run that was killed",
        ),
        pytest.param(
            "fake, ids reused",
            [
                add(),
                add(False),
                run(layout="task"),
                work("skip"),
                run(("request", 0, "twice"), layout="task"),
                work("delete the newest"),
                run(can_delete_objects=True),
                work("remove"),
                add(False, False),
                run(),
            ],
            id="a file of another task, come late in the place of an annotation's",
        ),
        pytest.param(
            "fake",
            [
                add(False),
                add(False),
                run(),
                work("predict"),
                DAY_LATER,
                run(("request", 0, "lost before")),
                work("predict", 1),
            ],
            id="a look at all tasks, by a run that could not write all",
        ),
    ],
)
def test_what_the_model_has_found_is_mended(world: str, steps: list[Step]) -> None:
    begin = partial(sqlite_history, world, kind=ExportHistory, files=False)
    taken(steps, begin, f"a history with {world!r}")


BEGUN = [add(False, True), add(False)]
IN_PART: dict[str, Any] = {"layout": "task", "include_cancelled": False}


@pytest.mark.parametrize(
    ("before", "options", "later"),
    [
        pytest.param([*BEGUN, run(), add(False, False, False)], {}, {}, id="between two files of a task"),
        pytest.param([*BEGUN, run(layout="task")], IN_PART, {"layout": "task"}, id="before what no other run writes"),
        pytest.param([*BEGUN, run(template=1), LOST], {"template": 1}, {}, id="before the export was remembered again"),
    ],
)
def test_what_a_run_leaves_that_was_killed_is_put_right(
    before: list[Step], options: dict[str, Any], later: dict[str, Any]
) -> None:
    for number in range(COMMITS):
        killed = run(("commit", number, "crash after"), **options)
        begin = partial(sqlite_history, "fake", kind=ExportHistory, files=False)
        taken([*before, killed, run(**later)], begin, f"a run that is killed at commit {number}")
