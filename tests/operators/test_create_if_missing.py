"""A project that is not there is created once, by its title, and by no dry run."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from labelsync_provider.airflow_compat import AirflowFailException
from labelsync_provider.hooks.label_studio import LabelStudioHook
from labelsync_provider.operators.import_storage import ImportStorageSyncOperator
from labelsync_provider.operators.project import CreateProjectOperator

TEXT = "<View><Text name='text' value='$text'/></View>"


@pytest.fixture
def load(connections) -> Callable[..., dict[str, Any]]:
    connections.put("a.json", [{"text": "1"}, {"text": "2"}, {"image": "no text"}])

    def load(**given: Any) -> dict[str, Any]:
        given = {"source": connections.uri, "project": "Pets", "create_if_missing": TEXT} | given
        return ImportStorageSyncOperator(task_id="load", **given).execute({})

    return load


def there(title: str) -> bool:
    return LabelStudioHook().find_project(title) is not None


def test_a_project_is_created_with_the_label_config_and_imported_into(load) -> None:
    report = load()
    assert (report["tasks_created"], report["quarantined"]) == (2, 1)
    assert LabelStudioHook().get_project("Pets").label_config == TEXT
    assert load()["unchanged"] == 2, "the next run finds it"


def test_a_ready_label_config_is_named(load) -> None:
    load(create_if_missing="text_classification")
    assert LabelStudioHook().get_project("Pets").data_keys.keys() == {"text"}


def test_a_project_that_is_there_keeps_its_label_config(load) -> None:
    project = CreateProjectOperator(task_id="create", title="Pets", label_config="<View/>").execute({})
    load()
    assert LabelStudioHook().get_project(project).label_config == "<View/>"
    assert load(project=project)["unchanged"] == 3, "by its id too"


@pytest.mark.parametrize("project", [4711, "4711"])
def test_none_is_created_for_an_id(load, project: int | str) -> None:
    message = (
        f"project={project!r}: there is no project with this id, and only a title says what is to be created. Correct"
    )
    with pytest.raises(AirflowFailException, match=message):
        load(project=project)
    assert not there("4711")


def test_digits_of_another_script_are_a_title(load) -> None:
    assert load(project="\u0663")["tasks_created"] == 2
    assert there("\u0663")


def test_what_is_no_label_config_says_what_is_one(load) -> None:
    with pytest.raises(
        AirflowFailException, match=r"create_if_missing='pictures': neither XML nor .* image_classification,"
    ):
        load(create_if_missing="pictures")


def test_a_dry_run_says_that_it_would_be_created_and_what_would_be_imported(load, database: Path, caplog) -> None:
    database.unlink()  # nothing was ever imported
    with caplog.at_level(logging.INFO):
        report = load(dry_run=True)
    assert "Project 'Pets' would be created" in caplog.text
    assert (report["tasks_created"], report["quarantined"], report["created_ids"]) == (2, 1, [])
    assert not database.exists()
    assert not there("Pets")


def test_without_a_label_config_none_is_created(load) -> None:
    with pytest.raises(AirflowFailException, match="there is no embedded project with this id or title"):
        load(create_if_missing=None)


def test_five_mapped_tasks_make_one_project(folder, connections, run_dag: Callable) -> None:
    uris = []
    for name in "abcde":
        part = folder(f"part-{name}")
        part.put("a.json", {"text": name})
        uris.append(part.uri)
    with DAG("mapped", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        ImportStorageSyncOperator.partial(task_id="load", project="Pets", create_if_missing=TEXT, retries=0).expand(
            source=uris
        )
    assert run_dag(dag).state == "success"
    assert LabelStudioHook().get_project("Pets").progress().tasks == 5


class Slow:
    """A store that makes as many projects as it is asked for, as a Label Studio server does, and takes its time."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def create_project(self, title: str, label_config: str, description: str, confirm: Callable[[], None]) -> str:
        from time import sleep

        there = list(self.made)
        sleep(0.05)
        if title not in there:
            self.made.append(title)
        return title


def test_those_who_ask_at_the_same_time_make_one(connections, monkeypatch: pytest.MonkeyPatch) -> None:
    from labelsync_provider.operators.project import create_once
    from labelsync_provider.sync import Owner

    store = Slow()
    monkeypatch.setattr(LabelStudioHook, "_open_store", lambda *_: store)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda n: create_once(LabelStudioHook(), "Pets", TEXT, Owner(f"run {n}")), range(3)))
    assert store.made == ["Pets"]
