"""Waits for Label Studio's own sync of one of its storages."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from labelsync_provider.sensors.looking import LookingSensor

if TYPE_CHECKING:
    from labelsync_provider.projects.naming import StorageType
    from labelsync_provider.triggers.label_studio import StorageSyncTrigger


class StorageSyncSensor(LookingSensor):
    """Waits until the latest sync of one of Label Studio's own storages has ended, whoever started it.

    One that was never synced is waited for; one whose latest sync is over is not. To start a sync and wait for that
    very one, use `LabelStudioSyncOperator`, whose docstring says what Label Studio tells of a sync, and what not.

    Returns `storage_id`, `storage_type`, `direction`, `status`, `attempts` (which of the storage's syncs it was),
    `tasks_created` and `tasks_existed` or `annotations`, and `seconds` by Label Studio's clock. A sync that failed, or
    was completed with errors, fails the task for good with what Label Studio says, or skips it with `soft_fail`.

    All parameters but `deferrable` are templated.

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
    :param deferrable: Leave the worker while waiting. By default as `[operators] default_deferrable` says.
    """

    template_fields: Sequence[str] = (
        "project",
        "storage",
        "direction",
        "storage_type",
        "storage_conn_id",
        "label_studio_conn_id",
    )

    def __init__(
        self,
        *,
        project: int | str,
        storage: int | str,
        direction: Literal["import", "export"] = "import",
        storage_type: "StorageType | None" = None,
        storage_conn_id: str | None = None,
        label_studio_conn_id: str = "label_studio_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.project = project
        self.storage = storage
        self.direction = direction
        self.storage_type = storage_type
        self.storage_conn_id = storage_conn_id
        self.label_studio_conn_id = label_studio_conn_id

    def _looking(self, memory: dict[str, Any]) -> "StorageSyncTrigger":
        from labelsync_provider.operators.parameters import OwnStorageParameters
        from labelsync_provider.sensors.parameters import plain_parameters
        from labelsync_provider.triggers.label_studio import StorageSyncTrigger

        return StorageSyncTrigger(plain_parameters(self, OwnStorageParameters), memory, self.poke_interval)
