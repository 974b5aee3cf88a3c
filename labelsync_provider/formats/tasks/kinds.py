"""How messages name what stands in JSON."""

from typing import Any

KINDS = {dict: "an object", list: "an array", str: "a text", bool: "a boolean", type(None): "missing or null"}

FIRST_BYTES = {b"{": dict, b"[": list, b'"': str, b"t": bool, b"f": bool, b"n": type(None)}


def kind_of(value: Any) -> str:
    """Return what a value is, in words."""
    return KINDS.get(type(value), "a number")


def kind_at(first: bytes) -> str:
    """Return what a value is, in words, from its first byte."""
    return KINDS.get(FIRST_BYTES.get(first, int), "a number")
