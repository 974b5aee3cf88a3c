"""What is new in a source to whoever waits for it, and since when it has not changed."""

from dataclasses import dataclass
from typing import Any

import pytest
from importing import Importing, texts
from model.bucket import Bucket, BucketStorage
from model.fake_project import Process
from model.worlds import EmbeddedWorld
from sqlalchemy import Engine, inspect

from labelsync_provider.database import open_database
from labelsync_provider.errors import Denied, Invalid
from labelsync_provider.storages.protocol import ObjectInfo
from labelsync_provider.sync import ImportOptions
from labelsync_provider.sync.importing import state
from labelsync_provider.sync.ledger.imports import ImportLedger
from labelsync_provider.sync.ledger.records import Changes, KnownObject
from labelsync_provider.sync.new_objects import NewObjects, Quiet, count_new_objects, quiet_since


@dataclass
class Waiting(Importing):
    """Imports, and counts what the next import would find new."""

    def count(self, prefix: str = "", **options: Any) -> NewObjects:
        source, project = self.source.open(prefix), self.world.open(Process())
        return count_new_objects(source, project, self.engine, ImportOptions(**options))

    def waiting(self, **options: Any) -> tuple[int, int]:
        found = self.count(**options)
        return found.new, found.retriable


@pytest.fixture
def run(engine: Engine) -> Waiting:
    """Imports into a project whose label config needs `text`."""
    run = Waiting(Bucket(), EmbeddedWorld(engine), engine)
    for name in ("a", "b", "c"):
        run.put(f"{name}.json", texts(name))
    return run


class TestNew:
    def test_is_what_the_ledger_does_not_know(self, run: Waiting) -> None:
        assert run.waiting() == (3, 0)
        run()
        assert run.waiting() == (0, 0)
        run.put("d.json", texts("d"))
        assert run.waiting() == (1, 0)

    def test_is_what_matches(self, run: Waiting) -> None:
        run.put("folder/", b"")
        found = run.count(regex_filter="a|b")
        assert (found.listed, found.matched, found.new, found.unmatched) == (4, 2, 2, "c.json")

    def test_is_what_lies_below_the_prefix(self, run: Waiting) -> None:
        run.put("more/e.json", texts("e"))
        assert run.count("more/").new == 1

    def test_is_not_what_was_imported_as_task_files_and_would_be_refused_as_blobs(self, run: Waiting) -> None:
        run()
        with pytest.raises(Invalid, match="of 3 objects of"):
            run.waiting(use_blob_urls=True, data_key="text")

    @pytest.mark.parametrize("on_changed", ["report", "add"])
    def test_is_nothing_that_has_changed_or_is_gone(self, run: Waiting, on_changed: str) -> None:
        """Reported, it stays changed: who waits for it would never wait again."""
        run(on_changed=on_changed)
        run.put("a.json", texts("another"))
        run.source.delete("b.json")
        assert run.waiting(on_changed=on_changed) == (0, 0)
        run(on_changed=on_changed)
        assert run.waiting(on_changed=on_changed) == (0, 0)

    def test_is_nothing_whose_rows_have_gone(self, run: Waiting) -> None:
        run()
        run.put("a.json", [])
        run()
        assert run.waiting() == (0, 0)

    def test_is_what_a_killed_run_has_only_begun_with(self, run: Waiting) -> None:
        run()
        project, location = run.world.open(Process()).uri, run.source.open().location
        run.put("d.json", texts("d"))
        begun = {"d.json": KnownObject("d.json", None, "open", 0, 0, None)}
        ImportLedger(run.engine, project, location, lambda _: None).enter(Changes(objects=begun))
        assert run.waiting() == (1, 0)

    def test_is_known_without_a_table_and_brings_none(self, run: Waiting, tmp_path: Any) -> None:
        other = open_database(f"sqlite:///{tmp_path}/empty.db")
        found = count_new_objects(run.source.open(), run.world.open(Process()), other, ImportOptions())
        assert found.new == 3
        assert inspect(other).get_table_names() == []

    def test_changes_nothing_in_the_ledger(self, run: Waiting, counts: Any) -> None:
        before = counts()
        run.waiting()
        run()
        after = counts()
        run.put("d.json", texts("d"))
        run.waiting()
        assert before["labelsync_scope"] == 0
        assert counts() == after

    def test_needs_what_the_import_needs(self, run: Waiting) -> None:
        run.world.set_strict(False)
        with pytest.raises(Invalid, match="data_key"):
            run.waiting(use_blob_urls=True)


