"""Bad rows beside good ones, and files that became bad: the tasks of what stood there stay, and are found again."""

from typing import Any

import pytest
from importing import Importing, lines, some, texts
from model.bucket import Bucket
from model.worlds import EmbeddedWorld
from sqlalchemy import Engine

BAD = '{"data": '
DELETE: dict[str, Any] = {"on_missing": "delete", "max_delete": 100}


@pytest.fixture
def run(engine: Engine) -> Importing:
    run = Importing(Bucket(), EmbeddedWorld(engine), engine)
    run.put("a.jsonl", lines(*texts("1", "2", "3")))
    run.put("b.jsonl", lines(*texts("x", "y")))
    run()
    return run


@pytest.mark.parametrize("on_changed", ["report", "update", "add"])
def test_row_that_turned_bad_keeps_its_task_until_it_is_good_again(run: Importing, on_changed: str) -> None:
    before = run.tasks()
    run.put("a.jsonl", lines({"text": "1"}, BAD, {"text": "3"}))
    for _ in range(2):
        assert some(run(on_changed=on_changed, **DELETE)) == {"unchanged": 4, "quarantined": 1}
        assert run.quarantine() == {("a.jsonl", 1): 1}
    run.put("a.jsonl", lines(*texts("1", "2", "3")))
    assert some(run(on_changed=on_changed, **DELETE)) == {"unchanged": 5}
    assert run.tasks() == before


def test_row_that_turned_bad_and_then_another_one_is_changed(run: Importing) -> None:
    run.put("a.jsonl", lines({"text": "1"}, BAD, {"text": "3"}))
    run()
    run.put("a.jsonl", lines(*texts("1", "two", "3")))
    assert some(run(on_changed="update", **DELETE)) == {"unchanged": 4, "changed": 1, "tasks_updated": 1}
    assert run.texts() == ["1", "two", "3", "x", "y"]


def test_bad_row_put_in_between_takes_no_row_away(run: Importing) -> None:
    run.put("a.jsonl", lines({"text": "1"}, BAD, *texts("2", "3"), BAD))
    for _ in range(2):
        assert some(run(**DELETE)) == {"unchanged": 5, "quarantined": 2}


DEEP = '{\n "a":\n' + " [\n" * 1200 + "1" + "\n ]" * 1200 + "}"
GIVEN = [f'{{"text": "{n}"}}' for n in range(9)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (GIVEN, [*GIVEN[:5], DEEP, *GIVEN[5:]]),
        (GIVEN, [*GIVEN[:5], '{"text":', '{"text":', *GIVEN[7:]]),
        ([GIVEN[0], '{\n "text": "1"\n}', '{\n "text": "2"\n}'], [GIVEN[0], '{\n "text":', '{\n "text": "2"\n}']),
        (GIVEN, [*GIVEN[:5], GIVEN[5][:-1], *(f"{line}," for line in GIVEN[6:8]), GIVEN[8]]),
        (GIVEN, [*GIVEN[:5], GIVEN[5] + GIVEN[6].replace('6"', "6") + GIVEN[7], GIVEN[8]]),
        ([f"[{','.join(GIVEN)}]"], [f"[{','.join(GIVEN)}]".replace('5"', "5").replace('7"', "7")]),
    ],
    ids=[
        "deep",
        "two cut lines",
        "cut document",
        "commas behind a cut line",
        "quote in a line missing",
        "quotes missing",
    ],
)
def test_rows_that_a_malformed_one_may_hold_are_not_missing(
    run: Importing, before: list[str], after: list[str]
) -> None:
    run.put("a.jsonl", lines(*before))
    run(**DELETE)
    tasks = run.tasks()
    for content in (after, before):
        run.put("a.jsonl", lines(*content))
        for _ in range(2):
            report = run(**DELETE)
            assert (report.new, report.missing, report.tasks_deleted) == (0, 0, 0)
            assert run.tasks() == tasks


def test_rows_behind_a_document_too_deep_are_imported(run: Importing) -> None:
    run.put("a.jsonl", lines(DEEP, *texts(*map(str, range(5000)))))
    assert some(run(), "quarantined")["quarantined"] == 1
    assert len(run.tasks()) == 5002


@pytest.mark.parametrize("content", ["", "   ", "[]", "garbage", '{"text": "1"', b"\xff\xfe", "5"], ids=repr)
def test_file_that_became_empty_or_garbage_makes_no_row_missing(run: Importing, content: str | bytes) -> None:
    before = run.tasks()
    run.put("a.jsonl", content)
    for _ in range(2):
        report = run(**DELETE)
        assert (report.unchanged, report.missing, report.tasks_deleted) == (2, 0, 0)
        assert report.quarantined >= 1
    run.put("a.jsonl", lines(*texts("1", "2", "3")))
    assert some(run(**DELETE)) == {"unchanged": 5}
    assert run.tasks() == before


def test_file_that_became_garbage_and_then_went_is_missing(run: Importing) -> None:
    run.put("a.jsonl", "garbage")
    run()
    run.source.delete("a.jsonl")
    assert some(run()) == {"unchanged": 2, "missing": 3}
    assert run.quarantine() == {}
    assert some(run(**DELETE)) == {"unchanged": 2, "missing": 3, "tasks_deleted": 3}
    assert run.texts() == ["x", "y"]


def test_update_that_the_project_rejects_is_in_quarantine_and_the_task_stays(run: Importing) -> None:
    run.put("a.jsonl", lines({"text": "1"}, {"image": "2"}, {"text": "3"}))
    for _ in range(2):
        assert some(run(on_changed="update", **DELETE)) == {"unchanged": 4, "quarantined": 1}
        assert run.quarantine() == {("a.jsonl", 1): 1}
    assert run.texts() == ["1", "2", "3", "x", "y"]
    run.put("a.jsonl", lines(*texts("1", "two", "3")))
    assert some(run(on_changed="update", **DELETE)) == {"unchanged": 4, "changed": 1, "tasks_updated": 1}
    assert run.quarantine() == {}
