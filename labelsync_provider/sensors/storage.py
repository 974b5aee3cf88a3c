"""Waits for what is to be imported."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from labelsync_provider.sensors.looking import LookingSensor

if TYPE_CHECKING:
    from labelsync_provider.triggers.storage import NewObjectsTrigger


class NewObjectsSensor(LookingSensor):
    """Waits for objects in a storage that are new to a project.

    New is what is listed, matches and was not imported into the project by this package; and what is in quarantine, if
    it is worth another try since it, the label config or the options of the import have changed. What has changed in
    objects whose tasks are there is not new. Nothing is read, written or locked.

    Returns counts of objects: `listed`, `matched`, `new`, `retriable` (in quarantine and worth another try), and
    `settled`: False if `max_wait` was over before they had settled.

    Give it the options that the import has: `regex_filter`, `recursive_scan`, `use_blob_urls`, `data_key`, `row_key`,
    `on_changed`. With others, it waits for other objects, and holds everything in quarantine to be worth another try.

    `settle_seconds` are counted from the first look that shows what the later ones show, by the clock of who looks: no
    storage's clock matters, nor that a copy keeps the times of its files. So they are never met by the first look,
    and `poke_interval` should be a part of them. Deferred, they begin anew when the triggerer does.

    All parameters but `max_wait` and `deferrable` are templated.

    :param source: the storage URI, such as `file:///data/photos`.
    :param project: the project's id, or its exact title.
    :param min_objects: so many must be new (or worth another try).
    :param settle_seconds: so long nothing of what is new may have come, gone or changed, in seconds: half of a set is
        not imported.
    :param max_wait: so long settling may take, in seconds, from when there were enough. With `exponential_backoff` it
        is also the longest time between two looks, as in every sensor of Airflow's.
    :param regex_filter: a regular expression, matched from the start of the object's key.
    :param recursive_scan: None is the guide's rule: a local directory is walked recursively, a bucket without
        a prefix is scanned whole, with a prefix its sub-folders are not. True and False say it outright.
    :param use_blob_urls: as the import has it; what was imported as a blob is new as a task file.
    :param data_key: as the import has it.
    :param row_key: as the import has it.
    :param on_changed: as the import has it.
    :param source_conn_id: how to log in; by default the scheme's usual connection, `fs_default` for `file://`.
    :param label_studio_conn_id: the connection that says where projects live.
    :param deferrable: leave the worker while waiting; by default as `[operators] default_deferrable` says.
    """

    template_fields: Sequence[str] = (
        "source",
        "project",
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
        source: str,
        project: int | str,
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
        super().__init__(max_wait=max_wait, **kwargs)
        self.source = source
        self.project = project
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
        from labelsync_provider.sensors.parameters import NewObjectsParameters, plain_import_options, plain_parameters
        from labelsync_provider.triggers.storage import NewObjectsTrigger

        parameters = plain_parameters(self, NewObjectsParameters)
        parameters["max_wait"] = None if self.max_wait is None else self.max_wait.total_seconds()
        parameters["options"] = plain_import_options(self)
        return NewObjectsTrigger(parameters, memory, self.poke_interval)
