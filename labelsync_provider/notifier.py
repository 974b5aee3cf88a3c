"""Tells people about a run: a template over its report, for any notifier."""

from collections.abc import Callable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import BaseNotifier

if TYPE_CHECKING:
    from airflow.sdk import Context

TEMPLATE = """\
{%- macro counts(report) -%}
{%- for name, value in report.items() if value is number and value and name != "seconds" %}
{{- "" if loop.first else ", " }}{{ name.replace("_", " ") }} {{ "{:,}".format(value) }}
{%- endfor %}{{ " in %.1f s" % report.seconds if report.seconds }}
{%- for failure in (report.quarantine or report.failures or [])[:5] %}
- {{ failure.key }}{{ ", row %d" % failure.row if failure.row is number }}: {{ failure.reason }}
{%- endfor %}
{%- endmacro -%}
{{ ti.dag_id }}, {{ ti.task_id }}, run {{ ti.run_id }}
{%- if exception %} failed: {{ exception }}
{%- elif not report %}: no report
{%- else %}: {{ counts(report) }}
{%- for source, one in (report.sources or {}).items() %}
{{ source }}: {{ counts(one) }}
{%- endfor %}
{%- endif %}"""


class SyncReportNotifier(BaseNotifier):
    """Has another notifier tell about an import or an export, in words over its report.

    Templates of that notifier can name `report`, which is what the operator returned, empty if there is none, and
    `report_text`, that report in words::

        on_success_callback=SyncReportNotifier(
            SmtpNotifier(to="ann@example.com", subject="{{ report.new }} new", html_content="{{ report_text }}")
        )

    For `on_success_callback`, `on_failure_callback`, `on_retry_callback` and `on_skipped_callback` of a task.

    :param notifier: the other notifier, or a function that takes the context with these two in it.
    :param template: Jinja over `report` and Airflow's context, for `report_text`. By default the counts, and the first
        of what is in quarantine; of a task that failed, why.
    """

    def __init__(self, notifier: Callable[["Context"], object], template: str = TEMPLATE) -> None:
        super().__init__()
        self.notifier, self.template = notifier, template

    def notify(self, context: "Context") -> None:
        """Render the report, and have the other notifier tell about it."""
        ti = context["ti"]
        returned = ti.xcom_pull(task_ids=ti.task_id, map_indexes=ti.map_index)
        # Other tasks return other things: a project's id.
        report: Mapping[str, Any] = returned if isinstance(returned, Mapping) else {}
        with_report = {**context, "report": report}
        text = self.get_template_env().from_string(self.template).render(with_report)
        # Notifiers keep what they have rendered, and this one may be told of another task: each gets its own.
        copy(self.notifier)(cast("Context", {**with_report, "report_text": text.strip()}))
