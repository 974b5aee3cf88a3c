"""The ready-made DAGs: they load, and their trigger forms explain themselves."""

import json
import re
from collections.abc import Callable
from copy import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from airflow.sdk import DAG

from labelsync_provider.forms import entered
from labelsync_provider.hooks.installed import installed_schemes
from labelsync_provider.hooks.label_studio import LabelStudioHook
from labelsync_provider.operators.parameters import ExportParameters, ImportParameters
from labelsync_provider.parameter_texts import PARAMETERS
from labelsync_provider.sync import ExportOptions, ImportOptions

DAGS = Path(__file__).resolve().parents[1] / "dags"
READY_MADE = sorted(path.stem for path in DAGS.glob("*.py"))
FORMS = [name for name in READY_MADE if name != "labelsync_demo"]
# What a form asks for in vain is no more than this, in each of them.
REQUIRED = {
    "clean_up_missing": {"source": "/data/photos", "project": "Pets"},
    "create_project": {"title": "Pets"},
    "export_annotations": {"project": "Pets", "target": "/data/labels"},
    "import_storage_sync": {"source": "/data/photos", "project": "Pets"},
    "label_studio_storages": {"project": "Pets", "storage": "s3://photos"},
    "labeling_loop": {"source": "/data/photos", "project": "Pets", "target": "/data/labels"},
}
URI_FIELDS = ("source", "target", "storage")
OF_ONE_OPERATOR = {
    "import_storage_sync": (ImportParameters, ImportOptions),
    "export_annotations": (ExportParameters, ExportOptions),
}
TECHNICAL = {"batch_size", "max_in_flight", "min_seconds_between_batches", "skip_when_unchanged"}


@pytest.fixture(scope="module")
def bag() -> Any:
    from dag_bags import DagBag

    return DagBag(str(DAGS))


