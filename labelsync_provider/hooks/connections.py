"""Airflow connections, with errors that say what to do."""

from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from labelsync_provider.errors import NotFound


def get_connection(conn_id: str, remedy: str) -> Connection:
    """Return a connection.

    :param remedy: what to do when there is none.
    :raises NotFound: there is none.
    """
    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException as error:
        raise NotFound(f"There is no Airflow connection {conn_id!r}. {remedy}") from error
