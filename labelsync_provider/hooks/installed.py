"""What is installed: storages and project stores are entry points of the packages that they come with.

They are read when a task runs. A DAG file that is parsed, which happens all the time, reads none of them.
"""

import re
import sys
from collections.abc import Sequence
from functools import cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from typing import Any, NamedTuple

from labelsync_provider.errors import Invalid

IS_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*").fullmatch
"""Rule: https://datatracker.ietf.org/doc/html/rfc3986#section-3.1, in the lower case that URIs are compared by."""


class Group(NamedTuple):
    """A group of entry points. The name of one is the scheme by which it is meant."""

    name: str
    what: str
    needs: Sequence[str]
    """What the value has."""


STORAGES = Group(
    "labelsync.storages",
    "storage",
    ("conn_name_attr", "default_conn_name", "get_source", "get_target", "test_connection"),
)
"""By the scheme of a storage's URIs, a `StorageHook`, whose `default_conn_name` is the connection by default."""
PROJECTS = Group("labelsync.projects", "project store", ("open_store", "close"))
"""By the scheme of the host of a connection to projects, a `ProjectStoreHook`."""


def installed_schemes(group: Group = STORAGES) -> Sequence[str]:
    """Return the schemes of all that is installed, and can be meant."""
    return sorted(filter(IS_SCHEME, _entry_points(group).names))


def offered(group: Group, scheme: str) -> Any:
    """Return what is installed for a scheme; None if no package has it.

    :raises Invalid: two packages have it, or it cannot be imported, or has not what it needs; or its name is no scheme.
    """
    offers = list(_entry_points(group).select(name=scheme)) if IS_SCHEME(scheme) else []
    if not offers:
        _refuse_misnamed(group, scheme)
        return None
    if len(offers) > 1:
        offering = " and ".join(sorted(f"{_package(offer)} ({offer.value})" for offer in offers))
        raise Invalid(
            f"Two packages have a {group.what} for {scheme}:// each: {offering}. Nothing tells which one is meant. "
            "Uninstall one of them, where the tasks run."
        )
    (offer,) = offers

    def refused(why: str) -> Invalid:
        return Invalid(
            f"The {group.what} for {scheme}:// is {offer.value} of the package {_package(offer)}, which {why}"
        )

    try:
        found = offer.load()
    except Exception as error:
        raise refused(f"cannot be imported: {type(error).__name__}: {error}. {_remedy(offer)}") from error
    if missing := [name for name in group.needs if not hasattr(found, name)]:
        raise refused(f"is no hook of a {group.what}: it has no {', '.join(missing)}. Correct the package.")
    return found


def is_ours(found: Any) -> bool:
    """Tell whether what is installed is of this package."""
    return str(getattr(found, "__module__", "")).partition(".")[0] == __name__.partition(".")[0]


def _entry_points(group: Group) -> EntryPoints:
    return _entry_points_on(tuple(sys.path), group.name)


@cache
def _entry_points_on(path: tuple[str, ...], group: str) -> EntryPoints:
    """Return the entry points of the packages on a path. To look into some hundred packages takes its time."""
    return entry_points(group=group)


def _refuse_misnamed(group: Group, scheme: str) -> None:
    """Make sure that what is meant by a scheme has not a name that no URI can begin with."""
    for offer in _entry_points(group):
        if offer.name.lower() == scheme.lower() and not IS_SCHEME(offer.name):
            raise Invalid(
                f"The {group.what} {offer.name!r} of the package {_package(offer)} has a name that is no scheme. "
                "Rename its entry point: a lower-case letter, and behind it these, digits, '+', '-' and '.' (RFC 3986)."
            )


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
