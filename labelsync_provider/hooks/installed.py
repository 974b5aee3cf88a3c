"""Which storages are installed: each is an entry point of the package that it comes with.

They are read when a task runs. A DAG file that is parsed, which happens all the time, reads none of them.
"""

from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from labelsync_provider.errors import Invalid

GROUP = "labelsync.storages"
"""The name of an entry point is the scheme of the storage's URIs; its value is a `StorageHook`, whose
`default_conn_name` is the connection by default."""
NEEDED = ("conn_name_attr", "default_conn_name", "get_source", "get_target", "test_connection")
"""What a hook has, apart from being made with the id of a connection."""


def installed_schemes() -> Sequence[str]:
    """Return the schemes of all storages that are installed."""
    return sorted(entry_points(group=GROUP).names)


def hook_class(scheme: str) -> Any:
    """Return the class of the hook that opens the storages of a scheme; None if no package has one.

    :raises Invalid: two packages have one, or it cannot be imported, or is no such class.
    """
    offers = list(entry_points(group=GROUP, name=scheme))
    if not offers:
        return None
    if len(offers) > 1:
        offering = " and ".join(sorted(f"{_package(offer)} ({offer.value})" for offer in offers))
        raise Invalid(
            f"Two packages have a storage for {scheme}:// each: {offering}. Nothing tells which one is meant. "
            "Uninstall one of them, where the tasks run."
        )
    (offer,) = offers
    whose = f"The storage for {scheme}:// is {offer.value} of the package {_package(offer)}"
    try:
        found = offer.load()
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise Invalid(f"{whose}, which cannot be imported: {said}. {_remedy(offer)}") from error
    if missing := [name for name in NEEDED if not hasattr(found, name)]:
        raise Invalid(f"{whose}, which is no hook of a storage: it has no {', '.join(missing)}. Correct the package.")
    return found


def _package(offer: EntryPoint) -> str:
    return f"{offer.dist.name} {offer.dist.version}" if offer.dist else "unknown"


def _remedy(offer: EntryPoint) -> str:
    """Say how to install what a hook lacks: with the extra of its scheme, if its package has one of this name."""
    extras = offer.dist.metadata.get_all("Provides-Extra") if offer.dist else None
    if not offer.dist or not extras:
        return "The package has no extras: install what it needs, or another version of it, where the tasks run."
    extra, which = (
        (offer.name, "") if offer.name in extras else ("...", f", with one of its extras: {', '.join(extras)}.")
    )
    return f'Install what it needs, where the tasks run: pip install "{offer.dist.name}[{extra}]"{which}'
