"""Microsoft Azure Blob Storage through an Airflow `wasb` connection."""

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.sdk.log import mask_secret

from labelsync_provider.access import StorageAccess
from labelsync_provider.errors import Unusable
from labelsync_provider.hooks.buckets import (
    CERTIFICATES_SHOWN,
    BucketStorageHook,
    client_options,
)
from labelsync_provider.hooks.connections import get_connection
from labelsync_provider.hooks.fields import (
    BASE64,
    CERTIFICATES,
    HOST,
    NO_CERTIFICATE,
    OBJECT,
    PROXIES,
    WORD,
    Fields,
    Kind,
    check_fields,
    is_url,
)
from labelsync_provider.hooks.storage import needing_extra

if TYPE_CHECKING:
    from labelsync_provider.storages.service import Service

ACCOUNT_NAME, ACCOUNT_KEY = "AZURE_BLOB_ACCOUNT_NAME", "AZURE_BLOB_ACCOUNT_KEY"


TENANT = Kind(
    lambda value: isinstance(value, str) and bool(re.fullmatch(r"[\w.-]+", value)),
    "it is no tenant",
    "Write its id or its domain.",
)
CONNECTION_STRING = Kind(
    lambda value: isinstance(value, str) and "=" in value,
    "it is no connection string",
    "Copy it from the account's access keys: DefaultEndpointsProtocol=https;AccountName=...;AccountKey=...",
).hidden()
ACCOUNT = Kind(
    lambda value: is_url(value) or HOST.fits(value),
    "it is neither a URL nor the name of an account",
    "Write https://<account>.blob.core.windows.net, or the account's name.",
)
OTHER_LOGINS = ("connection_string", "tenant_id", "shared_access_key", "sas_token")
"""Fields of the extra beside which the password is not the account's key."""
FIELDS: Fields = {
    "host": ACCOUNT,
    "login": WORD,
    "connection_string": CONNECTION_STRING,
    "shared_access_key": BASE64,
    "account_key": BASE64,
    "sas_token": WORD.hidden(),
    "tenant_id": TENANT,
    "managed_identity_client_id": WORD,
    "workload_identity_tenant_id": TENANT,
    "client_secret_auth_config": OBJECT,
    "proxies": PROXIES,
    "connection_verify": CERTIFICATES,
    **dict.fromkeys(CERTIFICATES_SHOWN, NO_CERTIFICATE),
}


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
    uri_form = "azure-blob://container/prefix"
    # Rule: https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
    bucket_name = re.compile(r"(?=.{3,63}$)[a-z0-9](-?[a-z0-9])+|\$(root|web|logs)")
    naming = "3 to 63 small letters, digits and hyphens, of which none begins or ends it, and no two stand together"

    def __init__(self, wasb_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.wasb_conn_id = wasb_conn_id

    def open_bucket(self, bucket: str) -> "Service":
        """Open a container; see `BucketStorageHook.open_bucket`."""
        with needing_extra("microsoft-azure"):
            from labelsync_provider.storages.azure_blob import AzureContainer
        client, login, extra = self.logged_in(bucket)
        options = client_options(extra.get("connection_verify"), extra.get("proxies"), ["REQUESTS_CA_BUNDLE"])
        return AzureContainer(bucket, client, login=login, client_options=options)

    def access(self, uri: str) -> StorageAccess:
        """Return how somebody else reaches the storage; see `TellsAccess`.

        A key is told only if it stands in the connection.
        """
        container, prefix = self.split_uri("storage", uri)
        client, login, _ = self.logged_in(container)
        access = StorageAccess(uri, login, container, prefix, endpoint=client.url)
        if login != f"connection {self.wasb_conn_id!r}":
            return replace(access, of_connection=False)
        key = getattr(client.credential, "account_key", None)
        if key:
            mask_secret(key)
        return replace(access, account=client.account_name or "", secret=key or None)

    def log_in(self, container: str) -> tuple[Any, str, dict[str, Any]]:
        """Return a client, what it logs in with, in words, and the connection's extra."""
        with needing_extra("microsoft-azure"):
            from airflow.providers.microsoft.azure.hooks.wasb import WasbHook
            from azure.storage.blob import BlobServiceClient
        conn = get_connection(self.wasb_conn_id, "Create one of type 'Azure Blob Storage'; it may be empty.", FIELDS)
        login = f"connection {self.wasb_conn_id!r}"
        extra = conn.extra_dejson
        if not any(name in key for key in extra for name in OTHER_LOGINS):
            check_fields(login, {"password": conn.password}, {"password": BASE64})
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
                f"azure-blob://{container}: {login} names no account. Give it a connection string, or an account "
                f"name and a key, a SAS token or an identity; or leave it empty and set {ACCOUNT_NAME} and "
                f"{ACCOUNT_KEY}."
            ) from None
        return client, login, extra
