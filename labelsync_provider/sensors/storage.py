"""Waits for what is to be imported."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from labelsync_provider.operators.import_storage import ImportStorageSyncOperator
from labelsync_provider.sensors.looking import LookingSensor

if TYPE_CHECKING:
    from labelsync_provider.triggers.storage import NewObjectsTrigger


class NewObjectsSensor(LookingSensor):
    """Waits for objects in a storage that are new to a project.

    New is what is listed, matches and was not imported into the project by this package; and what is in quarantine, if
    it is worth another try since it, the label config or the options of the import have changed. What has changed in
    objects whose tasks are there is not new. Nothing is read, written or locked.

    Returns counts of objects, of several sources the sums: `listed`, `matched`, `new`, `retriable` (in quarantine and
    worth another try), and `settled`: False if `max_wait` was over before they had settled.

    Give it the options that the import has, all in one dict if you like. Those that decide what is new are below: if
    they differ from the import's, it waits for other objects. What else `ImportStorageSyncOperator` takes is accepted,
    and changes nothing.

    `settle_seconds` are counted from the first look that shows what the later ones show, by the clock of who looks: no
    storage's clock matters, nor that a copy keeps the times of its files. So they are never met by the first look,
    and `poke_interval` should be a part of them. Where a triggerer takes over from another one, they are counted from
    the sensor's first look, if that showed the same, or else anew.

    All parameters but `max_wait` and `deferrable` are templated.

    :param source: Where the objects are that become tasks: `s3://bucket/prefix`, `gs://bucket/prefix`,
        `azure-blob://container/prefix`, `hf://datasets/owner/name`, `redis://database/path`, `sftp:///data/photos`,
        `webdav:///photos`, or a directory: `/data/photos`, or as a URI `file:///data/photos`. Or a list of these, which
        are looked at together. In Label Studio: *Add Source Storage*.
    :param project: The project's exact title, or its id.
    :param create_if_missing: What the import has: if no project has this title yet, everything is new. By default a
        project that is not there fails the task.
    :param min_objects: So many must be new, or in quarantine and worth another try.
    :param settle_seconds: So long, in seconds, nothing of what is new may have come, gone or changed, so that half of a
        set is not imported.
    :param max_wait: So long settling may take, in seconds, from when there were enough. With `exponential_backoff` it
        is also the longest time between two looks, as in every sensor of Airflow's. By default as long as it takes.
    :param regex_filter: A regular expression, matched from the start of the object's key, such as `.*[.](jpe?g|png)$`.
        By default all objects. In Label Studio: *File Filter Regex*.
    :param recursive_scan: Whether objects in sub-folders are imported too. Automatically, as the storage guide says:
        those of a directory, and of a bucket without a prefix, are; those below a prefix are not. `None`: automatic;
        `True`: yes; `False`: no. In Label Studio: *Scan all sub-folders*.
    :param use_blob_urls: Each file becomes one task that shows it. Off for files that describe tasks: JSON, JSON lines,
        CSV or TSV, of which Label Studio's own sync reads the first two. In Label Studio: *Treat every bucket object as
        a source file*.
    :param data_key: Where the address of a file goes in the task's data. By default the first data key of the label
        config.
    :param row_key: The field by which rows of a changed task file are matched with those imported earlier, dotted, as
        written in the row: `id`, `data.filename`; of CSV and TSV, a column. By default by their content, then by their
        neighbours.
    :param on_changed: What becomes of the task of a file, or of a row, that is another one now. Tasks with annotations
        are never updated. `"report"`: only report it; `"update"`: update tasks without annotations; `"add"`: add a new
        task.
    :param source_conn_id: Says how to log in. By default the usual one of the storage: `fs_default`, `aws_default`,
        `google_cloud_default`, `wasb_default`, `hf_default`, `redis_default`, `sftp_default`, `webdav_default`.
    :param label_studio_conn_id: The connection that says where projects live: in a Label Studio server, or in the
        embedded store.
    :param deferrable: Leave the worker while waiting. By default as `[operators] default_deferrable` says.
    """

    template_fields: Sequence[str] = (
        "source",
        "project",
        "create_if_missing",
        "min_objects",
        "settle_seconds",
        "regex_filter",
        "recursive_scan",
        "use_blob_urls",
        "data_key",
        "row_key",
        "on_changed",
        "source_conn_id",
        "label_studio_conn_id",
    )

    def __init__(
        self,
        *,
        source: str | list[str],
        project: int | str,
        create_if_missing: str | None = None,
        min_objects: int = 1,
        settle_seconds: float = 0,
        max_wait: float | timedelta | None = None,
        regex_filter: str | None = None,
        recursive_scan: bool | None = None,
        use_blob_urls: bool = False,
        data_key: str | None = None,
        row_key: str | None = None,
        on_changed: Literal["report", "update", "add"] = "report",
        source_conn_id: str | None = None,
        label_studio_conn_id: str = "label_studio_default",
        **kwargs: Any,
    ) -> None:
        # One dict is to fit both: what else the import takes decides nothing here.
        of_the_import = set(ImportStorageSyncOperator.template_fields)
        super().__init__(max_wait=max_wait, **{name: kwargs[name] for name in kwargs.keys() - of_the_import})
        self.source = source
        self.project = project
        self.create_if_missing = create_if_missing
        self.min_objects = min_objects
        self.settle_seconds = settle_seconds
        self.regex_filter = regex_filter
        self.recursive_scan = recursive_scan
        self.use_blob_urls = use_blob_urls
        self.data_key = data_key
        self.row_key = row_key
        self.on_changed = on_changed
        self.source_conn_id = source_conn_id
        self.label_studio_conn_id = label_studio_conn_id

    def _looking(self, memory: dict[str, Any]) -> "NewObjectsTrigger":
        from labelsync_provider.operators.sources import sources_of
        from labelsync_provider.sensors.parameters import NewObjectsParameters, plain_import_options, plain_parameters
        from labelsync_provider.triggers.storage import NewObjectsTrigger

        parameters = plain_parameters(self, NewObjectsParameters)
        parameters["source"] = sources_of(parameters["source"], parameters["source_conn_id"])
        parameters["max_wait"] = None if self.max_wait is None else self.max_wait.total_seconds()
        parameters["options"] = plain_import_options(self)
        return NewObjectsTrigger(parameters, memory, self.poke_interval)
