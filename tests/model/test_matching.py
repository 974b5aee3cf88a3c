"""The rule of matching, written twice: the model's and the engine's find the same rows."""

from hypothesis import given, settings
from hypothesis import strategies as st
from model.model import BAD, Known, Object, Row, Rows, Stored, foretell, match

from labelsync_provider.sync.importing import matching
from labelsync_provider.sync.ledger.records import KnownRow, RowState

GOOD = st.builds(Row, st.sampled_from("abc"), st.sampled_from(["", "x"]))
KEYED = st.builds(Row, st.sampled_from("abc"), st.sampled_from(["", "x"]), key=st.sampled_from("123"))


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Known], list[Row | None], bool]:
    by_key = draw(st.booleans())
    row = KEYED if by_key else GOOD
    read: list[Row | None] = draw(st.lists(st.none() | row, max_size=6))
    if by_key:
        read = [r if r and r.key not in {e.key for e in read[:n] if e} else BAD for n, r in enumerate(read)]
    known, keys = [], iter("123")
    positions = draw(st.permutations(range(6)))
    for task, position in enumerate(positions[: draw(st.integers(0, 6))], 1):
        key = next(keys, None) if by_key and draw(st.booleans()) else None
        known.append(Known(task, draw(GOOD), position if draw(st.integers(0, 3)) else None, key=key))
    return known, read, by_key


def _digest(row: Row) -> str:
    return f"{row.data * 24}.{row.labels * 16}".rstrip(".")


@settings(max_examples=800, deadline=None, derandomize=True)
@given(cases())
def test_the_engine_matches_as_the_model_does(case: tuple[list[Known], list[Row | None], bool]) -> None:
    known, read, by_key = case
    rows = [KnownRow("p", k.task or 0, RowState.LIVE, k.position, k.task, _digest(k.row), k.key) for k in known]
    reads = [matching.ReadRow(n, _digest(r) if r else None, r.key if r else None) for n, r in enumerate(read)]
    found = matching.match(rows, reads, by_key=by_key)
    expected = match(read, known, by_key=by_key)
    assert {n: row.task for n, row in found.known.items()} == {n: k.task for n, k in expected.items()}
    assert {row.task for row in found.missing} == {k.task for k in known} - {k.task for k in expected.values()}


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.lists(st.none() | GOOD, max_size=5), st.sampled_from(["report", "add"])), max_size=5))
def test_by_the_rule_no_row_gets_two_tasks_and_a_second_run_does_nothing(history: list[tuple[Rows, str]]) -> None:
    known: dict[str, list[Known]] = {}
    tasks = 0
    for rows, on_changed in history:
        for again in (False, True):
            seen = [Object("p", "uri", rows)]
            options = {"as_blob": None, "on_missing": "report", "restore_deleted": False, "by_key": False}
            project = {n: Stored({}, {}, {"uri": "uri"}) for n in range(1, tasks + 1)}
            forecast = foretell(seen, known, {}, project, on_changed=on_changed, **options)  # type: ignore[arg-type]
            known = forecast.known
            for k in known.get("p", ()):
                if k.task == 0:
                    k.task = tasks = tasks + 1
            assert not (again and forecast.created)
            live = [k.position for k in known.get("p", ()) if k.live and k.position is not None]
            assert len(live) == len(set(live))
