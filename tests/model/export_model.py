"""What must be true after an export: written from the rule and the promises, not from the engine.

It knows a project as `{id: Labeled}` and a target as `{path: content}`. `foretell` says what a run without faults does.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from labelsync_provider.errors import EmptyListing, LabelsyncError, TargetOccupied

TEMPLATES = {
    "annotation": [
        "{annotation_id}.json",
        "{project_id}/{task_id}/{annotation_id}",
        "by-{task_id}/{annotation_id}.json",
    ],
    "task": ["{task_id}.json", "tasks/{task_id}/it.json", "{project_id}-{task_id}"],
}
"""By layout; the first is its own, where none is given."""


# --- what is in a project ---


class Annotation(NamedTuple):
    """An annotation, as far as it matters."""

    id: int
    result: str
    cancelled: bool
    annotator: str | None
    updated_at: str


class Labeled(NamedTuple):
    """A task with its annotations. All but these is in the file of each of them."""

    id: int
    data: str
    updated_at: str
    counters: tuple[int, int]
    """What the project says that it has: annotations that were not cancelled, and that were."""
    predictions: tuple[str, ...]
    annotations: tuple[Annotation, ...]
    """By id."""


# --- what is in a target ---


class Export(NamedTuple):
    """What tells an export from all others, whatever it covers."""

    project: tuple[str, str]
    """The project's `uri`, and when it was created."""
    project_id: int
    start: str
    """What the path of each of its objects begins with."""
    layout: str
    template: str

    def path(self, task: int, annotation: int | None) -> str:
        return self.start + self.template.format(project_id=self.project_id, task_id=task, annotation_id=annotation)

    def is_nested(self, other: "Export") -> bool:
        """Tell whether the target of one is in the target of the other."""
        starts = sorted([self.start, other.start])
        return starts[0] != starts[1] and starts[1].startswith(starts[0])


class Content(NamedTuple):
    """What a file says: of a task, or of one annotation and its task."""

    task: Labeled
    """With what the file holds of its annotations; of one annotation, its predictions are only counted."""

    @property
    def annotations(self) -> int:
        return len(self.task.annotations)


def rendered(export: Export, project: Mapping[int, Labeled], *, include_cancelled: bool) -> dict[str, Content]:
    """Return what the target must hold."""
    files = {}
    for task in project.values():
        covered = tuple(a for a in task.annotations if include_cancelled or not a.cancelled)
        if export.layout == "task" and covered:
            files[export.path(task.id, None)] = Content(task._replace(annotations=covered))
        elif export.layout == "annotation":
            counted = task._replace(predictions=(str(len(task.predictions)),))
            files |= {export.path(task.id, a.id): Content(counted._replace(annotations=(a,))) for a in covered}
    return files


def text_of(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def is_marker(path: str, content: bytes) -> bool:
    """Tell whether an object is nothing to an export."""
    return not content and path.endswith("/")


def written_by(path: str, content: bytes, start: str) -> tuple[Export, Content] | None:
    """Return which export to a target has written an object under this very path, and what; None if none has."""
    try:
        said = json.loads(content)
        note = said["labelsync"]
        first = next(iter(said))
        task, project = said if "annotations" in said else said["task"], said["project"]
        of_project = note["project"], note["project_created_at"]
        export = Export(of_project, project, start, note["layout"], note["key_template"])
        one = None if "annotations" in said else said["id"]
        content_ = Content(_task(task, said.get("annotations", [said]), said.get("predictions")))
        is_its_path = export.path(task["id"], one) == path
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None
    return (export, content_) if first == "labelsync" and is_its_path else None


def _task(task: Any, annotations: Any, predictions: Any) -> Labeled:
    counters = task["total_annotations"], task["cancelled_annotations"]
    predicted = [str(task["total_predictions"])] if predictions is None else sorted(map(prediction, predictions))
    told = tuple(sorted(map(annotation, annotations)))
    return Labeled(task["id"], text_of(task["data"]), task["updated_at"], counters, tuple(predicted), told)


def annotation(told: Any) -> Annotation:
    """Return an annotation that is told of as in Label Studio's exports."""
    annotator = told["completed_by"] and told["completed_by"]["first_name"]
    return Annotation(told["id"], text_of(told["result"]), told["was_cancelled"], annotator, told["updated_at"])


def prediction(told: Any) -> str:
    """Return a prediction that is told of as in Label Studio's exports."""
    return text_of([told["model_version"], told["result"]])


# --- what a run does ---


@dataclass
class Forecast:
    """What a run without faults does."""

    refused: type[LabelsyncError] | None
    counts: dict[str, int]
    rendered: dict[str, Content]
    """What the target must hold, by path."""
    files: dict[str, tuple[Export, Content]]
    """What it does hold after the run, by path, with what is gone and was not deleted."""
    deletable: set[str]
    """What such a run may delete, if it is allowed to delete."""
    is_mixed: bool
    """Whether there are files of this export, and of another one made with another layout or key template."""


def foretell(
    export: Export,
    project: Mapping[int, Labeled],
    target: Mapping[str, bytes],
    *,
    include_cancelled: bool,
    can_delete_objects: bool,
    miscounted: int = 0,
) -> Forecast:
    """Say what a run without faults does.

    :param target: what stands there, and perhaps beside it.
    :param miscounted: annotations that the project's counters say too many.
    """
    must = rendered(export, project, include_cancelled=include_cancelled)
    here = {path: content for path, content in target.items() if path.startswith(export.start)}
    standing = {
        path: written_by(path, content, export.start) for path, content in here.items() if not is_marker(path, content)
    }
    files = {path: file for path, file in standing.items() if file and file[0].project == export.project}
    of_others = {path for path, (by, _) in files.items() if by != export}
    gone = of_others | (files.keys() - must.keys())
    refused: type[LabelsyncError] | None = None
    if len(files) < len(standing) or (of_others and not can_delete_objects):
        refused = TargetOccupied
    elif gone and can_delete_objects and not must:
        refused = EmptyListing
    unchanged = {path for path, content in must.items() if files.get(path) == (export, content)}
    covered = sum(content.annotations for content in must.values())
    counts = {
        "tasks": len(project),
        "annotated_tasks": len({content.task.id for content in must.values()}),
        "annotations": covered,
        "annotations_told": covered + miscounted,
        "written": len(must) - len(unchanged),
        "unchanged": len(unchanged),
        "gone": len(gone),
        "deleted": len(gone) if can_delete_objects else 0,
        "failed": 0,
    }
    kept = {path: file for path, file in files.items() if not (path in gone and can_delete_objects)}
    after = kept | {path: (export, content) for path, content in must.items()}
    is_mixed = bool(of_others) and len(of_others) < len(files)
    return Forecast(refused, counts, must, after, set(files) if is_mixed else gone, is_mixed)
