"""With no extra installed, or only one, everything is there but the storages of the others, and these say so.

Each environment is a real one, made of what the lock file says; or this one, with the extra that LABELSYNC_EXTRA names.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = {"s3": "amazon", "gs": "google", "azure-blob": "microsoft-azure", "redis": "redis"}
EXTRAS |= {scheme: scheme for scheme in ("hf", "sftp", "webdav")}
URIS = {"file": "file:///tmp", "redis": "redis://1/in"} | {s: f"{s}://bucket" for s in ("s3", "gs", "azure-blob")}
URIS |= {"hf": "hf://datasets/owner/name", "sftp": "sftp:///in", "webdav": "webdav:///in"}
CONNECTIONS = {
    "fs": {"conn_type": "fs", "extra": {"path": "/tmp"}},
    "aws": {"conn_type": "aws", "login": "a-key", "password": "a-secret", "extra": {"region_name": "us-east-1"}},
    "google_cloud": {"conn_type": "google_cloud_platform", "extra": {"is_anonymous": True, "project": "p"}},
    "wasb": {"conn_type": "wasb", "login": "ours", "password": "YS1rZXk="},
    "redis": {"conn_type": "redis"},
    "hf": {"conn_type": "generic"},
    "sftp": {"conn_type": "sftp", "host": "files.example.com"},
    "webdav": {"conn_type": "http", "host": "dav.example.com"},
}

LOOK = """
import importlib, json, pkgutil, sys
import labelsync_provider.hooks, labelsync_provider.operators
from dag_bags import DagBag
from labelsync_provider.hooks.storage import storage_hook

found = {"imported": [], "dags": {}, "storages": {}}
for package in (labelsync_provider.hooks, labelsync_provider.operators):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
        found["imported"].append(module.name)
bag = DagBag(sys.argv[1])
found["dags"], found["errors"] = sorted(bag.dags), bag.import_errors
for scheme, uri in json.loads(sys.argv[2]).items():
    try:
        storage_hook("target", uri, None).get_target(uri)
        found["storages"][scheme] = "opened"
    except Exception as error:
        found["storages"][scheme] = f"{type(error).__name__}: {error}"
print("\\n" + json.dumps(found))
"""


@dataclass
class Environment:
    """An environment with some extras of the package, and what was found in it."""

    extras: list[str]
    found: dict[str, Any]


def uv() -> str:
    """Return the uv that runs these tests, or the one that the Makefile brings."""
    found = os.environ.get("UV") or shutil.which("uv") or shutil.which("uv", path=ROOT / ".build/uv/bin")
    assert found, "There is no uv. Run the tests by `make test`, which brings one."
    return found


def made_environment(venv: Path, extras: list[str]) -> Path:
    asked = [f"--extra={extra}" for extra in extras]
    subprocess.run(
        [uv(), "sync", "--frozen", "--no-dev", "--quiet", f"--python={sys.executable}", *asked],
        cwd=ROOT,
        env=os.environ | {"UV_PROJECT_ENVIRONMENT": str(venv)},
        check=True,
    )
    return venv / "bin/python"


HERE = os.environ.get("LABELSYNC_EXTRA")
ENVIRONMENTS = ["", "redis"] if HERE is None else [HERE]


@pytest.fixture(scope="module", params=ENVIRONMENTS, ids=lambda extra: extra or "no extra")
def environment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder, extras = tmp_path_factory.mktemp("environment"), [request.param] if request.param else []
    # An extra is added to what is there: Airflow, which is most of it, is compiled once.
    venv = tmp_path_factory.getbasetemp() / "environment"
    python = sys.executable if HERE is not None else made_environment(venv, extras)
    output = subprocess.run(
        [python, "-c", LOOK, str(ROOT / "dags"), json.dumps(URIS)],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))}
        | {f"AIRFLOW_CONN_{name.upper()}_DEFAULT": json.dumps(fields) for name, fields in CONNECTIONS.items()}
        | {"AIRFLOW_HOME": str(folder / "airflow"), "PYTHONPATH": str(ROOT / "tests")},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    return Environment(extras, json.loads(output.splitlines()[-1]))


def test_every_hook_and_operator_is_imported(environment: Environment) -> None:
    assert {"labelsync_provider.hooks.s3", "labelsync_provider.hooks.gcs"} < set(environment.found["imported"])


def test_the_dags_load(environment: Environment) -> None:
    assert environment.found["errors"] == {}
    assert {"import_storage_sync", "export_annotations"} <= set(environment.found["dags"])


@pytest.mark.parametrize("scheme", URIS)
def test_a_storage_is_opened_or_says_which_extra_to_install(environment: Environment, scheme: str) -> None:
    outcome = environment.found["storages"][scheme]
    # Google's provider comes with what asks the Hub, in some versions.
    if (scheme, outcome) == ("hf", "opened") and "google" in environment.extras:
        return
    if scheme == "file" or EXTRAS[scheme] in environment.extras:
        assert outcome == "opened"
    else:
        assert outcome.startswith("Invalid: ")
        assert f'pip install "labelsync-provider[{EXTRAS[scheme]}]"' in outcome
