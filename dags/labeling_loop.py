"""Waits for new objects, imports them, waits for their labels, and exports these. One run is one round.

While it waits, it takes no worker. To have it go round and round, copy this file, give the copy a `dag_id` of its own,
write what its form asks for into it, `params=form(FIELDS, source="/data/photos", project="Street signs",
target="/data/labels")`, and set `schedule="@continuous"`.

Needs three connections: `label_studio_default`, of type Label Studio, which says where projects live, and those of the
two storages, such as `fs_default` or `aws_default`, which say how to log in. The project must be there.
"""

from airflow.sdk import DAG, chain

from labelsync_provider.forms import entered, explained, form
from labelsync_provider.operators.export_annotations import ExportAnnotationsOperator
from labelsync_provider.operators.import_storage import ImportStorageSyncOperator
from labelsync_provider.sensors.project import LabelingProgressSensor
from labelsync_provider.sensors.storage import NewObjectsSensor

PROJECT = ["project", "label_studio_conn_id"]
SOURCE = [*PROJECT, "source", "use_blob_urls", "regex_filter", "recursive_scan", "source_conn_id"]
TARGET = [*PROJECT, "target", "target_conn_id"]
FIELDS = [
    *("source", "project", "target"),
    *("use_blob_urls", "regex_filter", "recursive_scan", "min_objects", "settle_seconds", "min_new"),
    *("source_conn_id", "target_conn_id", "label_studio_conn_id"),
]

with DAG(
    dag_id="labeling_loop",
    dag_display_name="Labeling loop",
    description="Waits for new objects, imports them, waits for their labels, exports these.",
    doc_md=explained(__doc__, FIELDS),
    schedule=None,
    catchup=False,
    max_active_runs=1,
    tags=["labelsync", "import", "export"],
    # Retried where a retry may help; what a person must mend fails at once.
    default_args={"retries": 2},
    params=form(FIELDS),
) as dag:

    def given(*names: str) -> dict[str, object]:
        """Return what was entered in the form."""
        return entered(dag, names)

    chain(
        NewObjectsSensor(
            task_id="wait_for_objects",
            task_display_name="Wait for new objects",
            mode="reschedule",
            **given(*SOURCE, "min_objects", "settle_seconds"),
        ),
        ImportStorageSyncOperator(task_id="import", task_display_name="Import them", **given(*SOURCE)),
        LabelingProgressSensor(
            task_id="wait_for_labels",
            task_display_name="Wait for labels",
            mode="reschedule",
            **given(*TARGET, "min_new"),
        ),
        ExportAnnotationsOperator(task_id="export", task_display_name="Export them", **given(*TARGET)),
    )
