"""A listing that is cut into ranges of keys, which are listed side by side and put together in order.

What is decided here is which page to ask for next; who asks, and waits, is another. The rule is: the pages nearest to
the reader first. Where each of them has been asked for, a range that seems to have several is cut by a guess. The page
that a guess asks for is the first of a new range; what the range before it lists beyond the cut is left out of that.

**Nothing is left out and nothing is listed twice, whatever the order of the service**: a range ends with the first
object that it lists behind the cut, and the next one takes over only if it begins with that very object. It began at a
place of the same listing then. Otherwise, the range before goes on in its stead. One thing is relied on: where a
service starts behind a key, it leaves out what comes before in its own order, not also what comes later and is less.
"""

from collections import deque
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

from labelsync_provider.storages.going_on import GoingOn
from labelsync_provider.storages.key_guess import LOOKED_AT, Alphabets, Sample
from labelsync_provider.storages.protocol import ObjectInfo, Page

LISTERS = 10
"""Requests that are under way at once, where a client is not told how many connections to keep: each keeps so many."""
FEW_PAGES = 3
"""A listing with no more pages is not cut."""
MOST_HELD = 48_000
"""Objects that are held for the reader, or under way. The page that the reader waits for may always come."""


@dataclass(eq=False)
class Range:
    """Some of the keys, as far as they are listed."""

    after: str
    """Its keys come behind this text."""
    end: str | None
    """They come not behind this one; None: to the end of the listing."""
    token: str | None = None
    """Of its next page."""
    sample: Sample | None = None
    """How dense its keys are, or those before it."""
    seen: deque[tuple[str, int]] = field(default_factory=partial(deque, maxlen=FEW_PAGES))
    """The first key of the last pages, and how many keys each of them has."""
    last: str = ""
    """The last key that is listed, or `after`."""
    first: str | None = None
    """The first key that was listed, beyond the end or not."""
    begun: bool = False
    """Whether something is known of it."""
    under_way: bool = False
    """Whether a page of it is."""
    complete: bool = False
    """Whether it is listed to its end."""
    pages: deque[Page] = field(default_factory=deque)
    """What is listed, and not read yet."""
    beyond: Page = field(default_factory=list)
    """What its last page holds beyond its end."""
    dropped: bool = False
    """Whether the range before goes on in its stead."""
    going_on: GoingOn = field(default_factory=GoingOn)
    empty: int = 0
    """Pages in a row without an object."""

    @property
    def is_guess(self) -> bool:
        """Whether nothing depends on it yet: what it has asked for can be done without."""
        return not self.begun and self.after != ""


