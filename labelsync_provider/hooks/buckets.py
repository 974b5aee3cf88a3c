"""What the hooks of Amazon S3, Google Cloud Storage and Azure Blob share."""

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from labelsync_provider.errors import check_ends, invalid
from labelsync_provider.hooks.connections import mistakes_named
from labelsync_provider.hooks.storage import check_no_secrets, check_recursive_scan
from labelsync_provider.hooks.trial import TRIAL_SECONDS, tried
from labelsync_provider.retry import RETRY_SECONDS

if TYPE_CHECKING:
    from obstore.store import ClientConfig

    from labelsync_provider.storages.buckets import BucketStorage
    from labelsync_provider.storages.service import Service

LOGGERS_WITH_SECRETS = ("botocore", "boto3", "urllib3", "azure", "google.auth", "google.cloud")
"""At level DEBUG these log requests with their headers and URLs: session tokens, SAS tokens, signatures."""


CERTIFICATES_SHOWN = ("client_cert", "cert", "connection_cert")
"""Fields of an extra by which botocore, requests and Azure's SDK show a certificate; obstore shows none."""


class BucketStorageHook(BaseHook):
    """Opens what keys begin with in a bucket. A hook of its own for each service says how to open the bucket."""

    conn_name_attr: str
    hook_name: str
    bucket_name: re.Pattern[str]
    """What the name of a bucket or container can be at all."""
    naming: str
    """The rule, in words."""
    _login: Any = None

    def open_bucket(self, bucket: str) -> "Service":
        """Open a bucket as the connection says; see `log_in` for the errors."""
        raise NotImplementedError

    def log_in(self, bucket: str) -> Any:
        """Log in to the service, and return what opens a bucket or tells of it. A hook of its own says what that is.

        :raises NotFound: there is no such connection.
        :raises Invalid: the connection cannot be used, or the package's extra is not installed.
        :raises Unusable: there are no credentials.
        """
        raise NotImplementedError

    def logged_in(self, bucket: str) -> Any:
        """Return what `log_in` returned the first time: whoever opens a storage and tells of it logs in once.

        :param bucket: to be named in errors.
        """
        if self._login is None:
            keep_secrets_out_of_logs()
            with mistakes_named(self._conn_id):
                self._login = self.log_in(bucket)
        return self._login

    def get_source(self, uri: str, recursive_scan: bool | None = None) -> "BucketStorage":
        """Open a storage to import from.

        :param uri: such as `s3://bucket/prefix`. Keys begin with the prefix as it is written: `photos/` is a
            folder, `2024-05` what begins so.
        :param recursive_scan: None is the guide's rule: sub-folders are scanned only without a prefix.
        """
        return self._open("source", uri, recursive_scan)

    def get_target(self, uri: str) -> "BucketStorage":
        """Open a storage to export to: the folder of that name, be there something in it or not."""
        return self._open("target", uri, True)

    def test_connection(self, uri: str = "", *, target: bool = False) -> tuple[bool, str]:
        """List, read and, for a target, write and remove a probe.

        :param uri: the storage URI; a connection alone names no bucket.
        """
        if not uri:
            return False, f"Give the storage URI to try: a {self.hook_name} connection alone names no bucket."
        parameter = "target" if target else "source"
        return tried(lambda: self._open(parameter, uri, True, TRIAL_SECONDS), self._conn_id, target=target)

    @property
    def _conn_id(self) -> str:
        return str(getattr(self, self.conn_name_attr))

    def _open(
        self, parameter: str, uri: str, recursive_scan: bool | None, retry_seconds: float = RETRY_SECONDS
    ) -> "BucketStorage":
        check_recursive_scan(recursive_scan)
        bucket, prefix = self.split_uri(parameter, uri)
        if parameter == "target" and prefix:
            prefix = prefix.rstrip("/") + "/"
        keep_secrets_out_of_logs()
        with mistakes_named(self._conn_id):
            service = self.open_bucket(bucket)
        from labelsync_provider.storages.buckets import BucketStorage

        return BucketStorage(service, prefix, recursive=recursive_scan, retry_seconds=retry_seconds)

    def split_uri(self, parameter: str, uri: str) -> tuple[str, str]:
        """Return bucket and prefix of a storage URI.

        :raises Invalid: it names no bucket, or one that cannot be; or it holds a login.
        """
        scheme, _, rest = uri.partition("://")
        bucket, _, prefix = rest.partition("/")
        if not bucket:
            raise invalid(parameter, uri, "it names no bucket", f"Use {scheme}://bucket or {scheme}://bucket/prefix.")
        check_ends(parameter, uri)
        check_no_secrets(parameter, uri)
        if not self.bucket_name.fullmatch(bucket):
            what = f"no bucket or container is called {bucket!r}"
            raise invalid(parameter, uri, what, f"Correct the name: {self.naming}.")
        return bucket, prefix


def keep_secrets_out_of_logs() -> None:
    """Keep the SDKs from logging at level DEBUG, where they log secrets."""
    for name in LOGGERS_WITH_SECRETS:
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.INFO))


def client_options(verify: Any, proxies: dict[str, str] | None, bundles: Sequence[str]) -> "ClientConfig":
    """Return what obstore is to know of certificates and proxies.

    :param verify: as the SDKs take it: False, or the path of a CA file or of a folder of them.
    :param bundles: environment variables that name one otherwise, the first that is set.
    :param proxies: URL by scheme; by default those of the environment, which obstore reads itself.
    :raises Invalid: the CA file cannot be read.
    """
    options: ClientConfig = {}
    by_default = next(filter(None, map(os.environ.get, bundles)), None)
    named = verify if isinstance(verify, str) else by_default
    if verify is False:
        options["allow_invalid_certificates"] = True
    elif named:
        try:
            path = Path(named)
            files = sorted(path.iterdir()) if path.is_dir() else [path]
            certificates = b"\n".join(file.read_bytes() for file in files)
        except OSError as error:
            remedy = "Name a file of certificates in PEM, that the tasks can read."
            raise invalid("CA file", named, str(error.strerror), remedy) from error
        if certificates:
            options["root_certificate"] = certificates
    if proxy := (proxies or {}).get("https") or (proxies or {}).get("http"):
        options["proxy_url"] = proxy
    return options
