"""Waits for annotators."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from labelsync_provider.sensors.looking import LookingSensor

if TYPE_CHECKING:
    from labelsync_provider.triggers.project import LabelingProgressTrigger


class LabelingProgressSensor(LookingSensor):
    """Waits until enough of a project is annotated. At least one minimum must be given; all that are given must hold.

    In a Label Studio server, a task is annotated when it counts as finished there, which is the share that its page of
    projects shows: as many people have annotated it as `maximum_annotations` says, and skipping it does not count,
    unless the project ignores skipped tasks. In the embedded store it is when it has an annotation that was not
    cancelled.

    Returns `tasks`, `annotated` and `share`, if `min_annotated` or `min_share` is given, and `new`, if `min_new` is.
    `share` is from 0 to 1. Each look is one request that the server answers by counting; `min_new` and a personal
    access token cost one more each, and so does a title at the first look.

    All parameters but `deferrable` are templated.

    :param project: The project's exact title, or its id.
    :param min_annotated: So many tasks must be annotated. By default any number.
    :param min_share: Such a share of the tasks must be annotated, `0.8` for 80 %. Of no tasks, none is. By default any
        share.
    :param min_new: So many annotated tasks must be new, or have changed, `since`. The embedded store keeps no time of
        changes: only what was never exported is new there. By default any number.
    :param since: From when on tasks are new. `"last_export"`: the last complete one to `target`.
    :param target: With `min_new`, the storage URI that `ExportAnnotationsOperator` writes to. By default none.
    :param target_conn_id: Says how to log in. By default the usual one of the storage: `fs_default`, `aws_default`,
        `google_cloud_default`, `wasb_default`, `hf_default`, `redis_default`, `sftp_default`, `webdav_default`.
    :param label_studio_conn_id: The connection that says where projects live: in a Label Studio server, or in the
        embedded store.
    :param deferrable: Leave the worker while waiting. By default as `[operators] default_deferrable` says.
    """

    template_fields: Sequence[str] = (
        "project",
        "min_annotated",
        "min_share",
        "min_new",
        "since",
        "target",
        "target_conn_id",
        "label_studio_conn_id",
    )

    def __init__(
        self,
        *,
        project: int | str,
        min_annotated: int | None = None,
        min_share: float | None = None,
        min_new: int | None = None,
        since: Literal["last_export"] = "last_export",
        target: str | None = None,
        target_conn_id: str | None = None,
        label_studio_conn_id: str = "label_studio_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.project = project
        self.min_annotated = min_annotated
        self.min_share = min_share
        self.min_new = min_new
        self.since = since
        self.target = target
        self.target_conn_id = target_conn_id
        self.label_studio_conn_id = label_studio_conn_id

    def _looking(self, memory: dict[str, Any]) -> "LabelingProgressTrigger":
        from labelsync_provider.sensors.parameters import LabelingProgressParameters, plain_parameters
        from labelsync_provider.triggers.project import LabelingProgressTrigger

        return LabelingProgressTrigger(plain_parameters(self, LabelingProgressParameters), memory, self.poke_interval)
