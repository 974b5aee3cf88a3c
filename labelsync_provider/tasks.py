"""A task, as formats make it and projects take it. Field names are Label Studio's, from its import format."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

Json = dict[str, Any]


class Task(Struct, gc=False, omit_defaults=True):
    """A task to be imported."""

    data: Json
    meta: Json = {}
    annotations: Sequence[Json] = ()
    predictions: Sequence[Json] = ()
    allow_skip: bool | None = None
    """Whether an annotator may skip it; None leaves that to the project."""
