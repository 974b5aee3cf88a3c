"""What import and export do with Amazon S3, Google Cloud Storage, Azure Blob and Redis; each against a server."""

import gzip
import json
import logging
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar
from urllib.error import HTTPError
from urllib.parse import parse_qsl, urlsplit
from urllib.request import urlopen

import pytest
from google.oauth2.service_account import Credentials
from importing import some, texts
from places import AzurePlace, GCSPlace, Place, RedisPlace, S3Place, client_of, content
from servers.gcs import service_account_key
from servers.redis import RedisServer
from servers.s3 import S3Server
from sqlalchemy import Engine, select, text

from labelsync_provider.database import open_database
from labelsync_provider.errors import (
    Denied,
    EmptyListing,
    Invalid,
    StoragesOverlap,
    TargetOccupied,
    Unusable,
    UploadsFailed,
)
from labelsync_provider.projects.embedded.project import EmbeddedProject
from labelsync_provider.projects.embedded.store import EmbeddedStore
from labelsync_provider.projects.embedded.tables import TASK
from labelsync_provider.projects.protocol import Task
from labelsync_provider.storages.buckets import BucketStorage
from labelsync_provider.storages.protocol import ObjectInfo, Storage
from labelsync_provider.sync import (
    ExportOptions,
    ExportReport,
    ImportOptions,
    ImportReport,
    export_annotations,
    import_storage,
)

pytest_plugins = ["servers.azure", "servers.redis", "servers.s3"]

LABELS = '<View><Image name="image" value="$image"/></View>'
RESULT = [{"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": ["Cät"]}}]
WEEK = 7 * 24 * 60


PLACES = ["S3", "GCS", "Azure", "Redis"]


# What storages do is in their contract. Most of what is made of it is shown by two that have little in common.
@pytest.fixture(params=["S3", "Redis"])
def place(request: pytest.FixtureRequest) -> Place:
    """An empty bucket, container or database."""
    if request.param == "Azure":
        azurite = request.getfixturevalue("azurite")
        return AzurePlace(azurite, azurite.create_container())
    if request.param == "Redis":
        return RedisPlace(request.getfixturevalue("valkey"))
    server = request.getfixturevalue("weed" if request.param == "S3" else "rclone_anonymous")
    return (S3Place if request.param == "S3" else GCSPlace)(server, server.create_bucket())


everywhere = pytest.mark.parametrize("place", PLACES, indirect=True)
on_s3 = pytest.mark.parametrize("place", ["S3"], indirect=True)
on_redis = pytest.mark.parametrize("place", ["Redis"], indirect=True)
in_buckets = pytest.mark.parametrize("place", ["S3", "GCS", "Azure"], indirect=True)
# rclone, which stands for GCS, does as if a condition had not been asked.
with_conditions = pytest.mark.parametrize("place", ["S3", "Azure", "Redis"], indirect=True)


def below(place: Any, key: str) -> str:
    """Return the URI of a key as the guide writes it."""
    return {
        S3Place: lambda: f"s3://{place.bucket}/{key}",
        GCSPlace: lambda: f"gs://{place.bucket}/{key}",
        AzurePlace: lambda: f"azure-blob://{place.container}/{key}",
        RedisPlace: lambda: f"redis://{place.db}/{key}",
    }[type(place)]()


class Importing:
    """Imports of what is below a prefix of a place, and what is in the project afterwards."""

    def __init__(self, place: Any, project: EmbeddedProject, engine: Engine) -> None:
        self.place, self.project, self.engine = place, project, engine

    def __call__(
        self, prefix: str = "in/", *, storage: Storage | None = None, ledger: Engine | None = None, **options: Any
    ) -> ImportReport:
        source = storage or self.place.open(prefix)
        return import_storage(source, self.project, ledger or self.engine, ImportOptions(**options), "a test")

    def rows(self) -> list[dict[str, Any]]:
        with self.engine.connect() as connection:
            tasks = select(TASK).where(TASK.c.project == self.project.id).order_by(TASK.c.id)
            return [dict(row) for row in connection.execute(tasks).mappings()]

    def data(self) -> list[Any]:
        """Return what is in the tasks; of {"text": x}, x."""
        return [row["data"].get("text", row["data"]) for row in self.rows()]

    def quarantine(self) -> list[str]:
        """Return the keys that the ledger has in quarantine."""
        with self.engine.connect() as connection:
            return list(connection.scalars(text("SELECT path FROM labelsync_quarantine ORDER BY path")))


@pytest.fixture
def run(place: Place, project: EmbeddedProject, engine: Engine) -> Importing:
    return Importing(place, project, engine)


