"""Several sources into one project: by dynamic mapping, by processes side by side, and as a list."""

import json
import multiprocessing
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk import DAG, Param, task
from servers.s3 import S3Server

from labelsync_provider.airflow_compat import AirflowException, AirflowFailException
from labelsync_provider.database import open_database
from labelsync_provider.errors import Invalid, Stopped
from labelsync_provider.forms import entered
from labelsync_provider.hooks.label_studio import LabelStudioHook
from labelsync_provider.operators.import_storage import ImportStorageSyncOperator
from labelsync_provider.operators.sources import import_each, name_mapped_task, sources_of
from labelsync_provider.sync import ImportReport
from labelsync_provider.sync.ledger.lease import Lease

pytest_plugins = ["servers.postgres", "servers.s3"]

FIVE = 5
SINCE = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def pets(connections: Any) -> Any:
    return LabelStudioHook().create_project("Pets", "<View/>")


@pytest.fixture
def five(connections: Any) -> list[str]:
    """Five directories, with two tasks in each."""
    for n in range(FIVE):
        connections.put(f"{n}/a.json", [{"text": f"{n} a"}, {"text": f"{n} b"}])
    return [f"{connections.uri}/{n}" for n in range(FIVE)]


def load(source: Any, **arguments: Any) -> Any:
    return ImportStorageSyncOperator(task_id="load", source=source, project="Pets", **arguments).execute({})


def mapped(run: Any) -> dict[int, Any]:
    return {ti.map_index: ti for ti in run.get_task_instances() if ti.task_id == "load"}


class TestMapped:
    def test_imports_of_one_project_all_succeed_and_are_called_by_their_sources(
        self, five: list[str], pets: Any, run_dag: Callable
    ) -> None:
        with DAG("mapped", schedule=None, start_date=SINCE) as dag:
            ImportStorageSyncOperator.partial(task_id="load", project="Pets", retries=0).expand(source=five)
        run = run_dag(dag)
        assert run.state == "success"
        assert {n: ti.rendered_map_index for n, ti in mapped(run).items()} == dict(enumerate(five))
        assert pets.progress().tasks == 2 * FIVE

    def test_import_that_fails_is_called_by_its_source_too(
        self, connections: Any, pets: Any, run_dag: Callable
    ) -> None:
        nowhere = f"{connections.uri}/{{nowhere}}"
        with DAG("mapped_failing", schedule=None, start_date=SINCE) as dag:
            ImportStorageSyncOperator.partial(task_id="load", project="Pets").expand(source=[nowhere])
        run = run_dag(dag)
        assert run.state == "failed"
        assert mapped(run)[0].rendered_map_index == nowhere

    def test_import_is_called_as_its_author_says(self, five: list[str], pets: Any, run_dag: Callable) -> None:
        named = {"map_index_template": "from {{ task.source.rpartition('/')[2] }}"}
        with DAG("mapped_named", schedule=None, start_date=SINCE) as dag:
            ImportStorageSyncOperator.partial(task_id="load", project="Pets", **named).expand(source=five[:2])
        assert [ti.rendered_map_index for _, ti in sorted(mapped(run_dag(dag)).items())] == ["from 0", "from 1"]

    @pytest.mark.parametrize(
        ("source", "name"),
        [
            ("s3://key:se/cret@bucket/photos", "s3://***@bucket/photos"),
            (["s3://key:secret@bucket/a", "https://host/b?sig=secret"], "s3://***@bucket/a, https://host/b?***"),
            (["s3://bucket/a", "s3://bucket/b"], "s3://bucket/a, s3://bucket/b"),
            ("s3://bucket/" + "a" * 500, "s3://bucket/" + "a" * 238),
        ],
        ids=["keys", "list with keys", "list", "long"],
    )
    def test_name_holds_no_keys_and_fits_airflows_table(self, source: Any, name: str) -> None:
        context: Any = {"ti": type("ti", (), {"map_index": 0})}
        name_mapped_task(context, source)
        assert context["labelsync_source"] == name


