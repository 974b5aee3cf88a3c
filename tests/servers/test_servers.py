"""The servers of the tests: each starts, does its work, refuses strangers and is gone at the end of its block."""

import base64
import errno
import json
import secrets
import socket
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from http.client import HTTPConnection, IncompleteRead, RemoteDisconnected
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from azure.core.exceptions import HttpResponseError
from botocore.exceptions import ClientError
from google.oauth2.service_account import Credentials
from redis.exceptions import AuthenticationError, ConnectionError, ResponseError
from servers.azure import AzureServer, running_azurite
from servers.chaos import Chaos, running_chaos
from servers.gcs import GCSServer, running_gcs, service_account_key
from servers.label_studio import LabelStudioServer
from servers.process import HOST, NotStarted, free_port, free_ports, running
from servers.redis import RedisServer, running_valkey, write_certificate
from servers.s3 import S3Server, running_moto, running_rclone, running_weed

pytest_plugins = ["servers.azure", "servers.gcs", "servers.label_studio", "servers.redis", "servers.s3"]

KEY, BODY = "images/1.json", b'{"image": 1}'


def use_s3(server: S3Server) -> None:
    client, bucket = server.client(), server.create_bucket()
    for key in (KEY, "images/2.json"):
        client.put_object(Bucket=bucket, Key=key, Body=BODY)
        # Nothing that lies between the server and its files remembers how it was before.
        assert client.list_objects_v2(Bucket=bucket)["Contents"][-1]["Key"] == key
    assert client.get_object(Bucket=bucket, Key=KEY)["Body"].read() == BODY


def use_azure(server: AzureServer) -> None:
    with server.client().get_container_client(server.create_container()) as container:
        container.upload_blob(KEY, BODY)
        assert [blob.name for blob in container.list_blobs()] == [KEY]
        assert container.download_blob(KEY).readall() == BODY


def use_gcs(server: GCSServer) -> None:
    bucket = server.client().bucket(server.create_bucket())
    bucket.blob(KEY).upload_from_string(BODY)
    assert [blob.name for blob in bucket.list_blobs()] == [KEY]
    assert bucket.blob(KEY).download_as_bytes() == BODY


def use_redis(server: RedisServer) -> None:
    client = server.client(db=3)
    client.set(KEY, BODY)
    assert list(client.scan_iter("images/*")) == [KEY.encode()]
    assert client.get(KEY) == BODY
    assert server.client(db=0).dbsize() == 0
    server.flush()
    assert client.dbsize() == 0


def use_redis_cluster(server: RedisServer) -> None:
    keys = [f"{KEY}{n}".encode() for n in range(100)]
    with server.cluster() as client:
        for key in keys:
            client.set(key, BODY)
        assert sorted(client.scan_iter()) == sorted(keys)
        for port in server.ports:
            assert 0 < replace(server, port=port).client().dbsize() < len(keys)
        server.flush()
        assert list(client.scan_iter()) == []


def use_label_studio(server: LabelStudioServer) -> None:
    project = server.create_project()
    with server.client() as client:
        imported = client.post(f"/api/projects/{project}/import", json=[{"text": "a"}]).json()
        assert imported["task_count"] == 1
        listed = client.get("/api/tasks/", params={"project": project, "fields": "all"}).json()["tasks"]
    assert [task["data"] for task in listed] == [{"text": "a"}]


def children() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


@pytest.mark.parametrize(
    ("run", "use"),
    [
        pytest.param(running_weed, use_s3, id="weed"),
        pytest.param(running_rclone, use_s3, id="rclone"),
        pytest.param(partial(running_rclone, anonymous=True), use_s3, id="rclone, anonymous"),
        pytest.param(running_moto, use_s3, id="moto"),
        pytest.param(running_azurite, use_azure, id="azurite"),
        pytest.param(running_gcs, use_gcs, id="gcs"),
        pytest.param(running_valkey, use_redis, id="valkey"),
        pytest.param(partial(running_valkey, password="sesame"), use_redis, id="valkey, password"),
        pytest.param(partial(running_valkey, acl_user="ada"), use_redis, id="valkey, ACL"),
        pytest.param(partial(running_valkey, tls=True), use_redis, id="valkey, TLS"),
        pytest.param(partial(running_valkey, cluster=True), use_redis_cluster, id="valkey, cluster"),
    ],
)
def test_works_and_is_gone_at_the_end(
    run: Callable[[], AbstractContextManager[Any]], use: Callable[[Any], None]
) -> None:
    before = children()
    with run() as server:
        started = children() - before
        use(server)
    assert started
    assert not [process for process in started if process.is_running()]


def test_label_studio_works(label_studio: LabelStudioServer) -> None:
    use_label_studio(label_studio)


