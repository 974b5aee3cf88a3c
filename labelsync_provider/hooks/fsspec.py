"""SFTP, WebDAV and the Hugging Face Hub through fsspec: a short list of its file systems, and no others.

fsspec would open many more by the beginning of a URI, and some lead out of what a storage URI may name: `local`, `dir`
and `simplecache` to files of this machine, `http` to servers inside its network, and `::` to one through another. So no
URI is ever given to fsspec. Each hook here makes the one file system of its scheme, and gives that plain paths.
"""

import re
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from airflow.sdk import BaseHook, Connection

from labelsync_provider.errors import Denied, Invalid, NotFound, Unavailable, Unusable, check_ends, invalid
from labelsync_provider.hooks.connections import get_connection, mistakes_named
from labelsync_provider.hooks.fields import FILE, FLAG, HOST, PORT, Fields
from labelsync_provider.hooks.sftp_keys import keys_of
from labelsync_provider.hooks.storage import check_no_secrets, check_recursive_scan, needing_extra
from labelsync_provider.hooks.trial import TRIAL_SECONDS, tried
from labelsync_provider.retry import RETRY_SECONDS
from labelsync_provider.storages.keys import NO_PATH

if TYPE_CHECKING:
    from labelsync_provider.storages.fsspec import Filesystem, FsspecStorage

NOT_QUOTED = re.compile(r"%[0-9a-fA-F]{2}|[?#\x00-\x1f\x7f]|\s/")
"""webdav4 makes URLs of paths, and quotes none of these; a blank at the end of a directory it takes off."""
HAS_PORT = re.compile(r":\d*$").search
TIMEOUTS = {"connect_timeout": 10, "login_timeout": 30, "keepalive_interval": 15}
"""In seconds; a server that is silent for three times the last one is gone."""
FRESH: Any = {"skip_instance_cache": True}
"""fsspec would give the same object again, whose connection may have broken off."""


class FsspecStorageHook(BaseHook):
    """Opens a directory of one of fsspec's file systems. A hook of its own for each says how to log in to it.

    :param conn_id: the connection; None for the usual one.
    """

    conn_name_attr = "conn_id"
    default_conn_name: str
    conn_type: str
    hook_name: str
    uri_form: str
    """What its URIs look like. Where nothing stands between `://` and the path, the connection names the server."""
    fields: ClassVar[Fields] = {}

    def __init__(self, conn_id: str | None = None) -> None:
        super().__init__()
        self.conn_id = conn_id or self.default_conn_name

    def filesystem(self, connection: Connection) -> "Filesystem":
        """Return the file system, and how to log in to it."""
        raise NotImplementedError

    def endpoint(self, connection: Connection) -> str:
        """Return which of the servers it is."""
        raise NotImplementedError

    def get_source(self, uri: str, recursive_scan: bool | None = None) -> "FsspecStorage":
        """Open a directory to import from; its sub-directories are scanned too, unless `recursive_scan` is False.

        :raises NotFound: there is no such connection or directory.
        """
        storage = self._open("source", uri, recursive_scan)
        storage.check_exists()
        return storage

    def get_target(self, uri: str) -> "FsspecStorage":
        """Open a directory to export to; it is created by the first write."""
        return self._open("target", uri, True)

    def test_connection(self, uri: str = "", *, target: bool = False) -> tuple[bool, str]:
        """List, read and, for a target, write and remove a probe."""
        if not uri:
            return False, f"Give the storage URI to try: a {self.hook_name} connection alone names no directory."
        parameter = "target" if target else "source"
        return tried(lambda: self._open(parameter, uri, True, TRIAL_SECONDS), self.conn_id, target=target)

    def _open(
        self, parameter: str, uri: str, recursive_scan: bool | None, retry_seconds: float = RETRY_SECONDS
    ) -> "FsspecStorage":
        check_recursive_scan(recursive_scan)
        container, directory = self._split(parameter, uri)
        from labelsync_provider.storages.fsspec import FsspecStorage

        connection = get_connection(self.conn_id, f"Create one of type {self.conn_type!r}.", self.fields)
        return FsspecStorage(
            self.filesystem(connection),
            container,
            self.endpoint(connection),
            directory,
            top=container.partition("://")[2] + "/",
            login=f"connection {self.conn_id!r}",
            recursive=recursive_scan is not False,
            retry_seconds=retry_seconds,
        )

    def _split(self, parameter: str, uri: str) -> tuple[str, str]:
        """Return container and directory of a storage URI, as they are written: nothing is quoted in it."""
        scheme = self.uri_form.partition("://")[0]
        check_ends(parameter, uri)
        check_no_secrets(parameter, uri)
        given, colon, rest = uri.partition("://")
        container, slash, directory = rest.partition("/")
        remedy = f"Use {self.uri_form}."
        if given != scheme or not colon:
            raise invalid(parameter, uri, f"it does not begin with {scheme}://, and with nothing before it", remedy)
        if not slash or bool(container) != bool(urlsplit(self.uri_form).netloc):
            what = "it names no directory" if not slash else f"{container!r} is no place that it can name"
            raise invalid(parameter, uri, what, f"{remedy} The server is the connection's.")
        directory = directory.removesuffix("/")
        if directory and NO_PATH(directory):
            raise invalid(parameter, uri, "a directory is called '.', '..' or nothing", "Write the path out.")
        return f"{scheme}://{container}", directory


