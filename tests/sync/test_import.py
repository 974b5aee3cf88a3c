"""What an import does: with every parameter, and with everything that can become of a source."""

import logging
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NoReturn

import pytest
from importing import some, texts
from sqlalchemy import Engine, inspect, select, text

from labelsync_provider.database import open_database
from labelsync_provider.errors import (
    EmptyListing,
    Invalid,
    NotFound,
    StoragesOverlap,
    TooManyMissing,
    TooManyQuarantined,
    Unavailable,
)
from labelsync_provider.projects.embedded.project import EmbeddedProject
from labelsync_provider.projects.embedded.store import EmbeddedStore
from labelsync_provider.projects.embedded.tables import TASK
from labelsync_provider.projects.protocol import Task
from labelsync_provider.storages.local_files import LocalFiles
from labelsync_provider.sync import ExportOptions, ImportOptions, ImportReport, export_annotations, import_storage

IMAGE = '<View><Image name="image" value="$image"/></View>'
RESULT = [{"type": "choices", "value": {"choices": ["Cat"]}}]


class Importing:
    """Imports of one source into one project, and what is in the project afterwards."""

    def __init__(self, source: Any, project: EmbeddedProject, engine: Engine) -> None:
        self.source, self.project, self.engine = source, project, engine

    def __call__(self, *, storage: LocalFiles | None = None, recursive: bool = True, **options: Any) -> ImportReport:
        return import_storage(
            storage or self.source.storage(recursive=recursive),
            self.project,
            self.engine,
            ImportOptions(**options),
            "a test",
        )

    def rows(self) -> list[dict[str, Any]]:
        with self.engine.connect() as connection:
            tasks = select(TASK).where(TASK.c.project == self.project.id).order_by(TASK.c.id)
            return [dict(row) for row in connection.execute(tasks).mappings()]

    def data(self) -> list[Any]:
        """Return what is in the tasks; of {"text": x}, x."""
        return [row["data"].get("text", row["data"]) for row in self.rows()]

    def annotate(self, value: str) -> None:
        """Annotate the task of that text, as an annotator would."""
        task_id = next(row["id"] for row in self.rows() if row["data"].get("text") == value)
        (other,) = self.project.import_tasks([Task({"text": "donor"}, annotations=[{"result": RESULT}])])
        with self.engine.begin() as connection:
            connection.execute(
                text("UPDATE labelsync_annotation SET task = :a WHERE task = :b"), {"a": task_id, "b": other}
            )
        assert isinstance(other, int)
        self.project.delete_tasks({other: "donor"})

    def delete(self, value: str) -> None:
        """Delete the task of that text, as a person would."""
        (task,) = [row for row in self.rows() if row["data"].get("text") == value]
        uris = {task["id"]: task["meta"]["labelsync"]["uri"]}
        assert self.project.delete_tasks(uris) == {task["id"]}


@pytest.fixture
def run(source: Any, project: EmbeddedProject, engine: Engine) -> Importing:
    return Importing(source, project, engine)


