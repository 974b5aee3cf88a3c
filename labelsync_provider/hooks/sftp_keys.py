"""The keys in a connection of type SFTP: by which its server is known, and by which one logs in."""

from base64 import b64decode
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from labelsync_provider.errors import invalid
from labelsync_provider.uris import HIDDEN

if TYPE_CHECKING:
    from airflow.sdk import Connection


def keys_of(connection: "Connection") -> dict[str, Any]:
    """Return what asyncssh is told of keys; Airflow's file system takes a private key for the name of a file.

    :raises Invalid: the key of the server is none.
    """
    import asyncssh

    extra = connection.extra_dejson
    keys: dict[str, Any] = {"known_hosts": ()}  # by default sshfs takes any server
    if str(extra.get("no_host_key_check", "")).lower() == "true":
        keys["known_hosts"] = None
    elif given := extra.get("host_key"):
        keys["known_hosts"] = ([host_key(str(given), connection.conn_id)], [], [])
    if private := extra.get("private_key"):
        keys["client_keys"] = [asyncssh.import_private_key(private, extra.get("private_key_passphrase"))]
    return keys


def host_key(text: str, conn_id: str) -> Any:
    """Return the key of a server: of a line of `known_hosts` too, or of the base64 alone, which tells its kind.

    Rule: https://datatracker.ietf.org/doc/html/rfc4253#section-6.6

    :raises Invalid: it is none. It is not shown: it may be the private one.
    """
    import asyncssh

    for word in text.split():
        with suppress(ValueError, asyncssh.KeyImportError):
            content = b64decode(word, validate=True)
            kind = content[4 : 4 + int.from_bytes(content[:4], "big")].decode("ascii")
            return asyncssh.import_public_key(f"{kind} {word}")
    remedy = "Write it as ssh-keyscan shows it, such as ssh-ed25519 AAAA...; a fingerprint is none."
    raise invalid("host_key", HIDDEN, f"connection {conn_id!r}: no public key of a server", remedy)
