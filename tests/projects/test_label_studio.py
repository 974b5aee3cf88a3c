"""What only Label Studio does: batches it turns down, annotators it knows, counters that are wrong, requests that are
lost, ids given twice, target storages.
"""

import itertools
import json
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec
import pytest
from servers.label_studio import LABEL_CONFIG
from servers.label_studio import LabelStudioServer as Server

from labelsync_provider.errors import Invalid, LabelsyncError, LeaseLost, NotFound, RequestFailed, Unavailable
from labelsync_provider.formats.annotations.files import annotation_files
from labelsync_provider.formats.annotations.key_template import key_renderer
from labelsync_provider.formats.annotations.note import NOTE, Note
from labelsync_provider.projects.label_studio import importing, shapes
from labelsync_provider.projects.label_studio.client import Client
from labelsync_provider.projects.label_studio.project import LabelStudioProject
from labelsync_provider.projects.label_studio.server import LabelStudioServer
from labelsync_provider.projects.protocol import Json, Rejected, StoredTask, Task, TaskUpdate

pytest_plugins = ["servers.label_studio"]

RESULT = [{"from_name": "choice", "to_name": "text", "type": "choices", "value": {"choices": ["good"]}}]
NOBODY = 10**6
PETS: Json = {"id": 3, "title": "Pets", "label_config": "<View/>", "created_at": "2026-01-02T03:04:05.678901Z"}
"""A project, as a server tells it."""


@pytest.fixture
def client(any_label_studio: Server) -> Iterator[Client]:
    with opened(any_label_studio) as client:
        yield client


@pytest.fixture
def server(client: Client) -> LabelStudioServer:
    return LabelStudioServer(client)


@pytest.fixture
def project(server: LabelStudioServer) -> LabelStudioProject:
    return server.create_project(new_title(), LABEL_CONFIG)