def test_rclone_serves_a_folder_that_is_given(tmp_path: Path) -> None:
    (tmp_path / "bucket").mkdir()
    (tmp_path / "bucket" / "1.json").write_bytes(BODY)
    with running_rclone(tmp_path) as server:
        client = server.client()
        assert client.get_object(Bucket="bucket", Key="1.json")["Body"].read() == BODY
        client.put_object(Bucket="bucket", Key="2.json", Body=BODY)
    assert (tmp_path / "bucket" / "2.json").read_bytes() == BODY


@pytest.mark.parametrize("name", ["weed", "rclone"])
def test_s3_checks_the_signature(request: pytest.FixtureRequest, name: str) -> None:
    server: S3Server = request.getfixturevalue(name)
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        replace(server, secret_key=secrets.token_hex(20)).client().list_buckets()


def test_azure_checks_the_signature(azurite: AzureServer) -> None:
    other = base64.b64encode(secrets.token_bytes(64)).decode()
    with pytest.raises(HttpResponseError, match="AuthorizationFailure"):
        replace(azurite, key=other).create_container()


def test_redis_checks_password_and_user() -> None:
    with running_valkey(acl_user="ada") as server:
        for username, password in [(None, None), ("ada", "wrong"), ("default", server.password)]:
            with pytest.raises((AuthenticationError, ResponseError)):
                replace(server, username=username, password=password).client().ping()


def test_redis_with_tls_has_one_certificate_and_speaks_nothing_else(tmp_path: Path) -> None:
    other, _ = write_certificate(tmp_path)
    with running_valkey(tls=True) as server:
        for ca_file in (other, None):
            with pytest.raises(ConnectionError):
                replace(server, ca_file=ca_file).client().ping()


def test_label_studio_checks_the_token(any_label_studio: LabelStudioServer) -> None:
    assert any_label_studio.create_project()
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        replace(any_label_studio, token=secrets.token_hex(20)).create_project()


def test_label_studio_takes_its_personal_access_token(any_label_studio: LabelStudioServer) -> None:
    token = any_label_studio.personal_access_token()
    assert replace(any_label_studio).personal_access_token() == token
    with httpx.Client(base_url=any_label_studio.url, trust_env=False) as client:
        access = client.post("/api/token/refresh/", json={"refresh": token}).json()["access"]
        shown = client.get("/api/projects/", headers={"Authorization": f"Bearer {access}"})
    assert shown.status_code == 200


def test_label_studio_reads_files_below_its_document_root(any_label_studio: LabelStudioServer) -> None:
    folder = any_label_studio.document_root / secrets.token_hex(8)
    folder.mkdir()
    (folder / "1.json").write_text('{"text": "a"}')
    project = any_label_studio.create_project()
    asked = {"project": project, "path": str(folder), "use_blob_urls": False}
    with any_label_studio.client() as client:
        storage = client.post("/api/storages/localfiles/", json=asked).raise_for_status().json()["id"]
        client.post(f"/api/storages/localfiles/{storage}/sync").raise_for_status()
        assert client.get(f"/api/projects/{project}/").json()["task_number"] == 1


def test_a_test_gets_empty_databases(valkey: RedisServer, request: pytest.FixtureRequest) -> None:
    assert valkey.client().dbsize() == 0
    assert valkey is request.getfixturevalue("valkey_server")


def test_a_service_account_key_is_taken_by_googles_sdk() -> None:
    key = service_account_key("http://127.0.0.1/token")
    assert json.loads(json.dumps(key)) == key
    credentials = Credentials.from_service_account_info(key)
    assert credentials.service_account_email == key["client_email"]
    assert credentials.signer.sign(b"message")


def test_ports_differ() -> None:
    assert len(set(free_ports(100))) == 100


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('no such option'); raise SystemExit(3)"]
    with (
        pytest.raises(NotStarted, match=r"ended with 3(.|\n)*no such option"),
        running(command, folder=tmp_path, port=free_port(), answers=lambda: None),
    ):
        pass


