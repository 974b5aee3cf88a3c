"""Label Studio's own storages: created or updated, and synced by Label Studio itself."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import BaseOperator, conf

from labelsync_provider.operators.stopping import StoppableOperator, stoppable
from labelsync_provider.operators.task_errors import task_errors

if TYPE_CHECKING:
    from airflow.sdk import Context

    from labelsync_provider.projects.label_studio_client import Client
    from labelsync_provider.projects.label_studio_sync import Started, Storage, SyncState, Watch

POST_SECONDS = 5.0
"""So long a deferrable task waits for the answer to its request, before it defers."""


class LabelStudioStorageOperator(BaseOperator):
    """Gives a project of a Label Studio server a storage of Label Studio's own, or updates it. Returns its id.

    A storage is known by the project, its type and its location (bucket or container and prefix; host, port, database
    and path; directory), so that however often this runs, there is one. Every parameter is what the storage is to be
    afterwards; but its title, and credentials that the connection does not hold, stay as they are.

    Label Studio is told the keys that stand in the storage's connection. For a role, a profile or the like it needs
    credentials of its own. It takes `storage` from its own machine: hosts and directories are looked for there.

    An import storage is not synced by this, see `LabelStudioSyncOperator`; that of a new export storage Label Studio
    syncs at once. A second export storage of one type is refused: with two, Label Studio on PostgreSQL answers every
    annotation with an error. `ImportStorageSyncOperator` and `ExportAnnotationsOperator` need no such storage.

    All parameters are templated.

    :param project: the project's id, or its exact title.
    :param storage: the storage URI, such as `s3://bucket/photos`. To Label Studio a prefix is a folder.
    :param direction: `"import"` for a source storage, `"export"` for a target storage.
    :param storage_conn_id: how to log in; by default the scheme's usual connection, `aws_default` for `s3://`.
    :param label_studio_conn_id: the connection of the server.
    :param title: by default, of a new storage, its URI.
    :param regex_filter: of an import storage, a regular expression, matched from the start of the object's key; of
        local files, from the start of the file's name.
    :param use_blob_urls: of an import storage, treat every object as a source file: one task per object.
    :param recursive_scan: of an import storage; None is the guide's rule: a local directory is walked recursively, a
        bucket without a prefix is scanned whole, with a prefix its sub-folders are not.
    :param presign: of an import storage in a bucket, hand out signed URLs; else Label Studio passes the bytes through.
    :param presign_ttl: the life of a signed URL, in minutes.
    :param can_delete_objects: of an export storage on S3 or local files, delete objects whose annotation is deleted.
    :param synchronizable: False keeps everybody from syncing it.
    """

    template_fields: Sequence[str] = (
        "project",
        "storage",
        "direction",
        "storage_conn_id",
        "label_studio_conn_id",
        "title",
        "regex_filter",
        "use_blob_urls",
        "recursive_scan",
        "presign",
        "presign_ttl",
        "can_delete_objects",
        "synchronizable",
    )

    ui_color = "#fde9d6"

    def __init__(
        self,
        *,
        project: int | str,
        storage: str,
        direction: Literal["import", "export"] = "import",
        storage_conn_id: str | None = None,
        label_studio_conn_id: str = "label_studio_default",
        title: str | None = None,
        regex_filter: str | None = None,
        use_blob_urls: bool = False,
        recursive_scan: bool | None = None,
        presign: bool = True,
        presign_ttl: int = 15,
        can_delete_objects: bool | None = None,
        synchronizable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.project = project
        self.storage = storage
        self.direction = direction
        self.storage_conn_id = storage_conn_id
        self.label_studio_conn_id = label_studio_conn_id
        self.title = title
        self.regex_filter = regex_filter
        self.use_blob_urls = use_blob_urls
        self.recursive_scan = recursive_scan
        self.presign = presign
        self.presign_ttl = presign_ttl
        self.can_delete_objects = can_delete_objects
        self.synchronizable = synchronizable

    def execute(self, context: "Context") -> int:
        """Create or update the storage."""
        from labelsync_provider.hooks.label_studio_storages import opened_server
        from labelsync_provider.hooks.storage import storage_hook
        from labelsync_provider.operators.parameters import StorageParameters, options_of
        from labelsync_provider.projects.label_studio_storages import StorageOptions, put_storage

        with task_errors():
            given = options_of(self, StorageParameters)
            options = StorageOptions(
                title=given.title,
                regex_filter=given.regex_filter,
                use_blob_urls=given.use_blob_urls,
                recursive_scan=given.recursive_scan,
                presign=given.presign,
                presign_ttl=given.presign_ttl,
                can_delete_objects=given.can_delete_objects,
                synchronizable=given.synchronizable,
            )
            wanted = storage_hook("storage", given.storage, given.storage_conn_id).label_studio_storage(given.storage)
            with opened_server(given.label_studio_conn_id, given.project) as (client, project_id):
                storage_id, created = put_storage(client, project_id, given.direction, wanted, options)
        done = "Created" if created else "Updated"
        what = (done, given.direction, storage_id, wanted.uri, project_id)
        self.log.info("%s the %s storage %d, %s, of project %d.", *what)
        return storage_id


class LabelStudioSyncOperator(StoppableOperator):
    """Has Label Studio sync one of its own storages, and waits for the end. Returns the report.

    The report has `storage_id`, `storage_type`, `direction`, `status`, `attempts` (which of the storage's syncs it
    was), `tasks_created` and `tasks_existed` or `annotations`, `seconds` by Label Studio's clock, and `joined`:
    whether a sync was in progress already, which was waited for instead, so that objects which came since may wait for
    the next one.

    A sync that fails, or is completed with errors, fails the task with what Label Studio says. But it says that
    an export is completed even if uploads failed: the count is compared, and tells nothing of them.
    `ExportAnnotationsOperator` verifies each object that it writes.

    A sync cannot be stopped: it goes on when the task is killed or late. A retry then waits for it. One whose server
    died stays in progress for ever, until somebody lists the project's storages, as is done here for a URI; five
    minutes after its last sign of life it is believed dead, and another one started.

    All parameters are templated.

    :param project: the project's id, or its exact title.
    :param storage: the storage URI, such as `s3://bucket/photos`, or the id that `LabelStudioStorageOperator` returns.
    :param direction: `"import"` for a source storage, `"export"` for a target storage.
    :param storage_type: with an id, Label Studio's word for the service: `"s3"`, `"gcs"`, `"azure"`, `"redis"` or
        `"localfiles"`. Each has ids of its own.
    :param storage_conn_id: with a URI, how the storage is logged in to; by default the scheme's usual connection.
    :param label_studio_conn_id: the connection of the server.
    :param timeout: so long the end is waited for, in seconds; a request that is on its way meanwhile is let end.
    :param poll_interval: between two looks, in seconds.
    :param deferrable: leave the worker while waiting; by default as `[operators] default_deferrable` says.
    """

    template_fields: Sequence[str] = (
        "project",
        "storage",
        "direction",
        "storage_type",
        "storage_conn_id",
        "label_studio_conn_id",
        "timeout",
        "poll_interval",
        "deferrable",
    )

    ui_color = "#fde9d6"

    def __init__(
        self,
        *,
        project: int | str,
        storage: int | str,
        direction: Literal["import", "export"] = "import",
        storage_type: Literal["s3", "gcs", "azure", "redis", "localfiles"] | None = None,
        storage_conn_id: str | None = None,
        label_studio_conn_id: str = "label_studio_default",
        timeout: float = 3600,
        poll_interval: float = 10,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.project = project
        self.storage = storage
        self.direction = direction
        self.storage_type = storage_type
        self.storage_conn_id = storage_conn_id
        self.label_studio_conn_id = label_studio_conn_id
        self.timeout = timeout
        self.poll_interval = poll_interval
        self.deferrable = deferrable

    @stoppable
    def execute(self, context: "Context") -> dict[str, Any]:
        """Sync, and return the report; or leave the worker and come back through `execute_complete`."""
        from labelsync_provider.hooks.label_studio_storages import find_own_storage, opened_server
        from labelsync_provider.projects.label_studio_sync import Watch, report_of, start_sync
        from labelsync_provider.retry import Requests, count_in

        with task_errors():
            self._check()
            deadline = time.time() + self.timeout
            with opened_server(self.label_studio_conn_id, self.project) as (client, project_id):
                count_in(Requests(self.stop), client)
                named = (self.direction, self.storage, self.storage_type, self.storage_conn_id)
                storage = find_own_storage(client, project_id, *named)
                short = min(POST_SECONDS, self.timeout) if self.deferrable else None
                started = start_sync(client, project_id, storage, short)
                watch = Watch(storage, started.attempt)
                state = started.state
                if not watch.is_over(state):
                    if self.deferrable:
                        self._defer(storage, started, deadline)
                    state = self._wait(client, watch, deadline)
            return report_of(storage, state, joined=started.joined)

    def execute_complete(self, context: "Context", event: dict[str, Any]) -> dict[str, Any]:
        """Return the report of what the trigger has seen."""
        from airflow.sdk.exceptions import AirflowException, AirflowFailException

        from labelsync_provider.projects.label_studio_sync import Storage, SyncState, late, report_of

        if "error" in event:
            raise (AirflowException if event["retry_may_help"] else AirflowFailException)(event["error"])
        with task_errors():
            storage, state = Storage(**event["storage"]), SyncState(**event["state"])
            if not event["is_over"]:
                raise late(storage, state, self.timeout)
            return report_of(storage, state, joined=event["joined"])

    def _check(self) -> None:
        """Make sure of the parameters.

        :raises Invalid: one makes no sense.
        """
        from labelsync_provider.errors import check_flags, invalid
        from labelsync_provider.hooks.label_studio_storages import check_storage

        check_flags(self, "deferrable")
        for name in ("timeout", "poll_interval"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
                raise invalid(name, value, "no length of time", "Use a number of seconds.")
        check_storage(self.direction, self.storage, self.storage_type)

    def _defer(self, storage: "Storage", started: "Started", deadline: float) -> None:
        from labelsync_provider.triggers.label_studio import LabelStudioSyncTrigger

        trigger = LabelStudioSyncTrigger(
            self.label_studio_conn_id,
            storage.direction,
            storage.type,
            storage.id,
            started.attempt,
            started.joined,
            deadline,
            self.poll_interval,
        )
        self.log.info("Waiting for the %s, outside the worker.", storage)
        self.defer(trigger=trigger, method_name="execute_complete")

    def _wait(self, client: "Client", watch: "Watch", deadline: float) -> "SyncState":
        """Look until the sync is over."""
        from labelsync_provider.projects.label_studio_sync import late, read_state

        while True:
            self.stop.sleep(min(self.poll_interval, deadline - time.time()))
            state = read_state(client, watch.storage)
            if watch.is_over(state):
                return state
            if time.time() >= deadline:
                raise late(watch.storage, state, self.timeout)
            self.log.info("The %s: %s, %d so far.", watch.storage, state.status, state.count)
