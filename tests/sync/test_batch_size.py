"""How large batches are: what is decided, by what became of the one before."""

import pytest

from labelsync_provider.sync.importing.batch_size import BatchSize

MOST, READ_SECONDS = 10_000, 120.0


def size(tasks: int, *, doubles: bool = True) -> BatchSize:
    return BatchSize(tasks, MOST, READ_SECONDS / 2, doubles)


@pytest.mark.parametrize(
    ("most", "tasks"), [(10_000, 250), (250, 250), (10, 10), (1, 1)], ids=["few", "all", "no more", "one"]
)
def test_the_first_batch_is_small(most: int, tasks: int) -> None:
    assert BatchSize.at_first(most, READ_SECONDS) == BatchSize(tasks, most, 60.0)


@pytest.mark.parametrize(
    ("before", "tasks", "seconds", "after"),
    [
        pytest.param(250, 250, 0.2, 500, id="a fast answer: twice as many"),
        pytest.param(250, 400, 0.2, 800, id="more than that, put together while the one before was on its way"),
        pytest.param(8000, 8000, 3.0, 10_000, id="not more than the most"),
        pytest.param(250, 250, 0.0, 500, id="an answer in no time"),
        pytest.param(1000, 1000, 30.0, 2000, id="twice as many take all the time there is"),
        pytest.param(1000, 1000, 40.0, 1500, id="twice as many would take too long"),
        pytest.param(1000, 1000, 60.0, 1000, id="no more can be done in time"),
        pytest.param(1000, 1000, 120.0, 500, id="too slow"),
        pytest.param(1000, 40, 1.0, 1000, id="a small one tells nothing of a larger one"),
        pytest.param(1000, 40, 80.0, 30, id="unless it was too slow"),
        pytest.param(1, 1, 100.0, 1, id="one is sent in any case"),
    ],
)
def test_after_an_answer(before: int, tasks: int, seconds: float, after: int) -> None:
    assert size(before).after_answer(tasks, seconds) == size(after)


@pytest.mark.parametrize(("tasks", "after"), [(10_000, 5000), (251, 125), (2, 1), (1, 1)])
def test_after_a_failure_half_as_many_are_sent(tasks: int, after: int) -> None:
    assert size(10_000).after_failure(tasks) == size(after, doubles=False)


def test_while_a_batch_is_on_its_way_as_many_are_put_together_as_may_be_sent_after_it() -> None:
    assert [size(tasks).at_best for tasks in (250, 8000)] == [500, 10_000]
    assert size(250, doubles=False).at_best == 500
    assert size(1000, doubles=False).at_best == 1250


def test_after_a_failure_batches_grow_slowly() -> None:
    now = size(4000).after_failure(4000)
    sizes = [now.tasks]
    for _ in range(3):
        now = now.after_answer(now.tasks, 1.0)
        sizes.append(now.tasks)
    assert sizes == [2000, 2250, 2500, 2750]
    assert now.after_answer(now.tasks, 90.0).tasks == 1833, "nor larger than can be answered in time"
