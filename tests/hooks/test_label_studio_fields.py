"""What Label Studio is told of a storage: what it can use of a connection, and why where it can use nothing."""

import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from servers.azure import AzureServer
from servers.gcs import service_account_key
from servers.s3 import S3Server

from labelsync_provider.access import StorageAccess
from labelsync_provider.errors import Denied, Invalid, NotFound
from labelsync_provider.hooks.label_studio_storages import label_studio_storage
from labelsync_provider.hooks.storage import access_to
from labelsync_provider.projects.label_studio.storage_types.registry import LabelStudioStorage, told_of

pytest_plugins = ["servers.azure", "servers.s3"]

KEYS = {"login": "AKIA-ours", "password": "a-secret-key"}
VARIABLES = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "STORAGE_EMULATOR_HOST",
    "AZURE_BLOB_ACCOUNT_NAME",
    "AZURE_BLOB_ACCOUNT_KEY",
]
ACCOUNT_KEY = "YWNjb3VudC1rZXk="


def told(uri: str) -> LabelStudioStorage:
    return label_studio_storage(uri, None)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody's own credentials are in sight."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.mark.parametrize("uri", ["s3://bucket/p", "gs://bucket/p", "azure-blob://bucket/p", "redis://1/p", "file:///d"])
def test_without_its_connection_names_it(uri: str) -> None:
    with pytest.raises(NotFound, match="There is no Airflow connection 'nowhere'"):
        label_studio_storage(uri, "nowhere")


@pytest.mark.parametrize("uri", ["s3://", "gs:///p", "azure-blob://"])
def test_without_a_bucket_says_so(uri: str) -> None:
    with pytest.raises(Invalid, match="it names no bucket"):
        told(uri)


