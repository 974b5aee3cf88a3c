"""Which hook opens a storage URI, and what all of them ask of one before."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable
from urllib.parse import urlsplit

from labelsync_provider.access import StorageAccess
from labelsync_provider.errors import Invalid, check_ends, invalid
from labelsync_provider.hooks.installed import STORAGES, installed_schemes, is_ours, offered
from labelsync_provider.hooks.outside import OutsideHook
from labelsync_provider.storages.protocol import Storage
from labelsync_provider.uris import without_secrets

HOLDS_MORE = re.compile(r"[@=;]").search
"""What may say how to log in, in a text that names no storage."""


class StorageHook(Protocol):
    """What every storage hook can do. It is made with the id of a connection, and need not be a hook of Airflow's."""

    conn_name_attr: str
    """The attribute that holds this id."""
    default_conn_name: str
    """The connection by default."""

    def get_source(self, uri: str, recursive_scan: bool | None = None) -> Storage:
        """Open a storage to import from; see the guide's rule for `recursive_scan=None` in the README."""

    def get_target(self, uri: str) -> Storage:
        """Open a storage to export to; its directory need not be there yet."""

    def test_connection(self, uri: str = "", *, target: bool = False) -> tuple[bool, str]:
        """List the storage, read from it and, for a target, write and remove a probe; say what is wrong."""


@runtime_checkable
class TellsAccess(Protocol):
    """A storage hook that can tell somebody else how to reach a storage."""

    def access(self, uri: str) -> StorageAccess:
        """Return what a storage URI and the connection resolve to.

        :raises Invalid: the URI names no storage, or the connection cannot be used.
        """


def access_to(hook: StorageHook, uri: str) -> StorageAccess:
    """Return how somebody else is to reach a storage.

    :raises Invalid: its hook does not tell; or see `TellsAccess`.
    """
    if isinstance(hook, TellsAccess):
        return hook.access(uri)
    remedy = (
        "Import from it with ImportStorageSyncOperator, without register_storage, and export to it with "
        "ExportAnnotationsOperator: they need no such storage."
    )
    raise invalid("storage", uri, "Label Studio cannot be told how to reach a storage of this kind", remedy)


def storage_hook(parameter: str, uri: str, conn_id: str | None = None) -> StorageHook:
    """Return the hook for a storage URI, or for the absolute path of a local directory.

    :param parameter: the parameter that gave the URI, to be named in errors.
    :param conn_id: the Airflow connection; None for the scheme's usual one.
    :raises Invalid: no package that is installed has a storage of this scheme, or two have, or it cannot be imported,
        or its name is no scheme; or a blank or a line break stands at an end.
    """
    check_ends(parameter, uri)
    scheme = "file" if uri.startswith("/") else urlsplit(uri).scheme
    found = offered(STORAGES, scheme or uri.partition("://")[0])
    if found is None:
        if HOLDS_MORE(uri):
            # A connection string, a signature, a login: it is not shown, as nothing tells its secret from the rest.
            uri, scheme = f"{len(uri)} characters", ""
        raise invalid(parameter, uri, *_no_storage(uri, scheme))
    if not is_ours(found):
        return OutsideHook.made(found, conn_id or found.default_conn_name)
    hook: StorageHook = found(conn_id or found.default_conn_name)
    return hook


def _no_storage(uri: str, scheme: str) -> tuple[str, str]:
    """Return what is wrong with a text that names no storage, and the remedy."""
    known = ", ".join(f"{known}://" for known in installed_schemes())
    if uri in ("", "None", "null"):
        return "it names no storage", f"Use one of {known}, or a directory such as /data/photos."
    if uri.startswith("~"):
        what = "whose home ~ is depends on who runs the task"
        return what, "Write the directory out, such as /home/ann/photos."
    if not scheme:
        what = "neither a storage URI nor a path that begins with /"
        return what, f"Write the directory out, such as /data/photos, or use one of {known}."
    return f"unknown scheme {scheme!r}", f"Use one of {known}, or a directory such as /data/photos."


def check_no_secrets(parameter: str, uri: str) -> None:
    """Make sure that a storage URI says nothing of how to log in: it stands in logs, tasks and the ledger.

    :raises Invalid: it does.
    """
    if without_secrets(uri) != uri:
        remedy = (
            "Put that into the Airflow connection, and renew what others have seen; the URI only names the storage."
        )
        raise invalid(parameter, uri, "it holds a login or a signature", remedy)


def check_recursive_scan(value: object) -> None:
    """Make sure that it is True, False or None.

    :raises Invalid: it is not; a text such as "False", which a template gives, would count as True.
    """
    if value not in (None, True, False):
        remedy = "Use True, False or None; in a template, dag.param(...) keeps the type."
        raise invalid("recursive_scan", value, "neither True, False nor None", remedy)


@contextmanager
def needing_extra(extra: str) -> Iterator[None]:
    """Say which extra of the package to install, where an import fails for the lack of it."""
    try:
        yield
    except ImportError as error:
        raise Invalid(
            f"This storage needs what is not installed ({error.name}). Install it, where the tasks run: "
            f'pip install "labelsync-provider[{extra}]"'
        ) from error
