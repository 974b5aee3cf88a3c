"""Digests: short texts that are equal for equal tasks, and whose parts tell in what two tasks differ."""

from hashlib import blake2b
from typing import Any

import msgspec

from labelsync_provider.tasks import Task

DATA_HASH_BYTES = 12
"""Length of what decides whether two tasks have the same data: of ten million rows, two are confused once in 10^15."""
HASH_BYTES = 8


def digest_of(task: Task) -> str:
    """Return a text that is equal for equal content.

    Its parts, joined by points: the data; `meta` and predictions; annotations; `allow_skip`. What is empty has an empty
    part, and is left out at the end.
    """
    if not (task.meta or task.predictions or task.annotations) and task.allow_skip is None:
        return _hash(task.data, DATA_HASH_BYTES)
    labels = [task.meta, task.predictions] if task.meta or task.predictions else None
    skip = "" if task.allow_skip is None else str(int(task.allow_skip))
    parts = (_hash(task.data, DATA_HASH_BYTES), _hash(labels), _hash(task.annotations or None), skip)
    return ".".join(parts).rstrip(".")


def data_part(digest: str) -> str:
    """Return the part of a digest that is equal for equal data."""
    return digest[: 2 * DATA_HASH_BYTES]


def without_skip(digest: str) -> str:
    """Return a digest without the part of `allow_skip`."""
    return ".".join(digest.split(".")[:3]).rstrip(".")


def with_skip_of(digest: str, other: str) -> str:
    """Return a digest with the part of `allow_skip` that another one has."""
    return _with_part(digest, other, 3)


def with_annotations_of(digest: str, other: str) -> str:
    """Return a digest with the part of the annotations that another one has."""
    return _with_part(digest, other, 2)


def _with_part(digest: str, other: str, n: int) -> str:
    parts, others = ((text.split(".") + [""] * 3)[:4] for text in (digest, other))
    return ".".join([*parts[:n], others[n], *parts[n + 1 :]]).rstrip(".")


def _hash(value: Any, size: int = HASH_BYTES) -> str:
    if value is None:
        return ""
    return blake2b(msgspec.json.encode(value, order="sorted"), digest_size=size).hexdigest()
