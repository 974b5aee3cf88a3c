"""Digests: short texts that are equal for equal tasks, and whose parts tell in what two tasks differ."""

from typing import Any

from labelsync_provider.tasks import DATA_HASH_BYTES, Task, data_digest, hashed

HASH_BYTES = 8
DATA_ALONE = ".?"


def digest_of(task: Task) -> str:
    """Return a text that is equal for equal content.

    Its parts, joined by points: the data; `meta` and predictions; annotations; `allow_skip`. What is empty has an empty
    part, and is left out at the end.
    """
    if not (task.meta or task.predictions or task.annotations) and task.allow_skip is None:
        return data_digest(task.data)
    labels = [task.meta, task.predictions] if task.meta or task.predictions else None
    skip = "" if task.allow_skip is None else str(int(task.allow_skip))
    parts = (data_digest(task.data), _hash(labels), _hash(task.annotations or None), skip)
    return ".".join(parts).rstrip(".")


def data_part(digest: str) -> str:
    """Return the part of a digest that is equal for equal data."""
    return digest[: 2 * DATA_HASH_BYTES]


def of_data_alone(data: str) -> str:
    """Return the digest of a task of which only the data is known, and nothing tells the rest.

    :param data: the data's own digest, `data_digest`.
    """
    return data + DATA_ALONE


def is_of_data_alone(digest: str | None) -> bool:
    """Tell whether a digest says nothing of all but the data."""
    return digest is not None and digest.endswith(DATA_ALONE)


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


def _hash(value: Any) -> str:
    return "" if value is None else hashed(value, HASH_BYTES)
