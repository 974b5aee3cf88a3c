"""Reading an object of a bucket: by obstore, or by the service's own client where obstore cannot be believed.

obstore follows a redirect to whatever host. Who answers there does not know the version that was listed; the service's
own client follows none, and reads what has changed since it was listed.
"""

from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError

from labelsync_provider.errors import TooLarge
from labelsync_provider.storages.bucket_errors import fault_of_obstore
from labelsync_provider.storages.faults import NO_SUCH_BUCKET, too_large
from labelsync_provider.storages.obstore_use import INEXPRESSIBLE
from labelsync_provider.storages.protocol import MOST_BYTES
from labelsync_provider.storages.service import Service

if TYPE_CHECKING:
    from obstore import GetResult


def content_of(service: Service, key: str, most: int, version: str | None) -> bytes:
    """Return the content of an object; see `Storage.read`."""
    if INEXPRESSIBLE(key):
        return service.read(key, most)[0]
    try:
        found = obstore.get(service.store, key)
    except BaseError as error:
        # What is answered elsewhere may lack what every answer of the service has. obstore has no class for it.
        if version is None or fault_of_obstore(error).tells_which:
            raise
    else:
        if version is None or (version and service.version(found.meta) == version):
            return _bytes(key, found, most)
    return service.read(key, most)[0]


def start_of(service: Service, key: str, size: int) -> bytes:
    """Return the first bytes of an object; see `Storage.read_start`."""
    if not INEXPRESSIBLE(key):
        with suppress(FileNotFoundError):  # elsewhere, maybe
            return next((bytes(chunk)[:size] for chunk in obstore.get(service.store, key).stream(size)), b"")
    return service.read(key, MOST_BYTES)[0][:size]


def is_there(service: Service, key: str) -> bool:
    """Tell whether an object stands under a key. That there is none is the service's own client to say."""
    if not INEXPRESSIBLE(key):
        try:
            obstore.get(service.store, key)
            return True
        except FileNotFoundError as error:
            if fault_of_obstore(error).code in NO_SUCH_BUCKET:  # not every client tells that from a missing object
                raise
    try:
        service.read(key, 0)
    except TooLarge:
        return True
    except service.errors as error:
        fault = service.fault(error)
        if fault.status != HTTPStatus.NOT_FOUND or fault.code in NO_SUCH_BUCKET:
            raise
        return False
    return True


def standing(service: Service, key: str, most: int) -> tuple[bytes, str]:
    """Return content and version of what stands under a key.

    :param most: bytes that it may have.
    :raises TooLarge: it has more.
    """
    if INEXPRESSIBLE(key):
        return service.read(key, most)
    found = obstore.get(service.store, key)
    return _bytes(key, found, most), service.version(found.meta)


def _bytes(key: str, found: "GetResult", most: int) -> bytes:
    chunks, length = [], found.range[1]
    if length <= most:
        length = 0
        for chunk in found.stream():  # what comes can be more than the answer's head has said
            chunks.append(chunk)
            length += len(chunk)
            if length > most:
                break
    if length > most:
        raise too_large(key, most)
    return b"".join(chunks)
