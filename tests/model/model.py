"""What must be true after an import: written from the rule and the promises, not from the engine.

It knows sources as `{path: content}` and a project as `{id: Stored}`. `foretell` says what a run without faults does.
"""

import csv
import gzip
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

Json = dict[str, Any]


# --- what is in a source ---


@dataclass(frozen=True)
class Row:
    """A good row. Its parts are texts that are equal when the parts are."""

    data: str
    labels: str = ""
    """Of meta and predictions; of a blob, its version."""
    annotations: str = ""
    skip: bool | None = None
    key: str | None = field(default=None, compare=False)


BAD = None
"""What is left of a bad row."""

Rows = Sequence[Row | None]


def text_of(value: Any) -> str:
    return json.dumps(value, sort_keys=True) if value else ""


def is_named_as_task_file(key: str) -> bool:
    """Tell whether an object is read as a task file at all."""
    name = key.rpartition("/")[2].removesuffix(".gz")
    return "." not in name or name.endswith((".json", ".jsonl", ".ndjson", ".csv"))


def is_marker(key: str, content: bytes) -> bool:
    """Tell whether an object is nothing that could be imported."""
    return not content or key.rpartition("/")[2] in ("_SUCCESS", ".keep")


def rows_of(key: str, content: bytes, row_key: str | None) -> Rows | None:
    """Return the rows of a task file; None if the file as a whole is bad."""
    name = key.rpartition("/")[2].removesuffix(".gz")
    if not is_named_as_task_file(key):
        return None
    try:
        text = (gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content).decode()
    except (OSError, EOFError):
        return None
    values = _table(text, row_key) if name.endswith(".csv") else _lines(text) if name.endswith("l") else _values(text)
    if values is None:
        return None
    rows, seen = [], set()
    for value in values:
        row = _row(value, row_key)
        if row and row_key:
            if row.key is None or row.key in seen:
                row = BAD
            else:
                seen.add(row.key)
        rows.append(row)
    return rows


def _table(text: str, row_key: str | None) -> list[Any] | None:
    names, *rows = [row for row in csv.reader(io.StringIO(text, newline="")) if any(row)] or [[]]
    agree = [len(row) == len(names) for row in rows]
    if (row_key and row_key not in names) or (len(rows) > 1 and not any(agree)):
        return None
    return [dict(zip(names, row, strict=True)) if fits else BAD for row, fits in zip(rows, agree, strict=True)] or None


def _lines(text: str) -> list[Any] | None:
    lines = [line for line in text.splitlines() if line.strip()]
    return [value for line in lines for value in _documents(line) or [_or_none(line)]] or None


def _values(text: str) -> list[Any] | None:
    value = _or_none(text)
    if value is not None:
        return (value or None) if isinstance(value, list) else [value] if isinstance(value, dict) else None
    first, *others = [line for line in text.splitlines() if line.strip()] or [""]
    return _lines(text) if others and _or_none(first) is not None else _documents(text)


def _documents(text: str) -> list[Any] | None:
    """Return JSON values that stand one after another, if there are several."""
    values, decoder = [], json.JSONDecoder()
    while text := text.lstrip():
        try:
            value, end = decoder.raw_decode(text)
        except ValueError:
            return None
        values.append(value)
        text = text[end:]
    return values if len(values) > 1 else None


