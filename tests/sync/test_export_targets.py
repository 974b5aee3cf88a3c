"""Whose a target is: nested exports, other layouts, what stands in it, exports that are forgotten, lost ledgers."""

import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import Any

import pytest
from sqlalchemy import Engine, text

from labelsync_provider.errors import EmptyListing, LabelsyncError, LeaseHeld, StoragesOverlap, TargetOccupied
from labelsync_provider.projects.embedded.project import EmbeddedProject
from labelsync_provider.projects.embedded.store import EmbeddedStore
from labelsync_provider.projects.protocol import Task
from labelsync_provider.storages.local_files import LocalFiles
from labelsync_provider.sync import ExportOptions, ExportReport, export_annotations
from labelsync_provider.sync.ledger.lease import Lease

TASKS = 3


class Exports:
    """Exports of one project to several targets below one document root."""

    def __init__(self, project: EmbeddedProject, folder: Callable[[str], Any], engine: Engine) -> None:
        self.project, self.folder, self.engine = project, folder, engine

    def __call__(self, target: str, **options: Any) -> ExportReport:
        storage = self.folder(target).storage()
        return export_annotations(self.project, storage, self.engine, ExportOptions(**options), "a test")

    def names(self, target: str) -> list[str]:
        return list(self.folder(target).names())

    def sql(self, statement: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement))

    def lose_ledger(self) -> None:
        for table in ("export", "storage", "scope", "watermark"):
            self.sql(f"DELETE FROM labelsync_{table}")

    def targets(self) -> list[tuple[str, str, str]]:
        with self.engine.begin() as connection:
            rows = connection.execute(text("SELECT start, layout, key_template FROM labelsync_storage ORDER BY start"))
            return [tuple(row) for row in rows]

    def delete_annotation(self, number: int) -> None:
        self.sql(f"DELETE FROM labelsync_annotation WHERE id = {number}")


@pytest.fixture
def exports(project: EmbeddedProject, folder: Callable, engine: Engine) -> Exports:
    project.import_tasks([Task({"image": f"{n}.jpg"}, annotations=[{"result": [{"n": n}]}]) for n in range(TASKS)])
    return Exports(project, folder, engine)


def counts(report: ExportReport) -> tuple[int, int, int, int]:
    return report.written, report.unchanged, report.gone, report.deleted


class TestNestedTargets:
    @pytest.mark.parametrize(("first", "second"), [("out", "out/by-task"), ("out/by-task", "out"), ("out/a/b", "out")])
    @pytest.mark.parametrize("options", [{}, {"can_delete_objects": True}, {"layout": "task"}, {"dry_run": True}])
    def test_are_refused_by_name_whichever_came_first(
        self, exports: Exports, first: str, second: str, options: dict[str, Any]
    ) -> None:
        exports(first)
        before = exports.folder("").state()
        with pytest.raises(StoragesOverlap, match=rf"{second}'.* is exported to file:///.*/{first}/\. .*beside it"):
            exports(second, **options)
        assert {key for key in exports.folder("").state() if key.endswith("json")} == {
            key for key in before if key.endswith("json")
        }
        assert [start for start, *_ in exports.targets()] == [f"{first}/"], "the refused one is not remembered"
        assert counts(exports(first, can_delete_objects=True)) == (0, TASKS, 0, 0)

    def test_beside_each_other_are_none(self, exports: Exports) -> None:
        exports("out/a")
        assert counts(exports("out/ab", layout="task")) == (TASKS, 0, 0, 0)
        exports.delete_annotation(1)
        assert counts(exports("out/a", can_delete_objects=True)) == (0, 2, 1, 1)
        assert exports.names("out/ab") == ["1.json", "2.json", "3.json"]

    def test_that_begin_at_once_are_not_both_taken(self, exports: Exports) -> None:
        def outcome(target: str) -> str:
            try:
                exports(target)
            except LabelsyncError as error:
                return type(error).__name__
            return "green"

        with ThreadPoolExecutor(2) as pool:
            outcomes = set(pool.map(outcome, ["out", "out/deep"]))
        assert len(exports.targets()) == 1
        assert outcomes - {"green"} <= {"StoragesOverlap", "TargetOccupied"}
        assert outcomes != {"green"}

    def test_that_are_under_way_are_not_forgotten(self, exports: Exports) -> None:
        exports("out/deep")
        for name in exports.names("out/deep"):
            (exports.folder("out/deep").path / name).unlink()
        with Lease(exports.engine, _resource(exports, "out/deep"), "somebody"), pytest.raises(StoragesOverlap):
            exports("out")
        assert counts(exports("out")) == (TASKS, 0, 0, 0)

    def test_of_the_same_path_below_document_roots_one_in_the_other_are_refused_too(self, exports: Exports) -> None:
        exports("out")
        deeper = LocalFiles(exports.folder("out/out").uri, str(exports.folder("out").path))
        with pytest.raises(StoragesOverlap, match=r"is exported to file:///.*/out/\. "):
            export_annotations(exports.project, deeper, exports.engine, ExportOptions(), "a test")

    def test_through_another_document_root_too(self, exports: Exports) -> None:
        exports("out")
        deeper = LocalFiles(exports.folder("out/deep").uri, str(exports.folder("out").path))
        with pytest.raises(StoragesOverlap, match=r"is exported to file:///.*/out/\. "):
            export_annotations(exports.project, deeper, exports.engine, ExportOptions(), "a test")


