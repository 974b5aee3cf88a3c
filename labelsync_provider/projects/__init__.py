"""Projects: hold tasks and annotations. One protocol, one module for each store; knows no Airflow."""
