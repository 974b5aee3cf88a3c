"""The sensors' parameters: templated, explained, and the same as are declared for their checks."""

import inspect
from typing import Any

import pytest
from msgspec.structs import fields

from labelsync_provider.operators.parameters import OwnStorageParameters
from labelsync_provider.sensors.label_studio import StorageSyncSensor
from labelsync_provider.sensors.parameters import LabelingProgressParameters, NewObjectsParameters
from labelsync_provider.sensors.project import LabelingProgressSensor
from labelsync_provider.sensors.storage import NewObjectsSensor
from labelsync_provider.sync import ImportOptions

SENSORS = {
    NewObjectsSensor: NewObjectsParameters,
    LabelingProgressSensor: LabelingProgressParameters,
    StorageSyncSensor: OwnStorageParameters,
}
# Airflow's own, which it checks when the DAG file is read.
NOT_TEMPLATED = {"max_wait"}
REQUIRED = inspect.Parameter.empty


def own_parameters(sensor: Any) -> dict[str, Any]:
    signature = inspect.signature(sensor.__init__)
    return {name: found.default for name, found in signature.parameters.items() if name not in ("self", "kwargs")}


@pytest.mark.parametrize("sensor", SENSORS, ids=lambda sensor: sensor.__name__)
class TestParameters:
    def test_are_templated(self, sensor: Any) -> None:
        assert set(sensor.template_fields) == own_parameters(sensor).keys() - NOT_TEMPLATED

    def test_are_rendered(self, sensor: Any) -> None:
        made = sensor(task_id="task", **dict.fromkeys(sensor.template_fields, "{{ what }}"))
        made.render_template_fields({"what": "rendered"})
        assert {getattr(made, name) for name in sensor.template_fields} == {"rendered"}

    def test_are_those_that_are_declared(self, sensor: Any) -> None:
        declared = {field.name: REQUIRED if field.required else field.default for field in fields(SENSORS[sensor])}  # type: ignore[arg-type]
        of_the_import = {field.name: field.default for field in fields(ImportOptions)}
        for name, default in own_parameters(sensor).items():
            if name not in NOT_TEMPLATED:
                assert (declared | of_the_import)[name] == default, name
        assert declared.keys() <= own_parameters(sensor).keys()

    def test_are_explained_in_the_docstring(self, sensor: Any) -> None:
        for name in [*own_parameters(sensor), "deferrable"]:
            assert f":param {name}: " in str(sensor.__doc__)
