"""Which tasks of a batch a server refuses, as far as it names them."""

import re
from typing import Any

from labelsync_provider.projects.label_studio.answers import LOOKED_AT, Refused

NAMED_AT_MOST = 100
"""So many tasks a refusal names; others may be as bad."""
NONE: tuple[Any, ...] = (None, "", "...", {}, [])
"""What stands in a refusal in the place of a task that is fine, or that is not named any more."""


def tasks_named(refusal: Refused, count: int) -> dict[int, str]:
    """Return the tasks that a refusal names, by their place in the batch; it names the first `NAMED_AT_MOST`."""
    reasons = refusal.reasons.get("non_field_errors") if isinstance(refusal.reasons, dict) else None
    if not isinstance(reasons, list) or len(reasons) > count:
        return {}
    # "Error at item 3: what is wrong :: the whole item"
    said = {n: str(reason)[:LOOKED_AT].partition(" :: ")[0] for n, reason in enumerate(reasons) if reason not in NONE}
    if count > 1 and not all(re.match(r"Errors? .*at item|Error at item", reason) for reason in said.values()):
        return {}
    return {n: re.sub(r"^Errors?.*? at item \d+: ", "", reason) for n, reason in said.items()}