class TestImport:
    @pytest.fixture(autouse=True)
    def objects(self, place: Place) -> None:
        place.put("in/a.json", texts("1", "2"))
        place.put("in/b/c.jsonl", '{"text": "3"}\n{"data": {"text": "4"}, "meta": {"page": 1}}\n')
        place.put("in-2/d.json", texts("beside"))

    def test_each_row_of_each_task_file_becomes_a_task(self, run: Importing) -> None:
        assert some(run(), "listed", "matched") == {"listed": 2, "matched": 2, "new": 4, "tasks_created": 4}
        assert run.data() == ["1", "2", "3", "4"]

    def test_a_second_import_reads_nothing_and_creates_nothing(self, run: Importing) -> None:
        run()
        assert some(run(), "bytes_read") == {"unchanged": 4}
        assert run.data() == ["1", "2", "3", "4"]

    def test_only_what_was_added_is_imported(self, run: Importing) -> None:
        run()
        run.place.put("in/0.json", texts("0"))
        assert some(run()) == {"unchanged": 4, "new": 1, "tasks_created": 1}

    @everywhere
    def test_each_task_carries_the_uri_of_the_guide(self, run: Importing) -> None:
        run.place.put("in/two words.json", texts("5"))
        run()
        notes = [row["meta"]["labelsync"] for row in run.rows()]
        rows = [("a.json", 0), ("a.json", 1), ("b/c.jsonl", 0), ("b/c.jsonl", 1), ("two words.json", 0)]
        expected = [(below(run.place, f"in/{key}"), row) for key, row in rows]
        assert [(note["uri"], note["row"]) for note in notes] == expected

    def test_what_was_imported_through_a_longer_prefix_is_known_through_a_shorter_one(self, run: Importing) -> None:
        assert some(run("in/b/")) == {"new": 2, "tasks_created": 2}
        assert some(run("in/")) == {"unchanged": 2, "new": 2, "tasks_created": 2}
        assert some(run("")) == {"unchanged": 4, "new": 1, "tasks_created": 1}

    @pytest.mark.parametrize(
        ("on_changed", "outcome", "data"),
        [
            ("report", {}, ["1", "2", "3", "4"]),
            ("update", {"tasks_updated": 1}, ["1", "two", "3", "4"]),
            ("add", {"tasks_created": 1}, ["1", "2", "3", "4", "two"]),
        ],
    )
    def test_changed_object_is_reported_updated_or_added(
        self, run: Importing, on_changed: str, outcome: dict[str, int], data: list[str]
    ) -> None:
        run()
        run.place.put("in/a.json", texts("1", "two"))
        assert some(run(on_changed=on_changed)) == {"unchanged": 3, "changed": 1, **outcome}
        assert run.data() == data

    @everywhere
    def test_object_written_again_with_the_same_rows_is_unchanged(self, run: Importing) -> None:
        run()
        run.place.put("in/a.json", json.dumps(texts("1", "2"), indent=1))
        assert some(run(on_changed="update")) == {"unchanged": 4}

    def test_missing_object_is_reported_as_long_as_it_lasts(self, run: Importing) -> None:
        run()
        run.place.delete("in/a.json")
        for _ in range(2):
            assert some(run()) == {"unchanged": 2, "missing": 2}
        assert run.data() == ["1", "2", "3", "4"]

    @everywhere
    def test_missing_object_is_deleted_when_asked_and_forgotten(self, run: Importing) -> None:
        run()
        run.place.delete("in/a.json")
        options: dict[str, Any] = {"on_missing": "delete", "max_delete": 2}
        assert some(run(**options)) == {"unchanged": 2, "missing": 2, "tasks_deleted": 2}
        assert some(run(**options)) == {"unchanged": 2}
        assert run.data() == ["3", "4"]

    def test_empty_listing_is_an_error_and_deletes_nothing(self, run: Importing) -> None:
        run()
        run.place.delete("in/a.json", "in/b/c.jsonl")
        every: list[dict[str, Any]] = [{}, {"on_missing": "delete", "max_delete": 100}]
        for options in every:
            with pytest.raises(EmptyListing, match=rf"source='{below(run.place, 'in/')}' lists nothing, but 4 tasks"):
                run(**options)
        assert run.data() == ["1", "2", "3", "4"]

    def test_regex_filter_is_matched_from_the_start_of_the_full_key(self, run: Importing) -> None:
        report = run(regex_filter=r"in/.*\.json$")
        assert (report.listed, report.matched) == (2, 1)
        assert run.data() == ["1", "2"]

    def test_regex_filter_for_the_rest_of_the_key_warns_with_a_full_key(
        self, run: Importing, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert run(regex_filter="a").matched == 0
        assert "regex_filter='a' matches none of 2 objects" in caplog.text
        assert "'in/a.json', for one, does not match" in caplog.text

    @everywhere
    def test_object_that_vanishes_between_listing_and_reading_is_counted(self, run: Importing) -> None:
        storage = after_listing(run.place.open("in/"), lambda: run.place.delete("in/a.json"))
        if isinstance(run.place, RedisPlace):
            storage.read = lambda *given: run.place.open("in/").read(*given)  # what was read for the listing is kept
        assert some(run(storage=storage)) == {"new": 2, "tasks_created": 2, "gone": 1}
        assert some(run()) == {"unchanged": 2}


def after_listing(storage: Any, then: Callable[[], None]) -> Any:
    """Let something happen when the storage has been listed, and before anything else is done."""
    listing = storage.list

    def list_and_then() -> Iterator[list[ObjectInfo]]:
        pages = list(listing())
        then()
        yield from pages

    storage.list = list_and_then
    return storage


class TestQuarantine:
    BAD: ClassVar = {
        "in/broken.json": "{",
        "in/latin.json": b'{"text": "\xe9"}',
        "in/packed.json.gz": b"no gzip",
        "in/two words, é & 100%.json": "never JSON",
    }

    @pytest.fixture(autouse=True)
    def objects(self, place: Place) -> None:
        for key, bad in self.BAD.items():
            place.put(key, bad)
        place.put("in/good.json.gz", gzip.compress(b'{"text": "1"}'))
        place.put("in/rows.json", [{"text": "2"}, {"data": 5}, {"text": "3"}, 7])

    def test_holds_what_is_bad_by_its_full_key_and_lets_the_rest_in(self, run: Importing) -> None:
        report = run()
        assert some(report) == {"new": 3, "tasks_created": 3, "quarantined": 6}
        assert run.data() == ["1", "2", "3"]
        named = {(failure.key, failure.row) for failure in report.quarantine}
        assert named == {(key, None) for key in self.BAD} | {("in/rows.json", 1), ("in/rows.json", 3)}

    def test_lasts_and_is_not_read_again(self, run: Importing) -> None:
        first = run()
        second = run()
        assert some(second, "bytes_read") == {"unchanged": 3, "quarantined": 6}
        assert sorted(map(str, second.quarantine)) == sorted(map(str, first.quarantine))

    def test_is_left_by_an_object_that_was_mended(self, run: Importing) -> None:
        run()
        run.place.put("in/broken.json", texts("4"))
        assert some(run()) == {"unchanged": 3, "new": 1, "tasks_created": 1, "quarantined": 5}

    @in_buckets
    def test_holds_what_its_name_says_is_no_task_file(self, run: Importing) -> None:
        run.place.put("in/notes.txt", texts("4"))
        report = run()
        assert (report.tasks_created, report.quarantined) == (3, 7)
        assert "in/notes.txt: not a task file" in "".join(map(str, report.quarantine))

    @in_buckets
    def test_holds_rows_of_a_table_beside_the_data_unless_the_filter_leaves_it_out(self, run: Importing) -> None:
        run.place.put("in/metadata.csv", 'file,text\n1.jpg,4\n2.jpg\n"3.jpg","five, or\nsix"\n')
        without = run(regex_filter="(?!.*csv$)")
        assert (without.tasks_created, without.quarantined) == (3, 6)
        report = run()
        assert (report.tasks_created, report.quarantined) == (2, 7)
        assert run.data()[3:] == ["4", "five, or\nsix"]
        said = "in/metadata.csv, row 1: line 3: bad row: it has 1 value, the header has 2 columns"
        assert said in "".join(map(str, report.quarantine))

    @pytest.mark.parametrize("place", ["S3", "Azure"], indirect=True)
    def test_does_not_hold_folder_markers(self, run: Importing) -> None:
        run.place.put("in/photos/", b"")
        report = run()
        assert (report.listed - report.matched, report.quarantined) == (1, 6)


BLOBS = ("in/a b.jpg", "in/c/d.json")
SIGNED: dict[str, Any] = {"use_blob_urls": True, "url_mode": "signed"}


@pytest.fixture
def blobs(place: Place, store: EmbeddedStore, engine: Engine) -> Importing:
    for key in BLOBS:
        place.put(key, key)
    return Importing(place, store.create_project("Pets", LABELS), engine)


def signing(place: Any) -> BucketStorage:
    """Open what is below `in/` with credentials that can sign."""
    if not isinstance(place, GCSPlace):
        storage: BucketStorage = place.open("in/")
        return storage
    credentials = Credentials.from_service_account_info(service_account_key("http://127.0.0.1/token"))
    # As if Google had given it a token: nobody here asks for one.
    credentials.token, credentials.expiry = "token", datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=1)
    return BucketStorage(place.service(credentials), "in/", recursive=True)


