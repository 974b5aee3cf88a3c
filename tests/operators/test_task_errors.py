"""Which errors make Airflow retry a task."""

import pytest

from labelsync_provider.airflow_compat import AirflowException, AirflowFailException
from labelsync_provider.errors import Invalid, Unavailable
from labelsync_provider.operators.task_errors import task_errors


@pytest.mark.parametrize(("error", "raised"), [(Unavailable, AirflowException), (Invalid, AirflowFailException)])
def test_an_error_fails_the_task_for_good_unless_a_retry_may_help(error: type[Exception], raised: type) -> None:
    with pytest.raises(AirflowException, match=r"^what$") as caught, task_errors():
        raise error("what")
    assert type(caught.value) is raised
