"""Guessing where a range of keys may be cut, from keys that have been seen. A guess that is wrong costs a page.

Keys are read as numbers, whose digits at a place are the characters that keys have there. Where keys count up, as dates
and ids do, that is exact; elsewhere it is as good as the next page makes it.
"""

from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple

LOOKED_AT = 32
"""Of so many keys one is looked at."""
FINEST = 1e-14
"""Part of a range that is still told apart: a float does not tell much smaller ones."""
LEAST_PAGES = 6
"""A range with fewer pages is not cut. The next page of it is under way already."""
MOST_CHARACTERS = 512
"""At a place: names in Chinese have tens of thousands, which tell no more than some of them, and take time to sort."""
MARGIN = 0.05
"""Of a page, by which a cut is nearer than whole pages: a page that is one object short costs a request."""


class Kind(NamedTuple):
    """Characters of which one that is seen tells that the others may come at its place too."""

    first: str
    last: str
    told_by: str
    """The first of those that tell so."""
    step: int = 1


KINDS = (
    Kind("0", "9", "0"),
    Kind("A", "F", "A"),  # of a hexadecimal number, if no other letter is there
    Kind("A", "Z", "G"),
    Kind("a", "f", "a"),
    Kind("a", "z", "g"),
    Kind("\u0400", "\u04ff", "\u0400"),  # Cyrillic
    Kind("\u3040", "\u30ff", "\u3040"),  # Japanese
    Kind("\u4e00", "\u9fff", "\u4e00", 64),  # Chinese
    Kind("\uac00", "\ud7a3", "\uac00", 64),  # Korean
)


class Sample(NamedTuple):
    """What some pages show of how dense keys are."""

    first: str
    last: str
    pages: float
    """How many full ones they would fill."""


class Alphabets:
    """Which characters keys have, at each place behind a prefix."""

    def __init__(self, prefix: str) -> None:
        self._start = len(prefix)
        self._seen: list[set[str]] = []
        self._steps: list[int] = []
        """Only characters whose number can be divided by this are looked at, once there were too many."""
        self._alphabets: list[str | None] = []

    def learn(self, keys: Iterable[str]) -> None:
        """Look at some keys."""
        for key in keys:
            behind = key[self._start :]
            while len(self._seen) < len(behind):
                self._seen.append({behind[len(self._seen)]})
                self._steps.append(1)
                self._alphabets.append(None)
            for place, character in enumerate(behind):
                seen = self._seen[place]
                if character not in seen and ord(character) % self._steps[place] == 0:
                    seen.add(character)
                    self._alphabets[place] = None
                    if len(seen) > MOST_CHARACTERS:
                        self._steps[place] = step = 2 * self._steps[place]
                        self._seen[place] = {one for one in seen if ord(one) % step == 0} or {character}

    def guess(self, low: str, high: str | None, sample: Sample) -> str | None:
        """Return a text between two keys, at which the keys between them may be cut; None to leave them whole.

        :param low: the last key that is listed.
        :param high: the end of what is to be listed; None if it is not known.
        :param sample: some pages before `low`.
        """
        found = self._beyond(low, sample) if high is None else self._within(low, high, sample)
        return found if found is not None and low < found and (high is None or found < high) else None

    def _within(self, low: str, high: str, sample: Sample) -> str | None:
        """Return about the middle, a number of whole pages behind `low`."""
        shared = _shared(sample.first, high)
        page = (self._value(sample.last, shared) - self._value(sample.first, shared)) / sample.pages
        between = self._value(high, shared) - self._value(low, shared)
        part = 0.5
        if page > 0:
            pages = between / page
            if pages < LEAST_PAGES:
                return None
            part = (max(1, pages // 2) - MARGIN) / pages
        shared = _shared(low, high)
        begin, end = self._value(low, shared), self._value(high, shared)
        return self._text(low[:shared], begin + part * (end - begin))

    def _beyond(self, low: str, sample: Sample) -> str | None:
        """Return a text that is twice as far from the sample as `low`: the end is found in a few such steps."""
        shared = _shared(sample.first, low)
        while shared >= self._start:
            begin, end = self._value(sample.first, shared), self._value(low, shared)
            if begin < end and (guess := end + (1 - MARGIN) * (end - begin)) < 1:
                return self._text(low[:shared], guess)
            shared -= 1
        return None

    def _value(self, key: str, shared: int) -> float:
        """Return which part of the keys that begin as this one does comes before it."""
        value, scale = 0.0, 1.0
        for place in range(shared, min(len(key), len(self._seen) + self._start)):
            alphabet = self._alphabet(place)
            scale /= len(alphabet)
            value += scale * min(bisect_left(alphabet, key[place]), len(alphabet) - 1)
            if scale < FINEST:
                break
        return value

    def _text(self, beginning: str, value: float) -> str:
        text, scale = beginning, 1.0
        for place in range(len(beginning), len(self._seen) + self._start):
            alphabet = self._alphabet(place)
            digit = min(int(value * len(alphabet)), len(alphabet) - 1)
            text += alphabet[digit]
            value = value * len(alphabet) - digit
            scale /= len(alphabet)
            if scale < FINEST:
                break
        return text

    def _alphabet(self, place: int) -> str:
        """Return the characters that keys may have at a place, in order: a digit tells of all digits."""
        place -= self._start
        alphabet = self._alphabets[place]
        if alphabet is None:
            seen = self._seen[place]
            kinds = (kind for kind in KINDS if any(kind.told_by <= character <= kind.last for character in seen))
            others = (map(chr, range(ord(kind.first), ord(kind.last) + 1, kind.step)) for kind in kinds)
            alphabet = "".join(sorted(seen.union(*others)))
            self._alphabets[place] = alphabet
        return alphabet


def _shared(one: str, other: str) -> int:
    """Return how many characters two texts begin with alike."""
    shorter = min(len(one), len(other))
    return next((n for n in range(shorter) if one[n] != other[n]), shorter)
