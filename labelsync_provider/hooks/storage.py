"""Which hook opens a storage URI: its scheme decides."""

from importlib import import_module
from typing import Protocol
from urllib.parse import urlsplit

from labelsync_provider.errors import invalid
from labelsync_provider.get_provider_info import STORAGES
from labelsync_provider.storages.protocol import Storage


class StorageHook(Protocol):
    """What every storage hook can do."""

    def get_source(self, uri: str, recursive_scan: bool | None = None) -> Storage:
        """Open a storage to import from; see the guide's rule for `recursive_scan=None` in the README."""

    def get_target(self, uri: str) -> Storage:
        """Open a storage to export to; its directory need not be there yet."""


def storage_hook(parameter: str, uri: str, conn_id: str | None) -> StorageHook:
    """Return the hook for a storage URI.

    :param parameter: the parameter that gave the URI, to be named in errors.
    :param conn_id: the Airflow connection; None for the scheme's usual one.
    :raises Invalid: the scheme is unknown.
    """
    scheme = urlsplit(uri).scheme
    row = next((row for row in STORAGES if row["scheme"] == scheme), None)
    if row is None:
        known = ", ".join(f"{row['scheme']}://" for row in STORAGES)
        raise invalid(parameter, uri, f"unknown scheme {scheme!r}", f"Use one of {known}.")
    module, _, name = row["hook-class-name"].rpartition(".")
    hook: StorageHook = getattr(import_module(module), name)(conn_id or row["default-conn-id"])
    return hook
