"""What an export does: files, keys, what it finds in a target, what it leaves alone."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import pytest
from importing import some
from sqlalchemy import Engine, text

from labelsync_provider.errors import Denied, EmptyListing, Invalid, StoragesOverlap, TargetOccupied, UploadsFailed
from labelsync_provider.projects.embedded.project import EmbeddedProject
from labelsync_provider.projects.embedded.store import EmbeddedStore
from labelsync_provider.projects.protocol import Json, Task
from labelsync_provider.storages.local_files import LocalFiles
from labelsync_provider.sync import ExportOptions, ExportReport, ImportOptions, export_annotations, import_storage

RESULT = [{"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": ["Cät"]}}]
ANN = {"id": 7, "email": "ann@example.com", "first_name": "Ann", "last_name": "Lee"}

# What Label Studio's own target storages write, observed on 1.23.2.
ANNOTATION_FIELDS = {
    "id",
    "result",
    "created_username",
    "completed_by",
    "task",
    "was_cancelled",
    "ground_truth",
    "created_at",
    "updated_at",
    "draft_created_at",
    "lead_time",
    "import_id",
    "last_action",
    "bulk_created",
    "project",
    "updated_by",
    "parent_prediction",
    "parent_annotation",
    "last_created_by",
}
NESTED_TASK_FIELDS = {
    "id",
    "data",
    "meta",
    "created_at",
    "updated_at",
    "is_labeled",
    "allow_skip",
    "overlap",
    "inner_id",
    "total_annotations",
    "cancelled_annotations",
    "total_predictions",
    "precomputed_agreement",
    "comment_count",
    "unresolved_comment_count",
    "last_comment_updated_at",
    "project",
    "updated_by",
    "file_upload",
    "comment_authors",
}
TASK_FIELDS = {
    "id",
    "annotations",
    "drafts",
    "predictions",
    "data",
    "meta",
    "created_at",
    "updated_at",
    "allow_skip",
    "inner_id",
    "total_annotations",
    "cancelled_annotations",
    "total_predictions",
    "comment_count",
    "unresolved_comment_count",
    "last_comment_updated_at",
    "project",
    "updated_by",
    "comment_authors",
}
ANNOTATION_OF_TASK_FIELDS = {
    "id",
    "completed_by",
    "result",
    "was_cancelled",
    "ground_truth",
    "created_at",
    "updated_at",
    "draft_created_at",
    "lead_time",
    "unique_id",
    "import_id",
    "last_action",
    "bulk_created",
    "task",
    "project",
    "updated_by",
    "parent_prediction",
    "parent_annotation",
    "last_created_by",
}


class Exporting:
    """Exports of one project to one target."""

    def __init__(self, project: EmbeddedProject, target: Any, engine: Engine) -> None:
        self.project, self.target, self.engine = project, target, engine

    def __call__(self, *, storage: LocalFiles | None = None, **options: Any) -> ExportReport:
        target = storage or self.target.storage()
        return export_annotations(self.project, target, self.engine, ExportOptions(**options), "a test")

    def sql(self, statement: str) -> None:
        """Do as an annotator would, whose tool is not here."""
        with self.engine.begin() as connection:
            connection.execute(text(statement))

    def files(self) -> dict[str, tuple[bytes, int]]:
        return {key: ((p := self.target.path / key).read_bytes(), p.stat().st_mtime_ns) for key in self.target.names()}


def annotated(name: str, *annotations: dict, **fields: Any) -> Task:
    return Task({"image": name}, annotations=list(annotations) or [{"result": RESULT}], **fields)


@pytest.fixture
def run(project: EmbeddedProject, target: Any, engine: Engine) -> Exporting:
    """Task 1 with annotations 1 and 2, the latter cancelled; task 2 with none; task 3 with annotation 3."""
    project.import_tasks(
        [
            annotated("1.jpg", {"result": RESULT, "completed_by": ANN}, {"result": [], "was_cancelled": True}),
            Task({"image": "2.jpg"}),
            annotated("3.jpg", predictions=[{"result": RESULT, "score": 0.5}], meta={"page": 3}),
        ]
    )
    return Exporting(project, target, engine)


class TestLayoutAnnotation:
    def test_writes_one_object_for_each_annotation(self, run: Exporting) -> None:
        report = run()
        assert some(report) == {"annotations": 3, "written": 3}
        assert run.target.names() == ["1.json", "2.json", "3.json"]
        assert report.bytes_written == sum(len(content) for content, _ in run.files().values())

    def test_writes_label_studios_fields(self, run: Exporting) -> None:
        run()
        written = run.target.json("1.json")
        assert written.keys() >= ANNOTATION_FIELDS
        assert written["task"].keys() == NESTED_TASK_FIELDS

    @pytest.mark.parametrize("field", ["created_ago", "annotations"])
    def test_leaves_out_what_would_change_by_itself(self, run: Exporting, field: str) -> None:
        run()
        written = run.target.json("1.json")
        assert field not in written
        assert field not in written["task"]

    def test_writes_the_annotation_with_its_task(self, run: Exporting) -> None:
        run()
        written = run.target.json("3.json")
        assert (written["id"], written["project"], written["result"]) == (3, run.project.id, RESULT)
        assert (written["task"]["id"], written["task"]["data"]) == (3, {"image": "3.jpg"})
        assert written["task"]["meta"] == {"page": 3}
        assert (written["task"]["total_annotations"], written["task"]["total_predictions"]) == (1, 1)

    @pytest.mark.parametrize(
        ("completed_by", "username"),
        [
            (ANN, "Ann Lee ann@example.com, 7"),
            ({"id": 7, "email": "ann@example.com", "first_name": "", "last_name": ""}, "ann@example.com, 7"),
            ({"email": "ann@example.com"}, "ann@example.com"),
        ],
    )
    def test_names_the_annotator_as_label_studio_does(self, run: Exporting, completed_by: dict, username: str) -> None:
        run.project.import_tasks([annotated("4.jpg", {"result": [], "completed_by": completed_by})])
        run()
        assert run.target.json("4.json")["created_username"].startswith(username)
        assert "None" not in run.target.json("4.json")["created_username"]


class TestLayoutTask:
    def test_writes_one_object_for_each_annotated_task(self, run: Exporting) -> None:
        assert some(run(layout="task")) == {"annotations": 3, "written": 2}
        assert run.target.names() == ["1.json", "3.json"]

    def test_writes_label_studios_fields(self, run: Exporting) -> None:
        run(layout="task")
        written = run.target.json("1.json")
        assert written.keys() >= TASK_FIELDS
        assert written["annotations"][0].keys() >= ANNOTATION_OF_TASK_FIELDS

    def test_writes_annotations_and_predictions_in_full(self, run: Exporting) -> None:
        run(layout="task")
        assert [item["completed_by"] for item in run.target.json("1.json")["annotations"]] == [ANN, None]
        assert [item["score"] for item in run.target.json("3.json")["predictions"]] == [0.5]

    def test_can_be_imported_again_by_another_project(
        self, run: Exporting, store: EmbeddedStore, engine: Engine
    ) -> None:
        run(layout="task")
        other = store.create_project("Again", "<View/>")
        assert import_storage(run.target.storage(), other, engine, ImportOptions(), "a test").tasks_created == 2
        assert other.progress().annotations == 3


class TestBytes:
    @pytest.mark.parametrize("layout", ["annotation", "task"])
    def test_are_the_same_from_run_to_run(self, run: Exporting, folder: Callable, layout: str) -> None:
        run(layout=layout)
        again = Exporting(run.project, folder("out-2"), run.engine)
        again(layout=layout)
        assert {key: content for key, (content, _) in run.files().items()} == {
            key: content for key, (content, _) in again.files().items()
        }

    @pytest.mark.parametrize("layout", ["annotation", "task"])
    def test_are_not_written_a_second_time(self, run: Exporting, layout: str) -> None:
        files = run(layout=layout).written
        before = run.files()
        report = run(layout=layout)
        assert some(report) == {"annotations": 3, "unchanged": files}
        assert report.bytes_written == 0
        assert run.files() == before

    def test_are_plain_json_in_utf8(self, run: Exporting) -> None:
        run()
        assert "Cät".encode() in (run.target.path / "1.json").read_bytes()


class TestChanges:
    def test_changed_annotation_is_written_again_and_no_other(self, run: Exporting) -> None:
        run()
        before = run.files()
        run.sql(
            "UPDATE labelsync_annotation SET result = '[]', updated_at = '2030-01-01T00:00:00.000000Z' WHERE id = 3"
        )
        assert some(run()) == {"annotations": 3, "written": 1, "unchanged": 2}
        assert run.target.json("3.json")["result"] == []
        assert {key: run.files()[key] for key in ("1.json", "2.json")} == {
            key: before[key] for key in ("1.json", "2.json")
        }

    def test_new_annotation_is_written_and_no_other(self, run: Exporting) -> None:
        run()
        run.project.import_tasks([annotated("4.jpg")])
        assert some(run()) == {"annotations": 4, "written": 1, "unchanged": 3}

    def test_deleted_annotation_is_reported_as_gone_as_long_as_it_lasts(self, run: Exporting) -> None:
        run()
        run.sql("DELETE FROM labelsync_annotation WHERE id = 3")
        for _ in range(2):
            assert some(run()) == {"annotations": 2, "unchanged": 2, "gone": 1}
        assert run.target.names() == ["1.json", "2.json", "3.json"]

    def test_deleted_annotations_object_is_deleted_when_asked(self, run: Exporting) -> None:
        run()
        run.sql("DELETE FROM labelsync_annotation WHERE id = 3")
        assert some(run(can_delete_objects=True)) == {"annotations": 2, "unchanged": 2, "gone": 1, "deleted": 1}
        assert run.target.names() == ["1.json", "2.json"]
        assert some(run(can_delete_objects=True)) == {"annotations": 2, "unchanged": 2}

    def test_deleted_tasks_object_is_gone(self, run: Exporting) -> None:
        run(layout="task")
        run.sql("DELETE FROM labelsync_annotation WHERE task = 3")
        run.sql("DELETE FROM labelsync_prediction WHERE task = 3")
        run.sql("DELETE FROM labelsync_task WHERE id = 3")
        report = run(layout="task", can_delete_objects=True)
        assert some(report) == {"annotations": 2, "unchanged": 1, "gone": 1, "deleted": 1}
        assert run.target.names() == ["1.json"]

    def test_annotation_that_moves_while_tasks_are_read_is_written_again(
        self, run: Exporting, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def moving(task_ids: Sequence[int]) -> Iterator[list[Json]]:
            for page in read(task_ids):
                yield page
                run.sql("UPDATE labelsync_annotation SET task = 3 WHERE id = 1")

        run()
        (run.target.path / "1.json").unlink()
        read = run.project.annotated_tasks
        monkeypatch.setattr("labelsync_provider.projects.embedded.project.IDS_IN_A_STATEMENT", 1)
        monkeypatch.setattr(run.project, "annotated_tasks", moving)
        assert some(run()) == {"annotations": 3, "written": 3, "unchanged": 1}
        assert run.target.json("1.json")["task"]["id"] == 3

    @pytest.mark.parametrize(("moved", "to"), [(1, 3), (3, 1)])
    @pytest.mark.parametrize("template", [None, "{task_id}/{annotation_id}.json"])
    def test_annotation_that_was_moved_to_another_task_is_written_again(
        self, run: Exporting, moved: int, to: int, template: str | None
    ) -> None:
        """Label Studio's action on duplicated tasks moves them, and deletes the task that they were of."""
        run(key_template=template)
        run.sql("DELETE FROM labelsync_annotation WHERE id = 2")
        run.sql(f"UPDATE labelsync_annotation SET task = {to} WHERE id = {moved}")
        run.sql(f"DELETE FROM labelsync_prediction WHERE task = {moved}")
        run.sql(f"DELETE FROM labelsync_task WHERE id = {moved}")
        report = run(key_template=template, can_delete_objects=True)
        assert (report.annotations, report.written, report.unchanged, report.failed) == (2, 2, 0, 0)
        assert len(run.target.names()) == 2
        key = f"{moved}.json" if template is None else f"{to}/{moved}.json"
        assert run.target.json(key)["task"]["id"] == to
        assert some(run(key_template=template)) == {"annotations": 2, "unchanged": 2}

    def test_one_of_two_annotations_deleted_leaves_the_tasks_file(self, run: Exporting) -> None:
        run(layout="task")
        run.sql("DELETE FROM labelsync_annotation WHERE id = 1")
        assert some(run(layout="task", can_delete_objects=True)) == {"annotations": 2, "written": 1, "unchanged": 1}
        assert [item["id"] for item in run.target.json("1.json")["annotations"]] == [2]

    def test_last_annotation_deleted_deletes_nothing(self, run: Exporting) -> None:
        run()
        run.sql("DELETE FROM labelsync_annotation")
        assert some(run()) == {"gone": 3}
        with pytest.raises(EmptyListing, match=r"no annotation.*Nothing was deleted"):
            run(can_delete_objects=True)
        assert run.target.names() == ["1.json", "2.json", "3.json"]

    def test_more_than_a_page_of_tasks_stays_in_step(self, run: Exporting) -> None:
        run.project.import_tasks([annotated(f"{n}.jpg") for n in range(1500)])
        assert some(run()) == {"annotations": 1503, "written": 1503}
        run.sql("DELETE FROM labelsync_annotation WHERE id IN (3, 500, 1400, 1503)")
        report = run(can_delete_objects=True)
        assert some(report) == {"annotations": 1499, "unchanged": 1499, "gone": 4, "deleted": 4}
        assert len(run.target.names()) == 1499


