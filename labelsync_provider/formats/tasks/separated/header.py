"""The header of a table: a name for each column."""

from collections import Counter

from labelsync_provider.errors import Invalid
from labelsync_provider.formats.tasks.rows import UNDEFINED, both_named
from labelsync_provider.formats.tasks.separated.values import values_of
from labelsync_provider.tasks import shown_keys


def names_of(header: bytes, separator: bytes) -> list[str]:
    """Return the names of the columns.

    :raises Invalid: the header is malformed, or does not name each.
    """
    try:
        names = values_of(header, separator)
    except Invalid as error:
        raise Invalid(f"bad header: {error}") from None
    if nameless := [n for n, name in enumerate(names, 1) if not name.strip()]:
        remedy = "Give it one, or take it out; pandas writes one unless it is told index=False"
        raise Invalid(f"bad header: column {nameless[0]} of {len(names)} has no name. {remedy}")
    doubled, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise Invalid(f"bad header: {times} columns are called {doubled!r:.80}. Give each a name of its own")
    return names


def check_names(names: list[str], row_key: str | None, first_key: str | None) -> None:
    """Make sure that the columns have what the import needs of them.

    :raises Invalid: none is the `row_key`, or two are meant for the same data key.
    """
    if UNDEFINED in names and first_key in names:
        raise Invalid(f"bad header: {both_named(first_key)}")
    if row_key is not None and row_key not in names:
        column = row_key.removeprefix("data.")
        remedy = f"Name it {column!r}: columns are data keys" if column in names else "Name one of these"
        raise Invalid(f"row_key={row_key!r:.80}: the table has no such column, it has {shown_keys(names)}. {remedy}")