class TestS3:
    def test_is_told_keys_endpoint_and_region(self, connect: Callable) -> None:
        extra = {"endpoint_url": "http://minio:9000", "region_name": "eu-north-1"}
        connect("aws_default", conn_type="aws", extra=extra, **KEYS)
        found = told("s3://bucket/photos/2024/")
        assert (found.type, found.location) == ("s3", {"bucket": "bucket", "prefix": "photos/2024"})
        assert found.login == {
            "region_name": "eu-north-1",
            "s3_endpoint": "http://minio:9000",
            "aws_access_key_id": "AKIA-ours",
            "aws_secret_access_key": "a-secret-key",
            "aws_session_token": None,
        }

    def test_shows_no_secret(self, connect: Callable) -> None:
        connect("aws_default", conn_type="aws", **KEYS)
        assert "a-secret-key" not in repr(told("s3://bucket"))

    def test_is_told_the_session_token_that_stands_beside_the_keys(self, connect: Callable) -> None:
        connect("aws_default", conn_type="aws", extra={"aws_session_token": "a-token"}, **KEYS)
        assert told("s3://bucket").login["aws_session_token"] == "a-token"

    @pytest.mark.parametrize("region", ["us-east-1", "eu-north-1", "cn-north-1"])
    def test_is_told_no_endpoint_that_is_amazons(self, connect: Callable, region: str) -> None:
        connect("aws_default", conn_type="aws", extra={"region_name": region}, **KEYS)
        login = told("s3://bucket").login
        assert (login["region_name"], login["s3_endpoint"]) == (region, None)

    def test_is_told_a_private_endpoint_at_amazon(self, connect: Callable) -> None:
        private = "https://bucket.vpce-1a2b3c4d.s3.us-east-1.vpce.amazonaws.com"
        connect("aws_default", conn_type="aws", extra={"endpoint_url": private}, **KEYS)
        assert told("s3://bucket").login["s3_endpoint"] == private

    def test_is_not_told_the_keys_of_this_machine(self, connect: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA-machine")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "machine-secret")
        connect("aws_default", conn_type="aws")
        assert told("s3://bucket").login.keys() == {"region_name", "s3_endpoint"}

    def test_is_not_told_the_keys_of_an_assumed_role(self, connect: Callable, moto: S3Server) -> None:
        sts = {"service_config": {"sts": {"endpoint_url": moto.endpoint}}}
        role = {"role_arn": "arn:aws:iam::123456789012:role/reader", **sts}
        connect("aws_default", conn_type="aws", extra=role | {"region_name": "us-east-1"}, **KEYS)
        assert told("s3://bucket").login.keys() == {"region_name", "s3_endpoint"}

    def test_is_told_no_keys_where_there_are_none(self, connect: Callable) -> None:
        connect("aws_default", conn_type="aws", extra={"config_kwargs": {"signature_version": "unsigned"}})
        assert told("s3://bucket").login.keys() == {"region_name", "s3_endpoint"}


class TestGCS:
    @pytest.fixture
    def key(self) -> dict[str, str]:
        return service_account_key("https://oauth2.googleapis.com/token")

    def connect_google(self, connect: Callable, **extra: Any) -> None:
        connect("google_cloud_default", conn_type="google_cloud_platform", extra=extra)

    def test_is_told_the_key_and_its_project(self, connect: Callable, key: dict[str, str]) -> None:
        self.connect_google(connect, keyfile_dict=json.dumps(key))
        found = told("gs://bucket/photos/")
        assert (found.type, found.location) == ("gcs", {"bucket": "bucket", "prefix": "photos"})
        assert found.login["google_project_id"] == key["project_id"]
        assert json.loads(found.login["google_application_credentials"] or "") == key

    def test_is_told_the_content_of_a_key_file(self, connect: Callable, key: dict[str, str], tmp_path: Path) -> None:
        path = tmp_path / "key.json"
        path.write_text(json.dumps(key))
        self.connect_google(connect, key_path=str(path), project="another")
        login = told("gs://bucket").login
        assert json.loads(login["google_application_credentials"] or "") == key
        assert login["google_project_id"] == "another"

    def test_is_told_no_key_that_impersonates(self, connect: Callable, key: dict[str, str]) -> None:
        who = "reader@p.iam.gserviceaccount.com"
        self.connect_google(connect, keyfile_dict=json.dumps(key), impersonation_chain=who, project="p")
        assert told("gs://bucket").login == {"google_project_id": "p"}

    def test_is_told_no_key_where_there_is_none(self, connect: Callable) -> None:
        self.connect_google(connect, is_anonymous=True, project="p")
        assert told("gs://bucket").login == {"google_project_id": "p"}


class TestAzure:
    def connect_azure(self, connect: Callable, **fields: Any) -> None:
        connect("wasb_default", conn_type="wasb", **fields)

    def test_is_told_name_and_key_of_the_account(self, connect: Callable) -> None:
        self.connect_azure(connect, login="ours", password=ACCOUNT_KEY)
        found = told("azure-blob://container/photos/")
        assert (found.type, found.location) == ("azure", {"container": "container", "prefix": "photos"})
        assert found.login == {"account_name": "ours", "account_key": ACCOUNT_KEY}

    def test_is_told_what_stands_in_a_connection_string(self, connect: Callable) -> None:
        text = (
            f"DefaultEndpointsProtocol=https;AccountName=ours;AccountKey={ACCOUNT_KEY};EndpointSuffix=core.windows.net"
        )
        self.connect_azure(connect, extra={"connection_string": text})
        assert told("azure-blob://container").login == {"account_name": "ours", "account_key": ACCOUNT_KEY}

    @pytest.mark.parametrize(
        "fields",
        [
            {"login": "ours", "extra": {"sas_token": "sv=2024&sig=abc"}},
            {"login": "ours", "extra": {"sas_token": "https://ours.blob.core.windows.net/?sv=2024&sig=abc"}},
            {
                "extra": {
                    "connection_string": "BlobEndpoint=https://ours.blob.core.windows.net;"
                    "SharedAccessSignature=sv=2024&sig=abc"
                }
            },
            {"host": "ours", "login": "app", "password": "word", "extra": {"tenant_id": "t"}},
            {"login": "ours"},
        ],
        ids=["a SAS token", "a SAS URL", "a SAS in a connection string", "a service principal", "an identity"],
    )
    def test_without_a_key_says_that_label_studio_needs_one(self, connect: Callable, fields: dict[str, Any]) -> None:
        self.connect_azure(connect, **fields)
        with pytest.raises(Invalid, match=r"no account key, and with a SAS token or an identity Label Studio") as error:
            told("azure-blob://container")
        assert "sig=abc" not in str(error.value)

    def test_elsewhere_says_where_label_studio_looks(self, connect_azure: Callable, azurite: AzureServer) -> None:
        connect_azure(azurite)
        with pytest.raises(Invalid, match=r"leads to 127\.0\.0\.1, and Label Studio knows only <account>\.blob"):
            told("azure-blob://container")

    def test_is_told_no_key_of_this_machine(self, connect: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AZURE_BLOB_ACCOUNT_NAME", "ours")
        monkeypatch.setenv("AZURE_BLOB_ACCOUNT_KEY", ACCOUNT_KEY)
        self.connect_azure(connect)
        assert told("azure-blob://container").login == {}


class TestRedis:
    def connect_redis(self, connect: Callable, **fields: Any) -> None:
        connect("redis_default", conn_type="redis", host="redis.example.com", **fields)

    def test_is_told_where_the_server_is(self, connect: Callable) -> None:
        self.connect_redis(connect, port=6380, password="secret-word", extra={"db": 7})
        found = told("redis://3/tasks/")
        location = {"host": "redis.example.com", "port": "6380", "db": 3, "path": "tasks/"}
        assert (found.type, found.location, found.login) == ("redis", location, {"password": "secret-word"})
        assert "secret-word" not in repr(found)

    def test_is_told_the_usual_port(self, connect: Callable) -> None:
        self.connect_redis(connect)
        assert told("redis://1/").location["port"] == "6379"

    @pytest.mark.parametrize(
        ("uri", "fields", "said"),
        [
            ("redis://0/", {}, "takes database 0 for none.*Use a database from 1"),
            ("redis://1/", {"extra": {"ssl": True}}, "speaks TLS"),
            ("redis://1/", {"login": "ann", "password": "secret-word"}, "logs in as 'ann'"),
            ("redis://0/", {"extra": {"cluster": True}}, "to a cluster"),
            ("redis://one/", {}, "'one' is no database number"),
        ],
    )
    def test_says_what_label_studio_cannot(
        self, connect: Callable, uri: str, fields: dict[str, Any], said: str
    ) -> None:
        self.connect_redis(connect, **fields)
        with pytest.raises(Invalid, match=said):
            told(uri)


class TestLocalFiles:
    def test_is_told_the_path(self, connect: Callable, tmp_path: Path) -> None:
        connect("fs_default", conn_type="fs", extra={"path": str(tmp_path)})
        found = told(f"file://{tmp_path}/a%20b/")
        assert (found.type, found.location, found.login) == ("localfiles", {"path": f"{tmp_path}/a b"}, {})

    def test_is_told_nothing_outside_the_document_root(self, connect: Callable, tmp_path: Path) -> None:
        connect("fs_default", conn_type="fs", extra={"path": str(tmp_path / "root")})
        with pytest.raises(Denied, match="outside the document root"):
            told(f"file://{tmp_path}/{secrets.token_hex(4)}")


class TestOthers:
    def test_are_refused_by_name(self) -> None:
        with pytest.raises(Invalid, match=r"storage='sftp://host/p': Label Studio has no storages at sftp://.*s3://"):
            told_of(StorageAccess("sftp://host/p", "connection 'ours'"))

    def test_whose_hook_tells_nothing_are_refused(self) -> None:
        hook: Any = object()
        with pytest.raises(Invalid, match=r"storage='sftp://host/p': .*cannot be told how to reach"):
            access_to(hook, "sftp://host/p")


def test_secrets_of_an_access_are_not_shown() -> None:
    assert "s3cret" not in repr(StorageAccess("s3://b", "connection 'ours'", secret="s3cret", session_token="s3cret"))