class TestCancelled:
    def test_is_exported_by_default(self, run: Exporting) -> None:
        run()
        assert run.target.json("2.json")["was_cancelled"] is True

    def test_is_left_out_when_asked(self, run: Exporting) -> None:
        assert some(run(include_cancelled=False)) == {"annotations": 2, "written": 2}
        assert run.target.names() == ["1.json", "3.json"]

    def test_is_left_out_of_its_tasks_file(self, run: Exporting) -> None:
        assert some(run(include_cancelled=False, layout="task")) == {"annotations": 2, "written": 2}
        assert [item["id"] for item in run.target.json("1.json")["annotations"]] == [1]

    def test_annotation_alone_makes_no_tasks_file(self, run: Exporting) -> None:
        run.project.import_tasks([annotated("4.jpg", {"result": [], "was_cancelled": True})])
        run(include_cancelled=False, layout="task")
        assert run.target.names() == ["1.json", "3.json"]

    def test_is_gone_once_it_is_left_out(self, run: Exporting) -> None:
        run()
        assert some(run(include_cancelled=False)) == {"annotations": 2, "unchanged": 2, "gone": 1}


class TestOccupiedTarget:
    FOREIGN: ClassVar[dict[str, Any]] = {
        "notes.txt": b"my notes",
        "data.json": {"text": "not an annotation"},
        "list.json": [1, 2],
        "number.json": 5,
        "1.json": {"id": 1, "project": 1, "task": {"id": 1}, "created_at": "2020-01-01T00:00:00.000000Z"},
        "sub/deep.bin": b"\xff\x00",
        "empty": b"",
        "deep.json": b"[" * 100_000,
        "huge.json": {"id": 10**30, "project": 1, "created_at": "x"},
        "negative.json": {"id": -1, "project": 1, "created_at": "x"},
        "text.json": {"id": "one", "project": 1, "created_at": "x"},
        "null.json": {"id": None, "project": 1, "task": None, "created_at": None},
    }

    @pytest.mark.parametrize("key", FOREIGN)
    def test_stops_the_run_before_its_first_write_by_name(self, run: Exporting, key: str) -> None:
        run.target.put(key, self.FOREIGN[key])
        with pytest.raises(TargetOccupied) as caught:
            run()
        assert f"{key}: " in str(caught.value)
        assert "Nothing was written. Move them away, or choose a target of its own" in str(caught.value)
        assert run.target.names() == [key]

    def test_by_something_large_stops_the_run_and_is_not_read(self, run: Exporting) -> None:
        run.target.put("large.json", b"{")
        os.truncate(run.target.path / "large.json", 600_000_000)
        with pytest.raises(TargetOccupied, match=r"large\.json: it is no file of this exporter"):
            run()

    def test_stops_a_later_run_too(self, run: Exporting) -> None:
        run()
        run.project.import_tasks([annotated("4.jpg")])
        run.target.put("notes.txt", "mine")
        with pytest.raises(TargetOccupied, match=r"notes\.txt"):
            run()
        assert "4.json" not in run.target.names()

    def test_by_something_unreadable_in_the_place_of_an_export_stops_the_run(
        self, run: Exporting, tmp_path: Any
    ) -> None:
        run()
        exported = run.target.path / "1.json"
        exported.unlink()
        exported.symlink_to(tmp_path.parent / "elsewhere")
        with pytest.raises(TargetOccupied, match=r"1\.json: it is a symbolic link"):
            run()
        assert exported.is_symlink()

    def test_by_another_projects_export_stops_the_run(self, run: Exporting, store: EmbeddedStore) -> None:
        run()
        other = store.create_project("Cars", "<View/>")
        other.import_tasks([annotated("1.jpg")])
        before = run.files()
        with pytest.raises(TargetOccupied, match=r"1\.json: it belongs to embedded://projects/1"):
            Exporting(other, run.target, run.engine)()
        assert run.files() == before

    def test_by_a_link_that_leaves_the_document_root_stops_the_run(self, run: Exporting, tmp_path: Any) -> None:
        (run.target.path / "1.json").symlink_to("/etc/hostname")
        with pytest.raises(TargetOccupied, match=r"1\.json: it is a symbolic link that leaves"):
            run()

    def test_names_a_few_of_many(self, run: Exporting) -> None:
        for n in range(50):
            run.target.put(f"{n:02}.txt", "mine")
        with pytest.raises(TargetOccupied, match=r"00\.txt.*04\.txt.* \.\.\.") as caught:
            run()
        assert "05.txt" not in str(caught.value)

    def test_by_a_file_beside_the_target_does_not_stop_the_run(self, run: Exporting, folder: Callable) -> None:
        folder("out-2").put("notes.txt", "mine")
        assert run().written == 3