@pytest.fixture(scope="module")
def trigger(bag: Any, airflow_database: None) -> Callable[[str, dict[str, Any]], Any]:
    """Post what was entered in a form to Airflow's API, as the form does."""
    from airflow.api_fastapi.app import create_app
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.session import create_session
    from dag_bags import sync_bag_to_db
    from fastapi.testclient import TestClient

    with create_session() as session:
        session.merge(DagBundleModel(name="tests"))
    sync_bag_to_db(bag, "tests", None)
    app = create_app(apps="core")
    token = app.state.auth_manager.generate_jwt(SimpleAuthManagerUser(username="ann", role="admin"))
    client = TestClient(app, headers={"Authorization": f"Bearer {token}"})
    return lambda dag_id, conf: client.post(f"/api/v2/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf})


def test_every_file_loads_without_an_error(bag: Any) -> None:
    assert bag.import_errors == {}
    assert {Path(dag.fileloc).name for dag in bag.dags.values()} == {path.name for path in DAGS.glob("*.py")}


def test_they_are_those_the_readme_speaks_of(bag: Any) -> None:
    readme = (DAGS.parent / "README.md").read_text()
    assert [name for name in READY_MADE if f"`{name}`" not in readme] == []
    assert bag.dags.keys() == set(READY_MADE)


@pytest.mark.parametrize("dag_id", READY_MADE)
class TestEveryDag:
    def test_is_tagged_and_has_names_for_people(self, bag: Any, dag_id: str) -> None:
        dag = bag.dags[dag_id]
        assert "labelsync" in dag.tags
        assert dag.description
        assert dag.dag_display_name != dag_id
        assert [task.task_id for task in dag.tasks if task.task_display_name == task.task_id] == []

    def test_is_explained_with_what_it_asks_for_and_the_connection_it_needs(self, bag: Any, dag_id: str) -> None:
        dag = bag.dags[dag_id]
        assert "`label_studio_default`" in dag.doc_md
        rows = [line for line in dag.doc_md.splitlines() if line.startswith("| ")][1:]
        titles = [dag.params.get_param(name).schema["title"] for name in dag.params]
        assert [row.removeprefix("| ").partition(" |")[0].removesuffix(" (required)") for row in rows] == titles
        assert all(re.fullmatch(r"\| ([^|]|\\\|)+ \| ([^|]|\\\|)+ \|", row) for row in rows)


def test_the_dag_in_the_readme_loads(tmp_path: Path) -> None:
    from dag_bags import DagBag

    readme = (DAGS.parent / "README.md").read_text()
    code = readme.split("```python\n", 1)[1].split("```", 1)[0]
    (tmp_path / "readme.py").write_text(code)
    bag = DagBag(str(tmp_path))
    assert bag.import_errors == {}
    (dag,) = bag.dags.values()
    assert set(dag.task_ids) == {"project", "photos", "labels"}
    assert len(code.splitlines()) <= 20


def parsed(dag_id: str) -> Any:
    """Return a DAG of one's own: to run one writes what was entered into it."""
    from dag_bags import DagBag

    return DagBag(str(DAGS / f"{dag_id}.py")).dags[dag_id]


@pytest.fixture
def run_form(run_dag: Callable) -> Callable[..., Any]:
    """Run a DAG with what is entered in its form."""
    return lambda dag_id, entered, **how: run_dag(parsed(dag_id), run_conf=entered, **how)


def selects(dag: Any) -> list[str]:
    return [name for name in dag.params if "enum" in dag.params.get_param(name).schema]


def nullable(dag: Any) -> list[str]:
    types = {name: dag.params.get_param(name).schema.get("type", ["null"]) for name in dag.params}
    return [name for name, of_field in types.items() if "null" in of_field]


def test_what_is_entered_can_be_stored_without_a_default() -> None:
    """Airflow 3.1 writes out what `serialize` returns as it is."""
    with DAG("stored", schedule=None) as dag:
        arguments = entered(dag, ["source"])
    assert json.loads(json.dumps(arguments["source"].serialize())) == {"dag_id": "stored", "name": "source"}


@pytest.mark.parametrize("dag_id", FORMS)
class TestForm:
    def test_runs_only_when_somebody_says_so(self, bag: Any, dag_id: str) -> None:
        assert bag.dags[dag_id].schedule is None

    def test_can_be_read_in_a_minute(self, bag: Any, dag_id: str) -> None:
        assert len(Path(bag.dags[dag_id].fileloc).read_text().splitlines()) < 100

    def test_says_everything_by_the_texts_that_the_docstrings_have(self, bag: Any, dag_id: str) -> None:
        dag = bag.dags[dag_id]
        assert len(dag.params) > 3
        for name in dag.params:
            text, param = PARAMETERS[name], dag.params.get_param(name)
            assert (param.schema["title"], param.description) == (text.title, text.for_form()), name

    def test_folds_what_is_seldom_needed_into_sections(self, bag: Any, dag_id: str) -> None:
        params = bag.dags[dag_id].params
        assert any(params.get_param(name).schema.get("section") for name in params)

    def test_asks_for_what_is_required_first_and_pre_fills_none_of_it(self, bag: Any, dag_id: str) -> None:
        params = bag.dags[dag_id].params
        required = [name for name in params if params.dump()[name] is None and name not in nullable(bag.dags[dag_id])]
        assert required == list(REQUIRED[dag_id])
        after = [name for name in params if name not in required and not params.get_param(name).schema.get("section")]
        assert "dry_run" not in params or after[0] == "dry_run", "right below what is required"

    def test_shows_what_is_chosen_and_by_what_name(self, bag: Any, dag_id: str) -> None:
        dag = bag.dags[dag_id]
        for name in selects(dag):
            schema = dag.params.get_param(name).schema
            assert dag.params[name] in schema["enum"], name
            assert not any(isinstance(value, bool) for value in schema["enum"]), "the form shows no boolean as chosen"
            assert {"null" if value is None else str(value) for value in schema["enum"]} == set(
                schema["values_display"]
            )


@pytest.mark.parametrize("dag_id", OF_ONE_OPERATOR)
class TestFormOfOneOperator:
    def test_offers_its_parameters_but_the_technical_ones_and_no_others(self, bag: Any, dag_id: str) -> None:
        (task,) = bag.dags[dag_id].tasks
        assert set(bag.dags[dag_id].params) == set(task.template_fields) - TECHNICAL

    def test_offers_the_choices_and_bounds_that_are_declared(self, bag: Any, dag_id: str) -> None:
        _, declared = msgspec.json.schema_components(OF_ONE_OPERATOR[dag_id])
        properties = {name: schema for struct in declared.values() for name, schema in struct["properties"].items()}
        params = bag.dags[dag_id].params
        for name in set(params) - {"recursive_scan", "register_storage"}:
            schema, offered = properties[name], params.get_param(name).schema
            schema = next((one for one in schema.get("anyOf", ()) if one.get("type") != "null"), schema)
            assert set(offered.get("enum", ())) - {None} == set(schema.get("enum", ())), name
            assert offered.get("minimum") == schema.get("minimum"), name


@pytest.mark.filterwarnings("ignore:The HMAC key is 24 bytes long")  # Airflow's own, in unit test mode
@pytest.mark.xdist_group("trigger")  # made once
@pytest.mark.parametrize("dag_id", FORMS)
class TestTrigger:
    def test_takes_what_is_required_and_the_defaults_of_the_rest(self, trigger: Any, dag_id: str) -> None:
        answer = trigger(dag_id, REQUIRED[dag_id])
        assert answer.status_code == 200, answer.text

    def test_refuses_to_run_without_any_of_it_and_names_the_field(self, trigger: Any, dag_id: str) -> None:
        for name in REQUIRED[dag_id]:
            given = {other: value for other, value in REQUIRED[dag_id].items() if other != name}
            for left_out in (given, given | {name: None}, given | {name: ""}):
                answer = trigger(dag_id, left_out)
                assert answer.status_code == 400
                assert f"Invalid input for param {name}: " in answer.json()["detail"]

    @pytest.mark.parametrize("uri", ["/data/photos", *(f"{scheme}://0/photos" for scheme in installed_schemes())])
    def test_takes_every_scheme_and_a_path(self, trigger: Any, dag_id: str, uri: str) -> None:
        uris = {name: uri for name in REQUIRED[dag_id] if name in URI_FIELDS}
        answer = trigger(dag_id, REQUIRED[dag_id] | uris)
        assert answer.status_code == 200, answer.text
        assert answer.json()["conf"].items() >= uris.items()

    @pytest.mark.parametrize("uri", ["data/photos", "s3://", "3s://bucket", "bucket/s3://", "/"])
    def test_refuses_what_is_no_uri_and_names_the_field(self, trigger: Any, dag_id: str, uri: str) -> None:
        for name in REQUIRED[dag_id].keys() & set(URI_FIELDS):
            answer = trigger(dag_id, REQUIRED[dag_id] | {name: uri})
            assert answer.status_code == 400
            assert f"Invalid input for param {name}: '{uri}' does not match" in answer.json()["detail"]

    @pytest.mark.parametrize("project", [7, "7", "My project"])
    def test_takes_a_project_by_its_id_or_title(self, trigger: Any, dag_id: str, project: int | str) -> None:
        if "project" in REQUIRED[dag_id]:
            assert trigger(dag_id, REQUIRED[dag_id] | {"project": project}).status_code == 200

    def test_takes_fields_that_are_cleared(self, trigger: Any, bag: Any, dag_id: str) -> None:
        cleared = dict.fromkeys([*selects(bag.dags[dag_id]), *nullable(bag.dags[dag_id])])
        answer = trigger(dag_id, REQUIRED[dag_id] | cleared)
        assert answer.status_code == 200, answer.text


def result(run: Any, task_id: str) -> Any:
    return run.get_task_instance(task_id).xcom_pull(task_ids=task_id)


def states(run: Any) -> dict[str, str]:
    return {ti.task_id: str(ti.state) for ti in run.get_task_instances()}


def test_forms_import_and_export_with_what_was_entered(
    bag: Any, connections: Any, target: Any, run_form: Callable
) -> None:
    for name in "abc":
        connections.put(f"{name}.json", {"data": {"text": name}, "annotations": [{"result": []}]})
    LabelStudioHook().create_project("Pets", "<View/>")
    entered = {"source": connections.uri, "project": "Pets", "regex_filter": "[ab]"}

    def reported(dag_id: str, conf: dict[str, Any]) -> dict[str, Any]:
        run = run_form(dag_id, conf)
        assert run.state == "success"
        (task,) = run.get_task_instances()
        return task.xcom_pull(task_ids=task.task_id)

    for dry_run, tasks in ((True, 0), (False, 2)):
        report = reported("import_storage_sync", entered | {"dry_run": dry_run})
        assert (report["matched"], report["tasks_created"]) == (2, 2)
        assert LabelStudioHook().get_project("Pets").progress().tasks == tasks
    report = reported(
        "export_annotations", {"target": target.uri, "project": "Pets", "key_template": "x{annotation_id}"}
    )
    assert report["written"] == 2
    assert target.names() == ["x1", "x2"]


def test_fields_that_are_cleared_are_the_defaults(bag: Any, connections: Any, target: Any, run_form: Callable) -> None:
    connections.put("a.json", {"data": {"text": "a"}, "annotations": [{"result": []}]})
    LabelStudioHook().create_project("Pets", "<View/>")
    for dag_id, given in (
        ("import_storage_sync", {"source": str(connections.path), "project": "Pets"}),
        ("export_annotations", {"target": str(target.path), "project": "Pets"}),
    ):
        cleared = dict.fromkeys([*selects(bag.dags[dag_id]), *nullable(bag.dags[dag_id])])
        assert run_form(dag_id, cleared | given).state == "success"
    assert len(target.names()) == 1


def test_what_a_form_creates_is_what_was_chosen_or_pasted(bag: Any, connections: Any, run_form: Callable) -> None:
    for title, given, keys in (
        ("Ready", {"template": "bounding_boxes"}, ["image"]),
        ("Pasted", {"label_config": "<View><Text name='t' value='$review'/></View>"}, ["review"]),
    ):
        assert run_form("create_project", {"title": title, **given}).state == "success"
        assert LabelStudioHook().get_project(title).data_keys.keys() == set(keys)
    assert run_form("create_project", {"title": "Neither"}).state == "failed"


class TestCleanUpMissing:
    @pytest.fixture
    def given(self, connections: Any, run_form: Callable) -> dict[str, Any]:
        """Of ten files, half are gone."""
        given = {"source": connections.uri, "project": "Pets"}
        for n in range(10):
            connections.put(f"{n}.json", {"text": str(n)})
        LabelStudioHook().create_project("Pets", "<View/>")
        run_form("import_storage_sync", given)
        for n in range(5):
            (connections.path / f"{n}.json").unlink()
        return given

    def test_deletes_what_a_person_has_agreed_to(self, bag: Any, given: str, run_form: Callable) -> None:
        run = run_form("clean_up_missing", given, mark_success_pattern="approve")
        assert run.state == "success"
        assert result(run, "look")["tasks_deleted"] == 5
        assert result(run, "delete")["tasks_deleted"] == 5
        assert LabelStudioHook().get_project("Pets").progress().tasks == 5

    def test_deletes_nothing_if_there_is_more_than_was_agreed_to(
        self, bag: Any, given: str, connections: Any, run_dag: Callable
    ) -> None:
        dag = parsed("clean_up_missing")
        # Somebody has taken one away since: the person saw four.
        dag.task_dict["delete"].max_delete = dag.task_dict["delete"].max_delete.replace(" }}", " - 1 }}")
        run = run_dag(dag, run_conf=given, mark_success_pattern="approve")
        assert run.state == "failed"
        assert LabelStudioHook().get_project("Pets").progress().tasks == 10

    def test_asks_nobody_if_there_is_nothing_to_delete(
        self, bag: Any, given: str, connections: Any, run_form: Callable
    ) -> None:
        for n in range(5):
            connections.put(f"{n}.json", {"text": str(n)})
        run = run_form("clean_up_missing", given)
        assert states(run)["approve"] == states(run)["delete"] == "skipped"

    def test_tells_the_person_how_many_would_go(self, bag: Any) -> None:
        approve = bag.dags["clean_up_missing"].task_dict["approve"]
        seen = {"tasks_deleted": 5, "missing": 7, "tasks_created": 2}
        ti = SimpleNamespace(xcom_pull=lambda task_ids: seen)
        approve = copy(approve)
        approve.render_template_fields({"ti": ti, "params": {"project": "Pets", "source": "/data"}})
        assert approve.subject == "Delete 5 tasks of project Pets?"
        assert "Of `/data`, 7 rows or files are gone. **5 tasks would be deleted**" in approve.body


def test_labeling_loop_goes_round_once(bag: Any, connections: Any, target: Any, run_form: Callable) -> None:
    connections.put("a.json", [{"data": {"text": "a"}, "annotations": [{"result": []}]}, {"text": "b"}])
    LabelStudioHook().create_project("Pets", "<View/>")
    dag = bag.dags["labeling_loop"]
    assert dag.max_active_runs == 1
    run = run_form("labeling_loop", {"source": str(connections.path), "project": "Pets", "target": str(target.path)})
    assert run.state == "success"
    assert result(run, "import")["tasks_created"] == 2
    assert len(target.names()) == 1


def test_labeling_loop_goes_on_by_itself_as_its_page_says(tmp_path: Path) -> None:
    from dag_bags import DagBag

    code = (DAGS / "labeling_loop.py").read_text()
    (written,) = re.findall(r"`params=(form\(FIELDS, [^`]+\))`", " ".join(code.split()))
    code = code.replace("params=form(FIELDS)", f"params={written}").replace("schedule=None", 'schedule="@continuous"')
    (tmp_path / "mine.py").write_text(code.replace('dag_id="labeling_loop"', 'dag_id="mine"'))
    bag = DagBag(str(tmp_path))
    assert bag.import_errors == {}
    assert bag.dags["mine"].params["source"] == "/data/photos"
