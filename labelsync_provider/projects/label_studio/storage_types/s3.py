"""Amazon S3, and what speaks its language, as Label Studio is told of it."""

import re

from labelsync_provider.access import StorageAccess
from labelsync_provider.projects.label_studio.storage_types.buckets import bucket_kind
from labelsync_provider.projects.label_studio.storage_types.kind import Login

OF_AMAZON = re.compile(r"https://s3[.-]([a-z0-9-]+\.)*amazonaws\.com(\.cn)?").fullmatch
"""An endpoint that follows from the region."""


def login(access: StorageAccess) -> Login:
    """Return region, endpoint and keys. Without keys, Label Studio needs a role, or some in its environment."""
    where: Login = {
        "region_name": access.region,
        "s3_endpoint": None if OF_AMAZON(access.endpoint) else access.endpoint,
    }
    if access.secret is None:
        return where
    return where | {
        "aws_access_key_id": access.account,
        "aws_secret_access_key": access.secret,
        "aws_session_token": access.session_token,
    }


KIND = bucket_kind("s3", "s3", "bucket", login, deletes=True)
