"""Ready label configs: there is a file for each name, and each can be imported into."""

from pathlib import Path

import pytest

import labelsync_provider.label_configs
from labelsync_provider.errors import Invalid
from labelsync_provider.label_configs import READY, read
from labelsync_provider.projects.label_config import data_keys, label_config_of

FOLDER = Path(labelsync_provider.label_configs.__file__).parent


def test_there_are_twelve_each_with_a_file() -> None:
    assert len(READY) == 12
    assert {path.stem for path in FOLDER.glob("*.xml")} == set(READY)


@pytest.mark.parametrize("name", READY)
def test_names_what_is_shown(name: str) -> None:
    assert data_keys(read(name))


@pytest.mark.parametrize("given", READY)
def test_is_known_by_its_name(given: str) -> None:
    assert label_config_of(given) == read(given)


def test_xml_is_taken_as_it_is() -> None:
    assert label_config_of("\n<View/>") == "\n<View/>"


@pytest.mark.parametrize("given", ["", "pictures", "Image Classification", "<View>"])
def test_anything_else_is_refused_with_what_there_is(given: str) -> None:
    with pytest.raises(Invalid, match=rf"label_config='{given}': .* Give XML with a <View> around the tags"):
        label_config_of(given)
