"""Content: the text of an object, whatever packs it and says how it is encoded, within bounds."""

import gzip
import io
import zlib

from labelsync_provider.errors import Invalid

MAX_BYTES = 100 * 1024 * 1024
"""Of a file, and of what it unpacks to."""

GZIP = b"\x1f\x8b"
ZIP = b"PK\x03\x04"
PACKED_TWICE = 2
"""Tools store a `.json.gz` with `Content-Encoding: gzip`, packed once more."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
OTHER_ENCODINGS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
"""By their byte order marks, the longer ones first: one begins with another."""


def size_problem(size: int) -> str | None:
    """Return why an object of `size` bytes is not read."""
    return f"oversized: {size:,} bytes; a task file may have {MAX_BYTES:,}. Split it" if size > MAX_BYTES else None


def is_packed(content: bytes) -> bool:
    """Tell whether a content is packed by gzip."""
    return content.startswith(GZIP)


def text_of(content: bytes) -> bytes:
    """Unpack a content, and take off what says how it is encoded.

    :raises Invalid: it is too large, broken, an archive, or not UTF-8 by its byte order mark.
    """
    if problem := size_problem(len(content)):
        raise Invalid(problem)
    if content.startswith(b"{"):
        return content
    for _ in range(PACKED_TWICE):
        if is_packed(content):
            content = _unpacked(content)
    if content.startswith(ZIP):
        raise Invalid("a ZIP archive, as Excel workbooks are, and no text. Save it as CSV, or unpack it")
    content = content.removeprefix(BYTE_ORDER_MARK)
    if encoding := next((name for mark, name in OTHER_ENCODINGS.items() if content.startswith(mark)), None):
        raise Invalid(f"wrongly encoded: it is {encoding}, not UTF-8. Save it as UTF-8")
    return content


def _unpacked(content: bytes) -> bytes:
    try:
        with gzip.open(io.BytesIO(content)) as file:
            unpacked = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise Invalid(f"its gzip compression is broken: {error}") from error
    if len(unpacked) > MAX_BYTES:
        raise Invalid(f"unpacked oversized: more than {MAX_BYTES:,} bytes, which a task file may have. Split it")
    return unpacked
