"""Whatever a server answers, it ends in one of the package's errors, in a bounded time, and tells no token."""

import json
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from servers.misbehaving import GOOD, MISBEHAVIOURS, SLOW, TASK, TOKEN, Asked, Server, as_json, good, http, misbehaving

from labelsync_provider.errors import LabelsyncError, TooLarge, Unavailable, Unusable
from labelsync_provider.projects.label_studio import answers, queries
from labelsync_provider.projects.label_studio.answers import Refused
from labelsync_provider.projects.label_studio.client import WHOAMI, Client
from labelsync_provider.projects.label_studio.project import LabelStudioProject
from labelsync_provider.projects.label_studio.server import LabelStudioServer
from labelsync_provider.projects.label_studio.storage_options import StorageOptions
from labelsync_provider.projects.label_studio.storage_types.registry import LabelStudioStorage
from labelsync_provider.projects.label_studio.storages import list_storages
from labelsync_provider.projects.label_studio.storing import put_storage
from labelsync_provider.projects.label_studio.sync_state import Storage, may_be_alive
from labelsync_provider.projects.label_studio.syncing import read_state, start_sync
from labelsync_provider.projects.protocol import Task, TaskUpdate

ANSWER_BYTES = 1 << 20
SECONDS = 0.1
STORAGE = Storage("import", "s3", 1)
URIS = {1: "s3://b/a"}


def ids(pages: Any) -> list[int]:
    return [task["id"] if isinstance(task, dict) else task.id for page in pages for task in page]