@in_buckets
class TestBlobs:
    def test_each_object_becomes_a_task_with_its_uri_in_data_and_meta(self, blobs: Importing) -> None:
        assert some(blobs(use_blob_urls=True), "bytes_read") == {"new": 2, "tasks_created": 2}
        uris = [below(blobs.place, key) for key in BLOBS]
        assert blobs.data() == [{"image": uri} for uri in uris]
        assert [row["meta"]["labelsync"]["uri"] for row in blobs.rows()] == uris
        assert some(blobs(use_blob_urls=True)) == {"unchanged": 2}

    def test_no_object_is_read(self, blobs: Importing) -> None:
        storage = blobs.place.open("in/")
        del storage._service.store
        assert some(blobs(storage=storage, use_blob_urls=True), "bytes_read") == {"new": 2, "tasks_created": 2}

    def test_changed_object_is_a_changed_task(self, blobs: Importing) -> None:
        blobs(use_blob_urls=True)
        blobs.place.put(BLOBS[0], "another picture")
        assert some(blobs(use_blob_urls=True)) == {"unchanged": 1, "changed": 1}

    def test_signed_url_in_the_data_fetches_the_object(
        self, blobs: Importing, caplog: pytest.LogCaptureFixture
    ) -> None:
        report = blobs(storage=signing(blobs.place), **SIGNED, presign_ttl=5)
        assert report.tasks_created == 2
        for row, key in zip(blobs.rows(), BLOBS, strict=True):
            with urlopen(row["data"]["image"]) as answer:
                assert answer.read().decode() == key
            assert row["meta"]["labelsync"]["uri"] == below(blobs.place, key)
        assert "The URLs in the tasks expire 5 minutes after they were listed." in caplog.text

    def test_no_signature_is_in_the_ledger(
        self, blobs: Importing, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, "labelsync_provider")
        ledger = open_database(f"sqlite:///{tmp_path}/ledger.db")
        report = blobs(storage=signing(blobs.place), ledger=ledger, **SIGNED)
        ledger.dispose()
        signatures = [
            value
            for row in blobs.rows()
            for name, value in parse_qsl(urlsplit(row["data"]["image"]).query)
            if name.lower() in ("x-amz-signature", "x-goog-signature", "sig")
        ]
        assert len(set(signatures)) == 2
        files = b"".join(path.read_bytes() for path in tmp_path.glob("ledger.db*"))
        assert b"in/a b.jpg" in files
        for kept in (files.decode(errors="replace"), caplog.text, json.dumps(report.as_dict())):
            assert not any(signature in kept for signature in signatures)
            assert not re.search("signature=|sig=", kept, re.IGNORECASE)

    def test_signed_urls_make_nothing_changed_in_a_second_run(self, blobs: Importing) -> None:
        blobs(storage=signing(blobs.place), **SIGNED)
        before = blobs.rows()
        assert some(blobs(storage=signing(blobs.place), **SIGNED, on_changed="update")) == {"unchanged": 2}
        assert blobs.rows() == before


