"""Writing an object of a bucket: by obstore once it was seen that what it says to have written is there.

obstore follows a redirect 303 by asking for what is there, and takes any page for the answer. The service's own client
follows none.
"""

from http import HTTPStatus
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError

from labelsync_provider.errors import AlreadyThere, TooLarge
from labelsync_provider.storages.bucket_errors import fault_of_obstore
from labelsync_provider.storages.bucket_reading import is_there
from labelsync_provider.storages.obstore_use import INEXPRESSIBLE
from labelsync_provider.storages.service import Service

if TYPE_CHECKING:
    from obstore import PutMode


class Writing:
    """The writes to one bucket, each one request, so that an object is there whole or not at all."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._client_writes = service.writes_all
        self._obstore_writes = False
        """Whether it was seen that what obstore says to have written is there."""

    def put(self, key: str, content: bytes, *, create: bool) -> str:
        """Write an object and return its version.

        :param create: only where no object is.
        :raises AlreadyThere: one is, on a server that has no conditions; others answer so themselves.
        """
        errors: tuple[type[Exception], ...] = (BaseError, *self._service.errors)
        try:
            return self._sent(key, content, create=create)
        except errors as error:
            fault = fault_of_obstore(error) if isinstance(error, BaseError) else self._service.fault(error)
            if not create or fault.status != HTTPStatus.NOT_IMPLEMENTED:
                raise
        # A server that has no conditions, and says so: a look before is the best there is.
        return self._put_after_a_look(key, content)

    def _sent(self, key: str, content: bytes, *, create: bool) -> str:
        if not (INEXPRESSIBLE(key) or self._client_writes):
            mode: PutMode = "create" if create else "overwrite"
            written = obstore.put(self._service.store, key, content, mode=mode, use_multipart=False)
            if self._obstore_writes or self._service.confirms(written, content) or self._stands(key, content):
                return self._service.version(written)
            self._client_writes = True
        return self._service.write(key, content, create=create)

    def _stands(self, key: str, content: bytes) -> bool:
        """Look through the service's own client whether an object is there; else that client writes all that comes."""
        try:
            self._obstore_writes = self._service.read(key, len(content))[0] == content
        except TooLarge:
            return False
        except self._service.errors as error:
            if self._service.fault(error).status != HTTPStatus.NOT_FOUND:
                raise
        return self._obstore_writes

    def _put_after_a_look(self, key: str, content: bytes) -> str:
        if is_there(self._service, key):
            raise AlreadyThere(f"{self._service.location.container}: {key} is there already.")
        return self.put(key, content, create=False)
