"""The notifier: what it gives another one to say."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, BaseNotifier
from older_airflows import gives_callbacks_the_exception

from labelsync_provider.get_provider_info import get_provider_info
from labelsync_provider.hooks.label_studio import LabelStudioHook
from labelsync_provider.notifier import SyncReportNotifier, outcome_of, places_of
from labelsync_provider.operators.export_annotations import ExportAnnotationsOperator
from labelsync_provider.operators.import_storage import WORTH_SEEING, ImportStorageSyncOperator
from labelsync_provider.operators.project import CreateProjectOperator
from labelsync_provider.projects.protocol import Task

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
SAID: list[str] = []
README = Path(__file__).resolve().parents[1] / "README.md"


class Saying(BaseNotifier):
    template_fields = ("text",)

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def notify(self, context: Any) -> None:
        SAID.append(self.text)


@pytest.fixture
def said(connections: Any) -> list[str]:
    LabelStudioHook().create_project("Pets", "<View/>")
    connections.put("a.json", [{"text": "1"}, {"text": "2"}, 5])
    SAID.clear()
    return SAID


def test_another_notifiers_template_has_the_report_and_its_text(
    said: list[str], connections: Any, run_dag: Callable
) -> None:
    notifier = SyncReportNotifier(Saying("{{ ds }}: {{ report.tasks_created }} tasks\n{{ report_text }}"))
    with DAG("told", schedule=None, start_date=SINCE) as dag:
        ImportStorageSyncOperator(task_id="load", source=connections.uri, project="Pets", on_success_callback=notifier)
    run_dag(dag, logical_date=datetime(2026, 2, 3, tzinfo=UTC))
    (text,) = said
    first, second, third = text.splitlines()
    assert first == "2026-02-03: 2 tasks"
    assert second.startswith("told, load, run manual__")
    assert f", source {connections.uri}, project Pets: listed 1, matched 1, new 2, tasks created 2, quar" in second
    assert third == "- a.json, row 2: not a task: a row is a JSON object, this is a number"


def test_function_is_told_with_a_template_of_ones_own_for_each_mapped_task(
    said: list[str], connections: Any, run_dag: Callable
) -> None:
    notifier = SyncReportNotifier(
        lambda context: said.append("{report_title} | {report_text}".format_map(context)),
        template="{{ report.new }} of {{ report_places.rpartition('/')[2] }}",
    )
    connections.put("sub/b.json", {"text": "3"})
    with DAG("told_mapped", schedule=None, start_date=SINCE) as dag:
        ImportStorageSyncOperator.partial(
            task_id="load", project="Pets", recursive_scan=False, on_success_callback=notifier
        ).expand(source=[connections.uri, f"{connections.uri}/sub"])
    run_dag(dag)
    assert sorted(said) == [
        "told_mapped, load, map index 0: tasks created 2, quarantined 1 | 2 of in, project Pets",
        "told_mapped, load, map index 1: tasks created 1 | 1 of sub, project Pets",
    ]


def test_notifier_keeps_its_template_for_the_next_task(said: list[str], connections: Any, run_dag: Callable) -> None:
    notifier = SyncReportNotifier(Saying("{{ report.new }}"))
    with DAG("told_twice", schedule=None, start_date=SINCE, default_args={"on_success_callback": notifier}) as dag:
        first, again = (
            ImportStorageSyncOperator(task_id=name, source=connections.uri, project="Pets")
            for name in ("first", "again")
        )
        first >> again
    run_dag(dag)
    assert said == ["2", "0"]


def test_list_of_sources_is_told_source_by_source(said: list[str], connections: Any, run_dag: Callable) -> None:
    notifier = SyncReportNotifier(Saying("{{ report_text }}"))
    with DAG("told_list", schedule=None, start_date=SINCE) as dag:
        ImportStorageSyncOperator(
            task_id="load", source=[connections.uri], project="Pets", on_success_callback=notifier
        )
    run_dag(dag)
    total, one, bad = said[0].splitlines()
    assert "new 2" in total
    assert one.startswith(f"{connections.uri}: listed 1")
    assert bad.startswith("- a.json, row 2")


def test_task_without_a_report_is_not_told_to_have_failed(said: list[str], connections: Any, run_dag: Callable) -> None:
    told = {"on_success_callback": SyncReportNotifier(Saying("{{ report_text }}"))}
    with DAG("told_others", schedule=None, start_date=SINCE, default_args=told) as dag:
        CreateProjectOperator(task_id="project", title="Others", label_config="text_classification")
        ImportStorageSyncOperator(task_id="load", source=connections.uri, project="Pets", do_xcom_push=False)
    run_dag(dag)
    assert [text.rpartition(": ")[2] for text in said] == ["no report"] * 2


@gives_callbacks_the_exception
def test_failure_is_told_with_its_reason(said: list[str], connections: Any, run_dag: Callable) -> None:
    notifier = SyncReportNotifier(Saying("{{ report_title }}, {{ report.new }} new\n{{ report_text }}"))
    with DAG("told_failing", schedule=None, start_date=SINCE) as dag:
        ImportStorageSyncOperator(
            task_id="load", source=connections.uri, project="Nobody's", on_failure_callback=notifier
        )
    run_dag(dag)
    title, text = said[0].split("\n", 1)
    assert title == "told_failing, load failed,  new"
    assert f", source {connections.uri}, project Nobody's failed: project=\"Nobody's\": " in text


@gives_callbacks_the_exception
def test_example_of_the_readme_tells_of_success_and_failure_and_escapes_what_files_are_called(
    said: list[str], connections: Any, run_dag: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    smtp = pytest.importorskip("airflow.providers.smtp.notifications.smtp")
    sent: list[tuple[str, str]] = []
    monkeypatch.setattr(smtp.SmtpNotifier, "notify", lambda self, _: sent.append((self.subject, self.html_content)))
    example = README.read_text().split("**Tell people.**")[1].split("\n\n", 1)[1].split("    ImportStorageSync")[0]
    made: dict[str, Any] = {}
    exec(dedent(example), made)
    tell = {"on_success_callback": made["tell"], "on_failure_callback": made["tell"]}
    connections.put("<b>.json", "{")
    with DAG("mail", schedule=None, start_date=SINCE, default_args=tell) as dag:
        ImportStorageSyncOperator(task_id="good", source=connections.uri, project="Pets")
        ImportStorageSyncOperator(task_id="bad", source=connections.uri, project="Nobody's")
    run_dag(dag)
    by_title = dict(sent)
    assert by_title.keys() == {"mail, good: tasks created 2, quarantined 2", "mail, bad failed"}
    assert "- &lt;b&gt;.json: " in by_title["mail, good: tasks created 2, quarantined 2"]
    assert "Nobody&#39;s failed: project=" in by_title["mail, bad failed"]


@gives_callbacks_the_exception
def test_failure_of_one_source_is_told_with_the_reports_of_the_others(
    said: list[str], connections: Any, run_dag: Callable
) -> None:
    notifier = SyncReportNotifier(Saying("{{ report_title }}\n{{ report_text }}"))
    sources = [connections.uri, f"{connections.uri}/nowhere"]
    with DAG("told_partly", schedule=None, start_date=SINCE) as dag:
        ImportStorageSyncOperator(task_id="load", source=sources, project="Pets", on_failure_callback=notifier)
    run_dag(dag)
    assert said[0].startswith("told_partly, load failed: tasks created 2, quarantined 1\n")
    assert f" failed: 1 of 2 sources failed, 1 succeeded.\n{sources[1]}: " in said[0]
    assert f"\n{sources[0]}: listed 1" in said[0]


def test_dry_run_is_told_as_one(said: list[str], connections: Any, run_dag: Callable) -> None:
    notifier = SyncReportNotifier(Saying("{{ report_title }}\n{{ report_text }}"))
    with DAG("told_dry", schedule=None, start_date=SINCE, default_args={"on_success_callback": notifier}) as dag:
        ImportStorageSyncOperator(task_id="load", source=[connections.uri], project="Pets", dry_run=True)
    run_dag(dag)
    assert said[0].startswith("told_dry, load: dry run, tasks created 2, quarantined 1\n")
    assert said[0].count("dry run, nothing was written: listed 1") == 2


def test_what_a_project_counts_is_told_where_it_is_another_number_alone(
    said: list[str], target: Any, run_dag: Callable
) -> None:
    project = LabelStudioHook().get_project("Pets")
    project.import_tasks([Task({"text": "1"}, annotations=[{"result": []}])])
    notifier = SyncReportNotifier(Saying("{{ report_text }}"))
    with DAG("counted", schedule=None, start_date=SINCE) as dag:
        ExportAnnotationsOperator(task_id="save", project="Pets", target=target.uri, on_success_callback=notifier)
    run_dag(dag)
    (text,) = said
    assert ": annotations 1, annotated tasks 1, tasks 1, written 1, bytes written " in text


def test_title_says_what_is_only_reported(said: list[str], connections: Any, run_dag: Callable) -> None:
    notifier = SyncReportNotifier(Saying("{{ report_title }}"))
    load = {"source": connections.uri, "project": "Pets"}
    with DAG("told_reported", schedule=None, start_date=SINCE) as dag:
        ImportStorageSyncOperator(task_id="load", **load, on_success_callback=notifier)
    run_dag(dag)
    connections.put("a.json", [{"text": "3"}])
    run_dag(dag)
    assert said[1] == "told_reported, load: changed 1, missing 1"


def test_title_says_whatever_keeps_a_task_from_being_skipped() -> None:
    for name in {*WORTH_SEEING, "written", "deleted", "gone"} - {"quarantined_now"}:
        assert outcome_of({name: 1}, failed=False) == f": {name.replace('_', ' ')} 1"


def test_places_show_no_keys_and_not_each_of_many_sources() -> None:
    task = SimpleNamespace(source=["s3://key:se/cret@b/1", *(f"s3://b/{n}" for n in range(2, 9))], project=7)
    said = "source s3://***@b/1 and s3://b/2 and s3://b/3 and s3://b/4 and s3://b/5 and 3 more, project 7"
    assert places_of(task) == said


def test_skipped_task_is_told_with_its_report(said: list[str], connections: Any, run_dag: Callable) -> None:
    notifier = SyncReportNotifier(Saying("{{ report.unchanged }}"))
    with DAG("told_skipped", schedule=None, start_date=SINCE) as dag:
        load = ImportStorageSyncOperator(task_id="load", source=connections.uri, project="Pets")
        again = {"source": connections.uri, "project": "Pets", "skip_when_unchanged": True}
        load >> ImportStorageSyncOperator(task_id="again", on_skipped_callback=notifier, **again)
    run_dag(dag)
    assert said == ["2"]


def test_provider_info_names_it() -> None:
    name = f"{SyncReportNotifier.__module__}.{SyncReportNotifier.__name__}"
    assert name in get_provider_info()["notifications"]
