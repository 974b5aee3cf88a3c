"""Run histories of imports, exports and adoption for a long time, each another; some against a real Label Studio.

make soak MINUTES=30 SEED=7
"""

import argparse
import logging
import os
import random
import secrets
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from model import test_adoption_model, test_export_model, test_model
from model.adoption_worlds import LabelStudioSite
from model.bench import COVERAGE
from model.export_worlds import LabelStudioLabeling
from model.machine import history_at, sqlite_history
from model.worlds import LabelStudioWorld
from servers.label_studio import LabelStudioServer, running_label_studio
from servers.postgres import PostgresServer, running_postgres

from labelsync_provider.projects.label_studio.client import Client
from labelsync_provider.projects.label_studio.project_storages import ProjectStorages
from labelsync_provider.projects.label_studio.server import LabelStudioServer as Projects
from labelsync_provider.projects.protocol import OwnStorage

ON_POSTGRES = 10
"""Every so manieth history has its ledger, and its embedded store, on PostgreSQL."""
ON_A_SERVER = {"": 200, "export ": 100, "adoption ": 200}
"""Steps of imports, of exports and of adoption, against a real Label Studio."""
MODELS: dict[str, Any] = {"": test_model, "export ": test_export_model, "adoption ": test_adoption_model}
"""By what the names begin with by which it is counted what was covered."""


def soak(seconds: float, number: int) -> Counter[str]:
    """Run histories of each model until its time is over; return what was covered."""
    numbers = random.Random(number)
    with running_postgres() as postgres:
        for name, model in MODELS.items():
            ends = time.monotonic() + seconds / len(MODELS)
            while time.monotonic() < ends:
                on_postgres = COVERAGE[f"{name}histories"] % ON_POSTGRES == 0
                COVERAGE[f"{name}histories on PostgreSQL"] += on_postgres
                begin = {"begin": partial(postgres_history, postgres)} if on_postgres else {}
                world, faults = numbers.choice(model.WORLDS), numbers.random() < 0.7
                model.check(numbers.getrandbits(32), world, faults=faults, **begin)
    return COVERAGE


@contextmanager
def postgres_history(postgres: PostgresServer, world: str, **how: Any) -> Iterator[Any]:
    """Begin a history with a ledger, and an embedded store, on PostgreSQL."""
    url = postgres.create_database()
    with (
        tempfile.TemporaryDirectory(prefix="model-") as directory,
        history_at(Path(directory), url, world, **how) as history,
    ):
        yield history
    postgres.execute(f"DROP DATABASE {url.rpartition('/')[2].partition('?')[0]} WITH (FORCE)")


def on_label_studio(number: int) -> None:
    """Run histories without faults against a real Label Studio: it has enough of its own."""
    with tempfile.TemporaryDirectory() as documents, running_label_studio(Path(documents)) as server:
        worlds = {"": LabelStudioWorld, "export ": LabelStudioLabeling, "adoption ": partial(synced_site, server)}
        for model, world in worlds.items():
            begin = partial(label_studio_history, server, world)
            steps: Counter[str] = Counter()
            while steps.total() < ON_A_SERVER[model]:
                number, before = number + 1, COVERAGE.copy()
                MODELS[model].check(number, "Label Studio", faults=False, begin=begin, shrink=False)
                steps.update({name: n for name, n in (COVERAGE - before).items() if name.startswith(f"{model}step")})


@contextmanager
def label_studio_history(server: LabelStudioServer, world: Any, _: str, **how: Any) -> Iterator[Any]:
    """Begin a history in a new project of a server."""
    project = server.create_project()

    def open_project() -> object:
        return Projects(Client(server.url, server.token)).project(project)

    with (
        server.client() as client,
        sqlite_history(world(client, project, open_project), **how) as history,
    ):
        yield history


def synced_site(server: LabelStudioServer, client: Any, project: int, open_project: Any) -> Any:
    """Return what makes the site of a history: the project, and a directory that the server may read."""

    def open_storages() -> Sequence[OwnStorage]:
        with closing(Client(server.url, server.token)) as own:
            return ProjectStorages(own, project).listed()

    directory = server.document_root / secrets.token_hex(8)
    return partial(LabelStudioSite, client, project, open_project, open_storages, directory)


def main() -> None:
    """Soak on all cores, print what was covered, and end with an error if a history failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    asked = parser.parse_args()
    print(f"MINUTES={asked.minutes:g} SEED={asked.seed}", flush=True)
    logging.disable(logging.CRITICAL)
    numbers = random.Random(asked.seed)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        soaked = [pool.submit(soak, asked.minutes * 60, numbers.getrandbits(32)) for _ in range(os.cpu_count() or 1)]
        for done in soaked:
            COVERAGE.update(done.result())
    on_label_studio(asked.seed)
    for name, count in sorted(COVERAGE.items()):
        print(f"{count:9,}  {name}")


if __name__ == "__main__":
    main()
