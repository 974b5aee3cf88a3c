"""What the operators share: who runs them, and how the engine's errors end them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from labelsync_provider.errors import LabelsyncError

if TYPE_CHECKING:
    from airflow.sdk import Context


def holder_of(context: "Context") -> str:
    """Name the task instance that runs, so that a person finds its log."""
    ti = context.get("ti")
    if ti is None:
        return f"process {os.getpid()}"
    return f"task {ti.task_id!r} of DAG {ti.dag_id!r}, run {ti.run_id!r}, try {ti.try_number}"


@contextmanager
def ending_the_task() -> Iterator[None]:
    """Turn an error of this package into the one that makes Airflow retry, or not."""
    try:
        yield
    except LabelsyncError as error:
        ending = AirflowException if error.retry_may_help else AirflowFailException
        raise ending(str(error)) from error
