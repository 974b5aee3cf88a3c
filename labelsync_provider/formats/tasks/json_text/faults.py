"""Faults: what is wrong with a JSON text, where, and what to do."""

import codecs
import re
from math import isinf

from labelsync_provider.formats.tasks.json_text.splitting import STRING

MAX_DEPTH = 100
"""Levels of nesting in a row: below what any JSON library on the way refuses."""
TOO_DEEP = f"too deeply nested: more than {MAX_DEPTH} levels. Flatten it, or leave the innermost out"

_no_number = re.compile(STRING + rb"|(-?(?:NaN|Infinity))", re.DOTALL).finditer
_numbers = re.compile(STRING + rb"|(-?[0-9]++(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)", re.DOTALL).finditer
_escapes = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL).finditer
_byte = re.compile(r" ?\(byte (\d+)\)")
CONTINUING = bytes(range(0x80, 0xC0))
"""What no character of UTF-8 begins with."""
CHUNK = 1024 * 1024


def fault_of(text: bytes, error: Exception, row: int | None) -> str:
    """Say why a text could not be decoded.

    :param error: the decoder's.
    :param row: which row the text is; None if it is the whole file.
    """
    if isinstance(error, RecursionError):
        return TOO_DEEP
    if (at := _not_utf8(text)) is not None:
        return f"wrongly encoded: not UTF-8, byte {text[at]:#04x} at {_place(text, at, row)}. Save the file as UTF-8"
    for found in _no_number(text) if b"NaN" in text or b"Infinity" in text else ():
        if found[1]:
            name = found[1].decode()
            place = _place(text, found.start(), row)
            return f"malformed JSON: {name} at {place}; JSON has no {name}. Write null, or leave the field out"
    if str(error).startswith("Number out of range"):
        for found in _numbers(text):
            if found[1] and isinf(float(found[1])):
                number, place = found[1][:40].decode(), _place(text, found.start(), row)
                return f"malformed JSON: {number} at {place} is out of range. Write it as a text, or a smaller one"
    if b"\\u" in text and (at := _half_pair(text)) is not None:
        half = text[at : at + 6].decode()
        return f"malformed JSON: {half} at {_place(text, at, row)} is half of a surrogate pair. Write both, or neither"
    said = str(error).removeprefix("JSON is malformed: ")
    if said == "Input data was truncated":
        return f"malformed JSON: it ends too early, at {_place(text, len(text.rstrip()), row)}. Write it to its end"
    byte = _byte.search(said)
    what = _byte.sub("", said)[:1].lower() + _byte.sub("", said)[1:]
    place = _place(text, int(byte[1]) - 1, row) if byte else ("the file" if row is None else f"row {row}")
    return f"malformed JSON: {what} at {place}. Correct it there"


def _place(text: bytes, at: int, row: int | None) -> str:
    """Name a place as an editor does: lines and characters from 1, of the row; rows, as in every report, from 0."""
    line, begin = text.count(b"\n", 0, at) + 1, text.rfind(b"\n", 0, at) + 1
    column = f"column {len(text[begin:at].translate(None, CONTINUING)) + 1}"
    if row is None:
        return f"line {line}, {column}"
    return f"row {row}, {column}" if line == 1 else f"row {row}, line {line} of it, {column}"


def _not_utf8(text: bytes) -> int | None:
    if text.isascii():
        return None
    # In pieces: as a text, it could take four times the memory.
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(text), CHUNK):
        chunk = text[start : start + CHUNK]
        try:
            decoder.decode(chunk, final=start + CHUNK >= len(text))
        except UnicodeDecodeError as error:
            return start - (len(error.object) - len(chunk)) + error.start
    return None


def _half_pair(text: bytes) -> int | None:
    """Return where half of a surrogate pair stands without the other, if one does."""
    high: int | None = None
    end = -1
    for found in _escapes(text):
        code = int(found[1], 16) if found[1] else 0
        follows = high is not None and found.start() == end
        if high is not None and not (follows and 0xDC00 <= code < 0xE000):
            return high
        if high is None and 0xDC00 <= code < 0xE000:
            return found.start()
        high = found.start() if high is None and 0xD800 <= code < 0xDC00 else None
        end = found.end()
    return high
