"""The sensor for new objects: what it waits for, in a worker, from look to look, and outside of it."""

import asyncio
import gc
import importlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG
from older_airflows import reschedules, skips_at_the_end_of_its_time
from sqlalchemy import text

from labelsync_provider.airflow_compat import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)
from labelsync_provider.operators.import_storage import ImportStorageSyncOperator
from labelsync_provider.sensors.storage import NewObjectsSensor
from labelsync_provider.triggers.storage import NewObjectsTrigger

TEXT = "<View><Text name='text' value='$text'/></View>"
FOUND = {"listed": 2, "matched": 2, "new": 2, "retriable": 0, "settled": True}


@pytest.fixture
def waiting(connections: Any, project: Any) -> Callable[..., NewObjectsSensor]:
    """Make sensors for the source and the project of the connections."""

    def waiting(**arguments: Any) -> NewObjectsSensor:
        arguments = {"source": connections.uri, "project": "Pets", "poke_interval": 0.01} | arguments
        return NewObjectsSensor(task_id="wait", **arguments)

    return waiting


@pytest.fixture
def soon(connections: Any) -> Iterator[Callable[[float, str], None]]:
    """Have an object come to the source after some seconds."""
    threads = []

    def soon(seconds: float, key: str) -> None:
        thread = threading.Timer(seconds, connections.put, (key, [{"text": key}]))
        thread.start()
        threads.append(thread)

    yield soon
    for thread in threads:
        thread.join()


def two_objects(connections: Any) -> None:
    connections.put("a.json", [{"text": "a"}])
    connections.put("b.json", [{"text": "b"}])


