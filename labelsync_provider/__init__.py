"""Airflow provider that keeps labeling projects and external storages in step."""

__version__ = "0.1.0"
