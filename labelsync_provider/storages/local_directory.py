"""One directory on the way of a walk: its names in the order of keys, whatever it holds and however much."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from labelsync_provider.storages.local_confined import Confined, Handle
from labelsync_provider.storages.spool import sorted_on_disk
from labelsync_provider.storages.temporary import is_temporary

NOT_UTF8 = "its name is not UTF-8; rename the file"


@dataclass(slots=True)
class Directory:
    """A directory on the way of a walk."""

    handle: Handle | None
    path: str
    """As it was come to, by links as well."""
    real: str
    """Without links."""
    key: str
    """What the keys in it begin with: empty, or with `/` at its end."""
    problem: str | None
    """Why nothing in it can be read, though it is listed."""
    link: str
    """The path of the link that it was come to by, if one leads to it, or to one above it."""
    odd_names: dict[str, str] = field(default_factory=dict)
    """Escaped name -> the name as the file system has it, for those that are not UTF-8."""

    def name_of(self, name: str) -> str:
        """Return a name as the file system has it."""
        return self.odd_names.get(name, name).rstrip("/")

    def path_of(self, name: str) -> str:
        """Return the path of what has a name."""
        return f"{self.path}/{self.name_of(name)}"

    def problem_of(self, name: str) -> str | None:
        """Return why what has a name cannot be read, if that is known by the name or by the way."""
        return NOT_UTF8 if name in self.odd_names else self.problem

    def opened(self, confined: Confined) -> Handle:
        """Return its handle; one that is not held any more is opened again."""
        if self.handle is None:
            self.handle = confined.directory(self.path).listable()
        return self.handle


IsWalked = Callable[[Directory, os.DirEntry[str]], bool]
"""Tells whether a link in a directory is walked as a directory."""


def names_of(directory: Directory, confined: Confined, is_walked: IsWalked) -> Iterator[str]:
    """Return a directory's names in key order; one of a directory ends in `/`.

    A directory of more names than are held in memory is sorted in runs on disk.
    """
    with os.scandir(directory.opened(confined).descriptor) as scan:
        return sorted_on_disk(_names(scan, directory, is_walked))


def _names(scan: Iterator[os.DirEntry[str]], directory: Directory, is_walked: IsWalked) -> Iterator[str]:
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
            if is_walked(directory, entry):
                name += "/"
        if not name.isascii():
            try:
                name.encode()
            except UnicodeEncodeError:
                escaped = os.fsencode(name).decode("utf-8", "backslashreplace")
                directory.odd_names[escaped] = name
                name = escaped
        yield name
