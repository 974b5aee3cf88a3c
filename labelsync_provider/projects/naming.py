"""How projects, and storages of Label Studio's own, are named: by an id, or by something else."""

from typing import Literal

from labelsync_provider.errors import invalid

StorageType = Literal["s3", "gcs", "azure", "redis", "localfiles"]
"""Label Studio's words for the services; each has ids of its own."""


def is_id(name: int | str) -> bool:
    """Tell whether a name is an id: digits as they stand on every keyboard, and not those of other scripts."""
    text = str(name).strip()
    return text.isascii() and text.isdecimal()


def title_of(title: int | str, parameter: str = "title") -> str:
    """Return a title as Label Studio keeps it, and with it every store.

    Blanks and line breaks at its ends are taken off, and a number, which a template gives that is rendered natively,
    becomes a text. Whatever stands between the ends stays: of letters that look alike, each is itself.

    :param parameter: what the title was given as.
    :raises Invalid: it is neither a text nor a whole number, or no store could keep it.
    """
    if isinstance(title, bool) or not isinstance(title, int | str):
        raise invalid(parameter, title, f"a title is a text, this is a {type(title).__name__}", "Put it in quotes.")
    text = str(title).strip()
    if "\0" in text:
        raise invalid(parameter, title, "there is a NUL character in it", "Leave it out.")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise invalid(parameter, title, "half of a surrogate pair in it is no character", "Leave it out.")
    return text
