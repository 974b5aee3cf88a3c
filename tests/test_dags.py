"""The ready-made DAGs: they load, and their trigger forms explain themselves."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from labelsync_provider.get_provider_info import STORAGES
from labelsync_provider.hooks.label_studio import LabelStudioHook
from labelsync_provider.operators.parameters import ExportParameters, ImportParameters
from labelsync_provider.sync import ExportOptions, ImportOptions

DAGS = Path(__file__).resolve().parents[1] / "dags"
FORMS = ["import_storage_sync", "export_annotations"]
URI_FIELDS = {"import_storage_sync": "source", "export_annotations": "target"}
DECLARED = {
    "import_storage_sync": (ImportParameters, ImportOptions),
    "export_annotations": (ExportParameters, ExportOptions),
}
TECHNICAL = {"batch_size", "max_workers", "min_seconds_between_batches"}


@pytest.fixture(scope="module")
def bag() -> Any:
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(DAGS))


@pytest.fixture(scope="module")
def trigger(bag, airflow_database: None) -> Callable[[str, dict[str, Any]], Any]:
    """Post what was entered in a form to Airflow's API, as the form does."""
    from airflow.api_fastapi.app import create_app
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.dag_processing.dagbag import sync_bag_to_db
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.session import create_session
    from fastapi.testclient import TestClient

    with create_session() as session:
        session.merge(DagBundleModel(name="tests"))
    sync_bag_to_db(bag, "tests", None)
    app = create_app(apps="core")
    token = app.state.auth_manager.generate_jwt(SimpleAuthManagerUser(username="ann", role="admin"))
    client = TestClient(app, headers={"Authorization": f"Bearer {token}"})
    return lambda dag_id, conf: client.post(f"/api/v2/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf})


def test_every_file_loads_without_an_error(bag) -> None:
    assert bag.import_errors == {}
    assert {Path(dag.fileloc).name for dag in bag.dags.values()} == {path.name for path in DAGS.glob("*.py")}


def test_they_are_those_the_readme_speaks_of(bag) -> None:
    assert {"labelsync_demo", *FORMS} <= bag.dags.keys()


def test_all_of_them_are_explained_and_tagged(bag) -> None:
    for dag in bag.dags.values():
        assert dag.doc_md or dag.description, dag.dag_id
        assert dag.tags, dag.dag_id


def test_the_dag_in_the_readme_loads(tmp_path: Path) -> None:
    from airflow.dag_processing.dagbag import DagBag

    readme = (DAGS.parent / "README.md").read_text()
    code = readme.split("```python\n", 1)[1].split("```", 1)[0]
    (tmp_path / "readme.py").write_text(code)
    bag = DagBag(str(tmp_path))
    assert bag.import_errors == {}
    (dag,) = bag.dags.values()
    assert set(dag.task_ids) == {"project", "photos", "labels"}
    assert len(code.splitlines()) <= 20


@pytest.mark.parametrize("dag_id", FORMS)
class TestForm:
    def test_runs_only_when_somebody_says_so(self, bag, dag_id: str) -> None:
        assert bag.dags[dag_id].schedule is None

    def test_has_a_title_and_a_description_for_every_parameter(self, bag, dag_id: str) -> None:
        params = bag.dags[dag_id].params
        assert len(params) > 3
        for name in params:
            param = params.get_param(name)
            assert param.schema.get("title"), name
            assert param.description or param.schema.get("description_md"), name
            assert param.schema.keys() & {"type", "enum", "anyOf"}, name

    def test_folds_what_is_seldom_needed_into_sections(self, bag, dag_id: str) -> None:
        params = bag.dags[dag_id].params
        assert any(params.get_param(name).schema.get("section") for name in params)

    def test_offers_the_parameters_of_its_operator_but_the_technical_ones_and_no_others(self, bag, dag_id: str) -> None:
        (task,) = bag.dags[dag_id].tasks
        assert set(bag.dags[dag_id].params) == set(task.template_fields) - TECHNICAL

    def test_offers_the_choices_and_bounds_that_are_declared(self, bag, dag_id: str) -> None:
        _, declared = msgspec.json.schema_components(DECLARED[dag_id])
        properties = {name: schema for struct in declared.values() for name, schema in struct["properties"].items()}
        params = bag.dags[dag_id].params
        for name in set(params) - {"recursive_scan"}:
            schema, offered = properties[name], params.get_param(name).schema
            schema = next((one for one in schema.get("anyOf", ()) if one.get("type") != "null"), schema)
            assert set(offered.get("enum", ())) == set(schema.get("enum", ())), name
            assert offered.get("minimum") == schema.get("minimum"), name

    def test_defaults_are_those_of_the_operator(self, bag, dag_id: str) -> None:
        (task,) = bag.dags[dag_id].tasks
        params = bag.dags[dag_id].params
        defaults = {
            name: parameter.default
            for name, parameter in inspect.signature(type(task).__init__).parameters.items()
            if name in params and parameter.default is not inspect.Parameter.empty
        }
        assert {name: params[name] for name in defaults} == defaults


@pytest.mark.filterwarnings("ignore:The HMAC key is 24 bytes long")  # Airflow's own, in unit test mode
@pytest.mark.xdist_group("trigger")  # made once
@pytest.mark.parametrize("dag_id", FORMS)
class TestTrigger:
    @pytest.mark.parametrize("scheme", [storage["scheme"] for storage in STORAGES])
    def test_takes_every_scheme(self, trigger, dag_id: str, scheme: str) -> None:
        uri = f"{scheme}:///data/photos" if scheme == "file" else f"{scheme}://0/photos"
        answer = trigger(dag_id, {URI_FIELDS[dag_id]: uri})
        assert answer.status_code == 200, answer.text
        assert answer.json()["conf"][URI_FIELDS[dag_id]] == uri

    @pytest.mark.parametrize("uri", ["/data/photos", "s3://", "3s://bucket", "bucket/s3://"])
    def test_refuses_what_is_no_uri_and_names_the_field(self, trigger, dag_id: str, uri: str) -> None:
        answer = trigger(dag_id, {URI_FIELDS[dag_id]: uri})
        assert answer.status_code == 400
        assert f"Invalid input for param {URI_FIELDS[dag_id]}: '{uri}' does not match" in answer.json()["detail"]

    @pytest.mark.parametrize("project", [7, "7", "My project"])
    def test_takes_a_project_by_its_id_or_title(self, trigger, dag_id: str, project: int | str) -> None:
        assert trigger(dag_id, {"project": project}).status_code == 200


def test_forms_import_and_export_with_what_was_entered(bag, connections, target, run_dag: Callable) -> None:
    for name in "abc":
        connections.put(f"{name}.json", {"data": {"text": name}, "annotations": [{"result": []}]})
    LabelStudioHook().create_project("Pets", "<View/>")
    entered = {"source": connections.uri, "project": "Pets", "regex_filter": "[ab]"}

    def reported(dag_id: str, conf: dict[str, Any]) -> dict[str, Any]:
        run = run_dag(bag.dags[dag_id], run_conf=conf)
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