class TestTargetThatChanged:
    def test_file_taken_away_is_written_again(self, run: Exporting, caplog: pytest.LogCaptureFixture) -> None:
        run()
        (run.target.path / "2.json").unlink()
        run(dry_run=True)
        assert "objects written earlier are gone, 1 such as out/2.json. They would be written again." in caplog.text
        assert some(run()) == {"annotations": 3, "written": 1, "unchanged": 2}
        assert "objects written earlier are gone, 1 such as out/2.json. They are written again." in caplog.text

    def test_file_altered_is_written_again(self, run: Exporting) -> None:
        run()
        before = run.files()["2.json"][0]
        altered = run.target.json("2.json") | {"result": ["altered"]}
        run.target.put("2.json", altered)
        assert some(run()) == {"annotations": 3, "written": 1, "unchanged": 2}
        assert run.files()["2.json"][0] == before

    def test_file_altered_is_named(self, run: Exporting, caplog: pytest.LogCaptureFixture) -> None:
        run()
        run.target.put("2.json", run.target.json("2.json") | {"result": ["altered"]})
        run(dry_run=True)
        assert "changed by somebody else, 1 such as out/2.json" in caplog.text

    def test_file_replaced_by_something_else_stops_the_run(self, run: Exporting) -> None:
        run()
        run.target.put("2.json", "mine")
        with pytest.raises(TargetOccupied, match=r"2\.json"):
            run()
        assert (run.target.path / "2.json").read_text() == "mine"

    def test_file_only_touched_is_unchanged(self, run: Exporting) -> None:
        run()
        os.utime(run.target.path / "2.json")
        before = run.files()
        assert some(run()) == {"annotations": 3, "unchanged": 3}
        assert run.files() == before

    @pytest.mark.parametrize("layout", ["annotation", "task"])
    def test_lost_ledger_recognises_its_own_files(self, run: Exporting, layout: str) -> None:
        files = run(layout=layout).written
        before = run.files()
        for table in ("export", "storage", "scope"):
            run.sql(f"DELETE FROM labelsync_{table}")
        assert some(run(layout=layout)) == {"annotations": 3, "unchanged": files}
        assert run.files() == before

    def test_lost_ledger_finds_an_object_of_an_annotation_that_changed(self, run: Exporting) -> None:
        run()
        run.sql("DELETE FROM labelsync_export")
        run.sql("UPDATE labelsync_annotation SET result = '[]' WHERE id = 3")
        assert some(run()) == {"annotations": 3, "written": 1, "unchanged": 2}


