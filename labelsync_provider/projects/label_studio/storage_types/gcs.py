"""Google Cloud Storage, as Label Studio is told of it."""

from labelsync_provider.access import StorageAccess
from labelsync_provider.projects.label_studio.storage_types.buckets import bucket_kind
from labelsync_provider.projects.label_studio.storage_types.kind import Login


def login(access: StorageAccess) -> Login:
    """Return project and key. Without a key, Label Studio needs application default credentials of its own."""
    key: Login = {} if access.secret is None else {"google_application_credentials": access.secret}
    return {"google_project_id": access.account or None, **key}


KIND = bucket_kind("gcs", "gs", "bucket", login)
