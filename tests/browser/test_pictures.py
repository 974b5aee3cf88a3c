"""What annotators see of pictures that were imported by their URIs: in the table of tasks, and where they label."""

import logging
import secrets
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect
from servers.label_studio import LabelStudioServer
from servers.s3 import S3Server

from labelsync_provider.operators.import_storage import ImportStorageSyncOperator

pytest_plugins = ["servers.label_studio", "servers.s3"]

WIDTH, HEIGHT = 48, 32
NAME = "a b.png"
LABEL_CONFIG = """
<View>
  <Image name="picture" value="$image"/>
  <Choices name="shape" toName="picture"><Choice value="circle"/><Choice value="square"/></Choices>
</View>
"""
THUMBNAIL, PICTURE = "img[alt=Data]", "img[alt=image]"
LOADED = {"complete": True, "naturalWidth": WIDTH, "naturalHeight": HEIGHT}


def png() -> bytes:
    """Return a picture."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    lines = (b"\0" + b"\x26\xa6\x5b" * WIDTH) * HEIGHT
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


@dataclass
class Project:
    """An empty project of the server, as an annotator sees it."""

    server: LabelStudioServer
    id: int
    page: Page

    def load(self, source: str, **arguments: Any) -> None:
        """Import the one picture of a source, and look at it."""
        arguments = {"source": source, "project": self.id, "use_blob_urls": True, **arguments}
        report = ImportStorageSyncOperator(task_id="load", **arguments).execute({})
        assert report["tasks_created"] == 1
        with self.server.client() as client:
            (task,) = client.get("/api/tasks/", params={"project": self.id}).raise_for_status().json()["tasks"]
        self.page.goto(f"{self.server.url}/projects/{self.id}/data?task={task['id']}", wait_until="domcontentloaded")

    def assert_seen(self) -> None:
        for where in (THUMBNAIL, PICTURE):
            for name, value in LOADED.items():
                expect(self.page.locator(where)).to_have_js_property(name, value)

    def assert_not_seen(self) -> None:
        expect(self.page.get_by_text("There was an issue loading URL from $image value")).to_be_visible()
        assert self.page.locator(PICTURE).count() == 0
        expect(self.page.locator(THUMBNAIL)).to_have_js_property("complete", True)
        expect(self.page.locator(THUMBNAIL)).to_have_js_property("naturalWidth", 0)


@pytest.fixture
def project(label_studio: LabelStudioServer, page: Page, connections: Any, connect: Callable[..., None]) -> Project:
    connect("label_studio_default", conn_type="label_studio", host=label_studio.url, password=label_studio.token)
    return Project(label_studio, label_studio.create_project(label_config=LABEL_CONFIG), page)


@pytest.fixture
def in_s3(weed: S3Server, connect_s3: Callable[..., None]) -> str:
    """The URI of a folder in a bucket."""
    connect_s3(weed)
    bucket = weed.create_bucket()
    weed.client().put_object(Bucket=bucket, Key=f"photos/{NAME}", Body=png())
    return f"s3://{bucket}/photos/"


@pytest.fixture
def in_s3_without_cors(moto: S3Server, http_server: Callable[..., str], connect_s3: Callable[..., None]) -> str:
    """The URI of a folder in a bucket of which no page of another site may read: those of AWS, by default."""

    def answer(asked: Any) -> tuple[Any, ...]:
        sent = {name: value for name, value in asked.headers.items() if name.lower() != "content-length"}
        url = moto.endpoint + asked.path
        done = httpx.request(asked.method, url, headers=sent, content=asked.body, trust_env=False)
        kept = {name: done.headers[name] for name in ("Content-Type", "ETag", "Last-Modified") if name in done.headers}
        return done.status_code, done.content, kept

    connect_s3(moto, extra={"endpoint_url": http_server(answer)})
    bucket = moto.create_bucket()
    moto.client().put_object(Bucket=bucket, Key=f"photos/{NAME}", Body=png())
    return f"s3://{bucket}/photos/"


@pytest.fixture
def in_files(label_studio: LabelStudioServer, connect: Callable[..., None], connections: Any) -> str:
    """The URI of a directory that the server reads too."""
    root = label_studio.document_root
    connect("fs_default", conn_type="fs", extra={"path": str(root)})
    folder = root / secrets.token_hex(8)
    folder.mkdir()
    (folder / NAME).write_bytes(png())
    return folder.as_uri()


@pytest.fixture(params=["in_s3", "in_files"])
def pictures(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(request.param)


def test_a_picture_is_seen_when_its_storage_is_registered(project: Project, pictures: str) -> None:
    project.load(pictures, register_storage=True, allow_static_keys=True)
    project.assert_seen()


def test_a_local_picture_is_seen_unasked(project: Project, in_files: str) -> None:
    project.load(in_files)
    project.assert_seen()


def test_a_picture_is_not_seen_otherwise_and_the_run_warns_of_it(
    project: Project, pictures: str, caplog: pytest.LogCaptureFixture
) -> None:
    project.load(pictures, register_storage=False)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "Annotators will not see" in warning
    assert "register_storage=True" in warning
    project.assert_not_seen()


@pytest.mark.parametrize("presign", [True, False])
def test_a_picture_in_a_bucket_without_cors_rules_is_seen_only_through_label_studio(
    project: Project, in_s3_without_cors: str, presign: bool
) -> None:
    project.load(in_s3_without_cors, register_storage=True, allow_static_keys=True, presign=presign)
    if presign:
        project.assert_not_seen()
    else:
        project.assert_seen()


def test_a_picture_with_a_signed_url_is_seen_without_a_storage(project: Project, in_s3: str) -> None:
    project.load(in_s3, url_mode="signed")
    project.assert_seen()
