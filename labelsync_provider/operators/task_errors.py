"""Which errors make Airflow retry the task."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from labelsync_provider.airflow_compat import AirflowException, AirflowFailException
from labelsync_provider.errors import LabelsyncError

log = logging.getLogger(__name__)


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
