"""Options: declared once as a struct, checked however they are made, made from what forms and templates send."""

from threading import TIMEOUT_MAX
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from msgspec import Meta, Struct, ValidationError, convert
from msgspec.inspect import BoolType, FloatType, IntType, LiteralType, Metadata, type_info
from msgspec.structs import FieldInfo, fields

from labelsync_provider.errors import Invalid, invalid

AtLeastOne = Annotated[int, Meta(ge=1)]
Minutes = Annotated[int, Meta(ge=1, le=5_256_000)]
"""Up to ten years: what no service signs for, and every clock can add."""
Count = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, lt=1)]
"""1 is no share, but one of what is counted."""
# The upper bound is the longest that Python can wait. It refuses infinity, and NaN is within no bounds.
Seconds = Annotated[float, Meta(ge=0, le=TIMEOUT_MAX)]
SecondsAboveZero = Annotated[float, Meta(gt=0, le=TIMEOUT_MAX)]

NULLS = (None, "", "None", "null")
"""What a trigger form or a template sends for null."""


class Options(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A set of options; each is of its declared type and within its bounds."""

    def __post_init__(self) -> None:
        """Check each option by itself.

        :raises Invalid: one is not what it can be.
        """
        for field in fields(self):
            value = _converted(field, getattr(self, field.name), strict=True)
            if isinstance(value, str) and not _is_unicode(value):
                raise invalid(field.name, value, "half of a surrogate pair in it is no character", "Leave it out.")


Made = TypeVar("Made", bound=Options)


def make_options(kind: type[Made], /, **values: object) -> Made:
    """Return options made from what forms and templates send.

    A boolean may be 1, 0 or a text, `true`, `false`, `1` or `0` in any case; a number a text; null one of `NULLS`
    where null is allowed. Where it is not, None, which a cleared field of a form sends, is the default. Blanks and
    line breaks at the ends of a text, which templates and commands leave there, are taken off; of a `regex_filter`,
    one that is meant is written `[ ]`.

    :raises Invalid: an option is unknown, or not what it can be.
    """
    known = {field.name: field for field in fields(kind)}
    made: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            raise invalid(name, value, "there is no such option", f"Use one of {', '.join(known)}.")
        made[name] = _normalised(known[name], value)
    return kind(**made)


def _is_unicode(text: str) -> bool:
    # Nothing else can be written as UTF-8, into a database or to a service.
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _stripped(value: object) -> object:
    if isinstance(value, list):
        return [_stripped(one) for one in value]
    return value.strip() if isinstance(value, str) else value


def _normalised(field: FieldInfo, value: object) -> object:
    value = _stripped(value)
    nullable = NoneType in _alternatives(field.type)
    if nullable and isinstance(value, str | None) and value in NULLS:
        return None
    if value is None and not (nullable or field.required):
        return field.default
    if isinstance(value, float) and value in (0, 1) and bool in _alternatives(field.type):
        value = bool(value)
    return _converted(field, value, strict=False)


def _converted(field: FieldInfo, value: object, *, strict: bool) -> object:
    try:
        return convert(value, field.type, strict=strict)
    except (ValidationError, OverflowError, UnicodeEncodeError) as error:
        raise _refused(field, value) from error


def _refused(field: FieldInfo, value: object) -> Invalid:
    alternatives = _alternatives(field.type)
    words = [_in_words(one) for one in alternatives if one is not NoneType]
    remedies = [remedy for _, remedy in words] + ["None"] * (NoneType in alternatives)
    return invalid(field.name, value, words[0][0], f"Use {', or '.join(remedies)}.")


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _in_words(hint: Any) -> tuple[str, str]:
    """Return what is wrong with a value that is not of a type, and what to use instead."""
    match type_info(hint):
        case BoolType():
            return "neither True nor False", "True or False"
        case IntType(ge=least, le=most):
            return (
                "not a number that makes sense",
                f"a whole number from {least}{'' if most is None else f' to {most}'}",
            )
        case FloatType(lt=most) if most is not None:
            return "no share", f"a share below {most:g}, such as 0.1"
        case FloatType(gt=0, le=1):
            return "no share", "a share above 0 and up to 1: 0.8 is 80 %"
        case FloatType(ge=None, gt=least):
            return "no length of time", f"a number of seconds above {least:g}"
        case FloatType(ge=least):
            return "no length of time", f"a number of seconds from {least:g}"
        case LiteralType():
            choices = get_args(hint)
            return "unknown", ("one of " if len(choices) > 1 else "") + ", ".join(map(repr, choices))
        case Metadata(extra_json_schema={"description": str(described)}):
            return "of the wrong type", described
        case _:
            return "of the wrong type", "a string"
