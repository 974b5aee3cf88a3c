"""What sensors take, and what of it a trigger gets; imported when a task runs."""

from typing import Annotated, Any, Literal

import msgspec
from airflow.sdk import BaseSensorOperator
from msgspec import Meta

from labelsync_provider.errors import invalid
from labelsync_provider.operators.parameters import LabelConfig, ProjectName, Sources, options_of
from labelsync_provider.sync import ImportOptions
from labelsync_provider.sync.options import AtLeastOne, Options, Seconds

ShareAboveZero = Annotated[float, Meta(gt=0, le=1)]


class NewObjectsParameters(Options, frozen=True, kw_only=True):
    """What `NewObjectsSensor` takes beside options of the import."""

    source: Sources
    project: ProjectName
    create_if_missing: LabelConfig | None = None
    source_conn_id: str | None = None
    label_studio_conn_id: str = "label_studio_default"
    recursive_scan: bool | None = None
    min_objects: AtLeastOne = 1
    settle_seconds: Seconds = 0


class LabelingProgressParameters(Options, frozen=True, kw_only=True):
    """What `LabelingProgressSensor` takes."""

    project: ProjectName
    min_annotated: AtLeastOne | None = None
    min_share: ShareAboveZero | None = None
    min_new: AtLeastOne | None = None
    since: Literal["last_export"] = "last_export"
    target: str | None = None
    target_conn_id: str | None = None
    label_studio_conn_id: str = "label_studio_default"

    def __post_init__(self) -> None:
        """Check each parameter by itself, then those that depend on another.

        :raises Invalid: one is not what it can be.
        """
        super().__post_init__()
        if self.min_annotated is self.min_share is self.min_new is None:
            remedy = "Give min_annotated (tasks), min_share (0.8 is 80 %) or min_new (tasks since the last export)."
            raise invalid("min_annotated", None, "there is nothing to wait for", remedy)
        if self.min_new is not None and self.target is None:
            remedy = "Give the storage URI that ExportAnnotationsOperator writes to: new is what it has not written."
            raise invalid("target", None, "min_new counts since the last export, and of which is not said", remedy)


def plain_parameters(sensor: BaseSensorOperator, kind: type[Options]) -> dict[str, Any]:
    """Return parameters as a trigger keeps them.

    :raises Invalid: one is not what it can be.
    """
    plain: dict[str, Any] = msgspec.to_builtins(options_of(sensor, kind))
    return plain


def plain_import_options(sensor: BaseSensorOperator) -> dict[str, Any]:
    """Return those options of an import that the sensor has.

    :raises Invalid: one is not what it can be.
    """
    options = options_of(sensor, ImportOptions)
    return {name: getattr(options, name) for name in options.__struct_fields__ if name in sensor.template_fields}
