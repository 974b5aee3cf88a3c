"""What Airflow finds of the package: entry points, provider info, connection form."""

import json
import re
import tomllib
from importlib import import_module, metadata, resources
from itertools import chain
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from airflow.providers_manager import ProvidersManager
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import labelsync_provider
from labelsync_provider.airflow_compat import conf
from labelsync_provider.get_provider_info import get_provider_info
from labelsync_provider.hooks import installed

PROJECT = tomllib.loads((Path(__file__).resolve().parents[1] / "pyproject.toml").read_text())["project"]
CONSTRAINTS = Path(__file__).resolve().parents[1] / "constraints/mwaa-airflow-3.3.1.txt"
INFO = get_provider_info()
# By kind, what stands in a module that is to be listed.
DEFINING = {
    "hooks": r"^    conn_name_attr = ",
    "operators": r"^class (?!Stoppable)\w+Operator\(",
    "sensors": r"^class (?!Looking)\w+Sensor\(",
    "triggers": r"^class (?!Looking)\w+Trigger\(",
}
STORAGES = PROJECT["entry-points"][installed.STORAGES.name]
CONNECTION_TYPES = {entry["connection-type"]: entry for entry in INFO["connection-types"]}


def load(path: str, separator: str = ".") -> Any:
    module, _, name = path.rpartition(separator)
    return getattr(import_module(module), name)


def schema(name: str) -> dict[str, Any]:
    return json.loads((resources.files("airflow") / name).read_text())


@pytest.mark.parametrize(
    "path", [path for group in PROJECT["entry-points"].values() for path in group.values()], ids=str
)
def test_entry_point_can_be_loaded(path: str) -> None:
    assert callable(load(path, ":"))


def test_entry_point_is_the_one_airflow_looks_for() -> None:
    (found,) = [
        entry
        for entry in metadata.entry_points(group="apache_airflow_provider")
        if entry.dist and entry.dist.name == PROJECT["name"]
    ]
    assert found.load() is get_provider_info


def test_name_of_the_package_is_the_import_name_so_that_airflow_finds_its_dags() -> None:
    assert PROJECT["name"].replace("-", "_") == labelsync_provider.__name__
    assert INFO["package-name"] == PROJECT["name"]


def test_version_is_the_packages() -> None:
    assert metadata.version(PROJECT["name"]) == labelsync_provider.__version__


def test_installing_it_brings_no_cloud_provider() -> None:
    required = [re.split(r"[<>=;\[ ]", requirement)[0] for requirement in PROJECT["dependencies"]]
    assert not [name for name in required if re.search(r"amazon|google|azure|boto|redis|label-studio", name)]


def test_what_a_managed_airflow_pins_is_new_enough() -> None:
    pinned = dict(line.split("==") for line in CONSTRAINTS.read_text().splitlines() if "==" in line and line[0] != "#")
    pinned = {canonicalize_name(name): version for name, version in pinned.items()}
    asked = [*PROJECT["dependencies"], *chain(*PROJECT["optional-dependencies"].values())]
    too_old = [
        requirement
        for requirement in map(Requirement, asked)
        if (version := pinned.get(canonicalize_name(requirement.name))) and version not in requirement.specifier
    ]
    assert too_old == []


def test_all_is_all_extras() -> None:
    extras = PROJECT["optional-dependencies"]
    (everything,) = map(Requirement, extras["all"])
    assert everything.extras == set(extras) - {"all"}


class TestProviderInfo:
    def test_is_what_airflow_expects(self) -> None:
        jsonschema.validate(INFO, schema("provider_info.schema.json"))

    def test_connection_types_are_what_airflow_expects_to_the_letter(self) -> None:
        strict = schema("provider.yaml.schema.json")
        connection_types = strict["properties"]["connection-types"] | {"definitions": strict.get("definitions", {})}
        jsonschema.validate(INFO["connection-types"], connection_types)

    def test_names_only_what_can_be_imported(self) -> None:
        for kind in DEFINING:
            for entry in INFO[kind]:
                for module in entry["python-modules"]:
                    import_module(module)
        for entry in INFO["connection-types"]:
            assert isinstance(load(entry["hook-class-name"]), type)

    @pytest.mark.parametrize("kind", DEFINING)
    def test_leaves_no_module_out(self, kind: str) -> None:
        listed = {module for entry in INFO[kind] for module in entry["python-modules"]}
        folder = Path(labelsync_provider.__file__).parent / kind
        defining = {
            f"labelsync_provider.{kind}.{path.stem}"
            for path in folder.glob("*.py")
            if re.search(DEFINING[kind], path.read_text(), re.MULTILINE)
        }
        by_entry_point = {path.partition(":")[0] for path in STORAGES.values()}
        assert listed == defining - by_entry_point

    @pytest.mark.parametrize("conn_type", CONNECTION_TYPES)
    def test_agrees_with_the_hook(self, conn_type: str) -> None:
        entry = CONNECTION_TYPES[conn_type]
        hook = load(entry["hook-class-name"])
        assert (hook.conn_type, hook.hook_name) == (conn_type, entry["hook-name"])
        assert hook.default_conn_name == f"{conn_type}_default"
        assert callable(hook.test_connection)

    @pytest.mark.parametrize(("scheme", "path"), STORAGES.items())
    def test_storages_agree_with_their_hooks(self, scheme: str, path: str) -> None:
        hook = load(path, ":")
        assert hook.uri_form.startswith(f"{scheme}://")
        assert hook.default_conn_name.endswith("_default")
        assert hook.conn_name_attr in hook(hook.default_conn_name).__dict__

    def test_storages_are_installed_as_they_are_written_down(self) -> None:
        assert {one.name: one.value for one in metadata.entry_points(group=installed.STORAGES.name)} == STORAGES

    def test_database_option_is_one_airflow_knows(self) -> None:
        # Airflow 3.1 learns of a provider's options only where its own commands begin.
        ProvidersManager().initialize_providers_configuration()
        assert conf.get("labelsync", "database") == ""
        assert INFO["config"]["labelsync"]["options"]["database"]["sensitive"] is True


class TestAirflowShows:
    def test_the_provider(self) -> None:
        found = ProvidersManager().providers["labelsync-provider"]
        assert found.version == labelsync_provider.__version__

    def test_the_hook_of_its_connection_type(self) -> None:
        found = ProvidersManager().hooks["label_studio"]
        assert found is not None
        assert found.hook_class_name == "labelsync_provider.hooks.label_studio.LabelStudioHook"
        assert found.connection_id_attribute_name == "label_studio_conn_id"
        assert found.hook_name == "Label Studio"

    @pytest.mark.skipif(
        not hasattr(ProvidersManager, "iter_connection_type_hook_ui_metadata"),
        reason="An older Airflow asks the hook; see test_airflow_compat.py.",
    )
    def test_the_connection_form(self) -> None:
        # As the UI asks, which imports no hook; all of them together take a quarter of a minute.
        (shown,) = [
            form
            for form in ProvidersManager().iter_connection_type_hook_ui_metadata()
            if form.connection_type == "label_studio"
        ]
        form = shown.field_behaviour
        assert form is not None
        assert set(form["hidden_fields"]) == {"port", "schema", "login", "extra"}
        assert form["relabeling"] == {"host": "Server URL", "password": "Token"}
        assert "embedded" in form["placeholders"]["host"]