@pytest.mark.parametrize("place", ["S3", "Azure"], indirect=True)
def test_signed_url_for_another_object_is_refused(blobs: Importing) -> None:
    blobs(storage=signing(blobs.place), **SIGNED)
    first, _ = (row["data"]["image"] for row in blobs.rows())
    assert "a%20b" in first
    with pytest.raises(HTTPError, match="403"):
        urlopen(first.replace("a%20b.jpg", "c/d.json"))


@pytest.mark.parametrize("place", ["S3", "GCS"], indirect=True)
def test_url_of_more_than_a_week_is_refused(blobs: Importing) -> None:
    storage = signing(blobs.place)
    with pytest.raises(Invalid, match=rf"presign_ttl={WEEK + 1}.* signs for up to 10,080 minutes"):
        blobs(storage=storage, **SIGNED, presign_ttl=WEEK + 1)
    assert blobs.rows() == []
    assert blobs(storage=storage, **SIGNED, presign_ttl=WEEK).tasks_created == 2


@pytest.mark.parametrize("place", ["GCS"], indirect=True)
def test_credentials_that_cannot_sign_are_denied(blobs: Importing) -> None:
    with pytest.raises(Denied, match="cannot sign: connection 'of this test' is no service account"):
        blobs(**SIGNED)


def test_urls_in_task_files_are_not_signed() -> None:
    with pytest.raises(Invalid, match=r"url_mode='signed': only the URIs of blobs are signed. Set use_blob_urls=True"):
        ImportOptions(url_mode="signed")