def _or_none(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _row(value: Any, row_key: str | None) -> Row | None:
    if not isinstance(value, dict) or not isinstance(value.get("data", value), dict):
        return BAD
    at: Any = value
    for part in row_key.split(".") if row_key else ():
        at = at.get(part) if isinstance(at, dict) else None
    key = None if at in (None, "") or not row_key else str(at)
    if "data" not in value:
        return Row(text_of(value), key=key)
    meta, predictions = value.get("meta") or {}, value.get("predictions") or []
    labels = text_of([meta, predictions]) if meta or predictions else ""
    return Row(text_of(value["data"]), labels, text_of(value.get("annotations")), value.get("allow_skip"), key)


# --- what is known ---


@dataclass
class Known:
    """A row imported earlier. Its task may be there no longer."""

    task: int | None
    row: Row
    position: int | None
    """None: it was missing in an earlier run."""
    live: bool = True
    """False: another task stands for it."""
    key: str | None = None


def match(read: Rows, known: Sequence[Known], *, by_key: bool = False) -> dict[int, Known]:
    """Return for each position in the file the known row that it is, by the rule of the README."""
    pairs: dict[int, Known] = {}
    left = sorted(known, key=lambda k: (k.position is None, k.position or 0, k.task or 0))

    def take(fits: Callable[[int, Row, Known], bool]) -> None:
        for n, row in enumerate(read):
            if row and n not in pairs:
                for k in left:
                    if fits(n, row, k):
                        pairs[n] = k
                        left.remove(k)
                        break

    free = (lambda k: k.key is None) if by_key else (lambda k: True)
    if by_key:
        take(lambda n, row, k: row.key == k.key)
    take(lambda n, row, k: free(k) and row == k.row and n == k.position)
    take(lambda n, row, k: free(k) and row == k.row)
    take(lambda n, row, k: free(k) and row.data == k.row.data and n == k.position)
    take(lambda n, row, k: free(k) and row.data == k.row.data)
    # Runs of what is left, between the same neighbours.
    present = sorted((k for k in known if k.position is not None), key=lambda k: (k.position, k.task or 0))
    matched = {id(k) for k in pairs.values()}
    runs: dict[tuple[int, int], list[Known]] = {}
    for k in present:
        if id(k) not in matched:
            runs.setdefault(_neighbours(present, present.index(k), matched), []).append(k)
    for n, row in enumerate(read):
        if n in pairs:
            continue
        before = next((id(pairs[m]) for m in range(n - 1, -1, -1) if m in pairs and id(pairs[m]) in matched), 0)
        after = next((id(pairs[m]) for m in range(n + 1, len(read)) if m in pairs and id(pairs[m]) in matched), 0)
        run = runs.get((before, after), [])
        if found := next((k for k in run if row is BAD or free(k)), None):
            pairs[n] = found
            run.remove(found)
    return pairs


def _neighbours(present: Sequence[Known], at: int, matched: set[int]) -> tuple[int, int]:
    before = next((id(k) for k in reversed(present[:at]) if id(k) in matched), 0)
    after = next((id(k) for k in present[at + 1 :] if id(k) in matched), 0)
    return before, after


# --- what is in a project ---


@dataclass(frozen=True)
class Stored:
    """A task as the project has it."""

    data: Json
    meta: Json
    """Without our note."""
    note: Json
    predictions: tuple[tuple[str | None, str], ...] = ()
    """Of each, its model's version and its result, in any order."""
    annotations: tuple[str, ...] = ()
    drafts: int = 0
    skip: bool | None = None

    @property
    def worked_on(self) -> bool:
        return bool(self.annotations or self.drafts)

    def same(self, other: "Stored") -> bool:
        """Tell whether two are equal but for the note."""
        return _comparable(self) == _comparable(other)


def _comparable(stored: Stored) -> Any:
    labels = sorted(stored.predictions, key=str), sorted(stored.annotations)
    return stored.data, stored.meta, labels, stored.drafts, stored.skip


def from_row(row: Row) -> Stored:
    """Return the task that a row becomes."""
    meta, predictions = json.loads(row.labels or "[{}, []]")
    annotations = tuple(text_of(a["result"]) for a in json.loads(row.annotations or "[]"))
    return Stored(json.loads(row.data or "{}"), meta or {}, {}, _predictions(predictions), annotations, skip=row.skip)


def _predictions(items: Sequence[Json] | None) -> tuple[tuple[str | None, str], ...]:
    return tuple((item.get("model_version"), text_of(item["result"])) for item in items or ())


def updated(task: Stored, known: Row, row: Row) -> tuple[Stored, Row]:
    """Return what becomes of a task, and what is known of it, when its row is written as far as it may be."""
    new_data, worked_on = row.data != known.data, task.worked_on
    if worked_on and (new_data or row.labels == known.labels):
        return task, known  # A person's data is not overwritten; and annotations alone are only reported.
    new = from_row(row)
    versions = {version for version, _ in new.predictions}
    kept = tuple(p for p in task.predictions if p[0] not in versions)
    annotates = row.annotations != known.annotations and not worked_on
    task = replace(
        task,
        data=new.data if new_data else task.data,
        meta={**task.meta, **new.meta},
        predictions=kept + new.predictions if row.labels != known.labels or new_data else task.predictions,
        annotations=task.annotations + new.annotations if annotates else task.annotations,
    )
    # A row without annotations removes none, as one without predictions; others are not written on an annotated task.
    annotations = known.annotations if worked_on and row.annotations else row.annotations
    return task, replace(row, annotations=annotations, skip=known.skip)


# --- what a run does ---


@dataclass(frozen=True)
class Object:
    """An object of the source, as a run sees it."""

    path: str
    uri: str
    rows: Rows | None
    """None: the object as a whole is bad."""


@dataclass
class Forecast:
    """What a run without faults does."""

    counts: dict[str, int]
    known: dict[str, list[Known]]
    """Of rows that get a task of their own, `task` is 0."""
    project: dict[int, Stored]
    """Without what is created."""
    created: list[tuple[str, int, Row]]
    """Path, position and row."""
    quarantine: dict[str, set[int | None]]
    """By path, the positions of bad rows; None for the object as a whole."""
    deletable: int = 0


Works = Callable[[Known, str], Stored | None]


def foretell(
    objects: Sequence[Object],
    known: Mapping[str, Sequence[Known]],
    missing: Mapping[str, str],
    project: Mapping[int, Stored],
    *,
    as_blob: str | None,
    on_changed: str,
    on_missing: str,
    restore_deleted: bool,
    by_key: bool,
) -> Forecast:
    """Say what a run without faults does.

    :param objects: what the source lists and the filter lets through.
    :param known: by path, the rows known of it, those of objects that are out of this run's sight included.
    :param missing: the URIs, by path, of known objects that the run looks for and does not find.
    :param as_blob: the data key; None for task files.
    """
    counts = dict.fromkeys(("unchanged", "new", "changed", "missing", "quarantined"), 0)
    counts |= dict.fromkeys(("tasks_created", "tasks_updated", "tasks_deleted"), 0)
    out = Forecast(counts, {p: [replace(k) for k in ks] for p, ks in known.items()}, dict(project), [], {})

    def there(k: Known, uri: str) -> Stored | None:
        stored = out.project.get(k.task or 0)
        return stored if stored and stored.note.get("uri") == uri else None

    def drop(path: str, gone: Sequence[Known]) -> None:
        out.known[path] = [k for k in out.known[path] if not any(k is g for g in gone)]

    doomed: list[tuple[str, str, Known]] = []

    def is_missing(path: str, uri: str, k: Known) -> None:
        if k.live:
            counts["missing"] += 1
        doomed.append((path, uri, k))

    uris = {o.path: o.uri for o in objects} | dict(missing)
    if restore_deleted:
        for path, uri in uris.items():
            if path in out.known:
                drop(path, [k for k in out.known[path] if not there(k, uri)])
    for path, uri in missing.items():
        for one in out.known.get(path, ()):
            is_missing(path, uri, one)
    for o in objects:
        if o.rows is None:
            out.quarantine[o.path] = {None}
            continue
        if o.rows and not any(o.rows):
            # Nothing in it is good: its rows are not missing for that.
            out.quarantine[o.path] = set(range(len(o.rows)))
            continue
        mine = out.known.setdefault(o.path, [])
        live = [k for k in mine if k.live]
        superseded = sorted((k for k in mine if not k.live), key=lambda k: k.task or 0)
        pairs = match(o.rows, live, by_key=by_key)
        for one in live:
            if not any(one is paired for paired in pairs.values()):
                is_missing(o.path, o.uri, one)
                one.position = None  # While the object as a whole is away, its rows keep theirs.
        for n, row in enumerate(o.rows):
            k = pairs.get(n)
            if k:
                k.position = n
            if row is BAD:
                out.quarantine.setdefault(o.path, set()).add(n)
                continue
            if k and by_key:
                k.key = row.key
            if k and k.row == row:
                counts["unchanged"] += 1
                continue
            counts["changed" if k else "new"] += 1
            stored = there(k, o.uri) if k else None
            if k and on_changed == "report":
                continue
            if k and on_changed == "update":
                if stored:
                    _update(out, k, stored, row, o.uri, as_blob)
                elif replace(row, skip=k.row.skip) != k.row:
                    k.row = row  # A person has deleted it, and nothing is left to be told of it.
                continue
            if k:
                k.live, k.position = False, None
            again = next((s for s in superseded if not s.live and s.row == row), None)
            if again:
                again.live, again.position, again.key = True, n, row.key or again.key
            else:
                mine.append(Known(0, row, n, key=row.key))
                out.created.append((o.path, n, row))
                counts["tasks_created"] += 1
    counts["quarantined"] = sum(map(len, out.quarantine.values()))
    deletable = [(path, k) for path, uri, k in doomed if (s := there(k, uri)) and not s.worked_on]
    out.deletable = len(deletable)
    if on_missing == "delete":
        counts["tasks_deleted"] = len(deletable)
        for path, uri, k in doomed:
            if not there(k, uri):
                drop(path, [k])
        for path, k in deletable:
            del out.project[k.task or 0]
            drop(path, [k])
    return out


def _update(out: Forecast, k: Known, stored: Stored, row: Row, uri: str, as_blob: str | None) -> None:
    if as_blob:
        if stored.worked_on:
            return
        after, learned = replace(stored, data={**stored.data, as_blob: uri}), row
    else:
        after, learned = updated(stored, k.row, row)
    if learned != k.row or not after.same(stored):
        out.counts["tasks_updated"] += 1
    out.project[k.task or 0], k.row = after, learned
