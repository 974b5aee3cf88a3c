"""Names that are elsewhere in Airflow 3.1 than in 3.3. Each is looked for when it is first asked for.

Nothing else asks which Airflow it is. What an older one does not have at all (retry policies and the task state store
are Airflow 3.3's, `airflow labelsync` is 3.2's) its own module does without, or says so.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import conf as conf
    from airflow.sdk.exceptions import AirflowException as AirflowException
    from airflow.sdk.exceptions import AirflowFailException as AirflowFailException
    from airflow.sdk.exceptions import AirflowNotFoundException as AirflowNotFoundException
    from airflow.sdk.exceptions import AirflowSensorTimeout as AirflowSensorTimeout
    from airflow.sdk.exceptions import AirflowSkipException as AirflowSkipException
    from airflow.sdk.exceptions import AirflowTaskTimeout as AirflowTaskTimeout
    from airflow.sdk.exceptions import TaskDeferred as TaskDeferred
    from airflow.sdk.lineage import get_hook_lineage_collector as get_hook_lineage_collector
    from airflow.sdk.observability.stats import Stats as Stats

EXCEPTIONS = ("airflow.sdk.exceptions", "airflow.exceptions")
# By name, the modules that may have it; the newest Airflow's first.
MODULES = {
    "AirflowException": EXCEPTIONS,
    "AirflowFailException": EXCEPTIONS,
    "AirflowNotFoundException": EXCEPTIONS,
    "AirflowSensorTimeout": EXCEPTIONS,
    "AirflowSkipException": EXCEPTIONS,
    "AirflowTaskTimeout": EXCEPTIONS,
    "TaskDeferred": EXCEPTIONS,
    "Stats": ("airflow.sdk.observability.stats", "airflow.stats"),
    "conf": ("airflow.sdk", "airflow.configuration"),
    "get_hook_lineage_collector": ("airflow.sdk.lineage", "airflow.lineage.hook"),
}


def __getattr__(name: str) -> Any:
    """Return a name from where the installed Airflow has it, and keep it."""
    for module in MODULES.get(name, ()):
        try:
            found = getattr(import_module(module), name)
        except (ModuleNotFoundError, AttributeError):
            continue
        globals()[name] = found
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
