"""What Label Studio's own sync has made, adopted: evidence, pairing, whose a task is, and the press of Sync afterwards.

With files, unless it is about buckets.
"""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from places import S3Place
from servers.label_studio import LabelStudioServer
from servers.s3 import S3Server
from sites import Json, Site, named, rows_of

from labelsync_provider.operators.import_storage import ImportStorageSyncOperator
from labelsync_provider.sync import ImportReport

pytest_plugins = ["servers.label_studio", "servers.s3", "sites"]

NUMBERS = ("1", "1.0", "0.1", "1e2", "1E-7", "123456789012345678", "0.30000000000000004", "1.50")


@pytest.fixture
def site(label_studio: LabelStudioServer, open_site: Callable[..., Site]) -> Site:
    return open_site(label_studio, "files")


@pytest.fixture
def bucket(label_studio: LabelStudioServer, open_site: Callable[..., Site]) -> Site:
    return open_site(label_studio, "bucket")


@pytest.fixture(params=["files", "bucket"])
def either(request: pytest.FixtureRequest, label_studio: LabelStudioServer, open_site: Callable[..., Site]) -> Site:
    return open_site(label_studio, request.param)


def counted(report: ImportReport) -> tuple[int, int, int]:
    return report.adopted, report.not_restored, report.tasks_created


