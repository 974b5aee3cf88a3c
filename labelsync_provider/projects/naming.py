"""How projects, and storages of Label Studio's own, are named: by an id, or by something else."""

from typing import Literal

StorageType = Literal["s3", "gcs", "azure", "redis", "localfiles"]
"""Label Studio's words for the services; each has ids of its own."""


def is_id(name: int | str) -> bool:
    """Tell whether a name is an id: digits as they stand on every keyboard, and not those of other scripts."""
    text = str(name).strip()
    return text.isascii() and text.isdecimal()
