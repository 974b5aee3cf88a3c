"""Reading a local file: whole, and no more than it may have, whatever is exchanged for it meanwhile."""

import os
import stat

from labelsync_provider.errors import Invalid
from labelsync_provider.storages.faults import too_large
from labelsync_provider.storages.local_confined import Confined

READ_AT_ONCE = 1 << 20
"""Bytes of what proves to be longer than it was."""

READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""A FIFO that a file was exchanged for keeps nobody waiting."""


def content_of(confined: Confined, path: str, key: str, most: int) -> bytes:
    """Return the content of a file; see `Storage.read`.

    :raises OSError: it cannot be opened or read.
    """
    descriptor = confined.open(path, READ)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            what = "a directory" if stat.S_ISDIR(status.st_mode) else "no file"
            raise Invalid(f"{path} is {what}, and was a file when it was listed.")
        if status.st_size > most:
            raise too_large(key, most)
        content = os.read(descriptor, status.st_size + 1)
        if len(content) != status.st_size:
            content = _read_on(descriptor, content, most)
    finally:
        os.close(descriptor)
    if len(content) > most:
        raise too_large(key, most)
    return content


def _read_on(descriptor: int, content: bytes, most: int) -> bytes:
    """Read on in a file that did not keep still, or has no size as one of /proc: to its end, or a byte too many."""
    parts, length = [content], len(content)
    while length <= most and (more := os.read(descriptor, min(READ_AT_ONCE, most + 1 - length))):
        parts.append(more)
        length += len(more)
    return b"".join(parts)
