"""Run histories for a long time, each round with another seed; at last, some against a real Label Studio.

make soak MINUTES=30 SEED=7
"""

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from hypothesis import Phase, seed  # noqa: E402
from model.bench import COVERAGE  # noqa: E402
from model.fake_project import Clock  # noqa: E402
from model.machine import Histories  # noqa: E402
from model.test_model import run  # noqa: E402
from model.worlds import LabelStudioWorld, World  # noqa: E402
from servers.label_studio import LabelStudioServer, running_label_studio  # noqa: E402
from servers.postgres import running_postgres  # noqa: E402
from sqlalchemy import Engine  # noqa: E402

from labelsync_provider.projects.label_studio import LabelStudioServer as Projects  # noqa: E402
from labelsync_provider.projects.label_studio_client import Client  # noqa: E402

HISTORIES_IN_A_ROUND = 50
ON_POSTGRES = 5
"""Every so manieth round has its ledger, and its embedded store, on PostgreSQL."""
ON_A_SERVER = 8
"""Histories against a real Label Studio, of 25 steps each."""


def soak(seconds: float, number: int) -> Counter[str]:
    """Run rounds of histories until the time is over; return what was covered."""
    seeds, ends = random.Random(number), time.monotonic() + seconds
    with running_postgres() as postgres:

        @contextmanager
        def postgres_database(_: Path) -> Iterator[str]:
            url = postgres.create_database()
            yield url
            postgres.execute(f"DROP DATABASE {url.rpartition('/')[2].partition('?')[0]} WITH (FORCE)")

        on_postgres = type("OnPostgres", (Histories,), {"databases": staticmethod(postgres_database)})
        while time.monotonic() < ends:
            COVERAGE["rounds"] += 1
            one = seeds.getrandbits(32)
            kind = on_postgres if COVERAGE["rounds"] % ON_POSTGRES == 0 else type("OnSQLite", (Histories,), {})
            print(f"seed {one}, {kind.__name__}", flush=True)
            run(seed(one)(kind), HISTORIES_IN_A_ROUND, print_blob=True)
    return COVERAGE


class OnLabelStudio(Histories):
    """Histories without faults on a real server: it has enough of its own."""

    server: LabelStudioServer
    worlds = ("Label Studio",)
    run_with_faults = run_paused = add_by_hand = change_label_config = let_requests_arrive = None  # type: ignore[assignment]

    def world_of(self, kind: str, engine: Engine, clock: Clock) -> World:
        project, server = self.server.create_project(), self.server
        return LabelStudioWorld(
            server.client(), project, lambda: Projects(Client(server.url, server.token)).project(project)
        )


def on_label_studio(number: int) -> None:
    """Run some histories against a real Label Studio."""
    with tempfile.TemporaryDirectory() as documents, running_label_studio(Path(documents)) as OnLabelStudio.server:
        run(seed(number)(OnLabelStudio), ON_A_SERVER, phases=[Phase.generate])


def main() -> None:
    """Soak on all cores, print what was covered, and end with an error if a history failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    asked = parser.parse_args()
    print(f"SEED={asked.seed} MINUTES={asked.minutes:g}", flush=True)
    numbers = random.Random(asked.seed)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        rounds = [pool.submit(soak, asked.minutes * 60, numbers.getrandbits(32)) for _ in range(os.cpu_count() or 1)]
        for done in rounds:
            COVERAGE.update(done.result())
    on_label_studio(asked.seed)
    for name, count in sorted(COVERAGE.items()):
        print(f"{count:9,}  {name}")


if __name__ == "__main__":
    main()