def load_at_once(source: str, start: Any, answers: Any) -> None:
    start.wait()
    try:
        answers.put(load(source)["tasks_created"])
    except BaseException as error:
        answers.put(repr(error))
        raise


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_imports_at_once_by_processes_wait_for_each_other(
    kind: str, five: list[str], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "postgresql":
        monkeypatch.setenv("AIRFLOW__LABELSYNC__DATABASE", request.getfixturevalue("postgres_url"))
    LabelStudioHook().create_project("Pets", "<View/>")
    # As Airflow's workers are, they are forked from what has imported everything.
    fork = multiprocessing.get_context("fork")
    start, answers = fork.Barrier(FIVE), fork.Queue()
    processes = [fork.Process(target=load_at_once, args=(source, start, answers)) for source in five]
    for process in processes:
        process.start()
    assert [answers.get(timeout=60) for _ in processes] == [2] * FIVE
    for process in processes:
        process.join()
    assert LabelStudioHook().get_project("Pets").progress().tasks == 2 * FIVE


class TestList:
    def test_gives_a_report_a_source_and_the_sums(self, five: list[str], pets: Any, connections: Any) -> None:
        connections.put("1/bad.json", "{")
        report = load(five)
        assert list(report["sources"]) == five
        assert [one["tasks_created"] for one in report["sources"].values()] == [2] * FIVE
        assert report["sources"][five[1]]["quarantine"][0]["key"] == "bad.json"
        counts = ("listed", "matched", "new", "tasks_created", "quarantined")
        assert [report[name] for name in counts] == [6, 6, 10, 10, 1]
        assert report["requests"]["list"] == sum(one["requests"]["list"] for one in report["sources"].values())
        ids = [number for one in report["sources"].values() for number in one["created_ids"]]
        assert report["created_ids"] == [min(ids), max(ids)]
        assert json.loads(json.dumps(report)) == report
        assert load(five)["unchanged"] == 10

    def test_of_one_has_the_shape_of_a_list(self, five: list[str], pets: Any) -> None:
        assert load(five[:1])["sources"].keys() == {five[0]}
        assert "sources" not in load(five[0])

    @pytest.mark.parametrize("written", [json.dumps, str], ids=["JSON", "Python"])
    def test_may_be_the_text_that_a_template_renders(self, five: list[str], pets: Any, written: Callable) -> None:
        assert load(written(five))["tasks_created"] == 2 * FIVE

    def test_comes_from_a_form_a_template_or_tasks(self, five: list[str], pets: Any, run_dag: Callable) -> None:
        with DAG("list", schedule=None, start_date=SINCE, params={"sources": Param(five[:2], type="array")}) as dag:

            @task
            def found(n: int) -> str:
                return five[n]

            imports: dict[str, Any] = {
                "form": entered(dag, ["sources"])["sources"],
                "template": "{{ params.sources }}",
                "json": "{{ params.sources | tojson }}",
                "tasks": found.expand(n=[2, 3]),
            }
            for name, source in imports.items():
                ImportStorageSyncOperator(task_id=name, project="Pets", source=source)
        run = run_dag(dag)
        assert run.state == "success"
        for name, uris in {"form": five[:2], "template": five[:2], "json": five[:2], "tasks": five[2:4]}.items():
            report = run.get_task_instance(name).xcom_pull(task_ids=name)
            assert list(report["sources"]) == uris, name

    def test_imports_the_others_where_one_fails_and_names_each(self, five: list[str], pets: Any) -> None:
        bad = [f"{five[0]}/nowhere", "ftp://host/path"]
        with pytest.raises(AirflowFailException, match="2 of 5 sources failed, 3 succeeded") as caught:
            load([bad[0], five[1], bad[1], *five[2:4]])
        said = str(caught.value).splitlines()
        assert said[1].startswith(f"{bad[0]}: source=")
        assert "there is no directory" in said[1]
        assert said[2].startswith("ftp://host/path: ")
        assert "unknown scheme" in said[2]
        assert pets.progress().tasks == 6

    def test_is_retried_if_that_may_help_one_of_those_that_failed(
        self, connections: Any, five: list[str], pets: Any
    ) -> None:
        load(five[0])
        (connections.path / "0/a.json").unlink()
        with pytest.raises(AirflowException, match="2 of 3 sources failed") as caught:
            load([f"{five[0]}/nowhere", five[0], five[1]])
        assert not isinstance(caught.value, AirflowFailException)

    def test_waits_for_a_lease_once(self, five: list[str], pets: Any, database: Any) -> None:
        engine = open_database(f"sqlite:///{database}")
        with (
            Lease(engine, f"import into {pets.uri}", "somebody"),
            pytest.raises(AirflowException, match=r"1 of 5 sources failed, 0 succeeded, 4 not tried\."),
        ):
            load(five, wait_for_lease=0)
        engine.dispose()

    def test_ends_where_the_run_is_stopped(self) -> None:
        tried = []

        def stopped(uri: str) -> ImportReport:
            tried.append(uri)
            raise Stopped("stopped")

        report, failure = import_each(["a", "b"], stopped)
        assert isinstance(failure, Stopped)
        assert "1 of 2 sources failed, 0 succeeded, 1 not tried.\na: stopped" in str(failure)
        assert (tried, report["failed_sources"]) == (["a"], {"a": "stopped", "b": "not tried"})

    def test_tries_the_others_where_one_fails_for_a_reason_that_nobody_foresaw(self, caplog: Any) -> None:
        def imported(uri: str) -> ImportReport:
            if uri != "b":
                raise KeyError(f"{uri} is not there")
            return ImportReport(new=3)

        report, failure = import_each(["a", "b", "s3://k:secret@c"], imported)
        assert (list(report["sources"]), report["new"]) == (["b"], 3)
        assert list(report["failed_sources"]) == ["a", "s3://***@c"]
        assert "2 of 3 sources failed, 1 succeeded.\na: KeyError: 'a is not there'" in str(failure)
        assert failure is not None
        assert failure.retry_may_help
        assert "Traceback" in caplog.text, "it is a mistake in code"
        assert "secret" not in f"{report} {failure}"

    def test_says_of_many_that_fail_the_first_and_logs_each(self, caplog: Any) -> None:
        def imported(uri: str) -> ImportReport:
            raise Invalid(f"no {uri}. " + "x" * 5000)

        report, failure = import_each([f"/{n}" for n in range(50)], imported)
        assert str(failure).splitlines()[-1] == "And 30 more, which the log names."
        assert len(str(failure)) < 25_000
        assert failure is not None
        assert not failure.retry_may_help
        assert max(map(len, report["failed_sources"].values())) < 1100
        assert all(f"/{n}: no /{n}." in caplog.text for n in range(50))

    def test_pushes_the_reports_of_those_that_are_in_before_it_fails(
        self, five: list[str], pets: Any, run_dag: Callable
    ) -> None:
        with DAG("partly", schedule=None, start_date=SINCE) as dag:
            sources = [five[0], f"{five[0]}/nowhere", five[1]]
            ImportStorageSyncOperator(task_id="load", project="Pets", source=sources)
        run = run_dag(dag)
        assert run.state == "failed"
        report = run.get_task_instance("load").xcom_pull(task_ids="load")
        assert {uri: one["tasks_created"] for uri, one in report["sources"].items()} == {five[0]: 2, five[1]: 2}
        assert report["tasks_created"] == 4
        ((uri, reason),) = report["failed_sources"].items()
        assert uri == sources[1]
        assert "there is no directory" in reason

    def test_of_a_dry_run_says_so(self, five: list[str], pets: Any) -> None:
        report = load(five, dry_run=True)
        assert [report["dry_run"], *(one["dry_run"] for one in report["sources"].values())] == [True] * (FIVE + 1)
        assert load(five)["dry_run"] is False

    def test_has_the_usual_connection_of_each_scheme(
        self, five: list[str], pets: Any, rclone: S3Server, connect_s3: Callable
    ) -> None:
        connect_s3(rclone)
        bucket = rclone.create_bucket()
        rclone.client().put_object(Bucket=bucket, Key="a.json", Body=b'{"text": "in a bucket"}')
        assert load([five[0], f"s3://{bucket}"])["tasks_created"] == 3
        with pytest.raises(
            AirflowFailException, match=r"source_conn_id='fs_default': .* file:// and s3://.*Leave it out"
        ):
            load([five[0], f"s3://{bucket}"], source_conn_id="fs_default")
        assert load(five[:2], source_conn_id="fs_default")["unchanged"] == 2

    @pytest.mark.parametrize(
        ("sources", "said"),
        [
            ([], r"source=\[\]: it names no source"),
            ("[]", "it names no source"),
            (["/a", "/b", "/a"], "source='/a': it is in the list twice"),
            ("[s3://bucket]", r"no list of storage URIs.*\[\"s3://bucket/photos\"\]"),
            ('["s3://bucket", 5]', "no list of storage URIs"),
            (["s3://bucket", 5], "source=.*of the wrong type.*or a list of them"),
        ],
        ids=str,
    )
    def test_that_makes_no_sense_is_refused(self, pets: Any, sources: Any, said: str) -> None:
        with pytest.raises(AirflowFailException, match=said):
            load(sources)

    def test_with_one_source_inside_another_imports_nothing_twice(
        self, connections: Any, five: list[str], pets: Any
    ) -> None:
        both = [connections.uri, five[0]]
        report = load(both)
        assert [one["tasks_created"] for one in report["sources"].values()] == [2 * FIVE, 0]
        assert report["sources"][five[0]]["unchanged"] == 2
        assert pets.progress().tasks == 2 * FIVE
        (connections.path / "0/a.json").unlink()
        connections.put("0/b.json", {"text": "new"})
        report = load(both, on_missing="delete", max_delete=2)
        assert (report["tasks_deleted"], report["tasks_created"]) == (2, 1)
        assert pets.progress().tasks == 2 * FIVE - 1

    def test_keeps_no_keys_that_somebody_wrote_into_a_uri(self) -> None:
        with pytest.raises(Invalid) as caught:
            sources_of(["s3://key:sec/ret@bucket/a"] * 2, None)
        assert "'s3://***@bucket/a'" in str(caught.value)

    def test_that_names_places_that_cannot_be_imports_the_others(self, five: list[str], pets: Any) -> None:
        bad = ["s3://B_A D/x", "s3://key:sec/ret@bucket", "gs://Pets", "azure-blob://a--b", "redis://one/x"]
        with pytest.raises(AirflowFailException, match="5 of 6 sources failed, 1 succeeded") as caught:
            load([*bad, five[0]])
        assert "s3://***@bucket: source='s3://***@bucket': it holds a login" in str(caught.value)
        assert "ret" not in str(caught.value).replace("correct", "")
        assert pets.progress().tasks == 2
