"""Redis through an Airflow `redis` connection."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.log import mask_secret

from labelsync_provider.access import StorageAccess
from labelsync_provider.errors import check_ends, invalid
from labelsync_provider.hooks.connections import get_connection, mistakes_named
from labelsync_provider.hooks.fields import FILE, FLAG, HOST, NUMBER, PORT, Fields, one_of
from labelsync_provider.hooks.storage import check_no_secrets, check_recursive_scan, needing_extra
from labelsync_provider.hooks.trial import TRIAL_SECONDS, tried
from labelsync_provider.retry import RETRY_SECONDS

if TYPE_CHECKING:
    from labelsync_provider.storages.redis import RedisStorage

URIS = "Use redis://<database number>/<path>, such as redis://1/tasks/; the host is the connection's."
LONGEST_NUMBER = 9
"""Digits. A server has 16 databases, unless it is told to have more."""
TIMEOUTS = {"socket_connect_timeout": 10, "socket_timeout": 30}
"""In seconds. An Airflow connection names none, and what redis-py takes by default differs by its version."""


FIELDS: Fields = {
    "host": HOST,
    "port": PORT,
    "db": NUMBER,
    "ssl": FLAG,
    "ssl_cert_reqs": one_of("none", "optional", "required"),
    "ssl_ca_certs": FILE,
    "ssl_keyfile": FILE,
    "ssl_certfile": FILE,
    "ssl_check_hostname": FLAG,
    "cluster": FLAG,
}

MISSING = "Create one of type 'Redis'."


class RedisStorageHook(BaseHook):
    """Opens `redis://<database number>/<path>`.

    Whatever `RedisHook` makes of the connection holds, password, user, TLS and cluster, but for the database,
    which the URI names.

    :param redis_conn_id: the connection.
    """

    conn_name_attr = "redis_conn_id"
    default_conn_name = "redis_default"
    conn_type = "redis"
    hook_name = "Redis"
    uri_form = "redis://database/path"

    def __init__(self, redis_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.redis_conn_id = redis_conn_id

    def get_source(self, uri: str, recursive_scan: bool | None = None) -> "RedisStorage":
        """Open the values to import, whose keys begin with the path as it is written.

        :param recursive_scan: False leaves out keys with a `/` behind the path.
        """
        return self._open("source", uri, recursive_scan)

    def get_target(self, uri: str) -> "RedisStorage":
        """Open a path to export to: keys are the path, as it is written, and the name of the object.

        `redis://1/labels/` gets keys such as `labels/7.json`, and `redis://1/labels` such as `labels7.json`.
        """
        return self._open("target", uri, None)

    def access(self, uri: str) -> StorageAccess:
        """Return how somebody else reaches the storage; see `TellsAccess`."""
        db, path = _split(uri, "storage")
        conn = get_connection(self.redis_conn_id, MISSING, FIELDS)
        access = StorageAccess(uri, f"connection {self.redis_conn_id!r}", str(db), path)
        if conn.extra_dejson.get("cluster"):
            return replace(access, is_cluster=True)
        pool = self._connect(db, is_cluster=False).connection_pool
        how = pool.connection_kwargs
        if password := how.get("password"):
            mask_secret(password)
        scheme = "rediss" if "SSL" in pool.connection_class.__name__ else "redis"
        return replace(
            access,
            endpoint=f"{scheme}://{how.get('host') or 'localhost'}:{how.get('port') or 6379}",
            account=how.get("username") or "",
            secret=password,
        )

    def test_connection(self, uri: str = "redis://0/", *, target: bool = False) -> tuple[bool, str]:
        """List, read and, for a target, write and remove a probe."""
        parameter = "target" if target else "source"
        return tried(lambda: self._open(parameter, uri, None, TRIAL_SECONDS), self.redis_conn_id, target=target)

    def _open(
        self, parameter: str, uri: str, recursive_scan: bool | None, retry_seconds: float = RETRY_SECONDS
    ) -> "RedisStorage":
        check_recursive_scan(recursive_scan)
        db, path = _split(uri, parameter)
        with needing_extra("redis"):
            from labelsync_provider.storages.redis import RedisStorage
        conn = get_connection(self.redis_conn_id, MISSING, FIELDS)
        is_cluster = bool(conn.extra_dejson.get("cluster"))
        if is_cluster and db != 0:
            raise invalid(parameter, uri, "a cluster has only database 0", "Use redis://0/<path>.")
        return RedisStorage(
            lambda: self._connect(db, is_cluster=is_cluster),
            db,
            path,
            server=f"{conn.host or 'localhost'}:{conn.port or 6379}",
            login=f"connection {self.redis_conn_id!r}",
            recursive=recursive_scan,
            retry_seconds=retry_seconds,
        )

    def _connect(self, db: int, *, is_cluster: bool) -> Any:
        """Return the hook's client, for the database that is asked for: the hook knows only the connection's own.

        :param is_cluster: whether the connection says that it is of a cluster.
        """
        with needing_extra("redis"):
            from airflow.providers.redis.hooks.redis import RedisHook
            from redis import ConnectionPool, Redis, RedisCluster
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        with mistakes_named(self.redis_conn_id):
            client = RedisHook(self.redis_conn_id).get_conn()
        if isinstance(client, RedisCluster):
            return client
        if is_cluster:
            what = (
                f"connection {self.redis_conn_id!r}: the apache-airflow-providers-redis that is installed knows no "
                "clusters, which have only database 0"
            )
            raise invalid("cluster", True, what, "Install a newer one, where the tasks run.")
        given = {name: value for name, value in client.connection_pool.connection_kwargs.items() if value is not None}
        # The client's own retries would multiply with those of `call_with_retries`.
        ours = {"db": db, "retry": Retry(NoBackoff(), 0)}
        pool = ConnectionPool(client.connection_pool.connection_class, **{**given, **TIMEOUTS, **ours})
        return Redis(connection_pool=pool)


def _split(uri: str, parameter: str) -> tuple[int, str]:
    """Return database and path of a storage URI."""
    number, _, path = uri.partition("://")[2].partition("/")
    check_ends(parameter, uri)
    check_no_secrets(parameter, uri)
    if not (number.isascii() and number.isdecimal()) or len(number) > LONGEST_NUMBER:
        raise invalid(parameter, uri, f"{number!r} is no database number", URIS)
    return int(number), path
