"""Who has made an annotation stays known, however often it goes through a server that does not know them."""

import json
from typing import Any

import pytest

from labelsync_provider.annotators import UNKNOWN, note_unknown
from labelsync_provider.formats.tasks.json_text.rows import row_of
from labelsync_provider.formats.tasks.rows import Row
from labelsync_provider.projects.protocol import Json, TaskUpdate
from labelsync_provider.projects.task_content import planned
from labelsync_provider.tasks import Task

TOKENS_USER = {"id": 1, "email": "admin@example.com"}


def read(row: Json) -> Task:
    found = row_of(0, json.dumps(row).encode())
    assert isinstance(found, Row)
    assert found.ignored == ()
    return found.task


def through_a_server(task: Task, first_id: int) -> Json:
    """Return what is exported of a task by a server that knows nobody but the token's user."""
    note_unknown(task, [each for each in task.annotations if each.get("completed_by") not in (None, TOKENS_USER)])
    annotations = [
        {"id": first_id + n, "import_id": each.get("id"), "result": each["result"], "completed_by": TOKENS_USER}
        for n, each in enumerate(task.annotations)
    ]
    own: dict[str, Any] = {"id": first_id + 50, "import_id": None, "result": [], "completed_by": TOKENS_USER}
    note = {"project": "http://a/projects/1", "layout": "task"}
    return {"labelsync": note, "data": task.data, "meta": task.meta, "annotations": [*annotations, own]}


@pytest.mark.parametrize("ids", [(None, None, None), (7, None, 9), (1, 1, 1), (2, 3, None), (None, 1, 2)], ids=str)
def test_an_export_says_who_has_made_which_annotation(ids: tuple[int | None, ...]) -> None:
    people: list[Any] = [{"email": "ann@example.com"}, None, 5]
    given = [
        {"result": [], "completed_by": who, **({} if number is None else {"id": number})}
        for who, number in zip(people, ids, strict=True)
    ]
    row: Json = {"data": {"text": "x"}, "annotations": given}
    for n in range(1, 4):
        row = through_a_server(read(row), 100 * n)
        said = [each["completed_by"] for each in read(row).annotations]
        assert said == [people[0], TOKENS_USER, 5, *[TOKENS_USER] * n]


def test_an_annotation_that_was_left_out_or_deleted_changes_nothing_for_the_others() -> None:
    given = [{"result": [], "completed_by": f"{name}@example.com"} for name in ("ann", "ben")]
    row = through_a_server(read({"data": {"text": "x"}, "annotations": given}), 100)
    del row["annotations"][0]
    assert [each["completed_by"] for each in read(row).annotations] == ["ben@example.com", TOKENS_USER]


@pytest.mark.parametrize(
    "noted",
    [None, 5, "x", {}, [5], [{}], [{"import_id": [1], "completed_by": 5}], [{"import_id": 1}], [{"completed_by": 5}]],
    ids=str,
)
def test_what_others_put_at_the_place_of_the_note_says_nothing(noted: Any) -> None:
    annotation = {"id": 9, "import_id": 1, "result": [], "completed_by": TOKENS_USER}
    for reference in (noted, {UNKNOWN: noted}):
        task = read({"data": {"text": "x"}, "meta": {"labelsync": reference}, "annotations": [annotation]})
        assert task.annotations[0]["completed_by"] == TOKENS_USER
        assert task.meta == {}


@pytest.mark.parametrize(
    ("worked_on", "annotations", "known"),
    [(True, [{"result": []}], "ann"), (False, [], "ann"), (False, [{"result": []}], "ben")],
    ids=["held back", "none of its own", "added"],
)
def test_an_update_leaves_the_note_about_annotations_that_it_leaves(
    worked_on: bool, annotations: list[Json], known: str
) -> None:
    before = {"labelsync": {"uri": "s3://b/a", UNKNOWN: "ann"}}
    update = TaskUpdate("s3://b/a", {"labelsync": {"uri": "s3://b/a", UNKNOWN: "ben"}}, annotations=annotations)
    change = planned(update, {}, before, worked_on=worked_on)
    assert change is not None
    assert change.meta["labelsync"][UNKNOWN] == known