@on_redis
class TestRedis:
    def test_value_is_json_whatever_its_key_ends_with(self, run: Importing, valkey: RedisServer) -> None:
        run.place.put("in/1.csv", texts("1", "2"))
        valkey.client().hset("in/2.csv", mapping={"text": "3"})
        run()
        assert run.data() == ["1", "2", "3"]

    def test_hash_is_the_data_of_a_task(self, run: Importing, valkey: RedisServer) -> None:
        valkey.client().hset("in/1", mapping={"text": "é", "page": "7"})
        assert some(run()) == {"new": 1, "tasks_created": 1}
        assert [row["data"] for row in run.rows()] == [{"text": "é", "page": "7"}]
        assert some(run(), "bytes_read") == {"unchanged": 1}
        valkey.client().hset("in/1", "page", "8")
        assert some(run(on_changed="update")) == {"changed": 1, "tasks_updated": 1}

    def test_value_needs_no_name_of_a_task_file(self, run: Importing) -> None:
        run.place.put("in/notes.txt", texts("1"))
        assert run().tasks_created == 1

    def test_values_of_other_types_are_in_quarantine_by_name(self, run: Importing, valkey: RedisServer) -> None:
        client = valkey.client()
        client.rpush("in/list", "1")
        client.sadd("in/set", "1")
        client.zadd("in/zset", {"1": 1})
        client.xadd("in/stream", {"1": "1"})
        run.place.put("in/text", texts("1"))
        report = run()
        assert some(report) == {"new": 1, "tasks_created": 1, "quarantined": 4}
        assert sorted(map(str, report.quarantine)) == [
            f"in/{kind}: it is a {kind}, not a string or a hash" for kind in ("list", "set", "stream", "zset")
        ]

    def test_key_that_is_not_utf8_is_in_quarantine_with_what_to_do(self, run: Importing, valkey: RedisServer) -> None:
        run.place.put("in/1", texts("1"))
        valkey.client().set(b"in/\xff", b'{"text": "1"}')
        (failure,) = run().quarantine
        assert str(failure) == "in/\\xff: its key is not UTF-8; rename it"

    def test_hash_that_is_not_utf8_is_in_quarantine(self, run: Importing, valkey: RedisServer) -> None:
        run.place.put("in/2", texts("2"))
        valkey.client().hset("in/1", mapping={"text": b"\xff"})
        (failure,) = run().quarantine
        assert str(failure) == "in/1: a field or value of the hash is not UTF-8"

    def test_use_blob_urls_warns_that_label_studio_shows_no_values(
        self, run: Importing, store: EmbeddedStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        run.place.put("in/1", texts("1"))
        run = Importing(run.place, store.create_project("Pictures", LABELS), run.engine)
        assert some(run(use_blob_urls=True)) == {"new": 1, "tasks_created": 1}
        assert run.data() == [{"image": "redis://0/in/1"}]
        assert "redis://0/in/: Label Studio cannot show values under their URIs." in caplog.text

    def test_values_have_no_signed_urls(self, run: Importing) -> None:
        run.place.put("in/1", texts("1"))
        with pytest.raises(Invalid, match=r"url_mode='signed': redis://0/in/ has no signed URLs. Use 'storage'"):
            run(use_blob_urls=True, data_key="image", url_mode="signed")


def forbid(server: S3Server, bucket: str, *keys: str) -> None:
    """Forbid to read objects, or, without any, none: by the bucket's policy."""
    client = client_of(server)
    if not keys:
        client.delete_bucket_policy(Bucket=bucket)
        return
    resources = [f"arn:aws:s3:::{bucket}/{key}" for key in keys]
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": resources}
    client.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))


