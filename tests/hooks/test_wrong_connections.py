"""A connection that cannot be what it is: field, value and remedy are named, when it is tested and in a task."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from older_airflows import tells_mistaken_connections

from labelsync_provider.errors import Invalid
from labelsync_provider.hooks.azure_blob import AzureBlobStorageHook
from labelsync_provider.hooks.connections import mistakes_named
from labelsync_provider.hooks.gcs import GCSStorageHook
from labelsync_provider.hooks.label_studio import LabelStudioHook
from labelsync_provider.hooks.local_files import LocalFilesStorageHook
from labelsync_provider.hooks.redis import RedisStorageHook
from labelsync_provider.hooks.s3 import S3StorageHook

MADE_UP = "qwzrtpl"
"""What Airflow calls the connection that its form tests: some letters."""
KEYS = {"login": "AKIA", "password": "s3cret"}
ACCOUNT = {"login": "account", "password": "czNjcmV0"}
NOWHERE = "http://127.0.0.1:1"
WEB_IDENTITY = {
    "role_arn": "arn:aws:iam::123456789012:role/x",
    "region_name": "eu-west-1",
    "assume_role_method": "assume_role_with_web_identity",
}

HOOKS: dict[str, tuple[Any, str]] = {
    "aws": (S3StorageHook, "s3://bucket/"),
    "google_cloud_platform": (GCSStorageHook, "gs://bucket/"),
    "wasb": (AzureBlobStorageHook, "azure-blob://bucket/"),
    "redis": (RedisStorageHook, "redis://0/"),
    "fs": (LocalFilesStorageHook, "file:///tmp"),
    "label_studio": (LabelStudioHook, ""),
}


def s3(said: str, **extra: Any) -> tuple[str, dict[str, Any], str]:
    return "aws", {**KEYS, "extra": {"endpoint_url": NOWHERE, **extra}}, said


def gcs(said: str, **extra: Any) -> tuple[str, dict[str, Any], str]:
    return "google_cloud_platform", {"extra": extra}, said


def azure(said: str, extra: Any = None, **fields: Any) -> tuple[str, dict[str, Any], str]:
    return "wasb", {**ACCOUNT, **fields, "extra": extra}, said


def redis(said: str, extra: Any = None, **fields: Any) -> tuple[str, dict[str, Any], str]:
    return "redis", {"host": "127.0.0.1", "port": 1, **fields, "extra": extra}, said


def files(said: str, path: Any) -> tuple[str, dict[str, Any], str]:
    return "fs", {"extra": {"path": path}}, said


def studio(said: str, extra: Any = None, **fields: Any) -> tuple[str, dict[str, Any], str]:
    return "label_studio", {"host": NOWHERE, "password": "s3cret", **fields, "extra": extra}, said


WRONG = [
    s3("endpoint_url='127.0.0.1:9000': .*no URL.*http://", endpoint_url="127.0.0.1:9000"),
    s3("endpoint_url='minio': .*no URL", endpoint_url="minio"),
    s3("endpoint_url='ftp://host': .*no URL", endpoint_url="ftp://host"),
    s3("endpoint_url=.*: .*no URL", endpoint_url="http://host:port"),
    s3("endpoint_url='http://ho st': .*no URL", endpoint_url="http://ho st"),
    s3("endpoint_url=5: .*no URL", endpoint_url=5),
    s3("region_name='eu west': .*no word", region_name="eu west"),
    s3("region_name=5: .*no word", region_name=5),
    s3("region 'nowhere!'|region_name 'nowhere!'", region_name="nowhere!"),
    s3("verify='false': .*true or false without quotation marks", verify="false"),
    s3("verify='/no/file': .*CA file", verify="/no/file"),
    s3("verify=5: .*neither true nor false", verify=5),
    s3("config_kwargs='{}': .*no JSON object", config_kwargs="{}"),
    s3("unexpected keyword argument 'nope'.*Correct", config_kwargs={"nope": 1}),
    s3(r"config_kwargs\.proxies='http://p': .*URL for each scheme", config_kwargs={"proxies": "http://p"}),
    s3(r"config_kwargs\.proxies=.*'no proxy'.*URL for each", config_kwargs={"proxies": {"http": "no proxy"}}),
    s3(r"config_kwargs\.read_timeout='soon': .*no length of time", config_kwargs={"read_timeout": "soon"}),
    s3(r"config_kwargs\.s3='path': .*no JSON object", config_kwargs={"s3": "path"}),
    s3(r"config_kwargs\.retries=5: .*no JSON object", config_kwargs={"retries": 5}),
    s3(r"config_kwargs\.signature_version='nope': .*Use one of s3v4", config_kwargs={"signature_version": "nope"}),
    s3("session_kwargs='x': .*no JSON object", session_kwargs="x"),
    (
        "aws",
        {"extra": {"profile_name": "nowhere", "region_name": "x"}},
        "profile.*nowhere.*could not be found.*Correct",
    ),
    s3("service_config='x': .*no JSON object", service_config="x"),
    s3(r"service_config\.s3='x': .*no JSON object", service_config={"s3": "x"}),
    s3(r"service_config\.s3\.endpoint_url='minio': .*no URL", service_config={"s3": {"endpoint_url": "minio"}}),
    s3(r"aws_session_token='\*\*\*': .*no word", aws_session_token=["s3cret"]),
    s3("role_arn=5: .*no word", role_arn=5),
    s3("assume_role_method='nope': .*Use one of assume_role,", role_arn="arn:x", assume_role_method="nope"),
    s3(
        "assume_role_with_web_identity_federation='nope': .*Use one of google, file",
        **WEB_IDENTITY,
        assume_role_with_web_identity_federation="nope",
    ),
    s3(
        "assume_role_with_web_identity_token_file='/no/token': .*no file that can be read",
        **WEB_IDENTITY,
        assume_role_with_web_identity_federation="file",
        assume_role_with_web_identity_token_file="/no/token",
    ),
    s3(r"client_cert='/c\.pem': .*show no certificate of its own.*Take it out", client_cert="/c.pem"),
    s3(r"cert=\['/c', '/k'\]: .*show no certificate", cert=["/c", "/k"]),
    s3(r"config_kwargs\.client_cert='/c': .*show no certificate", config_kwargs={"client_cert": "/c"}),
    s3(r"sts\.config_kwargs\.client_cert='/c': .*", service_config={"sts": {"config_kwargs": {"client_cert": "/c"}}}),
    gcs("client_cert='/c': .*show no certificate", client_cert="/c"),
    azure("connection_cert='/c': .*show no certificate", {"connection_cert": "/c"}),
    azure("client_cert='/c': .*show no certificate", {"client_cert": "/c"}),
    studio(r"extra=.*its extra knows no client_cert.*Take anything else out", {"client_cert": "/c"}),
    gcs("key_path='/no/file': .*no file that can be read here", key_path="/no/file"),
    gcs("key_path=5: .*no file", key_path=5),
    gcs(r"key_path=\['/x'\]: .*no file", key_path=["/x"]),
    gcs(r"keyfile_dict='\*\*\*': .*no JSON object.*content of the key file", keyfile_dict=["s3cret"]),
    gcs(r"keyfile_dict='\*\*\*': .*no JSON object", keyfile_dict='["s3cret"]'),
    gcs(r"keyfile_dict='\*\*\*': .*no JSON object", keyfile_dict='{"private_key": "s3cret'),
    gcs("private_key.*Correct its fields", keyfile_dict={"type": "nope", "x": "s3cret"}),
    gcs(r"credential_config_file='\*\*\*': .*neither a file", credential_config_file="/no/file"),
    gcs(r"credential_config_file='\*\*\*': .*neither a file", credential_config_file=5),
    gcs("is_anonymous='false': .*neither true nor false", is_anonymous="false"),
    gcs("scope=5: .*no text", is_anonymous=True, scope=5),
    gcs("num_retries='many': .*no whole number", is_anonymous=True, num_retries="many"),
    gcs("impersonation_chain=5: .*neither a text nor a list", impersonation_chain=5),
    gcs("project=5: .*no word", is_anonymous=True, project=5),
    azure(r"connection_string='\*\*\*': .*no connection string", {"connection_string": "s3cret"}),
    azure(r"connection_string='\*\*\*': .*no connection string", {"connection_string": 5}),
    azure(r"host='a b': .*neither a URL nor the name", host="a b"),
    azure(r"host='127.0.0.1:10000': .*neither a URL nor the name", host="127.0.0.1:10000"),
    azure(r"host=.*: .*neither a URL nor the name", host="http://127.0.0.1:port"),
    azure(r"password='\*\*\*': .*no key of an account", password="s3cret no base64"),
    azure(r"shared_access_key='\*\*\*': .*no key of an account", {"shared_access_key": 5}),
    azure(r"sas_token='\*\*\*': .*no word", {"sas_token": 5}),
    azure("tenant_id='no/tenant!': .*no tenant", {"tenant_id": "no/tenant!"}),
    azure("tenant_id=5: .*no tenant", {"tenant_id": 5}),
    azure("managed_identity_client_id=5: .*no word", {"managed_identity_client_id": 5}),
    azure("proxies='http://p': .*URL for each scheme", {"proxies": "http://p"}),
    azure("proxies=.*'no proxy'.*URL for each scheme", {"proxies": {"https": "no proxy"}}),
    azure("connection_verify='false': .*without quotation marks", {"connection_verify": "false"}),
    azure("connection_verify='/no/file': .*CA file", {"connection_verify": "/no/file"}),
    azure("client_secret_auth_config='x': .*no JSON object", {"client_secret_auth_config": "x"}),
    redis("host='a b': .*no name of a host", host="a b"),
    redis("host='redis://127.0.0.1': .*no name of a host.*host alone", host="redis://127.0.0.1"),
    redis("host='127.0.0.1:6379': .*the port has a field", host="127.0.0.1:6379"),
    redis("port=99999: .*no port.*1 to 65535", port=99999),
    redis("db='x': .*no whole number", {"db": "x"}),
    redis("ssl='false': .*neither true nor false", {"ssl": "false"}),
    redis("ssl='perhaps': .*neither true nor false", {"ssl": "perhaps"}),
    redis("cluster='false': .*neither true nor false", {"cluster": "false"}),
    redis("ssl_cert_reqs='nope': .*Use one of none", {"ssl": True, "ssl_cert_reqs": "nope"}),
    redis("ssl_ca_certs='/no/file': .*no file that can be read", {"ssl": True, "ssl_ca_certs": "/no/file"}),
    redis(r"ssl_keyfile=\['a'\]: .*no file that can be read", {"ssl": True, "ssl_keyfile": ["a"]}),
    redis(
        "db=1: .*cluster has only database 0|cannot be used: .*database 0|cluster=True: .*database 0",
        {"cluster": True, "db": 1},
    ),
    files("path='/': .*every file of the machine.*Set its Path", "/"),
    files("path='/../': .*every file of the machine", "/../"),
    files("path='relative': .*not an absolute path", "relative"),
    files("path='file:///tmp': .*not an absolute path", "file:///tmp"),
    files("path=5: .*not an absolute path", 5),
    files(r"path=\['/tmp'\]: .*not an absolute path", ["/tmp"]),
    files("path=.*: .*not an absolute path", "/tmp/\0x"),
    files("connection=.*|This connection.*no Path", ""),
    studio("host='': .*names no store.*or to embedded ", host=""),
    studio("host='label-studio:8080': .*names no store", host="label-studio:8080"),
    studio("host='http://': this is no base URL", host="http://"),
    studio("host=.*: Invalid port", host="http://host:port"),
    studio("host='http://ho st': .*blank", host="http://ho st"),
    studio("host='http://host:99999': this is no base URL", host="http://host:99999"),
    studio(r"host='\*\*\*': it holds a login", host="http://ann:s3cret@host"),
    studio(r"host='https://host/\?\*\*\*': this is no base URL", host="https://host/?token=s3cret"),
    studio("password='': .*no token", password=""),
    studio(r"token='\*\*\*': .*no token", password="s3cret and more"),
    studio("port=8080: .*Write it into the Server URL", port=8080),
    studio("ca_file='/no/file': .*no file that can be read", {"ca_file": "/no/file"}),
    studio("ca_file=5: .*no file", {"ca_file": 5}),
    studio(r"ca_file=\['/x'\]: .*no file", {"ca_file": ["/x"]}),
    studio(f"ca_file='{__file__}': .*certificates in PEM", {"ca_file": __file__}),
    studio("server=5: .*no name", {"server": 5}),
    studio("server='/': .*no name", {"server": "/"}),
    studio("server begins or ends with a blank", {"server": " "}),
    studio(r"server='a.*b': .*no name", {"server": "a\nb"}),
    studio("server='x+...: .*up to 255 characters", {"server": 256 * "x"}),
    studio(r"server='https://\*\*\*@host': .*without a login", {"server": "https://ann:s3cret@host"}),
    studio("connect_timeout='soon': .*no length of time", {"connect_timeout": "soon"}),
    studio("connect_timeout=True: .*no length of time", {"connect_timeout": True}),
    studio("read_timeout=inf: .*no length of time", {"read_timeout": float("inf")}),
    studio(r"read_timeout={}: .*no length of time", {"read_timeout": {}}),
    studio(r"extra=\['verify'\]: .*It can hold server, ca_file, connect_timeout, read_timeout", {"verify": "false"}),
    *(
        pytest.param(
            (conn_type, {"host": "127.0.0.1", "extra": extra}, r"extra='\*\*\*': .*no JSON object.*Write"),
            marks=tells_mistaken_connections,
        )
        for conn_type in HOOKS
        for extra in ("[1]", "s3cret", '"{}"')
    ),
]


@pytest.fixture(autouse=True)
def nobodys_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for module in ("buckets", "redis", "label_studio"):
        monkeypatch.setattr(f"labelsync_provider.hooks.{module}.TRIAL_SECONDS", 0.01)


def in_a_task(hook: Any, uri: str) -> None:
    """Do what a task does with a connection first."""
    if not uri:
        hook.open_store()
        return
    storage = hook.get_source(uri)
    if isinstance(hook, RedisStorageHook):
        next(storage.list(), None)


def name(row: tuple[str, dict[str, Any], str]) -> str:
    fields = {name: value for name, value in row[1].items() if (name, value) not in {**KEYS, **ACCOUNT}.items()}
    return f"{row[0]} {json.dumps(fields)}"[:80]


@pytest.mark.parametrize("row", WRONG, ids=name)
@pytest.mark.usefixtures("opened_quickly")
def test_mistake_in_a_connection_is_named(connect: Callable[..., None], row: tuple[str, dict[str, Any], str]) -> None:
    conn_type, fields, said = row
    kind, uri = HOOKS[conn_type]
    connect(MADE_UP, conn_type=conn_type, **fields)
    with pytest.raises(Invalid, match=said) as raised:
        in_a_task(kind(MADE_UP), uri)
    assert not raised.value.retry_may_help
    ok, message = kind(MADE_UP).test_connection(*([uri] if uri else []))
    assert not ok
    for text in (str(raised.value), message):
        assert "s3cret" not in text
        assert ACCOUNT["password"] not in text
    assert MADE_UP not in message, "it says nothing to whoever tests a connection in Airflow's form"


@pytest.mark.parametrize("conn_type", HOOKS)
def test_made_up_name_of_a_connection_is_not_told_of_what_cannot_be_reached(
    connect: Callable[..., None], conn_type: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kind, uri = HOOKS[conn_type]
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", NOWHERE)
    fields: dict[str, dict[str, Any]] = {
        "aws": {**KEYS, "extra": {"endpoint_url": NOWHERE, "region_name": "eu-west-1"}},
        "google_cloud_platform": {"extra": {"is_anonymous": True, "project": "p"}},
        "wasb": {"extra": {"connection_string": f"BlobEndpoint={NOWHERE}/a;AccountName=a;AccountKey=a2V5"}},
        "redis": {"host": "127.0.0.1", "port": 1},
        "fs": {"extra": {"path": str(tmp_path)}},
        "label_studio": {"host": NOWHERE, "password": "token"},
    }
    connect(MADE_UP, conn_type=conn_type, **fields[conn_type])
    ok, message = kind(MADE_UP).test_connection(*([uri] if uri else []))
    assert not ok
    assert MADE_UP not in message


@pytest.mark.parametrize(
    ("extra", "shown"),
    [
        ({"verify": "true"}, "verify=true"),
        ({"region_name": "eu-west-1"}, "region_name=eu-west-1"),
        ({"key_path": "/etc/key.json"}, "key_path=/etc/key.json"),
        ({"endpoint_url": "http://minio:9000"}, "endpoint_url=http://minio:9000"),
        ({"aws_secret_access_key": "s3cret"}, "aws_secret_access_key=***"),
        ({"sas_token": "s3cret"}, "sas_token=***"),
        ({"keyfile_dict": '{"private_key": "s3cret", "project_id": "mine"}'}, "keyfile_dict=***"),
        ({"proxy": "http://ann:s3cret@proxy:3128"}, "proxy=***"),
        ({"config_kwargs": {"region_name": "here", "token": ["s3cret"]}}, "{'region_name': 'here', 'token': ['***']}"),
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) else None,
)
def test_what_an_sdk_says_of_a_connection_is_shown_but_for_the_secrets(
    connect: Callable[..., None], extra: dict[str, Any], shown: str
) -> None:
    connect("wrong", conn_type="aws", password="pass-s3cret", extra=extra)
    name, value = next(iter(extra.items()))
    with pytest.raises(Invalid) as raised, mistakes_named("wrong"):
        raise ValueError(f"no use for {name}={value} and pass-s3cret")
    assert shown in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_right_connections_are_not_refused(connect: Callable[..., None]) -> None:
    """What a connection's URI makes of flags and numbers is taken."""
    for extra in ({"ssl": "true", "db": "3"}, {"ssl": True, "ssl_cert_reqs": "none"}, {"cluster": False}):
        connect("fine", conn_type="redis", host="redis.example.com", port=6379, extra=extra)
        RedisStorageHook("fine").get_source("redis://0/")
    for host in ("account", "account.blob.core.windows.net", "https://account.blob.core.windows.net"):
        connect("fine", conn_type="wasb", **ACCOUNT, host=host)
        AzureBlobStorageHook("fine").get_source("azure-blob://bucket/")
