"""The switch-over: a project that Label Studio's own sync has filled, and people have worked in, is adopted.

One story is told with each kind of server and storage, and looked at from all sides.
"""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from sites import Json, Site, Tasks, content, named, rows_of, short

from labelsync_provider.sync import ImportReport

pytest_plugins = ["servers.label_studio", "servers.s3", "sites"]

SIZE = int(os.environ.get("LABELSYNC_SWITCH_OVER", "30"))
"""Blobs, and as many rows: `make soak` takes 300, and each story then a minute and a half."""
STORIES = [("label_studio", "bucket")]
if "LABELSYNC_SWITCH_OVER" in os.environ:
    STORIES += [("label_studio", "files"), ("label_studio_postgres", "bucket"), ("label_studio_postgres", "files")]

RESULT = [{"from_name": "choice", "to_name": "text", "type": "choices", "value": {"choices": ["good"]}}]
WORK = {"annotations": [{"result": RESULT}], "predictions": [{"result": RESULT, "score": 0.5}]}


@dataclass
class Filled:
    """What stands in the place, and what people have done to the tasks of it."""

    photos: list[str]
    files: dict[str, list[Json]]
    deleted_photos: list[str]
    deleted_rows: list[str]
    not_restored_rows: set[tuple[str, int]]
    """The rows that are taken for those deleted: of equal ones, the last."""
    edited: dict[str, str]
    annotated: list[str]