def test_a_server_is_not_taken_for_another_on_its_port(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(0.5)"]
    with (
        socket.create_server((HOST, 0)) as other,
        pytest.raises(NotStarted, match="ended with 0"),
        running(command, folder=tmp_path, port=other.getsockname()[1], answers=lambda: None),
    ):
        pass


@dataclass
class Outcome:
    """What a client saw of a request."""

    status: int | None
    body: bytes
    error: Exception | None = None


class Client:
    """Sends requests to a server that asks for no credentials, over one connection for as long as it lasts."""

    def __init__(self, endpoint: str, *, timeout: float = 10) -> None:
        self._connection = HTTPConnection(urlsplit(endpoint).netloc, timeout=timeout)

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Outcome:
        status = None
        try:
            self._connection.request(method, path, body, headers, encode_chunked="Transfer-Encoding" in headers)
            answer = self._connection.getresponse()
            status = answer.status
            return Outcome(status, answer.read())
        except IncompleteRead as error:
            self._connection.close()
            return Outcome(status, error.partial, error)
        except OSError as error:
            self._connection.close()
            return Outcome(status, b"", error)


def quiet(server: S3Server | GCSServer, **faults: Any) -> AbstractContextManager[Chaos]:
    """A proxy without faults except those that are said."""
    return running_chaos(server.endpoint, **{"slow_down": 0, "reset": 0, "truncate": 0} | faults)


def test_chaos_counts_what_a_client_sees(rclone_anonymous: S3Server) -> None:
    bucket = rclone_anonymous.create_bucket()
    with running_chaos(rclone_anonymous.endpoint, seed=1) as chaos:
        client = Client(chaos.endpoint)
        seen = [client("PUT", f"/{bucket}/1", BODY) if n % 2 else client("GET", f"/{bucket}") for n in range(1000)]
    assert chaos.requests == len(seen)
    assert chaos.slowed == len([each for each in seen if each.status == 503])
    assert chaos.resets == len([each for each in seen if isinstance(each.error, OSError)])
    assert chaos.truncated == len([each for each in seen if isinstance(each.error, IncompleteRead)])
    assert chaos.slowed == pytest.approx(300, rel=0.2)
    assert chaos.resets == pytest.approx(50, rel=0.4)
    assert chaos.lost == pytest.approx(25, rel=0.5)
    # Only half of the requests have an answer with a body.
    assert chaos.truncated == pytest.approx(25, rel=0.5)


def test_chaos_slows_down_before_the_server(rclone_anonymous: S3Server) -> None:
    bucket = rclone_anonymous.create_bucket()
    with quiet(rclone_anonymous) as chaos:
        client = Client(chaos.endpoint)
        # It may be changed at any time.
        chaos.slow_down = 1
        answer = client("PUT", f"/{bucket}/1", BODY)
        assert (answer.status, b"<Code>SlowDown</Code>" in answer.body) == (503, True)
        chaos.slow_down = 0
        assert client("GET", f"/{bucket}/1").status == 404


def test_chaos_resets_before_or_after_the_server_did_it(rclone_anonymous: S3Server) -> None:
    bucket, direct = rclone_anonymous.create_bucket(), Client(rclone_anonymous.endpoint)
    with quiet(rclone_anonymous, reset=1) as chaos:
        client, lost = Client(chaos.endpoint), 0
        for n in range(20):
            error = client("PUT", f"/{bucket}/{n}", BODY).error
            assert isinstance(error, OSError)
            assert error.errno == errno.ECONNRESET
            assert direct("GET", f"/{bucket}/{n}").status == (200 if chaos.lost > lost else 404)
            lost = chaos.lost
    assert 0 < lost < chaos.resets == 20


def test_chaos_cuts_an_answer_in_half(rclone_anonymous: S3Server) -> None:
    bucket, body = rclone_anonymous.create_bucket(), secrets.token_bytes(1_000_000)
    with quiet(rclone_anonymous, truncate=1) as chaos:
        client = Client(chaos.endpoint)
        # There is no body to be cut.
        assert client("PUT", f"/{bucket}/1", body).status == 200
        assert client("HEAD", f"/{bucket}/1").status == 200
        answer = client("GET", f"/{bucket}/1")
    assert (answer.status, answer.body) == (200, body[:500_000])
    assert isinstance(answer.error, IncompleteRead)
    assert answer.error.expected == 500_000
    assert chaos.truncated == 1


def test_chaos_resets_before_the_server(rclone_anonymous: S3Server) -> None:
    bucket, direct = rclone_anonymous.create_bucket(), Client(rclone_anonymous.endpoint)
    with quiet(rclone_anonymous, reset_before=1) as chaos:
        client = Client(chaos.endpoint)
        for n in range(20):
            error = client("PUT", f"/{bucket}/{n}", BODY).error
            assert isinstance(error, OSError)
            assert error.errno == errno.ECONNRESET
            assert direct("GET", f"/{bucket}/{n}").status == 404
    assert (chaos.resets, chaos.lost) == (20, 0)


def test_chaos_hangs_up_where_the_answer_would_come(rclone_anonymous: S3Server) -> None:
    bucket, direct = rclone_anonymous.create_bucket(), Client(rclone_anonymous.endpoint)
    with quiet(rclone_anonymous, swallow=1) as chaos:
        client = Client(chaos.endpoint)
        assert isinstance(client("PUT", f"/{bucket}/1", BODY).error, RemoteDisconnected)
        assert direct("GET", f"/{bucket}/1").body == BODY
    assert chaos.swallowed == 1


def test_chaos_answers_like_a_gateway_when_the_server_did_it(rclone_anonymous: S3Server) -> None:
    bucket, direct = rclone_anonymous.create_bucket(), Client(rclone_anonymous.endpoint)
    with quiet(rclone_anonymous, bad_gateway=1) as chaos:
        client = Client(chaos.endpoint)
        answer = client("PUT", f"/{bucket}/1", BODY)
        assert (answer.status, b"<h1>502 Bad Gateway</h1>" in answer.body) == (502, True)
        assert direct("GET", f"/{bucket}/1").body == BODY
        assert (client("HEAD", f"/{bucket}/1").status, client("GET", f"/{bucket}/1").status) == (502, 502)
        chaos.bad_gateway = 0
        assert client("GET", f"/{bucket}/1").body == BODY
    assert (chaos.requests, chaos.bad_gateways) == (4, 3)


def test_chaos_brings_a_request_whose_client_has_given_up(rclone_anonymous: S3Server) -> None:
    bucket, direct = rclone_anonymous.create_bucket(), Client(rclone_anonymous.endpoint)
    with quiet(rclone_anonymous, delay_request=1, delay=2) as chaos:
        assert isinstance(Client(chaos.endpoint, timeout=0.1)("PUT", f"/{bucket}/1", BODY).error, TimeoutError)
        assert direct("GET", f"/{bucket}/1").status == 404
        chaos.wait_until_idle()
        assert direct("GET", f"/{bucket}/1").body == BODY
    assert chaos.requests_delayed == 1


def test_chaos_holds_an_answer_back(rclone_anonymous: S3Server) -> None:
    bucket, direct = rclone_anonymous.create_bucket(), Client(rclone_anonymous.endpoint)
    with quiet(rclone_anonymous, delay_answer=1, delay=60) as chaos:
        assert isinstance(Client(chaos.endpoint, timeout=0.1)("PUT", f"/{bucket}/1", BODY).error, TimeoutError)
        while not chaos.answers_delayed:
            time.sleep(0.01)
        assert direct("GET", f"/{bucket}/1").body == BODY
        assert chaos.under_way == 1


@pytest.mark.parametrize("kind", ["delay_request", "delay_answer"])
def test_chaos_delays_a_patient_client(weed: S3Server, kind: str) -> None:
    bucket, started = weed.create_bucket(), time.monotonic()
    with quiet(weed, **{kind: 1, "delay": 0.1}) as chaos:
        client = replace(weed, endpoint=chaos.endpoint).client()
        client.put_object(Bucket=bucket, Key=KEY, Body=BODY)
        assert client.get_object(Bucket=bucket, Key=KEY)["Body"].read() == BODY
    assert time.monotonic() - started > 0.2


def test_chaos_spoils_only_what_is_picked(rclone_anonymous: S3Server) -> None:
    bucket = rclone_anonymous.create_bucket()
    with quiet(rclone_anonymous, slow_down=1) as chaos:
        client = Client(chaos.endpoint)
        chaos.only = lambda method, path: (method, path) == ("PUT", f"/{bucket}/1")
        asked = [("PUT", 1), ("PUT", 2), ("GET", 2), ("PUT", 1)]
        assert [client(method, f"/{bucket}/{n}", BODY).status for method, n in asked] == [503, 200, 200, 503]
    assert chaos.slowed == 2


@pytest.mark.parametrize("name", ["weed", "rclone"])
def test_chaos_leaves_a_signed_request_valid(request: pytest.FixtureRequest, name: str) -> None:
    server: S3Server = request.getfixturevalue(name)
    bucket, body = server.create_bucket(), secrets.token_bytes(3_000_000)
    with quiet(server) as chaos:
        client = replace(server, endpoint=chaos.endpoint).client()
        # The SDK waits with a body until it is told to continue.
        client.put_object(Bucket=bucket, Key=KEY, Body=body)
        assert client.get_object(Bucket=bucket, Key=KEY)["Body"].read() == body
        assert client.head_object(Bucket=bucket, Key=KEY)["ContentLength"] == len(body)
        client.delete_object(Bucket=bucket, Key=KEY)
        with pytest.raises(ClientError, match="404"):
            client.head_object(Bucket=bucket, Key=KEY)


def test_chaos_passes_chunks_both_ways(gcs: GCSServer) -> None:
    bucket = gcs.create_bucket()
    with quiet(gcs) as chaos:
        client = Client(chaos.endpoint)
        for n in range(20):
            path = f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={n}"
            assert (
                client("POST", path, iter([b"abc", b"de" * 300_000]), **{"Transfer-Encoding": "chunked"}).status == 200
            )
        listing = client("GET", f"/storage/v1/b/{bucket}/o")
        assert {each["size"] for each in json.loads(listing.body)["items"]} == {"600003"}
        chaos.truncate = 1
        cut = client("GET", f"/storage/v1/b/{bucket}/o")
    assert isinstance(cut.error, IncompleteRead)
    assert listing.body.startswith(cut.body)
    assert chaos.requests == 22
