"""Creates a project."""

import logging
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from labelsync_provider.operators.links import ProjectLink, links_to
from labelsync_provider.operators.owner import owner_of
from labelsync_provider.operators.stopping import StoppableOperator, stoppable
from labelsync_provider.operators.task_errors import task_errors

if TYPE_CHECKING:
    from airflow.sdk import Context

    from labelsync_provider.hooks.label_studio import LabelStudioHook
    from labelsync_provider.projects.protocol import Project, StoredProject
    from labelsync_provider.sync import Owner, Runtime

WAIT_SECONDS = 600.0
"""So long somebody else who is creating the same project is waited for."""

log = logging.getLogger(__name__)


class CreateProjectOperator(StoppableOperator):
    """Creates a project, or finds it if there is one of that title. Returns its id.

    A project that is there keeps its label config and description, whatever is given here: annotators may
    have changed them since. However often this runs, and wherever it was stopped before, one project has the title.

    All parameters are templated.

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
        """Create or find the project; return its id."""
        from labelsync_provider.hooks.label_studio import LabelStudioHook
        from labelsync_provider.operators.parameters import ProjectParameters, options_of

        with task_errors():
            given = options_of(self, ProjectParameters)
            with closing(LabelStudioHook(given.label_studio_conn_id, self.stop)) as hook:
                project = find_or_create_titled(
                    hook, given.title, given.label_config, owner_of(context), given.description, self.runtime
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
    :param dry_run: create nothing: return the project as it would be.
    :param wait_seconds: for others who are creating it.
    :param runtime: what ends the wait.
    :raises NotFound: there is none, and none is to be created.
    :raises Invalid: there is no project with that id; or the one that had the title was renamed; or the label config is
        none.
    :raises LeaseHeld: somebody else was still creating it when the time to wait was over.
    :raises Stopped: the run is to end.
    """
    from labelsync_provider.errors import NotFound
    from labelsync_provider.projects.label_config import label_config_of

    if label_config is not None:
        label_config_of(label_config, "create_if_missing")
    try:
        return open_project(hook, project, read_only=dry_run)
    except NotFound:
        if label_config is None:
            raise
    planned = hook.plan_project(project, label_config)
    if dry_run:
        log.info("Project %r would be created: there is none of this title.", planned.title)
        return planned
    return create_once(hook, planned.title, planned.label_config, owner, wait_seconds=wait_seconds, runtime=runtime)


def open_project(hook: "LabelStudioHook", project: int | str, *, read_only: bool) -> "StoredProject":
    """Return a project by its id or exact title, and note in the ledger that it has its title.

    :param read_only: note nothing.
    :raises NotFound: there is none.
    :raises Invalid: the one that had the title was renamed; or the title is ambiguous; or it is not the project that
        the ledger knows by its `uri`.
    """
    from labelsync_provider.errors import NotFound

    try:
        found = hook.get_project(project, read_only=read_only)
    except NotFound:
        refuse_renamed(hook, project, "project", read_only=read_only)
        raise
    _note(found, read_only=read_only)
    return found


def find_or_create_titled(
    hook: "LabelStudioHook", title: int | str, label_config: str, owner: "Owner", description: str, runtime: "Runtime"
) -> "StoredProject":
    """Return the project of exactly that title, whatever the ids; create it if there is none.

    :raises Invalid: the one that had the title was renamed; or several have it; or it cannot be a title; or the label
        config is none; or the project is not the one that the ledger knows by its `uri`.
    :raises LeaseHeld: somebody else was still creating it when the time to wait was over.
    :raises Stopped: the run is to end.
    """
    from labelsync_provider.projects.label_config import is_same, label_config_of

    given = label_config_of(label_config)
    found = hook.find_titled(title)
    if found is None:
        refuse_renamed(hook, title, "title", read_only=False)
        return create_once(hook, title, label_config, owner, description, runtime=runtime)
    _note(found)
    if not is_same(found.label_config, given):
        log.info(
            "Project %r is there, and keeps its label config, which is not the one given. Change it in its settings.",
            found.title,
        )
    return found


def refuse_renamed(hook: "LabelStudioHook", title: int | str, parameter: str, *, read_only: bool) -> None:
    """Make sure that a title which no project has is not the former one of a project that is there.

    What was imported is in that one: all of it would come once more into a new one.

    :param parameter: what the title was given as.
    :param read_only: leave the schema of the database as it is.
    :raises Invalid: it is.
    """
    from labelsync_provider.errors import NotFound, invalid
    from labelsync_provider.hooks.database import labelsync_database
    from labelsync_provider.projects.naming import title_of
    from labelsync_provider.sync.ledger.titles import once_titled

    base = f"{hook.open_store(read_only=read_only).uri}/projects/"
    for uri, created_at in once_titled(labelsync_database(), title_of(title, parameter), read_only=read_only):
        if not uri.startswith(base):
            continue
        number = int(uri.removeprefix(base))
        try:
            project = hook.get_project(number, read_only=True)
        except NotFound:
            continue
        if (project.uri, project.created_at) == (uri, created_at):
            what = (
                f"no project has this title any more: project {number}, which had it, is titled {project.title!r} now"
            )
            remedy = (
                "Name it by that title, or give it its former one back. If another project is meant, create that in "
                "Label Studio by hand, or give it another title."
            )
            raise invalid(parameter, title, what, remedy)


def create_once(
    hook: "LabelStudioHook",
    title: int | str,
    label_config: str,
    owner: "Owner",
    description: str = "",
    *,
    wait_seconds: float = WAIT_SECONDS,
    runtime: "Runtime | None" = None,
) -> "StoredProject":
    """Return the project of that title; create it if there is none, only once for all who ask at the same time.

    A Label Studio server would make as many of them as are asked for; see `projects.label_studio.creation`.

    :param wait_seconds: for others who are at it.
    :param runtime: what ends the wait.
    :raises Invalid: the store does not take the title or the label config.
    :raises LeaseHeld: somebody else was still at it when the time to wait was over.
    :raises Stopped: the run is to end.
    """
    from labelsync_provider.hooks.database import labelsync_database
    from labelsync_provider.projects.naming import title_of
    from labelsync_provider.sync.ledger.lease import Lease

    title, database = title_of(title), labelsync_database()
    log.info("Creating project %r: there is none of this title.", title)
    # The lease is one for all who mean this project.
    resource = f"project {title!r} of {hook.open_store().uri}"
    with Lease(database, resource, owner, wait_seconds=wait_seconds, runtime=runtime) as lease:
        created = hook.create_project(title, label_config, description, lease.check)
        _note(created)
        return created


def _note(project: "StoredProject", *, read_only: bool = False) -> None:
    """Note in the ledger that a project has its title; before anything is done to it, make sure whose it is.

    :param read_only: note nothing.
    :raises Invalid: it is not the one that the ledger knows by its `uri`.
    """
    from labelsync_provider.hooks.database import labelsync_database
    from labelsync_provider.sync.identity import refuse_other_birth
    from labelsync_provider.sync.ledger.titles import note_title

    database = labelsync_database()
    refuse_other_birth(project, database, read_only=read_only)
    if not read_only:
        note_title(database, project)
