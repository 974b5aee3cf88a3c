"""Airflow connections, with errors that say what to do."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from airflow.sdk import BaseHook, Connection

from labelsync_provider.airflow_compat import AirflowNotFoundException
from labelsync_provider.errors import Invalid, NotFound, invalid
from labelsync_provider.hooks.fields import Fields, check_fields
from labelsync_provider.uris import HIDDEN, without, without_secrets

SAID_LENGTH = 300
"""So many characters are shown of what an SDK says."""
MISTAKES = (
    TypeError,
    ValueError,
    AttributeError,
    LookupError,
    FileNotFoundError,
    NotADirectoryError,
    IsADirectoryError,
    PermissionError,
)
SECRET_NAME = re.compile(
    r"pass|secret(?!_name|_project)|token(?!_file|_uri|_url)|sas|signature|credential(?!_source)|connection_?string"
    r"|(?:access|account|api|private|shared)_?key",
    re.IGNORECASE,
)
"""Of a field whose texts are secrets. A path, a region or a flag is none, and an error that names none is no help."""
FILES = ("keyfile_dict",)
"""Fields of the extra that hold the content of a file, which may end with a line break."""


def get_connection(conn_id: str, remedy: str, kinds: Fields | None = None) -> Connection:
    """Return a connection.

    :param remedy: what to do when there is none.
    :param kinds: what its fields can be, those of the extra too.
    :raises NotFound: there is none.
    :raises Invalid: one of its fields is not what it can be; or it begins or ends with a blank or a line break, as what
        is pasted does.
    """
    try:
        connection = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException as error:
        raise NotFound(f"There is no Airflow connection {conn_id!r}. {remedy}") from error
    extra = _extra_of(connection)
    fields = {name: getattr(connection, name) for name in ("host", "port", "schema", "login", "password")} | {
        name.removeprefix(f"extra__{connection.conn_type}__"): value for name, value in extra.items()
    }
    texts = {name: value for name, value in fields.items() if isinstance(value, str) and name not in FILES}
    if wrong := [name for name, value in texts.items() if value != value.strip()]:
        # Which field says all; the value may be a secret.
        what = f"{', '.join(wrong)} begins or ends with a blank or a line break"
        raise Invalid(f"Connection {conn_id!r}: {what}. Take that out there.")
    check_fields(f"connection {conn_id!r}", fields, kinds or {})
    return connection


def _extra_of(connection: Connection) -> Mapping[str, Any]:
    """Return the extra of a connection; Airflow takes what is no JSON for nothing, and a list as it is."""
    if not connection.extra:
        return {}
    try:
        extra = json.loads(connection.extra)
    except (ValueError, RecursionError):
        extra = None
    if not isinstance(extra, dict):
        remedy = 'Write {"name": "value"}, without quotation marks around it.'
        raise invalid("extra", HIDDEN, f"connection {connection.conn_id!r}: it is no JSON object", remedy)
    return extra


@contextmanager
def mistakes_named(conn_id: str) -> Iterator[None]:
    """Say of a connection that a provider or an SDK can make no client of it, where they say only where they stumbled.

    :raises Invalid: one of them raised what values raise that it did not expect.
    """
    try:
        yield
    except MISTAKES as error:
        # Without its cause, which may quote the fields.
        connection = BaseHook.get_connection(conn_id)
        secrets = [connection.password or "", *_secrets_in(_extra_of(connection))]
        secrets.sort(key=len, reverse=True)  # one may be a part of another
        said = f"{type(error).__name__}, {without(' '.join(str(error).split()), secrets)}"[:SAID_LENGTH].rstrip(".")
        raise Invalid(f"connection {conn_id!r} cannot be used: {said}. Correct its fields and its extra.") from None


def _secrets_in(value: object, *, secret: bool = False) -> Iterator[str]:
    """Yield the secrets in a value of JSON, and those in a text that is JSON itself, as that of a key file.

    :param secret: whether its name says that it is one.
    """
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _secrets_in(inner, secret=bool(SECRET_NAME.search(name)))
    elif isinstance(value, list):
        for inner in value:
            yield from _secrets_in(inner, secret=secret)
    elif isinstance(value, str):
        if value.lstrip().startswith("{"):
            yield value
            with suppress(ValueError):
                yield from _secrets_in(json.loads(value))
        elif secret or without_secrets(value) != value:
            yield value


def nameless(said: str, conn_id: str) -> str:
    """Return what is said of a connection that is tried out: in Airflow's form it has a made-up name."""
    named = rf"(?<!Airflow )(?:\b[Tt]he )?\b[Cc]onnection[ =]{re.escape(repr(conn_id))}"
    return re.sub(named, lambda found: "This connection" if _begins(said, found.start()) else "this connection", said)


def _begins(text: str, at: int) -> bool:
    """Tell whether a sentence begins there."""
    return text[:at].rstrip()[-1:] in ("", ".")
