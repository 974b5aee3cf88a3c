"""What a task tells beside its report: its log, in order; metrics through Airflow's own; lineage."""

import logging
import sys
import time
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from labelsync_provider import __version__, airflow_compat
from labelsync_provider.airflow_compat import AirflowFailException, Stats
from labelsync_provider.operators.accounting import log_links, tag
from labelsync_provider.operators.export_annotations import ExportAnnotationsOperator
from labelsync_provider.operators.import_storage import ImportStorageSyncOperator
from labelsync_provider.operators.lineage import datasets_of, project_name, storage_name
from labelsync_provider.projects.embedded.store import EmbeddedStore
from labelsync_provider.storages.location import Location

LABELED = {"data": {"text": "1"}, "annotations": [{"result": []}]}


@pytest.fixture
def load(connections: Any, engine: Any) -> Any:
    """An import of three files, of which one is bad."""
    EmbeddedStore(engine).create_project("Pets", "<View/>")
    connections.put("a.json", LABELED)
    connections.put("b.json", {"text": "2"})
    connections.put("bad.json", "{")
    return lambda **options: ImportStorageSyncOperator(
        task_id="load", source=connections.uri, project="Pets", **options
    )


@pytest.fixture
def save(load: Any, target: Any) -> Any:
    load().execute({})
    return ExportAnnotationsOperator(task_id="save", project="Pets", target=target.uri)


