"""What a row means that is written in JSON: a task, or, if it has no `data`, the data of one."""

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from labelsync_provider.annotators import name_again
from labelsync_provider.errors import Invalid
from labelsync_provider.formats.tasks.digests import digest_of
from labelsync_provider.formats.tasks.json_text.faults import MAX_DEPTH, TOO_DEEP, fault_of
from labelsync_provider.formats.tasks.json_text.labels import (
    ANNOTATION_FIELDS,
    PREDICTION_FIELDS,
    boolean_of,
    labels_of,
)
from labelsync_provider.formats.tasks.json_text.splitting import STRING, is_well_formed
from labelsync_provider.formats.tasks.kinds import kind_at, kind_of
from labelsync_provider.formats.tasks.rows import (
    MAX_ROW_BYTES,
    MAX_VALUES,
    UNDEFINED,
    BadRow,
    Row,
    key_of,
    named,
    oversized,
)
from labelsync_provider.tasks import Json, Task

MEANT = frozenset({"data", "meta", "annotations", "completions", "predictions", "allow_skip"})
BOOKKEEPING = frozenset(
    [
        "id",
        "inner_id",
        "project",
        "created_at",
        "updated_at",
        "updated_by",
        "created_by",
        "is_labeled",
        "overlap",
        "total_annotations",
        "cancelled_annotations",
        "total_predictions",
        "comment_count",
        "unresolved_comment_count",
        "comment_authors",
        "last_comment_updated_at",
        "file_upload",
        "storage_filename",
        "precomputed_agreement",
        "agreement",
        "agreement_selected",
        "state",
        "annotators",
        "annotators_count",
        "annotations_ids",
        "annotations_results",
        "predictions_results",
        "predictions_score",
        "predictions_model_versions",
        "avg_lead_time",
        "completed_at",
        "draft_exists",
        "ground_truth",
        "reviewed",
        "reviewers",
        "reviews_accepted",
        "reviews_rejected",
        "comments",
        "import_job_id",
    ]
)
"""What Label Studio's own exports have beside `data`, and its server gives out anew."""

UNDERSTOOD = MEANT | BOOKKEEPING | {"labelsync"}
"""The latter is the note by which an export of this package recognises its files."""
_strings = re.compile(STRING, re.DOTALL)
_one_behind_another = re.compile(rb"\}[ \t\r\n,]*+\{").search
FAULTS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def row_of(position: int, raw: bytes, row_key: str | None = None, first_key: str | None = None) -> Row | BadRow:
    """Return what a row means.

    :param raw: its JSON, without blanks around it.
    :param row_key: the field, dotted, whose value tells the rows of a file apart.
    :param first_key: the data key that `$undefined$` stands for; None leaves it as it is.
    """
    if not raw.startswith(b"{"):
        if is_well_formed(raw):
            return BadRow(position, f"not a task: a row is a JSON object, this is {kind_at(raw[:1])}")
    elif len(raw) > MAX_VALUES and (problem := bound_problem(raw)):
        return BadRow(position, problem, _swallows(raw))
    try:
        value = msgspec.json.decode(raw)
    except FAULTS as error:
        return BadRow(position, fault_of(raw, error, position), _swallows(raw))
    return row_of_value(position, value, raw, row_key, first_key)


def row_of_value(
    position: int, value: Any, raw: bytes, row_key: str | None = None, first_key: str | None = None
) -> Row | BadRow:
    """Return what a row means that is decoded already; see `row_of`."""
    try:
        task, ignored = _task(value, first_key)
        key = None if row_key is None else _key(value, row_key)
        digest = digest_of(task)
    except Invalid as error:
        return BadRow(position, str(error))
    except RecursionError:
        return BadRow(position, TOO_DEEP)
    # A row of few brackets cannot be deep; counting them is fast, following them is not.
    if (
        raw.count(b"{") + raw.count(b"[") > MAX_DEPTH
        and _depth([task.data, task.meta, task.annotations, task.predictions]) > MAX_DEPTH + 1
    ):
        return BadRow(position, TOO_DEEP)
    return Row(position, task, digest, key, len(raw), ignored)


def _swallows(raw: bytes) -> bool:
    """Tell whether a bad row may hold others: it is malformed, and has several lines, or one object behind another."""
    return (b"\n" in raw or _one_behind_another(raw) is not None) and not is_well_formed(raw)


def bound_problem(raw: bytes) -> str | None:
    """Return why a row is not decoded: it would take more memory than a row may."""
    if len(raw) > MAX_ROW_BYTES:
        return oversized(len(raw))
    if len(raw) > MAX_VALUES and (values := _values(raw)) > MAX_VALUES:
        return f"oversized row: {values:,} values; a row may have {MAX_VALUES:,}. Make several of it"
    return None


def _values(raw: bytes) -> int:
    """Return how many values a row has, itself counted: of an array or an object, one more than there are commas in it.

    What stands in texts is left out only if it comes to that.
    """
    count = _counted(raw)
    return count if count <= MAX_VALUES else _counted(_strings.sub(b'""', raw))


def _counted(raw: bytes) -> int:
    more, empty = (sum(map(raw.count, texts)) for texts in ((b",", b"[", b"{"), (b"[]", b"{}")))
    return 1 + more - empty


def _key(value: Json, row_key: str) -> str:
    """Return what stands in the field that tells the rows of a file apart."""
    found: Any = value
    for name in row_key.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return key_of(found, row_key, () if found is not None else _fields(value))


def _fields(value: Json) -> list[str]:
    """Return the fields of a row, dotted; those of its data first."""
    data = value.get("data")
    inside = [f"data.{name}" for name in data] if isinstance(data, dict) else []
    return [*inside, *(name for name in value if name != "data" or not inside)]


def _task(value: Any, first_key: str | None) -> tuple[Task, tuple[str, ...]]:
    if not isinstance(value, dict):
        raise Invalid(f"not a task: a row is a JSON object, this is {kind_of(value)}")
    if "data" not in value:
        return Task(named(value, first_key) if UNDEFINED in value else value), ()
    data, meta, allow_skip = value["data"], value.get("meta"), value.get("allow_skip")
    if not isinstance(data, dict):
        raise Invalid(f"bad row: `data` must be an object, it is {kind_of(data)}")
    if meta and not isinstance(meta, dict):
        raise Invalid(f"bad row: `meta` must be an object, it is {kind_of(meta)}")
    if UNDEFINED in data:
        data = named(data, first_key)
    if len(value) == 1:
        return Task(data), ()
    annotations = labels_of(value, "annotations", ANNOTATION_FIELDS)
    ignored = _ignored(value)
    if "completions" in value:
        # Tools of before 2021 wrote annotations there.
        old = labels_of(value, "completions", ANNOTATION_FIELDS)
        ignored = (*ignored, "completions") if annotations and old else ignored
        annotations = annotations or old
    predictions = labels_of(value, "predictions", PREDICTION_FIELDS)
    # What an earlier import noted there is no part of the content, but for whom it could not name: this import notes
    # its own.
    if meta:
        name_again(annotations, meta.get("labelsync"))
    meta = {name: kept for name, kept in meta.items() if name != "labelsync"} if meta else {}
    task = Task(data, meta, annotations, predictions, boolean_of(allow_skip, "allow_skip"))
    return task, ignored


def _ignored(value: Json) -> tuple[str, ...]:
    if value.keys() <= UNDERSTOOD:
        return ()
    return tuple(sorted(name for name in value.keys() - UNDERSTOOD if value[name] not in (None, "", [], {})))


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [below for item in level if isinstance(item, dict | list) for below in _items(item)]
    return depth


def _items(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value
