"""Exports the annotations of a project to a storage."""

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal

from labelsync_provider.operators.accounting import Run, log_links
from labelsync_provider.operators.links import ProjectLink, links_to
from labelsync_provider.operators.owner import owner_of
from labelsync_provider.operators.skipping import skip_if_unchanged
from labelsync_provider.operators.stopping import StoppableOperator, stoppable
from labelsync_provider.operators.task_errors import task_errors

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context


class ExportAnnotationsOperator(StoppableOperator):
    """Writes the annotations of a project to a storage, and keeps them in step from run to run.

    Only what is new or has changed is written. An object in the target that the exporter did not write stops
    the run before its first write. Returns the report, see `labelsync_provider.sync.report.ExportReport`.

    All parameters are templated.

    :param project: The project's exact title, or its id.
    :param target: Where the annotations go: `s3://bucket/prefix`, `gs://bucket/prefix`,
        `azure-blob://container/prefix`, `hf://datasets/owner/name`, `redis://database/path`, `sftp:///data/photos`,
        `webdav:///photos`, or a directory: `/data/photos`, or as a URI `file:///data/photos`. It may hold nothing but
        this export, and no other export of the project may go to a folder above or below it. `/data/labels` gets files
        such as `/data/labels/7.json`, `s3://bucket/labels` objects such as `labels/7.json`; the path of a database is
        taken as it is written. In Label Studio: *Add Target Storage*.
    :param target_conn_id: Says how to log in. By default the usual one of the storage: `fs_default`, `aws_default`,
        `google_cloud_default`, `wasb_default`, `hf_default`, `redis_default`, `sftp_default`, `webdav_default`.
    :param label_studio_conn_id: The connection that says where projects live: in a Label Studio server, or in the
        embedded store.
    :param layout: What there is one file for. Those of tasks can be imported again as they are. `"annotation"`:
        annotation, with its task; `"task"`: task, with its annotations.
    :param key_template: The names of the files, made of `{annotation_id}` (only for one file for each annotation),
        `{task_id}` and `{project_id}`. By default `{annotation_id}.json` or `{task_id}.json`.
    :param include_cancelled: Export cancelled annotations too, as Label Studio does.
    :param can_delete_objects: Delete objects from the target whose annotation is gone, or is not exported any more, and
        all that was exported there with another layout or other names. Off, the former are only reported, and the
        latter stops the run. In Label Studio: *Can delete objects from storage*.
    :param full: Compare every task with the target, and not only those that Label Studio says have changed. Once a day
        that happens by itself. Set it after bulk changes of data, predictions or the names of people, which Label
        Studio does not tell, if the target must have them today.
    :param dry_run: Report what would happen, and write nothing anywhere.
    :param batch_size: How many are written, and entered in the ledger, at once.
    :param max_in_flight: At most so many requests to a storage are under way at once. How many serve best is found out.
    :param wait_for_lease: If another import into the project, or another export to the target, is running, wait so long
        for it to end, in seconds; then the task fails, and is retried. 0: do not wait.
    :param skip_when_unchanged: If nothing was written, updated or deleted, and there is nothing to report as changed,
        missing, gone, deleted by hand or newly in quarantine either, the task is marked as skipped, and what comes
        after it is skipped too. Its report is pushed all the same.
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
        "full",
        "dry_run",
        "batch_size",
        "max_in_flight",
        "wait_for_lease",
        "skip_when_unchanged",
    )

    ui_color = "#dff3df"

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
        full: bool = False,
        dry_run: bool = False,
        batch_size: int = 1000,
        max_in_flight: int = 256,
        wait_for_lease: float = 3600,
        skip_when_unchanged: bool = False,
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
        self.full = full
        # Shadows a method of the base class that nothing in Airflow 3 calls.
        self.dry_run = dry_run  # type: ignore[assignment, method-assign]
        self.batch_size = batch_size
        self.max_in_flight = max_in_flight
        self.wait_for_lease = wait_for_lease
        self.skip_when_unchanged = skip_when_unchanged

    @stoppable
    def execute(self, context: "Context") -> dict[str, Any]:
        """Export, and return the report."""
        from labelsync_provider.hooks.database import labelsync_database
        from labelsync_provider.hooks.label_studio import LabelStudioHook
        from labelsync_provider.hooks.storage import storage_hook
        from labelsync_provider.operators.parameters import ExportParameters, options_of
        from labelsync_provider.operators.project import open_project
        from labelsync_provider.sync import ExportOptions, export_annotations

        self.runs: list[Run] = []
        with task_errors():
            given, options = options_of(self, ExportParameters), options_of(self, ExportOptions)
            storages = storage_hook("target", given.target, given.target_conn_id)
            target = storages.get_target(given.target)
            with closing(LabelStudioHook(given.label_studio_conn_id, self.stop)) as hook:
                project = open_project(hook, given.project, read_only=options.dry_run)
                run = Run("export", storages, target, project, given.label_studio_conn_id, options.dry_run)
                run.announce()
                database = labelsync_database()
                report = export_annotations(project, target, database, options, owner_of(context), self.runtime)
        run.account(report)
        self.runs.append(run)
        self.links = links_to(project)
        log_links(self.links)
        if given.skip_when_unchanged:
            skip_if_unchanged(self, context, report.as_dict(), "written", "deleted", "gone")
        return report.as_dict()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> "OperatorLineage":
        """Return what OpenLineage's provider asks for, where it is installed."""
        from labelsync_provider.operators.lineage import openlineage_of

        return openlineage_of(self.runs)
