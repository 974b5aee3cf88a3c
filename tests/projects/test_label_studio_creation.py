"""A project of a server is created once, whatever becomes of the requests and the runs that ask for it.

The server here is a small one of its own: no Label Studio can be brought to hold a creation back, and to carry it out
when it is told to. That a Label Studio does what is asked of it `test_label_studio.py` shows.
"""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from killing import patiently

from labelsync_provider.airflow_compat import AirflowException
from labelsync_provider.errors import Invalid, LeaseLost, Unavailable
from labelsync_provider.operators.import_storage import ImportStorageSyncOperator
from labelsync_provider.operators.project import CreateProjectOperator
from labelsync_provider.projects.label_studio import creation
from labelsync_provider.projects.label_studio.client import WHOAMI, Client
from labelsync_provider.projects.label_studio.creation import LONGEST_TITLE, unfinished_title
from labelsync_provider.projects.label_studio.server import LabelStudioServer

CONFIG = '<View><Text name="text" value="$text"/></View>'
WHEN = "2026-01-02T03:04:05.678901Z"
FIELDS = {"label_config": CONFIG, "description": ""}
UNFINISHED = unfinished_title("Pets")


class Server:
    """Makes as many projects of a title as it is asked for, as Label Studio does."""

    def __init__(self) -> None:
        self.projects: list[dict[str, Any]] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []
        """What was asked that changes something: method, and body."""
        self.hold = threading.Event()
        """Set, creations are carried out at once."""
        self.hold.set()
        self.after: tuple[int, bytes] | None = None
        """What is answered to the next creation in place of the project."""
        self.between: Callable[[], None] = lambda: None
        """What somebody else does while a project is created."""

    def answer(self, request: Any) -> tuple[int, bytes]:
        path, query = urlsplit(request.path)[2:4]
        if path == WHOAMI:
            return 200, b'{"id": 1, "email": "ann@example.com"}'
        body = json.loads(request.body or "{}")
        if request.method == "GET" and path == "/api/projects/":
            title = parse_qs(query)["title"][0].lower()
            found = [one for one in self.projects if title in one["title"].lower()]
            return 200, json.dumps({"results": found, "count": len(found)}).encode()
        if request.method == "GET":
            return 200, json.dumps(self.project(path)).encode()
        self.asked.append((request.method, body))
        if request.method == "PATCH":
            self.project(path).update(body)
            return 200, json.dumps(self.project(path)).encode()
        assert self.hold.wait(30)
        self.between()
        self.projects.append(
            {"id": len(self.projects) + 1, "task_number": 0, "finished_task_number": 0, "created_at": WHEN, **body}
        )
        (answer, self.after) = (self.after, None)
        return answer or (201, json.dumps(self.projects[-1]).encode())

    def project(self, path: str) -> dict[str, Any]:
        return self.projects[int(path.rstrip("/").rpartition("/")[2]) - 1]

    def titles(self) -> list[str]:
        return [one["title"] for one in self.projects]

    def methods(self) -> list[str]:
        return [method for method, _ in self.asked]


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.hold.set()


