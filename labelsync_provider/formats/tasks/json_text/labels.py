"""Annotations and predictions as they come with a task: what is checked of them, and what is converted.

Source of the rules: Label Studio's `tasks/serializers.py` (`add_annotations`, `add_predictions`), 1.23.2: what it takes
is taken, and becomes what it makes of it.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import Any, NamedTuple

from labelsync_provider.errors import Invalid
from labelsync_provider.formats.tasks.kinds import kind_of
from labelsync_provider.tasks import Json

MILLISECONDS = 1e11
"""From here on, an epoch time is one in milliseconds: in seconds, it would be in the year 5138."""


def _whole(value: Any) -> int:
    number = int(value) if isinstance(value, str) and value.isascii() else value
    if not isinstance(number, int | float) or not -(2**63) <= number < 2**63:
        raise ValueError
    return int(number)


def _boolean(value: Any) -> bool:
    """Return what Django's BooleanField takes: anything else fails the server's whole batch."""
    if value in (True, False):
        return bool(value)
    named = {"t": True, "True": True, "1": True, "f": False, "False": False, "0": False}
    if isinstance(value, str) and value in named:
        return named[value]
    raise ValueError


def boolean_of(value: Any, name: str) -> bool | None:
    """Return a boolean beside `data`; None if there is none.

    :raises Invalid: it is something else.
    """
    if value is None or isinstance(value, bool):
        return value
    try:
        return _boolean(value)
    except ValueError:
        raise Invalid(f"bad row: `{name}` must be true or false, it is {kind_of(value)}") from None


def _float(value: Any) -> int | float:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else float(value)
    if not isfinite(number) or abs(number) >= 2**63:
        raise ValueError
    return number


def _score(value: Any) -> int | float | None:
    """Return a number, or nothing for a text that is none, as the server does."""
    try:
        return _float(value)
    except (ValueError, OverflowError):
        if isinstance(value, str):
            return None
        raise


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else str(value)
    if "\0" in text:
        raise ValueError
    return text


def _time(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value / 1000 if abs(value) >= MILLISECONDS else value
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if not isinstance(value, str):
        raise TypeError
    return _text(value)


class Field(NamedTuple):
    """A field that is checked."""

    name: str
    types: tuple[type, ...]
    """What is taken as it is, if a database can hold it."""
    convert: Callable[[Any], Any]
    """Makes of another value what the server makes of it; raises an error of Python's where it would fail."""
    must_be: str | None
    """What a value that cannot be converted should have been. None: it is left out, as the server ignores the field."""


ANNOTATION_FIELDS = (
    Field("id", (int,), _whole, "a whole number: it is kept as import_id"),
    Field("was_cancelled", (bool,), _boolean, "true or false"),
    Field("ground_truth", (bool,), _boolean, "true or false"),
    Field("lead_time", (int, float), _float, "a number of seconds"),
    # The server dates what it imports itself, and numbers it. The embedded store keeps what it can.
    Field("import_id", (int,), _whole, None),
    Field("created_at", (str,), _time, None),
    Field("updated_at", (str,), _time, None),
)
"""What is checked of an annotation: what makes the server fail over the whole batch, or has a column of its own."""
PREDICTION_FIELDS = (
    Field("score", (int, float), _score, "a number within 64 bits"),
    Field("model_version", (str,), _text, "a text without a NUL character"),
    Field("created_at", (str,), _time, None),
    Field("updated_at", (str,), _time, None),
)
"""What is checked of a prediction."""


def labels_of(row: Json, name: str, fields: Sequence[Field]) -> Sequence[Json]:
    """Return the annotations or predictions of a row.

    Of predictions, whole numbers are left out: Label Studio's own export gives them by id where it was not asked for
    more. Their result may be in short, as an object, a text or a number, which is for the project to write out.

    :param name: the key they stand under.
    :raises Invalid: some are none.
    """
    are_predictions = fields is PREDICTION_FIELDS
    items = row.get(name)
    if items is None:
        return ()
    if not isinstance(items, list):
        raise Invalid(f"bad row: `{name}` must be an array, it is {kind_of(items)}")
    if are_predictions:
        items = [item for item in items if type(item) is not int] or ()
    for n, item in enumerate(items):
        result = item.get("result") if isinstance(item, dict) else None
        if not isinstance(result, list):
            if not are_predictions:
                raise Invalid(f"bad row: `{name}[{n}]` must be an object with a `result` array")
            if not isinstance(result, dict | str | int):
                what = "an object with a `result`: an array, an object, a text or a whole number"
                raise Invalid(f"bad row: `{name}[{n}]` must be {what}")
        elif not all(type(region) is dict for region in result):
            # Of one such prediction, the server drops all those of the batch and says that it has them.
            raise Invalid(f"bad row: `{name}[{n}].result` must be an array of objects")
        for field in fields:
            given = item.get(field[0])
            if given is not None and not (type(given) in field[1] and (given is False or _storable(given))):
                _convert(item, field, f"`{name}[{n}].{field.name}`")
    return items


def _convert(item: Json, field: Field, place: str) -> None:
    given = item[field.name]
    try:
        item[field.name] = field.convert(given)
    except (ValueError, TypeError, OverflowError, OSError):
        if field.must_be:
            raise Invalid(f"bad row: {place} is {kind_of(given)}, {given!r:.80}; it must be {field.must_be}") from None
        del item[field.name]


def _storable(value: bool | int | float | str) -> bool:
    """Tell whether every database can hold a value in a column of its type."""
    return "\0" not in value if isinstance(value, str) else -(2**63) <= value < 2**63
