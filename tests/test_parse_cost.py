"""A DAG file costs what Airflow costs, and nothing on top: modules that are slow to import wait for the run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

DAGS = Path(__file__).resolve().parents[1] / "dags"

SLOW = (
    "obstore",
    "sqlalchemy.dialects.",
    "boto3",
    "botocore",
    "google.cloud",
    "azure",
    "redis",
    "psycopg",
    "msgspec",
    "labelsync_provider.database",
    "labelsync_provider.sync",
    "labelsync_provider.storages",
    "labelsync_provider.projects",
    "labelsync_provider.hooks",
)
PRINT_MODULES = "; import json, sys; print('\\n' + json.dumps(sorted(sys.modules)))"

OPERATORS = """
from labelsync_provider.operators.export_annotations import ExportAnnotationsOperator
from labelsync_provider.operators.import_storage import ImportStorageSyncOperator
from labelsync_provider.operators.project import CreateProjectOperator
from labelsync_provider.sensors.label_studio import StorageSyncSensor
from labelsync_provider.sensors.project import LabelingProgressSensor
from labelsync_provider.sensors.storage import NewObjectsSensor
CreateProjectOperator(task_id="a", title="a", label_config="<View/>")
ImportStorageSyncOperator(task_id="b", source="file:///a", project="a")
ExportAnnotationsOperator(task_id="c", target="file:///a", project="a")
NewObjectsSensor(task_id="d", source="file:///a", project="a", settle_seconds=60, max_wait=600)
LabelingProgressSensor(task_id="e", project="a", min_share=1)
StorageSyncSensor(task_id="f", project="a", storage="file:///a", deferrable=True)
pass"""


def modules_after(code: str) -> set[str]:
    command = [sys.executable, "-c", code + PRINT_MODULES]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    return set(json.loads(output.splitlines()[-1]))


@pytest.fixture(scope="module")
def airflow_alone() -> set[str]:
    return modules_after("import airflow.sdk")


def slow(modules: set[str]) -> list[str]:
    return sorted(name for name in modules if f"{name}.".startswith(SLOW) or name.startswith("_obstore"))


def test_operators_import_nothing_slow(airflow_alone: set[str]) -> None:
    after = modules_after(OPERATORS)
    assert "labelsync_provider.operators.import_storage" in after
    assert slow(after - airflow_alone) == []


def test_there_are_dags() -> None:
    assert {path.stem for path in DAGS.glob("*.py")} >= {"labelsync_demo", "import_storage_sync", "export_annotations"}


@pytest.mark.parametrize("path", sorted(DAGS.glob("*.py")), ids=lambda path: path.name)
def test_dag_file_imports_nothing_slow(airflow_alone: set[str], path: Path) -> None:
    after = modules_after(f"import runpy; runpy.run_path({str(path)!r})")
    assert slow(after - airflow_alone) == []
