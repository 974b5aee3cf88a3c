"""Splitting: where the values of a JSON text begin and end. Nothing is made of them, so that it costs no memory.

A value that is malformed inside ends where its brackets close: the others are read all the same.
"""

import re
from collections.abc import Iterator

import msgspec

from labelsync_provider.errors import Invalid

Span = tuple[int, int]

_raw = msgspec.json.Decoder(msgspec.Raw)
_skip_space = re.compile(rb"[ \t\r\n]*+").match
_trailing = re.compile(r"JSON is malformed: trailing characters \(byte (\d+)\)").fullmatch
# Possessive, and a string need not be closed: each byte is looked at once.
STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?'
_brackets = re.compile(STRING + rb"|[\[{]++|[\]}]++", re.DOTALL).finditer
_string = re.compile(STRING, re.DOTALL).match
_separator = re.compile(rb"[,\]}\n]").search
_malformed = re.compile(r"JSON is malformed: .* \(byte (\d+)\)").fullmatch


def is_well_formed(text: bytes) -> bool:
    """Tell whether a text is one JSON value by its structure; what is in its strings and numbers is not looked at."""
    try:
        _raw.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def followed(spans: Iterator[Span]) -> int:
    """Go through spans to the end; return how many there are, or 0 where they cannot be told apart."""
    count = 0
    try:
        for _ in spans:
            count += 1
    except Invalid:
        return 0
    return count


def elements(text: bytes) -> Iterator[Span]:
    """Yield the elements of the array that a text is.

    :raises Invalid: it is none, or they cannot be told apart from some place on.
    """
    view = memoryview(text)
    at = space_end(text, space_end(text, 0) + 1)
    mark = b"," if text[at : at + 1] != b"]" else b"]"
    while mark == b",":
        end = _value_end(view, at) or _broken_end(text, at)
        if end == at:
            raise Invalid("an array without an element where one should be")
        yield at, end
        at = space_end(text, end)
        mark = text[at : at + 1]
        if mark == b",":
            at = space_end(text, at + 1)
    if mark != b"]" or space_end(text, at + 1) != len(text):
        raise Invalid("not an array to its end")


def documents(text: bytes) -> Iterator[Span]:
    """Yield the values that stand in a text one after another, with or without blanks between them.

    :raises Invalid: they cannot be told apart from some place on.
    """
    view = memoryview(text)
    at = space_end(text, 0)
    while at < len(text):
        end = _value_end(view, at)
        if end is None:
            if text[at : at + 1] not in (b"{", b"["):
                raise Invalid("no JSON value where one should be")
            end = _broken_end(text, at)
        yield at, end
        at = space_end(text, end)


def space_end(text: bytes, at: int) -> int:
    """Return where the blanks from an offset on end."""
    found = _skip_space(text, at)
    return found.end() if found else at


def is_open(text: bytes) -> bool:
    """Tell whether a text opens more brackets than it closes."""
    depth = 0
    for token in _brackets(text):
        if text[token.start()] in b"[{":
            depth += len(token[0])
        elif text[token.start()] in b"]}":
            depth -= len(token[0])
    return depth > 0


def value_end(text: bytes, at: int) -> int | None:
    """Return where a value ends, with the blanks behind it; None if it is malformed."""
    return _value_end(memoryview(text), at)


def fault_place(text: bytes, at: int) -> int | None:
    """Return up to where the malformed value at an offset could be one: to the end, if it is cut off.

    None if it is too deep to tell.
    """
    try:
        _raw.decode(memoryview(text)[at:])
    except msgspec.DecodeError as error:
        found = _malformed(str(error))
        return at + int(found[1]) - 1 if found else len(text)
    except RecursionError:
        return None
    return len(text)


def brackets_end(text: bytes, at: int) -> int | None:
    """Return where the brackets that open at an offset close; None if they do not."""
    try:
        return _broken_end(text, at)
    except Invalid:
        return None


def _value_end(view: memoryview, at: int) -> int | None:
    try:
        _raw.decode(view[at:])
    except msgspec.DecodeError as error:
        # Of a well-formed value, the decoder says where what follows begins, counted from 1.
        found = _trailing(str(error))
        return at + int(found[1]) - 1 if found else None
    except RecursionError:
        return None
    return len(view)


def _broken_end(text: bytes, at: int) -> int:
    """Return where a malformed value ends, by its brackets.

    :raises Invalid: it does not end.
    """
    if text[at : at + 1] not in (b"{", b"["):
        string = _string(text, at)
        separator = _separator(text, string.end() if string else at)
        if separator is None:
            raise Invalid("a value without an end")
        return separator.start()
    depth = 0
    for token in _brackets(text, at):
        begin, end = token.span()
        first = text[begin]
        if first in b"[{":
            depth += end - begin
        elif first in b"]}":
            if end - begin >= depth:
                return begin + depth
            depth -= end - begin
    raise Invalid("brackets without an end")
