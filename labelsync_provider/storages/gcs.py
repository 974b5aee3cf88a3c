"""Google Cloud Storage."""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from hashlib import md5
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from google.api_core.exceptions import GoogleAPICallError
from google.auth.credentials import AnonymousCredentials, Signing
from google.auth.exceptions import GoogleAuthError, TransportError
from google.auth.transport.requests import AuthorizedSession, Request
from obstore.store import GCSStore
from requests import HTTPError, RequestException, TooManyRedirects

from labelsync_provider.errors import Denied
from labelsync_provider.storages.answers import LONGEST_ANSWER, fault_of_answer, no_answer
from labelsync_provider.storages.etags import version_of
from labelsync_provider.storages.faults import Fault, too_large
from labelsync_provider.storages.location import Location
from labelsync_provider.storages.obstore_use import CLIENT_OPTIONS, INEXPRESSIBLE, NO_RETRIES
from labelsync_provider.storages.protocol import Page
from labelsync_provider.storages.ranges import LISTERS
from labelsync_provider.storages.s3_pages import objects_of_page

if TYPE_CHECKING:
    from google.cloud.storage import Blob, Client
    from obstore.store import ClientConfig, GCSCredential

LONGEST_LIFE = timedelta(days=7)
"""Of a signed URL: https://cloud.google.com/storage/docs/access-control/signed-urls"""

QUOTA = "x-goog-user-project"
"""Names the project that pays, where that is not the bucket's: https://cloud.google.com/storage/docs/requester-pays"""

