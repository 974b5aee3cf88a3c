"""Runs the demo DAG through Airflow in a home of its own below the checkout, and shows its account."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
HOME = CHECKOUT / ".demo"
DATA = HOME / "data"
PROJECT = "Labelsync demo"


def clear() -> None:
    """Forget the demo of before, so that the account always begins with an empty project."""
    shutil.rmtree(HOME, ignore_errors=True)
    DATA.mkdir(parents=True)


def run(label_studio: dict[str, str]) -> int:
    """Run the demo; return the exit status.

    :param label_studio: host and password of the connection that says where projects live.
    """
    environment = os.environ | {
        "AIRFLOW_HOME": str(HOME / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(CHECKOUT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_FS_DEFAULT": json.dumps({"conn_type": "fs", "extra": {"path": str(DATA)}}),
        "AIRFLOW_CONN_LABEL_STUDIO_DEFAULT": json.dumps({"conn_type": "label_studio", **label_studio}),
    }
    airflow = [sys.executable, "-m", "airflow"]
    steps = {
        "Preparing Airflow's database": [*airflow, "db", "migrate"],
        "Running the DAG labelsync_demo": [
            *(*airflow, "dags", "test", "labelsync_demo"),
            *("--conf", json.dumps({"directory": str(DATA)})),
        ],
    }
    log = HOME / "log.txt"
    account = DATA / "account.txt"
    with log.open("w") as output:
        for name, command in steps.items():
            print(f"{name} ...", flush=True)
            done = subprocess.run(command, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False)
            if done.returncode:
                break
    if done.returncode or not account.exists():
        print("\n".join(log.read_text().splitlines()[-40:]), f"\nThe demo failed; the whole log: {log}", sep="\n")
        return done.returncode or 1
    kept = "the ledger" if "password" in label_studio else "the ledger and the project"
    print(f"\n{account.read_text()}  {environment['AIRFLOW_HOME']}/labelsync.db, {kept}\n  {log}")
    return 0


if __name__ == "__main__":
    clear()
    sys.exit(run({"host": "embedded://"}))
