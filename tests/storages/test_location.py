"""Where a storage is, and which paths are in it: for whatever prefixes and keys."""

from hypothesis import example, given
from hypothesis import strategies as st

from labelsync_provider.storages.location import Location

EDGES = ["\0", "/", "a", "b", "\ud7ff", "\ue000", "\uffff", "\U00010000", "\U0010fffe", "\U0010ffff"]
"""Characters at both sides of what is no character, and at both ends of what is one."""

TEXTS = st.text(st.one_of(st.sampled_from(EDGES), st.characters(exclude_categories=["Cs"])), max_size=6)
LOCATIONS = st.builds(Location, st.just("s3://bucket"), st.sampled_from(["", "/", "/data", "/data/in"]), TEXTS, TEXTS)


def at(prefix: str) -> Location:
    return Location("s3://bucket", "https://s3.amazonaws.com", prefix=prefix)


@st.composite
def prefixes_and_keys(draw: st.DrawFn) -> tuple[str, str]:
    """Draw a prefix, and a key that often begins with it, or with nearly the same."""
    prefix = draw(TEXTS)
    return prefix, draw(st.sampled_from([prefix, prefix[:-1], ""])) + draw(TEXTS)


@given(prefixes_and_keys())
@example(("a", "a"))
@example(("", "\U0010ffff"))
@example(("\ud7ff", "\ud7ff\U0010ffff"))
@example(("\ud7ff", "\ue000"))
@example(("a\U0010ffff", "a\U0010ffff\U0010ffff"))
@example(("a\U0010ffff", "b"))
@example(("\U0010ffff", "\U0010ffff"))
@example(("\ud7ff\U0010ffff", "\ue000"))
def test_a_key_begins_with_the_prefix_if_and_only_if_it_is_from_start_to_end(drawn: tuple[str, str]) -> None:
    prefix, key = drawn
    location = at(prefix)
    assert key.startswith(prefix) == (location.start <= key and (location.end is None or key < location.end))


@given(TEXTS)
def test_the_end_is_a_text_that_can_be_written(prefix: str) -> None:
    assert (at(prefix).end or "").encode().decode() == (at(prefix).end or "")


@given(LOCATIONS, TEXTS)
def test_a_path_leads_back_to_its_key(location: Location, rest: str) -> None:
    key = location.prefix + rest
    assert location.key(location.path(key)) == key
    assert location.path(key).startswith(location.start)


@given(LOCATIONS, LOCATIONS)
def test_nesting_is_symmetric(one: Location, other: Location) -> None:
    assert one.is_nested(one)
    assert one.is_nested(other) == other.is_nested(one)
    assert one.is_elsewhere(other) == other.is_elsewhere(one)


@given(prefixes_and_keys())
def test_a_prefix_of_a_prefix_is_nested_and_at_another_endpoint_elsewhere(drawn: tuple[str, str]) -> None:
    one, other = map(at, drawn)
    far = Location(other.container, "https://s3.example.com", prefix=other.prefix)
    shares = other.start.startswith(one.start) or one.start.startswith(other.start)
    assert (one.is_nested(other), one.is_elsewhere(other)) == (shares, False)
    assert (one.is_nested(far), one.is_elsewhere(far)) == (False, shares)


def test_directories_below_document_roots_that_lie_in_one_another_are_nested() -> None:
    assert Location("file://", "/data", "in/").is_nested(Location("file://", "/data/in", "a/"))
    assert not Location("file://", "/data", "in/").is_nested(Location("file://", "/data", "in-2/"))
    assert Location("file://", "/", "data/in/").is_nested(Location("file://", "/data", "in/"))
