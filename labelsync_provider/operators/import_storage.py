"""Imports a storage into a project."""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any, Literal

from labelsync_provider.operators.accounting import Run, log_links
from labelsync_provider.operators.links import ImportedTasksLink, ProjectLink, StorageSettingsLink, links_to
from labelsync_provider.operators.owner import owner_of
from labelsync_provider.operators.skipping import push_report, skip_if_unchanged
from labelsync_provider.operators.sources import import_each, is_list, name_mapped_task, sources_of
from labelsync_provider.operators.stopping import StoppableOperator, stoppable
from labelsync_provider.operators.task_errors import task_errors

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

WORTH_SEEING = (
    "tasks_created",
    "tasks_updated",
    "tasks_deleted",
    "adopted",
    "not_restored",
    "changed",
    "missing",
    "deleted_by_hand",
    "quarantined_now",
)
"""What a report counts that a person, or the task behind, should hear of."""


class ImportStorageSyncOperator(StoppableOperator):
    """Makes a task of every object, or of every row of every task file, that is new in a storage.

    However often it runs, and wherever it was killed before, no object and no row of a task file comes in twice.
    Returns the report, see `labelsync_provider.sync.report.ImportReport`; of a list of sources
    `{"sources": {uri: report}, "failed_sources": {uri: reason}, ...}`, and beside these, by the same names, the sums.
    If some of them fail, so does the task, and the report is pushed before.

    All parameters are templated.

    :param source: Where the objects are that become tasks: `s3://bucket/prefix`, `gs://bucket/prefix`,
        `azure-blob://container/prefix`, `hf://datasets/owner/name`, `redis://database/path`, `sftp:///data/photos`,
        `webdav:///photos`, or a directory: `/data/photos`, or as a URI `file:///data/photos`. Or a list of these,
        imported one after the other: one that fails does not keep the others out, but another import into the project
        does; then the task fails, and names each. In Label Studio: *Add Source Storage*.
    :param project: The project's exact title, or its id.
    :param create_if_missing: If no project has this title, it is created with this label config: XML, or the name of a
        ready one, such as `image_classification`. By default none is created.
    :param source_conn_id: Says how to log in. By default the usual one of the storage: `fs_default`, `aws_default`,
        `google_cloud_default`, `wasb_default`, `hf_default`, `redis_default`, `sftp_default`, `webdav_default`.
    :param label_studio_conn_id: The connection that says where projects live: in a Label Studio server, or in the
        embedded store.
    :param regex_filter: A regular expression, matched from the start of the object's key, such as `.*[.](jpe?g|png)$`.
        By default all objects. In Label Studio: *File Filter Regex*.
    :param use_blob_urls: Each file becomes one task that shows it. Off for files that describe tasks: JSON, JSON lines,
        CSV or TSV, of which Label Studio's own sync reads the first two. In Label Studio: *Treat every bucket object as
        a source file*.
    :param url_mode: What a task names its file by. The object's URI stays, and Label Studio shows it by a storage of
        its own. A signed URL lets anyone read the object until it expires. `"storage"`: the object's URI; `"signed"`: a
        signed URL. Only with `use_blob_urls`.
    :param presign_ttl: For how many minutes a signed URL can be used. In Label Studio: *Expire pre-signed URLs*.
    :param register_storage: Gives the project a source storage in Label Studio, which nobody can sync, so that
        annotators see what tasks name. **Label Studio is then handed the keys that stand in the source's connection,**
        which must be allowed. Automatically, only where no keys are needed, which is for local files that Label Studio
        serves; elsewhere the log says what to do, and no import fails for it. `"auto"`: automatic; `True`: yes;
        `False`: no, only warn.
    :param lock_own_sync: Nobody can press Sync any more on the project's source storages where the source is: Label
        Studio would import everything there a second time. They go on showing files. Off, the log warns of them.
    :param allow_static_keys: Label Studio may be handed the keys that stand in the storage's connection, and keeps
        them: best keys that may only read. Off, a storage that needs them is refused. By plain `http://` to another
        machine none are sent either way.
    :param presign: Whether that source storage in Label Studio hands out signed URLs. Off, Label Studio passes the
        bytes through. In Label Studio: *Use pre-signed URLs*.
    :param recursive_scan: Whether objects in sub-folders are imported too. Automatically, as the storage guide says:
        those of a directory, and of a bucket without a prefix, are; those below a prefix are not. `None`: automatic;
        `True`: yes; `False`: no. In Label Studio: *Scan all sub-folders*.
    :param data_key: Where the address of a file goes in the task's data. By default the first data key of the label
        config.
    :param extra_data: What the data of each new task of a file has beside its address: the label config may show more
        keys, such as `{"transcript": ""}`. Other values are no change of a file. Only with `use_blob_urls`. By default
        nothing.
    :param row_key: The field by which rows of a changed task file are matched with those imported earlier, dotted, as
        written in the row: `id`, `data.filename`; of CSV and TSV, a column. By default by their content, then by their
        neighbours.
    :param on_changed: What becomes of the task of a file, or of a row, that is another one now. Tasks with annotations
        are never updated. `"report"`: only report it; `"update"`: update tasks without annotations; `"add"`: add a new
        task.
    :param on_missing: What becomes of the tasks of an object that is gone. Tasks with annotations are never deleted.
        `"report"`: only report it; `"delete"`: delete tasks without annotations.
    :param max_delete: If more tasks than this were to be deleted, none is and the run fails. By default 10 % of those
        imported from the source, at least 1.
    :param max_quarantined: If more objects and rows than this could not be imported, the run fails, after the good ones
        are in. Below 1 it is a share of the matched objects, such as `0.1`. Of a list of sources, each is counted by
        itself. A first run of which everything is in quarantine always fails. By default any number.
    :param adopt: When coming from Label Studio's own sync or another tool: tasks that the project has already are taken
        for those of the objects and rows that they were made from, so that nothing comes in twice, and what somebody
        has deleted does not come back. Leave it on until a run has nothing in quarantine. Files are known by their URI
        under the data key; rows by equal data and, where the own sync has made them, by their file. A ledger that knows
        nothing of a source learns from source references unasked.
    :param restore_deleted: Import rows again whose tasks somebody has deleted from the project. How many these are,
        other imports count as `deleted_by_hand`.
    :param dry_run: Report what would happen, and write nothing anywhere.
    :param batch_size: The most tasks that are sent, and entered in the ledger, at once. The first batch to a server has
        up to 250, each next up to twice as many, as long as answers take less than half of the connection's
        `read_timeout`; after a batch that fails, half as many. A batch of 8 MB is full. The embedded store takes 1,000
        at once.
    :param min_seconds_between_batches: Seconds between two batches, which leave the project time for others.
    :param max_in_flight: At most so many requests to a storage are under way at once. How many serve best is found out.
    :param wait_for_lease: If another import into the project, or another export to the target, is running, wait so long
        for it to end, in seconds; then the task fails, and is retried. 0: do not wait.
    :param skip_when_unchanged: If nothing was written, updated or deleted, and there is nothing to report as changed,
        missing, gone, deleted by hand or newly in quarantine either, the task is marked as skipped, and what comes
        after it is skipped too. Its report is pushed all the same.
    """

    template_fields: Sequence[str] = (
        "source",
        "project",
        "create_if_missing",
        "source_conn_id",
        "label_studio_conn_id",
        "regex_filter",
        "use_blob_urls",
        "url_mode",
        "presign_ttl",
        "register_storage",
        "lock_own_sync",
        "allow_static_keys",
        "presign",
        "recursive_scan",
        "data_key",
        "extra_data",
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
        "max_in_flight",
        "wait_for_lease",
        "skip_when_unchanged",
    )

    ui_color = "#dcebfb"

    operator_extra_links = (ProjectLink(), ImportedTasksLink(), StorageSettingsLink())

    def __init__(
        self,
        *,
        source: str | list[str],
        project: int | str,
        create_if_missing: str | None = None,
        source_conn_id: str | None = None,
        label_studio_conn_id: str = "label_studio_default",
        regex_filter: str | None = None,
        use_blob_urls: bool = False,
        url_mode: Literal["storage", "signed"] = "storage",
        presign_ttl: int = 15,
        register_storage: bool | Literal["auto"] = "auto",
        lock_own_sync: bool = False,
        allow_static_keys: bool = False,
        presign: bool = True,
        recursive_scan: bool | None = None,
        data_key: str | None = None,
        extra_data: dict[str, Any] | None = None,
        row_key: str | None = None,
        on_changed: Literal["report", "update", "add"] = "report",
        on_missing: Literal["report", "delete"] = "report",
        max_delete: int | None = None,
        max_quarantined: float | None = None,
        adopt: bool = False,
        restore_deleted: bool = False,
        dry_run: bool = False,
        batch_size: int = 10_000,
        min_seconds_between_batches: float = 0,
        max_in_flight: int = 256,
        wait_for_lease: float = 3600,
        skip_when_unchanged: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.project = project
        self.create_if_missing = create_if_missing
        self.source_conn_id = source_conn_id
        self.label_studio_conn_id = label_studio_conn_id
        self.regex_filter = regex_filter
        self.use_blob_urls = use_blob_urls
        self.url_mode = url_mode
        self.presign_ttl = presign_ttl
        self.register_storage = register_storage
        self.lock_own_sync = lock_own_sync
        self.allow_static_keys = allow_static_keys
        self.presign = presign
        self.recursive_scan = recursive_scan
        self.data_key = data_key
        self.extra_data = extra_data
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
        self.max_in_flight = max_in_flight
        self.wait_for_lease = wait_for_lease
        self.skip_when_unchanged = skip_when_unchanged

    @stoppable
    def execute(self, context: "Context") -> dict[str, Any]:
        """Import, and return the report."""
        from labelsync_provider.hooks.database import labelsync_database
        from labelsync_provider.hooks.label_studio import LabelStudioHook
        from labelsync_provider.hooks.storage import storage_hook
        from labelsync_provider.operators.own_storages import own_storages_at
        from labelsync_provider.operators.parameters import ImportParameters, options_of
        from labelsync_provider.operators.project import find_or_create
        from labelsync_provider.operators.visibility import see_to_visibility
        from labelsync_provider.retry import Requests, count_in
        from labelsync_provider.sync import ImportOptions, ImportReport, import_storage

        name_mapped_task(context, self.source)
        self.runs: list[Run] = []
        with task_errors(), ExitStack() as opened:
            given, options = options_of(self, ImportParameters), options_of(self, ImportOptions)
            hook = opened.enter_context(closing(LabelStudioHook(given.label_studio_conn_id, self.stop)))
            database = labelsync_database()
            sources = sources_of(given.source, given.source_conn_id)
            project = find_or_create(
                hook,
                given.project,
                given.create_if_missing,
                owner_of(context),
                dry_run=options.dry_run,
                wait_seconds=options.wait_for_lease,
                runtime=self.runtime,
            )

            def imported(uri: str) -> ImportReport:
                storages = storage_hook("source", uri, given.source_conn_id)
                source = storages.get_source(uri, given.recursive_scan)
                run = Run("import", storages, source, project, given.label_studio_conn_id, options.dry_run)
                run.announce()
                count_in(Requests(self.stop), project)  # those of the run before are in its report
                # One that would only be created has no storages to look at.
                own = hook.storages_of(project.id) if project.id else None
                if project.id:
                    see_to_visibility(own, project.id, storages, uri, source.uri, given, options)
                there = own_storages_at(own, project.id, source, options, locks=given.lock_own_sync) if own else ()
                report = import_storage(source, project, database, options, owner_of(context), self.runtime, there)
                run.account(report)
                self.runs.append(run)
                return report

            if is_list(given.source):
                report, failure = import_each(sources, imported)
                report["dry_run"] = options.dry_run
            else:
                report, failure = imported(sources[0]).as_dict(), None
            self.links = links_to(project, report["created_ids"])
            log_links(self.links)
            if failure:
                push_report(self, context, report)
                raise failure
        if given.skip_when_unchanged:
            skip_if_unchanged(self, context, report, *WORTH_SEEING)
        return report

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> "OperatorLineage":
        """Return what OpenLineage's provider asks for, where it is installed."""
        from labelsync_provider.operators.lineage import openlineage_of

        return openlineage_of(self.runs)
