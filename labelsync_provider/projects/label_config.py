"""Label configs: ready ones by their names, and which keys of a task's `data` they use, for values of which types.

Source of the rules: Label Studio's `core/label_config.py` (`extract_data_types`) and
`tasks/validation.py` (`check_data`), 1.23.2.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from xml.etree import ElementTree

from labelsync_provider.errors import Invalid, invalid
from labelsync_provider.label_configs import READY, read
from labelsync_provider.tasks import shown_keys

LABELS = ("", "Brush", "Ellipse", "HyperText", "KeyPoint", "Paragraph", "Polygon", "Rectangle", "TimeSeries")
TAKES: Mapping[str, tuple[type, ...]] = {
    "Chat": (list, str),
    "Choices": (str, list),
    "Header": (str, int, float),
    "HyperText": (str,),
    "Image": (str, list),
    "List": (list, str),
    "Paragraphs": (list, str),
    "Ranker": (list, str),
    "Table": (dict, list, str),
    "Taxonomy": (str, list, type(None)),
    "Text": (str, int, float, list),
    "TimeSeries": (dict, list, str),
    "TimeSeriesChannel": (dict, list, str),
} | dict.fromkeys((f"{kind}Labels" for kind in LABELS), (str, list))
"""What a tag takes, where that is not only text."""
NAMES = {str: "text", int: "a number", float: "a number", list: "a list", dict: "an object", type(None): "null"}
"""Types of JSON as a message names them."""

REMEDY = "Give XML with a <View> around the tags"


def label_config_of(given: str, parameter: str = "label_config") -> str:
    """Return a label config that is given as XML, or by the name of a ready one.

    :param given: as somebody has written it.
    :param parameter: the parameter that gave it, to be named in errors.
    :raises Invalid: it is neither.
    """
    if given in READY:
        return read(given)
    if given.strip().endswith(".xml"):
        what = "the name of a file, which nobody has read"
        remedy = (
            "Give what stands in it, such as Path(__file__).with_name('street.xml').read_text() in a DAG file. "
            "CreateProjectOperator reads a file that lies beside the DAG file itself, as label_config."
        )
        raise invalid(parameter, given, what, remedy)
    if not given.lstrip().startswith("<"):
        what = "neither XML nor the name of a ready label config"
        raise invalid(parameter, given, what, f"{REMEDY}, or one of {', '.join(READY)}.")
    data_keys(given)
    return given


def is_same(one: str, other: str) -> bool:
    """Tell whether two label configs say the same, however they are indented and commented."""
    try:
        return _canonical(one) == _canonical(other)
    except Invalid:
        return one == other


def _canonical(label_config: str) -> str:
    return ElementTree.canonicalize(ElementTree.tostring(_parsed(label_config), "unicode"), strip_text=True)


class DataKey(NamedTuple):
    """What a label config takes from a task's `data`: `a.b` is `b` in `a`, `pages[{{idx}}].url` the list `pages`."""

    tag: str
    """That shows it."""
    path: tuple[str, ...]
    takes: tuple[type, ...]
    """Types of its value."""


def data_keys(label_config: str) -> dict[str, DataKey]:
    """Return what a label config takes from a task's data, by key, in its order.

    `value="$image"` of a tag with a name is `image`; of several tags for one key the last counts, but for a video.

    :raises Invalid: the label config is no XML.
    """
    root = _parsed(label_config)
    tags: dict[str, str] = {}
    for tag in root.iter():
        if tag is not root and tag.get("name") and (key := _key(tag.get("value", ""))) and tags.get(key) != "Video":
            tags[key] = tag.tag
    return {key: _data_key(key, tag) for key, tag in tags.items()}


def keys_of_lists(label_config: str) -> list[DataKey]:
    """Return what a label config takes from the data to be shown as a list (`valueList`), which no server checks."""
    keys = ((tag.tag, _key(tag.get("valueList", ""))) for tag in _parsed(label_config).iter())
    return [_data_key(key, tag)._replace(takes=(list,)) for tag, key in keys if key]


class Control(NamedTuple):
    """A tag of a label config that takes a label."""

    name: str
    to_name: str
    kind: str
    """In lower case, as the labels call it."""


def controls(label_config: str) -> list[Control]:
    """Return the control tags of a label config, in its order.

    :raises Invalid: the label config is no XML.
    """
    tags = (tag for tag in _parsed(label_config).iter() if tag.get("name") and tag.get("toName"))
    return [Control(tag.get("name", ""), tag.get("toName", ""), tag.tag.lower()) for tag in tags if tag.tag != "Filter"]


def data_problem(keys: Mapping[str, DataKey], data: Mapping[str, Any], title: str) -> str | None:
    """Return why the project of a title would reject a task with this data.

    :param keys: the data keys of its label config.
    """
    for tag, path, takes in keys.values():
        value: Any = data
        for part in path:
            if not isinstance(value, dict) or part not in value:
                name, there = ".".join(path), shown_keys(data)
                return f'"{name}" key is expected in task data by the label config of project {title!r}; it has {there}'
            value = value[part]
        if not isinstance(value, takes):
            wanted = " or ".join(dict.fromkeys(NAMES[kind] for kind in takes))
            is_not = "true or false" if isinstance(value, bool) else NAMES.get(type(value), type(value).__name__)
            name = ".".join(path)
            return f'"{name}" is {is_not}, and <{tag}> in the label config of project {title!r} takes {wanted}'
    return None


def _parsed(label_config: str) -> ElementTree.Element:
    try:
        if "<!DOCTYPE" in label_config:
            raise ElementTree.ParseError("a document type is not allowed")
        # Without a document type there are no entities to expand or to fetch.
        return ElementTree.fromstring(label_config)  # noqa: S314
    except ElementTree.ParseError as error:
        raise invalid("label_config", label_config, str(error), f"{REMEDY}.") from error


def _data_key(key: str, tag: str) -> DataKey:
    name, indexed, _ = key.partition("[")
    return DataKey(tag, tuple(name.split(".")), (list,) if indexed else TAKES.get(tag, (str,)))


def _key(value: str) -> str:
    return value[1:] if re.match(r"\$.", value) else _first_variable(value)


def _first_variable(value: str) -> str:
    found = re.search(r"\$(\w+)", value)
    return found.group(1) if found else ""
