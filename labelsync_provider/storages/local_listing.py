"""Listing local files: a walk depth first, in the order of keys, over directories that are held open.

Each real directory is listed once. A symbolic link to one below the source is not walked, for its files are listed
where they are; of several links to one elsewhere below the document root, the oldest is, so that a new link gives no
file another key.
"""

import errno
import os
import re
from collections.abc import Iterator

from labelsync_provider.errors import Denied
from labelsync_provider.storages.keys import LONGEST_KEY, is_longer, listed_key
from labelsync_provider.storages.local_confined import NO_DIRECTORY, Confined
from labelsync_provider.storages.local_directory import Directory, names_of
from labelsync_provider.storages.local_links import Links, is_utf8, place
from labelsync_provider.storages.local_objects import LEAVES_ROOT, object_of, refused
from labelsync_provider.storages.protocol import ObjectInfo

SLASH = re.compile("/").finditer

HELD = 64
"""Directories on the way that are held open; one above these is opened again when the walk comes back to it."""
MOST_UNLISTED = 1000
"""Directories that are remembered because their files are not listed."""

TOO_DEEP = f"the path of this directory has more than {LONGEST_KEY:,} bytes; nothing in it is listed. Move it up"


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
        top = Directory(handle, self._path, handle.path, "", None, "")
        stack = [(top, self._names(top))]
        while stack:
            directory, entries = stack[-1]
            name = next(entries, None)
            if name is None:
                stack.pop()
            elif not name.endswith("/"):
                if (info := object_of(directory, name, self._confined, recursive=self._recursive)) is not None:
                    yield info
            elif self._recursive:
                below = self._below(directory, name)
                if isinstance(below, Directory):
                    stack.append((below, self._names(below)))
                    if len(stack) > HELD:
                        stack[-HELD - 1][0].handle = None
                elif below:
                    yield self._unlisted(directory.key + name, below)

    def _below(self, directory: Directory, name: str) -> Directory | str | None:
        """Open a directory in another; return why its files cannot be listed, or None if they are not to be."""
        key, path, link = directory.key + name, directory.path_of(name), directory.link
        if is_longer(key, LONGEST_KEY):
            return TOO_DEEP
        try:
            try:
                handle = directory.opened(self._confined).listable(directory.name_of(name))
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
            return refused(error, "nothing in it is listed, for it may not be read")
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENAMETOOLONG):
                raise
            return TOO_DEEP
        return Directory(handle, path, handle.path, key, directory.problem_of(name), link)

    def _unlisted(self, key: str, problem: str) -> ObjectInfo:
        """Return the object that stands for a directory whose files are not listed."""
        if len(self.unlisted) == MOST_UNLISTED:
            raise Denied(f"{self._path}/{key}: {problem}. {MOST_UNLISTED:,} other directories cannot be listed either.")
        self.unlisted.add(key)
        return ObjectInfo(listed_key(key[:-1])[0], 0, "", problem)

    def _names(self, directory: Directory) -> Iterator[str]:
        return names_of(directory, self._confined, self._is_walked)

    def _is_walked(self, directory: Directory, link: os.DirEntry[str]) -> bool:
        """Tell whether a link is to be looked at as a directory: not if it leads out, or up to what is listed."""
        if not self._recursive:
            return False
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


def _is_within(path: str, above: str) -> bool:
    return path == above or path.startswith(above.rstrip("/") + "/")
