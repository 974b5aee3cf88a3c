"""Writing a local file: whole or not at all, and on disk before it is said to be written."""

import errno
import os
import stat
from contextlib import suppress

from labelsync_provider.errors import AlreadyThere
from labelsync_provider.storages.local_confined import Confined, Handle
from labelsync_provider.storages.local_reading import READ
from labelsync_provider.storages.temporary import temporary_name

NAMELESS = os.O_WRONLY | os.O_CLOEXEC | getattr(os, "O_TMPFILE", os.O_DIRECTORY)


def version_of(status: os.stat_result) -> str:
    """Return the version of a file: its size in bytes, and when it changed, in nanoseconds."""
    return f"{status.st_size}-{status.st_mtime_ns}"


def write_file(confined: Confined, path: str, content: bytes, *, create: bool) -> str:
    """Write a file and return its version; see `Storage.write`. Directories that are missing are made.

    :raises OSError: it cannot be written.
    """
    above, _, name = path.rpartition("/")
    directory = confined.directory(above, create=True)
    written = _created(confined, directory, name, content) if create else _replaced(directory, name, content)
    _sync(directory)
    return written


def delete_file(confined: Confined, path: str) -> None:
    """Delete a file, and what a killed write of it left; neither has to be there.

    :raises OSError: it cannot be deleted.
    """
    above, _, name = path.rpartition("/")
    with suppress(FileNotFoundError):
        directory = confined.directory(above)
        for each in (name, temporary_name(name)):
            with suppress(FileNotFoundError):
                os.unlink(each, dir_fd=directory.descriptor)


def _replaced(directory: Handle, name: str, content: bytes) -> str:
    """Write a temporary file and rename it."""
    temporary, where = temporary_name(name), directory.descriptor
    with suppress(FileNotFoundError):
        # What a killed run left; one that is only paused must not go on in the file that we rename.
        os.unlink(temporary, dir_fd=where)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        version = _written(os.open(temporary, flags, 0o644, dir_fd=where), content)
        os.replace(temporary, name, src_dir_fd=where, dst_dir_fd=where)
    except OSError:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=where)
        raise
    return version


def _created(confined: Confined, directory: Handle, name: str, content: bytes) -> str:
    """Write a file without a name and give it one, unless it is taken; of a killed write, nothing is left."""
    try:
        descriptor = os.open(".", NAMELESS, 0o644, dir_fd=directory.descriptor)
    except OSError as error:
        if error.errno not in (errno.EISDIR, errno.EOPNOTSUPP):
            raise
        # Not every file system has such files (NFS has not): a look before is the best there is.
        try:
            return _standing(confined, directory, name, content)
        except FileNotFoundError:
            return _replaced(directory, name, content)
    keeping = os.dup(descriptor)
    try:
        version = _written(descriptor, content)
        # Given a directory, Python has the link in /proc followed; this directory itself is not looked at.
        given = {"src_dir_fd": keeping, "dst_dir_fd": directory.descriptor}
        os.link(f"/proc/self/fd/{keeping}", name, **given, follow_symlinks=True)
    except FileExistsError:
        return _standing(confined, directory, name, content)
    finally:
        os.close(keeping)
    return version


def _standing(confined: Confined, directory: Handle, name: str, content: bytes) -> str:
    """Return the version of what stands there, if it is the same.

    :raises FileNotFoundError: nothing does.
    """
    path = f"{directory.path}/{name}"
    with open(confined.open(path, READ), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise AlreadyThere(f"{path} is there already, and is no file.")
        if file.read(len(content) + 1) != content:
            raise AlreadyThere(f"{path} is there already, a file of another content.")
        return version_of(status)


def _written(descriptor: int, content: bytes) -> str:
    """Write a whole file, synced, and close it; return its version."""
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        return version_of(os.fstat(file.fileno()))


def _sync(directory: Handle) -> None:
    descriptor = os.open(".", os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory.descriptor)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
