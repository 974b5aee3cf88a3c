"""The ready-made DAGs: they load, and their trigger forms explain themselves."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labelsync_provider.hooks.label_studio import LabelStudioHook

DAGS = Path(__file__).resolve().parents[1] / "dags"
FORMS = ["import_storage_sync", "export_annotations"]


@pytest.fixture(scope="module")
def bag() -> Any:
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(DAGS))


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
            assert "type" in param.schema or "enum" in param.schema, name

    def test_folds_what_is_seldom_needed_into_sections(self, bag, dag_id: str) -> None:
        params = bag.dags[dag_id].params
        assert any(params.get_param(name).schema.get("section") for name in params)

    def test_offers_choices_where_there_are_only_some(self, bag, dag_id: str) -> None:
        params = bag.dags[dag_id].params
        choices = {"import_storage_sync": ("on_changed", "on_missing"), "export_annotations": ("layout",)}
        for name in choices[dag_id]:
            assert "enum" in params.get_param(name).schema, name

    def test_offers_every_parameter_of_its_operator_but_the_technical_ones(self, bag, dag_id: str) -> None:
        (task,) = bag.dags[dag_id].tasks
        technical = {"batch_size", "max_workers", "min_seconds_between_batches"}
        assert set(task.template_fields) - technical <= set(bag.dags[dag_id].params)

    def test_defaults_are_those_of_the_operator(self, bag, dag_id: str) -> None:
        (task,) = bag.dags[dag_id].tasks
        params = bag.dags[dag_id].params
        defaults = {
            name: parameter.default
            for name, parameter in inspect.signature(type(task).__init__).parameters.items()
            if name in params and parameter.default is not inspect.Parameter.empty
        }
        assert {name: params[name] for name in defaults} == defaults


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
