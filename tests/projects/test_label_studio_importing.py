"""Batches that a Label Studio server does not take: what is sent again of them, and how much that is."""

from typing import Any, cast

import pytest

from labelsync_provider.errors import TooLarge
from labelsync_provider.projects.label_studio.answers import Answer, Refused, TooMuch, understood
from labelsync_provider.projects.label_studio.client import Client
from labelsync_provider.projects.label_studio.importing import Importer
from labelsync_provider.projects.label_studio.queries import TaskApi
from labelsync_provider.projects.protocol import Rejected, Task

URL = "http://label-studio.example.com"


class Refusing:
    """Answers imports as a server does that takes so many tasks at once, and none that say `bad`."""

    url = URL

    def __init__(self, most: int) -> None:
        self._most = most
        self.sent: list[int] = []
        """How many tasks each request had."""

    def change(self, _method: str, _path: str, tasks: list[Task], *_: Any, **__: Any) -> Any:
        """Answer an import."""
        self.sent.append(len(tasks))
        if len(tasks) > self._most:
            raise TooMuch("413, Request Entity Too Large")
        if any(reasons := reasons_of(tasks)):
            raise Refused("400, no", reasons={"non_field_errors": reasons})
        first = sum(self.sent)
        return {"task_ids": list(range(first, first + len(tasks)))}


def reasons_of(tasks: list[Task]) -> list[Any]:
    """Return what label-studio 1.23.2 says of a batch: of those from the hundredth on, it looks for one bad one."""
    reasons: list[Any] = []
    for n, task in enumerate(tasks):
        if task.data["text"] != "bad":
            reasons.append({})
            continue
        reasons.append(f"Error at item {n}: no")
        if len(reasons) >= 100:
            reasons[99] = "..."
            break
    return reasons


def importer(server: Refusing) -> Importer:
    return Importer(cast("Client", server), cast("TaskApi", server), 1)


def tasks(*texts: str) -> list[Task]:
    return [Task({"text": text}) for text in texts]


@pytest.mark.parametrize("status", [413, 400])
def test_only_413_says_that_a_request_is_too_large(status: int) -> None:
    with pytest.raises(Refused) as refused:
        understood(Answer(status, "no", "", b'{"detail": "no"}'), "POST import", ())
    assert isinstance(refused.value, TooMuch) == (status == 413)


def test_a_batch_that_is_too_large_is_left_to_whoever_sends_it() -> None:
    server = Refusing(most=1)
    with pytest.raises(TooLarge, match="413"):
        importer(server).add(tasks("a", "b"))
    assert server.sent == [2]


def test_a_task_that_is_too_large_is_rejected() -> None:
    assert importer(Refusing(most=0)).add(tasks("a")) == [Rejected("413, Request Entity Too Large")]


def test_of_a_refused_batch_the_rest_is_sent_once_more() -> None:
    server = Refusing(most=10_000)
    outcomes = importer(server).add(tasks("a", "bad", "b", "bad"))
    assert [isinstance(outcome, Rejected) for outcome in outcomes] == [False, True, False, True]
    assert server.sent == [4, 2]


def test_a_batch_of_bad_tasks_alone_is_not_sent_once_for_each_hundred_of_them() -> None:
    server = Refusing(most=10_000)
    outcomes = importer(server).add(tasks(*["bad"] * 10_000))
    assert all(isinstance(outcome, Rejected) for outcome in outcomes)
    assert sum(server.sent) < 100_000, "as a whole, half a million"


@pytest.mark.parametrize(
    ("bad", "sent"),
    [
        ({500}, [1000, 500, 249, 250]),
        ({99}, [1000, 99, 450, 449, 451]),
        (set(range(100)), [1000, 450, 449, 451]),
    ],
    ids=["one", "the hundredth alone, which is not named", "all of a hundred"],
)
def test_what_the_server_has_looked_at_is_not_sent_with_what_it_has_not(bad: set[int], sent: list[int]) -> None:
    server = Refusing(most=10_000)
    outcomes = importer(server).add(tasks(*("bad" if n in bad else "good" for n in range(1000))))
    assert {n for n, outcome in enumerate(outcomes) if isinstance(outcome, Rejected)} == bad
    assert server.sent == sent


def test_bad_tasks_here_and_there_take_no_request_each() -> None:
    server = Refusing(most=10_000)
    outcomes = importer(server).add(tasks(*("good" if n % 10 else "bad" for n in range(10_000))))
    assert sum(isinstance(outcome, Rejected) for outcome in outcomes) == 1000
    assert sum(server.sent) < 100_000, "as a whole, millions"
