"""The engine: keeps the ledger, imports, exports, reports; knows no Airflow.

Its public names are imported when they are first used: SQLAlchemy takes time, which a DAG file must not pay.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labelsync_provider.sync.exporting.options import ExportOptions
    from labelsync_provider.sync.exporting.run import export_annotations
    from labelsync_provider.sync.importing.options import ImportOptions
    from labelsync_provider.sync.importing.run import import_storage
    from labelsync_provider.sync.ledger.lease import Owner
    from labelsync_provider.sync.report import ExportReport, ImportReport
    from labelsync_provider.sync.runtime import Runtime

__all__ = [
    "ExportOptions",
    "ExportReport",
    "ImportOptions",
    "ImportReport",
    "Owner",
    "Runtime",
    "export_annotations",
    "import_storage",
]

_MODULES = {
    "ExportOptions": "exporting.options",
    "ExportReport": "report",
    "ImportOptions": "importing.options",
    "ImportReport": "report",
    "Owner": "ledger.lease",
    "Runtime": "runtime",
    "export_annotations": "exporting.run",
    "import_storage": "importing.run",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
