"""What the fields of a connection can be: asked before an SDK is, whose errors name neither field nor remedy."""

import binascii
import json
import math
import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from labelsync_provider.errors import invalid
from labelsync_provider.uris import HIDDEN, without_secrets

HIGHEST_PORT = 65_535
LONGEST_SECONDS = 7 * 86_400.0
LONGEST_NAME = 255
"""Characters."""


class Kind(NamedTuple):
    """What a field can hold."""

    fits: Callable[[Any], bool]
    what: str
    """What a value is that does not fit."""
    remedy: str
    secret: bool = False
    """Whether no value is shown."""
    inner: "Fields" = MappingProxyType({})
    """Of an object, those of its values that are known."""

    def hidden(self) -> "Kind":
        """Return the same of a field with a secret."""
        return self._replace(secret=True)

    def of(self, inner: "Fields") -> "Kind":
        """Return the same of an object with these values."""
        return self._replace(inner=inner)


Fields = Mapping[str, Kind]
"""By name, those of the connection and those of its extra."""


def check_fields(login: str, given: Mapping[str, Any], fields: Fields, of: str = "") -> None:
    """Make sure that what is given can be what it is; what is not given is not needed.

    :param login: the connection, in words.
    :param of: what the names of the fields begin with.
    :raises Invalid: a field holds something else.
    """
    for name, kind in fields.items():
        value = given.get(name)
        if value is None or value == "":
            continue
        if not kind.fits(value):
            raise invalid(of + name, HIDDEN if kind.secret else value, f"{login}: {kind.what}", kind.remedy)
        if kind.inner:
            check_fields(login, value, kind.inner, f"{of}{name}.")


def one_of(*names: str) -> Kind:
    """Return what holds one of some words."""
    return Kind(lambda value: value in names, "there is no such choice", f"Use one of {', '.join(names)}.")


def is_url(value: Any) -> bool:
    """Tell whether a value is a URL of a host."""
    if not isinstance(value, str) or re.search(r"\s", value):
        return False
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_name(value: Any) -> bool:
    if not isinstance(value, str) or not value.isprintable() or len(value) > LONGEST_NAME:
        return False
    return bool(value.strip(" /")) and value == without_secrets(value)


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value and Path(value).exists()


def _is_file(value: Any) -> bool:
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        with open(value, "rb"):
            return True
    except OSError:
        return False


def _is_host(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        ip_address(value.strip("[]"))
        return True
    except ValueError:
        return bool(re.fullmatch(r"[^\s/:@?#\[\]]+", value))


def _is_base64(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(b64decode(value, validate=True))
    except (binascii.Error, ValueError):
        return False


def _is_json_object(value: Any) -> bool:
    try:
        return isinstance(json.loads(value) if isinstance(value, str) else value, dict)
    except (ValueError, RecursionError):
        return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


TEXT = Kind(lambda value: isinstance(value, str), "it is no text", "Write it in quotation marks.")
WORD = Kind(
    lambda value: isinstance(value, str) and not re.search(r"\s", value),
    "it is no word",
    "Write a text without blanks.",
)
NAME = Kind(
    _is_name,
    "it is no name",
    f"Write a text of up to {LONGEST_NAME} characters that can be printed, without a login in it, such as "
    "https://labels.example.com, or labels.",
)
URL = Kind(
    is_url, "it is no URL", "Write it with http:// or https:// and the host, such as https://minio.example.com:9000."
)
HOST = Kind(
    _is_host, "it is no name of a host", "Write the host alone, such as files.example.com; the port has a field."
)
PORT = Kind(
    lambda value: isinstance(value, int) and not isinstance(value, bool) and 0 < value <= HIGHEST_PORT,
    "it is no port",
    f"Use a number from 1 to {HIGHEST_PORT}.",
)
FLAG = Kind(
    # In a connection's URI every value is a text, and any text is true to a provider.
    lambda value: isinstance(value, bool) or str(value).lower() in ("true", "1"),
    "it is neither true nor false",
    "Write true or false, without quotation marks; in a connection's URI, leave out what is false.",
)
OBJECT = Kind(
    lambda value: isinstance(value, dict),
    "it is no JSON object",
    'Write {"name": "value"}, without quotation marks around it.',
)
JSON_OBJECT = Kind(_is_json_object, "it is no JSON object", "Put the content of the key file there, as it is.").hidden()
FILE = Kind(
    _is_file, "it is no file that can be read here", "Name a file that the tasks can read, by its absolute path."
)
CONFIG_FILE = Kind(
    lambda value: _is_file(value) or _is_json_object(value),
    "it is neither a file that can be read here nor a JSON object",
    "Name the file by its absolute path, or put its content there.",
).hidden()
CERTIFICATES = Kind(
    lambda value: isinstance(value, bool) or _is_path(value),
    "it is neither true nor false, nor the path of a CA file",
    "Write true or false without quotation marks, or name a file of certificates in PEM that the tasks can read.",
)
PROXIES = Kind(
    lambda value: isinstance(value, dict) and all(one is None or is_url(one) for one in value.values()),
    "it is no object with a URL for each scheme",
    'Write {"https": "http://proxy.example.com:3128"}.',
)
SECONDS = Kind(
    lambda value: _is_number(value) and 0 < value <= LONGEST_SECONDS,
    "it is no length of time",
    f"Use a number of seconds, of no more than {LONGEST_SECONDS:,.0f}.",
)
NUMBER = Kind(
    lambda value: (
        (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, str) and value.isdecimal())
    ),
    "it is no whole number",
    "Write a whole number.",
)
BASE64 = Kind(
    _is_base64, "it is no key of an account", "Copy the account's key as the portal shows it: it is base64."
).hidden()
NO_CERTIFICATE = Kind(
    lambda value: False,
    "what moves the bytes can show no certificate of its own",
    "Take it out, and name an endpoint that asks for none, such as a proxy of yours that shows it.",
)
TEXTS = Kind(
    lambda value: isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value)),
    "it is neither a text nor a list of texts",
    "Write a text, or several in a list.",
)
