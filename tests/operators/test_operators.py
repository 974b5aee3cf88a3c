"""The operators: their parameters, what they return, and whole DAGs run by Airflow itself."""

import inspect
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator, Param
from msgspec.structs import fields
from sqlalchemy import delete

from labelsync_provider.airflow_compat import AirflowException, AirflowFailException, AirflowSkipException
from labelsync_provider.database import open_database, writing
from labelsync_provider.hooks.label_studio import LabelStudioHook
from labelsync_provider.operators.export_annotations import ExportAnnotationsOperator
from labelsync_provider.operators.import_storage import ImportStorageSyncOperator
from labelsync_provider.operators.label_studio import LabelStudioStorageOperator, LabelStudioSyncOperator
from labelsync_provider.operators.parameters import ExportParameters, ImportParameters, options_of
from labelsync_provider.operators.project import CreateProjectOperator
from labelsync_provider.projects.embedded.tables import TASK
from labelsync_provider.sync import ExportOptions, ImportOptions
from labelsync_provider.sync.ledger.lease import Lease

README = Path(__file__).resolve().parents[2] / "README.md"
REQUIRED = inspect.Parameter.empty

PARAMETERS: dict[type, dict[str, Any]] = {
    ImportStorageSyncOperator: {
        "source": REQUIRED,
        "project": REQUIRED,
        "create_if_missing": None,
        "source_conn_id": None,
        "label_studio_conn_id": "label_studio_default",
        "regex_filter": None,
        "use_blob_urls": False,
        "url_mode": "storage",
        "presign_ttl": 15,
        "recursive_scan": None,
        "data_key": None,
        "extra_data": None,
        "row_key": None,
        "on_changed": "report",
        "on_missing": "report",
        "max_delete": None,
        "max_quarantined": None,
        "register_storage": "auto",
        "lock_own_sync": False,
        "allow_static_keys": False,
        "presign": True,
        "adopt": False,
        "restore_deleted": False,
        "dry_run": False,
        "batch_size": 10_000,
        "min_seconds_between_batches": 0,
        "max_in_flight": 256,
        "wait_for_lease": 3600,
        "skip_when_unchanged": False,
    },
    ExportAnnotationsOperator: {
        "project": REQUIRED,
        "target": REQUIRED,
        "target_conn_id": None,
        "label_studio_conn_id": "label_studio_default",
        "layout": "annotation",
        "key_template": None,
        "include_cancelled": True,
        "can_delete_objects": False,
        "full": False,
        "dry_run": False,
        "batch_size": 1000,
        "max_in_flight": 256,
        "wait_for_lease": 3600,
        "skip_when_unchanged": False,
    },
    CreateProjectOperator: {
        "title": REQUIRED,
        "label_config": REQUIRED,
        "description": "",
        "label_studio_conn_id": "label_studio_default",
    },
    LabelStudioStorageOperator: {
        "project": REQUIRED,
        "storage": REQUIRED,
        "direction": "import",
        "storage_conn_id": None,
        "label_studio_conn_id": "label_studio_default",
        "title": None,
        "regex_filter": None,
        "use_blob_urls": False,
        "recursive_scan": None,
        "presign": True,
        "presign_ttl": 15,
        "can_delete_objects": None,
        "synchronizable": True,
        "allow_static_keys": False,
    },
    LabelStudioSyncOperator: {
        "project": REQUIRED,
        "storage": REQUIRED,
        "direction": "import",
        "storage_type": None,
        "storage_conn_id": None,
        "label_studio_conn_id": "label_studio_default",
        "timeout": 3600,
        "poll_interval": 10,
        "deferrable": False,
    },
}

IMPORT_COUNTS = """
    listed matched unchanged new changed missing tasks_created tasks_updated tasks_deleted
    quarantined quarantined_now bytes_read seconds
"""
EXPORT_COUNTS = "annotations written unchanged deleted gone failed bytes_written seconds"


