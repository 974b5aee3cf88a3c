"""What operators take beside the engine's options, and how both are made; imported when a task runs."""

from typing import Annotated, TypeVar

from airflow.sdk import BaseOperator
from msgspec import Meta

from labelsync_provider.sync.options import Options, make_options

ProjectName = Annotated[int | str, Meta(description="the project's id, or its exact title")]
StorageUri = Annotated[str, Meta(description="a storage URI, such as s3://bucket/prefix")]


class ImportParameters(Options, frozen=True, kw_only=True):
    """What `ImportStorageSyncOperator` takes beside `ImportOptions`."""

    source: StorageUri
    project: ProjectName
    source_conn_id: str | None = None
    label_studio_conn_id: str = "label_studio_default"
    register_storage: bool = False
    presign: bool = True
    recursive_scan: bool | None = None


class ExportParameters(Options, frozen=True, kw_only=True):
    """What `ExportAnnotationsOperator` takes beside `ExportOptions`."""

    project: ProjectName
    target: StorageUri
    target_conn_id: str | None = None
    label_studio_conn_id: str = "label_studio_default"


Made = TypeVar("Made", bound=Options)


def options_of(operator: BaseOperator, kind: type[Made]) -> Made:
    """Return options made from the operator's parameters of the same names.

    :raises Invalid: a parameter is not what it can be.
    """
    names = [name for name in kind.__struct_fields__ if name in operator.template_fields]
    return make_options(kind, **{name: getattr(operator, name) for name in names})