class SFTPStorageHook(FsspecStorageHook):
    """Opens `sftp:///directory` through the file system of Airflow's SFTP provider.

    The server must be known: by `host_key` in the extra of the connection, or by the file `known_hosts` of who runs the
    task. Only `no_host_key_check` in the extra, if it is true, does without.
    """

    default_conn_name = "sftp_default"
    conn_type = "sftp"
    hook_name = "SFTP"
    uri_form = "sftp:///data/photos"
    fields: ClassVar[Fields] = {"host": HOST, "port": PORT, "key_file": FILE, "no_host_key_check": FLAG}

    def endpoint(self, connection: Connection) -> str:
        """Return host and port."""
        return f"{connection.host}:{connection.port or 22}"

    def filesystem(self, connection: Connection) -> "Filesystem":
        """Return Airflow's file system; what it does not read from the connection is added."""
        with needing_extra("sftp"):
            import asyncssh
            import sshfs  # noqa: F401 - Airflow's file system needs it
            from airflow.providers.sftp.fs import sftp  # noqa: F401
        from airflow.sdk.io import get_fs

        from labelsync_provider.storages.fsspec import Filesystem

        asyncssh.set_log_level("WARNING")  # else it logs each channel that is opened and closed
        if not connection.host:
            raise invalid("connection", self.conn_id, "it has no host", "Set its host, the server's name.")
        with mistakes_named(self.conn_id):
            options = {**TIMEOUTS, **FRESH, **keys_of(connection)}
        # Names that are not UTF-8 are told one by one, and do not break off the listing of their directory.
        options["sftp_client_kwargs"] = {"path_errors": "surrogateescape"}
        meanings: dict[type[Exception], Any] = {
            asyncssh.PermissionDenied: Unusable,
            asyncssh.SFTPNoSuchFile: NotFound,
            asyncssh.SFTPNoSuchPath: NotFound,
            asyncssh.SFTPNotADirectory: NotFound,
            asyncssh.SFTPPermissionDenied: Denied,
            asyncssh.SFTPInvalidFilename: Invalid,
            asyncssh.SFTPFileIsADirectory: Invalid,
            asyncssh.Error: Unavailable,
        }

        def connect() -> Any:
            try:
                return get_fs("sftp", self.conn_id, options)
            except asyncssh.HostKeyNotVerifiable as error:
                remedy = (
                    "The server shows another key than host_key in its extra. Ask who runs it whether it has a new one."
                    if options["known_hosts"]
                    else "Set host_key in its extra to the key of the server, or put that into the file known_hosts of "
                    "the user who runs tasks."
                )
                raise Unusable(f"connection {self.conn_id!r}: {error.reason}. {remedy}") from None

        return Filesystem(connect, ("mtime",), renames=True, meanings=meanings)


class WebDAVStorageHook(FsspecStorageHook):
    """Opens `webdav:///directory` below the base URL that the host of a connection of type HTTP is."""

    default_conn_name = "webdav_default"
    conn_type = "http"
    hook_name = "WebDAV"
    uri_form = "webdav:///photos"

    def endpoint(self, connection: Connection) -> str:
        """Return the base URL."""
        host = connection.host or ""
        url = urlsplit(host if "://" in host else f"{connection.schema or 'https'}://{host}")
        if not host or url.scheme not in ("http", "https"):
            remedy = "Set its host to the URL below which the files are, such as https://dav.example.com/files."
            raise invalid("host", host, f"connection {self.conn_id!r}: no base URL of a WebDAV server", remedy)
        if connection.port and not HAS_PORT(url.netloc):
            url = url._replace(netloc=f"{url.netloc}:{connection.port}")
        return url.geturl().rstrip("/")

    def filesystem(self, connection: Connection) -> "Filesystem":
        """Return webdav4's, as no provider of Airflow's has one."""
        with needing_extra("webdav"):
            import httpx
            from webdav4.client import BadGatewayError, ClientError, InsufficientStorage, IsACollectionError
            from webdav4.fsspec import WebdavFileSystem

        from labelsync_provider.storages.faults import Fault
        from labelsync_provider.storages.fsspec import Filesystem

        url, auth = self.endpoint(connection), (connection.login or "", connection.password or "")
        return Filesystem(
            lambda: WebdavFileSystem(url, auth=auth if any(auth) else None, **FRESH),
            ("etag", "modified"),
            unfit=NOT_QUOTED,
            meanings={
                IsACollectionError: Invalid,
                BadGatewayError: Fault(502),
                InsufficientStorage: Fault(507),
                ClientError: Unavailable,
                httpx.HTTPError: Unavailable,
                httpx.InvalidURL: Invalid,
            },
        )


class HuggingFaceStorageHook(FsspecStorageHook):
    """Opens `hf://datasets/owner/name/directory` and the like. Each object that is written there is a commit.

    The password of the connection is a token; without one, nobody is logged in.
    """

    default_conn_name = "hf_default"
    conn_type = "generic"
    hook_name = "Hugging Face Hub"
    uri_form = "hf://datasets/owner/name"

    def endpoint(self, connection: Connection) -> str:
        """Return the address of the Hub, or of one of one's own."""
        return connection.host or "https://huggingface.co"

    def filesystem(self, connection: Connection) -> "Filesystem":
        """Return huggingface_hub's, as no provider of Airflow's has one."""
        with needing_extra("hf"):
            from huggingface_hub import HfFileSystem
            from huggingface_hub.errors import HfHubHTTPError, HFValidationError

        from labelsync_provider.storages.fsspec import Filesystem

        url, token = self.endpoint(connection), connection.password or False
        return Filesystem(
            lambda: HfFileSystem(endpoint=url, token=token, **FRESH),
            ("blob_id", "xet_hash"),
            by_content=True,
            meanings={HFValidationError: Invalid, HfHubHTTPError: Unavailable},
        )