Doing = Callable[[Client, LabelStudioProject], Any]
DOINGS: dict[str, Doing] = {
    "version": lambda client, _: client.version(),
    "whoami": lambda client, _: client.whoami(),
    "project by its id": lambda client, _: LabelStudioServer(client).project(1),
    "project by its title": lambda client, _: LabelStudioServer(client).project("Pets"),
    "import": lambda _, project: project.import_tasks([Task({"text": "a"}), Task({"text": "b"})]),
    "annotators": lambda _, project: project.adapt(Task({}, annotations=[{"completed_by": 1, "result": []}])),
    "last id": lambda _, project: project.last_task_id(),
    "tasks": lambda _, project: ids(project.tasks_after(0, with_data=True)),
    "looks": lambda _, project: project.look(URIS),
    "changes": lambda _, project: ids(project.changes()),
    "annotated tasks": lambda _, project: ids(project.annotated_tasks([1])),
    "progress": lambda _, project: project.progress(),
    "counts": lambda _, project: project.count_tasks(0, 9, cancelled=True),
    "labeling": lambda _, project: (project.labeling(), project.labeling()),
    "updates": lambda _, project: list(
        project.update_tasks(
            {1: TaskUpdate("s3://b/a", {"labelsync": {}}, {"text": "b"}, predictions=[{"result": []}])}
        )
    ),
    "deletions": lambda _, project: project.delete_tasks(URIS),
    "storages": lambda client, _: list_storages(client, 1, "import", "s3"),
    "new storage": lambda client, _: put_storage(
        client, 1, "import", LabelStudioStorage("s3", {"bucket": "b", "prefix": ""}), StorageOptions()
    ),
    "sync": lambda client, _: (may_be_alive(read_state(client, STORAGE, 1)), start_sync(client, 1, STORAGE)),
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with misbehaving() as server:
        yield server


@pytest.fixture
def client(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setattr(answers, "ANSWER_BYTES", ANSWER_BYTES)
    for module in ("label_studio.importing", "label_studio.storing"):
        monkeypatch.setattr(f"labelsync_provider.projects.{module}.time.sleep", lambda _: None)
    monkeypatch.setattr("labelsync_provider.projects.label_studio.importing.POLL_SECONDS", 0.001)
    monkeypatch.setattr("labelsync_provider.projects.label_studio.importing.JOB_SECONDS", 0.1)
    monkeypatch.setattr("labelsync_provider.projects.label_studio.storing.APPEARING_SECONDS", 0.0)
    server.answer, server.asked = good, []
    seconds = {"connect_seconds": 2.0, "read_seconds": 2.0, "retry_seconds": 0.0}
    client = Client(server.url, TOKEN, **seconds)  # type: ignore[arg-type]
    yield client
    client.close()


def opened(client: Client) -> LabelStudioProject:
    return LabelStudioServer(client).project(1)


def failures(
    client: Client, project: LabelStudioProject, doings: dict[str, Doing] = DOINGS
) -> dict[str, LabelsyncError]:
    """Do everything; return what failed, as the package's errors say it. Any other is the test's."""
    failed = {}
    for name, do in doings.items():
        try:
            do(client, project)
        except LabelsyncError as error:
            failed[name] = error
    return failed


def test_server_that_behaves_is_believed(client: Client) -> None:
    assert (
        failures(client, opened(client), {n: do for n, do in DOINGS.items() if n not in ("new storage", "sync")}) == {}
    )


@pytest.mark.parametrize("name", MISBEHAVIOURS)
def test_ends_in_an_error_of_ours(server: Server, client: Client, name: str) -> None:
    project = opened(client)
    started = time.monotonic()
    server.answer = MISBEHAVIOURS[name]
    failed = failures(client, project)
    assert len(failed) > len(DOINGS) / 2, "it is believed"
    for error in failed.values():
        for line in str(error).split("\n"):
            assert line.isprintable()
        assert TOKEN not in str(error)
        assert len(str(error)) < 2000
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("name", SLOW)
def test_ends_in_time(server: Server, client: Client, name: str) -> None:
    slow = Client(
        server.url, TOKEN, connect_seconds=SECONDS, read_seconds=SECONDS, transfer_seconds=SECONDS, retry_seconds=0
    )
    server.answer = SLOW[name]
    started = time.monotonic()
    with pytest.raises(Unavailable, match=r"no (whole )?answer within 0\.[13] s"):
        slow.get("/api/version")
    assert time.monotonic() - started < 30 * SECONDS
    server.answer = good
    assert slow.version() == "1.23.2", "it goes on"
    slow.close()


@pytest.mark.parametrize("name", ["import", "updates", "deletions", "new storage at another place", "sync"])
def test_change_that_is_answered_by_a_page_is_asked_for_once_and_is_not_certain(
    server: Server, client: Client, name: str
) -> None:
    """A proxy may have lost the answer of a Label Studio that has done it."""
    project = opened(client)
    other = LabelStudioStorage("s3", {"bucket": "other", "prefix": ""})
    doings = DOINGS | {"new storage at another place": lambda client, _: put_storage(client, 1, "import", other)}
    server.answer = lambda asked: MISBEHAVIOURS["page"](asked) if asked.method == "POST" else good(asked)
    failed = failures(client, project, {name: doings[name]})
    if name != "sync":  # it is looked how it goes on
        assert type(failed[name]) is Unavailable
        assert "a page titled 'Log in', and not Label Studio's" in str(failed[name])
    assert [asked.method for asked in server.asked].count("POST") == 1


def test_token_goes_to_no_other_host(server: Server, client: Client) -> None:
    with misbehaving() as other:
        server.answer = lambda _: MISBEHAVIOURS["307 to another host"](_).replace(  # type: ignore[union-attr]
            b"http://127.0.0.1:9", other.url.encode()
        )
        with pytest.raises(Unusable, match=r"redirects to 'http://127.0.0.1:.*, where the token is not sent"):
            client.get("/api/tasks/")
        assert other.asked == []


def mutations(value: Any, change: Callable[[Any], None] | None = None) -> Iterator[Callable[[Any], Any]]:
    """Yield what makes of a value one in which something is another thing, or not there."""
    for wrong in (None, True, 2**70, "x", {}):  # type: ignore[var-annotated]
        if type(wrong) is not type(value) or wrong != value:
            yield lambda _, wrong=wrong: wrong  # type: ignore[misc]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        if isinstance(value, dict):
            yield lambda old, name=name: {key: one for key, one in old.items() if key != name}  # type: ignore[misc]
        for mutate in mutations(inner):

            def at(old: Any, name: Any = name, mutate: Callable[[Any], Any] = mutate) -> Any:
                new = deepcopy(old)
                new[name] = mutate(new[name])
                return new

            yield at


@pytest.mark.parametrize("path", GOOD)
def test_any_value_may_be_any_other(server: Server, client: Client, path: str) -> None:
    """In most places that is an error; what people write may be anything. Never does something else come of it."""
    project = opened(client)
    concerned = {name: do for name, do in DOINGS.items() if path in asked_by(server, client, project, do)}
    for mutate in mutations(GOOD[path]):
        wrong = mutate(GOOD[path])
        server.answer = lambda asked, wrong=wrong: as_json(wrong) if urlsplit(asked.path).path == path else good(asked)  # type: ignore[misc]
        failures(client, LabelStudioProject(client, dict(GOOD["/api/projects/1/"])), concerned)


def asked_by(server: Server, client: Client, project: LabelStudioProject, do: Doing) -> set[str]:
    server.asked.clear()
    failures(client, project, {"it": do})
    return {urlsplit(asked.path).path for asked in server.asked}


@pytest.mark.parametrize(
    "told",
    [
        [],
        [7],
        [7, 8, 9],
        [7, 7],
        [0, 8],
        [-7, 8],
        [True, 8],
        ["7", 8],
        [7.5, 8],
        [None, 8],
        [2**70, 8],
        None,
        2,
        "78",
        {"7": 8},
    ],
    ids=repr,
)
def test_import_of_which_the_ids_are_not_told_is_not_certain(server: Server, client: Client, told: Any) -> None:
    project = opened(client)
    for answer in ({"task_ids": told}, {"task_count": 2}, {"task_ids": told, "task_count": 2, "status": "completed"}):
        server.answer = lambda _, answer=answer: as_json(answer)  # type: ignore[misc]
        with pytest.raises(Unavailable):
            project.import_tasks([Task({"text": "a"}), Task({"text": "b"})])


@pytest.mark.parametrize(
    "job", [{"import": 3}, {"import": 3, "status": "in_progress"}, {"id": 3, "status": "created"}], ids=repr
)
def test_job_in_the_background_has_a_deadline(server: Server, client: Client, job: dict[str, Any]) -> None:
    project = opened(client)
    server.answer = lambda _: as_json(job)
    with pytest.raises(Unavailable, match=r"import 3 has not ended within 0\.1 s"):
        project.import_tasks([Task({"text": "a"})])


def test_job_without_a_number_is_not_waited_for(server: Server, client: Client) -> None:
    project = opened(client)
    server.answer = lambda _: as_json({"status": "in_progress"})
    with pytest.raises(Unavailable):
        project.import_tasks([Task({"text": "a"})])


def test_batch_of_which_one_after_the_other_is_refused_ends(server: Server, client: Client) -> None:
    project = opened(client)
    refusal = b'{"validation_errors": {"non_field_errors": ["Error at item 0: no"]}}'
    server.answer = lambda _: http(refusal, "400 Bad", "Connection: close")
    outcomes = project.import_tasks([Task({"text": str(n)}) for n in range(600)])
    assert len(outcomes) == 600
    assert not any(isinstance(one, int) for one in outcomes)


def above(asked: Asked) -> int:
    """Return the id above which tasks are asked for."""
    query = parse_qs(urlsplit(asked.path).query)["query"][0]
    return int(query.partition('"value":')[2].partition("}")[0])


def page(*tasks: int, total: int = 10**9) -> bytes:
    return as_json({"total": total, "tasks": [TASK | {"id": task} for task in tasks]})


PAGES: dict[str, Callable[[Asked], bytes]] = {
    "the first one again": lambda _: page(*range(1, 1001)),
    "those asked before": lambda asked: page(*range(max(above(asked) - 500, 1), max(above(asked) - 500, 1) + 1000)),
    "one twice": lambda asked: page(*([above(asked) + 1] * 1000)),
    "not in order": lambda asked: page(*range(above(asked) + 1000, above(asked), -1)),
    "more than there are": lambda asked: page(*range(above(asked) + 1, above(asked) + 1001), total=5),
}


@pytest.mark.parametrize("name", PAGES)
def test_pages_of_tasks_advance_to_an_end(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("labelsync_provider.projects.label_studio.queries.MORE_MEANWHILE", 2000)
    project = opened(client)
    server.answer = PAGES[name]
    with pytest.raises(Unusable, match="the pages of its tasks do not advance"):
        ids(project.changes())


@pytest.mark.parametrize("told", [(2,), (1, 1), (1, 2)], ids=str)
def test_tasks_that_were_not_asked_for_are_not_taken(server: Server, client: Client, told: tuple[int, ...]) -> None:
    project = opened(client)
    server.answer = lambda _: page(*told)
    with pytest.raises(Unusable, match="not asked for, or twice"):
        project.look(URIS)


@pytest.mark.parametrize("grows", [False, True])
def test_pages_of_projects_advance_to_an_end(server: Server, client: Client, monkeypatch: Any, grows: bool) -> None:
    monkeypatch.setattr("labelsync_provider.projects.label_studio.server.MOST_PAGES", 20)
    numbers = count(1) if grows else iter(lambda: 1, 0)
    server.answer = lambda _: as_json({"count": 10**12, "results": [{"id": next(numbers), "title": "x"}]})
    with pytest.raises(Unusable, match="pages of its projects do not advance"):
        LabelStudioServer(client).project("Pets")


def test_pages_of_projects_end_where_there_are_no_more(server: Server, client: Client) -> None:
    none = as_json({"count": 10**12, "results": []})
    server.answer = lambda asked: good(asked) if asked.path == WHOAMI else none
    with pytest.raises(LabelsyncError, match="has no project with this id or title"):
        LabelStudioServer(client).project("Pets")


def test_page_with_too_many_bytes_is_asked_for_in_smaller_ones(server: Server, client: Client) -> None:
    project = opened(client)

    def answer(asked: Asked) -> bytes:
        size, first = int(parse_qs(urlsplit(asked.path).query)["page_size"][0]), above(asked) + 1
        tasks = range(first, min(first + size, 40))
        return as_json({"total": 39, "tasks": [TASK | {"id": n, "meta": "x" * 50_000} for n in tasks]})

    server.answer = answer
    assert ids(project.tasks_after(0)) == list(range(1, 40))
    server.answer = lambda asked: as_json(
        {"total": 1, "tasks": [TASK | {"id": above(asked) + 1, "meta": "x" * 2_000_000}]}
    )
    with pytest.raises(TooLarge, match=r"more than 1,048,576 bytes"):
        ids(project.tasks_after(0))


LATE: dict[str, Callable[[Asked], Any]] = {
    "no answer": SLOW["silence"],
    "answer by the byte": SLOW["body by the byte"],
    "time-out of a proxy": lambda _: http(b"", "504 Gateway Time-out"),
}
PAGED: dict[str, tuple[Doing, list[int]]] = {
    "by id": (lambda _, project: ids(project.tasks_after(0)), [8, 4, 2, 2, 2, 2, 2, 2]),
    "by ids": (lambda _, project: sorted(project.look(dict.fromkeys(range(1, 12), URIS[1]))), [8, 4, 2, 2, 2, 2, 2, 1]),
}
"""By name, how eleven tasks are asked for, and in pages of which sizes if those above two come too late."""


@pytest.fixture
def hasty(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client that asks for eight tasks at a time, and waits for them a moment only."""
    for name in ("PAGE", "IDS_IN_A_URL"):
        monkeypatch.setattr(queries, name, 8)
    server.asked = []
    hasty = Client(server.url, TOKEN, read_seconds=SECONDS, connect_seconds=SECONDS, transfer_seconds=SECONDS)
    yield hasty
    hasty.close()


def size(asked: Asked) -> int:
    """Return how many tasks are asked for."""
    return int(parse_qs(urlsplit(asked.path).query)["page_size"][0])


def page_asked_for(asked: Asked) -> bytes:
    """Answer with those that are asked for of eleven tasks."""
    query = json.loads(parse_qs(urlsplit(asked.path).query)["query"][0])
    wanted = query["selectedItems"]["included"] if "selectedItems" in query else range(above(asked) + 1, 12)
    return page(*wanted[: size(asked)], total=len(wanted))


@pytest.mark.parametrize("name", LATE)
@pytest.mark.parametrize("paged", PAGED)
def test_page_that_comes_too_late_is_asked_for_in_smaller_ones_at_once(
    server: Server, hasty: Client, paged: str, name: str
) -> None:
    project, (do, sizes) = LabelStudioProject(hasty, dict(GOOD["/api/projects/1/"])), PAGED[paged]
    server.answer = lambda asked: LATE[name](asked) if size(asked) > 2 else page_asked_for(asked)
    assert do(hasty, project) == list(range(1, 12))
    assert [size(asked) for asked in server.asked] == sizes


@pytest.mark.parametrize("paged", PAGED)
def test_server_that_gives_fewer_tasks_at_a_time_than_it_is_asked_for_hides_none(
    server: Server, hasty: Client, paged: str
) -> None:
    """Label Studio has a setting for it, `TASK_API_PAGE_SIZE_MAX`."""
    project, (do, _) = LabelStudioProject(hasty, dict(GOOD["/api/projects/1/"])), PAGED[paged]

    def answer(asked: Asked) -> bytes:
        query = json.loads(parse_qs(urlsplit(asked.path).query)["query"][0])
        wanted = query["selectedItems"]["included"] if "selectedItems" in query else range(above(asked) + 1, 12)
        told = json.loads(page(*wanted[:3]).partition(b"\r\n\r\n")[2])
        return as_json(told | {"total": len(wanted)})

    server.answer = answer
    assert do(hasty, project) == list(range(1, 12))


def test_page_of_one_task_that_comes_too_late_is_asked_for_again(server: Server, hasty: Client) -> None:
    project, late = LabelStudioProject(hasty, dict(GOOD["/api/projects/1/"])), iter(LATE.values())
    server.answer = lambda asked: one(asked) if (one := next(late, None)) else page_asked_for(asked)
    assert project.look(URIS).keys() == URIS.keys()
    assert [size(asked) for asked in server.asked] == [1] * (1 + len(LATE))


@pytest.mark.parametrize(
    ("before", "after", "another"),
    [
        ("", "5", True),
        ("5", "5,9", True),
        ("5", "9", True),
        ("5,9", "9,5", False),
        ("5,9", "5, 9", False),
        ("15," * 166 + "15", "16," * 166 + "16", False),  # cut: which ones are told is chance
    ],
)
def test_state_of_a_task_is_another_one_if_its_annotations_are(
    server: Server, client: Client, before: str, after: str, another: bool
) -> None:
    project, states = opened(client), []
    for told in (before, after):
        server.answer = lambda _, told=told: as_json({"total": 1, "tasks": [TASK | {"annotations_ids": told}]})  # type: ignore[misc]
        ((state,),) = project.changes()
        states.append(state)
    assert (states[0] != states[1]) == another


@pytest.mark.parametrize(("told", "count", "annotated"), [("5", 0, True), ("", 1, True), ("", 0, False)])
def test_task_is_not_annotated_only_if_neither_ids_nor_counters_tell_of_an_annotation(
    server: Server, client: Client, told: str, count: int, annotated: bool
) -> None:
    project, counters = opened(client), {"total_annotations": 0, "cancelled_annotations": count}
    server.answer = lambda _: as_json({"total": 1, "tasks": [TASK | counters | {"annotations_ids": told}]})
    ((state,),) = project.changes()
    assert state.annotated == annotated


def test_secret_that_was_handed_over_is_not_told_when_the_server_repeats_it(server: Server, client: Client) -> None:
    login = {"aws_access_key_id": "AKIA", "aws_secret_access_key": "s3cret-key"}
    wanted = LabelStudioStorage("s3", {"bucket": "other", "prefix": ""}, login)
    server.answer = lambda asked: (
        b'HTTP/1.1 400 Bad\r\nContent-Length: 49\r\n\r\n{"validation_errors": ["no bucket for s3cret-key"]'
        if asked.method == "POST"
        else good(asked)
    )
    with pytest.raises(LabelsyncError) as raised:
        put_storage(client, 1, "import", wanted)
    assert "s3cret-key" not in str(raised.value)
    assert isinstance(raised.value.__cause__, Refused)
    assert "s3cret-key" not in str(raised.value.__cause__)
