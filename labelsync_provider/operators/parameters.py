"""What operators take beside the engine's options, and how both are made; imported when a task runs."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar, get_args

from airflow.sdk import BaseOperator
from msgspec import Meta

from labelsync_provider.errors import invalid
from labelsync_provider.projects.label_studio.storage_options import StorageOptions
from labelsync_provider.projects.naming import StorageType, is_id
from labelsync_provider.sync.options import Options, SecondsAboveZero, make_options

ProjectName = Annotated[int | str, Meta(description="the project's id, or its exact title")]
Title = Annotated[int | str, Meta(description="a title: a string, or a whole number")]
StorageUri = Annotated[str, Meta(description="a storage URI, such as s3://bucket/prefix")]
LabelConfig = Annotated[
    str, Meta(description="a label config: XML, or the name of a ready one, such as image_classification")
]
Sources = Annotated[str | list[str], Meta(description="a storage URI, such as s3://bucket/prefix, or a list of them")]


class ProjectParameters(Options, frozen=True, kw_only=True):
    """What `CreateProjectOperator` takes."""

    title: Title
    label_config: LabelConfig
    description: str = ""
    label_studio_conn_id: str = "label_studio_default"


class ImportParameters(Options, frozen=True, kw_only=True):
    """What `ImportStorageSyncOperator` takes beside `ImportOptions`."""

    source: Sources
    project: ProjectName
    create_if_missing: LabelConfig | None = None
    source_conn_id: str | None = None
    label_studio_conn_id: str = "label_studio_default"
    register_storage: bool | Literal["auto"] = "auto"
    lock_own_sync: bool = False
    allow_static_keys: bool = False
    presign: bool = True
    recursive_scan: bool | None = None
    skip_when_unchanged: bool = False


class ExportParameters(Options, frozen=True, kw_only=True):
    """What `ExportAnnotationsOperator` takes beside `ExportOptions`."""

    project: ProjectName
    target: StorageUri
    target_conn_id: str | None = None
    label_studio_conn_id: str = "label_studio_default"
    skip_when_unchanged: bool = False


class StorageParameters(StorageOptions, Options, frozen=True, kw_only=True):
    """What `LabelStudioStorageOperator` takes beside `StorageOptions`, which it holds."""

    project: ProjectName
    storage: StorageUri
    direction: Literal["import", "export"] = "import"
    storage_conn_id: str | None = None
    label_studio_conn_id: str = "label_studio_default"
    allow_static_keys: bool = False


class OwnStorageParameters(Options, frozen=True, kw_only=True):
    """What names one of Label Studio's own storages: what `StorageSyncSensor` takes."""

    project: ProjectName
    storage: Annotated[int | str, Meta(description="a storage URI, or an id")]
    direction: Literal["import", "export"] = "import"
    storage_type: StorageType | None = None
    storage_conn_id: str | None = None
    label_studio_conn_id: str = "label_studio_default"

    def __post_init__(self) -> None:
        """Check each parameter by itself, and that an id says of which type.

        :raises Invalid: one is not what it can be.
        """
        super().__post_init__()
        if is_id(self.storage) and self.storage_type is None:
            remedy = f"Say which of {', '.join(get_args(StorageType))} the storage {self.storage} is, or give its URI."
            raise invalid("storage_type", None, "no type of storage", remedy)


class SyncParameters(OwnStorageParameters, frozen=True, kw_only=True):
    """What `LabelStudioSyncOperator` takes."""

    timeout: SecondsAboveZero = 3600
    poll_interval: SecondsAboveZero = 10
    deferrable: bool = False


Made = TypeVar("Made", bound=Options)


def options_of(operator: BaseOperator, kind: type[Made]) -> Made:
    """Return options made from the operator's parameters of the same names.

    :raises Invalid: a parameter is not what it can be.
    """
    names = [name for name in kind.__struct_fields__ if name in operator.template_fields]
    return make_options(kind, **{name: _plain(getattr(operator, name)) for name in names})


def _plain(value: Any) -> Any:
    """Return as a list what mapped tasks have pushed: Airflow gives it as a sequence that asks for each."""
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str | bytes | list | tuple) else value
