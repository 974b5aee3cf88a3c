"""Makes a task of everything that is new in a storage.

Run it as often as you like: what is imported already is not imported again.

Needs two connections: `label_studio_default`, of type Label Studio, which says where projects live, and the one of the
storage, such as `fs_default` or `aws_default`, which says how to log in.
"""

from airflow.sdk import DAG

from labelsync_provider.forms import entered, explained, form
from labelsync_provider.operators.import_storage import ImportStorageSyncOperator

FIELDS = [
    "source",
    "project",
    "dry_run",
    "use_blob_urls",
    "regex_filter",
    "recursive_scan",
    "create_if_missing",
    "data_key",
    "extra_data",
    "row_key",
    "url_mode",
    "presign_ttl",
    "on_changed",
    "on_missing",
    "register_storage",
    "lock_own_sync",
    "allow_static_keys",
    "presign",
    "adopt",
    "restore_deleted",
    "max_delete",
    "max_quarantined",
    "wait_for_lease",
    "source_conn_id",
    "label_studio_conn_id",
]

with DAG(
    dag_id="import_storage_sync",
    dag_display_name="Import a storage into a project",
    description="Makes a task of everything that is new in a storage.",
    doc_md=explained(__doc__, FIELDS),
    schedule=None,
    catchup=False,
    tags=["labelsync", "import"],
    # Retried where a retry may help; what a person must mend fails at once.
    default_args={"retries": 2},
    params=form(FIELDS),
) as dag:
    ImportStorageSyncOperator(task_id="import", task_display_name="Import", **entered(dag, FIELDS))