NOBODY = {"disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}

TIMEOUTS = (10, 60)
"""Seconds to connect, and without an answer."""

SIGNING_THREADS = 16
"""Without a key of its own, each URL is a call to IAM."""


class _Bounded(BytesIO):
    """Takes a download as it comes, and no more than it may have."""

    def __init__(self, key: str, most: int) -> None:
        super().__init__()
        self._key, self._most = key, most

    def write(self, chunk: Any) -> int:
        """Take some more."""
        if self.tell() + len(chunk) > self._most:
            raise too_large(self._key, self._most)
        return super().write(chunk)


class GCSBucket:
    """A bucket; see `Service`. Listing and bytes go through the XML API, as obstore's, the rest through the client."""

    longest_life = LONGEST_LIFE
    writes_all = False
    deletes_at_once = 1
    listers = LISTERS
    errors = (RequestException, GoogleAPICallError, GoogleAuthError, ValueError)

    def __init__(
        self,
        bucket: str,
        client: "Client",
        credentials: Any,
        *,
        login: str,
        client_options: "ClientConfig | None" = None,
    ) -> None:
        """Open a bucket.

        :param credentials: google-auth's; they renew themselves.
        :param login: the Airflow connection, in words.
        :param client_options: what obstore is to know of proxies and certificates.
        """
        endpoint: str = client.api_endpoint.rstrip("/")
        self.location, self.login = Location(f"gs://{bucket}", endpoint), login
        self._bucket, self._client, self._credentials = bucket, client, credentials
        self._session: Any = AuthorizedSession(credentials)
        for session in (self._session, client._http):
            session.max_redirects = 0  # Google sends nobody on, and another host is not to be asked
        anonymous = isinstance(credentials, AnonymousCredentials)
        # Anonymous, it would ask the machine's metadata server for a token all the same, but for this key.
        login_as: dict[str, Any] = (
            {"skip_signature": True, "service_account_key": json.dumps(NOBODY)}
            if anonymous
            else {"credential_provider": self._token}
        )
        self.store = GCSStore(
            bucket,
            base_url=endpoint,
            **login_as,
            client_options={
                **CLIENT_OPTIONS,
                # Google's own clients say it of themselves.
                "default_headers": {QUOTA: quota} if (quota := getattr(credentials, "quota_project_id", None)) else {},
                "allow_http": endpoint.startswith("http:"),
                **(client_options or {}),
            },
            retry_config=NO_RETRIES,
        )

    def page(self, prefix: str, delimiter: str, token: str | None) -> tuple[Page, str | None]:
        """Return a page of the listing.

        Rule: https://cloud.google.com/storage/docs/xml-api/get-bucket-list
        """
        return self._page({"prefix": prefix, "delimiter": delimiter, "continuation-token": token})

    def page_behind(self, prefix: str, delimiter: str, key: str) -> tuple[Page, str | None]:
        """Return the first page behind a key; see `StartsBehind`."""
        return self._page({"prefix": prefix, "delimiter": delimiter, "start-after": key})

    def _page(self, wanted: Mapping[str, str | None]) -> tuple[Page, str | None]:
        given = {name: value for name, value in wanted.items() if value}
        answer = self._session.get(
            f"{self.location.endpoint}/{self._bucket}",
            params={"list-type": "2", "encoding-type": "url", **given},
            timeout=TIMEOUTS,
        )
        answer.raise_for_status()
        return objects_of_page(answer.content)

    def read(self, key: str, most: int) -> tuple[bytes, str]:
        """Read through the client."""
        blob, content = self._blob(key), _Bounded(key, most)
        blob.download_to_file(content, retry=None)
        return content.getvalue(), str(blob.generation)

    def write(self, key: str, content: bytes, *, create: bool) -> str:
        """Write through the client."""
        blob = self._blob(key)
        blob.upload_from_string(content, if_generation_match=0 if create else None, retry=None)
        return str(blob.generation)

    def delete(self, key: str) -> None:
        """Delete by the XML API, as obstore would, which follows redirects; the odd keys through the client."""
        if INEXPRESSIBLE(key):
            self._blob(key).delete(retry=None)
            return
        where = f"{self.location.endpoint}/{self._bucket}/{quote(key)}"
        self._session.delete(where, timeout=TIMEOUTS).raise_for_status()

    def sign(self, keys: Sequence[str], life: timedelta) -> Sequence[str]:
        """Sign with V4: with the service account's own key, or by IAM's sign-blob call, as who it may sign for.

        Rule: guide "Sync data from external storage", Google Cloud Storage: role "Service Account Token Creator".
        """
        endpoint = self.location.endpoint
        how: dict[str, Any] = {"version": "v4", "expiration": life, "method": "GET", "api_access_endpoint": endpoint}
        if isinstance(self._credentials, Signing):
            how |= {"credentials": self._credentials}
        else:
            # What a metadata server gives has a token, and a name once it is refreshed, but no key.
            token = self._token()["token"]
            account = getattr(self._credentials, "service_account_email", None)
            if not account:
                raise Denied(
                    f"{self.location.container}: cannot sign: {self.login} is no service account. Use one with a "
                    "key, or one with the role Service Account Token Creator on itself."
                )
            how |= {"service_account_email": account, "access_token": token}
        with ThreadPoolExecutor(SIGNING_THREADS, thread_name_prefix="labelsync-sign") as pool:
            return list(pool.map(lambda key: str(self._blob(key).generate_signed_url(**how)), keys))

    def confirms(self, written: Mapping[str, Any], content: bytes) -> bool:
        """Tell it by the generation, or of a server that has none by the ETag, the MD5 of the content."""
        of_content = md5(content, usedforsecurity=False).hexdigest()
        return bool(written["version"]) or version_of(written["e_tag"]) == of_content

    def version(self, meta: Mapping[str, Any]) -> str:
        """Return the generation; a server that has none gives an ETag."""
        return meta["version"] or version_of(meta["e_tag"])

    def fault(self, error: Exception) -> Fault:
        """Read the session's error, or the client's."""
        if isinstance(error, HTTPError | TooManyRedirects) and error.response is not None:
            body = error.response.content[:LONGEST_ANSWER].decode("utf-8", "replace")
            return fault_of_answer(error.response.status_code, body)
        if isinstance(error, GoogleAPICallError):
            reasons = [reason.get("reason", "") for reason in error.errors if isinstance(reason, dict)]
            return Fault(int(error.code or 0), reasons[0] if reasons else "", str(error.message).rpartition(": ")[2])
        if isinstance(error, TransportError) and "IAM sign" in str(error):
            return Fault(HTTPStatus.FORBIDDEN, "", "IAM signs for who has the role Service Account Token Creator")
        if isinstance(error, GoogleAuthError) and not isinstance(error, TransportError):
            return Fault(HTTPStatus.UNAUTHORIZED, type(error).__name__, str(error.args[0]) if error.args else "")
        return no_answer(error)

    def _blob(self, key: str) -> "Blob":
        return self._client.bucket(self._bucket).blob(key)

    def _token(self) -> "GCSCredential":
        if not self._credentials.valid:
            self._credentials.refresh(Request())
        expiry: datetime | None = self._credentials.expiry
        if expiry is not None and expiry.tzinfo is None:
            expiry = expiry.replace(tzinfo=UTC)
        return {"token": self._credentials.token, "expires_at": expiry}
