"""Exports the annotations of a project to a storage."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import BaseOperator

from labelsync_provider.operators.links import ProjectLink, links_to
from labelsync_provider.operators.task_errors import owner_of, task_errors

if TYPE_CHECKING:
    from airflow.sdk import Context


class ExportAnnotationsOperator(BaseOperator):
    """Writes the annotations of a project to a storage, and keeps them in step from run to run.

    Only what is new or has changed is written. An object in the target that the exporter did not write stops
    the run before its first write. Returns the report, see `labelsync_provider.sync.report.ExportReport`.

    All parameters are templated.

    :param project: the project's id, or its exact title.
    :param target: the storage URI, such as `file:///data/annotations`.
    :param target_conn_id: how to log in; by default the scheme's usual connection, `fs_default` for `file://`.
    :param label_studio_conn_id: the connection that says where projects live.
    :param layout: `"annotation"`, one object per annotation, its task nested in it; or `"task"`, one object
        per task with its annotations, which can be imported again as it is.
    :param key_template: the object's key, with `{annotation_id}` (layout `"annotation"`), `{task_id}` and
        `{project_id}`; by default `{annotation_id}.json` or `{task_id}.json`.
    :param include_cancelled: export cancelled (skipped) annotations too, as Label Studio does.
    :param can_delete_objects: delete objects from the target whose annotation is gone; otherwise report them.
    :param dry_run: report what would happen, and write nothing anywhere.
    :param batch_size: objects that are written and entered in the ledger together.
    :param max_workers: threads that write.
    """

    template_fields: Sequence[str] = (
        "project",
        "target",
        "target_conn_id",
        "label_studio_conn_id",
        "layout",
        "key_template",
        "include_cancelled",
        "can_delete_objects",
        "dry_run",
        "batch_size",
        "max_workers",
    )

    operator_extra_links = (ProjectLink(),)

    def __init__(
        self,
        *,
        project: int | str,
        target: str,
        target_conn_id: str | None = None,
        label_studio_conn_id: str = "label_studio_default",
        layout: Literal["annotation", "task"] = "annotation",
        key_template: str | None = None,
        include_cancelled: bool = True,
        can_delete_objects: bool = False,
        dry_run: bool = False,
        batch_size: int = 1000,
        max_workers: int = 32,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.project = project
        self.target = target
        self.target_conn_id = target_conn_id
        self.label_studio_conn_id = label_studio_conn_id
        self.layout = layout
        self.key_template = key_template
        self.include_cancelled = include_cancelled
        self.can_delete_objects = can_delete_objects
        # Shadows a method of the base class that nothing in Airflow 3 calls.
        self.dry_run = dry_run  # type: ignore[assignment, method-assign]
        self.batch_size = batch_size
        self.max_workers = max_workers

    def execute(self, context: "Context") -> dict[str, Any]:
        """Export, and return the report."""
        from labelsync_provider.hooks.label_studio import LabelStudioHook, labelsync_database
        from labelsync_provider.hooks.storage import storage_hook
        from labelsync_provider.operators.parameters import ExportParameters, options_of
        from labelsync_provider.sync import ExportOptions, export_annotations

        with task_errors():
            given, options = options_of(self, ExportParameters), options_of(self, ExportOptions)
            target = storage_hook("target", given.target, given.target_conn_id).get_target(given.target)
            project = LabelStudioHook(given.label_studio_conn_id).get_project(given.project, read_only=options.dry_run)
            report = export_annotations(project, target, labelsync_database(), options, owner_of(context))
        self.links = links_to(project)
        return report.as_dict()
