"""A remote project in memory with Label Studio's semantics, and the faults that a network and a process have.

`FakeServer` is what outlives the runs; `FakeProject` is one run's client of it, and `Process` that run's life.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, TypeVar

from model.model import Json, Stored, text_of

from labelsync_provider.errors import AlreadyThere, RequestFailed, TooLarge, Unavailable
from labelsync_provider.projects.label_config import DataKey, data_keys, data_problem
from labelsync_provider.projects.protocol import Progress, Rejected, StoredTask, Task, TaskLook, TaskState, TaskUpdate
from labelsync_provider.stop import Stop
from labelsync_provider.tasks import data_digest

STRICT = '<View><Text name="t" value="$text"/><Choices name="c" toName="t"><Choice value="x"/></Choices></View>'
LOOSE = "<View/>"
PAGE = 2
SECONDS_OF_A_REQUEST, SECONDS_OF_A_SLOW_ONE = 0.01, 0.2
READ_SECONDS = 0.2
"""A slow request takes longer than a batch may, which is half of this."""
LONGEST_ON_THE_WAY = 1800.0
"""Seconds; the engine thinks it possible for an hour that a request arrives late."""

T = TypeVar("T")
Fault = Literal[
    "crash before",
    "crash after",
    "crash late",
    "lost before",
    "lost after",
    "late",
    "failed",
    "twice",
    "pause",
    "stop",
    "stop late",
]


class Crash(BaseException):
    """The process is killed. Whatever it tries to do afterwards raises this again."""


class Clock:
    """Virtual time, in seconds."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 0.0)


@dataclass
class Process:
    """One run's life: the faults that wait for it, by the number of its request or commit."""

    requests: dict[int, Fault] = field(default_factory=dict)
    commits: dict[int, Fault] = field(default_factory=dict)
    pause: Callable[[], None] = lambda: None
    """What happens while the run is paused."""
    dead: bool = False
    stop: Stop = field(default_factory=Stop)
    """Set by the fault "stop": a person, or a time-out, has the run end."""
    requests_seen: int = 0
    commits_seen: int = 0
    changed: int = 0
    """Requests that were sent."""
    happened: list[str] = field(default_factory=list)

    def alive(self) -> None:
        if self.dead:
            raise Crash

    def die(self) -> None:
        self.dead = True
        raise Crash

    def next_fault(self) -> Fault | None:
        fault = self.requests.get(self.requests_seen)
        self.requests_seen += 1
        if fault:
            self.happened.append(fault)
        return fault

    def commit(self, do: Callable[[], None]) -> None:
        """Commit, or die before or after it."""
        self.alive()
        fault = self.commits.get(self.commits_seen)
        self.commits_seen += 1
        if fault:
            self.happened.append(f"commit: {fault}")
        if fault == "crash before":
            self.die()
        do()
        if fault:
            self.die()


@dataclass
class _OnTheWay:
    deliver: Callable[[], object]
    steps: int
    """Calls of the server until it arrives."""
    sent_at: float


class Refused(Exception):
    """The server does not take some tasks of a batch; it names them by their places."""

    def __init__(self, places: set[int]) -> None:
        self.places = places


