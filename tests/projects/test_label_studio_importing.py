"""Batches that a Label Studio server does not take: what is sent again of them, and how much that is."""

from typing import Any, cast

import pytest

from labelsync_provider.errors import TooLarge
from labelsync_provider.projects.label_studio.answers import Answer, Refused, TooMuch, understood
from labelsync_provider.projects.label_studio.client import Client
from labelsync_provider.projects.label_studio.importing import Importer
from labelsync_provider.projects.label_studio.queries import TaskApi
from labelsync_provider.projects.label_studio.refusals import NAMED_AT_MOST
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
        reasons = [f"Error at item {n}: no" if task.data["text"] == "bad" else {} for n, task in enumerate(tasks)]
        named = [n for n, reason in enumerate(reasons) if reason][:NAMED_AT_MOST]
        if named:
            raise Refused("400, no", reasons={"non_field_errors": reasons[: named[-1] + 1]})
        first = sum(self.sent)
        return {"task_ids": list(range(first, first + len(tasks)))}


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
