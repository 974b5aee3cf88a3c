"""Rows of the embedded store, made from Label Studio's JSON and turned into it."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import JSON, Table

from labelsync_provider.projects.protocol import Json
from labelsync_provider.projects.task_content import canonical, number

ENCODER = msgspec.json.Encoder()

# What Label Studio writes of an annotation that says nothing of these.
ANNOTATION_DEFAULTS: Json = {
    "draft_created_at": None,
    "last_action": None,
    "bulk_created": False,
    "updated_by": None,
    "parent_prediction": None,
    "parent_annotation": None,
    "last_created_by": None,
    "unique_id": None,
}


def label_row(table: Table, item: Json, row_id: int, task_id: int, now: str) -> tuple[Any, ...]:
    """Lay an annotation or a prediction out as a row; what has no column is kept under `other`."""
    columns = table.c.keys()
    row: Json = dict.fromkeys(columns) | {"created_at": now, "updated_at": now}
    row |= {name: False for name in ("was_cancelled", "ground_truth") if name in columns}
    fields = set(columns) - {"id", "task", "other"}
    row |= {name: item[name] for name in fields if item.get(name) is not None}
    if "import_id" in columns and "id" in item:
        row["import_id"] = item["id"]
    own = fields | {"id", "task", "project"}
    row |= {"id": row_id, "task": task_id, "other": {name: value for name, value in item.items() if name not in own}}
    return tuple(
        encoded(row[column.name])
        if isinstance(column.type, JSON) and row[column.name] is not None
        else row[column.name]
        for column in table.c
    )


def exported_task(row: Json, annotations: Sequence[Json], predictions: Sequence[Json]) -> Json:
    """Return a task as Label Studio's JSON export has it."""
    cancelled = sum(annotation["was_cancelled"] for annotation in annotations)
    return {
        **row,
        "annotations": [
            {**ANNOTATION_DEFAULTS, **exported_label(annotation, row["project"])} for annotation in annotations
        ],
        "predictions": [exported_label(prediction, row["project"]) for prediction in predictions],
        "drafts": [],
        "total_annotations": len(annotations) - cancelled,
        "cancelled_annotations": cancelled,
        "total_predictions": len(predictions),
        "is_labeled": len(annotations) > cancelled,
        "overlap": 1,
        "allow_skip": row["allow_skip"] is not False,
        "precomputed_agreement": None,
        "comment_count": 0,
        "unresolved_comment_count": 0,
        "comment_authors": [],
        "last_comment_updated_at": None,
        "updated_by": [],
        "file_upload": None,
    }


def exported_label(row: Json, project: int) -> Json:
    """Return an annotation or a prediction as Label Studio's JSON export has it."""
    columns = dict(row)
    other: Json = columns.pop("other")
    return columns | other | {"project": project}


def prediction_content(prediction: Json) -> tuple[str | None, bytes]:
    """Return the model version of a prediction, exported or as it was given, and all else that it says."""
    said = prediction | {"score": number(prediction.get("score"))}
    own = {"id", "task", "project", "created_at", "updated_at", "model_version"}
    counts = {name: value for name, value in said.items() if name not in own and value is not None}
    version = prediction.get("model_version")
    return version if version is None else str(version), canonical(counts)


def encoded(value: Any) -> str:
    """Return a value as the text of a JSON column."""
    return ENCODER.encode(value).decode()


def all_encoded(values: Sequence[Any]) -> list[str]:
    """Return each of some values as the text of a JSON column: in half the time, by lines, of which a text has one."""
    return ENCODER.encode_lines(values).decode().split("\n")[:-1]
