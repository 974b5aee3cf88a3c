"""What goes wrong with a bucket: the errors of obstore and of the service's own client, as errors of the package.

obstore's classes tell of what kind an error is, and not which of its kind: a 404 may be of the bucket or of the key, a
403 of permissions, of credentials or of a clock, and what has no class, throttling among it, is a `GenericError`. The
service's answer has a code for each, which obstore passes on in the error's text alone. The text is read, as it is
about this very request and costs none. It is promised to nobody, though: where it does not tell, one page of a listing
is asked of the service's own client, whose errors have the code.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from labelsync_provider.errors import Denied, Invalid, LabelsyncError, NotFound
from labelsync_provider.storages.answers import fault_of_answer, no_answer_in, without_urls
from labelsync_provider.storages.faults import NO_CREDENTIALS, Fault, explained
from labelsync_provider.storages.service import Service

STATUS_OF: dict[type[Exception], HTTPStatus] = {
    UnauthenticatedError: HTTPStatus.UNAUTHORIZED,
    PermissionDeniedError: HTTPStatus.FORBIDDEN,
    FileNotFoundError: HTTPStatus.NOT_FOUND,
    AlreadyExistsError: HTTPStatus.PRECONDITION_FAILED,  # or a conflict, which says less
    PreconditionError: HTTPStatus.PRECONDITION_FAILED,
}
"""The status that obstore makes each of its classes of."""

STATUS = "Server returned non-2xx status code: "
"""What obstore writes before an answer."""
REDIRECT = "redirect without LOCATION"
"""What it writes of an answer that leads elsewhere and does not say where, as S3's of another region does."""
PROVIDER = re.compile(r"External \w+ credential provider: (.*)", re.DOTALL)
"""What it makes of an error that our own function for credentials raises: of that, only the text is left."""


@contextmanager
def explaining(service: Service, doing: str, list_page: Callable[[], object]) -> Iterator[None]:
    """Turn the errors of obstore and of the service into the package's.

    Without their causes: these quote requests and answers, with signatures and tokens in them.

    :param doing: what is tried, such as `list objects`, or `read photos/1.jpg`.
    :param list_page: asks for one page of a listing, by the service's own client.
    """
    try:
        yield
    except LabelsyncError:
        raise
    except service.errors as error:
        raise _of_client(error, service, doing) from None
    except (BaseError, OSError) as error:
        raise _of_obstore(error, service, doing, list_page) from None


def fault_of_obstore(error: Exception) -> Fault:
    """Return what an error of obstore's means, as far as its class and its text tell.

    Only named parts of an answer are taken: the rest may hold URLs with signatures and the credentials themselves.
    """
    text = str(error)
    # What stands before the answer names the object, whose key may read like anything.
    _, answered, answer = text.partition(STATUS)
    status = answer[:3]
    if answered and status.isdecimal():
        return fault_of_answer(int(status), answer[3:])
    if refused := PROVIDER.search(text):
        return Fault(None, NO_CREDENTIALS, refused[1].partition("\n")[0])
    if type(error) in STATUS_OF:
        return Fault(STATUS_OF[type(error)])
    if REDIRECT in without_urls(text):
        return Fault(HTTPStatus.MOVED_PERMANENTLY, "PermanentRedirect")
    return no_answer_in(text)


def _of_client(error: Exception, service: Service, doing: str) -> LabelsyncError:
    return explained(service.fault(error), service.location.container, doing, service.login)


def _of_obstore(error: Exception, service: Service, doing: str, list_page: Callable[[], object]) -> LabelsyncError:
    fault = fault_of_obstore(error)
    told = explained(fault, service.location.container, doing, service.login)
    of_bucket = None if fault.tells_which else _refusal_of_listing(service, doing, list_page)
    if of_bucket is None:
        return told
    # That the bucket may not be listed says nothing of an object that is missing, or may not be read.
    is_of_listing = isinstance(of_bucket, Denied | NotFound | Invalid)
    return told if is_of_listing and fault.status else of_bucket


def _refusal_of_listing(service: Service, doing: str, list_page: Callable[[], object]) -> LabelsyncError | None:
    try:
        list_page()
    except LabelsyncError as error:
        return error
    except service.errors as error:
        return _of_client(error, service, doing)
    return None
