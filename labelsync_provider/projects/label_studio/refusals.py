"""Which tasks of a batch a server refuses, as far as it names them. Source: label-studio 1.23.2."""

import re
from typing import Any

from labelsync_provider.projects.label_studio.answers import LOOKED_AT, Refused

CUT = "..."
"""What stands in the place of the hundredth task, if a task from there on is bad. That is the last one the server has
looked at: those behind it may be as bad."""
NONE: tuple[Any, ...] = (None, "", CUT, {}, [])
"""What stands in a refusal in the place of a task that is fine, or that is not named any more."""


def tasks_named(refusal: Refused, count: int) -> tuple[dict[int, str], int]:
    """Return the tasks that a refusal names, by their place in the batch, and of how many it tells, the first ones.

    :param count: the tasks of the batch.
    """
    reasons = refusal.reasons.get("non_field_errors") if isinstance(refusal.reasons, dict) else None
    if not isinstance(reasons, list) or not 0 < len(reasons) <= count:
        return {}, 0
    # "Error at item 3: what is wrong :: the whole item"
    said = {n: str(reason)[:LOOKED_AT].partition(" :: ")[0] for n, reason in enumerate(reasons) if reason not in NONE}
    if count > 1 and not all(re.match(r"Errors? .*at item|Error at item", reason) for reason in said.values()):
        return {}, 0
    named = {n: re.sub(r"^Errors?.*? at item \d+: ", "", reason) for n, reason in said.items()}
    if reasons[-1] == CUT:
        return named, len(reasons) - 1  # the hundredth is bad itself, and not named
    looked_at = len(reasons) if CUT in reasons else count
    return named, looked_at if named else 0
