"""What `regex_filter` matches is what Python's `re` matches, and it comes to an end."""

# ruff: noqa: RUF001 - these letters are meant

import re
import warnings
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from labelsync_provider.errors import Invalid
from labelsync_provider.regex_filter import RegexFilter

KEYS = [
    "", "a", "b.jpg", "photos/IMG_0001.JPG", "photos/2024/05/b.png", "x{1}", "a{e<=1}", "a{2,}", "{}", "a b", "aa\n",
    "a\nb", "Straße", "STRASSE", "straße.jpg", "été", "E\u0301te\u0301", "ПРИВЕТ", "привет", "Σίσυφος", "σίσυφοσ",
    "Kelvin", "K", "ſ", "s", "İ", "i", "ı", "I", "٣", "3", "写真/猫.png", "😀.txt", "a\u2028b", "\xa0", "_", "-", "\\",
    "[", "]", "^", "a-b", "a]b", "ﬀ", "ff", "ǅ", "ǆ",
]  # fmt: skip
PATTERNS = [
    ".*[.](jpe?g|png)$", r".*\.(?i:jpg)", r"(?i).*\.jpg$", "(?i)straße", "(?i)STRASSE", "(?i)привет", "(?i)σίσυφος",
    "(?i)kelvin", "(?i)[k]", "(?i)s", "(?i)i", "(?i)I", "(?i)ﬀ", "(?i)ǆ", r"\w+", r"\W", r"\d", r"\s", r"(?a)\w+",
    r"(?a)\d", r"\b\w", r"a\B", "x{1}", "a{e<=1}", "(?:a){e}", "a{2,}", "a{,2}", "a{,}", "a{}", "{}", "a{ 1}",
    "a{1, 2}", "a{1", "[{]", "[}{]", r"\{\}", r"\\{1}", "[a-b]", "[]a]", "[^]a]", r"[a\]b]", "[a-]", "[-a]", "[[]",
    "[[a]", "[a&&b]", "[a||b]", "[a--b]", "[a~~b]", r"\N{DIGIT THREE}", "(?P<n>a)(?P=n)", r"(a)\1", "(?:a|b)*",
    "(?>a+)b", "a++", "a*+", "a?+", "(?<=x)a", "(?<!x)a", "(?=a)", "(?!a)", "(?#no)a", "(a)?(?(1)a|b)",
    r"(?x) a \  b # c", "(?s)a.b", "a.b", "(?m)^a$", "a$", r"a\Z", r"\Aa", "^a", r"\x61", r"\u0061", r"\U00000061",
    r"\141", r"\0", "a|", "|a", "()", r"[\w-]+", r"[\d\-a]", r"[^\W\d_]+", ".", r"\.", r"\/", r"\-", "é", "(?i)É",
    "été", "[а-я]+", "(?i)[а-я]+", "[😀]", "(?i)[ß]", "(?i)ß", r"\p", r"\h", r"\K", r"\R", r"\X", r"\m", r"\G", "(?R)",
    "(?|a)", "(?V1)a", "(?b)a", "(?e)a", "(?r)a", "(?p)a", "(?<n>a)", r"\L<n>", r"\g<1>", "(?&n)", "(?u)a", "(?L)a",
    "(?i-s:a)", "(?-i:a)", "a(?i)", "*", "a**", "a{2}{3}", "(", "[", "\\\\", "a\\", "[b-a]", "(?P<1>a)", "a{3,2}",
    "a{99999999999}",
]  # fmt: skip
TURKISH = "ıİ"
"""A known difference, with case ignored."""
WITH_MARKS = "E\u0301te\u0301"
"""The other one, with what asks for words."""


def python_says(pattern: str, key: str) -> bool | None:
    """Return whether a key matches by `re`; None if that does not take the pattern."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return re.match(pattern, key) is not None
        except (re.error, OverflowError, ValueError):
            return None


@pytest.mark.parametrize("pattern", PATTERNS)
def test_it_says_what_python_says(pattern: str) -> None:
    try:
        matches = RegexFilter(pattern).matches
    except Invalid:
        assert python_says(pattern, "") is None
        return
    keys = [key for key in KEYS if key not in TURKISH or "(?i)" not in pattern]
    assert {key: matches(key) for key in keys} == {key: python_says(pattern, key) for key in keys}


ATOMS = st.sampled_from(
    [
        *"aAbßéſKks.^$-_{}[](),|?*+ \\1",
        r"\w",
        r"\d",
        r"\b",
        r"[a-z]",
        r"[^a]",
        "(?:",
        "(?i)",
        "{1}",
        "{,2}",
        "{e}",
        r"\Z",
        "(?=",
        "(?!",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(ATOMS, min_size=1, max_size=8).map("".join), st.sampled_from(sorted({*KEYS} - {*TURKISH, WITH_MARKS})))
@example("a{e}", "a{e}")
def test_generated_ones_too(pattern: str, key: str) -> None:
    try:
        said = RegexFilter(pattern).matches(key)
    except Invalid:
        assert python_says(pattern, key) is None or "[:" in pattern
    else:
        assert said == python_says(pattern, key)


@pytest.mark.parametrize(
    ("pattern", "key"),
    [
        (r"(a|aa)+$", "a" * 60 + "b"),
        (r"^(.*?,){25}P", "1," * 30),
    ],
)
def test_what_takes_too_long_is_refused(
    pattern: str, key: str, monkeypatch: pytest.MonkeyPatch, processor_seconds: Callable[[], float]
) -> None:
    monkeypatch.setattr("labelsync_provider.regex_filter.SECONDS_A_KEY", 0.1)
    with pytest.raises(Invalid, match=r"regex_filter=.*over the key '.*' it does not come to an end.*Write it without"):
        RegexFilter(pattern).matches(key)
    assert processor_seconds() < 5


def test_a_key_each_just_below_the_limit_is_too_much_in_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labelsync_provider.regex_filter.SECONDS_A_MILLION_KEYS", 0.001)
    filtered = RegexFilter(r"(a|b)*c")
    with pytest.raises(Invalid, match=r"it took 0 s for \d+ keys"):
        any(filtered.matches("ab" * 50) for _ in range(100_000))


@pytest.mark.parametrize("pattern", ["(" * 200_000, "(" * 900 + ")" * 900, "[[:alpha:]]+", "[[:^digit:]x]", "a" * 2001])
def test_what_cannot_be_bounded_or_compared_is_refused(pattern: str, processor_seconds: Callable[[], float]) -> None:
    with pytest.raises(Invalid, match="regex_filter="):
        RegexFilter(pattern)
    assert processor_seconds() < 1
