"""What parameters mean that no form asks for, or that mean something else in code than in a form.

Of all others, `parameter_texts` says it.
"""

from collections.abc import Mapping
from dataclasses import replace

from labelsync_provider.parameter_texts import PARAMETERS, WHERE
from labelsync_provider.parameters import Parameter

SERVER = replace(PARAMETERS["label_studio_conn_id"], meaning="The connection of the Label Studio server.")
DIRECTION = Parameter(
    title="Direction",
    meaning="Which of Label Studio's storages it is.",
    default="import",
    choices={"import": "A source storage", "export": "A target storage"},
)
DEFERRABLE = Parameter(
    title="Deferrable",
    meaning="Leave the worker while waiting.",
    kind="boolean",
    default=False,
    by_default="as `[operators] default_deferrable` says",
)
ONE_STORAGE = {
    "storage": Parameter(
        title="Storage",
        meaning="The storage URI, such as `s3://bucket/photos`, or the id that `LabelStudioStorageOperator` returns.",
        required=True,
    ),
    "direction": DIRECTION,
    "storage_type": Parameter(
        title="Type",
        meaning="With an id, Label Studio's word for the service, such as `s3` or `localfiles`. Each has ids of its "
        "own.",
        by_default="that of the storage URI",
    ),
    "storage_conn_id": replace(PARAMETERS["storage_conn_id"], meaning="With a URI, says how to log in."),
    "label_studio_conn_id": SERVER,
    "deferrable": DEFERRABLE,
}

OF_ONE: Mapping[str, Mapping[str, Parameter]] = {
    "ImportStorageSyncOperator": {
        "batch_size": replace(
            PARAMETERS["batch_size"],
            meaning="The most tasks that are sent, and entered in the ledger, at once. The first batch to a server has "
            "up to 250, each next up to twice as many, as long as answers take less than half of the connection's "
            "`read_timeout`; after a batch that fails, half as many. A batch of 8 MB is full. The embedded store takes "
            "1,000 at once.",
            default=10_000,
        )
    },
    "NewObjectsSensor": {
        "source": replace(PARAMETERS["source"], in_code="Or a list of these, which are looked at together."),
        "create_if_missing": replace(
            PARAMETERS["create_if_missing"],
            meaning="What the import has: if no project has this title yet, everything is new.",
            by_default="a project that is not there fails the task",
        ),
        "max_wait": Parameter(
            title="Wait at most",
            meaning="So long settling may take, in seconds, from when there were enough. With `exponential_backoff` it "
            "is also the longest time between two looks, as in every sensor of Airflow's.",
            by_default="as long as it takes",
        ),
        "deferrable": DEFERRABLE,
    },
    "LabelingProgressSensor": {
        "min_annotated": Parameter(
            title="Annotated tasks", meaning="So many tasks must be annotated.", by_default="any number"
        ),
        "min_share": Parameter(
            title="Share",
            meaning="Such a share of the tasks must be annotated, `0.8` for 80 %. Of no tasks, none is.",
            by_default="any share",
        ),
        "min_new": Parameter(
            title="New ones",
            meaning="So many annotated tasks must be new, or have changed, `since`. The embedded store keeps no time "
            "of changes: only what was never exported is new there.",
            by_default="any number",
        ),
        "since": Parameter(
            title="Since",
            meaning="From when on tasks are new.",
            default="last_export",
            choices={"last_export": "The last complete one to `target`"},
        ),
        "target": Parameter(
            title="Target",
            meaning="With `min_new`, the storage URI that `ExportAnnotationsOperator` writes to.",
            by_default="none",
        ),
        "deferrable": DEFERRABLE,
    },
    "StorageSyncSensor": ONE_STORAGE,
    "LabelStudioSyncOperator": {
        **ONE_STORAGE,
        "timeout": Parameter(
            title="Wait at most",
            meaning="So long the end is waited for, in seconds. A request that is on its way meanwhile is let end.",
            default=3600,
        ),
        "poll_interval": Parameter(title="Look every", meaning="Seconds between two looks.", default=10),
    },
    "LabelStudioStorageOperator": {
        "storage": Parameter(
            title="Storage",
            meaning=f"Where it is, from where Label Studio runs: {WHERE} To Label Studio a prefix is a folder.",
            required=True,
        ),
        "direction": DIRECTION,
        "label_studio_conn_id": SERVER,
        "title": Parameter(title="Title", meaning="What it is called.", by_default="of a new storage, its URI"),
        "regex_filter": replace(
            PARAMETERS["regex_filter"],
            in_code="Of a source storage; that of local files is matched from the start of the file's name.",
        ),
        "use_blob_urls": replace(
            PARAMETERS["use_blob_urls"],
            meaning="Each file becomes one task that shows it. Off for files that describe tasks: JSON or JSON lines.",
            in_code="Of a source storage.",
        ),
        "recursive_scan": replace(PARAMETERS["recursive_scan"], in_code="Of a source storage."),
        "presign": replace(
            PARAMETERS["presign"],
            meaning="Whether a source storage in a bucket hands out signed URLs. Off, Label Studio passes the bytes "
            "through.",
        ),
        "can_delete_objects": replace(
            PARAMETERS["can_delete_objects"],
            meaning="Whether a target storage on S3 or local files has objects deleted whose annotation is.",
            default=None,
            by_default="as Label Studio has it",
        ),
        "synchronizable": Parameter(
            title="Can be synced", meaning="Off keeps everybody from syncing it.", kind="boolean", default=True
        ),
    },
}


def text_of(kind: type, name: str) -> Parameter:
    """Return what is said of a parameter of an operator or a sensor."""
    return OF_ONE.get(kind.__name__, {}).get(name) or PARAMETERS[name]
