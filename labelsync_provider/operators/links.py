"""Links from a task in Airflow to the pages of the project. Projects of the embedded store have none."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

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
    """Return the URL of each link, by the link's name; none for a project without pages.

    :param task_ids: the lowest and the highest id of the tasks that this run has imported, if there are any.
    """
    from labelsync_provider.projects.protocol import HasPages

    if not isinstance(project, HasPages):
        return {ProjectLink.name: project.url} if project.url else {}
    links = {ProjectLink.name: project.tasks_page(), StorageSettingsLink.name: project.storages_page()}
    if task_ids:
        links[ImportedTasksLink.name] = project.tasks_page((task_ids[0], task_ids[-1]))
    return links