class Ranges:
    """The ranges of one listing, in the order of their keys."""

    def __init__(self, prefix: str, listers: int = LISTERS, *, most_held: int = MOST_HELD) -> None:
        """Begin with a single range.

        :param prefix: with which all keys begin.
        :param listers: requests that may be under way at once; 1 for a service that cannot start behind a key.
        :param most_held: objects that may be held.
        """
        self._ranges = [Range("", None)]
        self._alphabets = Alphabets(prefix)
        self.listers, self._can_cut, self._most_held = listers, listers > 1, most_held
        self._pages, self._wasted = 0, 0.0
        self._full = 1
        """Objects of a full page."""

    def next(self) -> Range | None:
        """Return the range whose next page is to be asked for, if any is to be now; it is under way then."""
        if (waited_for := self._waited_for()) is not None:
            return _ask(waited_for)
        under_way = [each for each in self._ranges if each.under_way]
        held = sum(len(page) for each in self._ranges for page in each.pages)
        room = held + (len(under_way) + 1) * self._full <= self._most_held
        if not room or len(under_way) >= self._most_under_way():
            return None
        # A wrong guess costs its page. So does the last page of a range that ends at a cut, or all of it but an object.
        risked = sum(each.is_guess or (each.end is not None and not each.complete) for each in self._ranges)
        may_guess = self._can_cut and self._pages >= FEW_PAGES and 2 * (self._wasted + risked) < self._pages
        for place, each in enumerate(self._ranges):
            if each.complete:
                continue
            if not each.under_way:
                return _ask(each)
            if may_guess and (cut := self._cut(place)):
                return _ask(cut)
        return None

    def answered(self, asked: Range, page: Page, token: str | None) -> None:
        """Take the page that a range has asked for."""
        asked.under_way = False
        self._pages += 1
        keys = [info.key for info in page if info.problem is None]
        if asked.dropped:
            self._wasted += 1
        elif asked.is_guess and page and not keys:
            # Keys that are listed by others do not tell where a range ends: each guess would list all of them again.
            self._can_cut = False
            self.failed(asked)
        else:
            self._take(asked, page, keys, token)

    def failed(self, asked: Range) -> bool:
        """Tell whether a request may fail: a guess may, as the range before it lists the same."""
        asked.under_way = False
        if asked.dropped:
            return True
        if not asked.is_guess:
            return False
        self._wasted += 1
        self._take_over(self._ranges.index(asked) - 1)
        return True

    def read(self) -> Page | None:
        """Return the next page in order, if it is there."""
        while True:
            first = self._ranges[0]
            if first.pages:
                return first.pages.popleft()
            if not first.complete or len(self._ranges) == 1 or not self._ranges[1].begun:
                return None
            if _goes_on_with(first, self._ranges[1]):
                self._ranges.pop(0)
            else:
                self._take_over(0)

    @property
    def at_end(self) -> bool:
        """Whether everything is listed and read."""
        first = self._ranges[0]
        return len(self._ranges) == 1 and first.complete and not first.pages

    def _most_under_way(self) -> int:
        return 1 if self._pages < FEW_PAGES else min(self.listers, self._pages)

    def _waited_for(self) -> Range | None:
        """Return the range that the reader waits for, if it is not under way."""
        for each in self._ranges:
            if each.pages or each.under_way:
                return None
            if not each.complete:
                return each
        return None

    def _cut(self, place: int) -> Range | None:
        """Cut a range in two by a guess; return the new one."""
        each = self._ranges[place]
        if each.sample is None or (guess := self._alphabets.guess(each.last, each.end, each.sample)) is None:
            return None
        new = Range(guess, each.end, sample=each.sample, last=guess)
        each.end = guess
        self._ranges.insert(place + 1, new)
        return new

    def _take(self, asked: Range, page: Page, keys: list[str], token: str | None) -> None:
        """Take a page of a range that is not dropped.

        :param keys: those of its objects that are listed by their own.
        """
        was_guess, before = asked.is_guess, asked.last
        asked.token = token
        if page and asked.first is None:
            asked.first = page[0].key
        asked.begun = asked.first is not None or token is None
        if not _is_in_order(before, keys):
            self._stop_cutting()
        if asked.dropped:
            self._wasted += 1
            return
        self._learn(asked, keys, len(page))
        self._file(asked, page)
        if len(asked.beyond) < len(page):
            self._wasted += len(asked.beyond) / self._full
        elif page or was_guess:
            self._wasted += 1  # however few objects it has, it was asked for in vain

    def _learn(self, asked: Range, keys: list[str], objects: int) -> None:
        """Learn from a page how keys look, and how dense they are."""
        self._full = max(self._full, objects)
        if not keys:
            return
        self._alphabets.learn(keys[::LOOKED_AT])
        asked.last = keys[-1]
        asked.seen.append((keys[0], len(keys)))
        if asked.sample is None or len(asked.seen) == FEW_PAGES:
            asked.sample = Sample(asked.seen[0][0], keys[-1], sum(n for _, n in asked.seen) / self._full)

    def _file(self, each: Range, page: Page) -> None:
        """Keep a page as far as it is within the range."""
        within = len(page)
        if each.end is not None:
            within = next((n for n, info in enumerate(page) if _is_behind(info, each.end)), within)
        if within:
            each.pages.append(page[:within] if within < len(page) else page)
        each.beyond = page[within:]
        each.complete = bool(each.beyond) or each.token is None

    def _take_over(self, place: int) -> None:
        """Have a range go on in place of the next one."""
        each, other = self._ranges[place], self._ranges.pop(place + 1)
        other.dropped = True
        each.end = other.end
        beyond, each.beyond = each.beyond, []
        if each.complete:
            self._file(each, beyond)

    def _stop_cutting(self) -> None:
        """List on as one range, from where the reader is: the service does not list in order, or cannot start there."""
        self._can_cut = False
        while len(self._ranges) > 1:
            self._take_over(0)


def _ask(each: Range) -> Range:
    each.under_way = True
    return each


def _is_in_order(before: str, keys: list[str]) -> bool:
    """Tell whether keys are in order, behind one that came before."""
    return not keys or (keys[0] > before and all(one < other for one, other in pairwise(keys)))


def _is_behind(info: ObjectInfo, end: str) -> bool:
    return info.problem is None and info.key > end  # a key that is listed by another has no place


def _goes_on_with(one: Range, other: Range) -> bool:
    """Tell whether a range begins with the very object at which the one before it ended; or both with the listing."""
    return other.first == (one.beyond[0].key if one.beyond else None)
