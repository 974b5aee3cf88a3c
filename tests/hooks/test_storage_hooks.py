"""Connections become storages of every service, and say what is wrong with them when tested."""

import asyncio
import base64
import json
import re
import secrets
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import pytest
from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from servers.azure import AzureServer
from servers.gcs import service_account_key
from servers.process import HOST, free_port
from servers.redis import RedisServer, running_valkey, write_certificate
from servers.s3 import S3Server
from servers.thread import BUFFER, serving

from labelsync_provider.errors import Invalid, LabelsyncError, NotFound, Unusable
from labelsync_provider.hooks.azure_blob import AzureBlobStorageHook
from labelsync_provider.hooks.gcs import GCSStorageHook
from labelsync_provider.hooks.redis import RedisStorageHook
from labelsync_provider.hooks.s3 import S3StorageHook
from labelsync_provider.storages.location import Location

pytest_plugins = ["servers.azure", "servers.redis", "servers.s3"]

HOOKS = [
    pytest.param(S3StorageHook, "s3://bucket/", id="S3"),
    pytest.param(GCSStorageHook, "gs://bucket/", id="GCS"),
    pytest.param(AzureBlobStorageHook, "azure-blob://bucket/", id="Azure"),
    pytest.param(RedisStorageHook, "redis://0/", id="Redis"),
]

NOWHERE = f"http://{HOST}:1"
VARIABLES = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_DEFAULT_REGION",
    "AWS_CA_BUNDLE",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "STORAGE_EMULATOR_HOST",
    "AZURE_BLOB_ACCOUNT_NAME",
    "AZURE_BLOB_ACCOUNT_KEY",
    "REQUESTS_CA_BUNDLE",
]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody's own credentials are in sight, and a person need not wait long."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr("labelsync_provider.hooks.buckets.TRIAL_SECONDS", 0.2)
    monkeypatch.setattr("labelsync_provider.hooks.redis.TRIAL_SECONDS", 0.2)


def works(hook: Any, uri: str, *, target: bool = True) -> str:
    """Return what a connection that works can do."""
    ok, message = hook.test_connection(uri, target=target)
    assert ok, message
    return str(message)


def said(hook: Any, uri: str, *, target: bool = False) -> str:
    """Return why a connection does not work."""
    ok, message = hook.test_connection(uri, target=target)
    assert not ok, message
    return str(message)


@contextmanager
def speaking_tls(endpoint: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """Speak TLS before a server; give the endpoint, and the CA file of its certificate."""
    where = urlsplit(endpoint)
    ca_file, chain = write_chain(folder)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain)

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(BUFFER):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def handle(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection(where.hostname, where.port)
        await asyncio.gather(copy(client, to_server), copy(server, to_client))

    with serving(handle, tls=context) as port:
        yield where._replace(scheme="https", netloc=f"{HOST}:{port}").geturl(), ca_file


def write_chain(folder: Path) -> tuple[Path, Path]:
    """Write the certificate of an authority, and one that it signed for a server, with its key: obstore takes no
    authority for a server.
    """
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    authority, server = (x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in ("CA", "server"))
    now = datetime.now(UTC)

    def builder(name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(authority)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key()), critical=False)
        )

    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    ca = (
        builder(authority, keys[0])
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(keys[0].public_key()), critical=False)
        .add_extension(usage, critical=True)
        .sign(keys[0], hashes.SHA256())
    )
    leaf = (
        builder(server, keys[1])
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), critical=False)
        .sign(keys[0], hashes.SHA256())
    )
    ca_file, chain = folder / "ca.pem", folder / "server.pem"
    ca_file.write_bytes(ca.public_bytes(Encoding.PEM))
    key = keys[1].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    chain.write_bytes(leaf.public_bytes(Encoding.PEM) + key)
    return ca_file, chain


