"""A fake Label Studio whose tasks are annotated: what an export asks for, told as Label Studio tells it.

`FakeLabeling` is what outlives the runs; `FakeLabelingProject` is one run's client of it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from model.export_model import Labeled, annotation, prediction, text_of
from model.fake_project import PAGE, Clock, FakeProject, FakeServer, Process

from labelsync_provider.projects.protocol import Json, Progress, TaskState

TICK = 1.0
"""Seconds that a server's stamps tell apart."""

results = count()


def new_result() -> list[Json]:
    """Return what no annotation or prediction says yet."""
    choice = {"choices": [str(next(results))]}
    return [{"from_name": "c", "to_name": "t", "type": "choices", "value": choice}]


@dataclass
class FakeTask:
    """A task as the server has it."""

    data: Json
    created: float
    updated: float
    annotations: dict[int, Json] = field(default_factory=dict)
    predictions: list[Json] = field(default_factory=list)
    counters: tuple[int, int] = (0, 0)


class FakeLabeling(FakeServer):
    """A server whose tasks are annotated. Its clock is another than that of who exports."""

    def __init__(self, clock: Clock, *, reuses_ids: bool) -> None:
        super().__init__(clock, reuses_ids=reuses_ids)
        self.labeled: dict[int, FakeTask] = {}
        self.miscounted = 0
        self.lag = 0.0
        """Seconds that the transaction of a change takes, after the change has its stamp."""
        self._ahead = -500.0 if reuses_ids else 500.0
        self._last_task = self._last_annotation = 0
        self._names: dict[int, str] = {1: "Ann"}

    @property
    def counts_right(self) -> bool:
        return not self.miscounted and all(task.counters == _counted(task) for task in self.labeled.values())

    def open(self, process: Process) -> "FakeLabelingProject":
        return FakeLabelingProject(self, process)

    def snapshot(self) -> dict[int, Labeled]:
        return {
            n: Labeled(
                n,
                text_of(task.data),
                stamp(task.updated),
                task.counters,
                tuple(sorted(map(prediction, task.predictions))),
                tuple(annotation(self.told(a)) for _, a in sorted(task.annotations.items())),
            )
            for n, task in self.labeled.items()
        }

    def told(self, a: Json) -> Json:
        """Return an annotation as it is told of."""
        return {**a, "completed_by": {"id": a["completed_by"], "first_name": self._names[a["completed_by"]]}}

    def add(self, cancelled: Sequence[bool]) -> int:  # type: ignore[override]
        self.clock.sleep(TICK)  # a task whose id was another's has another stamp
        self._last_task = max(self.labeled, default=0) + 1 if self._reuses_ids else self._last_task + 1
        self.labeled[self._last_task] = task = FakeTask({"text": "one"}, self._now(), self._now())
        for each in cancelled:
            self._annotate(task, self._last_task, each)
        return self._last_task

    def annotate(self, task: int, cancelled: bool) -> bool:
        self._annotate(self._changed(task), task, cancelled)
        return True

    def edit(self, task: int, annotation: int) -> bool:
        self._change(task, annotation, result=new_result())
        return True

    def toggle(self, task: int, annotation: int) -> bool:
        self._change(task, annotation, was_cancelled=not self.labeled[task].annotations[annotation]["was_cancelled"])
        return True

    def remove(self, task: int, annotation: int) -> bool:
        changed = self._changed(task)
        del changed.annotations[annotation]
        changed.counters = _counted(changed)
        return True

    def delete(self, task: int) -> bool:  # type: ignore[override]
        del self.labeled[task]
        return self.counts_right

    def change_data(self, task: int) -> bool:
        self.labeled[task].data = {**self.labeled[task].data, "added": next(results)}
        return False

    def predict(self, task: int) -> bool:
        self.labeled[task].predictions = [{"model_version": "m", "result": new_result()}]
        return False

    def rename(self, task: int) -> bool:
        self._names = dict.fromkeys(self._names, f"Ann {next(results)}")
        return False

    def miscount(self, task: int) -> None:
        """Have a task say that it has no annotation."""
        self.labeled[task].counters = (0, 0)

    def _annotate(self, task: FakeTask, number: int, cancelled: bool) -> None:
        taken = [n for other in self.labeled.values() for n in other.annotations]
        self._last_annotation = max(taken, default=0) + 1 if self._reuses_ids else self._last_annotation + 1
        at = stamp(task.updated)
        task.annotations[self._last_annotation] = {
            "id": self._last_annotation,
            "task": number,
            "project": FakeProject.id,
            "result": new_result(),
            "was_cancelled": cancelled,
            "completed_by": 1,
            "created_at": at,
            "updated_at": at,
        }
        task.counters = _counted(task)

    def _change(self, task: int, annotation: int, **values: Any) -> None:
        changed = self._changed(task)
        changed.annotations[annotation] |= {**values, "updated_at": stamp(changed.updated)}
        changed.counters = _counted(changed)

    def _changed(self, number: int) -> FakeTask:
        """Give a task the stamp of a change, another than it has."""
        task = self.labeled[number]
        while self._now() <= task.updated:
            self.clock.sleep(TICK)
        late = self._now() - self.lag
        task.updated = late if late > task.updated else self._now()
        return task

    def _now(self) -> float:
        return (self.clock() + self._ahead) // TICK * TICK


