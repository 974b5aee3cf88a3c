"""Amazon S3, and what speaks its language."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from hashlib import md5
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import obstore
from botocore import UNSIGNED
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
)
from obstore.store import S3Store

from labelsync_provider.errors import Unusable
from labelsync_provider.storages.answers import no_answer
from labelsync_provider.storages.etags import version_of
from labelsync_provider.storages.faults import Fault, too_large
from labelsync_provider.storages.location import Location
from labelsync_provider.storages.obstore_use import CLIENT_OPTIONS, INEXPRESSIBLE, NO_RETRIES
from labelsync_provider.storages.protocol import Page
from labelsync_provider.storages.s3_pages import objects_of_page

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Credential

AWS = "https://s3.amazonaws.com"
LONGEST_LIFE = timedelta(days=7)
"""Of a signed URL: https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-presigned-url.html"""


class S3Bucket:
    """A bucket; see `Service`. The client says how it is reached, and moves the keys that obstore cannot express."""

    longest_life = LONGEST_LIFE
    deletes_at_once = 1000
    listers = 16  # of 100,000 keys 100 ms away, more brought no more
    # botocore follows a server that always redirects until the stack is full.
    errors = (ClientError, BotoCoreError, ValueError, RecursionError)

    def __init__(
        self,
        bucket: str,
        client: Any,
        credentials: Callable[[], "S3Credential"],
        *,
        login: str,
        client_options: "ClientConfig | None" = None,
        write_options: Mapping[str, Any] | None = None,
    ) -> None:
        """Open a bucket.

        :param client: boto3's, with its retries off.
        :param credentials: asked anew before they expire.
        :param login: the Airflow connection, in words.
        :param client_options: what obstore is to know of proxies and certificates.
        :param write_options: what is to be said of each object that is written, as PutObject takes it. obstore
            cannot say it.
        :raises Unusable: the client has no credentials, or its endpoint none for this bucket.
        """
        self.login, self._bucket, self._client = login, bucket, client
        self._write_options = dict(write_options or {})
        self.writes_all = bool(write_options)
        # Any request of the client shows which host and path a bucket has there: virtual host, path, FIPS,
        # dual stack, accelerated, access point.
        try:
            signed = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "key"})
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise Unusable(
                f"s3://{bucket}: {login} has no credentials: {error}. Give it an access key, or a role."
            ) from None
        except BotoCoreError as error:
            # An access point of another region, with an endpoint that has none: it is seen without a request.
            raise Unusable(f"s3://{bucket}: {login} leads to no such bucket: {error}") from None
        scheme, host, path, _, _ = urlsplit(signed)
        self.location = Location(f"s3://{bucket}", AWS if ".amazonaws.com" in host else f"{scheme}://{host}")
        # By this name it comes before botocore's own handlers, which would make a tree of the XML first.
        client.meta.events.register("before-parse.*.ListObjectsV2", _read_page)
        self.store = S3Store(
            bucket,
            endpoint=f"{scheme}://{host}",
            virtual_hosted_style_request=path == "/key",
            region=client.meta.region_name or "us-east-1",
            skip_signature=client.meta.config.signature_version is UNSIGNED,
            credential_provider=credentials,
            client_options={**CLIENT_OPTIONS, "allow_http": scheme == "http", **(client_options or {})},
            retry_config=NO_RETRIES,
        )

    def page(self, prefix: str, delimiter: str, token: str | None) -> tuple[Page, str | None]:
        """Return a page of the listing."""
        return self._page({"Prefix": prefix, "Delimiter": delimiter, "ContinuationToken": token})

    def page_behind(self, prefix: str, delimiter: str, key: str) -> tuple[Page, str | None]:
        """Return the first page behind a key; see `StartsBehind`."""
        return self._page({"Prefix": prefix, "Delimiter": delimiter, "StartAfter": key})

    def _page(self, wanted: Mapping[str, str | None]) -> tuple[Page, str | None]:
        given = {name: value for name, value in wanted.items() if value}
        answer = self._client.list_objects_v2(Bucket=self._bucket, EncodingType="url", **given)
        where = answer["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region")
        if where and where != self._client.meta.region_name and self.location.endpoint == AWS:
            raise Unusable(
                f"{self.location.container} is in region {where}, {self.login} says "
                f"{self._client.meta.region_name}. Set region_name there to {where}."
            )
        if "Page" not in answer:
            raise ValueError("not a listing")
        page: tuple[Page, str | None] = answer["Page"]
        return page

    def read(self, key: str, most: int) -> tuple[bytes, str]:
        """Read through the client."""
        found = self._client.get_object(Bucket=self._bucket, Key=key)
        if found["ContentLength"] > most:
            found["Body"].close()
            raise too_large(key, most)
        content: bytes = found["Body"].read(most + 1)
        if len(content) > most:
            found["Body"].close()
            raise too_large(key, most)
        if len(content) != found["ContentLength"]:
            raise ValueError("not all of it")
        return content, version_of(found["ETag"])

    def write(self, key: str, content: bytes, *, create: bool) -> str:
        """Write through the client."""
        given = self._write_options | ({"IfNoneMatch": "*"} if create else {})
        return version_of(self._client.put_object(Bucket=self._bucket, Key=key, Body=content, **given)["ETag"])

    def delete(self, key: str) -> None:
        """Delete through the client."""
        self._client.delete_object(Bucket=self._bucket, Key=key)

    def sign(self, keys: Sequence[str], life: timedelta) -> Sequence[str]:
        """Sign with SigV4; no request is made."""
        plain = [key for key in keys if not INEXPRESSIBLE(key)]
        signed = dict(zip(plain, obstore.sign(self.store, "GET", plain, life), strict=True)) if plain else {}
        return [signed.get(key) or self._sign_odd(key, life) for key in keys]

    def confirms(self, written: Mapping[str, Any], content: bytes) -> bool:
        """Tell it by the ETag: the MD5 of the content. Of what KMS encrypts it is another, which tells nothing."""
        return self.version(written) == md5(content, usedforsecurity=False).hexdigest()

    def version(self, meta: Mapping[str, Any]) -> str:
        """Return the ETag."""
        return version_of(meta["e_tag"])

    def fault(self, error: Exception) -> Fault:
        """Read the client's error."""
        return fault_of(error)

    def _sign_odd(self, key: str, life: timedelta) -> str:
        seconds = int(life.total_seconds())
        url: str = self._client.generate_presigned_url(
            "get_object", Params={"Bucket": self._bucket, "Key": key}, ExpiresIn=seconds
        )
        return url


def fault_of(error: Exception) -> Fault:
    """Return what an error of botocore's means."""
    if isinstance(error, RecursionError):
        return Fault(HTTPStatus.MOVED_PERMANENTLY)
    # Over a 303 urllib3 stumbles, as botocore's headers are bytes, before it would not follow it.
    if isinstance(error, HTTPClientError) and isinstance(error.kwargs.get("error"), TypeError):
        return Fault(HTTPStatus.SEE_OTHER)
    if not isinstance(error, ClientError):
        return no_answer(error)
    said = error.response.get("Error", {})
    answer = error.response.get("ResponseMetadata", {})
    region = said.get("Region") or answer.get("HTTPHeaders", {}).get("x-amz-bucket-region", "")
    return Fault(answer.get("HTTPStatusCode"), said.get("Code", ""), said.get("Message", ""), region)


def _read_page(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    """Read a listing in the client's stead, before it does; an error that comes with status 200 is left to it."""
    if response_dict["status_code"] == 200 and b"<ListBucketResult" in response_dict["body"]:
        customized_response_dict["Page"] = objects_of_page(response_dict["body"])
        response_dict["body"] = b"<ListBucketResult/>"
