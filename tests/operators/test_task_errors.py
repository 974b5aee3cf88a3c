"""Who owns the leases of a run, as another run names it, and which errors make Airflow retry."""

import os
from types import SimpleNamespace
from typing import Any

import pytest

from labelsync_provider.airflow_compat import AirflowException, AirflowFailException
from labelsync_provider.errors import Invalid, Unavailable
from labelsync_provider.operators.task_errors import owner_of, task_errors


def context(**changes: Any) -> Any:
    ti = {"task_id": "load", "dag_id": "pets", "run_id": "r", "try_number": 1, "map_index": -1}
    return {"ti": SimpleNamespace(**(ti | changes))}


class TestOwner:
    def test_names_the_task_and_its_try(self) -> None:
        assert owner_of(context()).name == "task 'load' of DAG 'pets', run 'r', try 1"

    def test_names_the_map_index_of_a_mapped_task(self) -> None:
        assert owner_of(context(map_index=0)).name == "task 'load' of DAG 'pets', run 'r', map index 0, try 1"

    def test_is_the_same_task_instance_in_a_later_try(self) -> None:
        assert owner_of(context(try_number=2)).task_instance == owner_of(context()).task_instance

    @pytest.mark.parametrize("change", [{"map_index": 0}, {"run_id": "s"}, {"task_id": "save"}, {"dag_id": "cars"}])
    def test_is_another_task_instance_where_anything_else_differs(self, change: dict[str, Any]) -> None:
        assert owner_of(context(**change)).task_instance != owner_of(context()).task_instance

    def test_is_the_process_where_there_is_no_task_instance(self) -> None:
        assert owner_of({}) == (f"process {os.getpid()}", None)


@pytest.mark.parametrize(("error", "raised"), [(Unavailable, AirflowException), (Invalid, AirflowFailException)])
def test_an_error_fails_the_task_for_good_unless_a_retry_may_help(error: type[Exception], raised: type) -> None:
    with pytest.raises(AirflowException, match=r"^what$") as caught, task_errors():
        raise error("what")
    assert type(caught.value) is raised
