"""Who owns the leases of a run: the task, as another one that waits for it names it."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import Context

    from labelsync_provider.sync import Owner


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
