"""Microsoft Azure Blob Storage."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.storage.blob import BlobPrefix, BlobSasPermissions, ContainerClient, generate_blob_sas
from obstore.store import AzureStore

from labelsync_provider.errors import Denied
from labelsync_provider.storages.answers import no_answer
from labelsync_provider.storages.etags import version_of
from labelsync_provider.storages.faults import Fault, too_large
from labelsync_provider.storages.keys import listed_key
from labelsync_provider.storages.location import Location
from labelsync_provider.storages.obstore_use import CLIENT_OPTIONS, NO_RETRIES
from labelsync_provider.storages.protocol import ObjectInfo, Page
from labelsync_provider.storages.ranges import LISTERS

if TYPE_CHECKING:
    from azure.storage.blob import BlobServiceClient
    from obstore.store import AzureCredential, ClientConfig

PAGE = 5000
"""Blobs of a page, the most that Azure gives."""
SCOPE = "https://storage.azure.com/.default"
DELEGATED_LIFE = timedelta(days=7)
"""Of what a user delegation key signs: https://learn.microsoft.com/rest/api/storageservices/get-user-delegation-key"""

CLOCKS_DIFFER = timedelta(minutes=5)
"""By which a signature is valid earlier, for a service whose clock is behind."""

ETAG = re.compile(r"0x[0-9A-F]{14,}").fullmatch
"""As Azure writes them, and no web server does."""

STARTS_FROM = "start_from" in (ContainerClient.list_blobs.__doc__ or "")
"""Whether the SDK can list from a name on. It is a keyword that no signature of it names."""

NO_RETRIES_OF_ITS_OWN: dict[str, Any] = {
    "retry_total": 0,
    "permit_redirects": False,
    "connection_timeout": 10,
    "read_timeout": 60,
}


