"""A project that is not there is created once, by its title, and by no dry run."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from sqlalchemy import Engine, update

from labelsync_provider.airflow_compat import AirflowFailException
from labelsync_provider.database import writing
from labelsync_provider.hooks.label_studio import LabelStudioHook
from labelsync_provider.operators.export_annotations import ExportAnnotationsOperator
from labelsync_provider.operators.import_storage import ImportStorageSyncOperator
from labelsync_provider.operators.project import CreateProjectOperator
from labelsync_provider.projects.embedded.tables import PROJECT

TEXT = "<View><Text name='text' value='$text'/></View>"


@pytest.fixture
def load(connections: Any) -> Callable[..., dict[str, Any]]:
    connections.put("a.json", [{"text": "1"}, {"text": "2"}, {"image": "no text"}])

    def load(**given: Any) -> dict[str, Any]:
        given = {"source": connections.uri, "project": "Pets", "create_if_missing": TEXT} | given
        return ImportStorageSyncOperator(task_id="load", **given).execute({})

    return load


def there(title: str) -> bool:
    return LabelStudioHook().find_titled(title) is not None


def test_a_project_is_created_with_the_label_config_and_imported_into(
    load: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        report = load()
    assert "Creating project 'Pets': there is none of this title." in caplog.messages
    assert (report["tasks_created"], report["quarantined"]) == (2, 1)
    assert LabelStudioHook().get_project("Pets").label_config == TEXT
    assert load()["unchanged"] == 2, "the next run finds it"


def test_a_ready_label_config_is_named(load: Any) -> None:
    load(create_if_missing="text_classification")
    assert LabelStudioHook().get_project("Pets").data_keys.keys() == {"text"}


def test_a_project_that_is_there_keeps_its_label_config(load: Any) -> None:
    project = CreateProjectOperator(task_id="create", title="Pets", label_config="<View/>").execute({})
    load()
    assert LabelStudioHook().get_project(project).label_config == "<View/>"
    assert load(project=project)["unchanged"] == 3, "by its id too"


def test_an_operator_says_that_the_label_config_of_a_project_is_not_the_one_given(
    connections: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def said(label_config: str) -> bool:
        caplog.clear()
        with caplog.at_level(logging.INFO):
            CreateProjectOperator(task_id="create", title="Pets", label_config=label_config).execute({})
        return "Project 'Pets' is there, and keeps its label config, which is not the one given" in caplog.text

    assert not said(TEXT)
    assert not said('<View>\n  <!-- the same -->\n  <Text value="$text" name="text"></Text>\n</View>')
    assert said(TEXT.replace("$text", "$title"))


@pytest.mark.parametrize("project", [4711, "4711"])
def test_none_is_created_for_an_id(load: Any, project: int | str) -> None:
    message = (
        f"project={project!r}: there is no project with this id, and only a title says what is to be created. Correct"
    )
    with pytest.raises(AirflowFailException, match=message):
        load(project=project)
    assert not there("4711")


def test_digits_of_another_script_are_a_title(load: Any) -> None:
    assert load(project="\u0663")["tasks_created"] == 2
    assert there("\u0663")


def test_what_is_no_label_config_says_what_is_one(load: Any) -> None:
    with pytest.raises(
        AirflowFailException, match=r"create_if_missing='pictures': neither XML nor .* image_classification,"
    ):
        load(create_if_missing="pictures")


def test_a_dry_run_says_that_it_would_be_created_and_what_would_be_imported(
    load: Any, database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database.unlink()  # nothing was ever imported
    with caplog.at_level(logging.INFO):
        report = load(dry_run=True)
    assert "Project 'Pets' would be created" in caplog.text
    assert "into project 'Pets', which is not there yet (connection 'label_studio_default')" in caplog.text
    assert (report["tasks_created"], report["quarantined"], report["created_ids"]) == (2, 1, [])
    assert not database.exists()
    assert not there("Pets")


def test_without_a_label_config_none_is_created(load: Any) -> None:
    with pytest.raises(AirflowFailException, match="there is no embedded project with this id or title"):
        load(create_if_missing=None)


def test_five_mapped_tasks_make_one_project(folder: Callable, connections: Any, run_dag: Callable) -> None:
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


def create(title: int | str) -> int:
    return CreateProjectOperator(task_id="create", title=title, label_config=TEXT).execute({})  # type: ignore[arg-type]


def save(target: Any, project: int | str) -> dict[str, Any]:
    return ExportAnnotationsOperator(task_id="save", project=project, target=target.uri).execute({})


@pytest.mark.parametrize("titles", [(" Pets\n", "Pets", "Pets "), (2026, "2026", " 2026")], ids=str)
def test_a_title_is_one_however_a_template_renders_it(connections: Any, titles: tuple[int | str, ...]) -> None:
    assert len({create(title) for title in titles}) == 1


def test_a_title_that_is_another_projects_id_is_created_and_found(connections: Any) -> None:
    first = create("Pets")
    second = create(str(first))
    assert second == create(first) != first


@pytest.mark.parametrize("title", [2.5, True, None, ["Pets"], "a\0b", "a\ud800"], ids=ascii)
def test_what_is_no_title_is_refused_by_name(connections: Any, title: Any) -> None:
    with pytest.raises(AirflowFailException, match=r"^title="):
        create(title)


class TestRenamed:
    """By somebody, in Label Studio; here, in the tables of the embedded store."""

    @pytest.fixture
    def change(self, engine: Engine) -> Callable[..., None]:
        def change(**values: str) -> None:
            with writing(engine) as connection:
                connection.execute(update(PROJECT).where(PROJECT.c.id == 1).values(**values))

        return change

    @pytest.mark.parametrize(
        ("ask", "parameter"),
        [
            (lambda load, target: create("Pets"), "title"),
            (lambda load, target: load(), "project"),
            (lambda load, target: load(dry_run=True), "project"),
            (lambda load, target: load(create_if_missing=None), "project"),
            (lambda load, target: save(target, "Pets"), "project"),
        ],
        ids=["create", "create if missing", "dry run", "import", "export"],
    )
    def test_is_told_by_its_id_and_present_title(
        self, load: Any, change: Callable[..., None], target: Any, ask: Any, parameter: str
    ) -> None:
        load()
        change(title="Cats")
        message = (
            f"{parameter}='Pets': no project has this title any more: project 1, which had it, is titled 'Cats' now. "
            "Name it by that title, or give it its former one back."
        )
        with pytest.raises(AirflowFailException, match=message):
            ask(load, target)
        assert not there("Pets")
        assert load(project="Cats")["unchanged"] == load(project=1)["unchanged"] == 2

    @pytest.mark.parametrize("first", [create, lambda title: None], ids=["created", "found"])
    def test_twice_is_told_by_either_title(self, load: Any, change: Callable[..., None], first: Any) -> None:
        first("Pets")
        load()
        change(title="Cats")
        load(project="Cats")
        change(title="Dogs")
        for title in ("Pets", "Cats"):
            with pytest.raises(AirflowFailException, match="project 1, which had it, is titled 'Dogs' now"):
                load(project=title)

    def test_whose_title_another_has_by_now_is_not_looked_for(self, load: Any, change: Callable[..., None]) -> None:
        load()
        change(title="Cats")
        assert LabelStudioHook().create_project("Pets", TEXT).id == 2, "by hand"
        assert load()["tasks_created"] == 2
        assert create("Pets") == 2

    def test_and_replaced_by_another_of_its_id_is_no_more(self, load: Any, change: Callable[..., None]) -> None:
        """A server that was set up anew has a project 1 too."""
        load()
        change(title="Cats", created_at="2020-01-02T03:04:05.678901Z")
        assert create("Pets") == 2

    def test_and_deleted_is_no_more(self, connections: Any, engine: Engine) -> None:
        create("Pets")
        with writing(engine) as connection:
            connection.execute(update(PROJECT).values(id=7, title="Cats"))
        assert create("Pets") != 1


class Slow:
    """A store that makes as many projects as it is asked for, as a Label Studio server does, and takes its time."""

    uri = "slow:/"

    def __init__(self) -> None:
        self.made: list[str] = []

    def create_project(self, title: str, label_config: str, description: str, confirm: Callable[[], None]) -> Any:
        from time import sleep

        there = list(self.made)
        sleep(0.05)
        if title not in there:
            self.made.append(title)
        return SimpleNamespace(title=title, uri="slow://1", created_at="once")


def test_those_who_ask_at_the_same_time_make_one(connections: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from labelsync_provider.operators.project import create_once
    from labelsync_provider.sync import Owner

    store = Slow()
    monkeypatch.setattr(LabelStudioHook, "open_store", lambda *_, **__: store)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda n: create_once(LabelStudioHook(), "Pets", TEXT, Owner(f"run {n}")), range(3)))
    assert store.made == ["Pets"]