class TestNewAndUnchanged:
    def test_each_row_of_each_file_becomes_a_task(self, run: Importing) -> None:
        run.source.put("a.json", texts("1", "2"))
        run.source.put("b/c.jsonl", '{"text": "3"}\n{"data": {"text": "4"}, "meta": {"page": 1}}\n')
        report = run()
        assert some(report, "listed", "matched") == {"listed": 2, "matched": 2, "new": 4, "tasks_created": 4}
        assert run.data() == ["1", "2", "3", "4"]

    def test_a_second_import_reads_nothing_and_creates_nothing(self, run: Importing) -> None:
        run.source.put("a.json", texts("1", "2"))
        run.source.put("b.json", texts("3"))
        run()
        report = run()
        assert some(report, "bytes_read") == {"unchanged": 3}
        assert run.data() == ["1", "2", "3"]

    def test_only_what_was_added_is_imported(self, run: Importing) -> None:
        run.source.put("b.json", texts("1"))
        run()
        run.source.put("a.json", texts("2"))
        run.source.put("c.json", texts("3"))
        assert some(run()) == {"unchanged": 1, "new": 2, "tasks_created": 2}
        assert run.data() == ["1", "2", "3"]

    @pytest.mark.parametrize("row_key", [None, "id"])
    def test_rows_of_a_table_are_matched_like_any(self, run: Importing, row_key: str | None) -> None:
        run.source.put("a.json", {"text": "1", "id": 1})
        run.source.put("metadata.csv", "id,text\n1,2\n2,3\n")
        assert some(run(row_key=row_key)) == {"new": 3, "tasks_created": 3}
        assert [row["data"] for row in run.rows()][1:] == [{"id": "1", "text": "2"}, {"id": "2", "text": "3"}]
        run.source.put("metadata.csv", "text;id\n0;0\n2;1\nthree;2\n")
        report = run(row_key=row_key, on_changed="update")
        assert some(report) == {"unchanged": 2, "new": 1, "changed": 1, "tasks_created": 1, "tasks_updated": 1}
        assert run.data() == ["1", "2", "three", "0"]

    @pytest.mark.parametrize(
        ("row_key", "advice"),
        [(None, "row_key matches them by these"), ("id", "without row_key='id', which matches them from now on")],
    )
    def test_a_guess_by_place_advises_what_is_not_done_yet(
        self, run: Importing, caplog: pytest.LogCaptureFixture, row_key: str | None, advice: str
    ) -> None:
        run.source.put("a.csv", "id,text\n1,a\n2,b\n")
        run()
        run.source.put("a.csv", "id,text\n2,Y\n1,Z\n")
        assert some(run(row_key=row_key)) == {"changed": 2}
        (warning,) = [message for message in caplog.messages if "were taken for changed" in message]
        assert advice in warning

    def test_lines_that_a_quote_takes_with_it_count(self, run: Importing) -> None:
        run.source.put("a.csv", 'text\na\n"b\n' + "c\n" * 50)
        with pytest.raises(TooManyQuarantined, match=r"51 objects or rows .* one value of 51 lines"):
            run(max_quarantined=5)
        assert run.data() == ["a"]

    def test_bytes_read_are_those_of_the_files_read(self, run: Importing) -> None:
        size = run.source.put("a.json", texts("1")).stat().st_size
        assert run().bytes_read == size

    def test_annotations_predictions_and_meta_come_with_the_task(self, run: Importing) -> None:
        prediction = {"result": RESULT, "score": 0.5}
        row = {"data": {"text": "1"}, "meta": {"page": 1}, "annotations": [{"result": RESULT}]}
        run.source.put("a.json", row | {"predictions": [prediction]})
        run()
        ((task,),) = run.project.annotated_tasks()
        assert task["meta"]["page"] == 1
        assert task["annotations"][0]["result"] == RESULT
        assert task["predictions"][0]["score"] == 0.5

    def test_each_task_carries_what_it_was_made_from(self, run: Importing) -> None:
        run.source.put("a b.json", texts("1", "2"))
        run()
        ((info,),) = run.source.storage().list()
        notes = [row["meta"]["labelsync"] for row in run.rows()]
        assert [(note["uri"], note["row"], note["version"]) for note in notes] == [
            ("/data/local-files/?d=in/a%20b.json", n, info.version) for n in (0, 1)
        ]

    def test_tasks_come_in_the_order_of_keys_and_rows_whatever_the_number_of_threads(self, run: Importing) -> None:
        names = [f"{n:03}" for n in range(300)]
        for name in names:
            run.source.put(f"{name}.json", texts(f"{name}-0", f"{name}-1"))
        run(max_in_flight=8, batch_size=7)
        assert run.data() == [f"{name}-{n}" for name in names for n in (0, 1)]

    @pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 1000])
    def test_batches_of_any_size_hold_every_row(self, run: Importing, batch_size: int) -> None:
        run.source.put("a.json", texts("1", "2", "3"))
        run.source.put("b.json", texts("4", "5"))
        assert run(batch_size=batch_size, max_in_flight=1).tasks_created == 5
        assert run.data() == list("12345")
        assert some(run()) == {"unchanged": 5}

    def test_equal_rows_are_tasks_of_their_own(self, run: Importing) -> None:
        run.source.put("a.json", texts("1", "1"))
        run.source.put("b.json", texts("1"))
        assert run().tasks_created == 3
        assert some(run()) == {"unchanged": 3}

    def test_an_empty_array_is_as_empty_as_an_empty_file(self, run: Importing) -> None:
        run.source.put("a.json", "[]")
        run.source.put("b.json", texts("1"))
        assert some(run(), "listed") == {"listed": 2, "new": 1, "tasks_created": 1, "quarantined": 1}
        assert some(run(), "bytes_read") == {"unchanged": 1, "quarantined": 1}

    def test_two_projects_know_nothing_of_each_other(self, run: Importing, store: EmbeddedStore) -> None:
        run.source.put("a.json", texts("1"))
        run()
        other = Importing(run.source, store.create_project("Cars", "<View/>"), run.engine)
        assert other().tasks_created == 1

    def test_a_directory_above_knows_what_was_imported_from_one_below(self, run: Importing, folder: Callable) -> None:
        folder("in/sub").put("a.json", texts("1"))
        run(storage=folder("in/sub").storage())
        assert some(run()) == {"unchanged": 1}

    def test_a_directory_beside_is_not_missing(self, run: Importing, folder: Callable) -> None:
        run.source.put("a.json", texts("1"))
        run()
        folder("in-2").put("a.json", texts("2"))
        assert some(run(storage=folder("in-2").storage())) == {"new": 1, "tasks_created": 1}

    def test_a_file_touched_but_not_changed_is_unchanged(self, run: Importing) -> None:
        run.source.put("a.json", texts("1", "2"))
        run()
        run.source.put("a.json", texts("1", "2"))
        assert some(run()) == {"unchanged": 2}
        assert some(run(), "bytes_read") == {"unchanged": 2}, "and is not read again"


