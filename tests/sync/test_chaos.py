"""S3 on a bad day: a proxy that slows down, resets and truncates stands between the package and the server."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from places import Directory, S3Place, as_bytes, content
from servers.chaos import Chaos, running_chaos
from servers.s3 import S3Server
from sqlalchemy import Engine, select

from labelsync_provider.errors import Unavailable, UploadsFailed
from labelsync_provider.projects.embedded.project import EmbeddedProject
from labelsync_provider.projects.embedded.tables import TASK
from labelsync_provider.projects.protocol import Task
from labelsync_provider.retry import RETRY_SECONDS
from labelsync_provider.storages.protocol import Storage
from labelsync_provider.sync import ExportOptions, ImportOptions, export_annotations, import_storage

pytest_plugins = ["servers.s3"]

OBJECTS = 500
BUDGET, MARGIN = 2.0, 5.0
FAULTS = ["slow_down", "reset", "truncate"]

# Long enough that half of it is something else.
WORDS = "What a lovely day it is to label. " * 10


@pytest.fixture
def bucket(weed: S3Server) -> S3Place:
    return S3Place(weed, weed.create_bucket())


@pytest.fixture
def chaos(weed: S3Server) -> Iterator[Chaos]:
    """A third of the requests is slowed down; of a twentieth each, the connection is reset and the answer cut off."""
    with running_chaos(weed.endpoint) as chaos:
        yield chaos


@pytest.fixture
def disturbed(bucket: S3Place, chaos: Chaos) -> S3Place:
    """The same bucket, through the proxy."""
    return bucket.through(chaos.endpoint)


def import_from(source: Storage, project: EmbeddedProject, engine: Engine) -> Any:
    return import_storage(source, project, engine, ImportOptions(), "a test")


def export_to(target: Storage, project: EmbeddedProject, engine: Engine) -> Any:
    return export_annotations(project, target, engine, ExportOptions(), "a test")


def fill(bucket: S3Place, count: int) -> None:
    """Write task files, past the proxy."""
    storage = bucket.open()

    def write(number: int) -> None:
        storage.write(f"in/{number:05}.json", as_bytes({"text": f"{number} {WORDS}"}))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(write, range(count)))


def annotate(project: EmbeddedProject, count: int) -> None:
    """Add annotated tasks."""
    project.import_tasks(
        [Task({"text": f"{n}"}, annotations=[{"result": [{"value": WORDS, "n": n}]}]) for n in range(count)]
    )


def assert_faults_of_every_kind(chaos: Chaos, *, of_answers: bool = True) -> None:
    """Make sure that there were faults enough.

    :param of_answers: whether those too that cut an answer: most of what is answered to writes has no body.
    """
    assert chaos.slowed > OBJECTS / 5
    assert min(chaos.lost, chaos.resets - chaos.lost) > OBJECTS / 100
    assert chaos.truncated > OBJECTS / 1000 or not of_answers


def test_every_object_is_imported_once_and_whole(
    bucket: S3Place, disturbed: S3Place, chaos: Chaos, project: EmbeddedProject, engine: Engine
) -> None:
    fill(bucket, OBJECTS)
    report = import_from(disturbed.open("in/"), project, engine)
    assert (report.listed, report.tasks_created, report.quarantined, report.gone) == (OBJECTS, OBJECTS, 0, 0)
    with engine.connect() as connection:
        found = Counter(data["text"] for data in connection.scalars(select(TASK.c.data)))
    assert found == Counter(f"{n} {WORDS}" for n in range(OBJECTS))
    assert_faults_of_every_kind(chaos)
    again = import_from(disturbed.open("in/"), project, engine)
    assert (again.unchanged, again.tasks_created) == (OBJECTS, 0)


def test_every_annotation_is_exported_once_and_whole(
    bucket: S3Place, disturbed: S3Place, chaos: Chaos, project: EmbeddedProject, engine: Engine, tmp_path: Any
) -> None:
    annotate(project, OBJECTS)
    report = export_to(disturbed.open("out/"), project, engine)
    assert (report.annotations, report.written, report.failed) == (OBJECTS, OBJECTS, 0)
    assert_faults_of_every_kind(chaos, of_answers=False)
    undisturbed = Directory(tmp_path)
    export_to(undisturbed.open("undisturbed/"), project, engine)
    assert content(bucket, "out/") == content(undisturbed, "undisturbed/")
    again = export_to(disturbed.open("out/"), project, engine)
    assert (again.unchanged, again.written, again.gone) == (OBJECTS, 0, 0)


def test_a_request_is_tried_for_a_minute_at_most() -> None:
    assert RETRY_SECONDS <= 60


@contextmanager
def within_the_budget() -> Iterator[None]:
    """What is done in the block has to end in the time that a request is tried, and a little more."""
    started = time.monotonic()
    yield
    assert time.monotonic() - started < BUDGET + MARGIN


def impatient(place: S3Place, prefix: str) -> Storage:
    return place.open(prefix, retry_seconds=BUDGET)


def outage(chaos: Chaos, fault: str = "slow_down") -> None:
    """Let every request fail from now on, in one way."""
    chaos.slow_down = chaos.reset = chaos.truncate = 0
    setattr(chaos, fault, 1)


def after_listing(storage: Any, then: Callable[[], None]) -> Any:
    """Let something happen when the storage has been listed, and before anything else is done."""
    listing = storage.list

    def list_and_then() -> Iterator[Any]:
        pages = list(listing())
        then()
        yield from pages

    storage.list = list_and_then
    return storage


ENDS = {"import": (import_from, "in/"), "export": (export_to, "out/")}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("work", "prefix"), ENDS.values(), ids=ENDS)
def test_an_outage_ends_within_the_budget_with_what_was_tried(
    disturbed: S3Place,
    chaos: Chaos,
    project: EmbeddedProject,
    engine: Engine,
    fault: str,
    work: Callable[..., Any],
    prefix: str,
) -> None:
    annotate(project, 1)
    outage(chaos, fault)
    says = r"s3://test-\w+: cannot list objects: .* Tried for \d s\.$"
    with within_the_budget(), pytest.raises(Unavailable, match=says) as caught:
        work(impatient(disturbed, prefix), project, engine)
    assert caught.value.retry_may_help


def test_an_outage_that_begins_while_objects_are_read_ends_within_the_budget(
    bucket: S3Place, disturbed: S3Place, chaos: Chaos, project: EmbeddedProject, engine: Engine
) -> None:
    fill(bucket, 200)
    storage = after_listing(impatient(disturbed, "in/"), lambda: outage(chaos))
    says = r"cannot read in/00000.json: 503 SlowDown.* Tried for \d s\.$"
    with within_the_budget(), pytest.raises(Unavailable, match=says):
        import_from(storage, project, engine)


def test_an_outage_that_begins_while_objects_are_written_ends_within_the_budget(
    bucket: S3Place, disturbed: S3Place, chaos: Chaos, project: EmbeddedProject, engine: Engine
) -> None:
    annotate(project, 200)
    storage = after_listing(impatient(disturbed, "out/"), lambda: outage(chaos))
    says = r"out/1.json.* 503 SlowDown"
    with within_the_budget(), pytest.raises((Unavailable, UploadsFailed), match=says):
        export_to(storage, project, engine)
    assert bucket.keys("out/") == []
