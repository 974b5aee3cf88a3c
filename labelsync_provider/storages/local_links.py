"""Links: under which symbolic link the files of a directory are listed that has no key of its own.

Of several links to one directory, the oldest is taken; its age is its mtime, which never changes, and which rsync, tar
and `cp -a` keep. So a new link gives no file that was known before another key.
"""

import heapq
import os
from collections.abc import Callable, Iterator

from labelsync_provider.errors import Denied
from labelsync_provider.storages.keys import LONGEST_KEY
from labelsync_provider.storages.local_confined import Confined

Link = tuple[int, str, str]
"""Its mtime in nanoseconds; its path, of which all above it are no links; the path without links that it leads to."""


class Links:
    """The links that lead to directories without a key of their own. Nothing is looked at before it is asked for."""

    def __init__(self, confined: Confined, source: str, has_own_key: Callable[[str], bool]) -> None:
        """Take the links below a directory, and those that are come to by them.

        :param source: the path of the directory, without links.
        :param has_own_key: tells of a path without links whether its files are listed under that.
        """
        self._confined, self._source, self._has_own_key = confined, source, has_own_key
        self._looked = False
        self._taken: dict[str, str] = {}
        """By the path without links of a directory, the path of the link under which its files are listed."""

    def taken_to(self, real: str) -> str | None:
        """Return the path of the link under which the files of a directory are listed; None if no link leads there."""
        if not self._looked:
            self._looked = True
            self._take_all()
        return next((self._taken[path] for path in _and_above(real) if path in self._taken), None)

    def take(self, link: str, real: str) -> None:
        """Take a link that was not there when all were looked at, or that led elsewhere."""
        self._taken[real] = link

    def _take_all(self) -> None:
        """Take the oldest, then the oldest of the others and of those that it leads to, and so on."""
        links = list(self._below(self._source))
        heapq.heapify(links)
        while links:
            _, link, real = heapq.heappop(links)
            if self.taken_to(real) is None:
                self.take(link, real)
                for found in self._below(real):
                    heapq.heappush(links, found)

    def _below(self, top: str) -> Iterator[Link]:
        """Yield the links in a directory, and in those below that are listed by the same way."""
        directories = [top]
        while directories:
            path = directories.pop()
            try:
                handle = self._confined.directory(path).listable()
                with os.scandir(handle.descriptor) as entries:
                    yield from self._links(top, path, entries, directories)
            except (Denied, OSError):
                continue  # when its turn comes in the listing, it is said why

    def _links(
        self, top: str, above: str, entries: Iterator[os.DirEntry[str]], directories: list[str]
    ) -> Iterator[Link]:
        for entry in entries:
            path = place(above, entry.name)
            if not is_utf8(entry.name) or len(path) - len(top) > LONGEST_KEY:
                continue
            if entry.is_dir(follow_symlinks=False):
                # Come to from elsewhere, the source is listed by its own way, and what is taken by another link.
                if top == self._source or not (self._has_own_key(path) or path in self._taken):
                    directories.append(path)
            elif entry.is_symlink() and (real := self._directory(path, entry)) and not self._has_own_key(real):
                yield entry.stat(follow_symlinks=False).st_mtime_ns, path, real

    def _directory(self, path: str, link: os.DirEntry[str]) -> str | None:
        """Return the directory to which a link leads, if it leads to one below the document root."""
        try:
            # What the entry says is no more than a hint, and cheap.
            return self._confined.directory(path).path if link.is_dir() else None
        except (Denied, OSError):
            return None


def place(directory: str, name: str) -> str:
    """Return the path of what stands in a directory."""
    return f"{directory.rstrip('/')}/{name}"


def is_utf8(path: str) -> bool:
    """Tell whether a path can be written in UTF-8, as a key has to be."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _and_above(path: str) -> Iterator[str]:
    while len(path) > 1:
        yield path
        path = os.path.dirname(path)
    yield "/"