class TestChanged:
    @pytest.fixture(autouse=True)
    def imported(self, run: Importing) -> None:
        run.source.put("a.json", texts("1", "2", "3"))
        run()

    def test_is_reported_by_default_as_long_as_it_lasts(self, run: Importing) -> None:
        run.source.put("a.json", texts("1", "two", "3"))
        for _ in range(2):
            assert some(run()) == {"unchanged": 2, "changed": 1}
        assert run.data() == ["1", "2", "3"]

    def test_that_was_reported_is_updated_when_asked(self, run: Importing) -> None:
        run.source.put("a.json", texts("1", "two", "3"))
        run()
        assert some(run(on_changed="update")) == {"unchanged": 2, "changed": 1, "tasks_updated": 1}

    def test_updates_the_task_under_its_id(self, run: Importing) -> None:
        before = run.rows()
        run.source.put("a.json", texts("1", "two", "3"))
        assert some(run(on_changed="update")) == {"unchanged": 2, "changed": 1, "tasks_updated": 1}
        after = run.rows()
        assert [row["data"]["text"] for row in after] == ["1", "two", "3"]
        assert [row["id"] for row in after] == [row["id"] for row in before]
        assert after[1]["meta"]["labelsync"]["version"] != before[1]["meta"]["labelsync"]["version"]
        assert some(run()) == {"unchanged": 3}

    def test_never_updates_a_task_with_annotations(self, run: Importing) -> None:
        run.annotate("2")
        run.source.put("a.json", texts("one", "two", "3"))
        assert some(run(on_changed="update")) == {"unchanged": 1, "changed": 2, "tasks_updated": 1}
        assert run.data() == ["one", "2", "3"]
        assert some(run(on_changed="update")) == {"unchanged": 2, "changed": 1}, "and goes on saying so"

    def test_adds_a_task_and_leaves_the_old_one(self, run: Importing) -> None:
        run.source.put("a.json", texts("1", "two", "3"))
        assert some(run(on_changed="add")) == {"unchanged": 2, "changed": 1, "tasks_created": 1}
        assert run.data() == ["1", "2", "3", "two"]
        assert some(run()) == {"unchanged": 3}

    def test_that_reverts_adds_nothing(self, run: Importing) -> None:
        run.source.put("a.json", texts("1", "two", "3"))
        run(on_changed="add")
        run.source.put("a.json", texts("1", "2", "3"))
        assert some(run(on_changed="add")) == {"unchanged": 2, "changed": 1}
        assert some(run()) == {"unchanged": 3}
        run.source.put("a.json", texts("1", "two", "3"))
        assert some(run(on_changed="add")) == {"unchanged": 2, "changed": 1}
        assert run.data() == ["1", "2", "3", "two"]

    @pytest.mark.parametrize("on_changed", ["report", "update", "add"])
    def test_rows_that_only_moved_are_unchanged(self, run: Importing, on_changed: str) -> None:
        run.source.put("a.json", texts("3", "1", "2"))
        assert some(run(on_changed=on_changed)) == {"unchanged": 3}
        assert some(run(on_changed=on_changed), "bytes_read") == {"unchanged": 3}

    @pytest.mark.parametrize("on_changed", ["report", "update", "add"])
    def test_rows_inserted_at_the_top_are_new(self, run: Importing, on_changed: str) -> None:
        run.source.put("a.json", texts("x", "y", "1", "2", "3"))
        assert some(run(on_changed=on_changed)) == {"unchanged": 3, "new": 2, "tasks_created": 2}
        assert run.data() == ["1", "2", "3", "x", "y"]
        assert some(run(on_changed=on_changed), "bytes_read") == {"unchanged": 5}

    def test_rows_that_moved_are_known_where_they_stand_now(self, run: Importing) -> None:
        run.source.put("a.json", texts("x", "1", "2", "3"))
        run()
        run.source.put("a.json", texts("x", "1", "two", "3"))
        assert some(run(on_changed="update")) == {"unchanged": 3, "changed": 1, "tasks_updated": 1}
        assert run.data() == ["1", "two", "3", "x"]

    def test_lines_appended_are_new(self, run: Importing) -> None:
        path = run.source.put("log.jsonl", '{"text": "4"}\n')
        run()
        run.source.put("log.jsonl", path.read_text() + '{"text": "5"}\n{"text": "6"}\n')
        assert some(run()) == {"unchanged": 4, "new": 2, "tasks_created": 2}

    def test_rows_taken_out_are_missing_and_the_others_unchanged(self, run: Importing) -> None:
        run.source.put("a.json", texts("1", "3"))
        for _ in range(2):
            assert some(run()) == {"unchanged": 2, "missing": 1}

    def test_rows_written_in_another_way_are_unchanged(self, run: Importing) -> None:
        run.source.put("a.json", '[{"data":{"text":"1"}},\n\n {"text" : "2"},{"data": {"text": "3"}, "id": 9}]')
        assert some(run(on_changed="update")) == {"unchanged": 3}

    def test_task_that_somebody_deleted_does_not_come_back(self, run: Importing) -> None:
        run.delete("2")
        assert some(run()) == {"unchanged": 3, "deleted_by_hand": 1}
        run.source.put("a.json", texts("1", "two", "3"))
        report = run(on_changed="update")
        assert (report.changed, report.tasks_created, report.tasks_updated) == (1, 0, 0)
        assert run.data() == ["1", "3"]

    def test_blob_is_changed_when_its_file_is(self, run: Importing) -> None:
        run.source.put("b.jpg", b"1")
        options: dict[str, Any] = {"use_blob_urls": True, "data_key": "image", "regex_filter": ".*jpg"}
        run(**options)
        run.source.put("b.jpg", b"2")
        assert some(run(**options)) == {"changed": 1}
        assert some(run(**options, on_changed="update")) == {"changed": 1, "tasks_updated": 1}
        assert some(run(**options)) == {"unchanged": 1}


