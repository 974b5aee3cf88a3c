"""What a name in a directory is as an object: a file, what a link leads to, or what cannot be read, with the reason."""

import errno
import os
import stat

from labelsync_provider.errors import Denied
from labelsync_provider.storages.keys import SHORT_KEY, listed_key
from labelsync_provider.storages.local_confined import Confined
from labelsync_provider.storages.local_directory import Directory
from labelsync_provider.storages.local_writing import version_of
from labelsync_provider.storages.protocol import ObjectInfo

LEAVES_ROOT = "it is a symbolic link that leaves the document root"
LOOP = "it is a symbolic link to a directory that it is in"
DANGLING = "it is a symbolic link to nothing"
NO_FILES = {
    stat.S_ISFIFO: "a FIFO",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}


def object_of(directory: Directory, name: str, confined: Confined, *, recursive: bool) -> ObjectInfo | None:
    """Return the object that a name in a directory is; None if it is none, or gone meanwhile.

    :param recursive: whether directories are walked, so that a link to one that is not is a loop.
    """
    key, problem = directory.key + name, directory.problem_of(name)
    try:
        where = (directory.handle or directory.opened(confined)).descriptor
        status = os.stat(directory.name_of(name), dir_fd=where, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError, Denied):
        return None  # gone since the directory was read, or the directory is
    except PermissionError as error:
        return ObjectInfo(key, 0, "", refused(error, "it may not be looked at"))
    linked = status.st_ctime
    if stat.S_ISLNK(status.st_mode):
        found = _through_link(confined, directory.path_of(name))
        if isinstance(found, str):
            problem = found
        elif not stat.S_ISDIR(found.st_mode):
            status = found
        elif recursive:
            problem = problem or LOOP
    if not stat.S_ISREG(status.st_mode):
        kind = next((kind for is_kind, kind in NO_FILES.items() if is_kind(status.st_mode)), None)
        problem = problem or (kind and f"it is {kind}, and no file")
        if not problem:
            return None
    if len(key) > SHORT_KEY:
        key, too_long = listed_key(key)
        problem = problem or too_long
    # Of a file that is copied or moved here, the time of its content may be kept; this one cannot be. What a link
    # leads to may be older than the link, and when a whole directory was linked, nothing tells.
    written = None if directory.link else max(status.st_ctime, linked)
    return ObjectInfo(key, status.st_size, version_of(status), problem, written)


def refused(error: PermissionError, what: str) -> str:
    """Return what is wrong with what the system keeps from this user."""
    return f"{what} by user {os.geteuid()}: {error.strerror}"


def _through_link(confined: Confined, path: str) -> os.stat_result | str:
    """Return what a link leads to, or why it cannot be followed."""
    try:
        directory, name = confined.found(path)
        return os.stat(name, dir_fd=directory.descriptor, follow_symlinks=False)
    except Denied:
        return LEAVES_ROOT
    except (FileNotFoundError, NotADirectoryError):
        return DANGLING
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG):
            raise
        return f"it is a symbolic link that cannot be followed: {error.strerror}"
