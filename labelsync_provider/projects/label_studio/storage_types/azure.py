"""Azure Blob Storage, as Label Studio is told of it."""

from urllib.parse import urlsplit

from labelsync_provider.access import StorageAccess
from labelsync_provider.errors import invalid
from labelsync_provider.projects.label_studio.storage_types.buckets import bucket_kind
from labelsync_provider.projects.label_studio.storage_types.kind import Login


def login(access: StorageAccess) -> Login:
    """Return name and key of the account.

    Of a connection that says nothing, Label Studio is told neither: it takes its own `AZURE_BLOB_ACCOUNT_NAME` and
    `AZURE_BLOB_ACCOUNT_KEY`.

    :raises Invalid: the connection logs in by something else than a key, or to another cloud.
    """
    if not access.of_connection:
        return {}
    if access.secret is None:
        what = f"{access.login} has no account key, and with a SAS token or an identity Label Studio cannot log in"
        raise invalid("storage", access.uri, what, "Name a connection with the account's name and key.")
    host = urlsplit(access.endpoint).hostname
    if host != f"{access.account}.blob.core.windows.net":
        what = f"{access.login} leads to {host}, and Label Studio knows only <account>.blob.core.windows.net"
        raise invalid("storage", access.uri, what, "Name a connection to an account there.")
    return {"account_name": access.account, "account_key": access.secret}


KIND = bucket_kind("azure", "azure-blob", "container", login)
