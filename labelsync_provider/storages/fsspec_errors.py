"""What goes wrong with a file system of fsspec's: the system's errors and its own, as errors of the package.

Python's errors for files mean what they say. What a file system raises beside them, a table of it says; an answer of
HTTP is read like any service's.
"""

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from labelsync_provider.errors import Denied, Invalid, LabelsyncError, NotFound, Unavailable
from labelsync_provider.storages.answers import no_answer
from labelsync_provider.storages.faults import Fault, explained

SAID_LENGTH = 200
"""Characters that are shown of what an error says."""
ODD = (errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP)
"""Of these, the path itself is the cause."""

Meanings = Mapping[type[Exception], type[LabelsyncError] | Fault]
"""What a file system's own errors mean, the first that fits."""


@contextmanager
def explaining(meanings: Meanings, doing: str, *, uri: str, endpoint: str, login: str) -> Iterator[None]:
    """Turn the errors of fsspec and of what is behind it into the package's, without their causes.

    :param doing: what is tried, such as `list it`, or `read photos/1.jpg`.
    :param uri: the storage URI.
    :param endpoint: the server.
    :param login: the Airflow connection, in words.
    """
    expected: tuple[type[Exception], ...] = (OSError, UnicodeEncodeError, *meanings)
    try:
        yield
    except LabelsyncError:
        raise
    except expected as error:
        raise _explained(error, meanings, doing, uri, endpoint, login) from None


def said(error: Exception) -> str:
    """Return the first line of what an error says, or its name."""
    return str(error).partition("\n")[0][:SAID_LENGTH].rstrip(".") or type(error).__name__


def _explained(error: Exception, meanings: Meanings, doing: str, uri: str, endpoint: str, login: str) -> LabelsyncError:
    what = f"{uri} on {endpoint}: cannot {doing}"
    # Where a file system has a name of its own for an answer, that came with the cause.
    answering = error if isinstance(error, OSError) or hasattr(error, "response") else error.__cause__
    status = getattr(getattr(answering, "response", None), "status_code", None)
    if status is not None:
        return explained(Fault(status), uri, doing, login)
    meaning = next((meant for kind, meant in meanings.items() if isinstance(error, kind)), None)
    if isinstance(meaning, Fault):
        return explained(meaning, uri, doing, login)
    if isinstance(error, FileNotFoundError | NotADirectoryError) or meaning is NotFound:
        return NotFound(f"{what}: there is no such file or directory.")
    if isinstance(error, PermissionError) or meaning is Denied:
        return Denied(f"{what}: {said(error)}. The user of {login} has no permission for it.")
    if isinstance(error, FileExistsError | IsADirectoryError) or (isinstance(error, OSError) and error.errno in ODD):
        return Invalid(f"{what}: {said(error)}.")
    if isinstance(error, UnicodeEncodeError):
        return Invalid(f"{what}: the name is no UTF-8.")
    if meaning is None or meaning is Unavailable:
        return explained(no_answer(error), uri, doing, login)
    return meaning(f"{what}: {said(error)}.")
