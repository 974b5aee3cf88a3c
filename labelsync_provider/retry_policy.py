"""A retry policy for tasks that import or export: `retry_policy=SyncRetryPolicy()`.

It needs Airflow 3.3; on an older one, importing this module fails. The operators fail at once over mistakes without it;
in a `@task` of your own, which calls hooks and engine, it is the policy that tells them from what passes.
"""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from labelsync_provider.errors import LabelsyncError

try:
    from airflow.sdk import RetryDecision, RetryPolicy
except ImportError as error:
    raise ImportError(
        "labelsync_provider.retry_policy needs Airflow 3.3 or newer, which has retry policies. Leave retry_policy out: "
        "the operators fail at once over mistakes without it."
    ) from error

if TYPE_CHECKING:
    from airflow.sdk import Context


class SyncRetryPolicy(RetryPolicy):
    """Fails at once over mistakes that a person must mend, and retries the rest with exponential backoff.

    How often is said by the task's `retries`, as ever; its `retry_delay` is not used.

    :param first_delay: how long to wait before the first retry. Each one after it waits twice as long.
    :param longest_delay: how long to wait at most.
    """

    def __init__(
        self,
        first_delay: timedelta = timedelta(seconds=30),
        longest_delay: timedelta = timedelta(minutes=30),
    ) -> None:
        self.first_delay, self.longest_delay = first_delay, longest_delay

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: "Context | None" = None
    ) -> RetryDecision:
        """Decide; Airflow does not ask about what the operators say that a retry does not help."""
        if isinstance(exception, LabelsyncError) and not exception.retry_may_help:
            return RetryDecision.fail(f"A person must mend this: {exception}")
        doubled = min(max(try_number - 1, 0), 30)  # more would be years
        delay = min(self.first_delay * 2**doubled, self.longest_delay)
        reason = f"{type(exception).__name__}: a retry may help, in {delay.total_seconds():g} s."
        return RetryDecision.retry(delay, reason)

    def serialize(self) -> dict[str, Any]:
        """Return what another process makes the same policy of."""
        return {"first_delay": self.first_delay.total_seconds(), "longest_delay": self.longest_delay.total_seconds()}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> "SyncRetryPolicy":
        """Return what was serialized."""
        return cls(timedelta(seconds=data["first_delay"]), timedelta(seconds=data["longest_delay"]))