@pytest.fixture
def ann(client: Client) -> Json:
    """One more user, who has a name."""
    name = f"ann-{secrets.token_hex(8)}"
    return add_user(client, name, first_name="Ann", last_name="Lee")


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[httpx.Request]:
    """The requests that went over the wire, in their order."""
    sent: list[httpx.Request] = []
    handle = httpx.HTTPTransport.handle_request

    def handle_request(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return handle(transport, request)

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", handle_request)
    return sent


@contextmanager
def opened(server: Server, **options: Any) -> Iterator[Client]:
    client = Client(server.url, server.token, **options)
    yield client
    client.close()


def add_user(client: Client, name: str, **fields: str) -> Json:
    user = client.post("/api/users/", {"username": name, "email": f"{name}@example.com", **fields})
    return {field: user[field] for field in ("id", "first_name", "last_name", "email")}


def new_title() -> str:
    return f"Pets {secrets.token_hex(8)}"


def task(n: object = 1, *, meta: Json | None = None, **fields: Any) -> Task:
    """A task made from object `n`."""
    return Task({"text": f"{n}"}, {"labelsync": {"uri": uri(n)}} | (meta or {}), **fields)


def annotated(n: object = 1, **fields: Any) -> Task:
    return task(n, annotations=[{"result": RESULT, **fields}])


def uri(n: object) -> str:
    return f"s3://bucket/{n}.txt"


def change(n: object = 1, *, meta: Json | None = None, **fields: Any) -> TaskUpdate:
    """An update of a task made from object `n`, by an effect of its own."""
    reference = {"uri": uri(n), "effect": secrets.token_hex(4)}
    return TaskUpdate(uri(n), {"labelsync": reference} | (meta or {}), **fields)


def update_one(project: LabelStudioProject, task_id: int, update: TaskUpdate) -> str | Rejected:
    ((told, outcome),) = project.update_tasks({task_id: update})
    assert told == task_id
    return outcome


def project_at(url: str) -> LabelStudioProject:
    """A project of a server that is none, and need not be asked twice."""
    client = Client(url, "legacy-token", retry_seconds=0)
    return LabelStudioProject(client, PETS)


def looked_at(n: int) -> Json:
    """What a server tells of task `n`, made from object `n`, on which nobody works."""
    stamps = dict.fromkeys(("created_at", "updated_at"), "2021-07-06T06:06:25.927570Z")
    work = {"annotations_ids": "", "draft_exists": False, "updated_by": []}
    return {"id": n, "data": {"text": f"{n}"}, "meta": task(n).meta, **work, **stamps}


def refusing(http_server: Any, status: int, body: bytes) -> tuple[LabelStudioProject, list[Any]]:
    """A project whose server gives this answer to an import with a task named "bad"; and the log of imports."""
    log, ids = [], itertools.count(1)

    def answer(asked: Any) -> tuple[int, bytes]:
        log.append(asked)
        items = json.loads(asked.body)
        if any(item["data"]["text"] == "bad" for item in items):
            return status, body
        return 201, json.dumps({"task_ids": [next(ids) for _ in items]}).encode()

    return project_at(http_server(answer)), log


def all_of(pages: Any) -> list[Any]:
    return [item for page in pages for item in page]


def stored(project: LabelStudioProject) -> list[StoredTask]:
    return all_of(project.tasks_after(0, with_data=True))


def texts(project: LabelStudioProject) -> list[str]:
    return [found.data["text"] for found in stored(project)]


def annotate(client: Client, task_id: int, **fields: Any) -> Json:
    return client.post(f"/api/tasks/{task_id}/annotations/", {"result": RESULT, **fields})


def by_nobody(n: int) -> Task:
    """Return a task that only the server knows to be bad: it has no such user."""
    return Task({"text": "x"}, annotations=[{"result": [], "completed_by": NOBODY + n}])


class TestImportTasks:
    def test_takes_those_of_a_batch_that_the_server_does_not_reject(self, project: LabelStudioProject) -> None:
        batch = [task(n) for n in range(6)]
        batch[1] = Task({"text": {"not": "a text"}})
        batch[4] = Task({"text": "4"}, annotations=[{"result": [{"n": 1}], "completed_by": NOBODY}])
        batch[5] = Task({"text": {}})
        outcomes = project.import_tasks(batch)
        assert [isinstance(outcome, Rejected) for outcome in outcomes] == [False, True, False, False, True, True]
        assert [(found.id, found.data["text"]) for found in stored(project)] == [
            (outcomes[n], str(n)) for n in (0, 2, 3)
        ]

    def test_says_of_each_rejected_task_what_is_wrong_with_it(self, project: LabelStudioProject) -> None:
        bad = [Task({"text": {"n": 7}}), by_nobody(0)]
        _, type_error, annotator_error = project.import_tasks([task(), *bad])
        assert type_error.reason.startswith('"text" is an object, and <Text> in the label config of project')
        assert f"completed_by={NOBODY} which is not a valid annotator" in annotator_error.reason
        assert '"data"' not in annotator_error.reason

    def test_names_more_rejected_tasks_than_one_answer_does(
        self, project: LabelStudioProject, requests: list[httpx.Request]
    ) -> None:
        """The check before is left out: of what it lets through, such as annotators, the server names no task."""
        good = {0, 50, 103}
        outcomes = project._importer.add([task(n) if n in good else Task({"text": {"n": n}}) for n in range(104)])
        assert {n for n, outcome in enumerate(outcomes) if not isinstance(outcome, Rejected)} == good
        assert all(f"{{'n': {n}}}" in outcomes[n].reason for n in set(range(104)) - good)
        imports = [request for request in requests if request.url.path.endswith("/import")]
        # The first answer tells of 99: the two that are good, and each half of the other five, are sent by themselves.
        assert [len(json.loads(request.content)) for request in imports] == [104, 2, 2, 3, 1]
        assert texts(project) == [str(n) for n in sorted(good)]

    def test_of_one_task_only_says_why_it_is_rejected(self, project: LabelStudioProject) -> None:
        (outcome,) = project.import_tasks([by_nobody(0)])
        assert f"completed_by={NOBODY} which is not a valid annotator" in outcome.reason

    def test_that_the_server_fails_over_is_sent_once(
        self, label_studio_postgres: Server, requests: list[httpx.Request]
    ) -> None:
        """PostgreSQL keeps no NUL: the answer is 500 for the whole batch. Whoever calls may halve it."""
        with opened(label_studio_postgres) as client:
            project = LabelStudioServer(client).create_project(new_title(), LABEL_CONFIG)
            requests.clear()
            with pytest.raises(RequestFailed, match="u0000 cannot be converted to text"):
                project.import_tasks([task(n) if n != 5 else Task({"text": "a\0b"}) for n in range(8)])
            assert [request.method for request in requests] == ["POST"]
            assert texts(project) == []

    def test_takes_the_character_nul_where_the_database_does(self, label_studio: Server) -> None:
        with opened(label_studio) as client:
            project = LabelStudioServer(client).create_project(new_title(), LABEL_CONFIG)
            project.import_tasks([Task({"text": "a\0b"})])
            assert texts(project) == ["a\0b"]

    def test_that_the_server_fails_over_when_tasks_are_in_is_sent_once(self, project: LabelStudioProject) -> None:
        """It commits the tasks, and then fails over a prediction."""
        bad = [{"result": ["x"]}]
        with pytest.raises(RequestFailed, match="500"):
            project._importer.add([task(1), task(2, predictions=bad)])
        assert texts(project) == ["1", "2"]

    def test_finds_the_task_that_is_refused_without_a_name(self, http_server: Any) -> None:
        """A server in front may refuse a request over what is in it, and cannot say for which task."""
        project, log = refusing(http_server, 422, b"<title>422 Unprocessable Content</title>")
        outcomes = project.import_tasks([task("bad" if n == 5 else n) for n in range(8)])
        assert [isinstance(outcome, Rejected) for outcome in outcomes] == [n == 5 for n in range(8)]
        assert outcomes[5].lasting
        assert "422 Unprocessable Content" in outcomes[5].reason
        assert sorted(len(json.loads(asked.body)) for asked in log) == [1, 1, 2, 2, 4, 4, 8]

    def test_is_not_halved_if_the_server_fails(self, http_server: Any) -> None:
        project, log = refusing(http_server, 500, b'{"status_code": 500, "detail": "database or disk is full"}')
        with pytest.raises(RequestFailed, match="database or disk is full"):
            project.import_tasks([task(1), task("bad")])
        assert len(log) == 1

    def test_is_uncertain_if_the_server_behind_a_gateway_fails(self, http_server: Any) -> None:
        project, log = refusing(http_server, 502, b"<title>502 Bad Gateway</title>")
        with pytest.raises(Unavailable, match="502 Bad Gateway") as raised:
            project.import_tasks([task(1), task("bad")])
        assert not isinstance(raised.value, RequestFailed)
        assert len(log) == 1

    @pytest.mark.parametrize(
        ("kind", "result"),
        [
            *[(kind, result) for kind in ("annotations", "predictions") for result in (["x"], [None], [{}, 1])],
            ("annotations", "good"),
            ("annotations", {"choices": ["good"]}),
        ],
    )
    def test_rejects_a_result_of_anything_but_objects_before_it_is_sent(
        self, label_studio: Server, kind: str, result: object
    ) -> None:
        with opened(label_studio) as client:
            project = LabelStudioServer(client).project(label_studio.create_project())
            outcomes = project.import_tasks([task(1, **{kind: [{"result": []}, {"result": result}]}), task(2)])
            assert outcomes[0] == Rejected(f"bad row: `{kind}[1].result` must be an array of objects")
            assert texts(project) == ["2"]

    def test_guards_against_a_server_that_drops_the_predictions_of_a_batch(
        self, client: Client, project: LabelStudioProject
    ) -> None:
        """Why it is rejected before: sent as it is, all predictions are lost, and the server counts them as there."""
        good, bad = [{"result": RESULT}], [{"result": ["x"]}]
        items = [task(1, predictions=good), task(2, predictions=bad), task(3)]
        with pytest.raises(RequestFailed):
            client.post(f"/api/projects/{project.id}/import", items)
        found = all_of(project._api.by_id("id,total_predictions", shapes.Task))
        assert [each["total_predictions"] for each in found] == [1, 1, 0]
        assert [client.get("/api/predictions/", task=each["id"]) for each in found] == [[], [], []]

    def test_takes_an_exported_task_again(self, server: LabelStudioServer, project: LabelStudioProject) -> None:
        given = annotated(1, lead_time=2.5, ground_truth=True)
        given.predictions = [{"result": RESULT, "score": 0.5, "model_version": "v1"}]
        project.import_tasks([given])
        ((exported,),) = project.annotated_tasks()
        other = server.create_project(new_title(), LABEL_CONFIG)
        again = msgspec.convert(json.loads(json.dumps(exported)), Task)
        assert other.adapt(again) == 0
        other.import_tasks([again])
        ((found,),) = other.annotated_tasks()
        for kind, names in (
            ("annotations", ("result", "lead_time", "ground_truth", "was_cancelled", "completed_by")),
            ("predictions", ("result", "score", "model_version")),
        ):
            assert [{name: label[name] for name in names} for label in found[kind]] == [
                {name: label[name] for name in names} for label in exported[kind]
            ]


class TestAnnotators:
    @pytest.mark.parametrize(
        "unknown",
        [
            {"email": "nobody@example.com"},
            {"id": 1, "email": "nobody@example.com", "first_name": "No", "last_name": "Body"},
            {"id": 1},
            NOBODY,
            "nobody@example.com",
            {"email": ["x"]},
            {"email": None},
            [1],
        ],
        ids=str,
    )
    def test_that_are_unknown_are_counted_noted_and_replaced_by_the_tokens_user(
        self, label_studio: Server, unknown: object
    ) -> None:
        with opened(label_studio) as client:
            project = LabelStudioServer(client).project(label_studio.create_project())
            new = task(annotations=[{"result": RESULT, "completed_by": unknown}, {"result": []}])
            assert project.adapt(new) == 1
            project.import_tasks([new])
            ((found,),) = project.annotated_tasks()
            assert [item["completed_by"]["email"] for item in found["annotations"]] == [label_studio.email] * 2
            noted = [{"import_id": 1, "completed_by": unknown}]
            assert found["meta"]["labelsync"] == {"uri": uri(1), "unknown_annotators": noted}
            assert [item["import_id"] for item in found["annotations"]] == [1, None]

    def test_that_are_unknown_are_noted_in_a_task_without_a_reference(self, project: LabelStudioProject) -> None:
        new = Task({"text": "x"}, {}, [{"result": [], "completed_by": NOBODY}, {"result": [], "completed_by": 0}])
        assert project.adapt(new) == 2
        noted = [{"import_id": 1, "completed_by": NOBODY}, {"import_id": 2, "completed_by": 0}]
        assert new.meta == {"labelsync": {"unknown_annotators": noted}}

    def test_by_an_id_that_is_somebodys_here_are_unknown(self, project: LabelStudioProject, ann: Json) -> None:
        """It may be the id of somebody else on another server."""
        new = annotated(completed_by=ann["id"])
        assert project.adapt(new) == 1
        assert "completed_by" not in new.annotations[0]

    @pytest.mark.parametrize(
        "known",
        [
            lambda ann: {"email": ann["email"]},
            lambda ann: ann,
            lambda ann: {**ann, "id": NOBODY, "first_name": "Another"},
        ],
        ids=["e-mail", "whole", "e-mail with another id"],
    )
    def test_that_are_known_stay(self, project: LabelStudioProject, ann: Json, known: Callable[[Json], object]) -> None:
        new = annotated(completed_by=known(ann))
        assert project.adapt(new) == 0
        project.import_tasks([new])
        ((found,),) = project.annotated_tasks()
        assert found["annotations"][0]["completed_by"] == ann
        assert found["meta"] == task().meta

    def test_that_nobody_names_are_the_tokens_user(self, any_label_studio: Server, project: LabelStudioProject) -> None:
        new = task(annotations=[{"result": []}, {"result": [], "completed_by": None}])
        assert project.adapt(new) == 0
        project.import_tasks([new])
        ((found,),) = project.annotated_tasks()
        emails = [annotation["completed_by"]["email"] for annotation in found["annotations"]]
        assert emails == [any_label_studio.email] * 2

    def test_who_came_after_the_first_look_are_named_in_an_export(
        self, client: Client, project: LabelStudioProject
    ) -> None:
        project.import_tasks([annotated(1)])
        all_of(project.annotated_tasks())
        ann = add_user(client, f"late-{secrets.token_hex(8)}", first_name="Late")
        (task_id,) = project.import_tasks([annotated(2, completed_by=ann["id"])])
        ((found,),) = project.annotated_tasks([task_id])
        assert found["annotations"][0]["completed_by"] == ann

    def test_annotations_that_do_not_say_so_are_no_ground_truth(self, project: LabelStudioProject) -> None:
        new = task(annotations=[{"result": []}, {"result": [], "ground_truth": True}])
        project.adapt(new)
        project.import_tasks([new])
        ((found,),) = project.annotated_tasks()
        assert [annotation["ground_truth"] for annotation in found["annotations"]] == [False, True]

    def test_annotations_may_say_null_of_what_they_do_not_know(self, project: LabelStudioProject) -> None:
        names = ("completed_by", "ground_truth", "was_cancelled", "lead_time", "created_at", "updated_at", "import_id")
        new = annotated(**dict.fromkeys(names))
        project.adapt(new)
        project.import_tasks([new])
        ((found,),) = project.annotated_tasks()
        (annotation,) = found["annotations"]
        assert (annotation["ground_truth"], annotation["was_cancelled"]) == (False, False)


class TestChanges:
    @pytest.fixture
    def since(self, project: LabelStudioProject) -> datetime:
        """An instant after three tasks came, by the server's clock."""
        project.import_tasks([annotated(1), annotated(2), task(3)])
        return max(state.updated_at for state in all_of(project.changes())) + timedelta(microseconds=1)

    def test_since_the_last_one_are_none(self, project: LabelStudioProject, since: datetime) -> None:
        assert all_of(project.changes(since)) == []

    def test_include_what_changed_at_that_very_instant(self, project: LabelStudioProject, since: datetime) -> None:
        last = max(all_of(project.changes()), key=lambda state: state.updated_at)
        assert last in all_of(project.changes(since - timedelta(microseconds=1)))

    def test_include_a_task_that_was_annotated(
        self, client: Client, project: LabelStudioProject, since: datetime
    ) -> None:
        before = all_of(project.changes())
        annotate(client, before[2].id)
        (after,) = all_of(project.changes(since))
        assert (after.id, after.annotated) == (before[2].id, True)
        assert after.state != before[2].state

    def test_include_a_task_whose_annotation_was_updated(
        self, client: Client, project: LabelStudioProject, since: datetime
    ) -> None:
        before = all_of(project.changes())
        ((found,),) = project.annotated_tasks([before[0].id])
        client.ask("PATCH", f"/api/annotations/{found['annotations'][0]['id']}/", body={"result": []})
        (after,) = all_of(project.changes(since))
        assert after.id == before[0].id
        assert after.state != before[0].state

    def test_include_a_task_whose_annotation_was_deleted(
        self, client: Client, project: LabelStudioProject, since: datetime
    ) -> None:
        before = all_of(project.changes())
        ((found,),) = project.annotated_tasks([before[0].id])
        client.ask("DELETE", f"/api/annotations/{found['annotations'][0]['id']}/")
        (after,) = all_of(project.changes(since))
        assert (after.id, after.annotated) == (before[0].id, False)
        assert after.state != before[0].state

    def test_include_a_task_whose_annotation_was_cancelled(
        self, client: Client, project: LabelStudioProject, since: datetime
    ) -> None:
        before = all_of(project.changes())
        annotate(client, before[2].id, was_cancelled=True)
        (after,) = all_of(project.changes(since))
        assert (after.id, after.annotated) == (before[2].id, True)

    @pytest.mark.parametrize("work", ["annotation", "cancelled annotation"])
    def test_tell_an_annotation_of_which_the_counters_say_nothing(
        self, client: Client, project: LabelStudioProject, since: datetime, work: str
    ) -> None:
        """As after an annotation that the server kept though it answered 500."""
        free = all_of(project.changes())[2].id
        begin(client, free, work)
        none = {"total_annotations": 0, "cancelled_annotations": 0}
        client.ask("PATCH", f"/api/tasks/{free}/", body={**none, "is_labeled": False})
        assert [(state.id, state.annotated) for state in all_of(project.changes(since))] == [(free, True)]
        assert [state.annotated for state in all_of(project.changes())] == [True, True, True]
        assert [found["id"] for found in all_of(project.annotated_tasks())][2:] == [free]

    def test_tell_of_each_task_once_however_many_annotations_it_has(
        self, client: Client, project: LabelStudioProject, since: datetime
    ) -> None:
        one, two, free = [state.id for state in all_of(project.changes())]
        annotate(client, two)
        annotate(client, two, was_cancelled=True)
        states = all_of(project.changes())
        assert [(state.id, state.annotated) for state in states] == [(one, True), (two, True), (free, False)]
        assert all_of(project.changes(since)) == [states[1]]

    def test_include_a_task_that_was_imported(self, project: LabelStudioProject, since: datetime) -> None:
        (task_id,) = project.import_tasks([task(4)])
        assert [state.id for state in all_of(project.changes(since))] == [task_id]

    def test_take_an_instant_of_any_time_zone(self, project: LabelStudioProject, since: datetime) -> None:
        project.import_tasks([task(4)])
        here = since.astimezone(None)
        assert all_of(project.changes(here)) == all_of(project.changes(since))


class TestTargetStorage:
    """An export is what Label Studio's own target storage writes, but for `created_ago` and the note."""

    @pytest.fixture
    def compare(
        self, any_label_studio: Server, client: Client, project: LabelStudioProject
    ) -> Callable[[], list[Json]]:
        def compare() -> list[Json]:
            """Compare all annotations of the project; return them as both wrote them."""
            folder = any_label_studio.document_root / secrets.token_hex(8)
            folder.mkdir()
            client.post("/api/storages/export/localfiles", {"project": project.id, "path": str(folder), "title": "x"})
            theirs = {f"{path.name}.json": json.loads(path.read_text()) for path in folder.iterdir()}
            assert {bool(written.pop("created_ago")) for written in theirs.values()} == {True}
            key, note = key_renderer(None, "annotation"), Note(project.uri, project.created_at, "annotation", "x")
            ours = {
                file.key: json.loads(file.encode())
                for found in all_of(project.annotated_tasks())
                for file in annotation_files(found, note, key, include_cancelled=True)
            }
            assert {written.pop(NOTE)["project"] for written in ours.values()} == {project.uri}
            assert ours == theirs
            return [ours[name] for name in sorted(ours, key=lambda name: int(name.removesuffix(".json")))]

        return compare

    @pytest.fixture
    def task_id(self, project: LabelStudioProject) -> int:
        (task_id,) = project.import_tasks([task(meta={"source": "ä"}, predictions=[{"result": RESULT, "score": 0.5}])])
        return task_id

    def test_of_an_annotation_by_a_user_without_a_name(self, client: Client, task_id: int, compare: Any) -> None:
        annotate(client, task_id, lead_time=2.5)
        (written,) = compare()
        assert written["completed_by"]["first_name"] == ""
        assert written["updated_by"] == written["task"]["updated_by"] == written["completed_by"]["id"]

    @pytest.mark.parametrize(
        "names", [{"first_name": "Ann", "last_name": "Lee"}, {"first_name": "Ann"}, {"last_name": "Lee"}], ids=str
    )
    def test_of_an_annotation_by_a_user_with_a_name(
        self, client: Client, task_id: int, compare: Any, names: Json
    ) -> None:
        me = f"/api/users/{client.get('/api/current-user/whoami')['id']}/"
        client.ask("PATCH", me, body=names)
        try:
            annotate(client, task_id)
            (written,) = compare()
        finally:
            client.ask("PATCH", me, body={"first_name": "", "last_name": ""})
        assert names.items() <= written["completed_by"].items()
        assert all(name in written["created_username"] for name in names.values())

    def test_of_imported_annotations(self, project: LabelStudioProject, ann: Json, compare: Any) -> None:
        many = {"id": 77, "completed_by": {"email": ann["email"]}, "lead_time": 1.5, "ground_truth": True}
        many["unique_id"] = "0a1b"
        new = task(annotations=[{"result": RESULT, **many}, {"result": []}])
        project.adapt(new)
        project.import_tasks([new])
        first, second = compare()
        assert (first["completed_by"], first["import_id"], second["import_id"]) == (ann, 77, None)

    def test_of_a_cancelled_annotation(self, client: Client, task_id: int, compare: Any) -> None:
        annotate(client, task_id, was_cancelled=True)
        (written,) = compare()
        assert (written["was_cancelled"], written["task"]["cancelled_annotations"]) == (True, 1)

    def test_of_an_imported_task_whose_annotations_are_all_cancelled(
        self, project: LabelStudioProject, compare: Any
    ) -> None:
        """It is labeled to Label Studio: every imported task with an annotation is."""
        project.import_tasks([annotated(was_cancelled=True, ground_truth=False)])
        (written,) = compare()
        assert (written["task"]["is_labeled"], written["task"]["cancelled_annotations"]) == (True, 1)

    def test_of_an_updated_annotation(self, client: Client, task_id: int, compare: Any) -> None:
        made = annotate(client, task_id)
        client.ask("PATCH", f"/api/annotations/{made['id']}/", body={"result": [], "ground_truth": True})
        (written,) = compare()
        assert (written["result"], written["ground_truth"]) == ([], True)
        assert written["updated_at"] > written["created_at"]

    def test_of_several_annotations_of_several_tasks(
        self, client: Client, project: LabelStudioProject, task_id: int, compare: Any
    ) -> None:
        (other,) = project.import_tasks([task(2)])
        for each in (task_id, other, task_id):
            annotate(client, each)
        assert [written["task"]["id"] for written in compare()] == [task_id, other, task_id]

    def test_of_an_annotation_that_was_made_from_a_prediction_and_one_from_that(
        self, client: Client, task_id: int, compare: Any
    ) -> None:
        (prediction,) = client.get("/api/predictions/", task=task_id)
        first = annotate(client, task_id, parent_prediction=prediction["id"])
        annotate(client, task_id, parent_annotation=first["id"])
        one, two = compare()
        assert (one["parent_prediction"], two["parent_annotation"]) == (prediction["id"], first["id"])

    def test_of_an_annotation_that_began_as_a_draft(self, client: Client, task_id: int, compare: Any) -> None:
        draft = client.post(f"/api/tasks/{task_id}/drafts", {"result": RESULT, "lead_time": 1})
        annotate(client, task_id, draft_id=draft["id"])
        client.post(f"/api/tasks/{task_id}/drafts", {"result": []})
        (written,) = compare()
        assert written["result"] == RESULT

    def test_of_a_task_that_came_as_an_uploaded_file(
        self, any_label_studio: Server, client: Client, project: LabelStudioProject, compare: Any
    ) -> None:
        for name in ("a b.json", "ä.json"):
            file = (name, json.dumps([{"data": {"text": "uploaded"}}]), "application/json")
            with any_label_studio.client() as browser:
                browser.post(f"/api/projects/{project.id}/import", files={"file": file}).raise_for_status()
        for found in stored(project):
            annotate(client, found.id)
        uploads = [written["task"]["file_upload"] for written in compare()]
        assert len(set(uploads)) == 2
        assert None not in uploads

    def test_of_a_task_that_was_changed(
        self, client: Client, project: LabelStudioProject, task_id: int, compare: Any
    ) -> None:
        assert update_one(project, task_id, change(meta={"v": 2})) == "updated"
        annotate(client, task_id)
        (written,) = compare()
        assert written["task"]["meta"]["v"] == 2

    def test_of_data_that_names_stored_objects_and_unusual_values(
        self, client: Client, project: LabelStudioProject, compare: Any
    ) -> None:
        data = {"text": "s3://bucket/a.txt", "n": [1, 2.5, None, {"deep": True}], "odd": 'ä😀"\\ \x7f', "big": 2**70}
        (task_id,) = project.import_tasks([Task(data, {})])
        annotate(client, task_id, result=[{"value": {"text": ["ä😀\n"], "score": 1e-7}}])
        (written,) = compare()
        assert written["task"]["data"] == data


class TestIdsGivenTwice:
    """On SQLite a new task gets the id of the highest one that was deleted: an id alone does not tell a task."""

    def test_an_id_comes_back_on_sqlite(self, label_studio: Server) -> None:
        with opened(label_studio) as client:
            project = LabelStudioServer(client).project(label_studio.create_project())
            (before,) = project.import_tasks([task(1)])
            last = project.last_task_id()
            project.delete_tasks({before: uri(1)})
            assert project.import_tasks([task(2)]) == [before]
            assert [found.meta for found in all_of(project.tasks_after(last))] == [task(2).meta]

    def test_a_task_made_from_another_object_is_not_updated(self, project: LabelStudioProject) -> None:
        (task_id,) = project.import_tasks([task(1)])
        assert update_one(project, task_id, change(2, data={"text": "2"})) == "gone"
        assert texts(project) == ["1"]

    def test_a_task_made_from_another_object_is_not_deleted(self, project: LabelStudioProject) -> None:
        (task_id,) = project.import_tasks([task(1)])
        assert project.delete_tasks({task_id: uri(2)}) == {task_id}
        assert texts(project) == ["1"]

    def test_a_task_without_a_note_is_known_by_its_data(self, project: LabelStudioProject) -> None:
        """Label Studio's own source storage notes nothing."""
        ours, theirs = project.import_tasks([Task({"text": uri(1)}), Task({"text": "typed by hand"})])
        assert project.delete_tasks({ours: uri(1), theirs: uri(2)}) == {ours, theirs}
        assert texts(project) == ["typed by hand"]

    def test_a_task_with_another_note_is_not_known_by_its_data(self, project: LabelStudioProject) -> None:
        (task_id,) = project.import_tasks([Task({"text": uri(1)}, {"labelsync": {"uri": uri(2)}})])
        assert project.delete_tasks({task_id: uri(1)}) == {task_id}
        assert texts(project) == [uri(1)]


class TestWorkOfPeople:
    """What somebody has begun is not changed and not deleted, however short ago the task was imported."""

    @pytest.fixture
    def task_id(self, project: LabelStudioProject) -> int:
        """A task with the annotation that it came with."""
        (task_id,) = project.import_tasks([annotated()])
        return task_id

    def test_what_came_with_the_task_is_nobodys(self, project: LabelStudioProject, task_id: int) -> None:
        assert project.delete_tasks({task_id: uri(1)}) == set()
        assert project.delete_tasks({task_id: uri(1)}, untouched=True) == {task_id}

    @pytest.mark.parametrize("work", ["annotation", "changed annotation", "draft"])
    def test_of_a_task_that_came_annotated_is_kept(
        self, client: Client, project: LabelStudioProject, task_id: int, work: str
    ) -> None:
        begin(client, task_id, work)
        assert project.delete_tasks({task_id: uri(1)}, untouched=True) == set()
        assert len(stored(project)) == 1

    @pytest.mark.parametrize("work", ["annotation", "cancelled annotation", "draft"])
    def test_of_a_task_that_came_without_is_kept(self, client: Client, project: LabelStudioProject, work: str) -> None:
        (task_id,) = project.import_tasks([task()])
        begin(client, task_id, work)
        assert project.look({task_id: uri(1)})[task_id].worked_on
        for untouched in (False, True):
            assert project.delete_tasks({task_id: uri(1)}, untouched=untouched) == set()
        assert update_one(project, task_id, change(data={"text": "new"})) == "worked_on"
        assert [found.meta for found in stored(project)] == [task().meta]

    def test_of_which_only_a_draft_by_somebody_else_is_seen_is_kept(
        self, any_label_studio: Server, project: LabelStudioProject
    ) -> None:
        (task_id,) = project.import_tasks([task()])
        with colleague(any_label_studio) as browser:
            browser.post(f"/api/tasks/{task_id}/drafts", json={"result": RESULT}).raise_for_status()
        look = project.look({task_id: uri(1)})[task_id]
        assert (look.worked_on, look.as_imported) == (True, False)
        assert update_one(project, task_id, change(data={"text": "new"})) == "worked_on"
        assert project.delete_tasks({task_id: uri(1)}, untouched=True) == set()
        assert texts(project) == ["1"]

    @pytest.mark.parametrize("work", ["annotation", "cancelled annotation"])
    def test_of_which_the_counters_say_nothing_is_kept(
        self, client: Client, project: LabelStudioProject, work: str
    ) -> None:
        """As after an annotation that the server kept though it answered 500."""
        (task_id,) = project.import_tasks([task()])
        begin(client, task_id, work)
        none = {"total_annotations": 0, "cancelled_annotations": 0}
        client.ask("PATCH", f"/api/tasks/{task_id}/", body={**none, "is_labeled": False})
        assert none.items() <= client.get(f"/api/tasks/{task_id}/").items()
        assert project.look({task_id: uri(1)})[task_id].worked_on
        assert update_one(project, task_id, change(data={"text": "new"})) == "worked_on"
        assert update_one(project, task_id, change(annotations=[{"result": []}])) == "in_part"
        assert project.delete_tasks({task_id: uri(1)}) == set()
        assert texts(project) == ["1"]

    def test_that_began_after_the_look_is_kept_by_the_server(
        self, client: Client, project: LabelStudioProject, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tasks = dict(zip(project.import_tasks([task(n) for n in range(4)]), map(uri, range(4)), strict=True))
        ids, ask = list(tasks), client.ask

        def ask_late(method: str, path: str, **options: Any) -> Any:
            if path == "/api/dm/actions/":
                for task_id, work in zip(ids, ("annotation", "cancelled annotation", "draft"), strict=False):
                    begin(client, task_id, work)
                none = {"total_annotations": 0, "cancelled_annotations": 0}
                ask("PATCH", f"/api/tasks/{ids[0]}/", body=none)
            return ask(method, path, **options)

        with monkeypatch.context() as patch:
            patch.setattr(client, "ask", ask_late)
            assert project.delete_tasks(tasks) == {ids[3]}

    def test_of_which_the_counters_say_too_much_is_none(self, client: Client, project: LabelStudioProject) -> None:
        (task_id,) = project.import_tasks([task()])
        client.ask("PATCH", f"/api/tasks/{task_id}/", body={"total_annotations": 1})
        assert project.delete_tasks({task_id: uri(1)}) == {task_id}


def begin(client: Client, task_id: int, work: str) -> None:
    if work == "draft":
        client.post(f"/api/tasks/{task_id}/drafts", {"result": RESULT})
    elif work == "changed annotation":
        (annotation,) = client.get(f"/api/tasks/{task_id}/annotations/")
        client.ask("PATCH", f"/api/annotations/{annotation['id']}/", body={"result": RESULT})
    else:
        annotate(client, task_id, was_cancelled=work == "cancelled annotation")


@contextmanager
def colleague(server: Server) -> Iterator[httpx.Client]:
    """Yield a browser in which another user is logged in."""
    with server.client() as admin:
        invitation = admin.get("/api/invite").raise_for_status().json()["invite_url"]
    with httpx.Client(base_url=server.url, headers={"Referer": server.url}, trust_env=False, timeout=60) as browser:
        browser.get(invitation).raise_for_status()
        form = {"email": f"{secrets.token_hex(8)}@example.com", "password": secrets.token_hex(8)}
        assert browser.post(invitation, data=form | {"csrfmiddlewaretoken": browser.cookies["csrftoken"]}).is_redirect
        browser.headers["X-CSRFToken"] = browser.cookies["csrftoken"]
        yield browser


class TestUpdateThatBrokeOff:
    """The answer to one of its requests did not come, or the run was killed: done again, it is completed."""

    @pytest.fixture
    def changed(self) -> TaskUpdate:
        other = [{**RESULT[0], "value": {"choices": ["bad"]}}]
        return change(
            data={"text": "new"},
            meta={"v": 2},
            annotations=[{"result": RESULT}, {"result": other}, {"result": RESULT}],
            predictions=[{"result": RESULT, "model_version": "one"}, {"result": other, "model_version": "two"}],
        )

    @pytest.fixture
    def task_id(self, project: LabelStudioProject) -> int:
        (task_id,) = project.import_tasks([task(predictions=[{"result": [], "model_version": "one"}])])
        return task_id

    @pytest.mark.parametrize(
        ("last", "data"), [*((n, {"text": "new"}) for n in range(7)), (0, None), (5, None)], ids=str
    )
    def test_is_completed(
        self,
        client: Client,
        project: LabelStudioProject,
        task_id: int,
        changed: TaskUpdate,
        last: int,
        data: Json | None,
    ) -> None:
        changed.data = data
        with broken_off(client, after=last):
            update_one(project, task_id, changed)
        for _ in range(2):
            assert update_one(project, task_id, changed) == "updated"
        self.assert_whole(project, task_id, annotations=3)

    def test_is_completed_though_somebody_annotates_meanwhile(
        self, client: Client, project: LabelStudioProject, task_id: int, changed: TaskUpdate
    ) -> None:
        with broken_off(client, after=0):
            update_one(project, task_id, changed)
        annotate(client, task_id)
        assert update_one(project, task_id, changed) == "updated"
        self.assert_whole(project, task_id, annotations=4)

    def test_is_completed_without_the_annotations_that_it_held_back(
        self, client: Client, project: LabelStudioProject, task_id: int
    ) -> None:
        annotate(client, task_id)
        update = change(annotations=[{"result": []}], predictions=[{"result": RESULT, "model_version": "one"}])
        with broken_off(client, after=0):
            update_one(project, task_id, update)
        assert update_one(project, task_id, update) == "in_part"
        ((found,),) = project.annotated_tasks()
        assert [annotation["result"] for annotation in found["annotations"]] == [RESULT]
        assert [prediction["result"] for prediction in found["predictions"]] == [RESULT]

    def test_is_not_taken_for_one_that_another_content_follows(
        self, client: Client, project: LabelStudioProject, task_id: int, changed: TaskUpdate
    ) -> None:
        with broken_off(client, after=4):
            update_one(project, task_id, changed)
        assert update_one(project, task_id, change(data={"text": "newer"})) == "worked_on"

    def test_with_an_annotation_that_the_server_does_not_take_is_rejected_with_its_words(
        self, project: LabelStudioProject, task_id: int
    ) -> None:
        (other,) = project.import_tasks([task(2)])
        bad = change(annotations=[{"result": RESULT, "completed_by": NOBODY}])
        (_, outcome), second = project.update_tasks({task_id: bad, other: change(2)})
        assert isinstance(outcome, Rejected)
        assert f'Invalid pk "{NOBODY}"' in outcome.reason
        assert second == (other, "updated")

    def assert_whole(self, project: LabelStudioProject, task_id: int, *, annotations: int) -> None:
        ((found,),) = project.annotated_tasks([task_id])
        assert found["meta"]["v"] == 2
        assert [prediction["model_version"] for prediction in found["predictions"]] == ["one", "two"]
        assert [prediction["result"][0]["value"]["choices"] for prediction in found["predictions"]] == [
            ["good"],
            ["bad"],
        ]
        assert len(found["annotations"]) == annotations


@contextmanager
def broken_off(client: Client, *, after: int) -> Iterator[None]:
    """Have the answer be lost, of all requests that change something, to the one after so many; that ends the block."""
    ask, counted = client.ask, itertools.count()

    def asking(method: str, *args: Any, **options: Any) -> Any:
        answer = ask(method, *args, **options)
        if method != "GET" and next(counted) == after:
            raise Unavailable("the answer was lost")
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "ask", asking)
        with pytest.raises(Unavailable):
            yield


class TestUpdateDuringWhich:
    def test_the_task_is_deleted_says_that_it_is_gone(
        self, client: Client, project: LabelStudioProject, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ids = project.import_tasks([task(1), task(2)])
        outcomes = project.update_tasks({ids[0]: change(1), ids[1]: change(2)})
        assert next(outcomes) == (ids[0], "updated")
        client.ask("DELETE", f"/api/tasks/{ids[1]}/")
        assert next(outcomes) == (ids[1], "gone")

    def test_the_server_fails_ends_it(self, http_server: Any) -> None:
        def answer(asked: Any) -> tuple[int, bytes]:
            if asked.method == "GET":
                return 200, json.dumps({"tasks": [looked_at(7)]}).encode()
            return 500, b'{"status_code": 500, "detail": "no space left"}'

        project = project_at(http_server(answer))
        with pytest.raises(RequestFailed, match="no space left"):
            list(project.update_tasks({7: change(7)}))


class TestRequests:
    """How many requests it takes, and before which of them the lease is confirmed."""

    def test_of_1000_updates_are_20_looks_and_one_each(self, monkeypatch: pytest.MonkeyPatch) -> None:
        requests: list[httpx.Request] = []

        def answer(_: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
            requests.append(request)
            if request.method == "PATCH":
                return httpx.Response(200, stream=httpx.ByteStream(b"{}"))
            ids = json.loads(request.url.params["query"])["selectedItems"]["included"]
            content = json.dumps({"tasks": [looked_at(n) for n in ids]}).encode()
            return httpx.Response(200, stream=httpx.ByteStream(content))

        monkeypatch.setattr(httpx.HTTPTransport, "handle_request", answer)
        project, confirmed = project_at("http://label-studio"), []
        project.confirm_before_changes(lambda: confirmed.append(len(requests)))
        updates = {n: change(n, data={"text": f"new {n}"}) for n in range(10**8, 10**8 + 1000)}
        assert list(project.update_tasks(updates)) == [(n, "updated") for n in updates]
        assert Counter(request.method for request in requests) == {"GET": 20, "PATCH": 1000}
        assert [requests[n].method for n in confirmed] == ["PATCH"] * 1000
        requests.clear()
        assert project.look({n: uri(n) for n in updates}).keys() == updates.keys()
        assert [request.method for request in requests] == ["GET"] * 4
        assert max(len(request.url.raw_path) for request in requests) < 4000

    def test_of_an_update_are_none_for_what_is_there_already(
        self, project: LabelStudioProject, requests: list[httpx.Request]
    ) -> None:
        kept, old = [{"result": RESULT, "score": score, "model_version": "m"} for score in (0.5, 0.7)]
        (task_id,) = project.import_tasks([task(predictions=[kept, old])])
        update = change(data={"text": "new"}, predictions=[kept, {**old, "score": 0.9}])
        requests.clear()
        assert update_one(project, task_id, update) == "updated"
        assert [request.method for request in requests] == ["GET", "PATCH", "DELETE", "POST"]
        requests.clear()
        assert update_one(project, task_id, update) == "updated"
        assert [request.method for request in requests] == ["GET"]

    def test_that_change_something_are_confirmed_right_before(
        self, project: LabelStudioProject, requests: list[httpx.Request]
    ) -> None:
        confirmed: list[int] = []
        project.confirm_before_changes(lambda: confirmed.append(len(requests)))
        requests.clear()
        (task_id, other) = project.import_tasks([task(1), task(2)])
        (one,) = project.import_tasks([task(3, predictions=[{"result": []}])])
        project.last_task_id()
        all_of(project.tasks_after(0))
        new = change(3, predictions=[{"result": RESULT}], annotations=[{"result": RESULT}])
        assert update_one(project, one, new) == "updated"
        assert project.delete_tasks({task_id: uri(1), other: uri(2), one: uri(3)}) == {task_id, other}
        changing = [n for n, request in enumerate(requests) if request.method != "GET"]
        assert confirmed == changing
        assert [(requests[n].method, requests[n].url.path.split("/")[-2]) for n in changing] == [
            ("POST", str(project.id)),
            ("POST", str(project.id)),
            ("PATCH", str(one)),
            ("DELETE", requests[changing[3]].url.path.split("/")[-2]),
            ("POST", "predictions"),
            ("POST", "annotations"),
            ("POST", "actions"),
        ]

    def test_of_a_run_that_has_lost_its_lease_are_not_sent(
        self, project: LabelStudioProject, requests: list[httpx.Request]
    ) -> None:
        (task_id,) = project.import_tasks([task()])

        def lost() -> None:
            raise LeaseLost("another run has taken over")

        project.confirm_before_changes(lost)
        requests.clear()
        for write in (
            lambda: project.import_tasks([task(2)]),
            lambda: list(project.update_tasks({task_id: change()})),
            lambda: project.delete_tasks({task_id: uri(1)}),
        ):
            with pytest.raises(LeaseLost):
                write()
        assert {request.method for request in requests} == {"GET"}
        assert stored(project) == [StoredTask(task_id, task().meta, task().data)]


class TestCreateProject:
    @pytest.fixture
    def any_label_studio(self, label_studio: Server) -> Server:
        """One kind of database is enough: titles are compared here."""
        return label_studio

    def test_of_a_title_that_is_there_returns_that_project_as_it_is(self, server: LabelStudioServer) -> None:
        title = new_title()
        created = server.create_project(title, "<View/>")
        again = server.create_project(title, LABEL_CONFIG, "another")
        assert (again.id, again.label_config, again.uri) == (created.id, "<View/>", created.uri)

    def test_of_a_title_that_contains_another_creates_one(self, server: LabelStudioServer) -> None:
        title = new_title()
        longer = server.create_project(f"{title} old", "<View/>")
        upper = server.create_project(title.upper(), "<View/>")
        assert len({longer.id, upper.id, server.create_project(title, "<View/>").id}) == 3

    @pytest.mark.parametrize(
        "given",
        [
            " {}\t\n",
            "\u00a0{}\u2028",
            "\x1c{}\x85",
            "\u200b{}",
            "e\u0301 {}",
            "\u00e9 {}",
            "{}\n1",
            "{}  %_\x01<b>&",
        ],
        ids=ascii,
    )
    def test_of_a_title_that_the_server_may_keep_otherwise_is_one(self, server: LabelStudioServer, given: str) -> None:
        title = given.format(new_title())
        created = server.create_project(title, "<View/>")
        assert server.create_project(title, "<View/>").id == server.project(title).id == created.id
        assert created.title == title.strip()

    def test_of_a_number_is_one(self, server: LabelStudioServer) -> None:
        number = secrets.randbelow(10**9) + 10**9
        created = server.create_project(number, "<View/>")
        assert server.create_project(str(number), "<View/>").id == created.id
        assert created.title == str(number)

    def test_keeps_the_description(self, client: Client, server: LabelStudioServer) -> None:
        created = server.create_project(new_title(), "<View/>", "What it is for")
        assert client.get(f"/api/projects/{created.id}/")["description"] == "What it is for"

    @pytest.mark.parametrize(
        ("title", "label_config", "said"),
        [
            ("ab", "<View/>", "at least 3 characters"),
            ("x" * 51, "<View/>", "no more than 50 characters"),
            ("no such config", "<View>", "label_config"),
        ],
    )
    def test_that_the_server_does_not_take_is_invalid(
        self, server: LabelStudioServer, title: str, label_config: str, said: str
    ) -> None:
        with pytest.raises(Invalid, match=said):
            server.create_project(title, label_config)


class TestFindProject:
    @pytest.fixture
    def any_label_studio(self, label_studio: Server) -> Server:
        """One kind of database is enough: titles are compared here."""
        return label_studio

    def test_by_id_as_number_and_as_text_and_by_title(self, server: LabelStudioServer) -> None:
        created = server.create_project(new_title(), "<View/>")
        ids = [server.project(name).id for name in (created.id, str(created.id), created.title)]
        assert ids == [created.id] * 3

    def test_by_the_title_of_two_is_invalid_and_names_their_ids(
        self, any_label_studio: Server, server: LabelStudioServer
    ) -> None:
        title = new_title()
        one, two = any_label_studio.create_project(title), any_label_studio.create_project(title)
        for find, parameter, remedy in (
            (server.project, "project", "Give the id of one"),
            (lambda title: server.create_project(title, "<View/>"), "title", "Rename all but one of them, or delete"),
        ):
            said = rf"^{parameter}='{title}': 2 projects have this title: {one}, {two}\. {remedy}"
            with pytest.raises(Invalid, match=said):
                find(title)
        assert (server.project(one).id, server.project(str(two)).id) == (one, two)

    def test_by_a_title_of_digits(self, server: LabelStudioServer) -> None:
        title = str(secrets.randbelow(10**9) + 10**9)
        created = server.create_project(title, "<View/>")
        assert server.project(title).id == server.project(int(title)).id == created.id

    def test_by_digits_that_are_one_projects_id_and_anothers_title_is_ambiguous(
        self, server: LabelStudioServer
    ) -> None:
        first = server.create_project(new_title(), "<View/>")
        padded = f"{first.id:03}"  # a title has three characters at least
        second = server.create_project(padded, "<View/>")
        with pytest.raises(Invalid, match=r"id of one project and the title of another.*id as a number"):
            server.project(padded)
        assert (server.project(first.id).id, server.project(second.id).id) == (first.id, second.id)

    @pytest.mark.parametrize("find", ["no such title", 10**8, str(10**8), 10**30, 0, -1, "", "²"], ids=str)
    def test_that_is_not_there_says_so_and_what_to_do(self, server: LabelStudioServer, find: int | str) -> None:
        with pytest.raises(NotFound) as raised:
            server.project(find)
        said = str(raised.value)
        assert said.startswith(f"project={find!r}: http://127.0.0.1:")
        assert "has no project with this id or title that the user of the token may see" in said
        assert "CreateProjectOperator" in said

    def test_by_a_title_with_a_nul_finds_none(self, server: LabelStudioServer) -> None:
        with pytest.raises(LabelsyncError) as raised:
            server.project("a\0b")
        assert not raised.value.retry_may_help

    def test_on_the_second_page_of_titles_that_contain_it(self, http_server: Any) -> None:
        """A page has a hundred titles at most, the newest first; a real server takes long for so many."""
        pages = [[{"id": 200 - n, "title": f"Pets {n}"} for n in range(100)], [{"id": 7, "title": "Pets"}]]

        def answer(request: Any) -> tuple[int, bytes]:
            asked = parse_qs(urlsplit(request.path).query)
            if "page" not in asked:
                return 200, json.dumps(PETS | {"id": 7}).encode()
            return 200, json.dumps({"count": 101, "results": pages[int(asked["page"][0]) - 1]}).encode()

        assert LabelStudioServer(Client(http_server(answer), "legacy-token")).project("Pets").id == 7


class TestEnterprise:
    """Guessed: nobody here has an Enterprise server. What it answers is taken from the signatures of its SDK."""

    @pytest.fixture
    def enterprise(
        self, http_server: Any, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[..., tuple[LabelStudioProject, list[str]]]:
        """Make a project of a server that imports in the background, and shows these states one after the other."""
        monkeypatch.setattr(importing, "POLL_SECONDS", 0.01)

        def enterprise(*states: Json) -> tuple[LabelStudioProject, list[str]]:
            asked: list[str] = []
            coming = iter(states)

            def answer(request: Any) -> tuple[int, bytes]:
                asked.append(f"{request.method} {request.path.partition('?')[0]}")
                if request.method == "POST":
                    return 201, json.dumps({"import": 5}).encode()
                return 200, json.dumps(next(coming)).encode()

            client = Client(http_server(answer), "legacy-token", retry_seconds=0)
            return LabelStudioProject(client, PETS), asked

        return enterprise

    def test_an_import_in_the_background_is_asked_for_until_it_is_done(self, enterprise: Any) -> None:
        done = {"id": 5, "status": "completed", "task_ids": [8, 9]}
        project, asked = enterprise({"id": 5, "status": "created"}, {"id": 5, "status": "in_progress"}, done)
        assert project.import_tasks([task(1), task(2)]) == [8, 9]
        assert asked == ["POST /api/projects/3/import"] + ["GET /api/projects/3/imports/5/"] * 3

    def test_an_import_that_failed_for_one_task_is_rejected_with_the_servers_words(self, enterprise: Any) -> None:
        project, _ = enterprise({"id": 5, "status": "failed", "error": "no good"})
        (outcome,) = project.import_tasks([task(1)])
        assert "the server could not import: no good" in outcome.reason

    def test_an_import_that_does_not_tell_the_ids_is_uncertain(self, enterprise: Any) -> None:
        project, _ = enterprise({"id": 5, "status": "completed"})
        with pytest.raises(Unavailable, match="does not tell which tasks were imported"):
            project.import_tasks([task(1)])


def test_a_user_who_may_not_see_other_users_imports_nevertheless(http_server: Any) -> None:
    """Enterprise, guessed: annotators may not list the users. Nobody who has an e-mail address is unknown then."""
    client = Client(http_server(lambda _: (403, b'{"detail": "You do not have permission"}')), "legacy-token")
    project = LabelStudioProject(client, PETS)
    new = annotated(completed_by={"id": 7, "email": "ann@example.com"})
    assert project.adapt(new) == 0
    assert new.annotations[0]["completed_by"] == {"email": "ann@example.com"}