@on_s3
class TestDenied:
    @pytest.fixture(autouse=True)
    def objects(self, place: S3Place) -> None:
        for name in "abc":
            place.put(f"in/{name}.json", texts(name))
        forbid(place.server, place.bucket, "in/b.json")

    def test_object_is_in_quarantine_and_the_others_are_in(self, run: Importing) -> None:
        report = run()
        assert some(report) == {"new": 2, "tasks_created": 2, "quarantined": 1}
        assert "in/b.json: " in str(report.quarantine[0])
        assert "has no permission to read there" in str(report.quarantine[0])
        assert run.data() == ["a", "c"]

    def test_object_is_read_again_by_the_next_run_though_its_version_is_the_same(self, run: Importing) -> None:
        run()
        forbid(run.place.server, run.place.bucket)
        assert some(run()) == {"unchanged": 2, "new": 1, "tasks_created": 1}
        assert some(run(), "bytes_read") == {"unchanged": 3}
        assert run.data() == ["a", "c", "b"]

    def test_object_that_may_be_read_again_is_not_in_the_ledgers_quarantine(self, run: Importing) -> None:
        run()
        assert run.quarantine() == ["in/b.json"]
        forbid(run.place.server, run.place.bucket)
        run()
        assert run.quarantine() == []

    def test_object_that_is_gone_is_not_in_the_ledgers_quarantine(self, run: Importing) -> None:
        run()
        run.place.delete("in/b.json")
        assert some(run()) == {"unchanged": 2}
        assert run.quarantine() == []

    def test_object_that_stays_forbidden_fails_no_later_run(self, run: Importing) -> None:
        run()
        assert some(run()) == {"unchanged": 2, "quarantined": 1}

    def test_nothing_that_may_be_read_at_all_fails_the_run(self, run: Importing) -> None:
        forbid(run.place.server, run.place.bucket, "in/*")
        with pytest.raises(Denied, match="None of what was to be read could be"):
            run()
        forbid(run.place.server, run.place.bucket)
        assert some(run()) == {"new": 3, "tasks_created": 3}


@on_s3
def test_credentials_that_are_refused_in_the_middle_end_the_run_and_quarantine_nothing(run: Importing) -> None:
    for number in range(30):
        run.place.put(f"in/{number:02}.json", texts(f"{number:02}"))
    server, asked = run.place.server, iter(range(1000))
    expiring = run.place.service(lambda: server.secret_key if next(asked) < 12 else "expired")
    storage = BucketStorage(expiring, "in/", recursive=True)
    with pytest.raises(Unusable, match="The credentials of connection 'of this test' are not accepted"):
        run(storage=storage, batch_size=5, max_in_flight=1)
    assert run.quarantine() == []
    assert 0 < len(run.rows()) < 30
    report = run()
    assert (report.new + report.unchanged, report.quarantined) == (30, 0)
    assert sorted(run.data()) == [f"{number:02}" for number in range(30)]


@on_s3
def test_source_that_lists_folders_first_misses_nothing(run: Importing) -> None:
    keys = ["p/a-", "p/a/1", "p/a/2-", "p/a/2/3", "p/a0"]
    for key in keys:
        run.place.put(key, texts(key))
    first = [info.key for page in run.place.open("p/").list() for info in page]
    assert sorted(first) == keys != first, "the server lists as others do"
    assert some(run("p/")) == {"new": 5, "tasks_created": 5}
    assert some(run("p/", on_missing="delete", max_delete=9)) == {"unchanged": 5}
    assert sorted(run.data()) == keys


class Exporting:
    """Exports of one project to a prefix of a place."""

    def __init__(self, place: Any, project: EmbeddedProject, engine: Engine) -> None:
        self.place, self.project, self.engine = place, project, engine

    def __call__(self, prefix: str = "out/", *, storage: Storage | None = None, **options: Any) -> ExportReport:
        target = storage or self.place.open(prefix)
        return export_annotations(self.project, target, self.engine, ExportOptions(**options), "a test")

    def sql(self, statement: str) -> None:
        """Do as an annotator would, whose tool is not here."""
        with self.engine.begin() as connection:
            connection.execute(text(statement))

    def written(self, prefix: str = "out/") -> dict[str, Any]:
        return {key: json.loads(found) for key, found in content(self.place, prefix).items()}

    def versions(self) -> dict[str, str]:
        return {info.key: info.version for page in self.place.open("out/").list() for info in page}


@pytest.fixture
def export(place: Place, project: EmbeddedProject, engine: Engine) -> Exporting:
    """Task 1 with annotations 1 and 2, task 2 with none, task 3 with annotation 3."""
    project.import_tasks(
        [
            Task({"image": "1.jpg"}, annotations=[{"result": RESULT}, {"result": []}]),
            Task({"image": "2.jpg"}),
            Task({"image": "3.jpg"}, annotations=[{"result": RESULT}], predictions=[{"result": RESULT, "score": 0.5}]),
        ]
    )
    return Exporting(place, project, engine)


