"""Listing local files: a walk depth first, in the order of keys, over directories that are held open.

Each real directory is listed once. A symbolic link to one below the source is not walked, for its files are listed
where they are; of several links to one elsewhere below the document root, the oldest is, so that a new link gives no
file another key.
"""

import errno
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from labelsync_provider.errors import Denied
from labelsync_provider.storages.confined import NO_DIRECTORY, Confined, Handle
from labelsync_provider.storages.keys import LONGEST_KEY, SHORT_KEY, listed_key
from labelsync_provider.storages.local_links import Links, is_utf8, place
from labelsync_provider.storages.protocol import ObjectInfo
from labelsync_provider.storages.spool import sorted_on_disk

SLASH = re.compile("/").finditer

TEMPORARY_PREFIX, TEMPORARY_SUFFIX = ".labelsync-", ".tmp"
HELD = 64
"""Directories on the way that are held open; one above these is opened again when the walk comes back to it."""
MOST_UNLISTED = 1000
"""Directories that are remembered because their files are not listed."""

NOT_UTF8 = "its name is not UTF-8; rename the file"
LEAVES_ROOT = "it is a symbolic link that leaves the document root"
LOOP = "it is a symbolic link to a directory that it is in"
DANGLING = "it is a symbolic link to nothing"
NO_FILES = {
    stat.S_ISFIFO: "a FIFO",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}
TOO_DEEP = f"the path of this directory has more than {LONGEST_KEY:,} bytes; nothing in it is listed. Move it up"


def version_of(status: os.stat_result) -> str:
    """Return the version of a file: its size in bytes, and when it changed, in nanoseconds."""
    return f"{status.st_size}-{status.st_mtime_ns}"


def is_temporary(name: str) -> bool:
    """Tell whether a file is one that a write goes to."""
    return name.startswith(TEMPORARY_PREFIX) and name.endswith(TEMPORARY_SUFFIX)


@dataclass(slots=True)
class _Directory:
    """A directory on the way of a walk."""

    handle: Handle | None
    path: str
    """As it was come to, by links as well."""
    real: str
    """Without links."""
    key: str
    problem: str | None
    link: str
    """The path of the link that it was come to by, if one leads to it, or to one above it."""
    odd_names: dict[str, str] = field(default_factory=dict)
    """Escaped name -> the name as the file system has it, for those that are not UTF-8."""

    def name_of(self, name: str) -> str:
        return self.odd_names.get(name, name).rstrip("/")

    def path_of(self, name: str) -> str:
        return f"{self.path}/{self.name_of(name)}"

    def problem_of(self, name: str) -> str | None:
        return NOT_UTF8 if name in self.odd_names else self.problem