class TestKeyTemplate:
    @pytest.mark.parametrize(
        ("layout", "template", "keys"),
        [
            ("annotation", "{annotation_id}.json", ["1.json", "2.json", "3.json"]),
            ("annotation", "{annotation_id}", ["1", "2", "3"]),
            ("annotation", "{project_id}/{task_id}-{annotation_id}.json", ["1/1-1.json", "1/1-2.json", "1/3-3.json"]),
            ("annotation", "a b {{x}} {annotation_id}", ["a b {x} 1", "a b {x} 2", "a b {x} 3"]),
            ("task", "{task_id}.json", ["1.json", "3.json"]),
            ("task", "tasks/{task_id}/it", ["tasks/1/it", "tasks/3/it"]),
        ],
    )
    def test_makes_the_keys(self, run: Exporting, layout: str, template: str, keys: list[str]) -> None:
        run(layout=layout, key_template=template)
        assert run.target.names() == keys
        assert some(run(layout=layout, key_template=template)).keys() == {"annotations", "unchanged"}

    @pytest.mark.parametrize(
        ("layout", "template", "message"),
        [
            ("annotation", "", "share a key"),
            ("annotation", "all.json", "share a key"),
            ("annotation", "{task_id}.json", r"without \{annotation_id\} objects would share a key"),
            ("task", "{project_id}.json", r"without \{task_id\}"),
            ("task", "{annotation_id}.json", "unknown field 'annotation_id' for layout 'task'"),
            ("annotation", "{id}.json", "unknown field 'id'"),
            ("annotation", "{}.json", "unknown field ''"),
            ("annotation", "{0}.json", "unknown field '0'"),
            ("annotation", "{annotation_id.real}", "unknown field 'annotation_id.real'"),
            ("annotation", "{annotation_id!r}", "no format"),
            ("annotation", "{annotation_id:>5}", "no format"),
            ("annotation", "{annotation_id", "'}'"),
            ("annotation", "{task_id}{annotation_id}", "could share a key"),
            ("annotation", "{task_id}0{annotation_id}", "could share a key"),
            ("annotation", "{project_id}-{project_id}-{task_id}{annotation_id}", "could share a key"),
            ("annotation", "{task_id}-{task_id}{annotation_id}.json", "could share a key"),
            ("annotation", "../{annotation_id}.json", "leads out of the target"),
            ("annotation", "a/../../{annotation_id}", "leads out of the target"),
            ("annotation", "/etc/{annotation_id}", "leads out of the target"),
            ("annotation", "{annotation_id}/", "leads out of the target"),
            ("annotation", "./{annotation_id}", "leads out of the target"),
            ("annotation", "a//{annotation_id}", "leads out of the target"),
            ("annotation", "{annotation_id}\0", "leads out of the target"),
        ],
    )
    def test_that_cannot_be_is_invalid_and_writes_nothing(
        self, run: Exporting, layout: str, template: str, message: str
    ) -> None:
        with pytest.raises(Invalid, match=f"key_template=.*{message}"):
            run(layout=layout, key_template=template)
        assert run.target.names() == []

    def test_whose_key_is_too_long_fails_the_upload_by_name(self, run: Exporting) -> None:
        with pytest.raises(UploadsFailed, match="too long"):
            run(key_template="x" * 300 + "{annotation_id}")


