"""Amazon S3, and what speaks its language, through an Airflow `aws` connection."""

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.log import mask_secret

from labelsync_provider.errors import Unusable
from labelsync_provider.hooks.buckets import BucketStorageHook, client_options, keep_secrets_out_of_logs, split_uri
from labelsync_provider.hooks.connections import get_connection
from labelsync_provider.hooks.storage import needing_extra
from labelsync_provider.storages.faults import explained

if TYPE_CHECKING:
    from obstore.store import S3Credential

    from labelsync_provider.projects.label_studio_storages import LabelStudioStorage
    from labelsync_provider.storages.buckets import Service

ASKED_AGAIN = timedelta(minutes=10)
"""obstore asks five minutes before this; botocore renews what ends within ten."""

OF_AMAZON = re.compile(r"https://s3[.-]([a-z0-9-]+\.)*amazonaws\.com(\.cn)?").fullmatch
"""An endpoint that follows from the region."""


class S3StorageHook(BucketStorageHook):
    """Opens `s3://bucket/prefix`.

    Whatever `S3Hook` makes of the connection holds: keys, session token, profile, assumed role, the machine's
    own role, region, endpoint, proxies, CA file. A connection that says nothing means the AWS configuration
    files and environment variables.

    :param aws_conn_id: the connection.
    """

    conn_name_attr = "aws_conn_id"
    default_conn_name = "aws_default"
    conn_type = "aws"
    hook_name = "Amazon Web Services"

    def __init__(self, aws_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.aws_conn_id = aws_conn_id

    def open_bucket(self, bucket: str) -> "Service":
        """Open a bucket; see `BucketStorageHook.open_bucket`."""
        with needing_extra("amazon"):
            from labelsync_provider.storages.s3 import S3Bucket
        hook, client, credentials = self._logged_in(bucket)
        login = f"connection {self.aws_conn_id!r}"

        def ask() -> "S3Credential":
            now = credentials.get_frozen_credentials()
            for secret in filter(None, (now.secret_key, now.token)):
                mask_secret(secret)
            return {
                "access_key_id": now.access_key,
                "secret_access_key": now.secret_key,
                "token": now.token,
                "expires_at": datetime.now(UTC) + ASKED_AGAIN,
            }

        return S3Bucket(
            bucket,
            client,
            ask,
            login=login,
            client_options=client_options(hook.verify, hook.config.proxies, ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"]),
        )

    def label_studio_storage(self, uri: str) -> "LabelStudioStorage":
        """Return what Label Studio is to be told; see `BucketStorageHook.label_studio_storage`.

        Keys are told only if they are the connection's own. For a role, a profile or the variables of this machine,
        Label Studio needs credentials of its own: a role, or keys that are in its storage or its environment.
        """
        from labelsync_provider.projects.label_studio_storages import LabelStudioStorage

        bucket, prefix = split_uri("storage", uri)
        keep_secrets_out_of_logs()
        _, client, credentials = self._logged_in(bucket)
        endpoint = client.meta.endpoint_url
        login = {
            "region_name": client.meta.region_name,
            "s3_endpoint": None if OF_AMAZON(endpoint) else endpoint,
        }
        # Those that end are another class.
        if credentials is not None and credentials.method == "explicit" and type(credentials).__name__ == "Credentials":
            for secret in filter(None, (credentials.secret_key, credentials.token)):
                mask_secret(secret)
            login |= {
                "aws_access_key_id": credentials.access_key,
                "aws_secret_access_key": credentials.secret_key,
                "aws_session_token": credentials.token,
            }
        return LabelStudioStorage("s3", {"bucket": bucket, "prefix": prefix.rstrip("/")}, login)

    def _logged_in(self, bucket: str) -> tuple[Any, Any, Any]:
        """Return Airflow's hook, a client, and what it logs in with; None for nobody."""
        with needing_extra("amazon"):
            from airflow.providers.amazon.aws.hooks.s3 import S3Hook
            from botocore import UNSIGNED
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

            from labelsync_provider.storages.s3 import fault_of
        get_connection(self.aws_conn_id, "Create one of type 'Amazon Web Services'; it may be empty.")
        login = f"connection {self.aws_conn_id!r}"
        hook = S3Hook(self.aws_conn_id)
        ours = Config(retries={"total_max_attempts": 1}, connect_timeout=10, read_timeout=60)
        if hook.config.signature_version is not UNSIGNED:
            ours = ours.merge(Config(signature_version="s3v4"))
        try:
            client = hook.get_client_type(config=hook.config.merge(ours))
            return hook, client, hook.get_session().get_credentials()
        except (ClientError, BotoCoreError) as error:
            # A role is assumed here; without the cause, which quotes the request.
            fault = fault_of(error)
            if fault.status is None and isinstance(error, HTTPClientError):
                raise explained(fault, f"s3://{bucket}", f"log in by {login}", login) from None
            raise Unusable(f"s3://{bucket}: no credentials from {login}: {error}") from None
