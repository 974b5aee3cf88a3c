"""Confinement to a document root: whatever a path says, whoever exchanges what stands on it, nothing else is opened.

Who may write below the root can exchange a directory for a symbolic link between a look at a path and its opening. So
no path is opened that was looked at: each component is opened below the handle of the one before, and never through a
link. A link is read, and followed in the same way. What comes out is the handle of a directory that was below the root
when it was opened, and files are opened, written and deleted relative to that.

These are openat and its siblings, which POSIX and with it Linux and macOS have. Linux's openat2 would do the same in
one call (RESOLVE_BENEATH), but Python has no way to it; so nothing depends on whether a kernel has it. Where there is
no O_PATH (macOS), a directory on the way must be readable, and not only be one that may be passed through.
"""

import errno
import os
from threading import Lock

from labelsync_provider.errors import Denied

DIRECTORY = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
PASSED = DIRECTORY | getattr(os, "O_PATH", os.O_RDONLY)
"""How a directory on the way is opened."""
LISTED = DIRECTORY | os.O_RDONLY
LINK = (errno.ELOOP, errno.EMLINK)
"""What systems answer of a link, where none is followed."""
NO_DIRECTORY = (errno.ENOTDIR, *LINK)
"""What they answer where a directory is asked for, of a link or of something else."""

MOST_LINKS = 40
"""Links on a way, as for Linux."""
MOST_STEPS = 5000
"""Components on a way, those of links among them. Only one is held open at a time: for `..`, it begins at / again."""
KEPT = 64
"""Directories that are held open for the next file in them."""
EXCHANGES = 10
"""Times that a name is looked at anew, because it was a link and then was none."""


class Handle:
    """An open directory. It is closed as soon as nobody refers to it any more."""

    __slots__ = ("descriptor", "path")

    def __init__(self, descriptor: int, path: str) -> None:
        self.descriptor = descriptor
        self.path = path
        """Where it was when it was opened; no component is a link."""

    def __del__(self) -> None:
        os.close(self.descriptor)

    def below(self, name: str, flags: int = PASSED) -> "Handle":
        """Open a directory in this one.

        :raises OSError: one of `NO_DIRECTORY`, if it is a link.
        """
        return Handle(os.open(name, flags, dir_fd=self.descriptor), f"{self.path.rstrip('/')}/{name}")

    def listable(self, name: str = ".") -> "Handle":
        """Open this directory, or one in it, so that it can be listed, and what is in it looked at."""
        if name == ".":
            handle = Handle(os.open(name, LISTED, dir_fd=self.descriptor), self.path)
        else:
            handle = self.below(name, LISTED)
        os.stat(".", dir_fd=handle.descriptor)
        return handle


class Confined:
    """The directories below a document root."""

    def __init__(self, root: str) -> None:
        """Confine to a directory, whose path must hold no links; nothing is opened yet."""
        self.root = root
        self._kept: dict[str, tuple[Handle, tuple[int, int]]] = {}
        self._keeping = Lock()

    def holds(self, path: str) -> bool:
        """Tell whether a path without links is the root's, or one below it."""
        return path == self.root or path.startswith(self.root.rstrip("/") + "/")

    def directory(self, path: str, *, create: bool = False) -> Handle:
        """Return the directory that a path leads to, links followed.

        :param create: what is missing of it.
        :raises Denied: it leads out.
        :raises OSError: there is none, or it may not be passed through.
        """
        with self._keeping:
            kept = self._kept.pop(path, None)
        if kept is None or kept[1] != _identity(path):
            handle = self._follow(path, create=create)[0]
            status = os.fstat(handle.descriptor)
            kept = handle, (status.st_dev, status.st_ino)
        with self._keeping:
            self._kept[path] = kept
            while len(self._kept) > KEPT:
                del self._kept[next(iter(self._kept))]
        return kept[0]

    def open(self, path: str, flags: int) -> int:
        """Open a file, links followed; of what else stands there it is up to the caller to think.

        :param flags: with `O_NOFOLLOW`.
        :raises Denied: the path leads out.
        :raises OSError: there is no such file, or it cannot be opened.
        """
        directory, _, name = path.rpartition("/")
        handle = self.directory(directory)
        for _ in range(EXCHANGES):
            try:
                return os.open(name, flags, dir_fd=handle.descriptor)
            except OSError as error:
                if error.errno not in LINK:
                    raise
            handle, name = self.found(path)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))

    def found(self, path: str) -> tuple[Handle, str]:
        """Return the directory and the name to which a path leads, links followed.

        What has the name may be no link, and be one that was exchanged since. It is `.` if the path leads to the
        directory itself.

        :raises Denied: it leads out.
        :raises OSError: there is no such directory, or it may not be passed through.
        """
        return self._follow(path, to_name=True)

    def _follow(self, path: str, *, to_name: bool = False, create: bool = False) -> tuple[Handle, str]:
        here = Handle(os.open("/", PASSED), "/")
        to_come = _components(path)
        links = steps = 0
        try:
            while to_come:
                name = to_come.pop()
                steps += 1
                if links > MOST_LINKS or steps > MOST_STEPS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                if name == "..":
                    step: Handle | str | None = os.path.dirname(here.path)
                elif to_name and not to_come:
                    step = _link(here, name)
                    links += 1
                else:
                    step = self._step(here, name, create=create)
                    links += isinstance(step, str)
                if step is None:
                    return self._inside(here, path), name
                if isinstance(step, Handle):
                    here = step
                    continue
                if step.startswith("/"):
                    here = Handle(os.open("/", PASSED), "/")
                to_come += _components(step)
        except OSError:
            # What there is outside, and what not, is nobody's business.
            if not links or self.holds(here.path):
                raise
        return self._inside(here, path), "."

    def _inside(self, handle: Handle, path: str) -> Handle:
        if not self.holds(handle.path):
            raise Denied(f"{path} is outside the document root {self.root}: a symbolic link leads out of it.")
        return handle

    def _step(self, here: Handle, name: str, *, create: bool) -> Handle | str:
        """Return the directory of that name, or what the link of that name says."""
        for _ in range(EXCHANGES):
            try:
                return here.below(name)
            except FileNotFoundError:
                if not create or not self.holds(here.path):
                    raise
                _make(here, name)
            except OSError as error:
                if error.errno not in NO_DIRECTORY:
                    raise
                link = _link(here, name)
                if link is not None:
                    return link
        raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))


def _components(path: str) -> list[str]:
    """Return the components of a path, the last first."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _link(here: Handle, name: str) -> str | None:
    """Return what the link of that name says; None if it is no link, or is not there."""
    try:
        return os.readlink(name, dir_fd=here.descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):
            raise
        return None


def _make(here: Handle, name: str) -> None:
    try:
        os.mkdir(name, dir_fd=here.descriptor)
    except FileExistsError:
        return  # by somebody else, meanwhile
