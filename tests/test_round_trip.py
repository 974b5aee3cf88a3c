"""Real input that nobody here wrote: imported, exported, imported into a second project, exported again."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from labelsync_provider.database import open_database
from labelsync_provider.projects.embedded.project import EmbeddedProject
from labelsync_provider.projects.embedded.store import EmbeddedStore
from labelsync_provider.storages.local_files import LocalFiles
from labelsync_provider.sync import ExportOptions, ImportOptions, export_annotations, import_storage

pytest_plugins = ["servers.postgres"]

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"

if not DATA.is_dir():
    pytest.skip(f"left out: there is no {DATA.parent.name}/{DATA.name} beside the checkout", allow_module_level=True)

# What a store gives out itself, and what says where a task is: not part of the value.
GIVEN_OUT = {"labelsync", "id", "project", "task", "import_id", "inner_id", "created_at", "updated_at", "meta"}
LABEL_FIELDS = {"id", "project", "task", "import_id"}


def label(item: dict[str, Any], *, dated: bool) -> dict[str, Any]:
    left_out = LABEL_FIELDS if dated else LABEL_FIELDS | {"created_at", "updated_at"}
    return {name: value for name, value in item.items() if name not in left_out}


def by_value(tasks: list[dict[str, Any]]) -> list[str]:
    """Return tasks as texts that are equal when they are worth the same, in an order of their own."""
    values = [
        {name: value for name, value in task.items() if name not in GIVEN_OUT}
        | {
            "annotations": [label(item, dated=True) for item in task["annotations"]],
            "predictions": [label(item, dated=True) for item in task["predictions"]],
            "meta": {name: value for name, value in task["meta"].items() if name != "labelsync"},
        }
        for task in tasks
    ]
    return sorted(json.dumps(value, sort_keys=True) for value in values)


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "SQLite":
        engine = open_database(f"sqlite:///{tmp_path}/labelsync.db")
    else:
        engine = open_database(request.getfixturevalue("postgres_url"))
    yield engine
    engine.dispose()


@pytest.fixture
def first(engine: Engine) -> EmbeddedProject:
    """A project with the pictures and the tasks of the files."""
    project = EmbeddedStore(engine).create_project("First", "<View></View>")
    images = ImportOptions(use_blob_urls=True, data_key="image")
    files = ImportOptions(regex_filter=r".*\.json")
    for name, options in (("images", images), ("task_files", files)):
        source = LocalFiles(f"file://{DATA}/{name}", str(DATA))
        report = import_storage(source, project, engine, options, "a test")
        assert report.quarantined == 0, report.quarantine
        again = import_storage(source, project, engine, options, "a test")
        assert (again.tasks_created, again.unchanged) == (0, report.tasks_created)
    return project


def in_files() -> list[dict[str, Any]]:
    """Return the tasks of the files as they stand there."""
    found: list[dict[str, Any]] = []
    for path in sorted((DATA / "task_files").glob("*.json")):
        value = json.loads(path.read_text())
        found += value if isinstance(value, list) else [value]
    return found


def all_tasks(project: EmbeddedProject) -> list[dict[str, Any]]:
    return [task for page in project.annotated_tasks() for task in page]


def export(project: EmbeddedProject, target: LocalFiles, engine: Engine) -> list[dict[str, Any]]:
    export_annotations(project, target, engine, ExportOptions(layout="task"), "a test")
    return [json.loads(target.read(info.key)) for page in target.list() for info in page]


def test_each_picture_and_each_row_becomes_a_task(first: EmbeddedProject) -> None:
    assert first.progress().tasks == len(list((DATA / "images").iterdir())) + len(in_files())


def test_annotations_are_those_of_the_files(first: EmbeddedProject) -> None:
    given = [task for task in in_files() if task.get("annotations")]
    found = all_tasks(first)
    assert [task["data"] for task in found] == [task["data"] for task in given]
    for task, original in zip(found, given, strict=True):
        for annotation, as_given in zip(task["annotations"], original["annotations"], strict=True):
            kept = {name for name in as_given if name not in LABEL_FIELDS}
            assert {name: annotation[name] for name in kept} == {name: as_given[name] for name in kept}
            assert annotation["import_id"] == as_given["id"]


def test_annotators_are_there_whoever_they_were(first: EmbeddedProject) -> None:
    found = [item["completed_by"] for task in all_tasks(first) for item in task["annotations"]]
    given = [item["completed_by"] for task in in_files() for item in task.get("annotations", [])]
    assert found == given
    assert any(isinstance(user, dict) for user in found)


def test_predictions_of_the_files_are_in_the_project(first: EmbeddedProject, engine: Engine) -> None:
    from sqlalchemy import select

    from labelsync_provider.projects.embedded.tables import PREDICTION

    given = [
        (item["result"], item.get("score"), item.get("model_version"))
        for task in in_files()
        for item in task.get("predictions", [])
        if isinstance(item, dict)
    ]
    assert given
    columns = (PREDICTION.c.result, PREDICTION.c.score, PREDICTION.c.model_version)
    with engine.connect() as connection:
        found = connection.execute(select(*columns).order_by(PREDICTION.c.id)).all()
    assert [tuple(row) for row in found] == given


def test_what_is_exported_imported_and_exported_again_is_the_same_by_value(
    first: EmbeddedProject, engine: Engine, folder: Callable
) -> None:
    one, two = folder("one").storage(), folder("two").storage()
    exported = export(first, one, engine)
    assert len(exported) == len([task for task in in_files() if task.get("annotations")])

    second = EmbeddedStore(engine).create_project("Second", "<View></View>")
    report = import_storage(one, second, engine, ImportOptions(), "a test")
    assert (report.tasks_created, report.quarantined) == (len(exported), 0)
    exported_again = export(second, two, engine)

    assert by_value(exported_again) == by_value(exported)
    assert by_value(all_tasks(second)) == by_value(all_tasks(first))