class FakeServer:
    """Tasks, and requests that are on the way to them."""

    def __init__(self, clock: Clock, *, reuses_ids: bool) -> None:
        self.clock, self._reuses_ids = clock, reuses_ids
        self.tasks: dict[int, Stored] = {}
        self.effects: dict[int, set[str]] = {}
        """By task, the imports and updates whose annotations it has."""
        self.touched: set[int] = set()
        """Tasks that a person has done something to."""
        self.label_config = STRICT
        self.seconds_of_a_request = SECONDS_OF_A_REQUEST
        self.most_at_once: int | None = None
        """Tasks that a request may have; None: any number."""
        self.batches: list[int] = []
        """How many tasks each import has had that arrived."""
        self.links: dict[int, str] = {}
        """By task, the name of the object that the own sync has made it from."""
        self._last = 0
        self._on_the_way: list[_OnTheWay] = []

    # --- requests on the way ---

    def send_late(self, deliver: Callable[[], object], steps: int) -> None:
        self._on_the_way.append(_OnTheWay(deliver, steps, self.clock()))

    def step(self) -> None:
        """Let time pass, and what is due arrive."""
        self.clock.sleep(self.seconds_of_a_request)
        for request in self._on_the_way:
            request.steps -= 1
        self.arrive(lambda r: r.steps <= 0 or r.sent_at + LONGEST_ON_THE_WAY < self.clock())

    def arrive(self, due: Callable[[_OnTheWay], bool] = lambda _: True) -> int:
        """Let requests arrive; return how many have."""
        arriving = [request for request in self._on_the_way if due(request)]
        self._on_the_way = [request for request in self._on_the_way if request not in arriving]
        for request in arriving:
            with suppress(Refused, TooLarge, RequestFailed, AlreadyThere):  # nobody hears the answer
                request.deliver()
        return len(arriving)

    @property
    def waiting(self) -> int:
        """How many requests are on the way."""
        return len(self._on_the_way)

    # --- what a request does ---

    def create(self, tasks: Sequence[Task]) -> list[int]:
        self.batches.append(len(tasks))
        if len(tasks) > (self.most_at_once or len(tasks)):
            raise TooLarge("413: they are too many")
        if any(task.data.get("text") == "poison" for task in tasks):
            raise RequestFailed("500: the server fails over a task of this batch")
        if refused := {n for n, task in enumerate(tasks) if task.data.get("text") == "refused"}:
            raise Refused(refused)
        return [self._create(stored_from(task)) for task in tasks]

    def add(self, data: Json, name: str | None = None) -> int:
        """Add a task that no import made; the own sync makes one from an object of a name."""
        task_id = self._create(Stored(data, {}, {}))
        if name is not None:
            self.links[task_id] = name
        return task_id

    def storage_filename(self, task_id: int) -> str | None:
        return self.links.get(task_id)

    def _create(self, stored: Stored) -> int:
        self._last = max(self.tasks, default=0) + 1 if self._reuses_ids else self._last + 1
        self.tasks[self._last] = stored
        self.effects[self._last] = {str(stored.note.get("effect"))} if stored.annotations else set()
        self.touched.discard(self._last)
        self.links.pop(self._last, None)
        return self._last

    def patch(self, task_id: int, update: TaskUpdate) -> None:
        if task_id not in self.tasks:
            return
        task, meta = self.tasks[task_id], dict(update.meta)
        note = meta.pop("labelsync") | ({"of_others": True} if is_of_others(task) else {})
        data = task.data if update.data is None else {**(task.data if update.merge_data else {}), **update.data}
        if data.get("text") == "refused":
            raise Refused({0})
        self.tasks[task_id] = replace(task, data=data, meta={**task.meta, **meta}, note=note)

    def put_predictions(self, task_id: int, predictions: Sequence[Json]) -> None:
        if task := self.tasks.get(task_id):
            versions = {prediction.get("model_version") for prediction in predictions}
            kept = tuple(p for p in task.predictions if p[0] not in versions)
            new = tuple((p.get("model_version"), text_of(p["result"])) for p in predictions)
            self.tasks[task_id] = replace(task, predictions=kept + new)

    def add_annotations(self, task_id: int, update: TaskUpdate) -> None:
        effect = update.meta["labelsync"]["effect"]
        if (task := self.tasks.get(task_id)) and effect not in self.effects[task_id]:
            self.effects[task_id].add(effect)
            new = tuple(text_of(a["result"]) for a in update.annotations)
            self.tasks[task_id] = replace(task, annotations=task.annotations + new)

    def delete(self, wanted: Mapping[int, Stored], untouched: bool) -> None:
        """Delete what nobody works on, if it still is the task that was looked at."""
        for task_id, seen in wanted.items():
            task = self.tasks.get(task_id)
            as_imported = task_id not in self.touched and task and not task.drafts
            same = task and task.note.get("effect") == seen.note.get("effect")
            if task and same and (not task.worked_on or (untouched and as_imported)):
                del self.tasks[task_id]


