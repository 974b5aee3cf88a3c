"""Temporary files: where a write goes first, beside the file that it is to be. No listing shows one."""

import os
from hashlib import blake2b

PREFIX, SUFFIX = ".labelsync-", ".tmp"


def temporary_name(name: str) -> str:
    """Name the file that a write goes to: the same for the same key, so that a killed run's is found."""
    digest = blake2b(os.fsencode(name), digest_size=12).hexdigest()
    return PREFIX + digest + SUFFIX


def is_temporary(name: str) -> bool:
    """Tell whether a file is one that a write goes to."""
    return name.startswith(PREFIX) and name.endswith(SUFFIX)
