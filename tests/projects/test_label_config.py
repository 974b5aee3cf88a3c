"""Which data keys a label config names, and which of them a task's data lacks."""

import re

import pytest

from labelsync_provider.errors import Invalid
from labelsync_provider.projects.label_config import data_keys, data_problem


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
    assert list(data_keys(f"<View>{tags}</View>")) == keys


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


def test_of_two_tags_for_one_key_the_last_says_what_it_takes_unless_one_is_a_video() -> None:
    text, video = '<Text name="t" value="$a"/>', '<Video name="v" value="$a"/>'
    for tags, shown in (
        (f'{text}<Image name="i" value="$a"/>', "Image"),
        (video + text, "Video"),
        (text + video, "Video"),
    ):
        assert [key.tag for key in data_keys(f"<View>{tags}</View>").values()] == [shown]


# All of what a server says is in test_label_config_templates.
@pytest.mark.parametrize(
    ("tags", "data", "problem"),
    [
        ('<Image name="0" value="$image"/>', {"image": "x"}, None),
        ('<Image name="0" value="$image"/>', {"image": None}, '"image" is null, and <Image> in .* takes text or a li'),
        ('<Image name="0" value="$image"/>', {"picture": "x"}, '"image" key is expected .* it has .picture.$'),
        ('<Image name="0" value="$image"/>', dict.fromkeys("bcdefghi"), "it has 'b', 'c', 'd', 'e', 'f', and 3 more$"),
        ('<Image name="0" value="$image"/>', {}, "it has nothing$"),
        ('<Image name="0" value="$image"/><Text name="1" value="$text"/>', {"image": "x"}, '"text" key is expected'),
        ('<HyperText name="0" value="$html"/>', {"html": ["x"]}, '"html" is a list, and <HyperText> in .* takes text$'),
        ('<Text name="0" value="$text"/>', {"text": True}, None),
        ('<Audio name="0" value="$text"/>', {"text": True}, '"text" is true or false'),
        ('<Text name="0" value="$text"/>', {"text": {}}, '"text" is an object, and <Text> in .* takes text or a num'),
        ('<Text name="0" value="$a.b"/>', {"a": {"b": 1}}, None),
        ('<Text name="0" value="$a.b"/>', {"a.b": 1}, '"a.b" key is expected'),
        ('<Text name="0" value="$a.b"/>', {"a": "text"}, '"a.b" key is expected'),
        ('<Image name="0" value="$list[{{idx}}].url"/>', {"list": []}, None),
        ('<Image name="0" value="$list[{{idx}}].url"/>', {"list": "x"}, '"list" is text, and .* takes a list$'),
        ("", {}, None),
    ],
)  # fmt: skip
def test_data_that_a_label_config_cannot_show(tags: str, data: dict, problem: str | None) -> None:
    said = data_problem(data_keys(f"<View>{tags}</View>"), data, "Pets")
    assert said is None if problem is None else said and re.search(problem, said)
