"""Adoption: a ledger that knows less than the project does, and tasks from elsewhere."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from servers.label_studio import LabelStudioServer
from sqlalchemy import Engine

from labelsync_provider.database import open_database
from labelsync_provider.projects.label_studio.client import Client
from labelsync_provider.projects.label_studio.server import LabelStudioServer as Projects
from labelsync_provider.projects.protocol import Project, Task
from labelsync_provider.sync import ImportOptions, ImportReport, import_storage

pytest_plugins = ["servers.label_studio"]

RESULT = [{"from_name": "c", "to_name": "t", "type": "choices", "value": {"choices": ["good"]}}]
CONFIG = '<View><Text name="t" value="$text"/><Choices name="c" toName="t"><Choice value="good"/></Choices></View>'


@pytest.fixture
def project(label_studio: LabelStudioServer) -> Project:
    return Projects(Client(label_studio.url, label_studio.token)).project(
        label_studio.create_project(label_config=CONFIG)
    )


class Importing:
    """Imports into one project, with the ledger in one database until that is lost."""

    def __init__(self, source: Any, project: Project, tmp_path: Path) -> None:
        self.source, self.project, self._folder = source, project, tmp_path
        self._ledgers = 0
        self.lose_the_ledger()

    def __call__(self, **options: Any) -> ImportReport:
        return import_storage(
            self.source.storage(), self.project, self.engine, ImportOptions(**options), "the run of this test"
        )

    def lose_the_ledger(self) -> None:
        self._ledgers += 1
        self.engine: Engine = open_database(f"sqlite:///{self._folder}/ledger-{self._ledgers}.db")

    def tasks(self) -> dict[str, int]:
        """Return the ids of the tasks by their text; there are no two of one."""
        found = [task for page in self.project.tasks_after(0, with_data=True) for task in page]
        ids = {task.data["text"]: task.id for task in found}
        assert len(ids) == len(found)
        return ids

    def delete(self, text: str) -> None:
        """Delete a task, as a person would."""
        task_id = self.tasks()[text]
        (uri,) = [
            task.meta["labelsync"]["uri"] for page in self.project.tasks_after(0) for task in page if task.id == task_id
        ]
        assert self.project.delete_tasks({task_id: uri}) == {task_id}


@pytest.fixture
def run(source: Any, project: Project, tmp_path: Path) -> Importing:
    return Importing(source, project, tmp_path)


def texts(*values: str) -> str:
    return "\n".join(f'{{"text": "{value}"}}' for value in values)


class TestLostLedger:
    def test_imports_nothing_twice(self, run: Importing) -> None:
        run.source.put("a.jsonl", texts("1", "2"))
        run.source.put("b.jsonl", texts("3"))
        run()
        before = run.tasks()
        run.lose_the_ledger()
        report = run()
        assert (report.adopted, report.unchanged, report.tasks_created) == (3, 3, 0)
        assert run.tasks() == before

    def test_still_knows_what_is_new_changed_and_gone(self, run: Importing) -> None:
        run.source.put("a.jsonl", texts("1", "2"))
        run.source.put("b.jsonl", texts("3"))
        run()
        run.lose_the_ledger()
        run.source.put("a.jsonl", texts("1", "new 2"))
        run.source.put("c.jsonl", texts("4"))
        report = run(on_changed="update")
        assert (report.unchanged, report.changed, report.tasks_updated, report.new) == (2, 1, 1, 1)
        assert set(run.tasks()) == {"1", "new 2", "3", "4"}

    def test_takes_the_rest_of_a_file_that_was_imported_in_part(self, run: Importing) -> None:
        run.source.put("a.jsonl", texts("1", "2", "3"))
        run()
        run.delete("2")
        run.lose_the_ledger()
        report = run()
        assert (report.adopted, report.unchanged, report.tasks_created) == (2, 2, 1)

    def test_knows_which_of_two_tasks_of_a_row_stands_for_it(self, run: Importing) -> None:
        run.source.put("a.jsonl", texts("old"))
        run()
        run.source.put("a.jsonl", texts("new"))
        run(on_changed="add")
        run.lose_the_ledger()
        report = run(on_changed="add")
        assert (report.unchanged, report.changed, report.missing, report.tasks_created) == (1, 0, 0, 0)

    def test_is_rebuilt_for_blobs(self, run: Importing) -> None:
        run.source.put("1.jpg", "a picture")
        run(use_blob_urls=True)
        run.lose_the_ledger()
        report = run(use_blob_urls=True)
        assert (report.adopted, report.unchanged, report.tasks_created) == (1, 1, 0)

    def test_is_looked_through_once(self, run: Importing, monkeypatch: pytest.MonkeyPatch) -> None:
        run.source.put("a.jsonl", texts("1"))
        run()
        monkeypatch.setattr(type(run.project), "tasks_after", None)
        assert run().unchanged == 1

    def test_dry_run_reports_the_same_and_enters_nothing(self, run: Importing) -> None:
        run.source.put("a.jsonl", texts("1"))
        run()
        run.lose_the_ledger()
        assert [run(dry_run=True).new for _ in range(2)] == [0, 0]
        assert run().adopted == 1


class TestAdopt:
    @pytest.fixture
    def blob(self, run: Importing) -> str:
        run.source.put("1.jpg", "a picture")
        run.source.put("2.jpg", "another")
        return run.source.storage().object_uri("1.jpg")

    def test_takes_tasks_that_show_an_object_for_its_own(self, run: Importing, blob: str) -> None:
        run.project.import_tasks([Task({"text": blob})])
        report = run(use_blob_urls=True, adopt=True)
        assert (report.adopted, report.unchanged, report.tasks_created) == (1, 1, 1)
        again = run(use_blob_urls=True)
        assert (again.unchanged, again.new, again.changed) == (2, 0, 0)

    def test_knows_the_uri_with_the_address_of_the_server(self, run: Importing, blob: str) -> None:
        run.project.import_tasks([Task({"text": f"https://labels.example.com{blob}"})])
        assert run(use_blob_urls=True, adopt=True).tasks_created == 1

    def test_is_not_done_unasked(self, run: Importing, blob: str) -> None:
        run.project.import_tasks([Task({"text": blob})])
        assert run(use_blob_urls=True).tasks_created == 2

    def test_notices_when_the_object_changes_afterwards(self, run: Importing, blob: str) -> None:
        run.project.import_tasks([Task({"text": blob})])
        run(use_blob_urls=True, adopt=True)
        run.source.put("1.jpg", "a better picture")
        assert run(use_blob_urls=True).changed == 1

    def test_takes_the_first_of_several(self, run: Importing, blob: str) -> None:
        run.project.import_tasks([Task({"text": blob}), Task({"text": blob}, annotations=[{"result": RESULT}])])
        report = run(use_blob_urls=True, adopt=True)
        assert (report.adopted, report.unchanged) == (1, 1)

    def test_takes_references_that_the_ledger_lacks(self, run: Importing) -> None:
        run.source.put("a.jsonl", texts("1"))
        run()
        known = run.engine
        run.lose_the_ledger()
        run.source.put("b.jsonl", texts("2"))
        run()
        run.engine = known
        assert run(adopt=True).adopted == 1
        assert run().unchanged == 2


class TestDeletedByAPerson:
    def test_does_not_come_back(self, run: Importing) -> None:
        run.source.put("a.jsonl", texts("1", "2"))
        run()
        run.delete("1")
        assert run().tasks_created == 0
        assert set(run.tasks()) == {"2"}

    def test_comes_back_when_asked(self, run: Importing) -> None:
        run.source.put("a.jsonl", texts("1", "2"))
        run.source.put("b.jsonl", texts("3"))
        run()
        run.delete("1")
        report = run(restore_deleted=True)
        assert (report.unchanged, report.tasks_created) == (2, 1)
        assert set(run.tasks()) == {"1", "2", "3"}
        assert run(restore_deleted=True).tasks_created == 0


@pytest.mark.parametrize("option", ["adopt", "restore_deleted"])
def test_options_are_flags(option: str, run: Callable) -> None:
    with pytest.raises(Exception, match=f"{option}='False': neither True nor False"):
        run(**{option: "False"})


class TestIdGivenAgain:
    """On SQLite, Label Studio gives a new task the id of the youngest one, if that was deleted."""

    @pytest.fixture(autouse=True)
    def c_made_way_for_d(self, run: Importing) -> None:
        for name in "abc":
            run.source.put(f"{name}.json", texts(name))
        run()
        youngest = run.tasks()["c"]
        run.delete("c")
        run.source.put("d.json", texts("d"))
        run()
        assert run.tasks()["d"] == youngest

    def test_deleted_task_stays_away(self, run: Importing) -> None:
        assert run().unchanged == 4
        assert set(run.tasks()) == {"a", "b", "d"}

    def test_deleted_task_comes_back_when_asked(self, run: Importing) -> None:
        assert run(restore_deleted=True).tasks_created == 1
        assert set(run.tasks()) == {"a", "b", "c", "d"}

    def test_task_that_has_the_id_now_is_left_alone_when_the_object_of_the_other_goes(self, run: Importing) -> None:
        (run.source.path / "c.json").unlink()
        report = run(on_missing="delete")
        assert (report.missing, report.tasks_deleted) == (1, 0)
        assert set(run.tasks()) == {"a", "b", "d"}
