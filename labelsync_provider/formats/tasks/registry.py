"""The formats of task files, by name. One more is a file beside this one, and a line here."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from labelsync_provider.formats.tasks.json_text import documents
from labelsync_provider.formats.tasks.rows import BadRow, Row
from labelsync_provider.formats.tasks.separated import rows as separated


class TaskFormat(NamedTuple):
    """A format that task files may have. What "may" means, tests/formats/test_contract.py says."""

    name: str
    extensions: tuple[str, ...]
    """By which it is told: what the name of an object ends with, before `.gz`. Empty: it has none."""
    rows: Callable[[bytes, str | None, str | None], Iterator[Row | BadRow]]
    """Yields the rows of a text in it, one decoded at a time. It is given the text, unpacked and without a byte order
    mark; `row_key`, the field whose value tells the rows of a file apart; and the data key that `$undefined$` stands
    for. Raises `Invalid`, before the first row, if the text as a whole is bad.
    """


FORMATS = (
    TaskFormat("JSON", (".json", ""), documents.rows),
    TaskFormat("JSON lines", (".jsonl", ".ndjson"), documents.rows_of_lines),
    TaskFormat("CSV", (".csv",), separated.rows_of_csv),
    TaskFormat("TSV", (".tsv",), separated.rows_of_tsv),
)
JSON = FORMATS[0]
"""How a text is read of which no name says what it is."""

_by_extension = {extension: one for one in FORMATS for extension in one.extensions}


def format_of(key: str) -> TaskFormat | None:
    """Return the format of an object by its key; None if it is told by its name to be no task file."""
    # One look for most: there may be millions.
    return _by_extension.get(key[key.rfind(".") :]) or _by_extension.get(_extension(key))


def _extension(key: str) -> str:
    name = key.rpartition("/")[2].lower().removesuffix(".gz")
    stem, dot, extension = name.rpartition(".")
    return dot + extension if stem else ""