def sent(
    server: FakeServer, process: Process, deliver: Callable[[], T], confirm: Callable[[], None], *, late: bool = True
) -> T:
    """Send a request that changes something, with what fault may be due.

    :param late: whether it may arrive late; a prediction that does is a second one, and nothing could tell.
    """
    process.alive()
    server.step()
    confirm()
    assert not process.stop.wished, "a request that begins after the run was told to end"
    fault = process.next_fault()
    if not late and fault in ("crash late", "late", "twice", "stop late"):
        fault = "lost before"
    if fault in ("stop", "stop late"):
        process.stop.set()
    if fault in ("crash late", "late", "stop late"):
        server.send_late(deliver, 1 + process.requests_seen * 3 % 11)
    elif fault == "pause":
        process.pause()
    if fault in ("crash before", "crash late"):
        process.die()
    if fault == "stop late":
        process.stop.check()
    if fault in ("lost before", "late"):
        raise Unavailable("the answer did not come")
    if fault == "failed":
        raise RequestFailed("500: the server failed")
    answer = deliver()
    process.changed += 1
    if fault == "twice":
        server.send_late(deliver, 3)
    if fault == "crash after":
        process.die()
    if fault in ("lost after", "twice"):
        raise Unavailable("the answer did not come")
    return answer


class FakeProject:
    """One run's client; see `Project`."""

    id = 1
    title = "Fake"
    uri = "fake://projects/1"
    url = ""
    created_at = "2021-07-06T06:06:25.927570Z"

    def __init__(self, server: FakeServer, process: Process) -> None:
        self._server, self._process = server, process
        self._confirm: Callable[[], None] = lambda: None

    @property
    def label_config(self) -> str:
        return self._server.label_config

    @property
    def data_keys(self) -> dict[str, DataKey]:
        return data_keys(self.label_config)

    @property
    def read_seconds(self) -> float:
        return READ_SECONDS

    def confirm_before_changes(self, confirm: Callable[[], None]) -> None:
        self._confirm = confirm

    def check(self, task: Task) -> str | None:
        return data_problem(self.data_keys, task.data, self.title)

    def adapt(self, task: Task) -> int:
        return 0

    def last_task_id(self) -> int:
        # Ids are given again, whatever the highest was.
        return 0 if self._server._reuses_ids else self._server._last

    # --- look ---

    def count_all(self) -> int:
        self._process.alive()
        return len(self._server.tasks)

    def _tasks(self) -> dict[int, Stored]:
        self._process.alive()
        self._server.step()
        return self._server.tasks

    def tasks_after(self, task_id: int, *, with_data: bool = False) -> Iterator[list[StoredTask]]:
        while page := sorted(n for n in self._tasks() if n > task_id)[:PAGE]:
            yield [self._stored(n, with_data) for n in page]
            task_id = page[-1]

    def _stored(self, task_id: int, with_data: bool) -> StoredTask:
        task = self._server.tasks[task_id]
        meta = {**task.meta, "labelsync": task.note} if task.note else task.meta
        name = self._server.storage_filename(task_id) if with_data else None
        return StoredTask(task_id, deepcopy(meta), deepcopy(task.data) if with_data else {}, name)

    def look(self, uris: Mapping[int, str], digests: Mapping[int, str] | None = None) -> dict[int, TaskLook]:
        tasks = self._tasks()
        return {
            n: TaskLook(
                tasks[n].worked_on,
                n not in self._server.touched and not tasks[n].drafts,
                tasks[n].note.get("effect", ""),
                of_others=is_of_others(tasks[n]) and list(tasks[n].data.values()) != [uri],
            )
            for n, uri in uris.items()
            if n in tasks and self._is_of(n, uri, (digests or {}).get(n))
        }

    def _is_of(self, task_id: int, uri: str, digest: str | None = None) -> bool:
        task, name = self._server.tasks[task_id], self._server.storage_filename(task_id)
        if task.note:
            return bool(task.note.get("uri") == uri)
        named = name is not None and uri.endswith(f"/{name}")
        return uri in task.data.values() or named or digest == data_digest(task.data)

    # --- change ---

    def import_tasks(self, tasks: Sequence[Task]) -> list[int | Rejected]:
        tasks = deepcopy(list(tasks))
        reasons = [self.check(task) for task in tasks]
        outcomes = iter(self._import([task for task, reason in zip(tasks, reasons, strict=True) if not reason]))
        return [Rejected(reason) if reason else next(outcomes) for reason in reasons]

    def _import(self, tasks: Sequence[Task]) -> list[int | Rejected]:
        if not tasks:
            return []
        try:
            return list(self._request(lambda: self._server.create(tasks)))
        except Refused as refusal:
            rest = iter(self._import([task for n, task in enumerate(tasks) if n not in refusal.places]))
            return [Rejected("400: no") if n in refusal.places else next(rest) for n in range(len(tasks))]

    def update_tasks(
        self, updates: Mapping[int, TaskUpdate]
    ) -> Iterator[tuple[int, Literal["updated", "in_part", "worked_on", "gone"] | Rejected]]:
        for task_id, update in deepcopy(dict(updates)).items():
            task = self._tasks().get(task_id)
            if not task or not self._is_of(task_id, update.uri, update.data_digest):
                yield task_id, "gone"
                continue
            begun = task.note.get("effect") == update.meta["labelsync"]["effect"]
            if task.worked_on and update.data is not None and not begun:
                yield task_id, "worked_on"
                continue
            try:
                self._request(partial(self._server.patch, task_id, update))
            except Refused:
                yield task_id, Rejected("400: no")
                continue
            if update.predictions:
                self._request(partial(self._server.put_predictions, task_id, update.predictions), late=False)
            if update.annotations and (begun or not task.worked_on):
                self._request(partial(self._server.add_annotations, task_id, update), late=False)
                yield task_id, "updated"
            else:
                yield task_id, "in_part" if update.annotations else "updated"

    def delete_tasks(self, uris: Mapping[int, str], *, untouched: bool = False) -> set[int]:
        tasks = self._tasks()
        mine = {n: tasks[n] for n, uri in uris.items() if n in tasks and self._is_of(n, uri)}
        own = {n: t for n, t in mine.items() if not is_of_others(t) or list(t.data.values()) == [uris[n]]}
        free = {n: task for n, task in own.items() if untouched or not task.worked_on}
        if free:
            self._request(lambda: self._server.delete(free, untouched))
        there = self._tasks()
        return {n for n, uri in uris.items() if n not in there or not self._is_of(n, uri)}

    def _request(self, deliver: Callable[[], T], *, late: bool = True) -> T:
        return sent(self._server, self._process, deliver, self._confirm, late=late)

    # --- what only an export asks for ---

    def changes(self, since: Any = None) -> Iterator[list[TaskState]]:
        yield [TaskState(n, bool(task.annotations)) for n, task in sorted(self._tasks().items())]

    def annotated_tasks(self, task_ids: Sequence[int] | None = None) -> Iterator[list[Json]]:
        yield from ()

    def progress(self) -> Progress:
        return Progress(len(self._tasks()), 0, 0)  # a counter, and a wrong one


def is_of_others(task: Stored) -> bool:
    """Tell whether no import made a task, be it that one has updated it since."""
    return not task.note or "of_others" in task.note


def stored_from(task: Task) -> Stored:
    meta = dict(task.meta)
    note = meta.pop("labelsync", {})
    predictions = tuple((p.get("model_version"), text_of(p["result"])) for p in task.predictions)
    annotations = tuple(text_of(a["result"]) for a in task.annotations)
    return Stored(task.data, meta, note, predictions, annotations, skip=task.allow_skip)
