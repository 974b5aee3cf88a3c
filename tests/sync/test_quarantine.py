"""What is in quarantine, when it is tried again, and what is never put there."""

from collections.abc import Callable
from typing import Any

import pytest
from importing import Importing, lines, some, texts
from model.bucket import Bucket, BucketStorage
from model.fake_project import Clock, FakeProject
from model.worlds import EmbeddedWorld, FakeWorld
from sqlalchemy import Engine

from labelsync_provider.errors import Denied, Invalid, RequestFailed, TooManyQuarantined, Unavailable
from labelsync_provider.projects.protocol import Rejected, Task
from labelsync_provider.sync import Runtime
from labelsync_provider.sync.importing import state
from labelsync_provider.sync.importing.aside import REASONS, SetAside
from labelsync_provider.sync.importing.sending import HALVINGS
from labelsync_provider.sync.report import Failure


@pytest.fixture
def run(engine: Engine) -> Importing:
    """Imports into a project whose label config needs `text`."""
    run = Importing(Bucket(), EmbeddedWorld(engine), engine)
    run.put("good.json", texts("good"))
    return run


def read_again(run: Importing, **options: Any) -> bool:
    """Import; tell whether anything was read."""
    return run(**options).bytes_read > 0


class TestTriedAgain:
    """Not for nothing: when what made it bad may have changed."""

    @pytest.fixture(autouse=True)
    def imported(self, run: Importing) -> None:
        run.put("bad.json", "{")
        run.put("rows.json", [{"image": "1"}, {"text": "2"}])
        assert some(run()) == {"new": 2, "tasks_created": 2, "quarantined": 2}
        assert run.quarantine() == {("bad.json", None): 1, ("rows.json", 0): 1}

    def test_is_nothing_while_all_stays_as_it_is(self, run: Importing) -> None:
        for _ in range(2):
            assert some(run(), "bytes_read") == {"unchanged": 2, "quarantined": 2}

    def test_is_an_object_whose_version_changes(self, run: Importing) -> None:
        run.put("bad.json", texts("mended"))
        assert some(run()) == {"unchanged": 2, "new": 1, "tasks_created": 1, "quarantined": 1}
        assert run.quarantine() == {("rows.json", 0): 1}

    def test_is_all_of_it_when_the_label_config_changes(self, run: Importing) -> None:
        """A label config that was wrong and is mended brings the rows in with the next run."""
        run.world.set_strict(False)
        assert some(run()) == {"unchanged": 2, "new": 1, "tasks_created": 1, "quarantined": 1}
        assert run.quarantine() == {("bad.json", None): 1}
        assert not read_again(run)

    def test_is_all_of_it_when_an_option_changes_that_decides(self, run: Importing) -> None:
        assert read_again(run, on_changed="update")
        assert not read_again(run, on_changed="update")

    def test_is_all_of_it_with_another_version_of_this_package(
        self, run: Importing, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(state, "__version__", "999")
        assert read_again(run)
        assert not read_again(run)

    def test_is_nothing_for_options_that_do_not_decide(self, run: Importing) -> None:
        for options in ({"on_missing": "delete"}, {"batch_size": 1}, {"max_quarantined": 9}, {"max_in_flight": 1}):
            assert not read_again(run, **options)


def test_row_key_that_rows_lack_and_is_taken_back_brings_them_in(run: Importing) -> None:
    run.put("good.json", {"text": "good", "id": 1})
    run.put("rows.json", texts("1", "2"))
    assert some(run(row_key="id")) == {"new": 1, "tasks_created": 1, "quarantined": 2}
    assert some(run()) == {"unchanged": 1, "new": 2, "tasks_created": 2}
    assert run.quarantine() == {}


def test_data_key_that_the_label_config_does_not_use_and_is_corrected_brings_the_blobs_in(run: Importing) -> None:
    blobs: dict[str, Any] = {"use_blob_urls": True}
    with pytest.raises(Invalid, match="data_key='picture'"):
        run(**blobs, data_key="picture")
    assert some(run(**blobs)) == {"new": 1, "tasks_created": 1}
    assert run.quarantine() == {}


@pytest.mark.parametrize("options", [{}, {"row_key": "id"}], ids=str)
def test_label_config_that_became_strict_takes_nothing_away(run: Importing, options: dict[str, Any]) -> None:
    run.world.set_strict(False)
    run.put("rows.json", [{"image": "1", "id": 1}, {"text": "2", "id": 2}])
    run()
    run.world.set_strict(True)
    report = run(on_missing="delete", max_delete=9)
    assert (report.missing, report.tasks_deleted) == (0, 0)
    assert len(run.tasks()) == 3


class TestTable:
    """Holds exactly what is in quarantine after every run."""

    @pytest.fixture(autouse=True)
    def imported(self, run: Importing) -> None:
        run.put("bad.json", "{")
        run.put("rows.jsonl", lines({"text": "1"}, "{", {"text": "2"}, "{"))
        assert run().quarantined == 3
        assert run.quarantine() == {("bad.json", None): 1, ("rows.jsonl", 1): 1, ("rows.jsonl", 3): 1}

    def test_when_rows_move(self, run: Importing) -> None:
        run.put("rows.jsonl", lines("{", {"text": "1"}, {"text": "2"}))
        assert run().quarantined == 2
        assert run.quarantine() == {("bad.json", None): 1, ("rows.jsonl", 0): 1}

    def test_when_a_file_becomes_good_as_a_whole_or_bad_as_a_whole(self, run: Importing) -> None:
        run.put("bad.json", texts("mended", "both"))
        run.put("rows.jsonl", "")
        assert run().quarantined == 1
        assert run.quarantine() == {("rows.jsonl", None): 1}

    @pytest.mark.parametrize("on_missing", ["report", "delete"])
    def test_when_objects_go(self, run: Importing, on_missing: str) -> None:
        for key in ("bad.json", "rows.jsonl"):
            run.source.delete(key)
        assert run(on_missing=on_missing, max_delete=9).quarantined == 0
        assert run.quarantine() == {}

    def test_when_a_run_fails_for_too_much_of_it(self, run: Importing) -> None:
        before = run.quarantine()
        for _ in range(2):
            with pytest.raises(TooManyQuarantined):
                run(max_quarantined=0)
            assert run.quarantine() == before

    def test_when_a_run_breaks_off_behind_it(self, run: Importing, monkeypatch: pytest.MonkeyPatch) -> None:
        before = run.quarantine()
        run.put("bad.json", "{{")
        run.put("z.json", texts("z"))
        refuse(monkeypatch, "z.json", Unavailable("the storage is down"))
        with pytest.raises(Unavailable):
            run()
        assert run.quarantine() == before

    def test_when_a_run_breaks_off_before_it(self, run: Importing, monkeypatch: pytest.MonkeyPatch) -> None:
        before = run.quarantine()
        run.put("a.json", texts("a"))
        run.put("rows.jsonl", lines({"text": "1"}, {"text": "2"}))
        refuse(monkeypatch, "a.json", Unavailable("the storage is down"))
        with pytest.raises(Unavailable):
            run(max_in_flight=1)
        assert run.quarantine() == before

    def test_holds_nothing_twice_for_an_object_listed_through_two_prefixes(self, run: Importing) -> None:
        before = run.quarantine()
        run("rows")
        run("")
        assert run.quarantine() == before


class TestEverything:
    """Of a first run in quarantine is no import: the wrong parameters look like this."""

    @pytest.fixture
    def pictures(self, run: Importing) -> Importing:
        run.source.delete("good.json")
        for name in ("a.jpg", "b.jpg"):
            run.put(name, "a picture")
        return run

    @pytest.mark.parametrize("dry_run", [True, False])
    def test_fails_each_run_with_what_to_do_and_is_not_tried_again(self, pictures: Importing, dry_run: bool) -> None:
        for _ in range(2):
            with pytest.raises(
                TooManyQuarantined, match=r"Nothing could be imported.*set use_blob_urls=True"
            ) as caught:
                pictures(dry_run=dry_run)
            assert not caught.value.retry_may_help
            assert "a.jpg" in str(caught.value)

    def test_of_the_rows_of_the_only_file_fails_too(self, run: Importing) -> None:
        run.source.delete("good.json")
        run.put("rows.json", [{"image": "1"}, {"image": "2"}])
        with pytest.raises(TooManyQuarantined, match=r"2 rows: .*Such as rows\.json, row 0, rows\.json, row 1"):
            run()

    def test_but_one_object_is_green(self, pictures: Importing) -> None:
        pictures.put("good.json", texts("good"))
        assert some(pictures()) == {"new": 1, "tasks_created": 1, "quarantined": 2}
        assert some(pictures()) == {"unchanged": 1, "quarantined": 2}

    def test_is_green_where_something_was_imported_before(self, run: Importing) -> None:
        run()
        run.put("good.json", "{")
        assert run().quarantined == 1


class TestShare:
    """`max_quarantined` below 1 is one of the matched objects."""

    @pytest.fixture(autouse=True)
    def objects(self, run: Importing) -> None:
        for n in range(8):
            run.put(f"{n}.json", texts(str(n)))
        run.put("bad.json", "{")

    @pytest.mark.parametrize("again", [False, True], ids=["new", "known"])
    def test_counts_an_object_with_bad_rows_once(self, run: Importing, again: bool) -> None:
        run.put("bad.jsonl", lines("{", {"text": "1"}, "{"))
        run.source.delete("bad.json")
        for _ in range(1 + again):
            assert run(max_quarantined=0.1).quarantined == 2

    @pytest.mark.parametrize("again", [False, True], ids=["new", "known"])
    def test_that_is_passed_fails_the_run_after_the_good_ones_are_in(self, run: Importing, again: bool) -> None:
        for _ in range(1 + again):
            with pytest.raises(TooManyQuarantined, match=r"1 of 10 objects .* max_quarantined is 0\.09, a share"):
                run(max_quarantined=0.09)
        assert len(run.tasks()) == 9

    def test_is_of_those_that_match(self, run: Importing) -> None:
        with pytest.raises(TooManyQuarantined, match="1 of 2 objects"):
            run(max_quarantined=0.4, regex_filter="bad|1")


class TestLog:
    """One line for each reason."""

    @pytest.fixture
    def said(self, caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
        return lambda: [record.message for record in caplog.records if record.message.startswith("Quarantined")]

    def test_counts_what_has_the_same_reason_and_names_a_few(self, run: Importing, said: Callable) -> None:
        for n in range(40):
            run.put(f"{n:02}.jpg", "a picture")
        run.put("bad.json", "{")
        run()
        pictures, malformed = said()
        assert pictures.startswith(
            "Quarantined 40 objects: not a task file; for pictures, set use_blob_urls=True ('Import each file as one "
            "task' in the form); to leave it out"
        )
        assert pictures.endswith(". Such as 00.jpg, 01.jpg, 02.jpg")
        assert malformed.startswith("Quarantined 1 object: malformed JSON")

    def test_takes_reasons_for_the_same_that_differ_in_what_is_the_rows_own(
        self, run: Importing, said: Callable
    ) -> None:
        times = [{"data": {"text": "1"}, "annotations": [{"result": [], "lead_time": f"{n} s"}]} for n in range(50)]
        run.put("rows.json", times)
        for n in range(50):
            run.put(f"{n}.json", f"{chr(ord('A') + n % 20)}{n}")
        run()
        assert len(said()) == 2, said()

    def test_says_on_one_line_what_is_in_quarantine_still(
        self, run: Importing, caplog: pytest.LogCaptureFixture
    ) -> None:
        run.put("bad.json", "{")
        run.put("rows.json", [{"other": 1}, {"text": "good"}, 5])
        assert run().quarantined_now == 3
        caplog.clear()
        report = run()
        assert (report.quarantined, report.quarantined_now) == (3, 0)
        (line,) = [record.message for record in caplog.records if "quarantine since" in record.message]
        assert line.startswith(
            "In quarantine since earlier runs, and not tried again: 3 objects or rows, such as bad.json: malformed JSON"
        )
        assert "the table labelsync_quarantine" in line
        assert "one that has changed is tried again" in line

    def test_is_bounded_whatever_the_reasons_are(self) -> None:
        aside = SetAside()
        for n in range(1000):
            word = "".join(chr(ord("a") + int(digit)) for digit in str(n))
            aside.note(Failure(f"{n}.json", n, f"the {word} reason"))
        lines = aside.lines()
        assert len(lines) == REASONS + 1
        assert lines[-1].startswith("970 rows: for other reasons")

    def test_is_said_of_a_run_that_breaks_off_too(
        self, run: Importing, said: Callable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run.put("bad.json", "{")
        run.put("z.json", texts("z"))
        refuse(monkeypatch, "z.json", Unavailable("the storage is down"))
        with pytest.raises(Unavailable):
            run(max_in_flight=1)
        assert len(said()) == 1


def refuse(monkeypatch: pytest.MonkeyPatch, key: str, error: Exception) -> None:
    """Let an object of any bucket be one that cannot be read."""
    read = BucketStorage.read

    def reading(self: BucketStorage, asked: str, *given: Any) -> bytes:
        if asked == key:
            raise error
        return read(self, asked, *given)

    monkeypatch.setattr(BucketStorage, "read", reading)


def test_object_that_may_not_be_read_for_the_moment_is_tried_by_every_run(
    run: Importing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No permission, an archived object: that passes without a new version."""
    run.put("archived.json", texts("archived"))
    with monkeypatch.context() as patch:
        refuse(patch, "archived.json", Denied("it is archived"))
        for _ in range(2):
            assert run().quarantined == 1
            assert run.quarantine() == {("archived.json", None): 1}
    assert some(run()) == {"unchanged": 1, "new": 1, "tasks_created": 1}
    assert run.quarantine() == {}


@pytest.fixture
def remote(engine: Engine) -> Importing:
    """Imports into a server that fails over rows that say `poison`, with a clock of its own."""
    clock = Clock()
    world = FakeWorld(clock, reuses_ids=False)
    runtime = Runtime(now=clock, monotonic=clock, sleep=clock.sleep, renews_leases=False)
    return Importing(Bucket(), world, engine, runtime)


def failing(monkeypatch: pytest.MonkeyPatch, error: Callable[[], Exception]) -> list[int]:
    """Let every import fail; return the sizes of the batches, as they come."""
    asked: list[int] = []

    def import_tasks(self: FakeProject, tasks: list[Task]) -> list[int | Rejected]:
        asked.append(len(tasks))
        raise error()

    monkeypatch.setattr(FakeProject, "import_tasks", import_tasks)
    return asked


class TestServerThatFails:
    """It is the server, and no property of any object."""

    @pytest.fixture(autouse=True)
    def objects(self, remote: Importing) -> None:
        remote.put("a.json", texts(*map(str, range(300))))

    @pytest.mark.parametrize(
        "error",
        [lambda: RequestFailed("500: no space left on device"), lambda: Unavailable("no answer")],
        ids=["5xx", "no answer"],
    )
    def test_over_every_part_of_a_batch_fails_the_run_and_quarantines_nothing(
        self, remote: Importing, error: Callable[[], Exception], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            asked = failing(patch, error)
            with pytest.raises(Unavailable):
                remote()
            assert len(asked) <= 2 + HALVINGS, "the batch, and the requests of one halving path"
        assert remote.quarantine() == {}
        assert remote().quarantined == 0
        assert sorted(remote.texts()) == sorted(map(str, range(300)))

    def test_fails_the_next_run_too_and_has_lost_nothing_when_it_is_well(
        self, remote: Importing, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            failing(patch, lambda: RequestFailed("503"))
            for _ in range(3):
                with pytest.raises(RequestFailed):
                    remote()
        assert some(remote()) == {"new": 300, "tasks_created": 300}

    def test_over_a_single_task_quarantines_that_one_and_tries_it_again(self, remote: Importing) -> None:
        remote.put("b.json", texts("x", "poison", "y"))
        for number in range(3):
            report = remote()
            assert (report.quarantined, report.new) == (1, 0 if number else 302)
            assert remote.quarantine() == {("b.json", 1): 1}
        assert "poison" not in remote.texts()
        remote.put("c.json", texts("new"))
        assert some(remote()) == {"unchanged": 302, "new": 1, "tasks_created": 1, "quarantined": 1}
        remote.put("b.json", texts("x", "healed", "y"))
        assert some(remote()) == {"unchanged": 303, "new": 1, "tasks_created": 1}
        assert remote.quarantine() == {}
