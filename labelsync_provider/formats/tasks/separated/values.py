"""Values: what stands in a record."""

import csv
import re

from labelsync_provider.errors import Invalid
from labelsync_provider.formats.tasks.rows import MAX_ROW_BYTES, MAX_VALUES, oversized

UNCLOSED = "malformed: a quote is opened and not closed, and all behind it is one value"
CLOSE_IT = "Close it; or, if it is a part of the value, write it twice, and the value in quotes"
_quoted = re.compile(rb'"[^"]*+"')


def values_of(record: bytes, separator: bytes, beside: int = 0) -> list[str]:
    """Return the values of a record.

    :param beside: how many bytes stand for the row elsewhere.
    :raises Invalid: it is malformed, too large, or has too many.
    """
    if (size := beside + len(record)) > MAX_ROW_BYTES:
        raise Invalid(oversized(size))
    if b"\0" in record:
        raise Invalid("a NUL character is in it: it is no text, or not UTF-8. Save the file as UTF-8")
    if len(record) >= MAX_VALUES and (count := _quoted.sub(b"", record).count(separator) + 1) > MAX_VALUES:
        raise Invalid(f"oversized row: {count:,} values; a row may have {MAX_VALUES:,}. Make several of it")
    try:
        return next(csv.reader((record.decode(),), delimiter=separator.decode(), strict=True))
    except UnicodeDecodeError as error:
        byte = f"byte {record[error.start]:#04x}"
        raise Invalid(f"wrongly encoded: not UTF-8, {byte}. Save the file as UTF-8") from None
    except csv.Error as error:
        is_unclosed = str(error) == "unexpected end of data"
        fault = f"{UNCLOSED}. {CLOSE_IT}" if is_unclosed else f"malformed: {error}. Write a quote in a value twice"
        raise Invalid(fault) from None
