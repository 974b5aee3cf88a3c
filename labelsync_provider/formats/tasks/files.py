"""Task files: the content of an object, read as rows.

The name says whether an object is looked at, and by which format. What packs it, and what says how it is encoded, is
taken off for all of them.
"""

from collections.abc import Iterator
from itertools import chain, islice

from labelsync_provider.errors import Invalid
from labelsync_provider.formats.tasks.content import is_packed, text_of
from labelsync_provider.formats.tasks.registry import JSON, format_of
from labelsync_provider.formats.tasks.rows import BadRow, Row

MAX_ROWS = 10_000_000
MAX_KEYED_ROWS = 1_000_000
"""Of a file whose rows are told apart by `row_key`: their keys are held at once."""


def name_problem(key: str) -> str | None:
    """Return why an object of this key is not a task file, if its name says so already."""
    if format_of(key) is None:
        return (
            "not a task file; for pictures, set use_blob_urls=True ('Import each file as one task' in the form); to "
            "leave it out, set regex_filter ('File filter')"
        )
    return None


def rows(key: str, content: bytes, row_key: str | None = None, first_key: str | None = None) -> Iterator[Row | BadRow]:
    """Yield the rows of a task file, one decoded at a time.

    :param key: the object's. Where it does not say what kind of file it is, the content is read as JSON.
    :param row_key: the field, dotted, whose value tells the rows of a file apart.
    :param first_key: the data key that `$undefined$` stands for.
    :raises Invalid: the content is no task file.
    """
    try:
        found = (format_of(key) or JSON).rows(text_of(content), row_key, first_key)
    except Invalid as error:
        # Services unpack what is stored with `Content-Encoding: gzip`, and leave it its name.
        if is_packed(content) or not key.lower().endswith(".gz"):
            raise
        raise Invalid(f"not gzip, though its name ends with .gz; and, read as it is, {error}") from None
    bounded = chain(islice(found, MAX_ROWS), _one_too_many(found))
    return bounded if row_key is None else _with_keys(bounded, row_key)


def _one_too_many(rest: Iterator[Row | BadRow]) -> Iterator[BadRow]:
    if next(rest, None) is not None:
        too_many = f"too many rows: a file may have {MAX_ROWS:,}, and none is read from here on. Split it"
        yield BadRow(MAX_ROWS, too_many, swallows=True)


def _with_keys(found: Iterator[Row | BadRow], row_key: str) -> Iterator[Row | BadRow]:
    """Make a bad row of each whose key an earlier one has."""
    first_with: dict[str, int] = {}
    for row in found:
        if isinstance(row, BadRow) or row.key is None:
            yield row
        elif row.key in first_with:
            where, what = (f"line {row.line}: ", "line") if row.line else ("", "row")
            same = f"its {row_key!r} (row_key), {row.key!r:.80}, is that of {what} {first_with[row.key]} too"
            yield BadRow(row.position, f"{where}bad row: {same}. Give each row one of its own, or name another field")
        elif len(first_with) == MAX_KEYED_ROWS:
            most = f"a file may have {MAX_KEYED_ROWS:,}"
            yield BadRow(row.position, f"too many rows with a {row_key!r} (row_key): {most}. Split it")
        else:
            first_with[row.key] = row.line or row.position
            yield row