class TestForgottenExports:
    @pytest.mark.parametrize(("first", "second"), [("out", "out/by-task"), ("out/by-task", "out")])
    def test_none_of_whose_objects_is_left_are_in_nobodys_way(
        self, exports: Exports, first: str, second: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        exports(first)
        for name in exports.names(first):
            (exports.folder(first).path / name).unlink()
        assert counts(exports(second)) == (TASKS, 0, 0, 0)
        assert f"/{first}/ holds no object of an earlier export any more: it is forgotten." in caplog.text
        assert [start for start, *_ in exports.targets()] == [f"{second}/"]
        assert counts(exports(second)) == (0, TASKS, 0, 0)

    def test_one_object_left_is_in_the_way(self, exports: Exports) -> None:
        exports("out")
        for name in exports.names("out")[1:]:
            (exports.folder("out").path / name).unlink()
        with pytest.raises(StoragesOverlap):
            exports("out/by-task")

    def test_of_another_layout_too(self, exports: Exports, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        exports("out")
        for name in exports.names("out"):
            (exports.folder("out").path / name).unlink()
        assert counts(exports("out", layout="task")) == (TASKS, 0, 0, 0)
        assert "out holds no object of the earlier export any more: it is forgotten." in caplog.text


OTHERS = [{"layout": "task"}, {"key_template": "{task_id}/{annotation_id}.json"}, {"key_template": "x{annotation_id}"}]


class TestAnotherLayoutOrTemplate:
    @pytest.mark.parametrize("other", OTHERS, ids=str)
    @pytest.mark.parametrize("lost", [False, True], ids=["", "ledger lost"])
    def test_is_refused_by_name(self, exports: Exports, other: dict[str, str], lost: bool) -> None:
        exports("out")
        before = exports.folder("out").state()
        if lost:
            exports.lose_ledger()
        for dry_run in (True, False):
            with pytest.raises(
                TargetOccupied, match=r"was exported here .*Nothing was written.*can_delete_objects=True"
            ):
                exports("out", **other, dry_run=dry_run)
        assert exports.folder("out").state() == before
        assert counts(exports("out")) == (0, TASKS, 0, 0)

    @pytest.mark.parametrize("other", OTHERS, ids=str)
    @pytest.mark.parametrize("lost", [False, True], ids=["", "ledger lost"])
    def test_comes_in_its_place_where_objects_may_be_deleted(
        self, exports: Exports, other: dict[str, str], lost: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        exports("out")
        if lost:
            exports.lose_ledger()
        predicted = exports("out", **other, can_delete_objects=True, dry_run=True)
        report = exports("out", **other, can_delete_objects=True)
        assert counts(report) == counts(predicted) == (TASKS, 0, TASKS, TASKS)
        assert "is deleted first" in caplog.text
        assert counts(exports("out", **other)) == (0, TASKS, 0, 0)
        assert len(exports.names("out")) == TASKS

    def test_of_more_than_a_thousand_tasks(self, exports: Exports) -> None:
        exports.project.import_tasks([Task({"n": n}, annotations=[{"result": []}]) for n in range(1500)])
        exports("out")
        report = exports("out", layout="task", key_template="t-{task_id}", can_delete_objects=True)
        assert counts(report) == (1503, 0, 1503, 1503)
        assert counts(exports("out", layout="task", key_template="t-{task_id}")) == (0, 1503, 0, 0)

    def test_deletes_nothing_where_nothing_would_come(self, exports: Exports) -> None:
        exports("out")
        exports.sql("DELETE FROM labelsync_annotation")
        with pytest.raises(EmptyListing, match="no annotation"):
            exports("out", layout="task", can_delete_objects=True)
        assert len(exports.names("out")) == TASKS

    def test_deletes_nothing_where_something_foreign_stands(self, exports: Exports) -> None:
        exports("out")
        exports.folder("out").put("mine.txt", "mine")
        with pytest.raises(TargetOccupied, match=r"mine\.txt"):
            exports("out", layout="task", can_delete_objects=True)
        assert len(exports.names("out")) == TASKS + 1

    def test_that_is_refused_is_not_remembered(self, exports: Exports) -> None:
        exports("out")
        with pytest.raises(TargetOccupied):
            exports("out", layout="task")
        assert exports.targets() == [("out/", "annotation", "{annotation_id}.json")]

    def test_of_which_a_file_has_strayed_here_is_named_and_costs_no_other_file(self, exports: Exports) -> None:
        exports("out")
        exports("beside", layout="task", key_template="task-{task_id}")
        stray = (exports.folder("beside").path / "task-1").read_bytes()
        exports.folder("out").put("task-1", stray)
        with pytest.raises(TargetOccupied, match=r"layout='task', key_template='task-\{task_id\}', such as out/task-1"):
            exports("out")
        (exports.folder("out").path / "task-1").unlink()
        assert counts(exports("out")) == (0, TASKS, 0, 0)
        exports.folder("out").put("task-1", stray)
        assert counts(exports("out", can_delete_objects=True)) == (0, TASKS, 1, 1)

    def test_is_still_named_after_a_run_of_its_own_that_was_refused(self, exports: Exports) -> None:
        exports("out")
        exports("beside", layout="task")
        exports.folder("out").put("1.json", (exports.folder("beside").path / "1.json").read_bytes())
        exports.sql("DELETE FROM labelsync_annotation")
        with pytest.raises(EmptyListing):
            exports("out", layout="task", can_delete_objects=True)
        with pytest.raises(TargetOccupied, match=r"layout='task', .* such as out/1\.json"):
            exports("out")


class TestWhatStandsThere:
    def test_of_a_run_that_was_refused_is_nobodys(self, exports: Exports) -> None:
        exports("out/deep")
        exports.lose_ledger()
        exports.folder("out/deep").put("zz.txt", "mine")
        with pytest.raises(TargetOccupied, match=r"zz\.txt"):
            exports("out/deep")
        (exports.folder("out/deep").path / "zz.txt").unlink()
        with pytest.raises(TargetOccupied, match=r"deep/1\.json: it is a copy of 1\.json"):
            exports("out", can_delete_objects=True)
        assert len(exports.names("out/deep")) == TASKS

    def test_at_another_endpoint_is_another_export(self, exports: Exports) -> None:
        roots = [exports.folder(name) for name in ("one", "two")]
        one, other = (LocalFiles(f"{root.uri}/out", str(root.path)) for root in roots)
        for storage, written in ((one, TASKS), (other, TASKS), (one, 0), (other, 0)):
            report = export_annotations(exports.project, storage, exports.engine, ExportOptions(), "a test")
            assert counts(report) == (written, TASKS - written, 0, 0)
        assert exports.names("two/out") == ["1.json", "2.json", "3.json"]

    def test_a_copy_under_another_name_is_foreign(self, exports: Exports) -> None:
        exports("out")
        folder = exports.folder("out")
        folder.put("1 (copy).json", (folder.path / "1.json").read_bytes())
        with pytest.raises(TargetOccupied, match=r"1 \(copy\)\.json: it is a copy of 1\.json"):
            exports("out")

    def test_a_copy_of_an_older_state_is_foreign_too(self, exports: Exports) -> None:
        exports("out")
        older = (exports.folder("out").path / "1.json").read_bytes()
        exports.sql("UPDATE labelsync_annotation SET result = '[]'")
        exports("out")
        exports.folder("out").put("4.json", older)
        with pytest.raises(TargetOccupied, match=r"4\.json: it is a copy of 1\.json"):
            exports("out")

    @pytest.mark.parametrize("change", [{"created_at": "2020-01-01T00:00:00.000000Z"}, {"id": 2}], ids=str)
    def test_an_own_file_altered_in_the_ledgers_absence_is_looked_at(
        self, exports: Exports, change: dict[str, Any]
    ) -> None:
        exports("out")
        exports.folder("out").put("1.json", exports.folder("out").json("1.json") | change)
        exports.lose_ledger()
        if "id" in change:
            with pytest.raises(TargetOccupied, match=r"it is a copy of 2\.json"):
                exports("out")
        else:
            assert counts(exports("out")) == (1, 2, 0, 0)

    def test_another_project_of_the_same_name_is_foreign(self, exports: Exports) -> None:
        exports("out")
        exports.lose_ledger()
        exports.sql("UPDATE labelsync_project SET created_at = '2020-01-01T00:00:00.000000Z'")
        exports.project = EmbeddedStore(exports.engine).project(exports.project.id)
        with pytest.raises(TargetOccupied, match="another project of this name, created at 20"):
            exports("out")

    def test_a_note_of_something_else_is_foreign(self, exports: Exports) -> None:
        for n, note in enumerate(
            [1, [], {}, {"project": exports.project.uri}, {"project": 1, "layout": "coco"}, {"project": {}}]
        ):
            exports.folder("out").put(f"{n}.json", {"labelsync": note, "id": 1, "project": 1})
        with pytest.raises(TargetOccupied) as caught:
            exports("out")
        assert str(caught.value).count("it is no file of this exporter") == 5

    def test_a_large_foreign_object_is_not_read_whole(self, exports: Exports, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = exports.folder("out")
        folder.put("1.json", b'{"id": 1, "project": 1, "x": "' + b"x" * 10_000_000 + b'"}')
        storage = folder.storage()
        monkeypatch.setattr(storage, "read", lambda *_, **__: pytest.fail("it is read whole"))
        with pytest.raises(TargetOccupied, match=r"1\.json: it is no file of this exporter"):
            export_annotations(exports.project, storage, exports.engine, ExportOptions(), "a test")

    def test_a_large_own_file_is_recognised_by_its_start(self, exports: Exports) -> None:
        exports.project.import_tasks([Task({"x": "x" * 200_000}, annotations=[{"result": []}])])
        exports("out")
        exports.lose_ledger()
        assert counts(exports("out")) == (0, TASKS + 1, 0, 0)


class TestLostLedger:
    @pytest.mark.parametrize("layout", ["annotation", "task"])
    def test_recognises_the_file_of_an_annotation_that_is_gone(self, exports: Exports, layout: str) -> None:
        exports("out", layout=layout)
        exports.lose_ledger()
        exports.delete_annotation(2)
        assert counts(exports("out", layout=layout)) == (0, 2, 1, 0)
        assert counts(exports("out", layout=layout, can_delete_objects=True)) == (0, 2, 1, 1)
        assert exports.names("out") == ["1.json", "3.json"]

    def test_recognises_the_file_of_a_task_that_is_gone(self, exports: Exports) -> None:
        exports("out")
        exports.lose_ledger()
        exports.delete_annotation(2)
        exports.sql("DELETE FROM labelsync_task WHERE id = 2")
        assert counts(exports("out")) == (0, 2, 1, 0)


class TestLeases:
    def test_exports_to_different_targets_do_not_exclude_each_other(self, exports: Exports) -> None:
        with Lease(exports.engine, _resource(exports, "a"), "somebody"):
            assert counts(exports("b")) == (TASKS, 0, 0, 0)

    def test_a_second_one_to_a_target_waits(self, exports: Exports) -> None:
        somebody = Lease(exports.engine, _resource(exports, "a"), "somebody")
        with somebody, pytest.raises(LeaseHeld, match="somebody is at it"):
            exports("a", wait_for_lease=0.2)
        with ThreadPoolExecutor(2) as pool:
            reports = list(pool.map(exports, repeat("a", 2)))
        assert sorted(report.written for report in reports) == [0, TASKS]


def _resource(exports: Exports, target: str) -> str:
    location = exports.folder(target).storage().location
    return f"export to {location.container}/{location.start}"


def test_full_is_the_same_where_everything_is_read_anyway(exports: Exports) -> None:
    exports("out")
    exports.sql("""UPDATE labelsync_task SET data = '{"image": "new"}' WHERE id = 1""")
    assert counts(exports("out", full=True)) == (1, 2, 0, 0)


def test_a_report_says_how_much_there_is(exports: Exports) -> None:
    exports.project.import_tasks([Task({"image": "bare.jpg"})])
    report = exports("out")
    assert (report.tasks, report.annotated_tasks, report.annotations, report.annotations_told) == (4, 3, 3, 3)
    assert json.loads(json.dumps(report.as_dict()))["annotated_tasks"] == 3


def test_what_goes_while_a_run_goes_on_is_not_counted_as_unchanged(exports: Exports, monkeypatch: Any) -> None:
    exports("out")
    exports.sql("UPDATE labelsync_annotation SET result = '[]'")
    write = LocalFiles.write

    def write_and_delete(storage: LocalFiles, key: str, content: bytes, *, create: bool = False) -> str:
        version = write(storage, key, content, create=create)
        exports.sql("DELETE FROM labelsync_annotation WHERE id = 3")
        return version

    monkeypatch.setattr(LocalFiles, "write", write_and_delete)
    report = exports("out", max_in_flight=1)
    assert (report.unchanged, report.annotations) == (0, 3)
    monkeypatch.undo()
    assert counts(exports("out")) == (0, 2, 1, 0)
