"""A DAG file costs what Airflow costs, and nothing on top: modules that are slow to import wait for the run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

DAG_FILES = sorted((Path(__file__).resolve().parents[1] / "dags").glob("*.py"))

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
    "entry points of labelsync",
)
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

OPENING = """
from labelsync_provider.hooks.storage import storage_hook
storage_hook("source", "/data/photos")
"""


# Airflow is imported once; each piece of code runs in a copy of the process that did so.
LOOK = """
import airflow.sdk, importlib.metadata, json, os, sys
read, entry_points = [], importlib.metadata.entry_points
importlib.metadata.entry_points = lambda **asked: read.append(str(asked)) or entry_points(**asked)
for name, code in json.load(sys.stdin).items():
    if os.fork():
        os.wait()
        continue
    before = set(sys.modules)
    exec(code, {"__name__": "dag", "__file__": name})
    of_ours = ["entry points of labelsync" for asked in read if "labelsync" in asked]
    print("\\n" + json.dumps([name, [*of_ours, *sorted(set(sys.modules) - before)]]), flush=True)
    os._exit(0)
"""


@pytest.fixture(scope="module")
def beyond_airflow() -> dict[str, set[str]]:
    """What the operators and each DAG file import beyond Airflow itself."""
    codes = {"operators": OPERATORS, "a task": OPENING} | {path.name: path.read_text() for path in DAG_FILES}
    command = [sys.executable, "-c", LOOK]
    done = subprocess.run(command, input=json.dumps(codes), capture_output=True, text=True, check=True, timeout=120)
    found = dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))
    return {name: set(modules) for name, modules in found.items()}


def slow(modules: set[str]) -> list[str]:
    return sorted(name for name in modules if f"{name}.".startswith(SLOW) or name.startswith("_obstore"))


def test_operators_import_nothing_slow(beyond_airflow: dict[str, set[str]]) -> None:
    assert "labelsync_provider.operators.import_storage" in beyond_airflow["operators"]
    assert slow(beyond_airflow["operators"]) == []


def test_storages_are_found_when_a_task_opens_one_and_not_before(beyond_airflow: dict[str, set[str]]) -> None:
    assert "entry points of labelsync" in beyond_airflow["a task"]
    assert "entry points of labelsync" not in beyond_airflow["operators"]


def test_there_are_dags() -> None:
    assert {path.stem for path in DAG_FILES} >= {"labelsync_demo", "import_storage_sync", "export_annotations"}


@pytest.mark.parametrize("path", DAG_FILES, ids=lambda path: path.name)
def test_dag_file_imports_nothing_slow(beyond_airflow: dict[str, set[str]], path: Path) -> None:
    assert slow(beyond_airflow[path.name]) == []
