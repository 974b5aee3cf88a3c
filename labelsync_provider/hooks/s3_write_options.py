"""What an `aws` connection wants to be said of each object that is written: encryption, storage class, permissions.

Airflow's hook takes it as `extra_args`, in code. A connection has it in its extra, or there in `service_config` for S3.
"""

from collections.abc import Mapping
from typing import Any

from labelsync_provider.errors import invalid

WRITE_OPTIONS = (
    "ACL",
    "BucketKeyEnabled",
    "CacheControl",
    "ContentDisposition",
    "ContentLanguage",
    "ContentType",
    "ExpectedBucketOwner",
    "GrantFullControl",
    "GrantRead",
    "GrantReadACP",
    "GrantWriteACP",
    "Metadata",
    "ObjectLockLegalHoldStatus",
    "ObjectLockMode",
    "ObjectLockRetainUntilDate",
    "SSEKMSEncryptionContext",
    "SSEKMSKeyId",
    "ServerSideEncryption",
    "StorageClass",
    "Tagging",
)
"""Those that change nothing in how an object is read.

Rule: https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
"""
NAME = "extra_args"
EXAMPLE = f'{{"{NAME}": {{"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "..."}}}}'


def write_options(
    conn_id: str, extra: Mapping[str, Any], service_config: Mapping[str, Any], client: Any
) -> dict[str, Any]:
    """Return what PutObject is to be told beside key and content.

    :param extra: of the connection.
    :param service_config: of the connection, for S3.
    :param client: knows which value each may have.
    :raises Invalid: an option is unknown, cannot be passed on, or has a value that it cannot have.
    """
    from botocore.validate import ParamValidator

    options: dict[str, Any] = {}
    for given in filter(None, (extra.get(NAME), service_config.get(NAME))):
        if not isinstance(given, dict):
            raise invalid("connection", conn_id, f"{NAME} in its extra is no object", f"Use {EXAMPLE}.")
        options |= given
    if not options:
        return {}
    if refused := sorted(set(options) - set(WRITE_OPTIONS)):
        what = f"{NAME} in its extra names {', '.join(map(str, refused))}, which cannot be passed on"
        raise invalid(
            "connection", conn_id, what, f"Take that out; what can be said of objects is {', '.join(WRITE_OPTIONS)}."
        )
    shape = client.meta.service_model.operation_model("PutObject").input_shape
    report = ParamValidator().validate({"Bucket": "bucket", "Key": "key", **options}, shape)
    if report.has_errors():
        raise invalid("connection", conn_id, f"{NAME} in its extra: {report.generate_report()}", f"Use {EXAMPLE}.")
    return options
