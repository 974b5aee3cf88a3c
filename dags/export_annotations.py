"""Writes what is new or has changed in a project to a storage.

Run it as often as you like: what is written already is not written again.

Needs two connections: `label_studio_default`, of type Label Studio, which says where projects live, and the one of the
storage, such as `fs_default` or `aws_default`, which says how to log in.
"""

from airflow.sdk import DAG

from labelsync_provider.forms import entered, explained, form
from labelsync_provider.operators.export_annotations import ExportAnnotationsOperator

FIELDS = [
    "project",
    "target",
    "dry_run",
    "include_cancelled",
    "layout",
    "key_template",
    "can_delete_objects",
    "full",
    "wait_for_lease",
    "target_conn_id",
    "label_studio_conn_id",
]

with DAG(
    dag_id="export_annotations",
    dag_display_name="Export annotations to a storage",
    description="Writes what is new or has changed in a project to a storage.",
    doc_md=explained(__doc__, FIELDS),
    schedule=None,
    catchup=False,
    tags=["labelsync", "export"],
    # Retried where a retry may help; what a person must mend fails at once.
    default_args={"retries": 2},
    params=form(FIELDS),
) as dag:
    ExportAnnotationsOperator(task_id="export", task_display_name="Export", **entered(dag, FIELDS))
