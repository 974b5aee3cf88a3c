"""Google Cloud Storage through an Airflow `google_cloud_platform` connection."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk.log import mask_secret

from labelsync_provider.access import StorageAccess
from labelsync_provider.airflow_compat import AirflowException
from labelsync_provider.errors import Unusable
from labelsync_provider.hooks.buckets import (
    CERTIFICATES_SHOWN,
    BucketStorageHook,
    client_options,
)
from labelsync_provider.hooks.connections import get_connection, mistakes_named
from labelsync_provider.hooks.fields import (
    CONFIG_FILE,
    FILE,
    FLAG,
    JSON_OBJECT,
    NO_CERTIFICATE,
    NUMBER,
    TEXT,
    TEXTS,
    URL,
    WORD,
    Fields,
)
from labelsync_provider.hooks.storage import needing_extra

if TYPE_CHECKING:
    from labelsync_provider.storages.service import Service


FIELDS: Fields = {
    "key_path": FILE,
    "keyfile_dict": JSON_OBJECT,
    "credential_config_file": CONFIG_FILE,
    "key_secret_name": TEXT,
    "key_secret_project_id": WORD,
    "is_anonymous": FLAG,
    "impersonation_chain": TEXTS,
    "project": WORD,
    "scope": TEXT,
    "num_retries": NUMBER,
    "idp_issuer_url": URL,
    **dict.fromkeys(CERTIFICATES_SHOWN, NO_CERTIFICATE),
}


class GCSStorageHook(BucketStorageHook):
    """Opens `gs://bucket/prefix`.

    Whatever `GCSHook` makes of the connection holds: key file, inline key, key in a secret manager,
    impersonation, anonymous access. A connection that says nothing means application default credentials:
    `GOOGLE_APPLICATION_CREDENTIALS`, `gcloud auth`, workload identity, the machine's own service account.

    :param gcp_conn_id: the connection.
    """

    conn_name_attr = "gcp_conn_id"
    default_conn_name = "google_cloud_default"
    conn_type = "google_cloud_platform"
    hook_name = "Google Cloud"
    uri_form = "gs://bucket/prefix"
    # Rule: https://cloud.google.com/storage/docs/buckets#naming
    bucket_name = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
    naming = "at least 3 small letters, digits, hyphens, underscores and dots; a letter or a digit begins and ends it"

    def __init__(self, gcp_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.gcp_conn_id = gcp_conn_id

    def open_bucket(self, bucket: str) -> "Service":
        """Open a bucket; see `BucketStorageHook.open_bucket`."""
        with needing_extra("google"):
            from labelsync_provider.storages.gcs import GCSBucket
        _, client, credentials = self.logged_in(bucket)
        login = f"connection {self.gcp_conn_id!r}"
        return GCSBucket(
            bucket, client, credentials, login=login, client_options=client_options(None, None, ["REQUESTS_CA_BUNDLE"])
        )

    def access(self, uri: str) -> StorageAccess:
        """Return how somebody else reaches the storage; see `TellsAccess`.

        A key is told only if it stands in the connection, or in the file that this names, and nobody is impersonated
        with it.
        """
        bucket, prefix = self.split_uri("storage", uri)
        hook, client, _ = self.logged_in(bucket)
        with mistakes_named(self._conn_id):
            key = _key_of(hook)
        text = None if key is None else json.dumps(key)
        for secret in filter(None, (text, (key or {}).get("private_key"))):
            mask_secret(secret)
        login = f"connection {self.gcp_conn_id!r}"
        return StorageAccess(uri, login, bucket, prefix, account=client.project or "", secret=text)

    def log_in(self, bucket: str) -> tuple[Any, Any, Any]:
        """Return Airflow's hook, a client and its credentials."""
        with needing_extra("google"):
            from airflow.providers.google.cloud.hooks.gcs import GCSHook
            from google.auth.exceptions import GoogleAuthError
        get_connection(self.gcp_conn_id, "Create one of type 'Google Cloud'; it may be empty.", FIELDS)
        login = f"connection {self.gcp_conn_id!r}"
        hook = GCSHook(self.gcp_conn_id)
        try:
            credentials = hook.get_credentials()
            return hook, hook.get_conn(), credentials
        except (AirflowException, GoogleAuthError, OSError, ValueError) as error:
            # Without its cause: what cannot be read as a key may be one all the same.
            raise Unusable(
                f"gs://{bucket}: no credentials from {login}: {type(error).__name__}. Give it a key file, or its JSON, "
                "and a project; or set GOOGLE_APPLICATION_CREDENTIALS where the tasks run."
            ) from None


def _key_of(hook: Any) -> dict[str, Any] | None:
    """Return the key of a service account that a connection holds or names, as its hook has read it."""
    if hook.impersonation_chain:
        return None
    key, path = hook._get_field("keyfile_dict", None), hook._get_field("key_path", None)
    text = Path(path).read_bytes() if path else key
    found = json.loads(text) if isinstance(text, str | bytes) and text else text
    return found or None
