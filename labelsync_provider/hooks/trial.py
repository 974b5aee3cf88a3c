"""Trials: what `test_connection` does with a storage, and says of it."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

from labelsync_provider.errors import Denied, LabelsyncError
from labelsync_provider.hooks.connections import nameless
from labelsync_provider.storages.protocol import MadeByWrites, Signing, Target

TRIAL_SECONDS = 5.0
"""So long a request is tried by `test_connection`: a person waits."""
READ_BYTES = 1 << 20
PROBE = ".labelsync-probe-"


def tried(open_storage: Callable[[], Target], conn_id: str, *, target: bool) -> tuple[bool, str]:
    """Try a storage out, as `test_connection` does.

    :param conn_id: the connection, which is not named: that of Airflow's form is made up.
    """
    try:
        storage = open_storage()
        if not target and isinstance(storage, MadeByWrites):
            storage.check_exists()
        page = next(storage.list(), [])
        done = [f"{storage.uri} can be listed, and {f'begins with {page[0].key!r}' if page else 'is empty'}"]
        small = next((info for info in page if info.size <= READ_BYTES and not info.problem), None)
        if small and not small.key.endswith("/"):
            storage.read(small.key, READ_BYTES, small.version)
            done.append("can be read")
        if target:
            probe = f"{storage.location.prefix}{PROBE}{uuid4().hex}"
            storage.write(probe, b"", create=True)
            storage.delete([probe])
            done.append("can be written, and deleted from")
        done += _signs(storage)
    except LabelsyncError as error:
        return False, nameless(str(error), conn_id)
    return True, nameless("; ".join(done), conn_id) + "."


def _signs(storage: Target) -> list[str]:
    """Tell whether URLs can be signed; that they cannot makes no storage useless."""
    if not isinstance(storage, Signing):
        return []
    try:
        storage.sign([f"{storage.location.prefix}key"], timedelta(minutes=1))
    except Denied as error:
        return [str(error).rstrip(".")]
    return ["URLs can be signed"]
