"""Hooks: Airflow connections become storages and projects."""
