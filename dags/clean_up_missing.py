"""Deletes the tasks of objects that are gone from a storage, once a person has agreed.

First it looks what is missing, and writes nothing. Then it waits, under *Required Actions*, for a person to decide,
who sees how many tasks would go. No more than these are deleted, and never one with annotations. The last step is an
import: what is new in the storage comes in too.

Needs two connections: `label_studio_default`, of type Label Studio, which says where projects live, and the one of the
storage, such as `fs_default` or `aws_default`, which says how to log in.
"""

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, task

from labelsync_provider.forms import entered, explained, form
from labelsync_provider.operators.import_storage import ImportStorageSyncOperator

FIELDS = [
    "source",
    "project",
    "use_blob_urls",
    "regex_filter",
    "recursive_scan",
    "row_key",
    "source_conn_id",
    "label_studio_conn_id",
]
ANY_NUMBER = 2**31
WOULD_GO = "{{ ti.xcom_pull(task_ids='look')['tasks_deleted'] }}"
BODY = f"""
{{% set report = ti.xcom_pull(task_ids='look') %}}
Of `{{{{ params.source }}}}`, {{{{ report['missing'] }}}} rows or files are gone. **{WOULD_GO} tasks would be deleted**;
those with annotations stay. {{{{ report['tasks_created'] }}}} new tasks would be imported.
"""

RETRIES = {"retries": 2}

# Outside of the DAG, whose form it would show the person once more: Airflow 3.1 refuses one with a required field.
approve = ApprovalOperator(
    task_id="approve",
    task_display_name="A person decides",
    subject=f"Delete {WOULD_GO} tasks of project {{{{ params.project }}}}?",
    body=BODY,
    **RETRIES,
)

with DAG(
    dag_id="clean_up_missing",
    dag_display_name="Delete tasks whose object is gone",
    description="Looks what is gone from a storage, asks a person, and deletes the tasks.",
    doc_md=explained(__doc__, FIELDS),
    schedule=None,
    catchup=False,
    tags=["labelsync", "import"],
    # Retried where a retry may help; what a person must mend fails at once.
    default_args=RETRIES,
    params=form(FIELDS),
) as dag:
    given = entered(dag, FIELDS)

    look = ImportStorageSyncOperator(
        task_id="look",
        task_display_name="Look what is missing",
        on_missing="delete",
        max_delete=ANY_NUMBER,
        dry_run=True,
        **given,
    )

    @task.short_circuit(task_display_name="Is there anything to delete?")
    def anything_to_delete(report: dict[str, int]) -> bool:
        """Tell whether a person has to be asked."""
        return report["tasks_deleted"] > 0

    delete = ImportStorageSyncOperator(
        task_id="delete",
        task_display_name="Delete them",
        on_missing="delete",
        max_delete=WOULD_GO,
        **given,
    )
    anything_to_delete(look.output) >> approve >> delete
