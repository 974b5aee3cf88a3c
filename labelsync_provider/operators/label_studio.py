"""Label Studio's own storages: created or updated, and synced by Label Studio itself."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from labelsync_provider.airflow_compat import conf
from labelsync_provider.operators.stopping import StoppableOperator, stoppable
from labelsync_provider.operators.task_errors import task_errors

if TYPE_CHECKING:
    from airflow.sdk import Context

    from labelsync_provider.operators.parameters import SyncParameters
    from labelsync_provider.projects.label_studio.client import Client
    from labelsync_provider.projects.label_studio.sync_state import Storage, SyncState
    from labelsync_provider.projects.label_studio.syncing import Started, Watch
    from labelsync_provider.projects.naming import StorageType

POST_SECONDS = 5.0
"""So long a deferrable task waits for the answer to its request, before it defers."""


class LabelStudioStorageOperator(StoppableOperator):
    """Gives a project of a Label Studio server a storage of Label Studio's own, or updates it. Returns its id.

    A storage is known by the project, its type and its location (bucket or container and prefix; host, port, database
    and path; directory), so that however often this runs, there is one. Every parameter is what the storage is to be
    afterwards; but its title, and credentials that the connection does not hold, stay as they are.

    Label Studio is handed the keys that stand in the storage's connection, and keeps them; `allow_static_keys` must say
    so. For a role, a profile or the like it needs credentials of its own. It reaches `storage` from its own machine:
    hosts and directories are looked for there.

    An import storage is not synced by this, but by `LabelStudioSyncOperator`; a new export storage is synced at once,
    by Label Studio itself. A second export storage of one type is refused: with two, Label Studio on PostgreSQL answers
    every annotation with an error. `ImportStorageSyncOperator` and `ExportAnnotationsOperator` need no such storage.

    All parameters are templated.

    :param project: The project's exact title, or its id.
    :param storage: Where it is, from where Label Studio runs: `s3://bucket/prefix`, `gs://bucket/prefix`,
        `azure-blob://container/prefix`, `hf://datasets/owner/name`, `redis://database/path`, `sftp:///data/photos`,
        `webdav:///photos`, or a directory: `/data/photos`, or as a URI `file:///data/photos`. To Label Studio a prefix
        is a folder.
    :param direction: Which of Label Studio's storages it is. `"import"`: a source storage; `"export"`: a target
        storage.
    :param storage_conn_id: Says how to log in. By default the usual one of the storage: `fs_default`, `aws_default`,
        `google_cloud_default`, `wasb_default`, `hf_default`, `redis_default`, `sftp_default`, `webdav_default`.
    :param label_studio_conn_id: The connection of the Label Studio server.
    :param title: What it is called. By default of a new storage, its URI.
    :param regex_filter: A regular expression, matched from the start of the object's key, such as `.*[.](jpe?g|png)$`.
        Of a source storage; that of local files is matched from the start of the file's name. By default all objects.
        In Label Studio: *File Filter Regex*.
    :param use_blob_urls: Each file becomes one task that shows it. Off for files that describe tasks: JSON or JSON
        lines. Of a source storage. In Label Studio: *Treat every bucket object as a source file*.
    :param recursive_scan: Whether objects in sub-folders are imported too. Automatically, as the storage guide says:
        those of a directory, and of a bucket without a prefix, are; those below a prefix are not. `None`: automatic;
        `True`: yes; `False`: no. Of a source storage. In Label Studio: *Scan all sub-folders*.
    :param presign: Whether a source storage in a bucket hands out signed URLs. Off, Label Studio passes the bytes
        through. In Label Studio: *Use pre-signed URLs*.
    :param presign_ttl: For how many minutes a signed URL can be used. In Label Studio: *Expire pre-signed URLs*.
    :param can_delete_objects: Whether a target storage on S3 or local files has objects deleted whose annotation is. By
        default as Label Studio has it. In Label Studio: *Can delete objects from storage*.
    :param synchronizable: Off keeps everybody from syncing it.
    :param allow_static_keys: Label Studio may be handed the keys that stand in the storage's connection, and keeps
        them: best keys that may only read. Off, a storage that needs them is refused. By plain `http://` to another
        machine none are sent either way.
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
        "allow_static_keys",
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
        allow_static_keys: bool = False,
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
        self.allow_static_keys = allow_static_keys

    @stoppable
    def execute(self, context: "Context") -> int:
        """Create or update the storage; return its id."""
        from labelsync_provider.hooks.label_studio_storages import label_studio_storage, opened_server
        from labelsync_provider.operators.parameters import StorageParameters, options_of
        from labelsync_provider.projects.label_studio.static_keys import check_handover
        from labelsync_provider.projects.label_studio.storing import put_storage

        with task_errors():
            given = options_of(self, StorageParameters)
            wanted = label_studio_storage(given.storage, given.storage_conn_id)
            with opened_server(given.label_studio_conn_id, given.project, self.stop) as (client, project_id):
                check_handover(wanted.uri, wanted.login, client.url, allowed=given.allow_static_keys)
                storage_id, created = put_storage(client, project_id, given.direction, wanted, given)
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

    A sync that fails, or is completed with errors, fails the task with what Label Studio says. So does an export that
    has dealt with fewer annotations than the project has. Of uploads that failed, Label Studio tells nothing: it counts
    them, and calls the export completed. `ExportAnnotationsOperator` verifies each object that it writes.

    A sync cannot be stopped: it goes on when the task is killed or late. A retry then waits for it. One whose server
    died stays in progress for ever, until somebody lists the project's storages, as is done here for a URI; five
    minutes after its last sign of life it is believed dead, and another one started.

    All parameters are templated.

    :param project: The project's exact title, or its id.
    :param storage: The storage URI, such as `s3://bucket/photos`, or the id that `LabelStudioStorageOperator` returns.
    :param direction: Which of Label Studio's storages it is. `"import"`: a source storage; `"export"`: a target
        storage.
    :param storage_type: With an id, Label Studio's word for the service, such as `s3` or `localfiles`. Each has ids of
        its own. By default that of the storage URI.
    :param storage_conn_id: With a URI, says how to log in. By default the usual one of the storage: `fs_default`,
        `aws_default`, `google_cloud_default`, `wasb_default`, `hf_default`, `redis_default`, `sftp_default`,
        `webdav_default`.
    :param label_studio_conn_id: The connection of the Label Studio server.
    :param timeout: So long the end is waited for, in seconds. A request that is on its way meanwhile is let end.
    :param poll_interval: Seconds between two looks.
    :param deferrable: Leave the worker while waiting. By default as `[operators] default_deferrable` says.
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
        storage_type: "StorageType | None" = None,
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
        from labelsync_provider.projects.label_studio.sync_state import report_of
        from labelsync_provider.projects.label_studio.syncing import Watch, start_sync

        with task_errors():
            given = self._given()
            deadline = time.time() + given.timeout
            with opened_server(given.label_studio_conn_id, given.project, self.stop) as (client, project_id):
                named = (given.direction, given.storage, given.storage_type, given.storage_conn_id)
                storage = find_own_storage(client, project_id, *named)
                short = min(POST_SECONDS, given.timeout) if given.deferrable else None
                started = start_sync(client, project_id, storage, short)
                watch = Watch(storage, started.attempt)
                state = started.state
                if not watch.is_over(state):
                    if given.deferrable:
                        self._defer(given, storage, started, deadline)
                    state = self._wait(client, watch, given, deadline)
            return report_of(storage, state, joined=started.joined)

    def execute_complete(self, context: "Context", event: dict[str, Any]) -> dict[str, Any]:
        """Return the report of the sync, of which the trigger has seen the end.

        :raises AirflowException: it failed, or has not ended within `timeout`; or it could not be looked at.
        :raises AirflowFailException: it could not be looked at, and a retry does not help.
        """
        from labelsync_provider.airflow_compat import AirflowException, AirflowFailException
        from labelsync_provider.projects.label_studio.sync_state import Storage, SyncState, late, report_of

        if "error" in event:
            raise (AirflowException if event["retry_may_help"] else AirflowFailException)(event["error"])
        with task_errors():
            storage, state = Storage(**event["storage"]), SyncState(**event["state"])
            if not event["is_over"]:
                raise late(storage, state, self._given().timeout)
            return report_of(storage, state, joined=event["joined"])

    def _given(self) -> "SyncParameters":
        """Return the parameters.

        :raises Invalid: one is not what it can be.
        """
        from labelsync_provider.operators.parameters import SyncParameters, options_of

        return options_of(self, SyncParameters)

    def _defer(self, given: "SyncParameters", storage: "Storage", started: "Started", deadline: float) -> None:
        from labelsync_provider.triggers.label_studio import LabelStudioSyncTrigger

        trigger = LabelStudioSyncTrigger(
            given.label_studio_conn_id,
            storage.direction,
            storage.type,
            storage.id,
            started.attempt,
            started.joined,
            deadline,
            given.poll_interval,
        )
        self.log.info("Waiting for the %s, outside the worker.", storage)
        self.defer(trigger=trigger, method_name="execute_complete")

    def _wait(self, client: "Client", watch: "Watch", given: "SyncParameters", deadline: float) -> "SyncState":
        """Look until the sync is over."""
        from labelsync_provider.projects.label_studio.sync_state import late
        from labelsync_provider.projects.label_studio.syncing import read_state

        while True:
            self.stop.sleep(min(given.poll_interval, deadline - time.time()))
            state = read_state(client, watch.storage)
            if watch.is_over(state):
                return state
            if time.time() >= deadline:
                raise late(watch.storage, state, given.timeout)
            self.log.info("The %s: %s, %d so far.", watch.storage, state.status, state.count)