class TestExport:
    def test_writes_one_object_for_each_annotation(self, export: Exporting) -> None:
        report = export()
        assert some(report, "bytes_written") == {
            "annotations": 3,
            "written": 3,
            "bytes_written": sum(map(len, content(export.place, "out/").values())),
        }
        written = export.written()
        assert written.keys() == {"1.json", "2.json", "3.json"}
        assert [written[key]["result"] for key in sorted(written)] == [RESULT, [], RESULT]
        assert [written[key]["task"]["data"]["image"] for key in sorted(written)] == ["1.jpg", "1.jpg", "3.jpg"]

    def test_writes_one_object_for_each_annotated_task(self, export: Exporting) -> None:
        assert some(export(layout="task")) == {"annotations": 3, "written": 2}
        ((one, three),) = export.project.annotated_tasks()
        written = export.written()
        assert {each.pop("labelsync")["layout"] for each in written.values()} == {"task"}
        assert written == {"1.json": one, "3.json": three}

    @pytest.mark.parametrize(("layout", "objects"), [("annotation", 3), ("task", 2)])
    def test_a_second_export_writes_nothing(self, export: Exporting, layout: str, objects: int) -> None:
        export(layout=layout)
        before = export.versions()
        assert some(export(layout=layout), "bytes_written") == {"annotations": 3, "unchanged": objects}
        assert export.versions() == before

    @everywhere
    def test_changed_annotation_is_written_again_and_no_other(self, export: Exporting) -> None:
        export()
        before = export.written()
        export.sql("UPDATE labelsync_annotation SET result = '[1]' WHERE id = 3")
        assert some(export()) == {"annotations": 3, "written": 1, "unchanged": 2}
        assert export.written() == before | {"3.json": before["3.json"] | {"result": [1]}}

    def test_key_template_makes_folders_in_the_target(self, export: Exporting) -> None:
        export(key_template="{task_id}/{annotation_id}.json")
        assert export.written().keys() == {"1/1.json", "1/2.json", "3/3.json"}

    def test_deleted_annotation_is_reported_as_gone(self, export: Exporting) -> None:
        export()
        export.sql("DELETE FROM labelsync_annotation WHERE id = 3")
        for _ in range(2):
            assert some(export()) == {"annotations": 2, "unchanged": 2, "gone": 1}
        assert "3.json" in export.written()

    @everywhere
    def test_deleted_annotations_object_is_deleted_when_asked(self, export: Exporting) -> None:
        export()
        export.sql("DELETE FROM labelsync_annotation WHERE id = 3")
        assert some(export(can_delete_objects=True)) == {"annotations": 2, "unchanged": 2, "gone": 1, "deleted": 1}
        assert export.written().keys() == {"1.json", "2.json"}
        assert some(export(can_delete_objects=True)) == {"annotations": 2, "unchanged": 2}

    def test_object_taken_away_is_written_again(self, export: Exporting, caplog: pytest.LogCaptureFixture) -> None:
        export()
        export.place.delete("out/2.json")
        assert some(export()) == {"annotations": 3, "written": 1, "unchanged": 2}
        assert "1 such as out/2.json. They are written again." in caplog.text

    @everywhere
    def test_object_altered_is_written_again(self, export: Exporting) -> None:
        export()
        before = export.written()
        export.place.put("out/2.json", before["2.json"] | {"result": ["altered"]})
        assert some(export()) == {"annotations": 3, "written": 1, "unchanged": 2}
        assert export.written() == before

    @everywhere
    def test_lost_ledger_recognises_its_own_objects(self, export: Exporting) -> None:
        export()
        before = export.versions()
        for table in ("export", "storage", "scope"):
            export.sql(f"DELETE FROM labelsync_{table}")
        assert some(export()) == {"annotations": 3, "unchanged": 3}
        assert export.versions() == before


