"""Tells people about a run: a template over its report, for any notifier."""

from collections.abc import Callable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import BaseNotifier

from labelsync_provider.uris import without_secrets

if TYPE_CHECKING:
    from airflow.sdk import Context

TEMPLATE = """\
{%- macro counts(report) -%}
{{- "dry run, nothing was written: " if report.dry_run }}
{%- for name, value in report.items() if value is number and value and name not in ("seconds", "dry_run")
    and not (name == "annotations_told" and value == report.annotations) %}
{{- "" if loop.first else ", " }}{{ name.replace("_", " ") }} {{ "{:,}".format(value) }}
{%- endfor %}{{ " in %.1f s" % report.seconds if report.seconds }}
{%- for failure in (report.quarantine or report.failures or [])[:5] %}
- {{ failure.key }}{{ ", row %d" % failure.row if failure.row is number }}: {{ failure.reason }}
{%- endfor %}
{%- endmacro -%}
{{ report_task }}, run {{ ti.run_id }}{{ ", " + report_places if report_places }}
{%- if exception %} failed: {{ exception }}
{%- elif not report %}: no report
{%- else %}: {{ counts(report) }}
{%- endif %}
{%- for source, one in (report.sources or {}).items() %}
{{ source }}: {{ counts(one) }}
{%- endfor %}"""


CHANGES = (
    *("tasks_created", "tasks_updated", "tasks_deleted", "adopted", "not_restored", "changed", "missing"),
    *("deleted_by_hand", "written", "deleted", "gone", "failed", "quarantined"),
)
"""The counts of a report that a title says: what was done, and what is there to see."""
PLACES = ("source", "project", "target")
"""The parameters of operators that say what is synced with what."""
SOURCES_NAMED = 5


class NoReport(dict[str, Any]):
    """The report of a task that has none: each count of it is empty.

    Airflow's templates fail over a name that is not there, and nobody would be told.
    """

    def __missing__(self, name: str) -> str:
        """Return nothing, in words."""
        return ""


class SyncReportNotifier(BaseNotifier):
    """Has another notifier tell about an import or an export, in words over its report.

    Templates of that notifier can name `report`, which is what the operator returned, empty if there is none;
    `report_title`, which says on one line what came of which task; and `report_text`, which says all::

        on_success_callback=SyncReportNotifier(
            SmtpNotifier(to="ann@example.com", subject="{{ report_title }}", html_content="{{ report_text | e }}")
        )

    For `on_success_callback`, `on_failure_callback`, `on_retry_callback` and `on_skipped_callback` of a task.

    :param notifier: the other notifier, or a function that takes the context with these three in it.
    :param template: Jinja over `report` and Airflow's context, for `report_text`. By default what is synced with what,
        the counts, and the first of what is in quarantine; of a task that failed, why.
    """

    def __init__(self, notifier: Callable[["Context"], object], template: str = TEMPLATE) -> None:
        super().__init__()
        self.notifier, self.template = notifier, template

    def notify(self, context: "Context") -> None:
        """Render the report, and have the other notifier tell about it."""
        ti = context["ti"]
        returned = ti.xcom_pull(task_ids=ti.task_id, map_indexes=ti.map_index)
        # Other tasks return other things: a project's id.
        report: Mapping[str, Any] = returned if isinstance(returned, Mapping) else NoReport()
        task = f"{ti.dag_id}, {ti.task_id}"
        if ti.map_index is not None and ti.map_index >= 0:
            task += f", map index {ti.map_index}"
        with_report = {
            **context,
            "report": report,
            "report_task": task,
            "report_places": places_of(ti.task),
            "report_title": f"{task}{outcome_of(report, failed=bool(context.get('exception')))}",
        }
        text = self.get_template_env().from_string(self.template).render(with_report)
        # Notifiers keep what they have rendered, and this one may be told of another task: each gets its own.
        copy(self.notifier)(cast("Context", {**with_report, "report_text": text.strip()}))


def places_of(task: object) -> str:
    """Return what a task syncs with what, as its author has said it, but for keys in a URI."""
    given = {name: getattr(task, name, None) for name in PLACES}
    return ", ".join(f"{name} {_named(value)}" for name, value in given.items() if value not in (None, "", []))


def _named(value: object) -> str:
    named = [without_secrets(str(one)) for one in (value if isinstance(value, list | tuple) else [value])]
    more = [f"{len(named) - SOURCES_NAMED} more"] if len(named) > SOURCES_NAMED else []
    return " and ".join([*named[:SOURCES_NAMED], *more])


def outcome_of(report: Mapping[str, Any], *, failed: bool) -> str:
    """Return what came of a run, to be read behind the name of its task."""
    counts = [f"{name.replace('_', ' ')} {report[name]:,}" for name in CHANGES if report.get(name)]
    dry = "dry run, " if report.get("dry_run") else ""
    if failed:
        return f" failed{': ' if counts else ''}{', '.join(counts)}"
    return f": {dry}{', '.join(counts) or 'nothing changed'}" if report else ": no report"
