"""Links from a task in Airflow to the project in Label Studio. Projects of the embedded store have none."""

import base64
import json
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

    from labelsync_provider.projects.protocol import Annotated, Project


class _Link(BaseOperatorLink):
    """Shows what the operator's last attempt noted in its attribute `links`, under the link's name."""

    def get_link(self, operator: "BaseOperator", *, ti_key: "TaskInstanceKey") -> str:
        """Return the URL; empty if there is none."""
        links: dict[str, str] = getattr(operator, "links", {})
        return links.get(self.name, "")


class ProjectLink(_Link):
    """The project's tasks."""

    name = "Project"


class ImportedTasksLink(_Link):
    """The tasks that this run has imported."""

    name = "Imported tasks"


class StorageSettingsLink(_Link):
    """The storages that the project has in Label Studio."""

    name = "Storage settings"


def links_to(project: "Project | Annotated", task_ids: Sequence[int] = ()) -> dict[str, str]:
    """Return the URL of each link, by the link's name; none for a project of the embedded store.

    :param task_ids: the lowest and the highest id of the tasks that this run has imported, if there are any.
    """
    if not project.url:
        return {}
    links = {ProjectLink.name: f"{project.url}/data", StorageSettingsLink.name: f"{project.url}/settings/storage"}
    if task_ids:
        links[ImportedTasksLink.name] = f"{project.url}/data?tab={_tab_of(task_ids[0], task_ids[-1])}"
    return links


def _tab_of(lowest: int, highest: int) -> str:
    """Return a tab of the data manager that stands in its URL, and leaves nothing in the project.

    Source: what the data manager of Label Studio 1.23.2 makes of a filter in a tab that was not saved.
    """
    between = {
        "filter": "filter:tasks:id",
        "operator": "in",
        "type": "Number",
        "value": {"min": lowest, "max": highest},
    }
    tab = {
        "title": "Imported",
        "filters": {"conjunction": "and", "items": [between]},
        "ordering": [],
        "agreement_selected": {},
    }
    return quote(base64.b64encode(zlib.compress(json.dumps(tab).encode())), safe="")
