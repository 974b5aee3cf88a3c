"""The project that is meant by an id or a title: the same rule in every store."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from labelsync_provider.errors import invalid
from labelsync_provider.projects.naming import is_id, title_of


class _Numbered(Protocol):
    @property
    def id(self) -> int: ...


Found = TypeVar("Found", bound=_Numbered)


def the_one_named(
    id_or_title: int | str, with_id: Callable[[str], Found | None], titled: Callable[[str], Found | None]
) -> Found | None:
    """Return the project with that id, or with exactly that title; a number is the id, where there is one.

    :param with_id: returns the project with an id, which is digits.
    :param titled: returns the project with exactly a title.
    :raises Invalid: a text of digits is the id of one project and the title of another; or it can be neither.
    """
    text = title_of(id_or_title, "project")
    numbered = with_id(text) if is_id(text) else None
    if numbered and isinstance(id_or_title, int):
        return numbered
    found = titled(text)
    if found and numbered and found.id != numbered.id:
        remedy = "Give the id as a number, or rename the project with that title."
        raise invalid("project", id_or_title, "it is the id of one project and the title of another", remedy)
    return found or numbered