class TestMissing:
    @pytest.fixture(autouse=True)
    def imported(self, run: Importing) -> None:
        for n in range(40):
            run.source.put(f"{n:02}.json", texts(f"{n}"))
        run()

    @staticmethod
    def take_away(run: Importing, count: int, start: int = 0) -> None:
        for n in range(start, start + count):
            (run.source.path / f"{n:02}.json").unlink()

    def test_is_reported_by_default_as_long_as_it_lasts(self, run: Importing) -> None:
        self.take_away(run, 6)
        for _ in range(2):
            assert some(run()) == {"unchanged": 34, "missing": 6}
        assert len(run.rows()) == 40

    def test_is_deleted_when_asked_and_forgotten(self, run: Importing) -> None:
        self.take_away(run, 4)
        assert some(run(on_missing="delete")) == {"unchanged": 36, "missing": 4, "tasks_deleted": 4}
        assert run.data()[0] == "4"
        assert some(run(on_missing="delete")) == {"unchanged": 36}

    def test_more_than_a_tenth_fails_the_run_and_deletes_none(self, run: Importing) -> None:
        self.take_away(run, 5)
        with pytest.raises(TooManyMissing, match=r"5 tasks .* max_delete allows 4; none was deleted.* at least 5"):
            run(on_missing="delete")
        assert len(run.rows()) == 40

    def test_more_than_a_tenth_fails_the_run_after_what_is_new_is_in(self, run: Importing) -> None:
        self.take_away(run, 5)
        run.source.put("new.json", texts("new"))
        with pytest.raises(TooManyMissing):
            run(on_missing="delete")
        assert run.data()[-1] == "new"

    def test_one_is_always_allowed(self, run: Importing, store: EmbeddedStore, folder: Callable) -> None:
        small = folder("small")
        small.put("a.json", texts("1"))
        small.put("b.json", texts("2"))
        other = Importing(small, store.create_project("Cars", "<View/>"), run.engine)
        other()
        (small.path / "a.json").unlink()
        assert other(on_missing="delete").tasks_deleted == 1

    @pytest.mark.parametrize(("max_delete", "deleted"), [(10, 10), (11, 10)])
    def test_max_delete_allows_as_many_as_it_says(self, run: Importing, max_delete: int, deleted: int) -> None:
        self.take_away(run, 10)
        assert run(on_missing="delete", max_delete=max_delete).tasks_deleted == deleted

    @pytest.mark.parametrize("max_delete", [0, 3, 9])
    def test_max_delete_is_not_exceeded_by_one(self, run: Importing, max_delete: int) -> None:
        self.take_away(run, 10)
        with pytest.raises(TooManyMissing, match=f"allows {max_delete}; none"):
            run(on_missing="delete", max_delete=max_delete)
        assert len(run.rows()) == 40

    def test_never_deletes_a_task_with_annotations_nor_counts_it(self, run: Importing) -> None:
        run.annotate("0")
        self.take_away(run, 5)
        assert some(run(on_missing="delete")) == {"unchanged": 35, "missing": 5, "tasks_deleted": 4}
        assert run.data()[0] == "0"
        assert some(run(on_missing="delete")) == {"unchanged": 35, "missing": 1}

    def test_row_taken_out_of_a_file_is_deleted(self, run: Importing) -> None:
        run.source.put("00.json", texts("0", "a", "b"))
        run()
        run.source.put("00.json", texts("a", "b"))
        assert some(run(on_missing="delete")) == {"unchanged": 41, "missing": 1, "tasks_deleted": 1}
        assert some(run(on_missing="delete")) == {"unchanged": 41}

    def test_file_that_comes_back_is_unchanged_or_new(self, run: Importing) -> None:
        self.take_away(run, 1)
        run()
        run.source.put("00.json", texts("0"))
        assert some(run()) == {"unchanged": 40}
        self.take_away(run, 1)
        run(on_missing="delete")
        run.source.put("00.json", texts("0"))
        assert some(run()) == {"unchanged": 39, "new": 1, "tasks_created": 1}

    def test_empty_source_is_an_error_and_deletes_nothing(self, run: Importing) -> None:
        self.take_away(run, 40)
        for options in ({}, {"on_missing": "delete"}, {"on_missing": "delete", "max_delete": 100}):
            with pytest.raises(EmptyListing, match=r"lists nothing, but 40 tasks .* Nothing was deleted.*mounted"):
                run(**options)
        assert len(run.rows()) == 40

    def test_source_whose_directory_is_gone_is_an_error(self, run: Importing) -> None:
        run.source.path.rename(run.source.root / "elsewhere")
        with pytest.raises((EmptyListing, NotFound)):
            run(on_missing="delete")
        assert len(run.rows()) == 40

    def test_what_a_filter_leaves_out_is_not_missing(self, run: Importing) -> None:
        assert some(run(regex_filter="0", on_missing="delete")) == {"unchanged": 10}

    def test_what_another_level_holds_is_not_missing(self, run: Importing) -> None:
        run.source.put("sub/a.json", texts("x"))
        run()
        assert some(run(recursive=False, on_missing="delete")) == {"unchanged": 40}

    def test_malformed_file_is_quarantined_and_its_tasks_stay(self, run: Importing) -> None:
        run.source.put("00.json", "{")
        report = run(on_missing="delete", max_delete=40)
        assert (report.unchanged, report.missing, report.quarantined, report.tasks_deleted) == (39, 0, 1, 0)
        assert len(run.rows()) == 40

    def test_row_that_turned_bad_is_quarantined_and_its_task_stays(self, run: Importing) -> None:
        run.source.put("00.json", '[{"data": "bad"}]')
        report = run(on_missing="delete", max_delete=40)
        assert (report.quarantined, report.missing, report.tasks_deleted) == (1, 0, 0)
        assert len(run.rows()) == 40

    def test_row_that_lost_its_data_key_is_quarantined_and_its_task_stays(
        self, run: Importing, store: EmbeddedStore
    ) -> None:
        other = Importing(
            run.source, store.create_project("Texts", '<View><Text name="t" value="$text"/></View>'), run.engine
        )
        other()
        run.source.put("00.json", [{"picture": "1.jpg"}])
        for on_changed in ("report", "update"):
            report = other(on_changed=on_changed, on_missing="delete", max_delete=40)
            assert (report.missing, report.tasks_deleted) == (0, 0)
        assert report.quarantined == 1
        assert len(other.rows()) == 40

    def test_file_that_was_malformed_before_it_went_is_missing_too(self, run: Importing) -> None:
        run.source.put("00.json", "{")
        run()
        self.take_away(run, 1)
        assert some(run()) == {"unchanged": 39, "missing": 1}
        assert some(run(on_missing="delete")) == {"unchanged": 39, "missing": 1, "tasks_deleted": 1}


