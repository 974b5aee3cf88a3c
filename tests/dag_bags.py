"""Where the loader of DAG files is: Airflow 3.2 has moved it."""

try:
    from airflow.dag_processing.dagbag import DagBag as DagBag
    from airflow.dag_processing.dagbag import sync_bag_to_db as sync_bag_to_db
except ImportError:
    from airflow.models.dagbag import DagBag as DagBag  # type: ignore[no-redef]
    from airflow.models.dagbag import sync_bag_to_db as sync_bag_to_db  # type: ignore[no-redef]