@pytest.mark.parametrize("operator", PARAMETERS, ids=lambda operator: operator.__name__)
class TestParameters:
    def test_and_their_defaults_are_those_of_the_table(self, operator: Any) -> None:
        own = {
            name: parameter.default
            for name, parameter in inspect.signature(operator.__init__).parameters.items()
            if name not in ("self", "kwargs")
        }
        assert own == PARAMETERS[operator]

    def test_are_all_templated(self, operator: Any) -> None:
        assert set(operator.template_fields) == PARAMETERS[operator].keys()

    def test_are_stored_untouched_whatever_they_are(self, operator: Any) -> None:
        given = {name: object() for name in PARAMETERS[operator]}
        made = operator(task_id="task", **given)
        assert {name: getattr(made, name) for name in given} == given

    def test_are_rendered(self, operator: Any) -> None:
        made = operator(task_id="task", **dict.fromkeys(PARAMETERS[operator], "{{ what }}"))
        made.render_template_fields({"what": "rendered"})
        assert {getattr(made, name) for name in PARAMETERS[operator]} == {"rendered"}

    def test_are_told_apart_by_colour_in_the_graph(self, operator: Any) -> None:
        assert operator.ui_color != BaseOperator.ui_color

    def test_are_explained_in_the_docstring(self, operator: Any) -> None:
        for name in PARAMETERS[operator]:
            assert f":param {name}: " in str(operator.__doc__)


DECLARED = {
    ImportStorageSyncOperator: (ImportParameters, ImportOptions),
    ExportAnnotationsOperator: (ExportParameters, ExportOptions),
}
NOT_FOR_USERS = {"lease_seconds"}


@pytest.mark.parametrize("operator", DECLARED, ids=lambda operator: operator.__name__)
class TestParametersAndTheirDefaults:
    def test_are_those_that_the_operator_and_the_engine_declare_each_once(self, operator: Any) -> None:
        declared = [field for kind in DECLARED[operator] for field in fields(kind) if field.name not in NOT_FOR_USERS]  # type: ignore[arg-type]
        defaults = {field.name: REQUIRED if field.required else field.default for field in declared}
        assert len(declared) == len(defaults)
        assert defaults == PARAMETERS[operator]

    def test_are_those_of_the_readme(self, operator: Any) -> None:
        documented = table_in_the_readme(operator)
        assert documented.keys() == PARAMETERS[operator].keys()
        for name, default in PARAMETERS[operator].items():
            if default is REQUIRED:
                assert documented[name] == "", name
            elif default is None:  # the README says what happens then
                assert re.search("[a-z]", documented[name]), name
                assert documented[name] not in ("`True`", "`False`"), name
            else:
                assert documented[name].strip("`") in (str(default), f'"{default}"'), name


def table_in_the_readme(operator: Any) -> dict[str, str]:
    """Return the default of each parameter, as it is written there."""
    section = README.read_text().split(f"\n### {operator.__name__}\n")[1].split("\n### ")[0]
    documented: dict[str, Any] = {}
    for names, defaults in re.findall(r"^\| (`.*?) \| ?(.*?) \| ", section, re.MULTILINE):
        names = re.findall(r"`(\w+)`", names)
        defaults = defaults.split(", ") if len(names) > 1 else [defaults]
        documented |= dict(zip(names, defaults, strict=True))
    return documented


def execute(operator: Any, **arguments: Any) -> Any:
    return operator(task_id="task", **arguments).execute({})