class TestFilter:
    @pytest.fixture(autouse=True)
    def files(self, run: Importing) -> None:
        for key in ("a.json", "b.json", "sub/a.json", "x.txt"):
            run.source.put(key, texts(key))

    @pytest.mark.parametrize(
        ("regex_filter", "keys"),
        [
            (r".*\.json", ["a.json", "b.json", "sub/a.json"]),
            ("a", ["a.json"]),
            ("a.json$", ["a.json"]),
            (".*a.json", ["a.json", "sub/a.json"]),
            ("sub/", ["sub/a.json"]),
            ("(?i)SUB/A", ["sub/a.json"]),
        ],
    )
    def test_matches_from_the_start_of_the_key(self, run: Importing, regex_filter: str, keys: list[str]) -> None:
        report = run(regex_filter=regex_filter)
        assert (report.listed, report.matched, report.tasks_created) == (4, len(keys), len(keys))
        assert run.data() == keys

    @pytest.mark.parametrize("regex_filter", [None, ""])
    def test_without_one_all_match_and_what_is_no_task_file_is_quarantined(
        self, run: Importing, regex_filter: str | None
    ) -> None:
        report = run(regex_filter=regex_filter)
        assert (report.matched, report.tasks_created, report.quarantined) == (4, 3, 1)
        assert report.quarantine[0].key == "x.txt"

    def test_that_matches_nothing_warns_with_the_count_and_an_example(
        self, run: Importing, caplog: pytest.LogCaptureFixture
    ) -> None:
        report = run(regex_filter="json")
        assert (report.listed, report.matched) == (4, 0)
        (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert "regex_filter='json' matches none of 4 objects" in warning.getMessage()
        assert "'a.json'" in warning.getMessage()
        assert "from the start of the key" in warning.getMessage()

    def test_on_a_source_without_objects_warns_of_that(
        self, run: Importing, caplog: pytest.LogCaptureFixture, folder: Callable
    ) -> None:
        run(storage=folder("empty").storage(), regex_filter="json")
        assert "lists no object" in caplog.text

    @pytest.mark.parametrize(
        ("recursive", "keys"), [(True, ["a.json", "b.json", "sub/a.json"]), (False, ["a.json", "b.json"])]
    )
    def test_recursion_is_the_storages(self, run: Importing, recursive: bool, keys: list[str]) -> None:
        run(recursive=recursive, regex_filter=r".*\.json")
        assert run.data() == keys


class TestBlobs:
    @pytest.fixture
    def run(self, source: Any, store: EmbeddedStore, engine: Engine) -> Importing:
        return Importing(source, store.create_project("Pets", IMAGE), engine)

    def test_each_object_becomes_a_task_with_its_uri_under_the_first_data_key(self, run: Importing) -> None:
        run.source.put("a b.jpg", b"\xff\xd8")
        run.source.put("c/d.json", "{")
        report = run(use_blob_urls=True)
        assert some(report) == {"new": 2, "tasks_created": 2}
        assert run.data() == [
            {"image": "/data/local-files/?d=in/a%20b.jpg"},
            {"image": "/data/local-files/?d=in/c/d.json"},
        ]

    def test_no_object_is_read(self, run: Importing) -> None:
        run.source.put("a.jpg", b"1")

        class Unreadable(LocalFiles):
            def read(self, key: str, most: int = 0, version: str | None = None) -> bytes:
                raise AssertionError(f"{key} was read")

        storage = Unreadable(run.source.uri, str(run.source.root))
        report = run(storage=storage, use_blob_urls=True)
        assert (report.tasks_created, report.bytes_read) == (1, 0)

    def test_a_data_key_given_is_used(self, run: Importing, store: EmbeddedStore) -> None:
        run.source.put("a.jpg", b"1")
        any_data = Importing(run.source, store.create_project("Any", "<View/>"), run.engine)
        any_data(use_blob_urls=True, data_key="picture")
        assert any_data.data() == [{"picture": "/data/local-files/?d=in/a.jpg"}]

    @pytest.mark.parametrize(
        ("tags", "options", "said"),
        [
            ('<Image name="i" value="$image"/>', {"data_key": "picture"}, "data_key='picture': .* also shows 'image'"),
            (
                '<Image name="i" value="$image"/><Text name="t" value="$text"/>',
                {},
                r"data_key='image': the label config of 'Odd' also shows 'text'.*extra_data=\{'text': ''\}",
            ),
            (
                '<Image name="i" value="$image"/><Text name="t" value="$text"/>',
                {"extra_data": {"text": {"a": 1}}},
                r"""extra_data=.*"text" is an object, and <Text> .* takes text or a number or a list""",
            ),
            ('<Image name="i" value="$image"/>', {"extra_data": {"image": "x"}}, "extra_data=.*'image' in it is where"),
            ('<Image name="i" value="$document[{{idx}}].page"/>', {}, r"data_key='document\[.*takes a list or an obj"),
            ('<Text name="t" value="$a.b"/>', {}, r"data_key='a\.b': .* takes a list or an object"),
            ('<Image name="i" valueList="$pages"/>', {"data_key": "pages"}, "data_key='pages': .* takes a list"),
            (
                '<Image name="i" value="$one"/><Image name="m" valueList="$many"/>',
                {},
                r"extra_data=\{'many': \[\]\}",
            ),
            ('<Image name="i" value="$one"/><Image name="m" valueList="$doc.many"/>', {}, r"\{'doc': \{\}\}"),
            (
                '<Image name="i" value="$one"/>',
                {"extra_data": {"$undefined$": 1}},
                r"extra_data='\$undefined\$'",
            ),
            (
                '<Image name="i" value="$one"/>',
                {"extra_data": {"x": float("nan")}},
                "extra_data=.* is JSON",
            ),
            ('<Image name="i" value="$one"/>', {"extra_data": {"x": "\ud800"}}, "extra_data=.* is JSON"),
            ('<Text name="t" value="$a"/><Text name="u" value="$b.c"/>', {}, r"extra_data=\{'b': \{\}\}"),
        ],
    )
    def test_what_the_label_config_shows_beside_or_otherwise_is_refused_before_anything_is_listed(
        self, run: Importing, store: EmbeddedStore, tags: str, options: dict, said: str
    ) -> None:
        odd = Importing(run.source, store.create_project("Odd", f"<View>{tags}</View>"), run.engine)

        class Unlistable(LocalFiles):
            def list(self) -> NoReturn:
                raise AssertionError("it was listed")

        storage = Unlistable(run.source.uri, str(run.source.root))
        with pytest.raises(Invalid, match=said):
            odd(storage=storage, use_blob_urls=True, **options)

    def test_other_values_fill_the_other_keys_of_new_tasks(self, run: Importing, store: EmbeddedStore) -> None:
        config = '<View><Audio name="a" value="$audio"/><TextArea name="t" value="$transcript" toName="a"/></View>'
        calls = Importing(run.source, store.create_project("Calls", config), run.engine)
        run.source.put("a.wav", b"1")
        calls(use_blob_urls=True, extra_data={"transcript": ""})
        assert calls.data() == [{"audio": "/data/local-files/?d=in/a.wav", "transcript": ""}]
        assert calls(use_blob_urls=True, extra_data={"transcript": "?"}).unchanged == 1

    def test_an_update_leaves_other_values_as_they_are(self, run: Importing, store: EmbeddedStore) -> None:
        config = '<View><Audio name="a" value="$audio"/><TextArea name="t" value="$transcript" toName="a"/></View>'
        calls = Importing(run.source, store.create_project("Calls", config), run.engine)
        run.source.put("a.wav", b"1")
        calls(use_blob_urls=True, extra_data={"transcript": "a"})
        run.source.put("a.wav", b"22")
        assert calls(use_blob_urls=True, extra_data={"transcript": "b"}, on_changed="update").tasks_updated == 1
        assert calls.data() == [{"audio": "/data/local-files/?d=in/a.wav", "transcript": "a"}]

    def test_other_values_are_for_blobs(self) -> None:
        with pytest.raises(Invalid, match=r"extra_data=.*only blobs are given other values. Set use_blob_urls=True"):
            ImportOptions(extra_data={"a": 1})

    def test_no_data_key_at_all_is_invalid(self, run: Importing, store: EmbeddedStore) -> None:
        run.source.put("a.jpg", b"1")
        any_data = Importing(run.source, store.create_project("Any", "<View/>"), run.engine)
        with pytest.raises(Invalid, match=r"data_key=None: the label config of 'Any' has no data key"):
            any_data(use_blob_urls=True)

    @pytest.mark.parametrize("blobs", [True, False])
    def test_object_that_is_in_the_other_way_is_refused_before_anything_is_sent(
        self, run: Importing, blobs: bool
    ) -> None:
        run.source.put("a.json", [{"image": "1"}, {"image": "2"}])
        run.source.put("b.json", {"image": "3"})
        run(use_blob_urls=not blobs)
        run.source.put("c.json", {"image": "4"})
        tasks = 2 if blobs else 3
        message = rf"use_blob_urls={blobs}: .* of 2 objects of .*'a.json'.* use_blob_urls={not blobs} and would come in"
        for dry_run in (True, False):
            with pytest.raises(Invalid, match=message):
                run(use_blob_urls=blobs, dry_run=dry_run)
        assert run(use_blob_urls=not blobs).unchanged == 5 - tasks
        assert run.project.progress().tasks == 6 - tasks, "and c.json"

    def test_object_that_is_in_the_other_way_is_imported_once_its_tasks_are_deleted(self, run: Importing) -> None:
        run.source.put("a.json", {"image": "1"})
        run()
        with pytest.raises(Invalid, match="delete their 1 task from the project first"):
            run(use_blob_urls=True)
        run.project.delete_tasks({run.rows()[0]["id"]: run.source.storage().object_uri("a.json")})
        assert some(run(use_blob_urls=True)) == {"new": 1, "deleted_by_hand": 1, "tasks_created": 1}

    def test_blobs_and_task_files_beside_each_other_are_told_apart_by_a_filter(self, run: Importing) -> None:
        run.source.put("a.json", [{"image": "1"}, {"image": "2"}])
        run.source.put("a.jpg", b"1")
        for created in (1, 0):
            assert run(regex_filter=".*json").tasks_created == 2 * created
            assert run(regex_filter=".*jpg", use_blob_urls=True).tasks_created == created
        (run.source.path / "a.json").unlink()
        assert some(run(use_blob_urls=True)) == {"unchanged": 1}, "what is gone does not come in twice"

    def test_same_object_quarantined_as_task_file_is_not_as_blob(self, run: Importing) -> None:
        run.source.put("a.json", "{")
        with pytest.raises(TooManyQuarantined):
            run()
        assert some(run(use_blob_urls=True)) == {"new": 1, "tasks_created": 1}

    def test_object_missing_as_blob_is_counted_as_blob(self, run: Importing) -> None:
        task_files: dict[str, Any]
        blobs: dict[str, Any]
        task_files, blobs = {"regex_filter": ".*json"}, {"regex_filter": ".*jpg", "use_blob_urls": True}
        run.source.put("a.json", [{"image": "1"}, {"image": "2"}])
        run.source.put("b.json", {"image": "3"})
        run.source.put("a.jpg", b"1")
        run.source.put("b.jpg", b"2")
        run(**task_files)
        run(**blobs)
        for name in ("a.json", "a.jpg"):
            (run.source.path / name).unlink()
        assert some(run(**blobs, on_missing="delete")) == {"unchanged": 1, "missing": 1, "tasks_deleted": 1}
        assert some(run(**task_files)) == {"unchanged": 1, "missing": 2}

    def test_object_with_a_problem_is_quarantined(self, run: Importing) -> None:
        run.source.put("a.jpg", b"1")
        (run.source.path / "b.jpg").symlink_to("/etc/hostname")
        report = run(use_blob_urls=True)
        assert (report.tasks_created, report.quarantined) == (1, 1)
        assert str(report.quarantine[0]) == "b.jpg: it is a symbolic link that leaves the document root"


class TestQuarantine:
    BAD: ClassVar = {
        "broken.json": "{",
        "notes.txt": "hello",
        "latin.json": b'{"text": "\xe9"}',
        "packed.json.gz": b"no gzip",
        "blank.json": " ",
    }

    @pytest.fixture(autouse=True)
    def files(self, run: Importing) -> None:
        for key, content in self.BAD.items():
            run.source.put(key, content)
        run.source.put("good.json", texts("1"))
        run.source.put("rows.json", [{"text": "2"}, {"data": 5}, {"text": "3"}, 7])

    def test_holds_what_is_bad_by_name_and_lets_the_rest_in(self, run: Importing) -> None:
        report = run()
        assert some(report) == {"new": 3, "tasks_created": 3, "quarantined": 7}
        assert run.data() == ["1", "2", "3"]
        named = {(failure.key, failure.row) for failure in report.quarantine}
        assert named == {(key, None) for key in self.BAD} | {("rows.json", 1), ("rows.json", 3)}

    def test_reads_like_a_sentence(self, run: Importing) -> None:
        shown = [str(failure) for failure in run().quarantine]
        assert "rows.json, row 1: bad row: `data` must be an object, it is a number" in shown

    def test_is_in_the_log_by_name(self, run: Importing, caplog: pytest.LogCaptureFixture) -> None:
        run()
        reason = "wrongly encoded: not UTF-8, byte 0xe9 at line 1, column 11. Save the file as UTF-8"
        assert f"Quarantined 1 object: {reason}. Such as latin.json" in caplog.text

    def test_lasts_and_is_not_read_again(self, run: Importing) -> None:
        first = run()
        second = run()
        assert some(second, "bytes_read") == {"unchanged": 3, "quarantined": 7}
        assert sorted(map(str, second.quarantine)) == sorted(map(str, first.quarantine))

    def test_is_left_by_a_file_whose_version_changed_for_the_better(self, run: Importing) -> None:
        run()
        run.source.put("broken.json", texts("4"))
        run.source.put("rows.json", texts("2", "five", "3", "seven"))
        assert some(run()) == {"unchanged": 3, "new": 3, "tasks_created": 3, "quarantined": 4}
        assert some(run()) == {"unchanged": 6, "quarantined": 4}

    def test_keeps_a_file_whose_version_changed_for_no_better_with_its_new_reason(self, run: Importing) -> None:
        run()
        run.source.put("broken.json", "5")
        run()
        reasons = {failure.key: failure.reason for failure in run().quarantine}
        assert "begins with b'5'" in reasons["broken.json"]

    def test_is_left_by_a_file_that_is_gone(self, run: Importing) -> None:
        run()
        (run.source.path / "broken.json").unlink()
        assert some(run()) == {"unchanged": 3, "quarantined": 6}

    def test_shows_twenty_and_counts_all(self, run: Importing) -> None:
        for n in range(30):
            run.source.put(f"bad-{n:02}.json", "{")
        for _ in range(2):
            report = run()
            assert (report.quarantined, len(report.quarantine)) == (37, 20)

    def test_is_whole_in_the_ledger(self, run: Importing, engine: Engine) -> None:
        for n in range(30):
            run.source.put(f"bad-{n:02}.json", "{")
        run()
        with engine.connect() as connection:
            rows = connection.execute(text('SELECT path, "row", reason FROM labelsync_quarantine')).all()
        assert len(rows) == 37
        assert all(reason for _, _, reason in rows)

    @pytest.mark.parametrize("most", [0, 6])
    def test_of_more_than_allowed_fails_the_run_after_the_good_ones_are_in(self, run: Importing, most: int) -> None:
        with pytest.raises(TooManyQuarantined, match=f"7 objects or rows .* max_quarantined is {most}"):
            run(max_quarantined=most)
        assert run.data() == ["1", "2", "3"]
        with pytest.raises(TooManyQuarantined):
            run(max_quarantined=most)
        assert run.data() == ["1", "2", "3"]

    @pytest.mark.parametrize("most", [7, None])
    def test_of_as_many_as_allowed_is_green(self, run: Importing, most: int | None) -> None:
        assert run(max_quarantined=most).quarantined == 7

    def test_holds_a_task_that_the_label_config_rejects(self, run: Importing, store: EmbeddedStore) -> None:
        other = Importing(run.source, store.create_project("Images", IMAGE), run.engine)
        run.source.put("good.json", [{"text": "1"}, {"image": "2"}])
        report = other(regex_filter="good")
        assert (report.tasks_created, report.quarantined) == (1, 1)
        assert str(report.quarantine[0]).startswith('good.json, row 0: "image" key is expected')

    def test_holds_what_may_not_be_read(
        self, open_folder: Any, unprivileged: Callable, project: EmbeddedProject, engine: Engine
    ) -> None:
        open_folder.put("a.json", texts("1"))
        open_folder.put("b.json", texts("2")).chmod(0)

        class Unprivileged(LocalFiles):
            """Reads as a user for whom permission bits bind; root is above them."""

            def read(self, key: str, most: int = 0, version: str | None = None) -> bytes:
                with unprivileged():
                    return super().read(key)

        storage = Unprivileged(open_folder.uri, str(open_folder.root))
        report = Importing(open_folder, project, engine)(storage=storage, max_in_flight=1)
        assert (report.tasks_created, report.quarantined) == (1, 1)
        assert "may not be read" in report.quarantine[0].reason

    def test_holds_links_that_go_round_and_lets_the_rest_in(self, run: Importing) -> None:
        (run.source.path / "self").symlink_to("self")
        report = run()
        assert (report.tasks_created, report.quarantined) == (3, 8)


class TestGone:
    def test_object_that_vanishes_between_listing_and_reading_is_counted(self, run: Importing) -> None:
        for name in ("a.json", "b.json", "c.json"):
            run.source.put(name, texts(name))

        class Vanishing(LocalFiles):
            def list(self) -> Iterator[list]:
                for page in super().list():
                    (run.source.path / "b.json").unlink(missing_ok=True)
                    yield page

        report = run(storage=Vanishing(run.source.uri, str(run.source.root)))
        assert some(report, "listed") == {"listed": 3, "new": 2, "tasks_created": 2, "gone": 1}
        assert some(run()) == {"unchanged": 2}

    def test_listing_that_breaks_off_deletes_nothing(self, run: Importing) -> None:
        for n in range(30):
            run.source.put(f"{n:02}.json", texts(f"{n}"))
        run()

        class BreakingOff(LocalFiles):
            def list(self) -> Iterator[list]:
                for page in super().list():
                    yield page[:1]
                    raise Unavailable("the listing broke off")

        with pytest.raises(Unavailable):
            run(storage=BreakingOff(run.source.uri, str(run.source.root)), on_missing="delete", max_delete=100)
        assert len(run.rows()) == 30


class TestDryRun:
    @pytest.fixture(autouse=True)
    def something_of_everything(self, run: Importing) -> None:
        for n in range(30):
            run.source.put(f"{n:02}.json", texts(f"{n}", f"{n}b"))
        run.source.put("bad.json", "{")
        run()
        run.annotate("0")
        run.annotate("5")
        run.source.put("00.json", texts("zero", "0b"))
        run.source.put("01.json", texts("one", "1b"))
        run.source.put("02.json", texts("top", "2", "2b"))
        (run.source.path / "05.json").unlink()
        (run.source.path / "06.json").unlink()
        run.source.put("new.json", texts("new"))
        run.source.put("worse.json", b"\xff")

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"on_changed": "update"},
            {"on_changed": "add"},
            {"on_missing": "delete"},
            {"on_changed": "update", "on_missing": "delete", "batch_size": 1},
            {"regex_filter": "0"},
        ],
        ids=str,
    )
    def test_says_what_the_real_run_then_does_and_writes_nothing(
        self, run: Importing, options: dict, counts: Callable, database: Any
    ) -> None:
        def state() -> tuple:
            run.engine.dispose()  # what SQLite holds back in its log is in the file then
            return database.read_bytes(), counts(), run.source.state()

        before = state()
        predicted = run(**options, dry_run=True)
        assert state() == before
        real = run(**options)
        assert (real.dry_run, predicted.dry_run) == (False, True)
        unforeseen: dict[str, Any] = {"dry_run": None, "seconds": 0, "requests": {}, "created_ids": []}
        assert real.as_dict() | unforeseen == predicted.as_dict() | unforeseen
        assert predicted.new or predicted.changed

    def test_fails_as_the_real_run_would(self, run: Importing, counts: Callable) -> None:
        before = counts()
        with pytest.raises(TooManyQuarantined):
            run(max_quarantined=1, dry_run=True)
        with pytest.raises(TooManyMissing):
            run(on_missing="delete", max_delete=1, dry_run=True)
        assert counts() == before

    def test_before_the_first_import_says_that_all_is_new(
        self, run: Importing, store: EmbeddedStore, counts: Callable
    ) -> None:
        other = Importing(run.source, store.create_project("Cars", "<View/>"), run.engine)
        before = counts()
        assert other(dry_run=True).new == 58
        assert counts() == before

    def test_on_a_database_without_a_ledger_makes_none(
        self, run: Importing, store: EmbeddedStore, tmp_path: Any
    ) -> None:
        ledger = open_database(f"sqlite:///{tmp_path}/fresh.db")
        empty = store.create_project("Cars", "<View/>")
        assert Importing(run.source, empty, ledger)(dry_run=True).new == 58
        assert inspect(ledger).get_table_names() == []
        ledger.dispose()

    def test_is_marked_in_the_log(self, run: Importing, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        run(dry_run=True)
        assert "Dry run, nothing was written." in caplog.text

    def test_after_a_run_that_broke_off_counts_what_arrived_as_there(
        self, run: Importing, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run(on_changed="add", on_missing="delete")
        run.source.put("late.json", texts("late"))
        arrive = EmbeddedProject.import_tasks

        def arrive_and_break_off(self: Any, tasks: Any) -> Any:
            arrive(self, tasks)
            raise RuntimeError("the run broke off")

        with monkeypatch.context() as patch:
            patch.setattr(EmbeddedProject, "import_tasks", arrive_and_break_off)
            with pytest.raises(RuntimeError):
                run()
        predicted = run(dry_run=True)
        assert (predicted.new, predicted.tasks_created) == (run().new, 0)


class TestOverlap:
    @pytest.mark.parametrize(("source", "target"), [("in", "in"), ("in", "in/out"), ("in/sub", "in"), ("", "out")])
    def test_importing_from_where_annotations_are_exported_to_is_refused(
        self, folder: Callable, project: EmbeddedProject, engine: Engine, source: Any, target: Any
    ) -> None:
        export_annotations(project, folder(target).storage(), engine, ExportOptions(), "a test")
        folder(source).put("a.json", texts("1"))
        with pytest.raises(StoragesOverlap, match=r"source=.*annotations of project 'Pets' are exported.*another"):
            Importing(folder(source), project, engine)()
        assert project.progress().tasks == 0

    @pytest.mark.parametrize(("source", "target"), [("in", "in-2"), ("in/a", "in/b"), ("i", "in")])
    def test_importing_from_beside_a_target_is_not(
        self, folder: Callable, project: EmbeddedProject, engine: Engine, source: Any, target: Any
    ) -> None:
        export_annotations(project, folder(target).storage(), engine, ExportOptions(), "a test")
        folder(source).put("a.json", texts("1"))
        assert Importing(folder(source), project, engine)().tasks_created == 1

    def test_is_seen_through_another_document_root(
        self, folder: Callable, project: EmbeddedProject, engine: Engine
    ) -> None:
        target = folder("in/out")
        export_annotations(project, LocalFiles(target.uri, f"{folder('in').path}"), engine, ExportOptions(), "a test")
        folder("in").put("a.json", texts("1"))
        with pytest.raises(StoragesOverlap):
            Importing(folder("in"), project, engine)()


def test_directories_of_two_document_roots_are_not_taken_for_one(
    folder: Callable, project: EmbeddedProject, engine: Engine
) -> None:
    # Two `fs` connections, one for each team, each with a folder of the same name.
    cats, dogs = folder("cats/photos"), folder("dogs/photos")
    cats.put("1.json", texts("cat 1"))
    cats.put("2.json", texts("cat 2"))
    dogs.put("1.json", texts("dog 1"))
    run = Importing(cats, project, engine)
    run(storage=LocalFiles(cats.uri, str(cats.path.parent)))
    with pytest.raises(Invalid, match=r"objects of the same names from elsewhere.*directory above both"):
        run(storage=LocalFiles(dogs.uri, str(dogs.path.parent)), on_missing="delete", on_changed="update")
    assert run.data() == ["cat 1", "cat 2"]


def test_directory_whose_mount_has_moved_is_the_same(
    folder: Callable, project: EmbeddedProject, engine: Engine
) -> None:
    before = folder("before/photos")
    before.put("1.json", texts("cat 1"))
    run = Importing(before, project, engine)
    run(storage=LocalFiles(before.uri, str(before.path.parent)))
    after = folder("after/photos")
    after.path.rmdir()
    before.path.rename(after.path)
    after.put("2.json", texts("cat 2"))
    report = run(storage=LocalFiles(after.uri, str(after.path.parent)))
    assert some(report) == {"unchanged": 1, "new": 1, "tasks_created": 1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"regex_filter": "("}, r"regex_filter='\('.*from the start of the key"),
        ({"regex_filter": "*.json"}, r"regex_filter='\*.json': nothing to repeat"),
        ({"on_changed": "replace"}, "on_changed='replace'.*'report', 'update', 'add'"),
        ({"on_missing": "drop"}, "on_missing='drop'.*'report', 'delete'"),
        ({"batch_size": 0}, "batch_size=0.*from 1"),
        ({"batch_size": "10"}, "batch_size='10'"),
        ({"max_in_flight": 0}, "max_in_flight=0.*from 1"),
        ({"max_delete": -1}, "max_delete=-1.*from 0"),
        ({"max_delete": 0.1}, "max_delete=0.1"),
        ({"max_quarantined": -1}, "max_quarantined=-1.*from 0"),
        # What a template makes of False, unless the DAG renders native objects: a text, which is true.
        ({"use_blob_urls": "False"}, "use_blob_urls='False'"),
        ({"dry_run": "False"}, "dry_run='False'"),
    ],
    ids=str,
)
def test_option_that_cannot_be_is_invalid(options: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        ImportOptions(**options)
