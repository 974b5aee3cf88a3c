"""Which data keys a label config names, and which of them a task's data lacks."""

import pytest

from labelsync_provider.errors import Invalid
from labelsync_provider.projects.label_config import data_keys, missing_key


@pytest.mark.parametrize(
    ("tags", "keys"),
    [
        ('<Image name="image" value="$image"/>', ["image"]),
        ('<Image name="a" value="$second"/><Text name="b" value="$first"/>', ["second", "first"]),
        ('<Image name="a" value="$image"/><Text name="b" value="$image"/>', ["image"]),
        ('<Text name="a" value="$meta.title"/>', ["meta.title"]),
        ('<Image name="a" value="$list[{{idx}}].url"/>', ["list[{{idx}}].url"]),
        ('<Repeater on="$list"><Image name="i_{{idx}}" value="$list[{{idx}}].url"/></Repeater>', ["list[{{idx}}].url"]),
        ('<View><View><Text name="a" value="$text"/></View></View>', ["text"]),
        ('<Header name="h" value="Read $text aloud"/>', ["text"]),
        # A tag without a name shows something and labels nothing: its value may be missing.
        ('<Header value="$title"/><Image name="a" value="$image"/>', ["image"]),
        ('<Image name="a"/>', []),
        ('<Header name="h" value="Just a text"/>', []),
        ('<Header name="h" value="For 5$"/>', []),
        ("", []),
    ],
)
def test_data_keys_of_a_label_config(tags: str, keys: list[str]) -> None:
    assert data_keys(f"<View>{tags}</View>") == keys


@pytest.mark.parametrize(
    "config", ["", "no XML", "<View>", "<View></View><View></View>", '<!DOCTYPE a [<!ENTITY b "c">]><View>&b;</View>']
)
def test_what_is_no_plain_xml_is_invalid(config: str) -> None:
    with pytest.raises(Invalid, match=r"label_config=.*Give XML"):
        data_keys(config)


def test_a_document_type_is_refused_by_name() -> None:
    with pytest.raises(Invalid, match="document type is not allowed"):
        data_keys('<!DOCTYPE a SYSTEM "file:///etc/passwd"><View/>')


def test_a_long_label_config_is_not_shown_whole() -> None:
    with pytest.raises(Invalid) as caught:
        data_keys("<View>" + "<Header/>" * 10_000)
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize(
    ("keys", "data", "missing"),
    [
        (["image"], {"image": "x"}, None),
        (["image"], {"image": None}, None),
        (["image"], {"picture": "x"}, "image"),
        (["image", "text"], {"image": "x"}, "text"),
        (["a.b"], {"a": {"b": 1}}, None),
        (["a.b"], {"a": {"c": 1}}, "a.b"),
        (["a.b"], {"a": "text"}, "a.b"),
        (["list[{{idx}}].url"], {"list": []}, None),
        (["list[{{idx}}].url"], {"image": "x"}, "list[{{idx}}].url"),
        ([], {}, None),
    ],
)
def test_missing_key_of_data(keys: list[str], data: dict, missing: str | None) -> None:
    assert missing_key(keys, data) == missing
