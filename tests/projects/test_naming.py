"""Titles: what every store makes of one, and what none takes."""

import re

import pytest

from labelsync_provider.errors import Invalid
from labelsync_provider.projects.naming import title_of


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Pets", "Pets"),
        (" Pets \n", "Pets"),
        ("\u00a0Pets\u2028", "Pets"),
        ("\x1cPets\x85", "Pets"),
        ("\u200bPets", "\u200bPets"),
        ("Pets\nand  cars", "Pets\nand  cars"),
        ("e\u0301", "e\u0301"),
        ("\u00e9", "\u00e9"),
        ("\U0001f600", "\U0001f600"),
        (2026, "2026"),
        (" \n", ""),
    ],
    ids=ascii,
)
def test_a_title_is_kept_as_label_studio_keeps_it(given: int | str, kept: str) -> None:
    assert title_of(given) == kept
    assert title_of(kept) == kept


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (True, "title=True: a title is a text, this is a bool. Put it in quotes."),
        (1.5, "title=1.5: a title is a text, this is a float."),
        (None, "title=None: a title is a text, this is a NoneType."),
        ("a\0b", "there is a NUL character in it. Leave it out."),
        ("a\ud800b", "half of a surrogate pair in it is no character."),
    ],
    ids=ascii,
)
def test_what_no_store_could_keep_is_refused(given: object, said: str) -> None:
    with pytest.raises(Invalid, match=re.escape(said)):
        title_of(given)  # type: ignore[arg-type]
