"""What a layout is: which objects an export writes of a task, by which keys, and how it knows its own."""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

from labelsync_provider.tasks import Json

LayoutName = Literal["annotation", "task"]
Ids = dict[str, int]
"""By the names of the fields of a key template."""


class Object(NamedTuple):
    """What is written as one object, but for the note before it."""

    ids: Ids
    content: Json
    annotations: int
    """How many of them it holds."""


class Layout(NamedTuple):
    """A layout of what is exported."""

    name: LayoutName
    """What there is an object of; its id, such as `task_id`, must be in the key."""
    key_template: str
    """By default."""
    key_fields: frozenset[str]
    is_of_annotations: bool
    """Whether there are as many objects as annotations; otherwise, as annotated tasks."""
    objects: Callable[[Json, Sequence[Json]], Iterator[Object]]
    """Yields the objects of a task, in Label Studio's JSON export format, with those annotations that are exported."""
    recognise: Callable[[bytes], tuple[Ids, int]]
    """Returns the ids that are in an object of this layout, and how many annotations. Nothing else is made of it:
    whatever stands in a target, it takes no more memory than its bytes. Raises an error of msgspec's if it is none.
    """