def filled(size: int) -> Filled:
    """Decide on a place with so many blobs and rows, and on what people do."""
    photos = [f"{n:04}.jpg" for n in range(size)]
    long = size // 4
    files = {
        "array.json": [{"text": f"array {n}"} for n in range(long)],
        "lines.jsonl": [row for n in range(long) for row in rows_of(f"line {n}", **(WORK if n % 3 == 0 else {}))],
        "equal.json": rows_of("same", "same", "like", "like", "other"),
        "one.json": rows_of("one 0", "one 1", "one 2"),
        "two.jsonl": rows_of("two 0", "two 1", "two 2", "two 3"),
    }
    rest = size - sum(map(len, files.values()))
    # The first is equal to a row of another file.
    files |= {f"single-{n}.json": rows_of(f"single {n}" if n else "array 0") for n in range(rest)}
    middle = range(1, 1 + max(1, size // 30 - 3))
    return Filled(
        photos,
        files,
        deleted_photos=photos[5 : 5 + size // 15],
        deleted_rows=[*(f"array {n}" for n in middle), "line 2", "same", "single 2"],
        not_restored_rows={*(("array.json", n) for n in middle), ("lines.jsonl", 2), ("equal.json", 1)}
        | {("single-2.json", 0)},
        edited={"one 1": "one, by hand", "two 1": "two, by hand", "two 2": "too, by hand"},
        annotated=[photos[0], photos[-1], "array 0", "line 1", "other"],
    )


@dataclass
class Story:
    """What was there at the end of each part, and what the runs have reported."""

    there: Filled
    photos: ImportReport
    rows: ImportReport
    again: list[ImportReport]
    later: list[ImportReport]
    restored: list[ImportReport]
    pressed: list[Json]
    """What Label Studio tells of its own syncs at the end, of photos and of rows."""
    adopted_again: list[ImportReport]
    tasks: dict[str, Tasks]

    def new(self, part: str, before: str) -> Counter[str]:
        """Return the texts of the tasks that a part has brought."""
        brought = self.tasks[part].keys() - self.tasks[before].keys()
        return Counter(short(self.tasks[part][number]["data"]["text"]) for number in brought)

    def kept(self, part: str, before: str) -> bool:
        """Tell whether every task of an earlier part is there as it was."""
        return {number: self.tasks[part].get(number) for number in self.tasks[before]} == self.tasks[before]


@pytest.fixture(scope="module", params=STORIES, ids="-".join)
def story(request: pytest.FixtureRequest, open_site: Callable[..., Site]) -> Story:
    """Fill a project by its own sync, have people work in it, and switch over."""
    server, place = request.param
    site, there = open_site(request.getfixturevalue(server), place), filled(SIZE)
    for name in there.photos:
        site.put(f"photos/{name}", "a picture")
    for name, texts in there.files.items():
        site.put(f"rows/{name}", content(name, texts))
    storages = [site.own_storage("photos/", use_blob_urls=True), site.own_storage("rows/")]

    for number in site.of(*there.annotated):
        site.ask("POST", f"/api/tasks/{number}/annotations/", json={"result": RESULT})
    site.delete(*there.deleted_photos, *there.deleted_rows)
    site.edit(**there.edited)
    tasks = {"own": site.tasks()}

    def told(part: str, **options: Any) -> list[ImportReport]:
        reports = [site.run("photos/", **options), site.run("rows/", **options)]
        tasks[part] = site.tasks()
        return reports

    photos, rows = told("adopted", adopt=True)
    again = told("again")
    site.put("photos/new.jpg", "a new picture")
    site.put("rows/new.json", rows_of("new 0", "new 1"))
    site.put("rows/array.json", [*there.files["array.json"], {"text": "a new row"}])
    later = told("later")
    restored = told("restored", restore_deleted=True)
    pressed = [site.sync(storage) for storage in storages]
    tasks["pressed"] = site.tasks()
    return Story(there, photos, rows, again, later, restored, pressed, told("adopted again", adopt=True), tasks)


class TestSwitchOver:
    def test_adopts_every_blob_and_row(self, story: Story) -> None:
        there, size = story.there, len(story.there.photos)
        assert (story.photos.adopted, story.photos.adopted_sharing) == (size - len(there.deleted_photos), 0)
        assert (story.rows.adopted, story.rows.adopted_sharing) == (size - len(there.deleted_rows), 0)
        assert (story.photos.missing, story.rows.missing) == (0, 0)

    def test_doubles_nothing_and_touches_no_task(self, story: Story) -> None:
        assert (story.photos.tasks_created, story.rows.tasks_created) == (0, 0)
        assert story.tasks["adopted"] == story.tasks["own"]

    def test_names_what_a_person_deleted_and_does_not_restore_it(self, story: Story) -> None:
        there, photos, rows = story.there, story.photos, story.rows
        assert (photos.not_restored, rows.not_restored) == (len(there.deleted_photos), len(there.deleted_rows))
        assert named(story.photos.not_restored_rows) == {(name, None) for name in there.deleted_photos[:20]}
        assert named(story.rows.not_restored_rows) == there.not_restored_rows

    def test_pairs_the_one_edited_task_of_a_file_as_changed(self, story: Story) -> None:
        assert (story.photos.changed, story.rows.changed) == (0, 1)

    def test_names_the_rows_that_may_be_either_of_two_edited_tasks(self, story: Story) -> None:
        assert (story.photos.quarantined, story.rows.quarantined) == (0, 2)
        assert named(story.rows.quarantine) == {("two.jsonl", 1), ("two.jsonl", 2)}

    def test_has_nothing_left_to_do_afterwards(self, story: Story) -> None:
        assert [(report.new, report.tasks_created, report.adopted) for report in story.again] == [(0, 0, 0)] * 2
        assert story.tasks["again"] == story.tasks["own"]

    def test_takes_from_then_on_what_is_new_and_nothing_else(self, story: Story) -> None:
        assert [report.tasks_created for report in story.later] == [1, 3]
        assert story.new("later", "again") == Counter(["new.jpg", "new 0", "new 1", "a new row"])
        assert story.kept("later", "own")

    def test_restores_exactly_what_was_deleted_when_asked(self, story: Story) -> None:
        assert story.new("restored", "later") == Counter([*story.there.deleted_photos, *story.there.deleted_rows])
        assert story.kept("restored", "later")

    def test_cannot_keep_a_press_of_sync_from_doubling_what_it_has_no_link_to(self, story: Story) -> None:
        brought = [*story.there.deleted_photos, "new.jpg", "single 2", "new 0", "new 1"]
        assert story.new("pressed", "restored") == Counter(brought)
        assert sum(own["last_sync_count"] for own in story.pressed) == len(brought)

    def test_counts_what_was_doubled_so_and_leaves_it_alone(self, story: Story) -> None:
        photos, rows = story.adopted_again
        assert photos.adopted_sharing == len(story.there.deleted_photos) + 1
        assert (photos.tasks_created, photos.tasks_deleted, rows.tasks_created, rows.tasks_deleted) == (0, 0, 0, 0)
        assert story.tasks["adopted again"] == story.tasks["pressed"]