class TestFailedUploads:
    def test_are_named_and_the_others_written(self, run: Exporting) -> None:
        (run.target.path / "2.json").mkdir()
        with pytest.raises(UploadsFailed, match=r"1 object could not be written .* 2 were.*2\.json: .*directory"):
            run()
        assert run.target.names() == ["1.json", "3.json"]

    def test_are_written_by_the_next_run_and_nothing_else(self, run: Exporting) -> None:
        (run.target.path / "2.json").mkdir()
        with pytest.raises(UploadsFailed):
            run()
        (run.target.path / "2.json").rmdir()
        assert some(run()) == {"annotations": 3, "written": 1, "unchanged": 2}

    def test_delete_nothing(self, run: Exporting) -> None:
        run()
        run.sql("DELETE FROM labelsync_annotation WHERE id = 1")
        run.project.import_tasks([annotated("4.jpg")])
        (run.target.path / "4.json").mkdir()
        with pytest.raises(UploadsFailed):
            run(can_delete_objects=True, batch_size=1, max_in_flight=1)
        assert "1.json" in run.target.names()

    def test_of_all_say_so(self, run: Exporting) -> None:
        run.target.path.rmdir()
        (run.target.root / "out").write_text("a file")
        with pytest.raises(Exception, match=r"out.*(Not a directory|File exists)"):
            run()

    @pytest.mark.parametrize(("batch_size", "asked"), [(1, 20), (15, 30), (1000, 203)])
    def test_of_twenty_end_the_run_whatever_is_written_at_once(
        self, run: Exporting, batch_size: int, asked: int
    ) -> None:
        class Refusing(LocalFiles):
            asked = 0

            def write(self, key: str, content: bytes, *, create: bool = False) -> str:
                self.asked += 1
                raise Denied("no")

        run.project.import_tasks([annotated(f"{n}.jpg") for n in range(200)])
        storage = Refusing(run.target.uri, str(run.target.root))
        with pytest.raises(UploadsFailed, match=r"None of \d+ objects could be written .*; 0 were before"):
            run(storage=storage, max_in_flight=1, batch_size=batch_size)
        assert storage.asked == asked

    def test_to_a_directory_that_may_not_be_written_say_so(
        self, run: Exporting, open_folder: Any, unprivileged: Callable
    ) -> None:
        class Unprivileged(LocalFiles):
            """Writes as a user for whom permission bits bind; root is above them."""

            def write(self, key: str, content: bytes, *, create: bool = False) -> str:
                with unprivileged():
                    return super().write(key, content, create=create)

        open_folder.path.chmod(0o555)
        storage = Unprivileged(open_folder.uri, str(open_folder.root))
        with pytest.raises(UploadsFailed, match=r"3 objects could not .*; 0 were\. .* 1\.json: .*may not be"):
            run(storage=storage, max_in_flight=1)
        assert open_folder.names() == []


