"""Who owns the leases of a run, as another run names it."""

import os
from types import SimpleNamespace
from typing import Any

import pytest

from labelsync_provider.operators.owner import owner_of


def context(**changes: Any) -> Any:
    ti = {"task_id": "load", "dag_id": "pets", "run_id": "r", "try_number": 1, "map_index": -1}
    return {"ti": SimpleNamespace(**(ti | changes))}


def test_the_owner_names_the_task_and_its_try() -> None:
    assert owner_of(context()).name == "task 'load' of DAG 'pets', run 'r', try 1"


def test_the_owner_names_the_map_index_of_a_mapped_task() -> None:
    assert owner_of(context(map_index=0)).name == "task 'load' of DAG 'pets', run 'r', map index 0, try 1"


def test_the_owner_is_the_same_task_instance_in_a_later_try() -> None:
    assert owner_of(context(try_number=2)).task_instance == owner_of(context()).task_instance


@pytest.mark.parametrize("change", [{"map_index": 0}, {"run_id": "s"}, {"task_id": "save"}, {"dag_id": "cars"}])
def test_the_owner_is_another_task_instance_where_anything_else_differs(change: dict[str, Any]) -> None:
    assert owner_of(context(**change)).task_instance != owner_of(context()).task_instance


def test_the_owner_is_the_process_where_there_is_no_task_instance() -> None:
    assert owner_of({}) == (f"process {os.getpid()}", None)