class TestWhatItWaitsFor:
    def test_is_there_and_is_counted(self, waiting: Callable, connections: Any) -> None:
        two_objects(connections)
        assert waiting().execute({}) == FOUND

    def test_comes_while_it_looks(self, waiting: Callable, soon: Callable) -> None:
        soon(0.2, "a.json")
        assert waiting().execute({})["new"] == 1

    def test_is_nothing_that_was_imported(self, waiting: Callable, connections: Any) -> None:
        two_objects(connections)
        ImportStorageSyncOperator(task_id="load", source=connections.uri, project="Pets").execute({})
        with pytest.raises(AirflowSensorTimeout):
            waiting(timeout=0).execute({})
        connections.put("c.json", [{"text": "c"}])
        assert waiting().execute({})["new"] == 1

    def test_is_as_many_as_are_asked_for(self, waiting: Callable, connections: Any) -> None:
        two_objects(connections)
        assert waiting(min_objects="2").execute({}) == FOUND
        with pytest.raises(AirflowSensorTimeout):
            waiting(min_objects=3, timeout=0).execute({})

    def test_is_said_while_it_is_not_there(
        self, waiting: Callable, connections: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        connections.put("a.json", [{"text": "a"}])
        with pytest.raises(AirflowSensorTimeout):
            waiting(min_objects=3, timeout=0).execute({})
        assert "1 new of 1 object listed, 1 of which match. Waiting for 3." in capsys.readouterr().out
        two_objects(connections)
        with pytest.raises(AirflowSensorTimeout):
            waiting(min_objects=3, timeout=0).execute({})
        said = "2 new of 2 objects listed, 2 of which match. Waiting for 3."
        assert f"{connections.uri}: {said}" in capsys.readouterr().out
        with pytest.raises(AirflowSensorTimeout):
            waiting(regex_filter=r".*\.jpg", timeout=0).execute({})
        assert r"regex_filter '.*\\.jpg' does not match 'a.json', for one" in capsys.readouterr().out

    def test_is_in_any_of_several_sources(self, waiting: Callable, connections: Any, folder: Callable) -> None:
        two_objects(connections)
        other = folder("other")
        sources = [connections.uri, other.uri]
        with pytest.raises(AirflowSensorTimeout):
            waiting(source=sources, min_objects=3, timeout=0).execute({})
        other.put("c.json", {"text": "c"})
        assert waiting(source=sources, min_objects=3).execute({}) == FOUND | {"listed": 3, "matched": 3, "new": 3}
        assert waiting(source=json.dumps(sources), min_objects=3).execute({})["new"] == 3, "as a template gives it"

    def test_is_everything_for_a_project_that_the_import_creates(self, waiting: Callable, connections: Any) -> None:
        two_objects(connections)
        created: dict[str, Any] = {"project": "Cats", "create_if_missing": TEXT}
        assert waiting(**created).execute({}) == FOUND
        ImportStorageSyncOperator(task_id="load", source=connections.uri, **created).execute({})
        with pytest.raises(AirflowSensorTimeout):
            waiting(**created, timeout=0).execute({})

    def test_is_what_is_new_to_the_project_that_has_the_title_now(self, waiting: Callable, connections: Any) -> None:
        from labelsync_provider.hooks.database import labelsync_database
        from labelsync_provider.hooks.label_studio import LabelStudioHook

        two_objects(connections)
        ImportStorageSyncOperator(task_id="load", source=connections.uri, project="Pets").execute({})
        sensor = waiting()
        assert not sensor.poke({}).is_done
        with labelsync_database().begin() as database:
            database.execute(text("UPDATE labelsync_project SET title = 'Old pets'"))
        LabelStudioHook().create_project("Pets", TEXT)
        assert sensor.poke({}).xcom_value == FOUND

    def test_is_told_by_the_options_of_the_import_whatever_else_that_takes(
        self, waiting: Callable, connections: Any
    ) -> None:
        two_objects(connections)
        options = {"on_missing": "delete", "max_delete": 5, "url_mode": "storage", "batch_size": 10, "dry_run": False}
        assert waiting(**options, min_objects=2).execute({}) == FOUND
        with pytest.raises(TypeError, match="no_option"):
            waiting(no_option=1)


class TestSettling:
    def test_lasts_until_nothing_has_changed_for_so_long(
        self, waiting: Callable, connections: Any, soon: Callable
    ) -> None:
        two_objects(connections)
        soon(0.3, "c.json")
        began = time.monotonic()
        found = waiting(settle_seconds=0.5).execute({})
        assert (found["new"], found["settled"]) == (3, True)
        assert time.monotonic() - began >= 0.8

    def test_of_what_was_there_takes_as_long_whatever_its_times_say(self, waiting: Callable, connections: Any) -> None:
        """A copy keeps the times of its files: they tell nothing of when it was made."""
        two_objects(connections)  # of 2023
        began = time.monotonic()
        waiting(settle_seconds=0.3).execute({})
        assert time.monotonic() - began >= 0.3

    def test_is_cut_short_by_what_is_waited_at_most(
        self, waiting: Callable, connections: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        two_objects(connections)
        began = time.monotonic()
        found = waiting(settle_seconds=60, max_wait=timedelta(seconds=0.3)).execute({})
        assert found == FOUND | {"settled": False}
        assert time.monotonic() - began < 10
        said = capsys.readouterr().out
        assert "Nothing has changed for 0 s, of 60 s; 0 s are waited at most." in said
        assert "max_wait, 0 s, is over" in said

    def test_begins_once_there_are_enough(self, waiting: Callable, connections: Any, soon: Callable) -> None:
        connections.put("a.json", [])
        soon(0.5, "b.json")
        began = time.monotonic()
        waiting(min_objects=2, settle_seconds=60, max_wait=0.4).execute({})
        assert time.monotonic() - began >= 0.9


class TestFailing:
    def test_names_a_mistake_and_is_not_tried_again(self, waiting: Callable, connections: Any) -> None:
        for mistake in (
            {"source": "ftp://a"},
            {"project": "Cats"},
            {"source": f"{connections.uri}/nowhere"},
            {"min_objects": 0},
            {"settle_seconds": -1},
            {"regex_filter": "("},
            {"on_changed": "delete"},
        ):
            (name,) = mistake
            with pytest.raises(AirflowFailException, match=name if name != "source" else "ftp|nowhere"):
                waiting(**mistake).execute({})

    @pytest.mark.parametrize("deferrable", [False, True])
    def test_skips_the_task_where_that_is_wished(self, waiting: Callable, deferrable: bool) -> None:
        with pytest.raises(AirflowSkipException):
            waiting(project="Cats", soft_fail=True, deferrable=deferrable).execute({})

    @pytest.mark.parametrize("deferrable", [False, True])
    def test_of_a_first_look_that_may_succeed_later_is_up_to_the_retries(
        self, waiting: Callable, broken: Callable, deferrable: bool
    ) -> None:
        broken(looks=range(1, 2))
        with pytest.raises(AirflowException, match="the disk is away") as caught:
            waiting(deferrable=deferrable).execute({})
        assert type(caught.value) is AirflowException

    def test_of_a_later_look_is_none_if_it_may_succeed(
        self, waiting: Callable, connections: Any, broken: Callable, capsys: pytest.CaptureFixture[str]
    ) -> None:
        broken(looks=range(2, 5), then=lambda: connections.put("a.json", [{"text": "a"}]))
        assert waiting().execute({})["new"] == 1
        assert capsys.readouterr().out.count("Looking again in 0.01 s: the disk is away") == 3

    def test_of_a_later_look_that_a_person_must_mend_is_one(self, waiting: Callable, connections: Any) -> None:
        threading.Timer(0.2, connections.path.rmdir).start()
        with pytest.raises(AirflowFailException, match=str(connections.path)):
            waiting().execute({})


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have some listings of local files break off, by their number from 1; then something happens."""
    from labelsync_provider.errors import Unavailable
    from labelsync_provider.storages.local_files import LocalFiles

    listed = LocalFiles.list

    def broken(looks: range, then: Callable[[], object] = lambda: None) -> None:
        numbers = iter(range(1, 1_000_000))

        def listing(storage: LocalFiles) -> Any:
            number = next(numbers)
            if number == looks[-1]:
                then()
            if number in looks:
                raise Unavailable("the disk is away")
            return listed(storage)

        monkeypatch.setattr(LocalFiles, "list", listing)

    return broken


def deferral_of(sensor: NewObjectsSensor) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        sensor.execute({})
    return caught.value


async def first_event(trigger: Any) -> dict[str, Any]:
    return (await anext(trigger.run())).payload


class TestDeferred:
    def test_needs_no_triggerer_for_what_is_there(self, waiting: Callable, connections: Any) -> None:
        two_objects(connections)
        assert waiting(deferrable=True).execute({}) == FOUND

    def test_leaves_the_worker_with_its_time_out(self, waiting: Callable) -> None:
        deferral = deferral_of(waiting(deferrable=True, timeout=7))
        assert (deferral.timeout, deferral.method_name) == (timedelta(seconds=7), "execute_complete")

    def test_comes_back_with_what_came(self, waiting: Callable, soon: Callable) -> None:
        sensor = waiting(deferrable=True)
        trigger = deferral_of(sensor).trigger
        soon(0.2, "a.json")
        assert sensor.execute_complete({}, asyncio.run(first_event(trigger)))["new"] == 1

    def test_sleeps_before_its_first_event(self, waiting: Callable, connections: Any) -> None:
        """Airflow 3.3 fails a task whose trigger answers before the scheduler knows that it was deferred."""
        trigger = deferral_of(waiting(deferrable=True, poke_interval=0.5)).trigger
        two_objects(connections)
        began = time.monotonic()
        asyncio.run(first_event(trigger))
        assert time.monotonic() - began >= 0.5

    def test_goes_on_in_another_triggerer_from_what_airflow_keeps_of_it(
        self, waiting: Callable, connections: Any
    ) -> None:
        two_objects(connections)
        path, kwargs = deferral_of(waiting(deferrable=True, settle_seconds=0.3)).trigger.serialize()
        time.sleep(0.3)
        assert path == f"{NewObjectsTrigger.__module__}.NewObjectsTrigger"
        trigger = NewObjectsTrigger(**json.loads(json.dumps(kwargs)))
        assert asyncio.run(first_event(trigger)) == {"found": FOUND}

    def test_fails_for_good_with_what_a_person_must_mend(self, waiting: Callable, connections: Any) -> None:
        sensor = waiting(deferrable=True)
        trigger = deferral_of(sensor).trigger
        connections.path.rmdir()
        with pytest.raises(AirflowFailException, match=str(connections.path)):
            sensor.execute_complete({}, asyncio.run(first_event(trigger)))

    def test_looks_again_when_it_could_not_look(
        self, waiting: Callable, connections: Any, broken: Callable, capsys: pytest.CaptureFixture[str]
    ) -> None:
        trigger = deferral_of(waiting(deferrable=True)).trigger
        two_objects(connections)
        broken(looks=range(1, 3))
        assert asyncio.run(first_event(trigger)) == {"found": FOUND}
        assert capsys.readouterr().out.count("the disk is away") == 2

    @pytest.mark.parametrize(
        ("soft_fail", "raised"),
        [
            (False, AirflowSensorTimeout),
            pytest.param(True, AirflowSkipException, marks=skips_at_the_end_of_its_time),
        ],
    )
    def test_fails_or_is_skipped_when_the_scheduler_finds_that_its_time_is_over(
        self, waiting: Callable, soft_fail: bool, raised: type
    ) -> None:
        from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR, TriggerFailureReason

        sensor = waiting(deferrable=True, soft_fail=soft_fail)
        with pytest.raises(raised):
            sensor.resume_execution(TRIGGER_FAIL_REPR, {"error": TriggerFailureReason.TRIGGER_TIMEOUT}, {})

    def test_is_what_airflow_is_configured_to(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from labelsync_provider.sensors import looking

        monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "True")
        try:
            assert importlib.reload(looking).LookingSensor(task_id="t").deferrable is True
        finally:
            monkeypatch.undo()
            assert importlib.reload(looking).LookingSensor(task_id="t").deferrable is False

    def test_does_not_hold_up_the_event_loop_for_as_long_as_a_slow_source_takes(
        self, waiting: Callable, connections: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from labelsync_provider.storages.local_files import LocalFiles

        trigger = deferral_of(waiting(deferrable=True)).trigger
        for number in range(5_000):
            (connections.path / f"{number}.json").write_text("{}")
        listed = LocalFiles.list

        def slowly(storage: LocalFiles) -> Any:
            time.sleep(0.3)
            yield from listed(storage)

        monkeypatch.setattr(LocalFiles, "list", slowly)
        pauses = []
        for _ in range(3):
            event, longest = asyncio.run(longest_pause_during(first_event(trigger)))
            assert event["found"]["new"] == 5_000
            pauses.append(longest)
        # What the machine is busy with besides does not hit all of them.
        assert min(pauses) < 0.1

    def test_would_be_noticed_to_hold_up_the_event_loop(self, waiting: Callable, connections: Any) -> None:
        trigger = deferral_of(waiting(deferrable=True)).trigger
        two_objects(connections)

        async def holding_up() -> Any:
            await asyncio.sleep(0)
            time.sleep(0.2)
            return await first_event(trigger)

        assert asyncio.run(longest_pause_during(holding_up()))[1] >= 0.2


@pytest.fixture(autouse=True)
def without_the_memory_of_airflow() -> Iterator[None]:
    """To look through all that Airflow has in memory takes Python 0.3 s now and then, whoever's turn it is."""
    gc.freeze()
    yield
    gc.unfreeze()


async def longest_pause_during(waiting: Any) -> tuple[Any, float]:
    """Return what is waited for, and for how long nothing else got its turn meanwhile, in seconds."""
    task, longest, last = asyncio.ensure_future(waiting), 0.0, time.monotonic()
    while not task.done():
        await asyncio.sleep(0.001)
        now = time.monotonic()
        longest, last = max(longest, now - last), now
    return task.result(), longest


class TestInADag:
    def dag(self, name: str, sensor: Callable[[], NewObjectsSensor], source: str) -> DAG:
        with DAG(name, schedule=None) as dag:
            sensor() >> ImportStorageSyncOperator(task_id="load", source=source, project="Pets")
        return dag

    @pytest.mark.parametrize(
        "how",
        [{"mode": "poke"}, pytest.param({"mode": "reschedule"}, marks=reschedules), {"deferrable": True}],
        ids=str,
    )
    def test_waits_until_the_set_is_whole(
        self, run_dag: Callable, waiting: Callable, connections: Any, soon: Callable, how: dict[str, Any]
    ) -> None:
        two_objects(connections)
        source = "{{ params.source }}"
        arguments = {"source": source, "settle_seconds": "{{ 2 }}", "poke_interval": 0.2, **how}
        dag = self.dag(f"wait_{'_'.join(map(str, how.values()))}", lambda: waiting(**arguments), source)
        dag.params["source"] = connections.uri
        soon(1, "c.json")
        run = run_dag(dag)
        assert run.state == "success"
        pull = {ti.task_id: ti.xcom_pull(task_ids=ti.task_id) for ti in run.get_task_instances()}
        assert pull["wait"] == {"listed": 3, "matched": 3, "new": 3, "retriable": 0, "settled": True}
        assert pull["load"]["tasks_created"] == 3
