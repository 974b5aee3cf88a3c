"""Label configs: ready ones by their names, and which keys of a task's `data` they use.

Source of the rules: Label Studio's `core/label_config.py` (`extract_data_types`) and
`tasks/validation.py` (`check_data`), 1.23.2.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from labelsync_provider.errors import invalid
from labelsync_provider.label_configs import READY, read

REMEDY = "Give XML with a <View> around the tags"


def label_config_of(given: str) -> str:
    """Return a label config that is given as XML, or by the name of a ready one.

    :param given: as somebody has written it.
    :raises Invalid: it is neither.
    """
    if given in READY:
        return read(given)
    if not given.lstrip().startswith("<"):
        what = "neither XML nor the name of a ready label config"
        raise invalid("label_config", given, what, f"{REMEDY}, or one of {', '.join(READY)}.")
    data_keys(given)
    return given


def data_keys(label_config: str) -> list[str]:
    """Return the data keys of a label config in its order: `value="$image"` of a tag with a name is `image`.

    :raises Invalid: the label config is no XML.
    """
    try:
        if "<!DOCTYPE" in label_config:
            raise ElementTree.ParseError("a document type is not allowed")
        # Without a document type there are no entities to expand or to fetch.
        root = ElementTree.fromstring(label_config)  # noqa: S314
    except ElementTree.ParseError as error:
        raise invalid("label_config", label_config, str(error), f"{REMEDY}.") from error
    values = [tag.get("value", "") for tag in root.iter() if tag is not root and tag.get("name")]
    keys = [value[1:] if re.match(r"\$.", value) else _first_variable(value) for value in values]
    return list(dict.fromkeys(filter(None, keys)))


def missing_key(keys: Sequence[str], data: Mapping[str, Any]) -> str | None:
    """Return the first key that `data` lacks; `list[{{idx}}].x` needs `list`, `a.b` needs `b` in `a`."""
    for key in keys:
        if key in data:
            continue
        value: Any = data
        for part in key.split("[")[0].split("."):
            if not isinstance(value, Mapping) or part not in value:
                return key
            value = value[part]
    return None


def data_problem(keys: Sequence[str], data: Mapping[str, Any], title: str) -> str | None:
    """Return why the project of a title would reject a task with this data: a key of its label config is missing."""
    key = missing_key(keys, data)
    return key and f'"{key}" key is expected in task data by the label config of project {title!r}'


def _first_variable(value: str) -> str:
    found = re.search(r"\$(\w+)", value)
    return found.group(1) if found else ""
