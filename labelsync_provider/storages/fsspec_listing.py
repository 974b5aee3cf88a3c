"""Listing through fsspec: a walk depth first, in the order of keys, with each directory in memory while it is open.

fsspec gives a directory whole. So what is bounded is the entries of a directory, once it has come, and the length of
its path. A symbolic link is not followed: it could lead out of the directory that the URI names, or in a circle.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from labelsync_provider.errors import Denied, Invalid, NotFound, Unavailable
from labelsync_provider.storages.keys import LONGEST_KEY, listed_key
from labelsync_provider.storages.protocol import ObjectInfo
from labelsync_provider.storages.temporary import is_temporary

MOST_ENTRIES = 100_000
"""Of the directories on the way of a walk, which are in memory together."""
MOST_UNLISTED = 10_000
"""Directories and links that are remembered because what is in them is not listed."""

LINK = "it is a symbolic link, and none is followed here. Name in a storage URI what it leads to"
TOO_DEEP = f"the path of this directory has more than {LONGEST_KEY:,} bytes; nothing in it is listed. Move it up"
"""Each directory on the way takes two bytes or more, so that these bound the depth, too."""

Entry = Mapping[str, Any]
"""What fsspec tells of a file or directory."""


class Walk:
    """One walk over the files of a directory."""

    def __init__(
        self,
        uri: str,
        entries: Callable[[str], Sequence[Entry]],
        object_of: Callable[[str, Entry], ObjectInfo],
        *,
        recursive: bool,
    ) -> None:
        """Begin at a directory.

        :param uri: of the directory, which ends with a slash.
        :param entries: returns what is in the directory of a key, which ends with a slash, or is empty.
        :param object_of: returns the object of a key, made from what fsspec tells of it.
        """
        self._uri, self._entries, self._object_of, self._recursive = uri, entries, object_of, recursive
        self._unlisted: set[str] = set()

    def leaves_out(self, key: str) -> bool:
        """Tell whether a file of this key could be there, and not be listed by it, once the walk is at its end."""
        return any(key[: at + 1] in self._unlisted for at, one in enumerate(key) if one == "/")

    def objects(self) -> Iterator[ObjectInfo]:
        """Yield the files, and in the place of what cannot be listed one object that says why.

        :raises Denied: the directory itself may not be listed, or too many in it.
        :raises Unavailable: a directory has too many entries, or does not answer.
        """
        try:
            waiting = [self._in_order("", 0)]
        except NotFound:
            return
        while waiting:
            if not waiting[-1]:
                waiting.pop()
                continue
            entry = waiting[-1].pop()
            if isinstance(entry, ObjectInfo):
                yield entry
            elif self._recursive:
                below = self._below(entry, sum(map(len, waiting)))
                if isinstance(below, ObjectInfo):
                    yield below
                else:
                    waiting.append(below)

    def _below(self, key: str, held: int) -> list[ObjectInfo | str] | ObjectInfo:
        """Return what is in a directory, or the object that stands for it if that cannot be told."""
        if len(key.encode("utf-8", "surrogateescape")) > LONGEST_KEY:
            return self._leave_out(key, TOO_DEEP)
        try:
            return self._in_order(key, held)
        except NotFound:
            return []  # gone since the directory above was read
        except (Denied, Invalid) as error:
            return self._leave_out(key, f"nothing in it is listed, for it cannot be read: {error}")

    def _in_order(self, key: str, held: int) -> list[ObjectInfo | str]:
        """Return the files in a directory, and the keys of directories in it, from the last to the first by key."""
        entries = self._entries(key)
        if held + len(entries) > MOST_ENTRIES:
            raise Unavailable(
                f"{self._uri}{key}: this directory has {len(entries):,} entries, and {held:,} of those above it are "
                f"still to come. Up to {MOST_ENTRIES:,} are held in memory. Spread the files over more directories."
            )
        found: dict[str, ObjectInfo | str] = {}
        for entry in entries:
            name = str(entry["name"]).rstrip("/").rpartition("/")[2]
            if name in ("", ".", "..") or is_temporary(name):
                continue
            if entry["type"] == "directory":
                found[f"{key}{name}/"] = f"{key}{name}/"
            elif entry["type"] == "link":
                found[key + name] = self._leave_out(f"{key}{name}/", LINK)
            else:
                found[key + name] = self._object_of(key + name, entry)
        return [found[each] for each in sorted(found, reverse=True)]

    def _leave_out(self, key: str, problem: str) -> ObjectInfo:
        """Return the object that stands for a directory, or a link, that is not listed."""
        if len(self._unlisted) == MOST_UNLISTED:
            raise Denied(f"{self._uri}{key}: {problem}. {MOST_UNLISTED:,} others are not listed either.")
        self._unlisted.add(key)
        return ObjectInfo(listed_key(key[:-1])[0], 0, "", problem)
