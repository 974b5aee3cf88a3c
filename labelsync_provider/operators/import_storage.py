"""Imports a storage into a project."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import BaseOperator

from labelsync_provider.operators.links import ImportedTasksLink, ProjectLink, StorageSettingsLink, links_to
from labelsync_provider.operators.task_errors import owner_of, task_errors

if TYPE_CHECKING:
    from airflow.sdk import Context


class ImportStorageSyncOperator(BaseOperator):
    """Makes a task of every object, or of every row of every task file, that is new in a storage.

    However often it runs, and wherever it was killed before: each object, or row of a task file, has one live task.
    Returns the report, see `labelsync_provider.sync.report.ImportReport`.

    All parameters are templated.

    :param source: the storage URI, such as `file:///data/photos`.
    :param project: the project's id, or its exact title.
    :param source_conn_id: how to log in; by default the scheme's usual connection, `fs_default` for `file://`.
    :param label_studio_conn_id: the connection that says where projects live.
    :param regex_filter: a regular expression, matched from the start of the object's key.
    :param use_blob_urls: treat every object as a source file: one task per object, the object is not read.
    :param url_mode: with `use_blob_urls`, what goes into the task: `"storage"`, the object's URI, which stays; or
        `"signed"`, a URL that anyone can read the object with until it expires.
    :param presign_ttl: the life of a signed URL, in minutes.
    :param register_storage: have annotators see the objects: give the project of a Label Studio server a source storage
        for the bucket or directory, which nobody can sync, unless it has one. Its keys are those that stand in the
        source's connection.
    :param presign: with `register_storage`, annotators get signed URLs; else Label Studio passes the bytes through.
    :param recursive_scan: None is the guide's rule: a local directory is walked recursively, a bucket without
        a prefix is scanned whole, with a prefix its sub-folders are not. True and False say it outright.
    :param data_key: where a blob's URI goes in the task's data; by default the first data key of the label config.
    :param row_key: the field by which rows of a changed task file are matched with those imported earlier, dotted, as
        written in the row: `id`, `data.filename`. By default they are matched by content, then by their neighbours.
    :param on_changed: what to do with rows whose content has changed: `"report"`, `"update"` their tasks
        unless they have annotations, or `"add"` a new task.
    :param on_missing: what to do with tasks whose object is gone: `"report"`, or `"delete"` those without
        annotations.
    :param max_delete: if more tasks than this are to be deleted, none is and the run fails; by default 10 % of
        those imported from the source, at least 1.
    :param max_quarantined: if more objects and rows than this are in quarantine, the run fails, after the good
        ones are in.
    :param adopt: look through the tasks that the project has already, and take those that carry the source reference
        or, with `use_blob_urls`, the URI of an object for the tasks of that object. Coming from Label Studio's own
        sync, or another tool, needs it once. A ledger that knows nothing of a source learns from references unasked.
    :param restore_deleted: import rows again whose tasks somebody has deleted from the project.
    :param dry_run: report what would happen, and write nothing anywhere.
    :param batch_size: tasks that are imported at once.
    :param min_seconds_between_batches: leaves the project time for others.
    :param max_workers: threads that read.
    :param wait_for_lease: how long to wait for another import into the same project to end, in seconds.
    """

    template_fields: Sequence[str] = (
        "source",
        "project",
        "source_conn_id",
        "label_studio_conn_id",
        "regex_filter",
        "use_blob_urls",
        "url_mode",
        "presign_ttl",
        "register_storage",
        "presign",
        "recursive_scan",
        "data_key",
        "row_key",
        "on_changed",
        "on_missing",
        "max_delete",
        "max_quarantined",
        "adopt",
        "restore_deleted",
        "dry_run",
        "batch_size",
        "min_seconds_between_batches",
        "max_workers",
        "wait_for_lease",
    )

    operator_extra_links = (ProjectLink(), ImportedTasksLink(), StorageSettingsLink())

    def __init__(
        self,
        *,
        source: str,
        project: int | str,
        source_conn_id: str | None = None,
        label_studio_conn_id: str = "label_studio_default",
        regex_filter: str | None = None,
        use_blob_urls: bool = False,
        url_mode: Literal["storage", "signed"] = "storage",
        presign_ttl: int = 15,
        register_storage: bool = False,
        presign: bool = True,
        recursive_scan: bool | None = None,
        data_key: str | None = None,
        row_key: str | None = None,
        on_changed: Literal["report", "update", "add"] = "report",
        on_missing: Literal["report", "delete"] = "report",
        max_delete: int | None = None,
        max_quarantined: int | None = None,
        adopt: bool = False,
        restore_deleted: bool = False,
        dry_run: bool = False,
        batch_size: int = 1000,
        min_seconds_between_batches: float = 0,
        max_workers: int = 32,
        wait_for_lease: float = 3600,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.project = project
        self.source_conn_id = source_conn_id
        self.label_studio_conn_id = label_studio_conn_id
        self.regex_filter = regex_filter
        self.use_blob_urls = use_blob_urls
        self.url_mode = url_mode
        self.presign_ttl = presign_ttl
        self.register_storage = register_storage
        self.presign = presign
        self.recursive_scan = recursive_scan
        self.data_key = data_key
        self.row_key = row_key
        self.on_changed = on_changed
        self.on_missing = on_missing
        self.max_delete = max_delete
        self.max_quarantined = max_quarantined
        self.adopt = adopt
        self.restore_deleted = restore_deleted
        # Shadows a method of the base class that nothing in Airflow 3 calls.
        self.dry_run = dry_run  # type: ignore[assignment, method-assign]
        self.batch_size = batch_size
        self.min_seconds_between_batches = min_seconds_between_batches
        self.max_workers = max_workers
        self.wait_for_lease = wait_for_lease

    def execute(self, context: "Context") -> dict[str, Any]:
        """Import, and return the report."""
        from labelsync_provider.hooks.label_studio import LabelStudioHook, labelsync_database
        from labelsync_provider.hooks.storage import storage_hook
        from labelsync_provider.operators.parameters import ImportParameters, options_of
        from labelsync_provider.operators.visibility import register_source, warn_if_unseen
        from labelsync_provider.sync import ImportOptions, import_storage

        with task_errors():
            given, options = options_of(self, ImportParameters), options_of(self, ImportOptions)
            storages = storage_hook("source", given.source, given.source_conn_id)
            source = storages.get_source(given.source, given.recursive_scan)
            hook = LabelStudioHook(given.label_studio_conn_id)
            project = hook.get_project(given.project, read_only=options.dry_run)
            if given.register_storage:
                register_source(
                    hook,
                    project.id,
                    storages,
                    given.source,
                    presign=given.presign,
                    presign_ttl=options.presign_ttl,
                    dry_run=options.dry_run,
                )
            elif options.use_blob_urls and options.url_mode == "storage":
                warn_if_unseen(hook, project.id, source.uri)
            report = import_storage(source, project, labelsync_database(), options, owner_of(context))
        self.links = links_to(project, report.created_ids)
        return report.as_dict()