@pytest.fixture
def url(server: Server, http_server: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(creation, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(creation, "APPEARING_SECONDS", 0.3)
    return http_server(server.answer)


@pytest.fixture
def create(url: str) -> Callable[..., Any]:
    def create(title: str = "Pets", confirm: Callable[[], None] | None = None) -> Any:
        store = LabelStudioServer(Client(url, "token", read_seconds=0.3, retry_seconds=0.1))
        return store.create_project(title, CONFIG, "what it is for", confirm)

    return create


def test_is_asked_for_by_another_title_until_it_is_there(server: Server, create: Callable) -> None:
    assert (create().title, create().id) == ("Pets", 1)
    body = {"label_config": CONFIG, "description": "what it is for"}
    assert server.asked == [("POST", {"title": UNFINISHED, **body}), ("PATCH", {"title": "Pets", **body})]


def test_that_somebody_else_has_finished_meanwhile_is_taken(server: Server, create: Callable, caplog: Any) -> None:
    """Neither has a lease: the other one looks for the title before this one asks, and after it has asked."""
    server.between = lambda: server.projects[0].update(title="Pets")
    server.projects.append(
        {"id": 1, "title": "nothing yet", "task_number": 0, "finished_task_number": 0, "created_at": WHEN, **FIELDS}
    )
    assert create().id == 1
    assert server.titles() == ["Pets", UNFINISHED]
    assert f"Project 2, '{UNFINISHED}', is what came of a request" in caplog.text


@pytest.mark.parametrize("answer", [(502, b""), (500, b'{"status_code": 500}'), (201, b"<html>")], ids=str)
def test_whose_creation_was_not_answered_is_found(server: Server, create: Callable, answer: tuple[int, bytes]) -> None:
    server.after = answer
    assert create().id == 1
    assert server.titles() == ["Pets"]
    assert server.methods().count("POST") == 1


def test_that_comes_late_is_no_second_one_of_the_title(server: Server, create: Callable, caplog: Any) -> None:
    server.hold.clear()
    for _ in range(2):
        with pytest.raises(Unavailable, match=r"no answer within 0\.3 s"):
            create()
    server.hold.set()
    for _ in patiently("the creations are not carried out"):
        if len(server.projects) == 2:
            break
    assert {create().id, create().id} == {1}
    assert sorted(server.titles()) == ["Pets", UNFINISHED]
    assert f"Project 2, {UNFINISHED!r}, is what came of a request that was given up" in caplog.text


def test_whose_run_was_killed_is_finished_by_the_next(server: Server, create: Callable) -> None:
    asked = []

    def killed() -> None:
        asked.append(1)
        if len(asked) == 2:
            raise LeaseLost("another run has taken over")

    with pytest.raises(LeaseLost):
        create(confirm=killed)
    assert server.titles() == [UNFINISHED]
    assert create().id == 1
    assert (server.titles(), server.methods()) == (["Pets"], ["POST", "PATCH"])


def test_that_a_person_has_filled_stays_as_it_is(server: Server, create: Callable) -> None:
    server.projects.append({"id": 1, "title": UNFINISHED, "task_number": 3, "label_config": "<View/>"})
    assert create().id == 2
    assert server.titles() == [UNFINISHED, "Pets"]


@pytest.mark.parametrize("title", ["ab", " ab ", "x" * 51], ids=repr)
def test_of_a_title_that_cannot_be_is_not_asked_for(server: Server, create: Callable, title: str) -> None:
    with pytest.raises(Invalid, match=r"title='.*(at least 3|no more than 50) characters"):
        create(title)
    assert not server.asked


def test_of_long_titles_that_begin_alike_is_another_each(server: Server, create: Callable) -> None:
    titles = [end.rjust(LONGEST_TITLE, "é") for end in ("a", "b")]
    assert len({create(title).id for title in titles}) == 2
    assert server.titles() == titles
    assert max(len(body["title"]) for _, body in server.asked) <= LONGEST_TITLE


class TestATaskThatIsStopped:
    @pytest.fixture
    def operator(self, request: Any, connections: Any, connect: Callable, url: str) -> Any:
        connect("label_studio_default", conn_type="label_studio", host=url, password="token")
        if request.param is CreateProjectOperator:
            return CreateProjectOperator(task_id="project", title="Pets", label_config=CONFIG)
        given = {"source": connections.uri, "project": "Pets", "create_if_missing": CONFIG}
        return ImportStorageSyncOperator(task_id="load", **given)

    @pytest.mark.parametrize("operator", [CreateProjectOperator, ImportStorageSyncOperator], indirect=True)
    def test_asks_for_nothing_more_and_a_retry_makes_no_second_one(
        self, operator: Any, server: Server, create: Callable
    ) -> None:
        server.hold.clear()
        stopper = threading.Thread(target=self.stop_when_asked, args=(operator, server))
        stopper.start()
        with pytest.raises(AirflowException, match="Stopped with a request still on its way"):
            operator.execute({})
        stopper.join()
        with pytest.raises(Unavailable):
            create()
        server.hold.set()
        for _ in patiently("the creations are not carried out"):
            if len(server.projects) == 2:
                break
        assert server.titles() == [UNFINISHED] * 2, "who was stopped does not go on when the answer comes"
        retry = CreateProjectOperator(task_id="project", title="Pets", label_config=CONFIG)
        assert retry.execute({}) == retry.execute({}) == 1
        assert sorted(server.titles()) == ["Pets", UNFINISHED]
        assert server.methods() == ["POST", "POST", "PATCH"]

    @staticmethod
    def stop_when_asked(operator: Any, server: Server) -> None:
        for _ in patiently("nothing is asked"):
            if server.asked:
                operator.on_kill()
                return
