"""What the operators share: who owns a run, and which errors make Airflow retry the task."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from labelsync_provider.airflow_compat import AirflowException, AirflowFailException
from labelsync_provider.errors import LabelsyncError

if TYPE_CHECKING:
    from airflow.sdk import Context

    from labelsync_provider.sync import Owner

log = logging.getLogger(__name__)


def owner_of(context: "Context") -> "Owner":
    """Return the owner of the run's leases, named so that a person finds the log of its task."""
    from labelsync_provider.sync import Owner

    ti = context.get("ti")
    if ti is None:
        return Owner(name=f"process {os.getpid()}")
    task_instance = f"task {ti.task_id!r} of DAG {ti.dag_id!r}, run {ti.run_id!r}"
    if ti.map_index is not None and ti.map_index >= 0:
        task_instance += f", map index {ti.map_index}"
    return Owner(name=f"{task_instance}, try {ti.try_number}", task_instance=task_instance)


@contextmanager
def task_errors() -> Iterator[None]:
    """Turn an error of this package into the Airflow error that makes the task retry, or fail at once.

    :raises AirflowException: a retry may help.
    :raises AirflowFailException: a retry does not help.
    """
    try:
        yield
    except LabelsyncError as error:
        task_error = AirflowException if error.retry_may_help else AirflowFailException
        # The sentence, on a line of its own. Airflow logs tracebacks: its own frames, and those of every cause.
        log.error("%s", error)
        raise task_error(str(error)) from None
