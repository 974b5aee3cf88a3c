"""What parameters mean is said once: docstrings and the README say it in the same words."""

import inspect
from pathlib import Path
from typing import Any

import pytest
from texts import OPERATORS, README, STORAGES, parameters, storages, table, with_docstring, with_tables

from labelsync_provider.hooks.redis import RedisStorageHook
from labelsync_provider.hooks.storage import storage_hook
from labelsync_provider.parameter_texts import PARAMETERS
from labelsync_provider.parameter_texts_in_code import text_of

REMEDY = "labelsync_provider/parameter_texts.py says something else. Change it there, and run: python tests/texts.py"


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.__name__)
class TestOperator:
    def test_docstring_is_that_of_the_texts(self, operator: type) -> None:
        source = Path(inspect.getfile(operator)).read_text()
        assert source == with_docstring(source, operator), REMEDY

    def test_docstring_names_every_parameter(self, operator: type) -> None:
        assert all(f":param {name}:" in (operator.__doc__ or "") for name in parameters(operator))

    def test_defaults_are_those_of_the_texts(self, operator: type) -> None:
        for name, default in parameters(operator).items():
            required = default is inspect.Parameter.empty
            if name != "label_config":  # of a form, it is not required: there are ready ones
                assert text_of(operator, name).required == required, name
            if not required:
                assert text_of(operator, name).default == default, name

    def test_every_none_is_explained(self, operator: type) -> None:
        for name, default in parameters(operator).items():
            text = text_of(operator, name)
            assert default is not None or text.by_default or None in text.choices, name


def test_storages_are_those_of_the_entry_points() -> None:
    assert STORAGES.read_text() == storages(), REMEDY


def test_tables_of_the_readme_are_those_of_the_texts() -> None:
    readme = README.read_text()
    assert all(table(operator) in readme for operator in OPERATORS[:2]), REMEDY
    assert readme == with_tables(readme), REMEDY


@pytest.mark.parametrize(("uri", "key"), [("redis://1/labels/", "labels/7.json"), ("redis://1/labels", "labels7.json")])
def test_redis_targets_get_the_keys_that_the_text_shows(connect: Any, uri: str, key: str) -> None:
    connect("redis_default", conn_type="redis", host="redis.example.com")
    text = RedisStorageHook.get_target.__doc__ or ""
    assert f"`{uri}`" in text
    assert f"`{key}`" in text
    assert storage_hook("target", uri, None).get_target(uri).location.prefix + "7.json" == key


def test_every_none_is_explained() -> None:
    unexplained = [
        name
        for name, text in PARAMETERS.items()
        if text.default is None and not (text.required or text.by_default or None in text.choices)
    ]
    assert unexplained == ["label_config"]