class FakeLabelingProject(FakeProject):
    """One run's client. What an export asks for is told as Label Studio tells it, wrong counters included."""

    # So that it does not count as `Remote`: what goes on in other threads is not the same when a history is repeated.
    confirm_before_changes = None  # type: ignore[assignment]

    def __init__(self, server: FakeLabeling, process: Process) -> None:
        super().__init__(server, process)
        self._labeling = server

    def changes(
        self, since: datetime | None = None, *, after: int = 0, last: int | None = None
    ) -> Iterator[list[TaskState]]:
        def fits(number: int, task: FakeTask) -> bool:
            return (since is None or _instant(task.updated) >= since) and (last is None or number <= last)

        yield from self._pages(fits, self._state, after)

    def latest_change(self) -> datetime | None:
        return max((_instant(task.updated) for task in self._looked_at().values()), default=None)

    def annotated_tasks(self, task_ids: Sequence[int] | None = None) -> Iterator[list[Json]]:
        wanted = None if task_ids is None else set(task_ids)
        yield from self._pages(
            lambda n, task: bool(task.annotations) and (wanted is None or n in wanted), self._exported
        )

    def progress(self) -> Progress:
        tasks = self._looked_at()
        annotations = [a for task in tasks.values() for a in task.annotations.values()]
        return Progress(
            len(tasks),
            sum(any(task.counters) for task in tasks.values()),
            len(annotations) + self._labeling.miscounted,
            sum(a["was_cancelled"] for a in annotations),
            sum(task.counters[0] == 0 < task.counters[1] for task in tasks.values()),
        )

    def count_tasks(self, after: int, last: int | None, *, cancelled: bool) -> int:
        return sum(
            after < n and (last is None or n <= last) and bool(task.counters[0] or (cancelled and task.counters[1]))
            for n, task in self._looked_at().items()
        )

    def _looked_at(self) -> dict[int, FakeTask]:
        self._process.alive()
        self._server.step()
        return self._labeling.labeled

    def _pages(
        self, fits: Callable[[int, FakeTask], bool], told: Callable[[int, FakeTask], Any], after: int = 0
    ) -> Iterator[Any]:
        while page := sorted(n for n, task in self._looked_at().items() if n > after and fits(n, task))[:PAGE]:
            yield [told(n, self._labeling.labeled[n]) for n in page]
            after = page[-1]

    def _state(self, number: int, task: FakeTask) -> TaskState:
        # The ids of the annotations are looked up; the counters may be wrong.
        state = f"{stamp(task.updated)} {task.counters} {sorted(task.annotations)}"
        return TaskState(number, bool(task.annotations) or any(task.counters), state, _instant(task.updated))

    def _exported(self, number: int, task: FakeTask) -> Json:
        return {
            "id": number,
            "project": self.id,
            "data": task.data,
            "meta": {},
            "created_at": stamp(task.created),
            "updated_at": stamp(task.updated),
            "total_annotations": task.counters[0],
            "cancelled_annotations": task.counters[1],
            "total_predictions": len(task.predictions),
            "predictions": list(task.predictions),
            "annotations": [self._labeling.told(a) for _, a in sorted(task.annotations.items())],
        }


def _counted(task: FakeTask) -> tuple[int, int]:
    cancelled = sum(a["was_cancelled"] for a in task.annotations.values())
    return len(task.annotations) - cancelled, cancelled


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def stamp(seconds: float) -> str:
    return _instant(seconds).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