class TestEveryHook:
    @pytest.mark.parametrize(("hook", "uri"), HOOKS)
    def test_without_its_connection_names_it(self, hook: Any, uri: str) -> None:
        for open_storage in (hook("nowhere").get_source, hook("nowhere").get_target):
            with pytest.raises(NotFound, match=r"There is no Airflow connection 'nowhere'\. Create one of type '"):
                open_storage(uri)
        assert "no Airflow connection 'nowhere'" in said(hook("nowhere"), uri)

    @pytest.mark.parametrize(("hook", "uri"), HOOKS)
    @pytest.mark.parametrize("text", ["False", "true", ""])
    def test_takes_no_text_for_recursive_scan(
        self, connect: Callable[..., None], hook: Any, uri: str, text: str
    ) -> None:
        connect(hook.default_conn_name, conn_type=hook.conn_type)
        with pytest.raises(Invalid, match=rf"recursive_scan='{text}': neither True, False nor None"):
            hook().get_source(uri, text)

    @pytest.mark.parametrize(
        ("hook", "scheme"), [(S3StorageHook, "s3"), (GCSStorageHook, "gs"), (AzureBlobStorageHook, "azure-blob")]
    )
    @pytest.mark.parametrize("rest", ["", "/", "/prefix"])
    def test_of_a_bucket_names_a_uri_without_one(self, hook: Any, scheme: str, rest: str) -> None:
        for parameter, open_storage in (("source", hook().get_source), ("target", hook().get_target)):
            pattern = rf"{parameter}='{scheme}://{rest}.*': it names no bucket\. Use {scheme}://bucket or "
            with pytest.raises(Invalid, match=pattern):
                open_storage(f"{scheme}://{rest}")

    @pytest.mark.parametrize("hook", [S3StorageHook, GCSStorageHook, AzureBlobStorageHook])
    def test_of_a_bucket_asks_for_the_uri_to_test(self, hook: Any) -> None:
        assert re.search("Give the storage URI to try.* alone names no bucket", said(hook(), ""))

    @pytest.mark.parametrize("hook", [S3StorageHook, GCSStorageHook, AzureBlobStorageHook])
    def test_of_a_bucket_takes_a_target_for_a_folder_and_a_source_as_it_is_written(
        self, hook: Any, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connect(hook.default_conn_name, conn_type=hook.conn_type)
        monkeypatch.setattr(hook, "open_bucket", lambda self, bucket: _Service(bucket))
        uris = [f"x://bucket{rest}" for rest in ("", "/", "/a", "/a/")]
        assert [hook().get_source(uri).location.prefix for uri in uris] == ["", "", "a", "a/"]
        assert [hook().get_target(uri).location.prefix for uri in uris] == ["", "", "a/", "a/"]


class _Service:
    writes_all = False
    deletes_at_once = 1

    def __init__(self, bucket: str) -> None:
        self.location = Location(f"x://{bucket}", "")


@pytest.fixture
def bucket(weed: S3Server, connect_s3: Callable[..., None]) -> str:
    """A bucket of SeaweedFS, which is the default connection's."""
    connect_s3(weed)
    return weed.create_bucket()


def deny(server: S3Server, bucket: str, action: str) -> None:
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    statement = {"Effect": "Deny", "Principal": "*", "Action": [action], "Resource": resources}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    server.client().put_bucket_policy(Bucket=bucket, Policy=policy)


class TestS3:
    def test_source_is_listed_and_read(self, weed: S3Server, bucket: str) -> None:
        uri = f"s3://{bucket}/in/"
        assert S3StorageHook().test_connection(uri) == (
            True,
            f"{uri} can be listed, and is empty; URLs can be signed.",
        )
        weed.client().put_object(Bucket=bucket, Key="in/a.json", Body=b"1")
        assert S3StorageHook().test_connection(uri) == (
            True,
            f"{uri} can be listed, and begins with 'in/a.json'; can be read; URLs can be signed.",
        )

    def test_target_is_written_and_left_as_it_was(self, weed: S3Server, bucket: str) -> None:
        assert S3StorageHook().test_connection(f"s3://{bucket}/out", target=True) == (
            True,
            f"s3://{bucket}/out/ can be listed, and is empty; can be written, and deleted from; URLs can be signed.",
        )
        assert weed.client().list_objects_v2(Bucket=bucket)["KeyCount"] == 0

    def test_bucket_that_is_not_there_is_said(self, bucket: str) -> None:
        assert "There is no such bucket or container." in said(S3StorageHook(), "s3://no-such-bucket-of-ours/")

    @pytest.mark.parametrize("wrong", ["login", "password"])
    def test_wrong_key_is_said_and_not_shown(
        self, weed: S3Server, bucket: str, connect_s3: Callable[..., None], wrong: str
    ) -> None:
        connect_s3(weed, **{wrong: "wrong-key-wrong-key"})
        message = said(S3StorageHook(), f"s3://{bucket}/")
        assert "The credentials of this connection are not accepted" in message
        assert "wrong-key" not in message
        assert weed.secret_key not in message

    @pytest.mark.parametrize(
        ("action", "what"),
        [
            ("s3:ListBucket", "list objects"),
            ("s3:GetObject", "read in/a"),
            ("s3:PutObject", "write in/.labelsync-probe"),
        ],
    )
    def test_permission_that_is_missing_is_said(self, weed: S3Server, bucket: str, action: str, what: str) -> None:
        weed.client().put_object(Bucket=bucket, Key="in/a", Body=b"1")
        deny(weed, bucket, action)
        message = said(S3StorageHook(), f"s3://{bucket}/in/", target=True)
        assert f"cannot {what}" in message
        assert f"This connection has no permission to {what.partition(' ')[0]} there." in message

    def test_permission_to_write_is_not_needed_of_a_source(self, weed: S3Server, bucket: str) -> None:
        deny(weed, bucket, "s3:PutObject")
        works(S3StorageHook(), f"s3://{bucket}/in/", target=False)

    def test_endpoint_that_does_not_answer_is_said(self, weed: S3Server, connect_s3: Callable[..., None]) -> None:
        connect_s3(replace(weed, endpoint=f"http://{HOST}:{free_port()}"))
        message = said(S3StorageHook(), "s3://bucket/")
        assert "the connection is refused. Is the endpoint in this connection the right one?" in message

    @pytest.mark.parametrize("by", ["connection", "environment"])
    def test_private_ca_is_trusted_when_it_is_named(
        self,
        weed: S3Server,
        bucket: str,
        connect_s3: Callable[..., None],
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        by: str,
    ) -> None:
        with speaking_tls(weed.endpoint, tmp_path) as (endpoint, ca_file):
            secure = replace(weed, endpoint=endpoint)
            connect_s3(secure)
            assert re.search(
                "cannot be trusted.* name the CA file in this connection",
                said(S3StorageHook(), f"s3://{bucket}/"),
            )
            if by == "connection":
                connect_s3(secure, extra={"verify": str(ca_file)})
            else:
                monkeypatch.setenv("AWS_CA_BUNDLE", str(ca_file))
            works(S3StorageHook(), f"s3://{bucket}/out")

    def test_ca_file_that_is_not_there_is_said(self, weed: S3Server, connect_s3: Callable[..., None]) -> None:
        connect_s3(weed, extra={"verify": "/nowhere/at/all.pem"})
        with pytest.raises(LabelsyncError, match=r"/nowhere/at/all\.pem"):
            S3StorageHook().get_source("s3://bucket/")

    @pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
    def test_certificate_is_not_looked_at_when_the_connection_says_so(
        self, weed: S3Server, bucket: str, connect_s3: Callable[..., None], tmp_path: Path
    ) -> None:
        with speaking_tls(weed.endpoint, tmp_path) as (endpoint, _):
            connect_s3(replace(weed, endpoint=endpoint), extra={"verify": False})
            works(S3StorageHook(), f"s3://{bucket}/out")

    def test_empty_connection_means_the_environment_variables(
        self, weed: S3Server, bucket: str, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connect("aws_default", conn_type="aws")
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", weed.endpoint)
        monkeypatch.setenv("AWS_DEFAULT_REGION", weed.region)
        message = said(S3StorageHook(), f"s3://{bucket}/")
        assert "this connection has no credentials: Unable to locate credentials. Give it" in message
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", weed.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", weed.secret_key)
        works(S3StorageHook(), f"s3://{bucket}/out")

    def test_empty_connection_means_the_profile_of_the_configuration_files(
        self, weed: S3Server, bucket: str, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        connect("aws_default", conn_type="aws")
        (tmp_path / "credentials").write_text(
            "[default]\naws_access_key_id = nobody\naws_secret_access_key = nothing\n"
            f"[tests]\naws_access_key_id = {weed.access_key}\naws_secret_access_key = {weed.secret_key}\n"
        )
        (tmp_path / "config").write_text(
            f"[default]\nregion = us-east-1\nendpoint_url = {weed.endpoint}\n"
            f"[profile tests]\nregion = us-east-1\nendpoint_url = {weed.endpoint}\n"
        )
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        assert "are not accepted" in said(S3StorageHook(), f"s3://{bucket}/")
        monkeypatch.setenv("AWS_PROFILE", "tests")
        works(S3StorageHook(), f"s3://{bucket}/out")

    def test_profile_that_is_not_there_is_said(self, connect_s3: Callable[..., None], weed: S3Server) -> None:
        connect_s3(weed, login=None, password=None, extra={"profile_name": "nobody"})
        with pytest.raises(LabelsyncError, match="nobody"):
            S3StorageHook().get_source("s3://bucket/")

    def test_session_token_goes_with_the_key(self, moto: S3Server, connect_s3: Callable[..., None]) -> None:
        bucket, token = moto.create_bucket(), secrets.token_hex(20)
        connect_s3(moto, extra={"aws_session_token": token})
        storage = S3StorageHook().get_target(f"s3://{bucket}/out")
        storage.write("out/a", b"1")
        (url,) = storage.sign(["out/a"], timedelta(minutes=5))
        assert parse_qs(urlsplit(url).query)["X-Amz-Security-Token"] == [token]
        assert urlopen(url).read() == b"1"

    def test_role_is_assumed(self, moto: S3Server, connect_s3: Callable[..., None]) -> None:
        bucket = moto.create_bucket()
        connect_s3(moto, extra=role(moto.endpoint))
        storage = S3StorageHook().get_target(f"s3://{bucket}/out")
        storage.write("out/a", b"1")
        (url,) = storage.sign(["out/a"], timedelta(minutes=5))
        query = parse_qs(urlsplit(url).query)
        assert query["X-Amz-Credential"][0].startswith("ASIA")
        assert query["X-Amz-Security-Token"]
        assert moto.access_key not in url

    def test_role_that_cannot_be_assumed_for_lack_of_an_answer_is_said(
        self, moto: S3Server, connect_s3: Callable[..., None]
    ) -> None:
        connect_s3(moto, extra=role(f"http://{HOST}:{free_port()}"))
        with pytest.raises(LabelsyncError):
            S3StorageHook().get_source("s3://bucket/")

    def test_role_that_may_not_be_assumed_is_said(self, weed: S3Server, connect_s3: Callable[..., None]) -> None:
        # Its STS knows no such role.
        connect_s3(weed, extra=role(weed.endpoint))
        with pytest.raises(LabelsyncError):
            S3StorageHook().get_source("s3://bucket/")


def role(sts: str) -> dict[str, Any]:
    return {
        "role_arn": "arn:aws:iam::123456789012:role/tests",
        "service_config": {"sts": {"endpoint_url": sts}},
    }


@pytest.fixture
def gcs_bucket(rclone_anonymous: S3Server, connect_gcs: Callable[..., None]) -> str:
    connect_gcs(rclone_anonymous)
    return rclone_anonymous.create_bucket()


class TestGCS:
    def test_source_is_listed_and_read(self, rclone_anonymous: S3Server, gcs_bucket: str) -> None:
        rclone_anonymous.client().put_object(Bucket=gcs_bucket, Key="in/a", Body=b"1")
        assert GCSStorageHook().test_connection(f"gs://{gcs_bucket}/in/") == (
            True,
            f"gs://{gcs_bucket}/in/ can be listed, and begins with 'in/a'; can be read; gs://{gcs_bucket}: cannot "
            "sign: this connection is no service account. Use one with a key, or one with the role "
            "Service Account Token Creator on itself.",
        )

    def test_target_is_written_and_left_as_it_was(self, rclone_anonymous: S3Server, gcs_bucket: str) -> None:
        assert "can be written, and deleted from" in works(GCSStorageHook(), f"gs://{gcs_bucket}/out")
        assert "Contents" not in rclone_anonymous.client().list_objects_v2(Bucket=gcs_bucket)

    def test_bucket_that_is_not_there_is_said(self, gcs_bucket: str) -> None:
        assert "There is no such bucket or container." in said(GCSStorageHook(), "gs://no-such-bucket-of-ours/")

    def test_endpoint_that_does_not_answer_is_said(
        self, rclone_anonymous: S3Server, connect_gcs: Callable[..., None]
    ) -> None:
        connect_gcs(replace(rclone_anonymous, endpoint=f"http://{HOST}:{free_port()}"))
        message = said(GCSStorageHook(), "gs://bucket/")
        assert "the connection is refused. Is the endpoint in this connection the right" in message

    def test_private_ca_is_trusted_when_the_environment_names_it(
        self,
        rclone_anonymous: S3Server,
        gcs_bucket: str,
        connect_gcs: Callable[..., None],
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        with speaking_tls(rclone_anonymous.endpoint, tmp_path) as (endpoint, ca_file):
            connect_gcs(replace(rclone_anonymous, endpoint=endpoint))
            assert "cannot be trusted" in said(GCSStorageHook(), f"gs://{gcs_bucket}/")
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ca_file))
            works(GCSStorageHook(), f"gs://{gcs_bucket}/out")

    def test_private_ca_of_aws_is_none_of_google(
        self,
        rclone_anonymous: S3Server,
        gcs_bucket: str,
        connect_gcs: Callable[..., None],
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        with speaking_tls(rclone_anonymous.endpoint, tmp_path) as (endpoint, ca_file):
            connect_gcs(replace(rclone_anonymous, endpoint=endpoint))
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ca_file))
            other, _ = write_certificate(tmp_path)
            monkeypatch.setenv("AWS_CA_BUNDLE", str(other))
            works(GCSStorageHook(), f"gs://{gcs_bucket}/out")

    def test_folder_of_cas_is_taken_as_requests_takes_it(
        self, gcs_bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
        works(GCSStorageHook(), f"gs://{gcs_bucket}/out")

    def test_empty_connection_without_default_credentials_is_said(self, connect: Callable[..., None]) -> None:
        connect("google_cloud_default", conn_type="google_cloud_platform")
        message = said(GCSStorageHook(), "gs://bucket/")
        assert re.search("no credentials from this connection.*GOOGLE_APPLICATION_CREDENTIALS", message)

    def test_empty_connection_means_the_default_credentials(
        self, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        connect("google_cloud_default", conn_type="google_cloud_platform")
        key = service_account_key(f"{NOWHERE}/token")
        (tmp_path / "key.json").write_text(json.dumps(key))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
        assert signed_by(GCSStorageHook()) == key["client_email"]

    @pytest.mark.parametrize("how", ["key_path", "keyfile_dict"])
    def test_key_of_the_connection_signs(self, connect: Callable[..., None], tmp_path: Path, how: str) -> None:
        key = service_account_key(f"{NOWHERE}/token")
        (tmp_path / "key.json").write_text(json.dumps(key))
        extra = {"key_path": str(tmp_path / "key.json")} if how == "key_path" else {"keyfile_dict": json.dumps(key)}
        connect("google_cloud_default", conn_type="google_cloud_platform", extra={"project": "p", **extra})
        assert signed_by(GCSStorageHook()) == key["client_email"]

    @pytest.mark.parametrize(
        "extra",
        [
            {"key_path": "/nowhere/at/all.json"},
            {"keyfile_dict": '{"type": "service_account", "private_key": "s3cr3t-s3cr3t"}'},
            {"keyfile_dict": "s3cr3t-s3cr3t"},
        ],
    )
    def test_key_that_cannot_be_used_is_said_and_not_shown(self, connect: Callable[..., None], extra: Any) -> None:
        connect("google_cloud_default", conn_type="google_cloud_platform", extra=extra)
        with pytest.raises((Invalid, Unusable), match="connection 'google_cloud_default'") as caught:
            GCSStorageHook().get_source("gs://bucket/")
        assert "s3cr3t" not in str(caught.value)
        assert caught.value.__cause__ is None


def signed_by(hook: GCSStorageHook) -> str:
    """Return the account that signs URLs."""
    (url,) = hook.get_source("gs://bucket/").sign(["a"], timedelta(minutes=5))
    return parse_qs(urlsplit(url).query)["X-Goog-Credential"][0].partition("/")[0]


@pytest.fixture
def container(azurite: AzureServer, connect_azure: Callable[..., None]) -> str:
    connect_azure(azurite)
    return azurite.create_container()


class TestAzure:
    def test_source_is_listed_and_read(self, azurite: AzureServer, container: str) -> None:
        azurite.client().get_blob_client(container, "in/a").upload_blob(b"1")
        assert AzureBlobStorageHook().test_connection(f"azure-blob://{container}/in/") == (
            True,
            f"azure-blob://{container}/in/ can be listed, and begins with 'in/a'; can be read; URLs can be signed.",
        )

    def test_target_is_written_and_left_as_it_was(self, azurite: AzureServer, container: str) -> None:
        assert "can be written, and deleted from" in works(AzureBlobStorageHook(), f"azure-blob://{container}/out")
        assert list(azurite.client().get_container_client(container).list_blob_names()) == []

    def test_container_that_is_not_there_is_said(self, container: str) -> None:
        message = said(AzureBlobStorageHook(), "azure-blob://no-such-container-of-ours/")
        assert "There is no such bucket or container." in message

    def test_wrong_key_is_said_and_not_shown(
        self, azurite: AzureServer, container: str, connect_azure: Callable[..., None]
    ) -> None:
        wrong = base64.b64encode(b"wrong key wrong key").decode()
        connect_azure(replace(azurite, key=wrong))
        message = said(AzureBlobStorageHook(), f"azure-blob://{container}/")
        assert "The credentials of this connection are not accepted" in message
        assert wrong not in message

    @pytest.mark.parametrize(
        ("allowed", "what"),
        [
            ({"read": True, "write": True}, "list objects"),
            ({"list": True, "write": True}, "read in/a"),
            ({"list": True, "read": True}, "write in/.labelsync-probe"),
        ],
    )
    def test_permission_that_is_missing_is_said(
        self, azurite: AzureServer, container: str, connect: Callable[..., None], allowed: dict[str, bool], what: str
    ) -> None:
        azurite.client().get_blob_client(container, "in/a").upload_blob(b"1")
        token = sas(azurite, **allowed)  # type: ignore[arg-type]
        connect(
            "wasb_default", conn_type="wasb", login=azurite.account, host=azurite.endpoint, extra={"sas_token": token}
        )
        message = said(AzureBlobStorageHook(), f"azure-blob://{container}/in/", target=True)
        assert f"cannot {what}" in message
        assert f"This connection has no permission to {what.partition(' ')[0]} there." in message
        assert parse_qs(token)["sig"][0] not in message

    def test_token_that_has_run_out_is_said(
        self, azurite: AzureServer, container: str, connect: Callable[..., None]
    ) -> None:
        token = sas(azurite, life=timedelta(hours=-1), list=True, read=True)
        connect(
            "wasb_default", conn_type="wasb", login=azurite.account, host=azurite.endpoint, extra={"sas_token": token}
        )
        message = said(AzureBlobStorageHook(), f"azure-blob://{container}/")
        assert "The credentials of this connection are not accepted: wrong, expired" in message

    def test_endpoint_that_does_not_answer_is_said(
        self, azurite: AzureServer, connect_azure: Callable[..., None]
    ) -> None:
        connect_azure(replace(azurite, endpoint=f"http://{HOST}:{free_port()}/{azurite.account}"))
        message = said(AzureBlobStorageHook(), "azure-blob://container/")
        assert "the connection is refused. Is the endpoint in this connection the right one?" in message

    @pytest.mark.parametrize("by", ["connection", "environment"])
    def test_private_ca_is_trusted_when_it_is_named(
        self,
        azurite: AzureServer,
        container: str,
        connect: Callable[..., None],
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        by: str,
    ) -> None:
        with speaking_tls(azurite.endpoint, tmp_path) as (endpoint, ca_file):
            login = {"conn_type": "wasb", "login": azurite.account, "password": azurite.key, "host": endpoint}
            connect("wasb_default", **login)
            assert re.search(
                "cannot be trusted.* name the CA file in this connection",
                said(AzureBlobStorageHook(), f"azure-blob://{container}/"),
            )
            if by == "connection":
                connect("wasb_default", **login, extra={"connection_verify": str(ca_file)})
            else:
                monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ca_file))
            works(AzureBlobStorageHook(), f"azure-blob://{container}/out")

    def test_empty_connection_means_the_variables_of_label_studio(
        self, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connect("wasb_default", conn_type="wasb")
        key = base64.b64encode(secrets.token_bytes(64)).decode()
        monkeypatch.setenv("AZURE_BLOB_ACCOUNT_NAME", "ours")
        monkeypatch.setenv("AZURE_BLOB_ACCOUNT_KEY", key)
        service: Any = AzureBlobStorageHook().open_bucket("photos")
        assert service._client.url == "https://ours.blob.core.windows.net/photos"
        assert service._client.credential.account_key == key
        assert service.location.endpoint == "https://ours.blob.core.windows.net"
        assert service.login == "AZURE_BLOB_ACCOUNT_NAME and AZURE_BLOB_ACCOUNT_KEY"

    @pytest.mark.parametrize("says", [{}, {"extra": {"connection_string": "s3cr3t"}}])
    def test_connection_that_names_no_account_is_said(self, connect: Callable[..., None], says: Any) -> None:
        connect("wasb_default", conn_type="wasb", **says)
        said = r"'wasb_default' names no account.*AZURE_BLOB_ACCOUNT_NAME|'wasb_default': it is no connection string"
        with pytest.raises((Invalid, Unusable), match=said) as caught:
            AzureBlobStorageHook().get_source("azure-blob://photos/")
        assert "s3cr3t" not in str(caught.value)
        assert caught.value.__cause__ is None


def sas(server: AzureServer, life: timedelta = timedelta(hours=1), **allowed: bool) -> str:
    """Return a token of the whole account."""
    everything = ResourceTypes(service=True, container=True, object=True)
    end = datetime.now(UTC) + life
    return str(generate_account_sas(server.account, server.key, everything, AccountSasPermissions(**allowed), end))


class TestRedis:
    def test_source_is_listed_and_read(self, valkey: RedisServer, connect_redis: Callable[..., None]) -> None:
        connect_redis(valkey)
        assert RedisStorageHook().test_connection() == (True, "redis://0/ can be listed, and is empty.")
        valkey.client(3).set("in/a", "1")
        assert RedisStorageHook().test_connection("redis://3/in/") == (
            True,
            "redis://3/in/ can be listed, and begins with 'in/a'; can be read.",
        )

    def test_target_is_written_and_left_as_it_was(
        self, valkey: RedisServer, connect_redis: Callable[..., None]
    ) -> None:
        connect_redis(valkey)
        assert RedisStorageHook().test_connection("redis://3/out/", target=True) == (
            True,
            "redis://3/out/ can be listed, and is empty; can be written, and deleted from.",
        )
        assert valkey.client(3).dbsize() == 0

    def test_database_that_is_not_there_is_said(self, valkey: RedisServer, connect_redis: Callable[..., None]) -> None:
        connect_redis(valkey)
        assert "The server has no database of this number." in said(RedisStorageHook(), "redis://16/")

    def test_wrong_password_is_said_and_not_shown(self, connect_redis: Callable[..., None]) -> None:
        with running_valkey(acl_user="ada") as server:
            connect_redis(replace(server, password="wrong-password"))
            message = said(RedisStorageHook(), "redis://0/")
        assert "The user name or password of this connection is not accepted." in message
        assert "wrong-password" not in message

    @pytest.mark.parametrize(
        ("rules", "what"),
        [
            ("~* +@all -scan", "list keys"),
            ("~* +@all -getrange", "read values"),
            ("~* +@read +@connection", "write out/.labelsync-probe"),
            ("~* +@all -unlink", "delete keys"),
        ],
    )
    def test_permission_that_is_missing_is_said(
        self, valkey: RedisServer, connect_redis: Callable[..., None], rules: str, what: str
    ) -> None:
        admin = valkey.client()
        admin.set("out/a", "1")
        admin.execute_command("ACL", "SETUSER", "ada", "reset", "on", ">open-sesame", *rules.split())
        connect_redis(replace(valkey, username="ada", password="open-sesame"))
        message = said(RedisStorageHook(), "redis://0/out/", target=True)
        admin.execute_command("ACL", "DELUSER", "ada")
        assert f"cannot {what}" in message
        assert "The user of this connection has no permission for it." in message

    def test_endpoint_that_does_not_answer_is_said(
        self, valkey: RedisServer, connect_redis: Callable[..., None]
    ) -> None:
        connect_redis(replace(valkey, port=free_port()))
        message = said(RedisStorageHook(), "redis://0/")
        assert "the connection is refused. Is the endpoint in this connection the right one?" in message

    def test_private_ca_is_trusted_when_it_is_named(self, connect_redis: Callable[..., None], tmp_path: Path) -> None:
        with running_valkey(tls=True) as server:
            connect_redis(server)
            works(RedisStorageHook(), "redis://0/out/")
            other, _ = write_certificate(tmp_path)
            connect_redis(replace(server, ca_file=other))
            assert re.search(
                "cannot be trusted.* name the CA file in this connection",
                said(RedisStorageHook(), "redis://0/"),
            )

    @pytest.mark.parametrize(
        "uri", ["redis://", "redis:///a", "redis://x/", "redis://-1/", "redis://1.5/", "redis://²/"]
    )
    def test_uri_without_a_database_number_is_invalid(self, connect: Callable[..., None], uri: str) -> None:
        connect("redis_default", conn_type="redis", host=HOST)
        for parameter, open_storage in (
            ("source", RedisStorageHook().get_source),
            ("target", RedisStorageHook().get_target),
        ):
            with pytest.raises(Invalid, match=rf"{parameter}='{uri}': .* is no database number. Use redis://<database"):
                open_storage(uri)

    def test_cluster_has_only_one_database(self, connect: Callable[..., None]) -> None:
        connect("redis_default", conn_type="redis", host=HOST, extra={"cluster": True})
        with pytest.raises(Invalid, match=r"redis://1/a'?: a cluster has only database 0. Use redis://0/<path>"):
            RedisStorageHook().get_source("redis://1/a")

    def test_cluster_of_a_connection_that_names_a_database_is_invalid(self, connect: Callable[..., None]) -> None:
        connect("redis_default", conn_type="redis", host=HOST, extra={"cluster": True, "db": 1})
        ok, message = RedisStorageHook().test_connection("redis://0/")
        assert not ok
        assert "database 0" in message