class AzureContainer:
    """A container; see `Service`. The client says how to log in, and lists."""

    errors = (AzureError, ValueError)
    writes_all = False
    deletes_at_once = 1
    listers = LISTERS

    def __init__(
        self,
        container: str,
        client: "BlobServiceClient",
        *,
        login: str,
        client_options: "ClientConfig | None" = None,
    ) -> None:
        """Open a container.

        :param login: the Airflow connection, in words.
        :param client_options: what obstore is to know of proxies and certificates.
        """
        self.login = login
        scheme, host, path, query, _ = urlsplit(client.url)
        self.location = Location(f"azure-blob://{container}", f"{scheme}://{host}{path}".rstrip("/"))
        self._name, self._service = container, client
        self._client = client.get_container_client(container)
        self._credential: Any = client.credential
        self._key: str | None = getattr(self._credential, "account_key", None)
        self._sas = query if "sig=" in query else ""
        self._has_tokens = hasattr(self._credential, "get_token")
        self.longest_life = DELEGATED_LIFE if self._has_tokens else timedelta.max
        anonymous = self._credential is None and not self._sas
        self.store = AzureStore(
            container,
            account_name=client.account_name,
            endpoint=self.location.endpoint,
            skip_signature=anonymous,
            credential_provider=None if anonymous else self._login,
            client_options={**CLIENT_OPTIONS, "allow_http": scheme == "http", **(client_options or {})},
            retry_config=NO_RETRIES,
        )

    def page(self, prefix: str, delimiter: str, token: str | None) -> tuple[Page, str | None]:
        """Return a page of the listing, without the directories that a hierarchical account lists as blobs."""
        return self._page(prefix, delimiter, token)

    if STARTS_FROM:

        def page_behind(self, prefix: str, delimiter: str, key: str) -> tuple[Page, str | None]:
            """Return the first page behind a key; see `StartsBehind`. Azure's begins with the key itself."""
            objects, token = self._page(prefix, delimiter, None, start_from=key)
            return [info for info in objects if info.key != key], token

    def _page(self, prefix: str, delimiter: str, token: str | None, **start: str) -> tuple[Page, str | None]:
        how: dict[str, Any] = {
            "name_starts_with": prefix or None,
            "include": ["metadata"],
            "results_per_page": PAGE,
            **NO_RETRIES_OF_ITS_OWN,
            **start,
        }
        if delimiter:
            pages: Any = self._client.walk_blobs(delimiter=delimiter, **how).by_page(token)
        else:
            pages = self._client.list_blobs(**how).by_page(token)
        objects = []
        for blob in next(pages, ()):
            if not isinstance(blob, BlobPrefix) and (blob.metadata or {}).get("hdi_isfolder") != "true":
                key, problem = listed_key(blob.name)
                modified = blob.last_modified.timestamp() if blob.last_modified else None
                objects.append(ObjectInfo(key, blob.size, version_of(blob.etag), problem, modified))
        return objects, pages.continuation_token or None

    def read(self, key: str, most: int) -> tuple[bytes, str]:
        """Read through the client."""
        found = self._client.download_blob(key, raw_response_hook=partial(_bound, key, most), **NO_RETRIES_OF_ITS_OWN)
        content = bytearray()
        if found.size <= most:
            for chunk in found.chunks():
                content += chunk
                if len(content) > most:
                    break
        if max(found.size, len(content)) > most:
            raise too_large(key, most)
        return bytes(content), version_of(found.properties.etag)

    def write(self, key: str, content: bytes, *, create: bool) -> str:
        """Write through the client."""
        written = self._client.get_blob_client(key).upload_blob(
            content, overwrite=not create, length=len(content), **NO_RETRIES_OF_ITS_OWN
        )
        return version_of(written["etag"])

    def delete(self, key: str) -> None:
        """Delete through the client."""
        self._client.delete_blob(key, delete_snapshots="include", **NO_RETRIES_OF_ITS_OWN)

    def sign(self, keys: Sequence[str], life: timedelta) -> Sequence[str]:
        """Sign with the account key; with a token credential, by a user delegation key. No request a key is made.

        Rule: https://learn.microsoft.com/rest/api/storageservices/create-user-delegation-sas
        """
        if not (self._key or self._has_tokens):
            raise Denied(
                f"{self.location.container}: cannot sign: {self.login} has no account key and no identity, and a SAS "
                "token signs nothing. Give it one of these."
            )
        # Not by obstore, whose signatures of keys that are quoted in a URL Azure does not accept.
        begin, end = datetime.now(UTC) - CLOCKS_DIFFER, datetime.now(UTC) + life
        signing: dict[str, Any] = {"account_key": self._key}
        if not self._key:
            signing = {"user_delegation_key": self._service.get_user_delegation_key(begin, end)}
        return [self._signed(key, end, signing) for key in keys]

    def confirms(self, written: Mapping[str, Any], content: bytes) -> bool:
        """Tell it by the ETag, which is of a kind that only Azure has."""
        return bool(ETAG(self.version(written)))

    def version(self, meta: Mapping[str, Any]) -> str:
        """Return the ETag."""
        return version_of(meta["e_tag"])

    def fault(self, error: Exception) -> Fault:
        """Read the client's error; of its message only the first line, the others are the request's."""
        if isinstance(error, HttpResponseError) and error.status_code:
            detail = str(error.message).partition("\n")[0]
            return Fault(error.status_code, _code(error), detail)
        if isinstance(error, ClientAuthenticationError):
            return Fault(401, "", str(error.message).partition("\n")[0])
        return no_answer(error)

    def _login(self) -> "AzureCredential":
        if self._key:
            return {"access_key": self._key, "expires_at": None}
        if self._has_tokens:
            token = self._credential.get_token(SCOPE)
            return {"token": token.token, "expires_at": datetime.fromtimestamp(token.expires_on, UTC)}
        # A SAS can be exchanged in the credential while we run.
        return {"sas_token": self._sas or self._credential.signature.lstrip("?"), "expires_at": None}

    def _signed(self, key: str, end: datetime, signing: dict[str, Any]) -> str:
        account, may_read = str(self._service.account_name), BlobSasPermissions(read=True)
        sas = generate_blob_sas(account, self._name, key, permission=may_read, expiry=end, **signing)
        return f"{self.location.endpoint}/{self._name}/{quote(key)}?{sas}"


def _bound(key: str, most: int, response: Any) -> None:
    """Have the client, which takes all that comes, get no more of an answer's body than it may have."""
    answer = response.http_response
    whole = answer.stream_download
    answer.stream_download = lambda *args, **kwargs: _Bounded(whole(*args, **kwargs), key, most)


class _Bounded:
    """Gives a body as it comes, and no more than it may have. The client asks for its attributes, and sets its own."""

    def __init__(self, body: Any, key: str, most: int) -> None:
        self._body, self._key, self._most = body, key, most
        self._length = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk: bytes = next(self._body)
        self._length += len(chunk)
        if self._length > self._most:
            raise too_large(self._key, self._most)
        return chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)


def _code(error: HttpResponseError) -> str:
    code = getattr(error, "error_code", None) or ""
    return str(getattr(code, "value", code))
