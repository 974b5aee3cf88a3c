"""How many tasks a batch may have: more after each that was answered soon, fewer after one that failed.

A server does not tell how many it takes, and in what time. It is found out as TCP finds out how much a network takes
(RFC 5681): few at first, then twice as many each time; after a failure half as many, and from then on a few more each
time.
"""

from math import inf

from msgspec import Struct
from msgspec.structs import replace

FIRST_TASKS = 250
"""Tasks in the first batch. Few, so that the server starts before many are read."""
LOCAL_TASKS = 1000
"""Tasks in a batch that this process writes itself. A larger one is no faster, and takes more memory."""
MORE_TASKS = 250
"""Tasks by which a batch grows once one has failed."""
SHARE_OF_PATIENCE = 0.5
"""The part of the read time-out that a batch may take: the next one may be slower, and something on the way may give up
sooner."""


class BatchSize(Struct, frozen=True):
    """How many tasks the next batch may have."""

    tasks: int
    most: int
    """What nothing makes it exceed."""
    seconds: float
    """Time that a batch may take."""
    doubles: bool = True
    """Whether none has failed yet."""

    @classmethod
    def at_first(cls, most: int, read_seconds: float) -> "BatchSize":
        """Return the size of the first batch.

        :param read_seconds: time after which an answer is given up.
        """
        return cls(min(FIRST_TASKS, most), most, read_seconds * SHARE_OF_PATIENCE)

    @classmethod
    def of_local(cls, most: int) -> "BatchSize":
        """Return the size of all batches that this process writes itself."""
        return cls(min(most, LOCAL_TASKS), most, inf)

    @property
    def at_best(self) -> int:
        """How many the batch after the next one may have, if that is answered soon."""
        # Asked of every task: to make another size takes longer than all else that is done to it here.
        return min(self._grown(self.tasks), self.most)

    def after_answer(self, tasks: int, seconds: float) -> "BatchSize":
        """Return the size of the next batch after one that was answered.

        :param tasks: how many it had: fewer than it might, if they were large.
        :param seconds: how long the answer took.
        """
        in_time = int(tasks * self.seconds / max(seconds, 1e-6))
        if seconds > self.seconds:
            return self._of(in_time)
        return self._of(max(self.tasks, min(self._grown(tasks), in_time)))

    def after_failure(self, tasks: int) -> "BatchSize":
        """Return the size of the next batch after one that the server did not take, or of which no answer came."""
        return replace(self._of(tasks // 2), doubles=False)

    def _grown(self, tasks: int) -> int:
        return tasks * 2 if self.doubles else tasks + MORE_TASKS

    def _of(self, tasks: int) -> "BatchSize":
        return replace(self, tasks=max(1, min(tasks, self.most)))
