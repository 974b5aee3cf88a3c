"""Local files: a directory below a document root, as Label Studio's local storage has it."""

import errno
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import blake2b
from itertools import islice
from urllib.parse import quote, unquote, urlsplit

from labelsync_provider.errors import (
    AlreadyThere,
    Denied,
    Invalid,
    LabelsyncError,
    NotFound,
    Unavailable,
    check_ends,
    invalid,
)
from labelsync_provider.retry import Requests
from labelsync_provider.storages.confined import Confined, Handle
from labelsync_provider.storages.faults import too_large
from labelsync_provider.storages.local_listing import TEMPORARY_PREFIX, TEMPORARY_SUFFIX, Walk, is_temporary, version_of
from labelsync_provider.storages.location import Location
from labelsync_provider.storages.protocol import MOST_BYTES, ObjectInfo, Page
from labelsync_provider.uris import IS_SERVERS, SERVED, if_wildcard

PAGE = 5000
READ_AT_ONCE = 1 << 20
"""Bytes of what proves to be longer than it was."""

READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""A FIFO that a file was exchanged for keeps nobody waiting."""
NAMELESS = os.O_WRONLY | os.O_CLOEXEC | getattr(os, "O_TMPFILE", os.O_DIRECTORY)

UNQUOTED = re.compile(r"[A-Za-z0-9_.~/-]*").fullmatch
"""Most keys are such, and telling so is faster than quoting them."""

NO_PATH = re.compile(r"(?:^|/)\.{0,2}(?:/|$)|\0").search
"""No name may be empty, `.` or `..`."""


class LocalFiles:
    """The files of one directory.

    A key is the path below the directory, with `/`. A version is size and mtime, in bytes and nanoseconds.
    Every path is confined to the document root, symbolic links resolved. Only regular files can be read.
    """

    def __init__(self, uri: str, document_root: str, *, recursive: bool = True, parameter: str = "storage URI") -> None:
        """Open the directory named by `uri`, `file:///dir` or just `/dir`, at or below `document_root`.

        :param parameter: what gave the URI, to be named in errors.
        :raises Invalid: the URI names no absolute local path, or the document root is not absolute.
        :raises Denied: the directory is outside the document root.
        """
        directory = _local_path(parameter, uri)
        self._given = f"{parameter}={uri!r}"
        root = os.path.normpath(document_root)
        if not os.path.isabs(root):
            raise invalid("document root", document_root, "not an absolute path", "Set the fs connection's Path.")
        self.uri = "file://" + directory
        self._root = os.path.realpath(root)
        self._confined = Confined(self._root)
        self._walk: Walk | None = None
        """The last listing."""
        self.path = directory
        self._recursive = recursive
        self.requests = Requests()
        # Relative to the document root: a mount that moves changes no identity.
        relative = _relative(directory, root) or _relative(directory, self._root)
        if relative is None or not self._confined.holds(os.path.realpath(directory)):
            raise Denied(
                f"{parameter}={uri!r} is outside the document root {root}. Choose a directory below it, or set the "
                "Path of the fs connection to a directory above both."
            )
        self.location = Location("file://", self._root, "" if relative == "." else relative + "/")
        self._directory_uri = SERVED + quote(self.location.root)

    def check_exists(self) -> None:
        """Make sure that the directory is there; see `MadeByWrites.check_exists`."""
        if os.path.isdir(self.path):
            return
        if os.path.exists(self.path):
            name = re.escape(os.path.basename(self.path))
            raise NotFound(
                f"{self._given}: {self.path} is a file. Name the directory that it is in, "
                f"{os.path.dirname(self.path)}, and choose it by regex_filter={name + '$'!r}."
            )
        remedy = if_wildcard(self._given) or " Create it, or correct the storage URI."
        raise NotFound(f"{self._given}: there is no directory {self.path}.{remedy}")

    def list(self) -> Iterator[Page]:
        """Yield the files in pages, in the order of their keys; see `Storage.list`.

        In the place of a directory that cannot be listed stands one object, with what is wrong with it; a FIFO, a
        socket and a device are such as well.
        """
        self._walk = Walk(self._confined, self.path, recursive=self._recursive)
        objects = self._translating(self._walk.objects())
        while page := list(islice(objects, PAGE)):
            self.requests.begin("list")
            yield page

    def covers(self, key: str) -> bool:
        """Tell whether a key lies in a directory that is listed, and could be, by this key.

        What is behind a link that was not followed may be there: it has another key, or cannot be listed.
        """
        return (self._recursive or "/" not in key) and not (self._walk and self._walk.leaves_out(key))

    def object_uri(self, key: str) -> str:
        """Return the path that Label Studio serves, relative to its `LOCAL_FILES_DOCUMENT_ROOT`.

        Rule: guide "Sync data from external storage", section Local storage.
        """
        return self._directory_uri + (key if UNQUOTED(key) else quote(key))

    def file_name(self, key: str) -> str:
        """Return the name of a file, without the directories that it is in."""
        return key.rpartition("/")[2]

    def path_of(self, uri: str) -> str | None:
        """Return the path relative to the document root; Label Studio may have put its own address in front."""
        before, served, path = uri.partition(SERVED)
        return unquote(path, errors="surrogateescape") if served and IS_SERVERS(before) else None

    def read(self, key: str, most: int = MOST_BYTES, version: str | None = None) -> bytes:
        """Return the content of a file; see `Storage.read`."""
        self.requests.begin("read")
        path = self._path(key)
        with _translated(path):
            descriptor = self._confined.open(path, READ)
            try:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    what = "a directory" if stat.S_ISDIR(status.st_mode) else "no file"
                    raise Invalid(f"{path} is {what}, and was a file when it was listed.")
                if status.st_size > most:
                    raise too_large(key, most)
                content = os.read(descriptor, status.st_size + 1)
                if len(content) != status.st_size:
                    content = _read_on(descriptor, content, most)
            finally:
                os.close(descriptor)
        if len(content) > most:
            raise too_large(key, most)
        return content

    def read_start(self, key: str, size: int) -> bytes:
        """Return the first bytes of a file; see `Storage.read_start`."""
        self.requests.begin("read")
        path = self._path(key)
        with _translated(path), open(self._confined.open(path, READ), "rb") as file:
            return file.read(size)

    def has(self, path: str) -> bool:
        """Tell whether something stands at a path below the document root; see `Storage.has`."""
        self.requests.begin("read")
        return os.path.lexists(f"{self._root}/{path}")

    def write(self, key: str, content: bytes, *, create: bool = False) -> str:
        """Write a file: to a temporary one beside it, synced, then renamed; see `Storage.write`."""
        path = self._path(key)
        directory, _, name = path.rpartition("/")
        if is_temporary(name):
            raise Invalid(f"{key}: the name is reserved for temporary files. Choose another key.")
        self.requests.begin("write")
        with _translated(path):
            handle = self._confined.directory(directory, create=True)
            version = self._created(handle, name, content) if create else self._replaced(handle, name, content)
            _sync(handle)
        return version

    def delete(self, keys: Sequence[str]) -> None:
        """Delete files, and what a killed write of one left; see `Storage.delete`."""
        for key in keys:
            self.requests.begin("delete")
            path = self._path(key)
            directory, _, name = path.rpartition("/")
            with _translated(path), suppress(FileNotFoundError):
                handle = self._confined.directory(directory)
                for each in (name, _temporary(name)):
                    with suppress(FileNotFoundError):
                        os.unlink(each, dir_fd=handle.descriptor)

    def _translating(self, objects: Iterator[ObjectInfo]) -> Iterator[ObjectInfo]:
        with _translated(self.path, listing=True):
            yield from objects

    def _path(self, key: str) -> str:
        if NO_PATH(key):
            raise Invalid(
                f"key {key!r} is no path below {self.uri}. Use names joined by '/', without '.', '..' or empty ones."
            )
        return f"{self.path}/{key}"

    def _replaced(self, directory: Handle, name: str, content: bytes) -> str:
        """Write a temporary file and rename it."""
        temporary, where = _temporary(name), directory.descriptor
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

    def _created(self, directory: Handle, name: str, content: bytes) -> str:
        """Write a file without a name and give it one, unless it is taken; of a killed write, nothing is left."""
        try:
            descriptor = os.open(".", NAMELESS, 0o644, dir_fd=directory.descriptor)
        except OSError as error:
            if error.errno not in (errno.EISDIR, errno.EOPNOTSUPP):
                raise
            # Not every file system has such files (NFS has not): a look before is the best there is.
            try:
                return self._standing(directory, name, content)
            except FileNotFoundError:
                return self._replaced(directory, name, content)
        keeping = os.dup(descriptor)
        try:
            version = _written(descriptor, content)
            # Given a directory, Python has the link in /proc followed; this directory itself is not looked at.
            given = {"src_dir_fd": keeping, "dst_dir_fd": directory.descriptor}
            os.link(f"/proc/self/fd/{keeping}", name, **given, follow_symlinks=True)
        except FileExistsError:
            return self._standing(directory, name, content)
        finally:
            os.close(keeping)
        return version

    def _standing(self, directory: Handle, name: str, content: bytes) -> str:
        """Return the version of what stands there, if it is the same.

        :raises FileNotFoundError: nothing does.
        """
        path = f"{directory.path}/{name}"
        with open(self._confined.open(path, READ), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise AlreadyThere(f"{path} is there already, and is no file.")
            if file.read(len(content) + 1) != content:
                raise AlreadyThere(f"{path} is there already, a file of another content.")
            return version_of(status)


def _local_path(parameter: str, uri: str) -> str:
    remedy = "Use /absolute/directory, or file:///absolute/directory."
    check_ends(parameter, uri)  # of a file's name, a blank at an end can be written %20
    path = uri
    if not uri.startswith("/"):
        parts = urlsplit(uri)
        path = unquote(parts.path)
        if parts.netloc not in ("", "localhost") or not path.startswith("/"):
            raise invalid(parameter, uri, "not an absolute local path", remedy)
        if parts.query or parts.fragment:
            raise invalid(parameter, uri, "'?' and '#' in a URI's path must be written %3F and %23", remedy)
    if "\0" in path:
        raise invalid(parameter, uri, "a path cannot hold a NUL character", remedy)
    return os.path.normpath("/" + path.lstrip("/"))


def _temporary(name: str) -> str:
    """Name the file that a write goes to: the same for the same key, so that a killed run's is found."""
    digest = blake2b(os.fsencode(name), digest_size=12).hexdigest()
    return TEMPORARY_PREFIX + digest + TEMPORARY_SUFFIX


def _read_on(descriptor: int, content: bytes, most: int) -> bytes:
    """Read on in a file that did not keep still, or has no size as one of /proc: to its end, or a byte too many."""
    parts, length = [content], len(content)
    while length <= most and (more := os.read(descriptor, min(READ_AT_ONCE, most + 1 - length))):
        parts.append(more)
        length += len(more)
    return b"".join(parts)


def _written(descriptor: int, content: bytes) -> str:
    """Write a whole file, synced, and close it; return its version."""
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        return version_of(os.fstat(file.fileno()))


def _relative(directory: str, root: str) -> str | None:
    inside = directory == root or directory.startswith(root.rstrip("/") + "/")
    return os.path.relpath(directory, root) if inside else None


def _sync(directory: Handle) -> None:
    descriptor = os.open(".", os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory.descriptor)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _translated(path: str, *, listing: bool = False) -> Iterator[None]:
    """Turn the system's errors into the package's."""
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
        if error.errno in (errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP, errno.ENXIO):
            raise Invalid(f"{path}: {error.strerror}.") from error
        raise Unavailable(f"{path}: {error.strerror}.") from error
