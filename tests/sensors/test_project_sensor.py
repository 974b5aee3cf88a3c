"""The sensor for labeling progress, over the embedded store: what is counted, what must hold, what it says."""

import asyncio
import itertools
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from older_airflows import reschedules

from labelsync_provider.airflow_compat import AirflowFailException, AirflowSensorTimeout, TaskDeferred
from labelsync_provider.operators.export_annotations import ExportAnnotationsOperator
from labelsync_provider.projects.protocol import Task
from labelsync_provider.sensors.project import LabelingProgressSensor
from labelsync_provider.triggers import project as trigger_module
from labelsync_provider.triggers.looking import seconds_in_words
from labelsync_provider.triggers.project import LabelingProgressTrigger

DONE: dict[str, Any] = {"result": []}
SKIPPED: dict[str, Any] = {"result": [], "was_cancelled": True}


@pytest.fixture
def waiting(connections: Any, project: Any) -> Callable[..., LabelingProgressSensor]:
    def waiting(**arguments: Any) -> LabelingProgressSensor:
        return LabelingProgressSensor(task_id="wait", **{"project": "Pets", "poke_interval": 0.01, **arguments})

    return waiting


@pytest.fixture
def wait(waiting: Callable) -> Callable[..., dict[str, Any] | None]:
    """Look once; return what was found, if it is enough."""

    def wait(**arguments: Any) -> dict[str, Any] | None:
        try:
            return waiting(timeout=0, **arguments).execute({})
        except AirflowSensorTimeout:
            return None

    return wait


@pytest.fixture
def add(project: Any) -> Callable[..., None]:
    """Add so many tasks with these annotations each."""

    def add(count: int, *annotations: dict[str, Any]) -> None:
        project.import_tasks([Task({"text": str(n)}, annotations=annotations) for n in range(count)])

    return add


class TestAnnotated:
    def test_is_a_number_of_tasks(self, wait: Callable, add: Callable) -> None:
        add(3, DONE, DONE)
        add(7)
        assert wait(min_annotated=3) == {"tasks": 10, "annotated": 3, "share": 0.3}
        assert wait(min_annotated=4) is None

    def test_is_a_share_of_them(self, wait: Callable, add: Callable) -> None:
        add(7, DONE)
        add(93)
        # 0.07 * 100 is more than 7 in binary.
        assert wait(min_share=0.07) is not None
        assert wait(min_share="0.071") is None

    def test_is_all_of_them_only_if_all_are(self, wait: Callable, add: Callable) -> None:
        add(999, DONE)
        add(1)
        assert wait(min_share=1) is None
        assert wait(min_share=0.999) is not None

    def test_is_no_share_of_no_tasks(self, wait: Callable) -> None:
        assert wait(min_share=0.01) is None

    def test_is_none_that_was_only_skipped(self, wait: Callable, add: Callable) -> None:
        add(1, SKIPPED)
        assert wait(min_annotated=1) is None
        add(1, SKIPPED, DONE)
        assert wait(min_annotated=1) == {"tasks": 2, "annotated": 1, "share": 0.5}

    def test_is_none_of_another_project(self, wait: Callable, add: Callable, store: Any) -> None:
        add(1)
        store.create_project("Cats", "<View/>").import_tasks([Task({"text": "a"}, annotations=[DONE])])
        assert wait(min_annotated=1) is None


class TestNew:
    @pytest.fixture(autouse=True)
    def exported(self, add: Callable, target: Any) -> None:
        add(3, DONE)
        add(1, SKIPPED)
        add(2)

    def export(self, target: Any, **options: Any) -> None:
        ExportAnnotationsOperator(task_id="labels", project="Pets", target=target.uri, **options).execute({})

    def test_is_everything_before_the_first_export(self, wait: Callable, target: Any) -> None:
        assert wait(min_new=3, target=target.uri) == {"new": 3}
        assert wait(min_new=4, target=target.uri) is None

    @pytest.mark.parametrize("options", [{}, {"layout": "task"}, {"include_cancelled": False}], ids=str)
    def test_is_what_was_annotated_since_the_last_one(
        self, wait: Callable, add: Callable, target: Any, options: dict[str, Any]
    ) -> None:
        self.export(target, **options)
        assert wait(min_new=1, target=target.uri) is None
        add(2, DONE)
        add(1, SKIPPED)
        assert wait(min_new=2, target=target.uri) == {"new": 2}
        self.export(target, **options)
        assert wait(min_new=1, target=target.uri) is None

    def test_is_another_number_for_another_target(self, wait: Callable, target: Any, folder: Callable) -> None:
        self.export(target)
        assert wait(min_new=3, target=folder("elsewhere").uri) == {"new": 3}

    def test_changes_nothing(self, wait: Callable, target: Any, counts: Callable) -> None:
        before = counts()
        wait(min_new=1, target=target.uri)
        assert counts() == before


