"""Files in which rows are equal: each row has one task, run by run, whatever is done to the tasks by hand."""

from typing import Any

import pytest
from importing import Importing, annotation, lines, some, texts
from model.bucket import Bucket
from model.worlds import EmbeddedWorld
from sqlalchemy import Engine, select

from labelsync_provider.sync.ledger.tables import ROW


@pytest.fixture
def run(engine: Engine) -> Importing:
    return Importing(Bucket(), EmbeddedWorld(engine), engine)


BEFORE, AFTER = texts("one", "two", "three"), texts("ok", "bad", "four", "ok", "bad", "ok")


def test_rows_that_grow_more_and_equal_are_made_once_and_reported_as_long_as_it_lasts(run: Importing) -> None:
    run.put("a.jsonl", lines(*BEFORE))
    run()
    run.put("a.jsonl", lines(*AFTER))
    assert some(run()) == {"changed": 3, "new": 3, "tasks_created": 3}
    before = run.tasks()
    for _ in range(3):
        assert some(run()) == {"unchanged": 3, "changed": 3}
    assert run.tasks() == before


def test_rows_that_grow_more_and_equal_are_updated_once(run: Importing) -> None:
    run.put("a.jsonl", lines(*BEFORE))
    run()
    run.put("a.jsonl", lines(*AFTER))
    assert some(run(on_changed="update")) == {"changed": 3, "new": 3, "tasks_created": 3, "tasks_updated": 3}
    assert run.texts() == ["ok", "bad", "four", "ok", "bad", "ok"]
    for on_changed in ("update", "report", "add"):
        assert some(run(on_changed=on_changed)) == {"unchanged": 6}


def test_rows_that_grow_more_and_equal_are_added_once(run: Importing) -> None:
    run.put("a.jsonl", lines(*BEFORE))
    run()
    run.put("a.jsonl", lines(*AFTER))
    assert some(run(on_changed="add")) == {"changed": 3, "new": 3, "tasks_created": 6}
    for on_changed in ("add", "report", "update"):
        assert some(run(on_changed=on_changed)) == {"unchanged": 6}
    assert len(run.tasks()) == 9


def live_rows(run: Importing) -> dict[int, int | None]:
    """Return by position the tasks that stand for the rows of the file, as the ledger has them."""
    live = select(ROW.c.position, ROW.c.task).where(ROW.c.state == "live", ROW.c.position.is_not(None))
    with run.engine.connect() as connection:
        found = connection.execute(live).all()
    assert len({position for position, _ in found}) == len(found)
    return dict(map(tuple, found))


LABELED: dict[str, Any] = {"data": {"text": "a"}, "annotations": [annotation("x")]}
VERSIONS = (
    [{"text": "a"}, LABELED, {"text": "a"}, {"text": "b"}],
    [{"text": "a"}, {"text": "a"}, {"text": "b"}],
    [{"text": "b"}, {"text": "a"}, LABELED, LABELED, {"text": "a"}],
    [{"text": "a"}, LABELED, {"text": "a"}, {"text": "b"}],
)


@pytest.mark.parametrize("restore_deleted", [False, True])
@pytest.mark.parametrize("on_missing", ["report", "delete"])
@pytest.mark.parametrize("on_changed", ["report", "update", "add"])
def test_rows_of_which_some_are_annotated_and_some_deleted_by_hand_have_one_task_each(
    run: Importing, on_changed: str, on_missing: str, restore_deleted: bool
) -> None:
    options: dict[str, Any] = {
        "on_changed": on_changed,
        "on_missing": on_missing,
        "restore_deleted": restore_deleted,
        "max_delete": 100,
    }
    deleted = set[int | None]()
    for version in VERSIONS:
        run.put("a.jsonl", lines(*version))
        run(**options)
        live = live_rows(run)
        assert live.keys() == set(range(len(version)))
        assert len(set(live.values())) == len(live), "no task stands for two rows"
        assert set(live.values()) - run.tasks().keys() <= (set() if restore_deleted else deleted)
        before = run.tasks()
        again = run(**options)
        assert (again.tasks_created, again.tasks_updated, again.tasks_deleted) == (0, 0, 0)
        assert run.tasks() == before
        run.world.annotate(live[0] if live[0] in before else live[1])  # type: ignore[arg-type]
        run.world.delete(live[2])  # type: ignore[arg-type]
        deleted.add(live[2])
