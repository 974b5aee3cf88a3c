r"""`regex_filter`: which keys an expression matches, within a bounded time. It comes from forms, and keys from anybody.

Over a key of forty letters, `(a+)+$` keeps Python's `re` busy for years, and nothing can interrupt it. The `regex`
package takes a time-out. What it would read differently from Python is written so that it does not, or refused: Label
Studio, which matches with `re`, is to choose the same objects. Two differences are left: where case is ignored, Python
takes the Turkish dotless i and I with a dot for i, and `regex` does so for one of them at a time; and to `regex` a mark
that stands by itself behind a letter, as in names of files that macOS writes, belongs to the word (`\w`, `\b`).
"""

import re
import warnings
from time import perf_counter

from labelsync_provider.errors import invalid

LONGEST = 2000
"""Characters of an expression. A key has at most 1,024 bytes on most services, and none needs so long a filter."""
SECONDS_A_KEY = 1.0
"""Of processor time; an expression that makes sense takes microseconds."""
SECONDS_A_MILLION_KEYS = 60.0
REMEDY = "It is a regular expression of Python's, matched from the start of the key."
SIMPLER = "Write it without a repetition within a repetition, such as (a+)+ or (a|aa)*."

_literal_brace = re.compile(r"\\N\{[^}]*\}|\\.|\{(?!\d+(?:,\d*)?\}|,\d*\})", re.DOTALL)
_posix_class = re.compile(r"\[:\^?[a-zA-Z]+:\]")


class RegexFilter:
    """Tells which keys `regex_filter` matches, from their start."""

    def __init__(self, pattern: str | None) -> None:
        """Compile it; None and an empty one match every key.

        :raises Invalid: it is no expression of Python's, or one that this filter does not take.
        """
        check_regex_filter(pattern)
        self._pattern = pattern or ""
        self._keys, self._seconds = 0, 0.0
        if pattern:
            import regex  # costs import time, which a DAG file must not pay

            self._match = regex.compile(_as_python_reads_it(pattern)).match

    def matches(self, key: str) -> bool:
        """Tell whether a key matches.

        :raises Invalid: it took too long to find out.
        """
        if not self._pattern:
            return True
        begun = perf_counter()
        try:
            matches = self._match(key, timeout=SECONDS_A_KEY) is not None
        except (TimeoutError, MemoryError) as error:
            what = f"over the key {key[:200]!r} it does not come to an end within {SECONDS_A_KEY:.0f} s"
            raise invalid("regex_filter", self._pattern, what, SIMPLER) from error
        self._keys += 1
        self._seconds += perf_counter() - begun
        if self._seconds > SECONDS_A_MILLION_KEYS * (1 + self._keys / 1_000_000):
            what = f"it took {self._seconds:.0f} s for {self._keys} keys"
            raise invalid("regex_filter", self._pattern, what, SIMPLER)
        return matches


def check_regex_filter(pattern: str | None) -> None:
    """Make sure that Python takes an expression, and that its matching can be bounded.

    :raises Invalid: it does not compile, is too long, or has a POSIX class, which Python does not know.
    """
    if not pattern:
        return
    if len(pattern) > LONGEST:
        what = f"{len(pattern):,} characters, and {LONGEST:,} at most are taken"
        raise invalid("regex_filter", pattern, what, REMEDY)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of sets that a later Python may read differently
            re.compile(pattern)
    except RecursionError:
        raise invalid("regex_filter", pattern, "it has too many brackets within brackets", SIMPLER) from None
    except (re.error, OverflowError) as error:
        raise invalid("regex_filter", pattern, str(error), REMEDY) from error
    if posix := _posix_class.search(pattern):
        what = f"Python has no {posix.group()}: it would take it for a set of these letters"
        raise invalid("regex_filter", pattern, what, "Write the letters out, such as [A-Za-z0-9].")


def _as_python_reads_it(pattern: str) -> str:
    """Escape the braces that are no repetition: to Python they stand for themselves, to `regex` for a fuzzy match."""
    return _literal_brace.sub(lambda found: found.group() if found.group() != "{" else r"\{", pattern)
