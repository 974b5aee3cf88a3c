"""The retry policy: mistakes fail at once, the rest waits longer each time."""

import importlib.util
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import ModuleType

import pytest
from airflow.sdk import DAG, task

from labelsync_provider.errors import Invalid, LeaseHeld, SourcesFailed, Unavailable
from labelsync_provider.hooks.label_studio import LabelStudioHook

retry_policy = pytest.importorskip("labelsync_provider.retry_policy", exc_type=ImportError)  # of Airflow 3.3

from airflow.sdk import RetryAction  # noqa: E402

from labelsync_provider.retry_policy import SyncRetryPolicy  # noqa: E402


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (Invalid("a mistake"), RetryAction.FAIL),
        (SourcesFailed("mistakes", retry_may_help=False), RetryAction.FAIL),
        (SourcesFailed("one may pass", retry_may_help=True), RetryAction.RETRY),
        (Unavailable("no answer"), RetryAction.RETRY),
        (LeaseHeld("somebody else"), RetryAction.RETRY),
        (OSError("whatever else"), RetryAction.RETRY),
    ],
    ids=repr,
)
def test_mistakes_fail_and_the_rest_is_retried(error: Exception, action: RetryAction) -> None:
    decision = SyncRetryPolicy().evaluate(error, try_number=1, max_tries=3)
    assert decision.action == action
    assert decision.reason


def test_each_wait_is_twice_as_long_up_to_a_bound() -> None:
    policy = SyncRetryPolicy(timedelta(seconds=10), timedelta(seconds=60))
    again = SyncRetryPolicy.deserialize(json.loads(json.dumps(policy.serialize())))
    for each in (policy, again):
        delays = [each.evaluate(Unavailable(""), n, 9999).retry_delay for n in (1, 2, 3, 4, 9999)]
        assert [delay and delay.total_seconds() for delay in delays] == [10, 20, 40, 60, 60]


def test_airflow_asks_it(connections: object, run_dag: Callable) -> None:
    with DAG("policy", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:

        @task(retries=3, retry_policy=SyncRetryPolicy(timedelta(0)))
        def mistaken() -> None:
            LabelStudioHook().get_project("Nobody's")

        @task(retries=1, retry_policy=SyncRetryPolicy(timedelta(0)))
        def unlucky() -> None:
            raise Unavailable("no answer")

        mistaken()
        unlucky()
    run = run_dag(dag)
    assert run.get_task_instance("mistaken").try_number == 1
    assert run.get_task_instance("unlucky").try_number == 2


def test_on_an_airflow_without_retry_policies_a_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "airflow.sdk", ModuleType("airflow.sdk"))
    spec = importlib.util.spec_from_file_location("on_airflow_3_2", retry_policy.__file__)
    assert spec
    assert spec.loader
    with pytest.raises(ImportError, match=r"needs Airflow 3\.3 or newer.*Leave retry_policy out"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
