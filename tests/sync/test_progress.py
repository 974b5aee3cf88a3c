"""The lines that a person watching the log sees."""

import logging
import time

import pytest

from labelsync_provider.sync import ImportReport
from labelsync_provider.sync.progress import Progress

log = logging.getLogger(__name__)


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """A clock that is set by hand: its last entry is what it shows."""
    shows = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: shows[-1])
    return shows


@pytest.fixture(autouse=True)
def shown(caplog) -> None:
    caplog.set_level(logging.INFO)


def test_says_nothing_in_the_first_seconds(clock, caplog) -> None:
    progress = Progress(log, "listed")
    clock.append(1004.9)
    progress(100, "")
    assert caplog.messages == []


def test_says_counts_and_rate_after_a_few_seconds(clock, caplog) -> None:
    progress = Progress(log, "listed")
    clock.append(1010.0)
    progress(25_000, ImportReport(new=3))
    (line,) = caplog.messages
    assert line.startswith("listed 25,000 at 2,500/s (listed 0, new 3)")


def test_says_what_is_left_where_the_total_is_known(clock, caplog) -> None:
    progress = Progress(log, "annotations", 30_000)
    clock.append(1010.0)
    progress(10_000, "written 5")
    assert caplog.messages == ["annotations 10,000 of 30,000 at 1,000/s, 20,000 left, about 20 s (written 5)"]


def test_says_so_again_only_after_a_few_more_seconds(clock, caplog) -> None:
    progress = Progress(log, "listed")
    for now in range(1001, 1031):
        clock.append(float(now))
        progress(now - 1000, "")
    assert len(caplog.messages) == 6


def test_says_nothing_negative_when_more_comes_than_was_counted(clock, caplog) -> None:
    progress = Progress(log, "annotations", 10)
    clock.append(1010.0)
    progress(20, "")
    assert "0 left, about 0 s" in caplog.text


def test_says_zero_where_nothing_is_done_yet(clock, caplog) -> None:
    progress = Progress(log, "annotations", 10)
    clock.append(1010.0)
    progress(0, "")
    assert caplog.messages == ["annotations 0 at 0/s ()"]
