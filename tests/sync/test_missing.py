"""What is missing: counted alike whatever is asked for, and also of objects that the ledger knew nothing of."""

from pathlib import Path
from typing import Any

import pytest
from importing import Importing, some, texts
from model.bucket import Bucket
from model.worlds import EmbeddedWorld
from sqlalchemy import Engine

from labelsync_provider.database import open_database
from labelsync_provider.projects.embedded.project import EmbeddedProject

DELETE: dict[str, Any] = {"on_missing": "delete", "max_delete": 100}


@pytest.fixture
def run(engine: Engine) -> Importing:
    run = Importing(Bucket(), EmbeddedWorld(engine), engine)
    run.put("stays.json", texts("stays"))
    return run


@pytest.mark.parametrize("options", [{}, DELETE], ids=["report", "delete"])
class TestCounts:
    """The same under "report" and "delete"."""

    def test_rows_of_an_object(self, run: Importing, options: dict[str, Any]) -> None:
        run.put("a.json", texts("1", "2"))
        run()
        run.world.annotate(run.task("1"))
        run.source.delete("a.json")
        report = run(**options)
        assert (report.unchanged, report.missing, report.tasks_deleted) == (1, 2, 1 if options else 0)

    def test_rows_of_a_file(self, run: Importing, options: dict[str, Any]) -> None:
        run.put("a.json", texts("1", "2", "3"))
        run()
        run.put("a.json", texts("2"))
        report = run(**options)
        assert (report.unchanged, report.missing, report.tasks_deleted) == (2, 2, 2 if options else 0)

    def test_superseded_tasks_do_not_count_and_go_with_their_object(
        self, run: Importing, options: dict[str, Any]
    ) -> None:
        run.put("a.json", texts("1", "2"))
        run()
        for text in ("one", "eins"):
            run.put("a.json", texts(text, "2"))
            run(on_changed="add")
        assert len(run.tasks()) == 5
        run.source.delete("a.json")
        report = run(**options)
        assert (report.unchanged, report.missing, report.tasks_deleted) == (1, 2, 4 if options else 0)
        assert len(run.tasks()) == (1 if options else 5)

    def test_superseded_task_of_a_row_that_stays_is_none(self, run: Importing, options: dict[str, Any]) -> None:
        run.put("a.json", texts("1", "2"))
        run()
        run.put("a.json", texts("one", "2"))
        run(on_changed="add")
        assert some(run(**options)) == {"unchanged": 3}
        assert len(run.tasks()) == 4

    def test_rows_whose_task_somebody_deleted(self, run: Importing, options: dict[str, Any]) -> None:
        run.put("a.json", texts("1", "2"))
        run()
        run.world.delete(run.task("1"))
        run.source.delete("a.json")
        report = run(**options)
        assert (report.missing, report.tasks_deleted) == (2, 1 if options else 0)


class TestWithoutAnEntry:
    """Objects that have tasks, and that the ledger knew nothing of."""

    def test_of_a_lost_ledger_can_be_missing(self, run: Importing, tmp_path: Path) -> None:
        run.put("a.json", texts("1", "2"))
        run()
        run.source.delete("a.json")
        run.engine = open_database(f"sqlite:///{tmp_path}/new.db")
        report = run()
        assert (report.adopted, report.unchanged, report.missing) == (3, 1, 2)
        assert some(run(**DELETE)) == {"unchanged": 1, "missing": 2, "tasks_deleted": 2}
        assert some(run(**DELETE)) == {"unchanged": 1}
        run.engine.dispose()

    def test_of_a_run_that_broke_off_can_be_missing(self, run: Importing, monkeypatch: pytest.MonkeyPatch) -> None:
        run()
        run.put("a.json", texts("1", "2"))
        arrive = EmbeddedProject.import_tasks

        def arrive_and_break_off(self: EmbeddedProject, tasks: Any) -> Any:
            arrive(self, tasks)
            raise RuntimeError("the run broke off")

        with monkeypatch.context() as patch:
            patch.setattr(EmbeddedProject, "import_tasks", arrive_and_break_off)
            with pytest.raises(RuntimeError):
                run()
        run.source.delete("a.json")
        assert some(run()) == {"unchanged": 1, "missing": 2}
        assert some(run(**DELETE)) == {"unchanged": 1, "missing": 2, "tasks_deleted": 2}
        assert run.texts() == ["stays"]

    def test_that_had_become_garbage_can_be_missing(self, run: Importing, tmp_path: Path) -> None:
        run.put("a.json", texts("1", "2"))
        run()
        run.put("a.json", "garbage")
        run.engine = open_database(f"sqlite:///{tmp_path}/new.db")
        report = run(**DELETE)
        assert (report.adopted, report.missing, report.quarantined) == (3, 0, 1)
        run.source.delete("a.json")
        assert some(run(**DELETE)) == {"unchanged": 1, "missing": 2, "tasks_deleted": 2}
        run.engine.dispose()


@pytest.mark.parametrize("object_count", [25])
def test_deletion_looks_at_and_deletes_tasks_by_the_page(
    run: Importing, object_count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(object_count):
        run.put(f"{number:02}.json", texts(f"{number}"))
    run()
    for number in range(object_count):
        run.source.delete(f"{number:02}.json")
    calls = {"look": 0, "delete_tasks": 0}

    def counting(name: str) -> Any:
        original = getattr(EmbeddedProject, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            calls[name] += 1
            return original(*args, **kwargs)

        return call

    for name in calls:
        monkeypatch.setattr(EmbeddedProject, name, counting(name))
    assert run(**DELETE).tasks_deleted == object_count
    assert calls == {"look": 1, "delete_tasks": 1}
