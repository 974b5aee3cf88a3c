"""Histories against the engine: about a minute of them, always the same. `make soak` runs others, and longer."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from model.bench import COVERAGE
from model.machine import Draw, History, Step, shrunk, sqlite_history

WORLDS = ["fake", "fake, ids reused", "embedded"]
STEPS = 20
HISTORIES = 15

Begin = Callable[..., AbstractContextManager[History]]


def check(number: int, world: str, *, faults: bool, begin: Begin = sqlite_history, shrink: bool = True) -> None:
    """Draw the history of a number and run it; if it fails, print the smallest one that does."""
    draw = Draw(number)
    files, by_key, steps = draw.flag(), draw.flag(), draw.steps(STEPS, faults=faults)

    def run(steps: list[Step]) -> None:
        with begin(world, files=files, by_key=by_key) as history:
            for step in steps:
                history.take(step)
            history.end()

    def fails(steps: list[Step]) -> bool:
        try:
            run(steps)
        except Exception:
            return True
        return False

    COVERAGE.update(["histories", f"world: {world}", f"source: {'files' if files else 'bucket'}"])
    try:
        run(steps)
    except Exception:
        covered = COVERAGE.copy()
        steps = shrunk(steps, fails) if shrink else steps
        COVERAGE.clear()
        COVERAGE.update(covered)
        print(f"check({number}, {world!r}, {faults=}) fails: {files=}, {by_key=},")
        print(*steps, sep="\n")
        run(steps)
        raise


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("faults", [False, True], ids=["without faults", "with faults"])
def test_what_the_model_foretells_comes_true(world: str, faults: bool) -> None:
    for number in range(HISTORIES):
        check(number, world, faults=faults)
