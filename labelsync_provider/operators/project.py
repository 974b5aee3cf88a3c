"""Creates a project."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from labelsync_provider.operators.links import ProjectLink, links_to
from labelsync_provider.operators.task_errors import task_errors

if TYPE_CHECKING:
    from airflow.sdk import Context


class CreateProjectOperator(BaseOperator):
    """Creates a project, or finds it if there is one of that title. Returns its id.

    A project that is there keeps its label config and description, whatever is given here: annotators may
    have changed them since.

    :param title: the title. (templated)
    :param label_config: the labeling interface, in Label Studio's XML. (templated)
    :param description: for people. (templated)
    :param label_studio_conn_id: the connection that says where projects live. (templated)
    """

    template_fields: Sequence[str] = ("title", "label_config", "description", "label_studio_conn_id")
    template_fields_renderers = {"label_config": "xml"}  # noqa: RUF012 - the type Airflow declares

    operator_extra_links = (ProjectLink(),)

    def __init__(
        self,
        *,
        title: str,
        label_config: str,
        description: str = "",
        label_studio_conn_id: str = "label_studio_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.title = title
        self.label_config = label_config
        self.description = description
        self.label_studio_conn_id = label_studio_conn_id

    def execute(self, context: "Context") -> int:
        """Create or find the project."""
        from labelsync_provider.hooks.label_studio import LabelStudioHook

        with task_errors():
            hook = LabelStudioHook(self.label_studio_conn_id)
            project = hook.create_project(self.title, self.label_config, self.description)
        self.links = links_to(project)
        self.log.info("Project %d, %r.", project.id, project.title)
        return project.id