class TestEvidence:
    """What has no task was deleted by a person only if the own sync has certainly made one of it."""

    def test_is_none_for_the_rows_at_the_end_of_a_file_as_its_sync_may_have_ended_there(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        site.put("rows/a.json", rows_of(*"0123"))
        site.own_storage("rows/")
        site.delete("2", "3")
        assert counted(site.run("rows/", adopt=True)) == (2, 0, 2)
        assert site.texts() == Counter("0123")
        assert "a.json" in caplog.text

    def test_is_none_once_the_storage_is_deleted(self, site: Site, caplog: pytest.LogCaptureFixture) -> None:
        site.put("photos/0.jpg", "a picture")
        site.put("photos/1.jpg", "a picture")
        site.put("rows/a.json", rows_of("0", "1", "2"))
        storages = [site.own_storage("photos/", use_blob_urls=True), site.own_storage("rows/")]
        site.delete("0.jpg", "1")
        for storage in storages:
            site.ask("DELETE", storage)
        assert counted(site.run("photos/", adopt=True)) == (1, 0, 1)
        assert counted(site.run("rows/", adopt=True)) == (2, 0, 1)
        assert site.texts() == Counter(["0.jpg", "1.jpg", "0", "1", "2"])
        assert "deleted" in caplog.text

    def test_is_none_if_the_last_sync_failed(self, site: Site) -> None:
        site.put("rows/a.json", rows_of("0", "1", "2"))
        site.put("rows/b.json", rows_of("3"))
        storage = site.own_storage("rows/")
        site.delete("1", "3")
        site.put("rows/0.json", '{"text": ')
        assert site.sync(storage)["status"] == "failed"
        assert counted(site.run("rows/", adopt=True)) == (2, 0, 2)

    def test_is_none_for_what_was_written_after_the_last_sync(self, either: Site) -> None:
        either.put("photos/0.jpg", "a picture")
        either.own_storage("photos/", use_blob_urls=True)
        either.put("photos/1.jpg", "a picture")
        assert counted(either.run("photos/", adopt=True)) == (1, 0, 1)

    def test_is_none_for_what_was_written_while_the_last_sync_went_on(self, site: Site) -> None:
        site.put("rows/a.json", rows_of("0"))
        storage = site.own_storage("rows/")
        site.put("rows/b.json", rows_of("1"))
        there = site.ask("GET", storage)
        site.ask("PATCH", storage, json={**there, "last_sync": "2999-01-01T00:00:00Z"})
        assert counted(site.run("rows/", adopt=True)) == (1, 0, 1)

    @pytest.mark.parametrize(
        ("fields", "unseen"),
        [({"regex_filter": ".*[.]jpg"}, "1.png"), ({"recursive_scan": False}, "below/1.jpg")],
        ids=["its filter", "its recursion"],
    )
    def test_is_none_for_what_the_own_storage_leaves_out(self, either: Site, fields: Json, unseen: str) -> None:
        either.put("photos/0.jpg", "a picture")
        either.put(f"photos/{unseen}", "a picture")
        either.own_storage("photos/", use_blob_urls=True, **fields)
        assert counted(either.run("photos/", adopt=True)) == (1, 0, 1)


class TestPairing:
    def test_goes_by_equal_data_alone_once_the_storage_is_deleted(self, site: Site) -> None:
        site.put("rows/a.json", rows_of("same", "same", "0"))
        site.put("rows/b.json", rows_of("same"))
        site.ask("DELETE", site.own_storage("rows/"))
        assert counted(site.run("rows/", adopt=True)) == (4, 0, 0)
        assert site.run("rows/").unchanged == 4

    def test_goes_by_what_json_says_and_not_by_how_it_is_written(
        self, server: LabelStudioServer, open_site: Callable[..., Site]
    ) -> None:
        """Label Studio's tables, and its two ways to read a file, write numbers in other ways than the file does."""
        site = open_site(server, "files")
        for n, number in enumerate(NUMBERS):
            row = f'{{"text": "{n}", "more": {{"b": [null, {number}], "a": "\\u00e4\\ud83d\\ude00"}}}}'
            site.put(f"rows/{n}-array.json", f"[{row}, {row}]")
            site.put(f"rows/{n}-line.jsonl", f"{row}\n{row}")
        site.own_storage("rows/")
        size = 4 * len(NUMBERS)
        report = site.run("rows/", adopt=True)
        assert (report.adopted, report.unchanged, named(report.quarantine)) == (size, size, set())
        assert site.run("rows/").unchanged == size

    def test_names_the_rows_of_a_file_of_which_one_was_edited_and_one_deleted(self, site: Site) -> None:
        site.put("rows/a.json", rows_of(*"0123"))
        site.own_storage("rows/")
        site.edit(**{"1": "by hand"})
        site.delete("2")
        report = site.run("rows/", adopt=True)
        assert counted(report) == (3, 0, 0)
        assert named(report.quarantine) == {("a.json", 1), ("a.json", 2)}

    def test_of_what_was_undecided_is_done_once_people_have_made_it_plain(self, site: Site) -> None:
        site.put("rows/a.json", rows_of(*"0123"))
        site.own_storage("rows/")
        edited = site.of("1", "2")
        site.edit(**{"1": "by hand", "2": "too"})
        assert counted(site.run("rows/", adopt=True)) == (4, 0, 0)
        site.ask("PATCH", f"/api/tasks/{edited[1]}/", json={"data": {"text": "2"}})
        before = site.tasks()
        report = site.run("rows/", adopt=True)
        assert (report.unchanged, report.changed, report.quarantined, report.tasks_created) == (3, 1, 0, 0)
        report = site.run("rows/", on_changed="update")
        assert (report.changed, report.tasks_updated) == (1, 1)
        assert site.tasks().keys() == before.keys()
        assert site.texts() == Counter("0123")

    def test_leaves_tasks_of_the_same_key_in_another_bucket_to_that(self, bucket: Site, rclone: S3Server) -> None:
        first, second = bucket.place, S3Place(rclone, rclone.create_bucket())
        for place, text in ((first, "first"), (second, "second")):
            bucket.place = place
            bucket.put("rows/a.json", rows_of(text))
            bucket.own_storage("rows/")
        for place in (first, second):
            bucket.place = place
            assert counted(bucket.run("rows/", adopt=True)) == (1, 0, 0)
            assert bucket.run("rows/").changed == 0


class TestTakesTheSourcesTasksOnly:
    @pytest.mark.parametrize(
        "how",
        [
            {"prefix": "photos/a/"},
            {"prefix": "photos/", "recursive": False},
            {"prefix": "photos/", "regex_filter": ".*[.]jpg"},
        ],
        ids=["prefix", "recursion", "filter"],
    )
    def test_and_a_later_run_on_the_rest_takes_the_others(self, bucket: Site, how: Json) -> None:
        others = {"photos/a/": "photos/0.jpg", "photos/": "photos/a/1.png"}[how["prefix"]]
        own = "photos/a/0.jpg" if how["prefix"] == "photos/a/" else "photos/0.jpg"
        for key in (own, others):
            bucket.put(key, "a picture")
        bucket.own_storage("photos/", use_blob_urls=True, recursive_scan=True)
        assert counted(bucket.run(adopt=True, **how)) == (1, 0, 0)
        assert counted(bucket.run("photos/", adopt=True)) == (1, 0, 0)

    def test_and_none_of_a_directory_beside_it(self, site: Site) -> None:
        for key in ("photos/0.jpg", "elsewhere/0.jpg"):
            site.put(key, "a picture")
        site.add({"text": site.uri("elsewhere/0.jpg")})
        assert counted(site.run("photos/", adopt=True)) == (0, 0, 1)

    def test_and_no_task_with_a_reference_to_another_place(self, site: Site) -> None:
        for key in ("photos/0.jpg", "elsewhere/0.jpg"):
            site.put(key, "a picture")
        site.run("elsewhere/", use_blob_urls=True)
        (made,) = site.tasks().values()
        site.delete("0.jpg")
        site.add({"text": site.uri("photos/0.jpg")}, meta=made["meta"])
        assert counted(site.run("photos/", adopt=True)) == (0, 0, 1)

    def test_and_no_task_with_the_uri_in_another_key_than_the_data_key(self, site: Site) -> None:
        site.put("photos/0.jpg", "a picture")
        site.add({"text": "compare with", "other": site.uri("photos/0.jpg")})
        assert counted(site.run("photos/", adopt=True)) == (0, 0, 1)

    def test_and_deletes_none_that_holds_more_than_the_uri(self, site: Site) -> None:
        for name in ("0.jpg", "1.jpg"):
            site.put(f"photos/{name}", "a picture")
            site.add({"text": site.uri(f"photos/{name}"), **({"note": "by hand"} if name == "0.jpg" else {})})
        site.put("photos/2.jpg", "a picture")
        site.run("photos/", adopt=True)
        site.place.delete(*(f"{site.top}photos/{name}" for name in ("0.jpg", "1.jpg")))
        report = site.run("photos/", on_missing="delete", max_delete=5)
        assert (report.missing, report.tasks_deleted) == (2, 1)
        assert site.texts() == Counter(["0.jpg", "2.jpg"])


def test_a_dry_run_of_adoption_reports_the_same_and_enters_nothing(site: Site) -> None:
    site.put("rows/a.json", rows_of(*"0123"))
    site.own_storage("rows/")
    site.delete("1")
    assert [counted(site.run("rows/", adopt=True, dry_run=True)) for _ in range(2)] == [(3, 1, 0)] * 2
    assert counted(site.run("rows/", adopt=True)) == (3, 1, 0)


def warnings_of_sync(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was warned of that a press of Sync would do."""
    warnings = (record.getMessage() for record in caplog.records if record.levelname == "WARNING")
    return [warning for warning in warnings if "Sync" in warning]


class TestOwnStorageOnTheSamePlace:
    """Whoever presses Sync on it once more, doubles what is imported from now on."""

    def test_is_warned_of_while_it_can_be_synced(self, either: Site, caplog: pytest.LogCaptureFixture) -> None:
        either.put("photos/0.jpg", "a picture")
        storage = either.own_storage("photos/", use_blob_urls=True)
        either.run("photos/", adopt=True)
        (warning,) = warnings_of_sync(caplog)
        assert re.search(rf"\b{storage.rpartition('/')[2]}\b", warning)

    def test_is_not_warned_of_elsewhere_or_locked(self, site: Site, caplog: pytest.LogCaptureFixture) -> None:
        for key in ("photos/0.jpg", "photos-2/0.jpg"):
            site.put(key, "a picture")
        site.own_storage("photos-2/", use_blob_urls=True)
        locked = site.own_storage("photos/", use_blob_urls=True)
        site.ask("PATCH", locked, json={**site.ask("GET", locked), "synchronizable": False})
        site.run("photos/", adopt=True)
        assert warnings_of_sync(caplog) == []

    @pytest.mark.parametrize("lock", [True, False])
    def test_can_be_locked_by_the_operator(
        self, either: Site, lock: bool, connect: Callable, connect_s3: Callable, connections: Any, rclone: S3Server
    ) -> None:
        connect("label_studio_default", conn_type="label_studio", host=either.server.url, password=either.server.token)
        connect("fs_default", conn_type="fs", extra={"path": str(either.server.document_root)})
        connect_s3(rclone)
        for name in ("0.jpg", "1.jpg"):
            either.put(f"photos/{name}", "a picture")
        storage = either.own_storage("photos/", use_blob_urls=True)
        either.delete("0.jpg")
        operator = ImportStorageSyncOperator(
            task_id="load",
            source=either.place.open(f"{either.top}photos/").uri,
            project=either.project,
            use_blob_urls=True,
            adopt=True,
            register_storage=True,
            allow_static_keys=True,
            lock_own_sync=lock,
        )
        report = operator.execute({})
        assert (report["adopted"], report["not_restored"], report["tasks_created"]) == (1, 1, 0)
        with either.server.client() as client:
            pressed = client.post(f"{storage}/sync")
        assert (pressed.status_code, either.texts()["0.jpg"]) == ((400, 0) if lock else (200, 1))