class TestInQuarantine:
    @pytest.fixture(autouse=True)
    def imported(self, run: Waiting) -> None:
        run.put("bad.json", "{")
        run.put("rows.json", [{"image": "1"}, {"text": "2"}])
        assert run().quarantined == 2

    def test_is_nothing_while_all_stays_as_it_is(self, run: Waiting) -> None:
        assert run.waiting() == (0, 0)

    def test_is_worth_another_try_once_it_has_changed_and_that_was_not_tried_yet(self, run: Waiting) -> None:
        run.put("bad.json", "[")
        assert run.waiting() == (0, 1)
        run()
        assert run.waiting() == (0, 0)

    def test_is_worth_another_try_once_what_judged_it_has_changed(
        self, run: Waiting, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert run.waiting(on_changed="update") == (0, 2)
        run.world.set_strict(False)
        assert run.waiting() == (0, 2)
        run()
        assert run.waiting() == (0, 0)
        monkeypatch.setattr(state, "__version__", "999")
        assert run.waiting() == (0, 1)

    def test_is_no_reason_to_run_for_the_storages_refusal(self, run: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every run tries it again; begun for it, runs would follow each other for as long as it refuses."""
        read = BucketStorage.read

        def refusing(storage: BucketStorage, key: str, *given: Any) -> bytes:
            if key == "archived.json":
                raise Denied("it is archived")
            return read(storage, key, *given)

        monkeypatch.setattr(BucketStorage, "read", refusing)
        run.put("archived.json", texts("archived"))
        assert run.waiting() == (1, 0)
        assert run().quarantined == 3
        assert run.waiting() == (0, 0)


class TestDigest:
    def test_is_that_of_what_waits_alone(self, run: Waiting) -> None:
        before = run.count().digest
        assert run.count().digest == before
        run.put("b.json", texts("another"))
        changed = run.count().digest
        run.source.delete("b.json")
        gone = run.count().digest
        assert len({before, changed, gone}) == 3
        run()
        settled = run.count().digest
        run.put("a.json", texts("a changed one is not waited for"))
        assert run.count().digest == settled

    def test_tells_two_objects_that_have_changed_places(self, run: Waiting) -> None:
        before = run.count().digest
        run.put("a.json", texts("b"))
        run.put("b.json", texts("a"))
        assert run.count().digest != before

    def test_is_the_same_in_whatever_order_a_service_lists(self, run: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
        before = run.count().digest
        monkeypatch.setattr(BucketStorage, "list", lambda storage: iter([backwards(storage)]))

        def backwards(storage: BucketStorage) -> list[ObjectInfo]:
            return [info for page in pages(storage) for info in page][::-1]

        assert run.count().digest == before


pages = BucketStorage.list


class TestQuiet:
    def look(self, before: Quiet | None, digest: str, now: float) -> Quiet:
        return quiet_since(before, NewObjects(digest=digest), now)

    def test_begins_with_the_first_look(self) -> None:
        assert self.look(None, "a", 5) == Quiet("a", 5, 5)

    def test_lasts_while_nothing_changes(self) -> None:
        assert self.look(Quiet("a", 5, 5), "a", 9) == Quiet("a", 5, 5)

    def test_begins_anew_with_a_change_but_not_what_is_waited_at_most(self) -> None:
        assert self.look(Quiet("a", 5, 5), "b", 9) == Quiet("b", 9, 5)