class TestDryRun:
    @pytest.fixture(autouse=True)
    def something_of_everything(self, run: Exporting) -> None:
        run.project.import_tasks([annotated(f"{n}.jpg") for n in range(4, 10)])
        run()
        run.sql("UPDATE labelsync_annotation SET result = '[]' WHERE id = 3")
        run.sql("DELETE FROM labelsync_annotation WHERE id = 4")
        (run.target.path / "5.json").unlink()
        os.utime(run.target.path / "6.json")
        run.project.import_tasks([annotated("new.jpg")])

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"can_delete_objects": True},
            {"include_cancelled": False},
            {"can_delete_objects": True, "key_template": "x/{annotation_id}"},
            {"can_delete_objects": True, "layout": "task"},
        ],
        ids=str,
    )
    def test_says_what_the_real_run_then_does_and_writes_nothing(
        self, run: Exporting, options: dict, counts: Callable, database: Any
    ) -> None:
        def state() -> tuple:
            run.engine.dispose()  # what SQLite holds back in its log is in the file then
            return database.read_bytes(), counts(), run.target.state()

        before = state()
        predicted = run(**options, dry_run=True)
        assert state() == before
        real = run(**options)
        assert (real.dry_run, predicted.dry_run) == (False, True)
        unforeseen: dict[str, Any] = {"dry_run": None, "seconds": 0, "requests": {}}
        assert real.as_dict() | unforeseen == predicted.as_dict() | unforeseen
        assert predicted.written
        assert predicted.bytes_written
        assert predicted.gone

    def test_makes_no_directory(self, run: Exporting) -> None:
        storage = LocalFiles(f"{run.target.uri}-2/new", str(run.target.root))
        before = run.target.state()
        assert run(storage=storage, dry_run=True).written == 9
        assert run.target.state() == before

    def test_stops_at_what_is_not_the_exporters(self, run: Exporting) -> None:
        run.target.put("notes.txt", "mine")
        with pytest.raises(TargetOccupied):
            run(dry_run=True)