class Walk:
    """One walk over the files of a directory."""

    def __init__(self, confined: Confined, path: str, *, recursive: bool) -> None:
        """Begin at a directory, links to it followed."""
        self._confined, self._path, self._recursive = confined, path, recursive
        self._source = ""
        """The path of the directory without links."""
        self._links: Links
        self.followed: set[str] = set()
        """The keys of links that were followed to a directory; with `/` at their end."""
        self.unlisted: set[str] = set()
        """The keys of directories whose files are not listed, though they may be there; with `/` at their end."""

    def leaves_out(self, key: str) -> bool:
        """Tell whether a file of this key could be there, and not be listed by it, once the walk is at its end."""
        above = [key[: slash.end()] for slash in SLASH(key)]
        if self.unlisted and not self.unlisted.isdisjoint(above):
            return True
        return any(os.path.islink(f"{self._path}/{each[:-1]}") for each in above if each not in self.followed)

    def objects(self) -> Iterator[ObjectInfo]:
        """Yield the files. The stack holds, for each open directory, its entries still to come.

        :raises Denied: the directory itself may not be listed, or too many in it.
        :raises OSError: it is none, or does not answer.
        """
        try:
            handle = self._confined.directory(self._path).listable()
        except FileNotFoundError:
            return
        self._source = handle.path
        self._links = Links(self._confined, self._source, self._has_its_own_key)
        top = _Directory(handle, self._path, handle.path, "", None, "")
        stack = [(top, self._entries(top))]
        while stack:
            directory, entries = stack[-1]
            name = next(entries, None)
            if name is None:
                stack.pop()
            elif not name.endswith("/"):
                if (info := self._file(directory, name)) is not None:
                    yield info
            elif self._recursive:
                below = self._below(directory, name)
                if isinstance(below, _Directory):
                    stack.append((below, self._entries(below)))
                    if len(stack) > HELD:
                        stack[-HELD - 1][0].handle = None
                elif below:
                    yield self._unlisted(directory.key + name, below)

    def _file(self, directory: _Directory, name: str) -> ObjectInfo | None:
        """Return the object of that name, if it is one."""
        key, problem = directory.key + name, directory.problem_of(name)
        try:
            where = (directory.handle or self._reopened(directory)).descriptor
            status = os.stat(directory.name_of(name), dir_fd=where, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError, Denied):
            return None  # gone since the directory was read, or the directory is
        except PermissionError as error:
            return ObjectInfo(key, 0, "", _refused(error, "it may not be looked at"))
        linked = status.st_ctime
        if stat.S_ISLNK(status.st_mode):
            found = self._through_link(directory.path_of(name))
            if isinstance(found, str):
                problem = found
            elif not stat.S_ISDIR(found.st_mode):
                status = found
            elif self._recursive:
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

    def _through_link(self, path: str) -> os.stat_result | str:
        """Return what a link leads to, or why it cannot be followed."""
        try:
            directory, name = self._confined.found(path)
            return os.stat(name, dir_fd=directory.descriptor, follow_symlinks=False)
        except Denied:
            return LEAVES_ROOT
        except (FileNotFoundError, NotADirectoryError):
            return DANGLING
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG):
                raise
            return f"it is a symbolic link that cannot be followed: {error.strerror}"

    def _below(self, directory: _Directory, name: str) -> _Directory | str | None:
        """Open a directory in another; return why its files cannot be listed, or None if they are not to be."""
        key, path, link = directory.key + name, directory.path_of(name), directory.link
        if len(key) > SHORT_KEY and len(key.encode()) > LONGEST_KEY:
            return TOO_DEEP
        try:
            try:
                handle = (directory.handle or self._reopened(directory)).listable(directory.name_of(name))
                if link and self._is_listed(handle.path, link):
                    return None
            except OSError as error:
                if error.errno not in NO_DIRECTORY:
                    raise
                handle = self._confined.directory(path).listable()
                link = place(directory.real, directory.name_of(name))
                if self._is_listed(handle.path, link):
                    return None
                self._links.take(link, handle.path)
                self.followed.add(key)
        except Denied:
            return LEAVES_ROOT
        except (FileNotFoundError, NotADirectoryError):
            return None  # gone since the directory was read
        except PermissionError as error:
            return _refused(error, "nothing in it is listed, for it may not be read")
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENAMETOOLONG):
                raise
            return TOO_DEEP
        return _Directory(handle, path, handle.path, key, directory.problem_of(name), link)

    def _reopened(self, directory: _Directory) -> Handle:
        directory.handle = self._confined.directory(directory.path).listable()
        return directory.handle

    def _unlisted(self, key: str, problem: str) -> ObjectInfo:
        """Return the object that stands for a directory whose files are not listed."""
        if len(self.unlisted) == MOST_UNLISTED:
            raise Denied(f"{self._path}/{key}: {problem}. {MOST_UNLISTED:,} other directories cannot be listed either.")
        self.unlisted.add(key)
        return ObjectInfo(listed_key(key[:-1])[0], 0, "", problem)

    def _entries(self, directory: _Directory) -> Iterator[str]:
        """Return a directory's names in key order; one of a directory ends in `/`.

        A directory of more names than are held in memory is sorted in runs on disk.
        """
        with os.scandir((directory.handle or self._reopened(directory)).descriptor) as scan:
            return sorted_on_disk(self._names(scan, directory))

    def _names(self, scan: Iterator[os.DirEntry[str]], directory: _Directory) -> Iterator[str]:
        for entry in scan:
            name = entry.name
            if entry.is_file(follow_symlinks=False):
                if is_temporary(name):
                    continue
            elif entry.is_dir(follow_symlinks=False):
                name += "/"
            elif entry.is_symlink():
                if is_temporary(name):
                    continue
                if self._recursive and self._is_walked(directory, entry):
                    name += "/"
            if not name.isascii():
                try:
                    name.encode()
                except UnicodeEncodeError:
                    escaped = os.fsencode(name).decode("utf-8", "backslashreplace")
                    directory.odd_names[escaped] = name
                    name = escaped
            yield name

    def _is_walked(self, directory: _Directory, link: os.DirEntry[str]) -> bool:
        """Tell whether a link is to be looked at as a directory: not if it leads out, or up to what is listed."""
        if directory.problem or not is_utf8(link.name):
            return False  # in that directory, nothing could be read by this way
        try:
            if not link.is_dir():  # what it says is no more than a hint, and cheap
                return False
            real = self._confined.directory(f"{directory.path}/{link.name}").path
        except (Denied, OSError):
            return False  # when its turn comes as a file, it is said why
        return not (_is_within(directory.real, real) and self._is_listed(real, place(directory.real, link.name)))

    def _has_its_own_key(self, real: str) -> bool:
        """Tell whether a directory is below the source, and its files are listed under the key that they have there."""
        return _is_within(real, self._source) and is_utf8(real)

    def _is_listed(self, real: str, link: str) -> bool:
        """Tell whether the files of a directory are listed under another key than by a link."""
        return self._has_its_own_key(real) or self._links.taken_to(real) not in (None, link)


def _refused(error: PermissionError, what: str) -> str:
    return f"{what} by user {os.geteuid()}: {error.strerror}"


def _is_within(path: str, above: str) -> bool:
    return path == above or path.startswith(above.rstrip("/") + "/")
