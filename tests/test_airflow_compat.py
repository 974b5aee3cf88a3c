"""What stands elsewhere in older Airflows is found, and said of them where they lack it."""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

from labelsync_provider import airflow_compat
from labelsync_provider.get_provider_info import LABEL_STUDIO_FORM
from labelsync_provider.hooks.label_studio import LabelStudioHook


@pytest.mark.parametrize("name", airflow_compat.MODULES)
def test_every_name_is_found(name: str) -> None:
    assert getattr(airflow_compat, name) is not None


@pytest.mark.parametrize("name", airflow_compat.MODULES)
def test_a_name_is_taken_from_where_an_older_airflow_has_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    newest, oldest = airflow_compat.MODULES[name]
    older = ModuleType(oldest)
    setattr(older, name, "the older one")
    monkeypatch.setitem(sys.modules, newest, ModuleType(newest))
    monkeypatch.setitem(sys.modules, oldest, older)
    monkeypatch.delitem(vars(airflow_compat), name, raising=False)
    assert getattr(airflow_compat, name) == "the older one"
    monkeypatch.delitem(vars(airflow_compat), name)


def test_a_name_that_no_airflow_has_is_an_error() -> None:
    with pytest.raises(AttributeError, match=r"airflow_compat' has no attribute 'Nothing'"):
        _ = airflow_compat.Nothing


class Field:
    """Stands where a field of wtforms stands, as in Airflow 3.1, which brings no wtforms itself."""

    def __init__(self, label: str, description: str) -> None:
        self.label, self.description = label, description


class TestTheFormOfAirflow31:
    def test_is_what_the_metadata_say(self) -> None:
        asked = LabelStudioHook.get_ui_field_behaviour()
        assert set(asked) == {"hidden_fields", "relabeling", "placeholders"}
        assert asked["hidden_fields"] == LABEL_STUDIO_FORM["ui-field-behaviour"]["hidden-fields"]

    def test_has_the_fields_of_the_metadata(self, monkeypatch: pytest.MonkeyPatch) -> None:
        wtforms: Any = ModuleType("wtforms")
        wtforms.IntegerField, wtforms.StringField = type("Integer", (Field,), {}), type("String", (Field,), {})
        monkeypatch.setitem(sys.modules, "wtforms", wtforms)
        fields = LabelStudioHook.get_connection_form_widgets()
        kinds = {name: type(field).__name__ for name, field in fields.items()}
        times = {"connect_timeout": "Integer", "read_timeout": "Integer"}
        assert kinds == {"server": "String", "ca_file": "String", **times}
        assert fields["ca_file"].label == "CA file"


def test_the_command_line_of_airflow_31(monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Any) -> None:
    monkeypatch.setenv("AIRFLOW__LABELSYNC__DATABASE", f"sqlite:///{tmp_path}/labelsync.db")
    monkeypatch.setattr(sys, "argv", ["labelsync_provider", "db", "migrate"])
    import_module("labelsync_provider.__main__").main()
    assert "The tables of labelsync were created" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["labelsync_provider", "db"])
    with pytest.raises(SystemExit):
        import_module("labelsync_provider.__main__").main()
    assert "COMMAND" in capsys.readouterr().err