class TestOverlap:
    @pytest.mark.parametrize(("source", "target"), [("in", "in"), ("in", "in/out"), ("in/sub", "in"), ("", "out")])
    def test_exporting_to_where_tasks_are_imported_from_is_refused(
        self, folder: Callable, project: EmbeddedProject, engine: Engine, source: Any, target: Any
    ) -> None:
        folder(source).put("a.json", {"data": {}, "annotations": [{"result": []}]})
        import_storage(folder(source).storage(), project, engine, ImportOptions(), "a test")
        before = folder("").state()
        with pytest.raises(StoragesOverlap, match=r"target=.*tasks of project 'Pets' are imported.*another target"):
            Exporting(project, folder(target), engine)()
        assert {key for key in folder("").state() if key.endswith("json")} == {
            key for key in before if key.endswith("json")
        }

    def test_dry_run_refuses_it_too(self, folder: Callable, project: EmbeddedProject, engine: Engine) -> None:
        folder("in").put("a.json", {"data": {}, "annotations": [{"result": []}]})
        import_storage(folder("in").storage(), project, engine, ImportOptions(), "a test")
        with pytest.raises(StoragesOverlap):
            Exporting(project, folder("in"), engine)(dry_run=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "coco"}, "layout='coco'.*'annotation', 'task'"),
        ({"batch_size": 0}, "batch_size=0.*from 1"),
        ({"max_in_flight": "4"}, "max_in_flight='4'"),
        # What a template makes of False, unless the DAG renders native objects: a text, which is true.
        ({"can_delete_objects": "False"}, "can_delete_objects='False'"),
        ({"dry_run": "False"}, "dry_run='False'"),
        ({"include_cancelled": "False"}, "include_cancelled='False'"),
    ],
    ids=str,
)
def test_option_that_cannot_be_is_invalid(options: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        ExportOptions(**options)


def test_project_without_annotations_writes_nothing(target: Any, store: EmbeddedStore, engine: Engine) -> None:
    project = store.create_project("Empty", "<View/>")
    project.import_tasks([Task({"image": "1.jpg"})])
    assert some(Exporting(project, target, engine)()) == {}
    assert target.names() == []


def test_report_is_plain_data(run: Exporting) -> None:
    assert json.loads(json.dumps(run().as_dict()))["written"] == 3
