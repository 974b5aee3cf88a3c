"""Static keys: what Label Studio is handed with a storage to log in with, and keeps, for all of its users."""

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from labelsync_provider.errors import invalid

SECRET = ("aws_secret_access_key", "aws_session_token", "google_application_credentials", "account_key", "password")
"""The fields of a storage, as the API has them, that whoever knows them can log in with."""


def keys_in(login: Mapping[str, str | None]) -> list[str]:
    """Return the keys that stand in the fields of a storage."""
    return [value for name in SECRET if (value := login.get(name))]


def check_handover(uri: str, login: Mapping[str, str | None], server: str, *, allowed: bool) -> None:
    """Make sure that keys go to Label Studio only if that is wanted, and to no one on the way.

    :param uri: that of the storage, to be named.
    :param login: the fields with which Label Studio is to log in to it.
    :param server: the base URL of the Label Studio.
    :param allowed: what `allow_static_keys` says.
    :raises Invalid: they would.
    """
    if not keys_in(login):
        return
    if not allowed:
        what = f"the Label Studio at {server} would be handed the keys of the connection to {uri}, and keep them"
        remedy = (
            "If it is to have them, pass allow_static_keys=True, best with a connection whose keys may only read. Or "
            "use a connection without keys, and let Label Studio log in by a role or an identity of its own."
        )
        raise invalid("allow_static_keys", allowed, what, remedy)
    if urlsplit(server).scheme == "http" and not _is_this_machine(urlsplit(server).hostname or ""):
        what = f"the keys of the connection to {uri} would go to another machine by plain http, which others can read"
        remedy = "Use https:// in the Server URL, or a connection without keys."
        raise invalid("host", server, what, remedy)


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