class TestExecute:
    def test_creates_a_project_once_and_returns_its_id(self, connections: Any) -> None:
        first = execute(CreateProjectOperator, title="Pets", label_config="<View/>")
        again = execute(CreateProjectOperator, title="Pets", label_config="<View/>")
        assert isinstance(first, int)
        assert first == again

    def test_imports_and_returns_the_report_as_plain_data(self, connections: Any) -> None:
        execute(CreateProjectOperator, title="Pets", label_config="<View/>")
        connections.put("a.json", [{"text": "1"}, 5])
        report = execute(ImportStorageSyncOperator, source=connections.uri, project="Pets")
        assert report.keys() >= set(IMPORT_COUNTS.split())
        assert (report["tasks_created"], report["quarantined"]) == (1, 1)
        assert json.loads(json.dumps(report)) == report
        assert any(
            value == [{"key": "a.json", "row": 1, "reason": "not a task: a row is a JSON object, this is a number"}]
            for value in report.values()
        )

    def test_exports_and_returns_the_report_as_plain_data(self, connections: Any, target: Any) -> None:
        project = execute(CreateProjectOperator, title="Pets", label_config="<View/>")
        connections.put("a.json", {"data": {}, "annotations": [{"result": []}]})
        execute(ImportStorageSyncOperator, source=connections.uri, project=project)
        report = execute(ExportAnnotationsOperator, project=str(project), target=target.uri)
        assert report.keys() >= set(EXPORT_COUNTS.split())
        assert (report["annotations"], report["written"]) == (1, 1)
        assert json.loads(json.dumps(report)) == report
        assert target.names() == ["1.json"]

    def test_hands_every_parameter_to_the_engine(self, connections: Any) -> None:
        label_config = '<View><Image name="image" value="$image"/></View>'
        execute(CreateProjectOperator, title="Pets", label_config=label_config)
        connections.put("a.jpg", b"1")
        connections.put("b.txt", b"1")
        connections.put("sub/a.jpg", b"1")
        arguments = {
            "source": connections.uri,
            "project": "Pets",
            "source_conn_id": "fs_default",
            "use_blob_urls": True,
            "recursive_scan": False,
            "regex_filter": r".*\.jpg",
            "max_quarantined": 0,
            "on_changed": "update",
            "on_missing": "delete",
            "max_delete": 1,
            "batch_size": 1,
            "max_in_flight": 1,
        }
        predicted = execute(ImportStorageSyncOperator, **arguments, dry_run=True)
        report = execute(ImportStorageSyncOperator, **arguments)
        unforeseen: dict[str, Any] = {"dry_run": None, "seconds": 0, "requests": {}, "created_ids": []}
        assert predicted | unforeseen == report | unforeseen
        assert (report["listed"], report["matched"], report["tasks_created"]) == (2, 1, 1)
        connections.put("a.jpg", b"2")
        assert execute(ImportStorageSyncOperator, **arguments)["tasks_updated"] == 1
        (connections.path / "a.jpg").unlink()
        assert execute(ImportStorageSyncOperator, **arguments)["tasks_deleted"] == 1

    def test_says_who_owns_the_lease_and_lets_airflow_retry(self, connections: Any, database: Path) -> None:
        project = execute(CreateProjectOperator, title="Pets", label_config="<View/>")
        engine = open_database(f"sqlite:///{database}")
        uri = LabelStudioHook().get_project(project).uri
        owner = "task 'sync' of DAG 'pets', run 'r', try 1"
        with (
            Lease(engine, f"import into {uri}", owner),
            pytest.raises(AirflowException, match=r"task 'sync' of DAG 'pets'.*expires in \d+ s") as caught,
        ):
            execute(ImportStorageSyncOperator, source=connections.uri, project=project, wait_for_lease=0)
        assert not isinstance(caught.value, AirflowFailException)
        engine.dispose()


IMPORTED = ImportStorageSyncOperator, {"source": "file:///data", "project": "Pets"}
EXPORTED = ExportAnnotationsOperator, {"target": "file:///data", "project": "Pets"}
CREATED = CreateProjectOperator, {"title": "Pets", "label_config": "<View/>"}
BAD_TYPES: Any = (
    (IMPORTED, {"source": 5}, "source=5: of the wrong type. Use a storage URI, such as s3://bucket/prefix, or a list"),
    (IMPORTED, {"project": None}, "project=None: of the wrong type. Use the project's id, or its exact title."),
    (IMPORTED, {"project": True}, "project=True: of the wrong type."),
    (IMPORTED, {"source_conn_id": 5}, "source_conn_id=5: of the wrong type. Use a string, or None."),
    (IMPORTED, {"label_studio_conn_id": 5}, "label_studio_conn_id=5: of the wrong type. Use a string."),
    (IMPORTED, {"recursive_scan": 0.5}, "recursive_scan=0.5: neither True nor False. Use True or False, or None."),
    (
        IMPORTED,
        {"register_storage": "yes"},
        "register_storage='yes': neither True nor False. Use True or False, or 'auto'.",
    ),
    (IMPORTED, {"presign": 2}, "presign=2: neither True nor False."),
    (IMPORTED, {"batch_size": True}, "batch_size=True: not a number that makes sense. Use a whole number from 1."),
    (IMPORTED, {"regex_filter": 2024}, "regex_filter=2024: of the wrong type. Use a string, or None."),
    (EXPORTED, {"target": ["s3://b"]}, "target=['s3://b']: of the wrong type. Use a storage URI, such as s3://"),
    (IMPORTED, {"max_delete": "\ud800"}, "max_delete='\\ud800': not a number that makes sense."),
    (IMPORTED, {"on_changed": "\ud800"}, "on_changed='\\ud800': unknown. Use one of 'report', 'update', 'add'."),
    (CREATED, {"title": None}, "title=None: of the wrong type. Use a title: a string, or a whole number."),
    (CREATED, {"title": 2024.5}, "title=2024.5: of the wrong type. Use a title: a string, or a whole number."),
    (CREATED, {"label_config": {}}, "label_config={}: of the wrong type. Use a label config: XML, or the name of"),
    (EXPORTED, {"project": 1.5}, "project=1.5: of the wrong type. Use the project's id, or its exact title."),
    (EXPORTED, {"key_template": 5}, "key_template=5: of the wrong type. Use a string, or None."),
)


