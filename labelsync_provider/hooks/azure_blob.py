"""Microsoft Azure Blob Storage through an Airflow `wasb` connection."""

import os
from typing import TYPE_CHECKING

from labelsync_provider.errors import Unusable
from labelsync_provider.hooks.buckets import BucketStorageHook, client_options
from labelsync_provider.hooks.connections import get_connection
from labelsync_provider.hooks.storage import needing_extra

if TYPE_CHECKING:
    from labelsync_provider.storages.buckets import Service

ACCOUNT_NAME, ACCOUNT_KEY = "AZURE_BLOB_ACCOUNT_NAME", "AZURE_BLOB_ACCOUNT_KEY"


class AzureBlobStorageHook(BucketStorageHook):
    """Opens `azure-blob://container/prefix`.

    Whatever `WasbHook` makes of the connection holds: connection string, account key, SAS token, service
    principal, managed or workload identity. A connection that says nothing means `AZURE_BLOB_ACCOUNT_NAME` and
    `AZURE_BLOB_ACCOUNT_KEY`, as for Label Studio.

    :param wasb_conn_id: the connection.
    """

    conn_name_attr = "wasb_conn_id"
    default_conn_name = "wasb_default"
    conn_type = "wasb"
    hook_name = "Azure Blob Storage"

    def __init__(self, wasb_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.wasb_conn_id = wasb_conn_id

    def open_bucket(self, bucket: str) -> "Service":
        """Open a container; see `BucketStorageHook.open_bucket`."""
        with needing_extra("microsoft-azure"):
            from airflow.providers.microsoft.azure.hooks.wasb import WasbHook
            from azure.storage.blob import BlobServiceClient

            from labelsync_provider.storages.azure_blob import AzureContainer
        conn = get_connection(self.wasb_conn_id, "Create one of type 'Azure Blob Storage'; it may be empty.")
        login = f"connection {self.wasb_conn_id!r}"
        extra = conn.extra_dejson
        says_nothing = not (conn.host or conn.login or conn.password or extra)
        try:
            if says_nothing:
                account, key = os.environ.get(ACCOUNT_NAME), os.environ.get(ACCOUNT_KEY)
                if not (account and key):
                    raise ValueError("neither is set")
                client = BlobServiceClient(f"https://{account}.blob.core.windows.net", credential=key)
                login = f"{ACCOUNT_NAME} and {ACCOUNT_KEY}"
            else:
                client = WasbHook(self.wasb_conn_id).get_conn()
        except ValueError:
            # Without its cause, which quotes the connection string.
            raise Unusable(
                f"azure-blob://{bucket}: {login} names no account. Give it a connection string, or an account name and "
                f"a key, a SAS token or an identity; or leave it empty and set {ACCOUNT_NAME} and {ACCOUNT_KEY}."
            ) from None
        options = client_options(extra.get("connection_verify"), extra.get("proxies"), ["REQUESTS_CA_BUNDLE"])
        return AzureContainer(bucket, client, login=login, client_options=options)
