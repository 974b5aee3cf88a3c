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


def main() -> int:
    """Run the demo; return the exit status."""
    shutil.rmtree(HOME, ignore_errors=True)  # so that the account always begins with an empty project
    DATA.mkdir(parents=True)
    environment = os.environ | {
        "AIRFLOW_HOME": str(HOME / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(CHECKOUT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_FS_DEFAULT": json.dumps({"conn_type": "fs", "extra": {"path": str(DATA)}}),
        "AIRFLOW_CONN_LABEL_STUDIO_DEFAULT": json.dumps({"conn_type": "label_studio", "host": "embedded://"}),
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
    print(f"\n{account.read_text()}  {environment['AIRFLOW_HOME']}/labelsync.db, the ledger and the project\n  {log}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
