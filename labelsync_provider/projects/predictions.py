"""Predictions in short: of one whose `result` is an object, a text or a number, what Label Studio makes.

Source of the rules: Label Studio's `tasks/models.py` (`prepare_prediction_result`) 1.23.2, and `parse_config`.
"""

from collections.abc import Sequence

from labelsync_provider.projects.label_config import Control
from labelsync_provider.projects.protocol import Json, Task

SINGLE_VALUED = {"choices": str, "rating": int, "textarea": str}
"""Control tags of which a value alone can be the result. `number` would be one, if the server did not refuse floats."""


def labels_problem(controls: Sequence[Control], task: Task, title: str) -> str | None:
    """Return which annotation or prediction of a task the project of a title would lose without a word.

    :param controls: the control tags of its label config.
    """
    for kind, labels in (("annotations", task.annotations), ("predictions", task.predictions)):
        for n, label in enumerate(labels):
            result, place = label["result"], f"bad row: `{kind}[{n}].result`"
            if isinstance(result, list) or kind == "annotations":
                # Of one such prediction, Label Studio drops all those of the batch and says that it has them.
                if not (isinstance(result, list) and all(isinstance(region, dict) for region in result)):
                    return f"{place} must be an array of objects"
            elif _in_full(controls, result) is None:
                return (
                    f"{place} is {result!r:.80}, and the label config of project {title!r} has no tag for it. Write an "
                    "array of objects, each with `from_name`, `to_name`, `type` and `value`"
                )
    return None


def write_out_predictions(controls: Sequence[Control], task: Task) -> None:
    """Make an array of each result that is none and fits a control tag."""
    for prediction in task.predictions:
        if not isinstance(prediction["result"], list):
            prediction["result"] = _in_full(controls, prediction["result"]) or prediction["result"]


def _in_full(controls: Sequence[Control], result: Json | str | int) -> list[Json] | None:
    for name, to_name, kind in controls:
        if isinstance(result, dict):
            value = result if kind in result else None
        else:
            value = {kind: [result]} if isinstance(result, SINGLE_VALUED.get(kind, ())) else None
        if value is not None:
            return [{"from_name": name, "to_name": to_name, "type": kind, "value": value}]
    return None
