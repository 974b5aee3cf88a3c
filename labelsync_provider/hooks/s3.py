"""Amazon S3, and what speaks its language, through an Airflow `aws` connection."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.log import mask_secret

from labelsync_provider.access import StorageAccess
from labelsync_provider.errors import Invalid, Unusable
from labelsync_provider.hooks.buckets import (
    CERTIFICATES_SHOWN,
    BucketStorageHook,
    client_options,
)
from labelsync_provider.hooks.connections import get_connection
from labelsync_provider.hooks.fields import (
    CERTIFICATES,
    FILE,
    NO_CERTIFICATE,
    OBJECT,
    PROXIES,
    SECONDS,
    TEXT,
    URL,
    WORD,
    Fields,
    one_of,
)
from labelsync_provider.hooks.s3_write_options import write_options
from labelsync_provider.hooks.storage import needing_extra
from labelsync_provider.request_limit import MOST
from labelsync_provider.storages.faults import explained

if TYPE_CHECKING:
    from obstore.store import S3Credential

    from labelsync_provider.storages.service import Service

ASKED_AGAIN = timedelta(minutes=10)
"""obstore asks five minutes before this; botocore renews what ends within ten."""

CONFIG: Fields = {
    "proxies": PROXIES,
    "connect_timeout": SECONDS,
    "read_timeout": SECONDS,
    "signature_version": one_of("s3v4", "v4", "s3", "unsigned"),
    "s3": OBJECT,
    "retries": OBJECT,
    "region_name": WORD,
    "client_cert": NO_CERTIFICATE,
}
HOW = {"endpoint_url": URL, "verify": CERTIFICATES, "region_name": WORD, "config_kwargs": OBJECT.of(CONFIG)}
FIELDS: Fields = {
    "login": WORD,
    "password": WORD.hidden(),
    **HOW,
    "service_config": OBJECT.of({"s3": OBJECT.of(HOW), "sts": OBJECT.of(HOW)}),
    "aws_access_key_id": WORD,
    "aws_secret_access_key": WORD.hidden(),
    "aws_session_token": WORD.hidden(),
    "profile_name": TEXT,
    "session_kwargs": OBJECT,
    "role_arn": WORD,
    "assume_role_method": one_of("assume_role", "assume_role_with_saml", "assume_role_with_web_identity"),
    "assume_role_kwargs": OBJECT,
    "assume_role_with_web_identity_federation": one_of("google", "file"),
    "assume_role_with_web_identity_token_file": FILE,
    "extra_args": OBJECT,
    **dict.fromkeys(CERTIFICATES_SHOWN, NO_CERTIFICATE),
}


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
    uri_form = "s3://bucket/prefix"
    # As botocore has it. Amazon's own names of today are fewer; older buckets, and other services, have these too.
    bucket_name = re.compile(
        r"(?!\.+$)[A-Za-z0-9._-]{1,255}|arn:(aws|aws-[a-z-]+):[a-z0-9-]+:[a-z0-9-]*:\d{12}:[\w:.-]+"
    )
    naming = "letters, digits, dots, hyphens and underscores; or the ARN of an access point"

    def __init__(self, aws_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.aws_conn_id = aws_conn_id

    def open_bucket(self, bucket: str) -> "Service":
        """Open a bucket; see `BucketStorageHook.open_bucket`."""
        with needing_extra("amazon"):
            from labelsync_provider.storages.s3 import S3Bucket
        hook, client, credentials = self.logged_in(bucket)
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
            write_options=write_options(self.aws_conn_id, hook.conn_config.extra_config, hook.service_config, client),
        )

    def access(self, uri: str) -> StorageAccess:
        """Return how somebody else reaches the storage; see `TellsAccess`.

        Keys are told only if they are the connection's own, and not those of a role, a profile or the variables of this
        machine.
        """
        bucket, prefix = self.split_uri("storage", uri)
        _, client, credentials = self.logged_in(bucket)
        access = StorageAccess(
            uri,
            f"connection {self.aws_conn_id!r}",
            bucket,
            prefix,
            endpoint=client.meta.endpoint_url,
            region=client.meta.region_name,
        )
        # Those that end are another class.
        if credentials is None or credentials.method != "explicit" or type(credentials).__name__ != "Credentials":
            return access
        for secret in filter(None, (credentials.secret_key, credentials.token)):
            mask_secret(secret)
        return replace(
            access,
            account=credentials.access_key,
            secret=credentials.secret_key,
            session_token=credentials.token,
        )

    def log_in(self, bucket: str) -> tuple[Any, Any, Any]:
        """Return Airflow's hook, a client, and what it logs in with; None for nobody."""
        with needing_extra("amazon"):
            from airflow.providers.amazon.aws.hooks.s3 import S3Hook
            from botocore import UNSIGNED
            from botocore.config import Config
            from botocore.exceptions import (
                BotoCoreError,
                ClientError,
                HTTPClientError,
                InvalidRegionError,
                NoRegionError,
                PartialCredentialsError,
                ProfileNotFound,
            )

            from labelsync_provider.storages.s3 import fault_of
        get_connection(self.aws_conn_id, "Create one of type 'Amazon Web Services'; it may be empty.", FIELDS)
        login = f"connection {self.aws_conn_id!r}"
        hook = S3Hook(self.aws_conn_id)
        ours = Config(retries={"total_max_attempts": 1}, connect_timeout=10, read_timeout=60, max_pool_connections=MOST)
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
            if isinstance(error, ProfileNotFound | InvalidRegionError | PartialCredentialsError | NoRegionError):
                raise Invalid(f"{login}: {error}. Correct its fields and its extra.") from None
            raise Unusable(f"s3://{bucket}: no credentials from {login}: {error}") from None
