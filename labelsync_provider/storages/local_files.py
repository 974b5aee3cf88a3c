"""Local files: a directory below a document root, as Label Studio's local storage has it."""

import errno
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from hashlib import blake2b
from itertools import islice
from pathlib import PurePosixPath
from urllib.parse import quote, unquote, urlsplit

from labelsync_provider.errors import AlreadyThere, Denied, Invalid, LabelsyncError, NotFound, Unavailable, invalid
from labelsync_provider.retry import Requests
from labelsync_provider.storages.location import Location
from labelsync_provider.storages.protocol import ObjectInfo, Page
from labelsync_provider.storages.spool import sorted_on_disk

PAGE = 5000
TEMPORARY_PREFIX, TEMPORARY_SUFFIX = ".labelsync-", ".tmp"

NAMELESS = os.O_WRONLY | os.O_CLOEXEC | getattr(os, "O_TMPFILE", os.O_DIRECTORY)

UNQUOTED = re.compile(r"[A-Za-z0-9_.~/-]*").fullmatch
"""Most keys are such, and telling so is faster than quoting them."""

NOT_UTF8 = "its name is not UTF-8; rename the file"
LEAVES_ROOT = "it is a symbolic link that leaves the document root"
LOOP = "it is a symbolic link to a directory that it is in"
SERVED = "/data/local-files/?d="
DANGLING = "it is a symbolic link to nothing"


