"""What the system says of a file or directory, as the package's errors."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from labelsync_provider.errors import Denied, Invalid, LabelsyncError, NotFound, Unavailable

OF_THE_PATH = (errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP, errno.ENXIO)
"""What another try does not change."""


@contextmanager
def translated(path: str, *, listing: bool = False) -> Iterator[None]:
    """Turn the system's errors into the package's.

    :param path: of the file; with `listing`, of the directory that is listed.
    """
    try:
        yield
    except LabelsyncError:
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"{path}: {error.strerror}.") from error
    except PermissionError as error:
        what = "listed" if listing else "read or written"
        raise Denied(f"{path} may not be {what} by user {os.geteuid()}: {error.strerror}.") from error
    except OSError as error:
        if error.errno in OF_THE_PATH:
            raise Invalid(f"{path}: {error.strerror}.") from error
        raise Unavailable(f"{path}: {error.strerror}.") from error