@pytest.mark.parametrize(("run", "bad", "message"), BAD_TYPES, ids=[str(bad) for _, bad, _ in BAD_TYPES])
def test_a_parameter_of_the_wrong_type_fails_when_the_task_runs(run: tuple, bad: dict, message: str) -> None:
    operator, good = run
    made = operator(task_id="task", **good | bad)
    with pytest.raises(AirflowFailException) as caught:
        made.execute({})
    assert message in str(caught.value)


def test_what_a_form_and_a_template_send_is_understood() -> None:
    sent: dict[str, Any] = {
        "recursive_scan": 0.0,
        "presign": "FALSE",
        "register_storage": None,
        "source_conn_id": "",
        "project": "20",
    }
    made = options_of(ImportStorageSyncOperator(task_id="task", source="file:///data", **sent), ImportParameters)
    assert (made.recursive_scan, made.presign, made.register_storage) == (False, False, "auto")
    assert made.source_conn_id is None
    assert made.project == "20", "whether that is an id or a title, the project store knows"


def result(run: Any, task_id: str) -> Any:
    return run.get_task_instance(task_id).xcom_pull(task_ids=task_id)


class TestWholeDag:
    def test_creates_imports_and_exports(self, connections: Any, target: Any, run_dag: Callable) -> None:
        connections.put("a.json", [{"data": {"text": "1"}, "annotations": [{"result": []}]}, {"data": {"text": "2"}}])
        connections.put("bad.json", "{")
        with DAG("whole", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
            create = CreateProjectOperator(task_id="create", title="Pets {{ ds }}", label_config="<View/>")
            load = ImportStorageSyncOperator(task_id="load", source=connections.uri, project=create.output)  # type: ignore[arg-type]
            again = ImportStorageSyncOperator(task_id="again", source=connections.uri, project=create.output)  # type: ignore[arg-type]
            save = ExportAnnotationsOperator(task_id="save", project=create.output, target=target.uri, layout="task")  # type: ignore[arg-type]
            create >> load >> again >> save
        run = run_dag(dag, logical_date=datetime(2026, 2, 3, tzinfo=UTC))
        assert run.state == "success"
        report = result(run, "load")
        assert isinstance(report, dict)
        assert (report["new"], report["tasks_created"], report["quarantined"]) == (2, 2, 1)
        assert result(run, "again")["tasks_created"] == 0
        assert result(run, "save")["written"] == 1
        assert target.json("1.json")["data"] == {"text": "1"}
        assert LabelStudioHook().get_project("Pets 2026-02-03").id == result(run, "create")

    def test_takes_its_parameters_from_the_trigger_form(self, connections: Any, run_dag: Callable) -> None:
        connections.put("a.json", {"text": "1"})
        params = {
            "source": Param(connections.uri, type="string"),
            "dry_run": Param(True, type="boolean"),
            "data_key": Param(None, type=["null", "string"]),
            "batch_size": Param(10, type="integer"),
        }
        with DAG("form", schedule=None, params=params, render_template_as_native_obj=True) as dag:
            CreateProjectOperator(task_id="create", title="Form", label_config="<View/>") >> (
                ImportStorageSyncOperator(
                    task_id="load",
                    project="Form",
                    **dict[str, Any]((name, f"{{{{ params.{name} }}}}") for name in params),
                )
            )
        assert result(run_dag(dag), "load")["tasks_created"] == 1
        assert LabelStudioHook().get_project("Form").progress().tasks == 0, "it was a dry run"
        run = run_dag(dag, run_conf={"dry_run": False})
        assert result(run, "load")["tasks_created"] == 1
        assert LabelStudioHook().get_project("Form").progress().tasks == 1

    def test_skips_what_comes_after_a_sync_that_changed_nothing(
        self, connections: Any, target: Any, run_dag: Callable, project: Any
    ) -> None:
        connections.put("a.json", {"data": {"text": "1"}, "annotations": [{"result": []}]})
        with DAG("skipping", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
            load = ImportStorageSyncOperator(
                task_id="load", source=connections.uri, project="Pets", skip_when_unchanged=True
            )
            save = ExportAnnotationsOperator(
                task_id="save",
                project="Pets",
                target=target.uri,
                skip_when_unchanged="1",  # type: ignore[arg-type]
                trigger_rule="all_done",
            )
            after = CreateProjectOperator(task_id="after", title="After", label_config="<View/>")
            load >> save
            load >> after
        first, again = run_dag(dag), run_dag(dag)
        assert {ti.task_id: ti.state for ti in first.get_task_instances()} == dict.fromkeys(dag.task_ids, "success")
        assert {ti.task_id: ti.state for ti in again.get_task_instances()} == dict.fromkeys(dag.task_ids, "skipped")
        assert result(again, "load")["unchanged"] == 1
        assert result(again, "save")["unchanged"] == 1

    @pytest.mark.parametrize("what", ["a bad object", "a changed object", "a missing object", "a deleted task"])
    def test_does_not_skip_what_a_person_should_hear_of(
        self, connections: Any, engine: Any, project: Any, what: str
    ) -> None:
        load = ImportStorageSyncOperator(
            task_id="load", source=connections.uri, project="Pets", skip_when_unchanged=True
        )
        for name in "ab":
            connections.put(f"{name}.json", {"text": name})
        load.execute({})
        with pytest.raises(AirflowSkipException):
            load.execute({})
        if what == "a bad object":
            connections.put("bad.json", "{")
        elif what == "a changed object":
            connections.put("b.json", {"text": "another"})
        elif what == "a missing object":
            (connections.path / "b.json").unlink()
        else:
            with writing(engine) as connection:
                connection.execute(delete(TASK).where(TASK.c.id == next(project.tasks_after(0))[0].id))
        report = load.execute({})
        told = ("quarantined_now", "changed", "missing", "deleted_by_hand")
        assert sum(report[name] for name in told) == 1
        if what == "a bad object":
            with pytest.raises(AirflowSkipException, match="quarantined now 0"):
                load.execute({})

    def test_takes_a_label_config_from_a_file_beside_it(
        self, connections: Any, run_dag: Callable, tmp_path: Path
    ) -> None:
        (tmp_path / "street.xml").write_text("<View><Header value='{{ ds }}'/></View>")
        with DAG(
            "files", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), template_searchpath=[str(tmp_path)]
        ) as dag:
            CreateProjectOperator(task_id="create", title="Street", label_config="street.xml")
        assert run_dag(dag, logical_date=datetime(2026, 2, 3, tzinfo=UTC)).state == "success"
        assert LabelStudioHook().get_project("Street").label_config == "<View><Header value='2026-02-03'/></View>"

    def test_fails_without_a_retry_where_a_retry_would_not_help(self, connections: Any, run_dag: Callable) -> None:
        with DAG("failing", schedule=None) as dag:
            ImportStorageSyncOperator(task_id="load", source=connections.uri, project="Nobody's", retries=3)
        run = run_dag(dag)
        assert run.state == "failed"
        assert run.get_task_instance("load").try_number == 1
