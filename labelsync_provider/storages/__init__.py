"""Storages: list, read and write objects. One protocol, one module for each system; knows no Airflow."""
