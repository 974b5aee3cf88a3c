"""Who a project is: servers that move, servers that are set up anew at an old address, and what they are known by."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from model.bucket import Bucket
from servers.label_studio import LabelStudioServer
from sqlalchemy import Engine, inspect, text

from labelsync_provider.airflow_compat import AirflowFailException
from labelsync_provider.database import open_database
from labelsync_provider.errors import Invalid, TargetOccupied
from labelsync_provider.operators.import_storage import ImportStorageSyncOperator
from labelsync_provider.projects.embedded.project import EmbeddedProject
from labelsync_provider.projects.embedded.store import EmbeddedStore
from labelsync_provider.storages.location import Location
from labelsync_provider.sync import (
    ExportOptions,
    ExportReport,
    ImportOptions,
    ImportReport,
    export_annotations,
    import_storage,
)
from labelsync_provider.sync.identity import refuse_other_birth
from labelsync_provider.sync.labeling import annotated_since_export
from labelsync_provider.sync.new_objects import count_new_objects

pytest_plugins = ["servers.label_studio"]

LABELS = "https://labels.example.com"
ELSEWHERE = "http://10.0.0.7:8080"
OTHER_BIRTH = "2020-01-02T03:04:05.678901Z"


def stored(engine: Engine) -> dict[str, list[str]]:
    """Return all that stands in a database, but for who has a lease."""
    with engine.connect() as connection:
        return {
            name: sorted(map(str, connection.execute(text(f"SELECT * FROM {name}"))))
            for name in inspect(engine).get_table_names()
            if name != "labelsync_lease"
        }


def execute(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement))


class Server:
    """A server with one project, in a database of its own."""

    def __init__(self, database: Path) -> None:
        self.engine = open_database(f"sqlite:///{database}")
        EmbeddedStore(self.engine).create_project("Pets", "<View/>")

    def project(self, address: str, server: str | None = None) -> EmbeddedProject:
        """Open it at an address, by which, or else by another name, the connection knows the server."""
        project = EmbeddedStore(self.engine).project(1)
        project.url, project.uri = f"{address}/projects/1", f"{server or address}/projects/1"
        return project

    def tasks(self) -> list[str]:
        found = (task for page in self.project(LABELS).tasks_after(0, with_data=True) for task in page)
        return sorted(task.data["text"] for task in found)


@dataclass
class Syncing:
    """Imports from a bucket, and exports to a directory; the ledger is apart from the servers."""

    ledger: Engine
    target: Any

    def __post_init__(self) -> None:
        self.source = Bucket()
        for name in ("a", "b", "c"):
            self.source.put(
                f"{name}.json", f'{{"data": {{"text": "{name}"}}, "annotations": [{{"result": []}}]}}'.encode()
            )

    def load(self, project: EmbeddedProject, **options: Any) -> ImportReport:
        return import_storage(self.source.open(), project, self.ledger, ImportOptions(**options), "a test")

    def save(self, project: EmbeddedProject, **options: Any) -> ExportReport:
        return export_annotations(project, self.target.storage(), self.ledger, ExportOptions(**options), "a test")

    def load_from_elsewhere(self, project: EmbeddedProject) -> ImportReport:
        source = self.source.open()
        source.location = Location("mem://elsewhere", "memory", "", "")
        return import_storage(source, project, self.ledger, ImportOptions(), "a test")

    def wait_for_objects(self, project: EmbeddedProject) -> None:
        count_new_objects(self.source.open(), project, self.ledger, ImportOptions())

    def wait_for_labels(self, project: EmbeddedProject) -> None:
        annotated_since_export(project, self.target.storage().location, self.ledger)

    def noted(self) -> set[str | None]:
        """Return when the projects of the ledger were created."""
        with self.ledger.connect() as connection:
            return set(connection.scalars(text("SELECT project_created_at FROM labelsync_storage")))


@pytest.fixture
def server(empty_database: Path, tmp_path: Path) -> Callable[[str], Server]:
    """Set up a server."""
    return lambda name: Server(Path(shutil.copy(empty_database, tmp_path / f"{name}.db")))


@pytest.fixture
def syncing(engine: Engine, target: Any) -> Syncing:
    return Syncing(engine, target)


WAYS: dict[str, Callable[[Syncing, EmbeddedProject], object]] = {
    "import": Syncing.load,
    "dry run of an import": lambda syncing, project: syncing.load(project, dry_run=True),
    "import from another storage": Syncing.load_from_elsewhere,
    "export": Syncing.save,
    "dry run of an export": lambda syncing, project: syncing.save(project, dry_run=True),
    "wait for objects": Syncing.wait_for_objects,
    "wait for labels": Syncing.wait_for_labels,
}


class TestServerThatWasSetUpAnew:
    @pytest.mark.parametrize("known", [Syncing.load, Syncing.save], ids=["imported", "exported"])
    @pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
    def test_is_refused_at_the_old_address(
        self,
        server: Callable[[str], Server],
        syncing: Syncing,
        known: Callable[..., object],
        way: Callable[..., object],
    ) -> None:
        old, new = server("old"), server("new")
        known(syncing, old.project(LABELS))
        before = stored(syncing.ledger), stored(new.engine), syncing.target.state()
        with pytest.raises(Invalid) as refused:
            way(syncing, new.project(LABELS))
        for said in (
            f"project='Pets': {LABELS}/projects/1 was created at {new.project(LABELS).created_at}",
            f"created at {old.project(LABELS).created_at}: it is another one",
            '{"server": "labels-2"}',
        ):
            assert said in str(refused.value)
        assert (stored(syncing.ledger), stored(new.engine), syncing.target.state()) == before

    def test_begins_anew_under_a_name_of_its_own(self, server: Callable[[str], Server], syncing: Syncing) -> None:
        old, new = server("old"), server("new")
        syncing.load(old.project(LABELS))
        for created in (3, 0):
            report = syncing.load(new.project(LABELS, "labels-2"))
            assert (report.tasks_created, report.adopted) == (created, 0)
        assert new.tasks() == old.tasks() == ["a", "b", "c"]
        assert syncing.load(old.project(ELSEWHERE, LABELS)).unchanged == 3

    def test_is_another_project_in_the_embedded_store_too(self, syncing: Syncing) -> None:
        project = EmbeddedStore(syncing.ledger).create_project("Pets", "<View/>")
        syncing.load(project)
        execute(syncing.ledger, f"UPDATE labelsync_project SET created_at = '{OTHER_BIRTH}'")
        with pytest.raises(Invalid, match=r"embedded://projects/1 was created at 2020.*Create another project"):
            syncing.load(EmbeddedStore(syncing.ledger).project(1))


class TestServerThatHasMoved:
    @pytest.fixture
    def moved(self, server: Callable[[str], Server], syncing: Syncing) -> Server:
        """A server that was synced with before it moved, and a task of which a person has deleted."""
        moved = server("old")
        syncing.load(moved.project(LABELS))
        for table, column in (("annotation", "task"), ("task", "id")):
            execute(moved.engine, f"DELETE FROM labelsync_{table} WHERE {column} = 1")
        syncing.save(moved.project(LABELS))
        return moved

    def test_goes_on_if_the_connection_says_so(self, moved: Server, syncing: Syncing) -> None:
        there = moved.project(ELSEWHERE, LABELS)
        loaded, saved = syncing.load(there), syncing.save(there)
        assert (loaded.tasks_created, loaded.adopted, moved.tasks()) == (0, 0, ["b", "c"])
        assert (saved.written, saved.unchanged, saved.deleted) == (0, 2, 0)

    def test_is_another_project_if_it_does_not(self, moved: Server, syncing: Syncing) -> None:
        there = moved.project(ELSEWHERE)
        assert (syncing.load(there).tasks_created, moved.tasks()) == (1, ["a", "b", "c"])
        with pytest.raises(TargetOccupied, match=rf'belongs to {LABELS}/projects/1, created at .* "{LABELS}"}}'):
            syncing.save(there)

    @pytest.mark.parametrize("dry_run", [True, False])
    def test_doubles_nothing_that_came_in_before_the_connection_said_so(
        self, moved: Server, syncing: Syncing, dry_run: bool
    ) -> None:
        syncing.load(moved.project(ELSEWHERE))
        syncing.source.put("d.json", b'{"text": "d"}')
        syncing.load(moved.project(ELSEWHERE))
        report = syncing.load(moved.project(ELSEWHERE, LABELS), dry_run=dry_run)
        assert (report.tasks_created, report.adopted, moved.tasks()) == (0, 2, ["a", "b", "c", "d"])
        again = syncing.load(moved.project(ELSEWHERE, LABELS))
        assert (again.tasks_created, again.adopted) == (0, 2 if dry_run else 0)


class TestBirth:
    def test_that_was_not_noted_is_by_the_next_run(self, server: Callable[[str], Server], syncing: Syncing) -> None:
        old, new = server("old"), server("new")
        for run in (syncing.load_from_elsewhere, syncing.save):
            syncing.load(old.project(LABELS))
            execute(syncing.ledger, "UPDATE labelsync_storage SET project_created_at = NULL")
            syncing.load(old.project(LABELS), dry_run=True)
            syncing.wait_for_objects(old.project(LABELS))
            assert syncing.noted() == {None}
            run(old.project(LABELS))
            assert syncing.noted() == {old.project(LABELS).created_at}
        with pytest.raises(Invalid, match="it is another one"):
            syncing.load(new.project(LABELS))

    @pytest.mark.parametrize(
        ("told", "is_another"),
        [
            ("2026-01-02T03:04:05.678Z", False),
            ("2026-01-02T03:04:05.678901+00:00", False),
            ("2026-01-02T05:04:05.678901+02:00", False),
            ("2026-01-02T03:04:05.679901Z", True),
            ("2026-01-02T03:04:05Z", True),
        ],
    )
    def test_is_an_instant_to_the_millisecond(
        self, server: Callable[[str], Server], syncing: Syncing, told: str, is_another: bool
    ) -> None:
        project = server("old").project(LABELS)
        project.created_at = "2026-01-02T03:04:05.678901Z"
        syncing.load(project)
        project.created_at = told
        if is_another:
            with pytest.raises(Invalid, match="it is another one"):
                refuse_other_birth(project, syncing.ledger, read_only=False)
        else:
            refuse_other_birth(project, syncing.ledger, read_only=False)


def test_a_label_studio_that_moved_is_known_by_its_name(
    label_studio: LabelStudioServer, connections: Any, connect: Callable[..., None], engine: Engine
) -> None:
    project = label_studio.create_project()
    here, there = label_studio.url, label_studio.url.replace("127.0.0.1", "localhost")

    def load(host: str, server: str | None = None, **options: Any) -> tuple[int, int, str]:
        fields = {"host": host, "password": label_studio.token, "extra": {"server": server}}
        connect("label_studio_default", conn_type="label_studio", **fields)
        load = ImportStorageSyncOperator(task_id="load", source=connections.uri, project=project, **options)
        report = load.execute({})
        return report["tasks_created"], report["adopted"], load.links["Project"]

    connections.put("a.jsonl", '{"text": "a"}\n{"text": "b"}')
    assert load(here) == (2, 0, f"{here}/projects/{project}/data")
    with label_studio.client() as client:
        first, _ = client.get("/api/tasks/", params={"project": project}).json()["tasks"]
        client.delete(f"/api/tasks/{first['id']}/").raise_for_status()
    assert load(there, server=f"{here}/") == (0, 0, f"{there}/projects/{project}/data")
    # As if the ledger were of a server that was there before.
    execute(engine, f"UPDATE labelsync_storage SET project_created_at = '{OTHER_BIRTH}'")
    before = stored(engine)
    with pytest.raises(AirflowFailException, match=rf"{here}/projects/{project} was created at 202.*{OTHER_BIRTH}"):
        load(here, use_blob_urls=True, register_storage=True)
    assert stored(engine) == before
    with label_studio.client() as client:
        assert client.get("/api/storages/", params={"project": project}).json() == []
    assert load(here, server="labels-2")[:2] == (1, 1)