class LocalFiles:
    """The files of one directory.

    A key is the path below the directory, with `/`. A version is size and mtime, in bytes and nanoseconds.
    Every path is confined to the document root, symbolic links resolved. Only regular files are objects.
    """

    holds_files = True

    def __init__(self, uri: str, document_root: str, *, recursive: bool = True, parameter: str = "storage URI") -> None:
        """Open the directory named by `uri`, `file:///dir` or just `/dir`, at or below `document_root`.

        :param parameter: what gave the URI, to be named in errors.
        :raises Invalid: the URI names no absolute local path, or the document root is not absolute.
        :raises Denied: the directory is outside the document root.
        """
        directory = _local_path(parameter, uri)
        root = os.path.normpath(document_root)
        if not os.path.isabs(root):
            raise invalid("document root", document_root, "not an absolute path", "Set the fs connection's Path.")
        self.uri = "file://" + directory
        self._root = os.path.realpath(root)
        self.path = directory
        self._recursive = recursive
        self.requests = Requests()
        # Relative to the document root: a mount that moves changes no identity.
        relative = _relative(directory, root) or _relative(directory, self._root)
        if relative is None or not self._inside(os.path.realpath(directory)):
            raise Denied(
                f"{parameter}={uri!r} is outside the document root {root}. Choose a directory below it, or set the "
                "Path of the fs connection to a directory above both."
            )
        self.location = Location("file://", self._root, "" if relative == "." else relative + "/")
        self._directory_uri = SERVED + quote(self.location.root)

    def exists(self) -> bool:
        """Tell whether the directory is there."""
        return os.path.isdir(self.path)

    def list(self) -> Iterator[Page]:
        """Yield the files in pages, in the order of their keys; see `Storage.list`."""
        objects = self._walk()
        while page := list(islice(objects, PAGE)):
            self.requests.begin("list")
            yield page

    def covers(self, key: str) -> bool:
        """Tell whether a key lies in a directory that is listed."""
        return self._recursive or "/" not in key

    def object_uri(self, key: str) -> str:
        """Return the path that Label Studio serves, relative to its `LOCAL_FILES_DOCUMENT_ROOT`.

        Rule: guide "Sync data from external storage", section Local storage.
        """
        return self._directory_uri + (key if UNQUOTED(key) else quote(key))

    def path_of(self, uri: str) -> str | None:
        """Return the path relative to the document root; Label Studio may have put its own address in front."""
        _, served, path = uri.partition(SERVED)
        return unquote(path, errors="surrogateescape") if served else None

    def read(self, key: str) -> bytes:
        """Return the content of a file; see `Storage.read`."""
        self.requests.begin("read")
        path = self._path(key)
        with _translated(path), open(self._open_confined(path), "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            content = file.read(size + 1)
            # One read takes a file that keeps still; a growing one, or a pseudo file, is read to its end.
            return content if len(content) == size else content + file.readall()

    def write(self, key: str, content: bytes, *, create: bool = False) -> str:
        """Write a file: to a temporary one beside it, synced, then renamed; see `Storage.write`."""
        path = self._path(key)
        directory, name = os.path.split(path)
        if os.path.basename(name).startswith(TEMPORARY_PREFIX) and name.endswith(TEMPORARY_SUFFIX):
            raise Invalid(f"{key}: the name is reserved for temporary files. Choose another key.")
        self.requests.begin("write")
        with _translated(path):
            self._make_directory(directory)
            version = self._created(path, content) if create else self._replaced(path, content)
            _sync_directory(directory)
        return version

    def delete(self, keys: Sequence[str]) -> None:
        """Delete files, and what a killed write of one left; see `Storage.delete`."""
        for key in keys:
            self.requests.begin("delete")
            path = self._path(key)
            if not self._inside(os.path.realpath(os.path.dirname(path))):
                raise Denied(f"{path} is outside the document root {self._root}.")
            for file in (path, _temporary(path)):
                with _translated(file), suppress(FileNotFoundError):
                    os.unlink(file)

    def sign(self, keys: Sequence[str], life: timedelta) -> Sequence[str]:
        """Refuse: files have no URLs of their own."""
        raise invalid("url_mode", "signed", "local files have no signed URLs", "Use 'storage'.")

    def _walk(self) -> Iterator[ObjectInfo]:
        """Walk depth first. The stack holds, for each open directory, its entries still to come."""
        real = os.path.realpath(self.path)
        root = _Directory(self.path, "", real, frozenset([real]), None)
        stack = [(root, self._entries(root))]
        while stack:
            directory, entries = stack[-1]
            name = next(entries, None)
            if name is None:
                stack.pop()
            elif name.endswith("/"):
                if self._recursive:
                    below = directory.below(name)
                    stack.append((below, self._entries(below)))
            else:
                yield from self._look_at(directory, name)

    def _look_at(self, directory: "_Directory", name: str) -> Iterator[ObjectInfo]:
        """Yield the object of that name, if it is one."""
        path, problem = directory.path_of(name), directory.problem_of(name)
        try:
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                real = os.path.realpath(path)
                if not self._inside(real):
                    problem = LEAVES_ROOT
                elif not os.path.exists(real):
                    problem = DANGLING
                elif os.path.isdir(real):
                    if not self._recursive:
                        return
                    problem = LOOP
                else:
                    status = os.stat(real)
        except FileNotFoundError:
            return  # gone since the directory was read
        if problem or stat.S_ISREG(status.st_mode):
            yield ObjectInfo(directory.key + name, status.st_size, _version(status), problem)

    def _entries(self, directory: "_Directory") -> Iterator[str]:
        """Yield a directory's names in key order; one of a directory ends in `/`.

        A directory of more names than are held in memory is sorted in runs on disk.
        """
        with _translated(directory.path, listing=True):
            try:
                scan = os.scandir(directory.path)
            except FileNotFoundError:
                return  # gone since its parent was read, or never there
            with scan:
                names = sorted_on_disk(self._names(scan, directory))
        yield from names

    def _names(self, scan: Iterator[os.DirEntry[str]], directory: "_Directory") -> Iterator[str]:
        for entry in scan:
            name = entry.name
            if self._walked(entry, directory):
                name += "/"
            elif not (entry.is_file(follow_symlinks=False) or entry.is_symlink()) or (
                name.startswith(TEMPORARY_PREFIX) and name.endswith(TEMPORARY_SUFFIX)
            ):
                continue
            if not name.isascii():
                try:
                    name.encode()
                except UnicodeEncodeError:
                    escaped = os.fsencode(name).decode("utf-8", "backslashreplace")
                    directory.odd_names[escaped] = name
                    name = escaped
            yield name

    def _walked(self, entry: os.DirEntry[str], directory: "_Directory") -> bool:
        """Tell whether an entry is a directory to be walked: not one that a link makes endless or leads out to."""
        if not entry.is_symlink():
            return entry.is_dir()
        real = os.path.realpath(entry.path)
        return os.path.isdir(real) and self._inside(real) and real not in directory.above

    def _inside(self, real: str) -> bool:
        return real == self._root or real.startswith(self._root.rstrip("/") + "/")

    def _path(self, key: str) -> str:
        parts = PurePosixPath(key).parts
        if not key or key != "/".join(parts) or ".." in parts or key.startswith("/") or "\0" in key:
            raise Invalid(
                f"key {key!r} is no path below {self.uri}. Use names joined by '/', without '.', '..' or empty ones."
            )
        return f"{self.path}/{key}"

    def _open_confined(self, path: str) -> int:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
        if not self._inside(os.path.realpath(os.path.dirname(path))):
            raise Denied(f"{path} is outside the document root {self._root}.")
        try:
            return os.open(path, flags | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.EMLINK):
                raise
        real = os.path.realpath(path)
        if not self._inside(real):
            raise Denied(f"{path} is a symbolic link that leaves the document root {self._root}.")
        return os.open(real, flags | os.O_NOFOLLOW)

    def _replaced(self, path: str, content: bytes) -> str:
        """Write a temporary file and rename it."""
        temporary = _temporary(path)
        with suppress(FileNotFoundError):
            # What a killed run left; one that is only paused must not go on in the file that we rename.
            os.unlink(temporary)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            version = _written(os.open(temporary, flags, 0o644), content)
            os.replace(temporary, path)
        except OSError:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
        return version

    def _created(self, path: str, content: bytes) -> str:
        """Write a file without a name and give it one, unless it is taken; of a killed write, nothing is left."""
        try:
            descriptor = os.open(os.path.dirname(path), NAMELESS, 0o644)
        except OSError as error:
            if error.errno not in (errno.EISDIR, errno.EOPNOTSUPP):
                raise
            # Not every file system has such files (NFS has not): a look before is the best there is.
            if os.path.lexists(path):
                return self._standing(path, content)
            return self._replaced(path, content)
        keeping = os.dup(descriptor)
        try:
            version = _written(descriptor, content)
            # Given a directory, Python has the link in /proc followed; the directory itself is not looked at.
            os.link(f"/proc/self/fd/{keeping}", path, src_dir_fd=keeping, follow_symlinks=True)
        except FileExistsError:
            return self._standing(path, content)
        finally:
            os.close(keeping)
        return version

    def _standing(self, path: str, content: bytes) -> str:
        """Return the version of what stands there, if it is the same."""
        if os.path.isdir(path):
            raise AlreadyThere(f"{path} is there already, a directory.")
        with open(self._open_confined(path), "rb") as file:
            if file.read() != content:
                raise AlreadyThere(f"{path} is there already, a file of another content.")
            return _version(os.fstat(file.fileno()))

    def _make_directory(self, directory: str) -> None:
        above = directory
        while not os.path.lexists(above):
            above = os.path.dirname(above)
        if not self._inside(os.path.realpath(above)):
            raise Denied(f"{directory} is outside the document root {self._root}.")
        os.makedirs(directory, exist_ok=True)


class _Directory:
    """A directory on the way of a walk."""

    def __init__(self, path: str, key: str, real: str, above: frozenset[str], problem: str | None) -> None:
        self.path, self.key, self.real, self.problem = path, key, real, problem
        self.above = above
        """The resolved paths of this directory and those it was reached through."""
        self.odd_names: dict[str, str] = {}
        """Escaped name -> the name as the file system has it, for those that are not UTF-8."""

    def path_of(self, name: str) -> str:
        return f"{self.path}/{self.odd_names.get(name, name)}"

    def problem_of(self, name: str) -> str | None:
        return NOT_UTF8 if name in self.odd_names else self.problem

    def below(self, name: str) -> "_Directory":
        path = self.path_of(name).rstrip("/")
        real = os.path.realpath(path) if os.path.islink(path) else f"{self.real}/{os.path.basename(path)}"
        return _Directory(path, self.key + name, real, self.above | {real}, self.problem_of(name))


def _local_path(parameter: str, uri: str) -> str:
    remedy = "Use /absolute/directory, or file:///absolute/directory."
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


def _temporary(path: str) -> str:
    """Name the file that a write goes to: the same for the same key, so that a killed run's is found."""
    directory, name = os.path.split(path)
    digest = blake2b(os.fsencode(name), digest_size=12).hexdigest()
    return os.path.join(directory, TEMPORARY_PREFIX + digest + TEMPORARY_SUFFIX)


def _written(descriptor: int, content: bytes) -> str:
    """Write a whole file, synced, and close it; return its version."""
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        return _version(os.fstat(file.fileno()))


def _relative(directory: str, root: str) -> str | None:
    inside = directory == root or directory.startswith(root.rstrip("/") + "/")
    return os.path.relpath(directory, root) if inside else None


def _version(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}"


def _sync_directory(directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
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
        if error.errno in (errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP):
            raise Invalid(f"{path}: {error.strerror}.") from error
        raise Unavailable(f"{path}: {error.strerror}.") from error
