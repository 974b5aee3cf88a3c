"""Predictions in short: what is made of their results, and which fit no control tag."""

from typing import Any

import pytest

from labelsync_provider.projects.embedded.project import EmbeddedProject
from labelsync_provider.projects.embedded.store import EmbeddedStore
from labelsync_provider.projects.label_studio.client import Client
from labelsync_provider.projects.protocol import Task

pytest_plugins = ["servers.label_studio"]

CONFIG = """<View>
  <Text name="text" value="$text"/>
  <Filter name="find" toName="text"/>
  <Number name="n" toName="text"/>
  <Rating name="stars" toName="text"/>
  <Choices name="kind" toName="text"><Choice value="yes"/></Choices>
  <Taxonomy name="tree" toName="text"><Choice value="a"/></Taxonomy>
</View>"""


@pytest.fixture
def labeled(store: EmbeddedStore) -> EmbeddedProject:
    return store.create_project("Labeled", CONFIG)


def task(result: Any) -> Task:
    return Task({"text": "a"}, predictions=[{"result": result, "score": 0.5}])


WRITTEN_OUT = [
    ("yes", "kind", "choices", {"choices": ["yes"]}),
    (4, "stars", "rating", {"rating": [4]}),
    ({"taxonomy": [["a"]], "x": 1}, "tree", "taxonomy", {"taxonomy": [["a"]], "x": 1}),
    ({"number": 5}, "n", "number", {"number": 5}),
]


@pytest.mark.parametrize(("result", "name", "kind", "value"), WRITTEN_OUT, ids=lambda value: str(value)[:20])
def test_in_short_is_written_out_for_the_first_tag_that_it_fits(
    labeled: EmbeddedProject, result: Any, name: str, kind: str, value: Any
) -> None:
    new = task(result)
    assert labeled.check(new) is None
    assert labeled.adapt(new) == 0
    assert new.predictions == [
        {"result": [{"from_name": name, "to_name": "text", "type": kind, "value": value}], "score": 0.5}
    ]


def test_is_written_out_as_label_studio_does(labeled: EmbeddedProject, label_studio: Any) -> None:
    new = [task(result) for result, *_ in WRITTEN_OUT]
    client = Client(label_studio.url, label_studio.token)
    project = client.post("/api/projects/", {"title": "Predictions in short", "label_config": CONFIG})
    given = [{"data": each.data, "predictions": each.predictions} for each in new]
    client.post(f"/api/projects/{project['id']}/import", given)
    there = client.get("/api/tasks/", dict, project=project["id"], fields="all")["tasks"]
    client.close()
    for each in new:
        labeled.adapt(each)
    results = [each["predictions"][0]["result"] for each in sorted(there, key=lambda each: each["id"])]
    assert results == [each.predictions[0]["result"] for each in new]


def test_in_full_stays_as_it_is(labeled: EmbeddedProject) -> None:
    for result in ([], [{"from_name": "other"}]):
        new = task(result)
        assert labeled.check(new) is None
        labeled.adapt(new)
        assert new.predictions == task(result).predictions


def test_of_no_objects_is_rejected_as_label_studio_would_lose_it(labeled: EmbeddedProject) -> None:
    assert labeled.check(task([{}, 1])) == "bad row: `predictions[0].result` must be an array of objects"


@pytest.mark.parametrize("result", [{}, {"Choices": ["yes"]}, {"labels": []}])
def test_that_fits_no_tag_is_rejected_and_says_what_to_write(labeled: EmbeddedProject, result: Any) -> None:
    problem = labeled.check(task(result)) or ""
    assert problem.startswith(f"bad row: `predictions[0].result` is {result!r}, and the label config of project ")
    assert "Write an array of objects, each with `from_name`" in problem
