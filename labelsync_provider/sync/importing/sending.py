"""Sending: a batch of tasks comes into the project so that each arrives once, whatever becomes of the answers.

What an answer does not tell is found out by reading back the tasks above the highest id from before: each tells by its
`effect` which creation it is. Nothing is sent twice to find out.
"""

import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from itertools import count

from labelsync_provider.database import chunks
from labelsync_provider.errors import RequestFailed, TooLarge, Unavailable
from labelsync_provider.projects.protocol import Project, Rejected
from labelsync_provider.sync.importing.state import ImportRun
from labelsync_provider.sync.importing.steps import Create

log = logging.getLogger(__name__)

LOOKS_AFTER_SECONDS = (0.0, 0.5, 1.0, 2.0, 4.0)
"""Waits before each look for a batch whose answer did not come: the project may still be at work on it."""
FAILED_SECONDS = 1.0
"""Wait before a batch is sent again whole: a database may be busy."""
HALVINGS = 14
"""Requests after which it is the server that fails, and not one of the tasks, if none of them brought a task in."""

Outcome = int | Rejected


@dataclass
class Sent:
    """A batch that is on the way."""

    batch: list[Create]
    number: int
    """Of its announcement."""
    after_task: int
    answer: "Future[None]" = field(default_factory=Future)
    outcomes: list[Outcome] = field(default_factory=list)
    """What became of its tasks, in its order, as far as that was answered."""
    at_once: int = 0
    """Tasks in the last request for it."""
    seconds: float = 0.0
    """Time that the answer to that took."""
    failed: bool = False
    """Whether the project did not take that, or no answer came."""
    doubted: bool = False
    """Whether a request for it was given up that may arrive yet."""


def send(run: ImportRun, pool: Executor, sent: Sent, most: int) -> Sent:
    """Send a batch; what becomes of it is learnt later.

    :param most: tasks in a request. A batch is put together before it is known how many the project takes in time.
    """

    def request() -> None:
        for part in chunks(sent.batch, most):
            sent.at_once, started = len(part), run.runtime.monotonic()
            sent.outcomes += run.project.import_tasks([create.task for create in part])
            sent.seconds = run.runtime.monotonic() - started

    sent.answer = pool.submit(request)
    return sent


def outcomes_of(run: ImportRun, sent: Sent) -> list[Outcome]:
    """Wait for a batch; return what became of each task, in its order. What did not arrive is sent again.

    :raises Unavailable: it is the server: no part of the batch could be brought in.
    """
    try:
        run.runtime.stop.result(sent.answer)
    except (TooLarge, Unavailable) as error:
        sent.failed = True
        return _Recovery(run, sent).bring_in(error)
    return sent.outcomes


@dataclass
class _Recovery:
    """Brings in what did not arrive: whole once more, then in halves, until it is known which task is at fault."""

    run: ImportRun
    sent: Sent
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    """By effect."""

    def bring_in(self, error: TooLarge | Unavailable) -> list[Outcome]:
        batch, answered = self.sent.batch, len(self.sent.outcomes)
        self.outcomes |= {create.effect: outcome for create, outcome in zip(batch, self.sent.outcomes, strict=False)}
        if isinstance(error, TooLarge):
            parts = _halves(batch[answered:])
        else:
            parts = [self._not_arrived(batch[answered:], error)]
            self.run.runtime.wait(FAILED_SECONDS)
        some_arrived, failed, alone = bool(self.outcomes), 0, list[Create]()
        for turn in count():
            if not parts:
                break
            part = parts.pop()
            if not part:
                continue
            try:
                sent = self.run.project.import_tasks([create.task for create in part])
                self.outcomes |= {create.effect: outcome for create, outcome in zip(part, sent, strict=True)}
                some_arrived = True
                continue
            except TooLarge:
                parts.extend(_halves(part))
                continue
            except Unavailable as again:
                error = again
            rest = self._not_arrived(part, error)
            some_arrived |= len(rest) < len(part)
            failed += 1
            if not some_arrived and failed > HALVINGS:
                raise error
            if len(rest) > 1:
                # By turns the first and the second: one bad task is not on every way down.
                parts.extend(_halves(rest) if turn % 2 else reversed(_halves(rest)))
            else:
                alone.extend(rest)
        if alone and not some_arrived and not all(self._was_refused(create) for create in alone):
            raise error
        for create in alone:
            self.outcomes[create.effect] = Rejected(str(error), lasting=False)
        return [self.outcomes[create.effect] for create in batch]

    def _was_refused(self, create: Create) -> bool:
        return self.run.was_refused(create.row.path, create.row.position)

    def _not_arrived(self, part: Sequence[Create], error: Unavailable) -> list[Create]:
        """Look which tasks of a part have arrived; return the others."""
        ended = isinstance(error, RequestFailed)
        wanted = {create.effect for create in part}
        found: dict[str, list[int]] = {}
        for seconds in LOOKS_AFTER_SECONDS[:1] if ended else LOOKS_AFTER_SECONDS:
            self.run.runtime.wait(seconds)
            found = arrived(self.run.project, wanted, self.sent.after_task)
            if len(found) == len(wanted):
                break
        log.warning("%s Read back: %d of %d tasks have arrived.", error, len(found), len(part))
        self.outcomes |= {effect: ids[0] for effect, ids in found.items()}
        rest = [create for create in part if create.effect not in found]
        # Even what has arrived may arrive once more, where something on the way repeats a request.
        self.sent.doubted |= not ended
        return rest


def _halves(part: Sequence[Create]) -> list[Sequence[Create]]:
    half = len(part) // 2
    return [part[:half], part[half:]]


def arrived(project: Project, effects: Iterable[str], after_task: int) -> dict[str, list[int]]:
    """Return, of those of the creations that are in the project, the ids of their tasks, lowest first."""
    wanted, found = set(effects), dict[str, list[int]]()
    for page in project.tasks_after(after_task) if wanted else ():
        for task in page:
            note = task.meta.get("labelsync")
            effect = note.get("effect") if isinstance(note, dict) else None
            if isinstance(effect, str) and effect in wanted:
                found.setdefault(effect, []).append(task.id)
    return found