class TestTheLog:
    @pytest.fixture(autouse=True)
    def shown(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "labelsync_provider")

    def test_says_first_what_is_about_to_happen_and_last_what_came_of_it(
        self, load: Any, connections: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        load().execute({})
        lines = [line for line in caplog.messages if "schema" not in line]
        assert lines[0] == (
            f"Importing {connections.uri} (connection 'fs_default') into project 'Pets', embedded://projects/1, in the "
            f"embedded store (connection 'label_studio_default'), by labelsync-provider {__version__}."
        )
        assert lines[1].startswith("Quarantined 1 object: ")
        assert lines[2].startswith(f"Import from {connections.uri}, in 0.")
        assert "tasks created 2" in lines[2]
        assert lines[-1] == "  requests: read 3, list 1"

    def test_says_that_it_is_a_dry_run_before_and_after(self, load: Any, caplog: pytest.LogCaptureFixture) -> None:
        load(dry_run=True).execute({})
        said = [line for line in caplog.messages if "ry run" in line]
        assert said[0].endswith(" A dry run: nothing is written.")
        assert said[1].startswith("Dry run, nothing was written. Import from ")

    def test_of_an_export_names_project_and_target(
        self, save: Any, target: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.clear()
        save.execute({})
        assert caplog.messages[0].startswith("Exporting project 'Pets', embedded://projects/1, in the embedded store")
        assert f" to {target.uri} (connection 'fs_default'), by labelsync-provider" in caplog.messages[0]
        assert caplog.messages[-1] == "  requests: write 1"

    def test_of_a_long_report_has_one_thing_a_line(
        self, load: Any, connections: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        load().execute({})
        caplog.clear()
        connections.put("a.json", {"text": "3"})
        connections.put("c.json", {"text": "4"})
        load(on_changed="add").execute({})
        first = next(n for n, line in enumerate(caplog.messages) if line.startswith("Import from"))
        assert "  tasks created 2" in caplog.messages[first:]
        assert "  changed 1" in caplog.messages[first:]

    def test_names_the_links_in_full(self, caplog: pytest.LogCaptureFixture) -> None:
        log_links({"Project": "http://studio/projects/7/data"})
        assert caplog.messages == ["Project: http://studio/projects/7/data"]

    def test_of_a_failure_is_the_sentence_and_no_traceback_of_this_package(
        self, load: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        with pytest.raises(AirflowFailException, match="no embedded project") as caught:
            ImportStorageSyncOperator(task_id="load", source="file:///x", project="Nobody's").execute({})
        assert [r.getMessage() for r in caplog.records if r.levelname == "ERROR"] == [str(caught.value)]
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
        frames, traceback = [], caught.value.__traceback__
        while traceback:
            frames.append(traceback.tb_frame.f_code.co_filename)
            traceback = traceback.tb_next
        ours = [name for name in frames if "labelsync_provider" in name]
        assert {name.rpartition("/")[2] for name in ours} == {"stopping.py"}


class Received:
    """Stands where Airflow's sender to StatsD stands."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str, Any, dict[str, str]]] = []

    def incr(self, stat: str, count: int = 1, *, tags: dict[str, str]) -> None:
        self.all.append(("incr", stat, count, tags))

    def gauge(self, stat: str, value: float, *, tags: dict[str, str]) -> None:
        self.all.append(("gauge", stat, value, tags))

    def timing(self, stat: str, dt: Any, *, tags: dict[str, str]) -> None:
        self.all.append(("timing", stat, dt, tags))

    def value(self, stat: str, **tags: str) -> Any:
        """Return the one value of a metric."""
        found = [value for _, name, value, has in self.all if name == stat and tags.items() <= has.items()]
        assert len(found) == 1, (stat, self.all)
        return found[0]


class TestMetrics:
    @pytest.fixture
    def received(self, monkeypatch: pytest.MonkeyPatch) -> Received:
        received = Received()
        for name in ("incr", "gauge", "timing"):
            monkeypatch.setattr(Stats, name, getattr(received, name))
        return received

    def test_of_an_import(self, load: Any, received: Any) -> None:
        before = time.time()
        load().execute({})
        assert received.value("labelsync.objects_listed") == 3
        assert received.value("labelsync.tasks_created") == 2
        assert received.value("labelsync.quarantined") == 1
        assert received.value("labelsync.requests", kind="read") == 3
        assert timedelta(0) < received.value("labelsync.seconds") < timedelta(seconds=60)
        assert before - 1 < received.value("labelsync.last_complete_run") < time.time() + 1

    def test_of_an_export(self, save: Any, received: Any) -> None:
        received.all.clear()
        save.execute({})
        assert received.value("labelsync.annotations_written", direction="export") == 1
        assert received.value("labelsync.requests", kind="write") == 1
        assert received.value("labelsync.last_complete_run", project="embedded/projects/1") > 0

    def test_say_which_source_and_project_in_letters_that_every_receiver_takes(
        self, load: Any, received: Any, source: Any
    ) -> None:
        load().execute({})
        for _, _, _, tags in received.all:
            assert tags["source"].startswith("file")
            assert tags["project"] == "embedded/projects/1"
            assert all(len(value) <= 100 and not set(value) & set(":,=|# ") for value in tags.values())

    def test_are_none_of_a_run_that_fails_and_of_a_dry_run(self, load: Any, received: Any) -> None:
        load(dry_run=True).execute({})
        with pytest.raises(AirflowFailException):
            load(max_quarantined=0).execute({})
        assert not received.all

    def test_tell_long_names_apart(self) -> None:
        one, other = tag("s3://" + "x" * 200), tag("s3://" + "x" * 201)
        assert one != other
        assert len(one) == len(other) == 100


class TestLineage:
    @pytest.mark.parametrize(
        ("location", "name"),
        [
            (Location("s3://bucket", "https://s3.amazonaws.com", prefix="in/a/"), ("s3://bucket", "in/a")),
            (Location("gs://bucket", "https://storage.googleapis.com"), ("gs://bucket", "/")),
            (
                Location("azure-blob://box", "https://mine.blob.core.windows.net", prefix="in/"),
                ("wasbs://box@mine.dfs.core.windows.net", "in"),
            ),
            (Location("file://", "/data", "photos/"), ("file", "/data/photos")),
            (Location("file://", "/"), ("file", "/")),
            (Location("redis://1", "cache:6379", prefix="in:"), ("redis://cache:6379", "1/in:")),
        ],
        ids=str,
    )
    def test_names_a_storage_as_openlineage_does(self, location: Any, name: Any) -> None:
        assert storage_name(location) == name

    def test_names_projects_of_two_servers_apart(self) -> None:
        assert project_name("http://studio:8080/ls/projects/7") == ("label-studio://studio:8080/ls", "projects/7")
        assert project_name("embedded://projects/7") == ("labelsync-embedded", "projects/7")
        assert project_name("acme://shelf/projects/7") == ("acme://shelf", "projects/7")

    def test_of_an_import_goes_from_the_storage_to_the_project(self, load: Any, source: Any) -> None:
        operator = load()
        operator.execute({})
        storage, project = ("file", str(source.path)), ("labelsync-embedded", "projects/1")
        assert datasets_of(operator.runs) == ([storage], [project])

    def test_of_an_export_goes_from_the_project_to_the_storage(self, save: Any, target: Any) -> None:
        save.execute({})
        assert datasets_of(save.runs) == ([("labelsync-embedded", "projects/1")], [("file", str(target.path))])

    def test_of_a_dry_run_is_none(self, load: Any) -> None:
        operator = load(dry_run=True)
        operator.execute({})
        assert datasets_of(operator.runs) == ([], [])

    def test_reaches_openlineage_where_it_is_installed(self, load: Any, source: Any) -> None:
        pytest.importorskip("airflow.providers.openlineage")
        operator = load()
        operator.execute({})
        found = operator.get_openlineage_facets_on_complete(SimpleNamespace())
        assert [(one.namespace, one.name) for one in found.inputs] == [("file", str(source.path))]
        assert [(one.namespace, one.name) for one in found.outputs] == [("labelsync-embedded", "projects/1")]

    def test_shows_assets_to_who_collects_them(self, load: Any, source: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        lineage = sys.modules[airflow_compat.get_hook_lineage_collector.__module__]
        collector = lineage.HookLineageCollector()
        monkeypatch.setattr(airflow_compat, "get_hook_lineage_collector", lambda: collector)
        load().execute({})
        collected = collector.collected_assets
        assert [one.asset.uri for one in collected.inputs] == [source.uri]
        assert [one.asset.uri for one in collected.outputs] == ["embedded://projects/1"]