class TestConditions:
    def test_must_hold_all_of_them(self, wait: Callable, add: Callable, target: Any) -> None:
        add(3, DONE)
        add(1)
        enough = {"min_annotated": 3, "min_share": 0.75, "min_new": 3, "target": target.uri}
        assert wait(**enough) == {"tasks": 4, "annotated": 3, "share": 0.75, "new": 3}
        for more in ({"min_annotated": 4}, {"min_share": 0.76}, {"min_new": 4}):
            assert wait(**enough | more) is None

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ({}, r"min_annotated=None: there is nothing to wait for.*min_share.*min_new"),
            ({"min_new": 5}, r"target=None: min_new counts since the last export.*Give the storage URI"),
            ({"min_share": 30}, r"min_share=30.*0\.8 is 80 %"),
            ({"min_share": "80%"}, r"min_share='80%': no share\. Use a share above 0 and up to 1: 0\.8 is 80 %"),
            ({"min_share": 0}, r"min_share=0"),
            ({"min_annotated": 0}, r"min_annotated=0"),
            ({"min_new": 1, "target": "/x", "since": "yesterday"}, r"since='yesterday'.*'last_export'"),
            ({"min_annotated": 1, "project": "Cats"}, r"project='Cats'"),
        ],
        ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
    )
    def test_that_make_no_sense_fail_at_once(self, waiting: Callable, arguments: dict[str, Any], said: str) -> None:
        with pytest.raises(AirflowFailException, match=said):
            waiting(**arguments).execute({})


class TestLog:
    @pytest.fixture
    def hours(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each look is an hour later."""
        clock = itertools.count(1_700_000_000, 3600)
        monkeypatch.setattr(trigger_module, "time", SimpleNamespace(time=lambda: float(next(clock))))

    def looks(self, waiting: Callable, arguments: dict[str, Any], *between: Callable[[], None]) -> list[str]:
        """Look, and again after each step; return what was said."""
        sensor, said = waiting(**arguments), []
        trigger = sensor._looking({})
        for step in (lambda: None, *between):
            step()
            said.append(trigger._look())
            trigger.memory = said[-1].memory
        return [look.says for look in said]

    def test_says_how_far_it_is_how_fast_it_goes_and_what_is_left(
        self, waiting: Callable, add: Callable, hours: None
    ) -> None:
        add(80, DONE)
        add(280)
        said = self.looks(waiting, {"min_share": 1}, lambda: add(40, DONE), lambda: add(280, DONE))
        assert said == [
            "Project 'Pets': 80 of 360 tasks annotated (22 %).",
            "Project 'Pets': 120 of 400 tasks annotated (30 %), 40/h, about 7 h left.",
            "Project 'Pets': 400 of 680 tasks annotated (58 %), 160/h, about 2 h left.",
        ]

    def test_says_no_pace_where_there_is_none(self, waiting: Callable, add: Callable, hours: None) -> None:
        said = self.looks(waiting, {"min_share": 1}, lambda: None, lambda: add(1), lambda: None)
        assert said == [
            "Project 'Pets': no tasks yet.",
            "Project 'Pets': no tasks yet.",
            "Project 'Pets': 0 of 1 task annotated (0 %).",
            "Project 'Pets': 0 of 1 task annotated (0 %).",
        ]

    def test_says_the_pace_of_what_takes_longest(
        self, waiting: Callable, add: Callable, target: Any, hours: None
    ) -> None:
        add(1, DONE)
        arguments = {"min_annotated": 3, "min_new": 10, "target": target.uri}
        assert self.looks(waiting, arguments, lambda: add(2, DONE))[1] == (
            "Project 'Pets': 3 of 3 tasks annotated (100 %), 3 annotated or changed and not exported yet, of 10, "
            "2.0/h, about 4 h left."
        )

    @pytest.mark.parametrize(
        ("seconds", "words"),
        [
            (0, "0 s"),
            (99, "99 s"),
            (100, "2 min"),
            (5940, "99 min"),
            (6000, "2 h"),
            (172_000, "2 days"),
            (1e6, "12 days"),
        ],
    )
    def test_says_times_as_a_person_does(self, seconds: float, words: str) -> None:
        assert seconds_in_words(seconds) == words


class TestDeferred:
    def test_comes_back_with_what_was_found(self, waiting: Callable, add: Callable) -> None:
        sensor = waiting(min_annotated=1, deferrable=True)
        with pytest.raises(TaskDeferred) as caught:
            sensor.execute({})
        path, kwargs = caught.value.trigger.serialize()
        assert path == f"{LabelingProgressTrigger.__module__}.LabelingProgressTrigger"
        trigger = LabelingProgressTrigger(**json.loads(json.dumps(kwargs)))
        add(1, DONE)

        async def event() -> Any:
            return (await anext(trigger.run())).payload

        found = {"tasks": 1, "annotated": 1, "share": 1.0}
        assert sensor.execute_complete({}, asyncio.run(event())) == found


@pytest.mark.parametrize(
    "how", [pytest.param({"mode": "reschedule"}, marks=reschedules), {"deferrable": True}], ids=str
)
def test_waits_in_a_dag_and_remembers_from_look_to_look(
    run_dag: Callable, waiting: Callable, add: Callable, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any]
) -> None:
    said, look = list[str](), LabelingProgressTrigger._look

    def annotating(trigger: LabelingProgressTrigger) -> Any:
        found = look(trigger)
        said.append(found.says)
        add(1, DONE)
        return found

    monkeypatch.setattr(LabelingProgressTrigger, "_look", annotating)
    add(1, DONE)
    with DAG(f"label_{'_'.join(map(str, how.values()))}", schedule=None, params={"share": 0.5}) as dag:
        waiting(min_share="{{ params.share }}", min_annotated=3, poke_interval=0.3, **how)
    run = run_dag(dag)
    assert run.state == "success"
    (ti,) = run.get_task_instances()
    assert ti.xcom_pull(task_ids="wait") == {"tasks": 3, "annotated": 3, "share": 1.0}
    assert [line.partition(" (")[0] for line in said] == [
        f"Project 'Pets': {n} of {these} annotated" for n, these in ((1, "1 task"), (2, "2 tasks"), (3, "3 tasks"))
    ]
    assert "left." in said[1]
