"""The engine: reads task files, keeps the ledger, imports, exports, reports; knows no Airflow."""
