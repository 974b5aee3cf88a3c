"""Creates a project."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from labelsync_provider.operators.links import ProjectLink, links_to
from labelsync_provider.operators.stopping import StoppableOperator, stoppable
from labelsync_provider.operators.task_errors import owner_of, task_errors

if TYPE_CHECKING:
    from airflow.sdk import Context

    from labelsync_provider.hooks.label_studio import LabelStudioHook
    from labelsync_provider.projects.protocol import Project
    from labelsync_provider.sync import Owner, Runtime

WAIT_SECONDS = 600.0
"""So long somebody else who is creating the same project is waited for."""

log = logging.getLogger(__name__)


class CreateProjectOperator(StoppableOperator):
    """Creates a project, or finds it if there is one of that title. Returns its id.

    A project that is there keeps its label config and description, whatever is given here: annotators may
    have changed them since. However often this runs, and wherever it was stopped before, one project has the title.

    :param title: The project's title.
    :param label_config: The labeling interface, in Label Studio's XML. Or the path of a file that ends in `.xml`,
        relative to the DAG file. Or the name of a ready one, such as `image_classification`; see
        `labelsync_provider.label_configs`.
    :param description: What the project is about, for people.
    :param label_studio_conn_id: The connection that says where projects live: in a Label Studio server, or in the
        embedded store.
    """

    template_fields: Sequence[str] = ("title", "label_config", "description", "label_studio_conn_id")
    template_ext: Sequence[str] = (".xml",)
    template_fields_renderers = {"label_config": "xml"}  # noqa: RUF012 - the type Airflow declares

    ui_color = "#fde9d6"

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

    @stoppable
    def execute(self, context: "Context") -> int:
        """Create or find the project."""
        from labelsync_provider.hooks.label_studio import LabelStudioHook
        from labelsync_provider.operators.parameters import ProjectParameters, options_of

        with task_errors():
            given = options_of(self, ProjectParameters)
            hook = LabelStudioHook(given.label_studio_conn_id, self.stop)
            project = create_once(
                hook, given.title, given.label_config, owner_of(context), given.description, runtime=self.runtime
            )
        self.links = links_to(project)
        self.log.info("Project %d, %r.", project.id, project.title)
        return project.id


def find_or_create(
    hook: "LabelStudioHook",
    project: int | str,
    label_config: str | None,
    owner: "Owner",
    *,
    dry_run: bool,
    wait_seconds: float = WAIT_SECONDS,
    runtime: "Runtime | None" = None,
) -> "Project":
    """Return a project by its id or exact title; if there is none, create one of that title, with a label config.

    :param label_config: XML, or the name of a ready one; None to create none.
    :raises NotFound: there is none, and none is to be created.
    :raises Invalid: there is no project with that id, or the label config is none.
    """
    from labelsync_provider.projects.label_config import label_config_of

    if label_config is None:
        return hook.get_project(project, read_only=dry_run)
    label_config_of(label_config, "create_if_missing")
    if found := hook.find_project(project, read_only=dry_run):
        return found
    planned = hook.plan_project(project, label_config)
    if dry_run:
        log.info("Project %r would be created: there is none of this title.", planned.title)
        return planned
    return create_once(hook, planned.title, planned.label_config, owner, wait_seconds=wait_seconds, runtime=runtime)


def create_once(
    hook: "LabelStudioHook",
    title: str,
    label_config: str,
    owner: "Owner",
    description: str = "",
    *,
    wait_seconds: float = WAIT_SECONDS,
    runtime: "Runtime | None" = None,
) -> "Project":
    """Return the project of that title; create it if there is none, only once for all who ask at the same time.

    A Label Studio server would make as many of them as are asked for; see `label_studio_creation`.

    :param wait_seconds: for others who are at it.
    :param runtime: what ends the wait.
    """
    from contextlib import closing

    title = title.strip()  # as the stores do: the lease is one for all who mean this project
    from labelsync_provider.hooks.database import labelsync_database
    from labelsync_provider.sync.ledger.lease import Lease

    where = "the embedded store"
    if client := hook.get_client():
        with closing(client):
            where = client.url
    with Lease(
        labelsync_database(), f"project {title!r} of {where}", owner, wait_seconds=wait_seconds, runtime=runtime
    ) as lease:
        return hook.create_project(title, label_config, description, lease.check)
