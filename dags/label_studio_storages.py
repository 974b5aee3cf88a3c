"""Adds a storage of Label Studio's own to a project, or has Label Studio sync one.

This is what *Cloud Storage* in a project's settings does. To import and export with this package, no storage of Label
Studio's own is needed, except for annotators to see files; *Import a storage into a project* can add that one.

**Label Studio is handed the keys that stand in the storage's connection, and keeps them,** which must be allowed: best
are keys that may only read a source. It looks for hosts and directories from its
own machine.

Needs two connections: `label_studio_default`, of type Label Studio, to a Label Studio server, and the one of the
storage, such as `fs_default` or `aws_default`.
"""

from airflow.sdk import DAG, task

from labelsync_provider.forms import entered, explained, form
from labelsync_provider.operators.label_studio import LabelStudioStorageOperator, LabelStudioSyncOperator

STORAGE = ["project", "storage", "storage_conn_id", "label_studio_conn_id"]
OPTIONS = ["use_blob_urls", "regex_filter", "recursive_scan", "presign", "presign_ttl", "allow_static_keys"]
FIELDS = ["project", "storage", "action", *OPTIONS, "can_delete_objects", "storage_conn_id", "label_studio_conn_id"]
TARGET = "'target' in (params.action or '')"
DIRECTION = f"{{{{ 'export' if {TARGET} else 'import' }}}}"

with DAG(
    dag_id="label_studio_storages",
    dag_display_name="Label Studio: add or sync a storage",
    description="Adds a storage of Label Studio's own to a project, or has Label Studio sync one.",
    doc_md=explained(__doc__, FIELDS),
    schedule=None,
    catchup=False,
    tags=["labelsync", "label studio"],
    default_args={"retries": 2},
    params=form(FIELDS),
) as dag:
    where = entered(dag, STORAGE)

    @task.branch(task_display_name="What to do")
    def what_to_do(action: str | None) -> str:
        """Return the task to be done."""
        return "sync" if (action or "").startswith("sync") else "add"

    add = LabelStudioStorageOperator(
        task_id="add",
        task_display_name="Add the storage, or update it",
        direction=DIRECTION,
        can_delete_objects=f"{{{{ params.can_delete_objects if {TARGET} else None }}}}",
        **where,
        **entered(dag, OPTIONS),
    )
    sync = LabelStudioSyncOperator(task_id="sync", task_display_name="Sync the storage", direction=DIRECTION, **where)
    what_to_do(**entered(dag, ["action"])) >> [add, sync]
