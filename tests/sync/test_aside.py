"""What is said of a quarantine in one sentence has a bound."""

from collections.abc import Callable
from dataclasses import asdict

import pytest

from labelsync_provider.sync.importing.aside import REASONS, SetAside, kind_of_reason
from labelsync_provider.sync.report import Failure

REASON = "no {} at all"


@pytest.mark.parametrize(
    ("reasons", "rest"),
    [(1, None), (3, None), (4, "1 more reason, which the log names"), (40, "28 more reasons, which the log names")],
)
def test_commonest_reasons_are_counted_and_the_others_told_by_their_number(reasons: int, rest: str | None) -> None:
    aside = SetAside()
    for n in range(reasons):
        for row in range(reasons - n):
            aside.note(Failure("a.json", row, REASON.format(chr(ord("a") + n) * 3)))
    said = aside.commonest(3)
    named = [f"{reasons - n:,} row{'s' if reasons - n > 1 else ''}: no {c * 3} at all." for n, c in enumerate("abc")]
    for n, line in enumerate(named[:reasons]):
        assert line in said, n
    assert said.count(" at all") == min(reasons, 3)
    assert (f"And {rest}" in said) if rest else ("more reason" not in said)
    assert len(aside.lines()) <= REASONS + 1


@pytest.mark.parametrize("reason", ["a" * 100_000, "a," * 50_000, "'" * 100_001, '"' + "'" * 99_999], ids=range(4))
def test_reason_takes_time_by_its_length_alone(reason: str, processor_seconds: Callable[[], float]) -> None:
    kind_of_reason(reason)
    assert processor_seconds() < 1


def test_key_is_escaped_wherever_it_is_told() -> None:
    aside = SetAside()
    failure = Failure("a\nb\x1b[0m.json", 3, "no\rJSON")
    aside.note(failure)
    told = "".join([*aside.lines(), str(failure), *map(str, asdict(failure).values())])
    assert told.isprintable()
    assert r"a\nb\x1b[0m.json, row 3" in told
