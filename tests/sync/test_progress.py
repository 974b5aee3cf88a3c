"""The lines that a person watching the log sees."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from importing import texts
from model.fake_project import Clock

from labelsync_provider.errors import UploadsFailed
from labelsync_provider.projects.embedded.project import EmbeddedProject
from labelsync_provider.projects.embedded.store import EmbeddedStore
from labelsync_provider.projects.protocol import Task
from labelsync_provider.sync import (
    ExportOptions,
    ExportReport,
    ImportOptions,
    Runtime,
    export_annotations,
    import_storage,
)
from labelsync_provider.sync.progress import Progress

log = logging.getLogger(__name__)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


class TestALine:
    def test_is_due_every_few_seconds(self, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
        progress = Progress(log, clock)
        for _ in range(30):
            clock.sleep(1)
            if progress.is_due():
                progress.say(1, "tasks in")
        assert len(caplog.messages) == 6

    def test_says_how_many_and_how_fast(self, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
        progress = Progress(log, clock)
        clock.sleep(10)
        progress.say(25_000, "objects listed", beside="3 tasks unchanged")
        assert caplog.messages == ["25,000 objects listed, 2,500/s, 3 tasks unchanged"]

    def test_says_what_is_left_where_the_total_is_known(self, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
        progress = Progress(log, clock)
        clock.sleep(10)
        progress.say(10_000, "tasks in", 30_000)
        progress.say(10_000, "tasks in", 3_000_000)
        assert caplog.messages == [
            "10,000 of 30,000 tasks in, 1,000/s, about 20 s left",
            "10,000 of 3,000,000 tasks in, 1,000/s, about 50 min left",
        ]

    def test_says_nothing_negative_when_more_comes_than_was_expected(
        self, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        progress = Progress(log, clock)
        clock.sleep(10)
        progress.say(20, "tasks in", 10)
        assert caplog.messages == ["20 of 20 tasks in, 2.0/s, about 0 s left"]

    def test_counts_the_rate_from_where_the_work_began(self, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
        progress = Progress(log, clock)
        clock.sleep(1000)
        progress.begin()
        clock.sleep(10)
        progress.say(100, "tasks in")
        assert caplog.messages == ["100 tasks in, 10/s"]


@pytest.fixture
def slow(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch takes two seconds, and each page of the listing one."""

    def slowed(owner: Any, name: str, seconds: float) -> None:
        original = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            clock.sleep(seconds)
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, call)

    slowed(EmbeddedProject, "import_tasks", 2)
    monkeypatch.setattr("labelsync_provider.storages.local_files.PAGE", 5)


@pytest.fixture
def lines(
    clock: Clock, slow: str, source: Any, project: Any, engine: Any, caplog: pytest.LogCaptureFixture
) -> Callable[..., list[str]]:
    def lines(**options: Any) -> list[str]:
        runtime = Runtime(monotonic=clock, renews_leases=False)
        import_storage(source.storage(), project, engine, ImportOptions(batch_size=1, **options), "a test", runtime)
        return [line for line in caplog.messages if "/s" in line]

    return lines


class TestOfAnImport:
    def test_names_the_tasks_in_and_the_total_once_the_listing_has_ended(self, source: Any, lines: Any) -> None:
        for n in range(12):
            source.put(f"{n:02}.jpg", b"1")
        first, *_, last = lines(use_blob_urls=True, data_key="image")
        assert first == "3 tasks in, 0.5/s, 5 objects listed so far"
        assert last == "12 of 12 tasks in, 0.5/s, about 0 s left"

    def test_names_the_files_read_until_the_last_one_is(self, source: Any, lines: Any) -> None:
        source.put("a.json", texts(*"abcd"))
        source.put("b.json", texts(*"efgh"))
        first, second = lines()[:2]
        assert first == "3 tasks in, 0.5/s, 0 of 2 objects read"
        assert second == "6 tasks in, 0.5/s, 1 of 2 objects read"

    def test_names_one_file(self, source: Any, lines: Any) -> None:
        source.put("a.json", texts(*"abcd"))
        assert lines()[0] == "3 tasks in, 0.5/s, 0 of 1 object read"

    def test_says_of_a_dry_run_what_would_be(
        self, source: Any, lines: Any, monkeypatch: pytest.MonkeyPatch, clock: Clock
    ) -> None:
        source.put("a.json", texts(*"abcd"))
        monkeypatch.setattr("labelsync_provider.sync.progress.SECONDS_BETWEEN_LINES", 0)
        assert any("tasks would come in" in line for line in lines(dry_run=True))

    def test_names_the_objects_listed_while_nothing_is_new(
        self, source: Any, lines: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        for n in range(12):
            source.put(f"{n:02}.jpg", b"1")
        lines(use_blob_urls=True, data_key="image")
        caplog.clear()
        monkeypatch.setattr("labelsync_provider.sync.progress.SECONDS_BETWEEN_LINES", 0)
        assert [line.partition(", ")[0] for line in lines(use_blob_urls=True, data_key="image")] == [
            "5 objects listed",
            "10 objects listed",
            "12 objects listed",
        ]


@pytest.fixture
def export_ten(engine: Any, target: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Callable[[], ExportReport]:
    """Exports ten annotations, two at a time, with a line of progress for each two."""
    monkeypatch.setattr("labelsync_provider.sync.progress.SECONDS_BETWEEN_LINES", 0)
    monkeypatch.setattr("labelsync_provider.sync.exporting.writing.AHEAD", 2)
    project = EmbeddedStore(engine).create_project("P", "<View/>")
    project.import_tasks([Task({"text": str(n)}, annotations=[{"result": []}]) for n in range(10)])
    options, runtime = ExportOptions(batch_size=2), Runtime(monotonic=clock)

    return lambda: export_annotations(project, target.storage(), engine, options, "a test", runtime)


def test_an_export_names_the_objects_in_step_of_all_there_are(
    export_ten: Callable[[], ExportReport], caplog: pytest.LogCaptureFixture
) -> None:
    export_ten()
    lines = [line for line in caplog.messages if "/s" in line]
    in_step = [int(line.removesuffix(" of 10 objects in step")) for line in (line.split(", ")[0] for line in lines)]
    # Two pages may be on their way at once: what is not confirmed yet does not count.
    assert len(lines) == 5
    assert all(2 * (page - 2) <= count <= 2 * page for page, count in enumerate(in_step, start=1))
    assert lines[-1].endswith(f"{in_step[-1]} written")


def test_an_export_does_not_count_what_could_not_be_written_as_in_step(
    export_ten: Callable[[], ExportReport], target: Any, caplog: pytest.LogCaptureFixture
) -> None:
    (target.path / "1.json").mkdir()
    with pytest.raises(UploadsFailed):
        export_ten()
    lines = [line for line in caplog.messages if "/s" in line]
    assert lines
    assert all(line.endswith(f", {line.partition(' of 10 objects in step')[0]} written") for line in lines)
