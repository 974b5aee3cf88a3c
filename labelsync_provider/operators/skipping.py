"""Skipping: a run that has changed nothing is marked as skipped, where that is asked, and so is what comes after it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from labelsync_provider.airflow_compat import AirflowSkipException

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context


def skip_if_unchanged(operator: "BaseOperator", context: "Context", report: Mapping[str, Any], *changes: str) -> None:
    """Skip the task if a report counts no change. What an operator returns is lost then: the report is pushed before.

    :param changes: the names of the counts that tell of changes.
    :raises AirflowSkipException: all of them are 0.
    """
    if any(report[name] for name in changes):
        return
    push_report(operator, context, report)
    raise AirflowSkipException(
        "Nothing has changed: " + ", ".join(f"{name.replace('_', ' ')} 0" for name in changes) + "."
    )


def push_report(operator: "BaseOperator", context: "Context", report: Mapping[str, Any]) -> None:
    """Push a report as what the operator returns, where it is not going to return."""
    if operator.do_xcom_push and "ti" in context:
        context["ti"].xcom_push(key="return_value", value=dict(report))
