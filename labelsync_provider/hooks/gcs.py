"""Google Cloud Storage through an Airflow `google_cloud_platform` connection."""

from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowException

from labelsync_provider.errors import Unusable
from labelsync_provider.hooks.buckets import BucketStorageHook, client_options
from labelsync_provider.hooks.connections import get_connection
from labelsync_provider.hooks.storage import needing_extra

if TYPE_CHECKING:
    from labelsync_provider.storages.buckets import Service


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

    def __init__(self, gcp_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.gcp_conn_id = gcp_conn_id

    def open_bucket(self, bucket: str) -> "Service":
        """Open a bucket; see `BucketStorageHook.open_bucket`."""
        with needing_extra("google"):
            from airflow.providers.google.cloud.hooks.gcs import GCSHook
            from google.auth.exceptions import GoogleAuthError

            from labelsync_provider.storages.gcs import GCSBucket
        get_connection(self.gcp_conn_id, "Create one of type 'Google Cloud'; it may be empty.")
        login = f"connection {self.gcp_conn_id!r}"
        hook = GCSHook(self.gcp_conn_id)
        try:
            credentials = hook.get_credentials()
            client = hook.get_conn()
        except (AirflowException, GoogleAuthError, OSError, ValueError) as error:
            # Without its cause: what cannot be read as a key may be one all the same.
            raise Unusable(
                f"gs://{bucket}: no credentials from {login}: {type(error).__name__}. Give it a key file, or its JSON, "
                "and a project; or set GOOGLE_APPLICATION_CREDENTIALS where the tasks run."
            ) from None
        return GCSBucket(
            bucket, client, credentials, login=login, client_options=client_options(None, None, ["REQUESTS_CA_BUNDLE"])
        )
