"""Histories of adoption against the engine: some seconds of them, always the same. `make soak` runs others."""

from functools import partial

import pytest
from model.adoption_machine import AdoptionHistory, Draw, simpler
from model.bench import COVERAGE
from model.machine import Begin, sqlite_history, taken

WORLDS = ["fake", "fake, ids reused"]
STEPS = 14
HISTORIES = 8


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
