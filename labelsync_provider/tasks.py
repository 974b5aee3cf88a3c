"""A task, as formats make it and projects take it. Field names are Label Studio's, from its import format."""

from collections.abc import Collection, Sequence
from hashlib import blake2b
from itertools import islice
from typing import Any

import msgspec
from msgspec import Struct

Json = dict[str, Any]

DATA_HASH_BYTES = 12
"""Length of what decides whether two tasks have the same data: of ten million rows, two are confused once in 10^15."""
KEYS_SHOWN = 5
"""Of data, in a message."""


class Task(Struct, gc=False, omit_defaults=True):
    """A task to be imported."""

    data: Json
    meta: Json = {}
    annotations: Sequence[Json] = ()
    predictions: Sequence[Json] = ()
    allow_skip: bool | None = None
    """Whether an annotator may skip it; None leaves that to the project."""


def data_digest(data: Json) -> str:
    """Return a text that is equal for equal data."""
    return hashed(data, DATA_HASH_BYTES)


def hashed(value: Any, size: int) -> str:
    """Return a text that is equal for equal JSON, whatever the order of keys.

    :param size: in bytes; the text has two characters for each.
    """
    return blake2b(msgspec.json.encode(value, order="sorted"), digest_size=size).hexdigest()


def shown_keys(keys: Collection[str]) -> str:
    """Return keys as a message names them: the first ones, and how many others there are."""
    shown = [f"{key!r:.40}" for key in islice(keys, KEYS_SHOWN)]
    more = [f"and {len(keys) - KEYS_SHOWN:,} more"] if len(keys) > KEYS_SHOWN else []
    return ", ".join([*shown, *more]) or "nothing"
