"""A storage of another package: what it answers is held against the protocol before the engine has it.

What is wrong would show later, and as something else: an object without a version as one that never changes.
"""

import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Self, cast

from labelsync_provider.airflow_compat import AirflowException
from labelsync_provider.errors import LabelsyncError, Unavailable, Unusable
from labelsync_provider.storages.location import Location
from labelsync_provider.storages.protocol import ObjectInfo, Page, Storage

OURS = (LabelsyncError, AirflowException)
"""Errors that say themselves what is wrong, and whether a retry may help."""
REMEDY = "Correct the package: see labelsync_provider.storages.protocol, and `A storage of your own` in the README."


class Asked(NamedTuple):
    """What the protocol asks of an answer."""

    fits: Callable[[Any], bool]
    what: str


def _is_text(answer: Any) -> bool:
    return isinstance(answer, str) and answer != ""


CONTENT = Asked(lambda answer: isinstance(answer, bytes), "the content, as bytes")
ANYTHING = Asked(lambda answer: True, "")
OF_TARGETS = {
    "read": CONTENT,
    "read_start": CONTENT,
    "has": Asked(lambda answer: isinstance(answer, bool), "True or False"),
    "write": Asked(_is_text, "the version of what it wrote, a text that is not empty"),
    "delete": ANYTHING,
}
OF_STORAGES = OF_TARGETS | {
    "covers": Asked(lambda answer: isinstance(answer, bool), "True or False"),
    "object_uri": Asked(_is_text, "a URI"),
    "path_of": Asked(lambda answer: answer is None or isinstance(answer, str), "a path, or None"),
}
OPTIONAL = {
    "file_name": Asked(lambda answer: isinstance(answer, str), "a name"),
    "check_exists": ANYTHING,
    "sign": Asked(lambda answer: isinstance(answer, Sequence) and all(map(_is_text, answer)), "a URL for each key"),
}


class OutsideStorage:
    """A storage, as it is; of what the engine asks, every answer is looked at."""

    def __init__(self, storage: Any, hook: str, needed: dict[str, Asked]) -> None:
        """Look what it is.

        :param hook: what opened it, in words.
        :raises Unusable: it lacks something.
        """
        vars(self)["_storage"], vars(self)["_whose"] = storage, hook
        if missing := [name for name in ("uri", "location", "list", *needed) if not hasattr(storage, name)]:
            raise Unusable(f"{hook} opened what is no storage: it has no {', '.join(missing)}. {REMEDY}")
        vars(self)["_whose"] = whose = f"{storage.uri} ({type(storage).__name__}, opened by {hook})"
        if not isinstance(storage.location, Location):
            raise Unusable(f"{whose}: its location is {shown(storage.location)}, and no Location. {REMEDY}")
        # In the dictionary of the instance: what only some storages can do is asked for by presence.
        for name, asked in (needed | OPTIONAL).items():
            if hasattr(storage, name):
                vars(self)[name] = _checked(whose, name, getattr(storage, name), asked)

    def list(self) -> Iterator[Page]:
        """Yield the pages of the storage; see `Target.list`.

        :raises Unusable: one is not what the protocol asks.
        """
        with told(self._whose, "list()"):
            listing = self._storage.list()
        if not isinstance(listing, Iterable):
            raise Unusable(f"{self._whose}: list() returned {shown(listing)}, and not pages, one by one. {REMEDY}")
        with told(self._whose, "list()"):
            pages = iter(listing)
        while True:
            with told(self._whose, "list()"):
                page = next(pages, None)
            if page is None:
                return
            if wrong := wrong_in(page):
                raise Unusable(f"{self._whose}: list() yields {wrong}. {REMEDY}")
            yield page

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self)["_storage"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._storage, name, value)


class OutsideHook:
    """A hook, as it is; the storages that it opens are looked at."""

    def __init__(self, hook: Any) -> None:
        self._hook, self._name = hook, f"{type(hook).__module__}.{type(hook).__qualname__}"
        for name in ("test_connection", "access"):
            if hasattr(hook, name):
                setattr(self, name, _checked(self._name, name, getattr(hook, name), ANYTHING))

    @classmethod
    def made(cls, kind: Callable[[str], Any], conn_id: str) -> Self:
        """Make a hook of a kind, for a connection."""
        with told(getattr(kind, "__qualname__", repr(kind)), f"with connection {conn_id!r}"):
            hook = kind(conn_id)
        return cls(hook)

    def get_source(self, uri: str, recursive_scan: bool | None = None) -> Storage:
        """Open a storage to import from."""
        with told(self._name, f"get_source({uri!r})"):
            storage = self._hook.get_source(uri, recursive_scan)
        return cast("Storage", OutsideStorage(storage, self._name, OF_STORAGES))

    def get_target(self, uri: str) -> Storage:
        """Open a storage to export to."""
        with told(self._name, f"get_target({uri!r})"):
            storage = self._hook.get_target(uri)
        return cast("Storage", OutsideStorage(storage, self._name, OF_TARGETS))

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self)["_hook"], name)


@contextmanager
def told(whose: str, call: str) -> Iterator[None]:
    """Say where an error came from that is neither of this package nor Airflow's.

    :raises Unavailable: there was one. What it says is not shown: nothing tells whether that holds a secret.
    """
    try:
        yield
    except OURS:
        raise
    except Exception as error:
        raise _foreign(error, whose, call) from None


def wrong_in(page: Any) -> str | None:
    """Return what in a page is not what the protocol asks; None if it is fine."""
    if not isinstance(page, list):
        return f"{shown(page)}, and no list of ObjectInfo"
    for info in page:
        if not isinstance(info, ObjectInfo):
            return f"{shown(info)}, and no ObjectInfo"
        if not _is_text(info.key):
            return f"an object whose key is {shown(info.key)}, and no text"
        if not isinstance(info.size, int):
            return f"{info.key!r} with the size {shown(info.size)}, and no number of bytes"
        if not _is_text(info.version) and not info.problem:
            return (
                f"{info.key!r} with the version {shown(info.version)}, and no text that changes whenever the content "
                "does; where nothing tells that, give it a problem"
            )
    return None


def _checked(whose: str, name: str, method: Callable[..., Any], asked: Asked) -> Callable[..., Any]:
    """Return a method that looks at what it returns."""

    def checked(*args: Any, **kwargs: Any) -> Any:
        # Some are called for each object: `told` would take longer than they do.
        try:
            answer = method(*args, **kwargs)
        except OURS:
            raise
        except Exception as error:
            raise _foreign(error, whose, _call(name, args)) from None
        if not asked.fits(answer):
            raise Unusable(f"{whose}: {_call(name, args)} returned {shown(answer)}, and not {asked.what}. {REMEDY}")
        return answer

    return checked


def _call(name: str, args: tuple[Any, ...]) -> str:
    return f"{name}({args[0]!r})" if args and isinstance(args[0], str) else f"{name}()"


def _foreign(error: Exception, whose: str, call: str) -> Unavailable:
    frames = traceback.extract_tb(error.__traceback__)
    place = next((frame for frame in frames if frame.filename != __file__), frames[-1])
    return Unavailable(
        f"{whose}: {call} raised {type(error).__name__}, in {place.filename}, line {place.lineno}. What it says is not "
        "shown, as it may hold a secret. The package is to raise errors of labelsync_provider.errors instead."
    )


def shown(value: object) -> str:
    """Return a value as it is shown: of what may be content or a secret, only of what type it is."""
    plain = value is None or isinstance(value, bool | int | float) or value == ""
    return repr(value) if plain else f"a value of type {type(value).__name__}"
