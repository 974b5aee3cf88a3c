"""An import that takes its time, so that it can be stopped."""

from datetime import timedelta

from airflow.sdk import DAG, Param

from labelsync_provider.operators.import_storage import ImportStorageSyncOperator

with DAG(
    "slow_import",
    schedule=None,
    params={"source": Param("", type="string"), "project": Param(0, type="integer")},
):
    ImportStorageSyncOperator(
        task_id="import",
        source="{{ params.source }}",
        project="{{ params.project }}",
        use_blob_urls=True,
        batch_size=5,
        min_seconds_between_batches=1,
        retries=2,
        retry_delay=timedelta(seconds=10),
    )