class TestOccupiedTarget:
    @pytest.mark.parametrize("key", ["notes.txt", "1.json", "sub/deep.bin"])
    def test_stops_the_run_before_its_first_write_by_name(self, export: Exporting, key: str) -> None:
        export.place.put(f"out/{key}", "mine")
        with pytest.raises(TargetOccupied, match=rf"out/{re.escape(key)}: .*Nothing was written"):
            export()
        assert content(export.place, "out/") == {key: b"mine"}

    def test_beside_the_prefix_does_not_stop_the_run(self, export: Exporting) -> None:
        export.place.put("out-2/notes.txt", "mine")
        assert export().written == 3

    @pytest.mark.parametrize("place", ["S3", "Azure"], indirect=True)  # the others' test servers take no such key
    def test_by_a_folder_marker_it_is_not(self, export: Exporting) -> None:
        for marker in ("out/", "out/deep/"):
            export.place.put(marker, b"")
        assert some(export()) == {"annotations": 3, "written": 3}
        assert some(export()) == {"annotations": 3, "unchanged": 3}

    def test_by_what_a_file_browser_leaves_it_is_not(self, export: Exporting) -> None:
        for name in ("out/.DS_Store", "out/Thumbs.db"):
            export.place.put(name, b"Bud1")
        assert export().written == 3
        assert some(export(can_delete_objects=True)) == {"annotations": 3, "unchanged": 3}

    def test_by_another_projects_export_stops_the_run(self, export: Exporting, store: EmbeddedStore) -> None:
        export()
        other = store.create_project("Cars", "<View/>")
        other.import_tasks([Task({"image": "1.jpg"}, annotations=[{"result": RESULT}])])
        before = export.versions()
        with pytest.raises(TargetOccupied, match=r"out/1\.json: it belongs to embedded://projects/1"):
            Exporting(export.place, other, export.engine)()
        assert export.versions() == before

    @with_conditions
    def test_since_it_was_looked_at_fails_the_upload_by_name_and_overwrites_nothing(self, export: Exporting) -> None:
        storage = after_listing(export.place.open("out/"), lambda: export.place.put("out/2.json", "mine"))
        with pytest.raises(UploadsFailed, match=r"1 object could not be written .* 2 were.*out/2\.json: .*there"):
            export(storage=storage)
        assert export.place.get("out/2.json") == b"mine"
        with pytest.raises(TargetOccupied, match=r"out/2\.json"):
            export()
        export.place.delete("out/2.json")
        assert some(export()) == {"annotations": 3, "written": 1, "unchanged": 2}

    @with_conditions
    def test_since_it_was_looked_at_again_is_not_overwritten_nor_deleted(self, export: Exporting) -> None:
        def occupied() -> Any:
            return after_listing(export.place.open("out/"), lambda: export.place.put("out/2.json", "mine"))

        with pytest.raises(UploadsFailed):
            export(storage=occupied())
        export.place.delete("out/2.json")
        with pytest.raises(UploadsFailed, match=r"out/2\.json"):
            export(storage=occupied())
        assert export.place.get("out/2.json") == b"mine"


class TestOverlap:
    LABELED: ClassVar[dict[str, Any]] = {"data": {}, "annotations": [{"result": []}]}

    @in_buckets
    @pytest.mark.parametrize(
        ("source", "target"), [("in/", "in/"), ("in/", "in/out/"), ("in/sub/", "in/"), ("", "out/")]
    )
    def test_of_nested_prefixes_of_a_bucket_is_refused_both_ways(
        self, export: Exporting, store: EmbeddedStore, source: str, target: str
    ) -> None:
        export(target)
        before = export.place.keys()
        with pytest.raises(StoragesOverlap, match=r"source=.*annotations of project 'Pets' are exported.*another dir"):
            Importing(export.place, export.project, export.engine)(source)

        other = store.create_project("Cars", "<View/>")
        export.place.put(f"{source}{'x.json'}", self.LABELED)
        Importing(export.place, other, export.engine)(source, regex_filter=".*x.json")
        with pytest.raises(StoragesOverlap, match=r"target=.*tasks of project 'Cars' are imported.*another target"):
            Exporting(export.place, other, export.engine)(target)
        assert export.place.keys() == sorted([*before, f"{source}x.json"])

    @in_buckets
    @pytest.mark.parametrize(("source", "target"), [("in/", "in-2/"), ("in/a/", "in/b/"), ("photos/", "annotations/")])
    def test_is_none_side_by_side_in_a_bucket(self, export: Exporting, source: str, target: str) -> None:
        export.place.put(f"{source}x.json", self.LABELED)
        assert Importing(export.place, export.project, export.engine)(source).tasks_created == 1
        assert some(export(target)) == {"annotations": 4, "written": 4}
        assert some(Importing(export.place, export.project, export.engine)(source)) == {"unchanged": 1}

    @on_redis
    @pytest.mark.parametrize(("source", "target"), [("in/", "in/"), ("in/", "out/"), ("in/", "in-2/")])
    def test_of_paths_in_one_redis_database_is_refused_both_ways(
        self, export: Exporting, store: EmbeddedStore, source: str, target: str
    ) -> None:
        export(target)
        with pytest.raises(StoragesOverlap, match=r"source='redis://0/in/'.*or export to, another database"):
            Importing(export.place, export.project, export.engine)(source)

        other = store.create_project("Cars", "<View/>")
        export.place.put(f"{source}x", self.LABELED)
        Importing(export.place, other, export.engine)(source, regex_filter=".*x$")
        with pytest.raises(StoragesOverlap, match=r"target='redis://0/.*tasks of project 'Cars' are imported"):
            Exporting(export.place, other, export.engine)(target)

    @on_redis
    def test_is_none_between_two_redis_databases(self, export: Exporting) -> None:
        export.place.put("in/x", self.LABELED)
        assert Importing(export.place, export.project, export.engine)().tasks_created == 1
        export.place = RedisPlace(export.place.server, db=1)
        assert some(export("in/")) == {"annotations": 4, "written": 4}
        assert RedisPlace(export.place.server, db=0).keys() == ["in/x"]
