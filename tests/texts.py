"""Writes what `labelsync_provider.parameter_texts` says into docstrings and the README: python tests/texts.py.

`tests/test_texts.py` fails where one of them says something else.
"""

import inspect
import json
import re
import sys
from importlib.metadata import entry_points
from pathlib import Path
from textwrap import fill
from typing import Any

import labelsync_provider
from labelsync_provider.forms import in_cell
from labelsync_provider.hooks import installed
from labelsync_provider.operators.export_annotations import ExportAnnotationsOperator
from labelsync_provider.operators.import_storage import ImportStorageSyncOperator
from labelsync_provider.operators.label_studio import LabelStudioStorageOperator, LabelStudioSyncOperator
from labelsync_provider.operators.project import CreateProjectOperator
from labelsync_provider.parameter_texts_in_code import text_of
from labelsync_provider.sensors.label_studio import StorageSyncSensor
from labelsync_provider.sensors.project import LabelingProgressSensor
from labelsync_provider.sensors.storage import NewObjectsSensor

STORAGES = Path(labelsync_provider.__file__).with_name("storages.json")
README = Path(__file__).resolve().parents[1] / "README.md"
OPERATORS = (
    ImportStorageSyncOperator,
    ExportAnnotationsOperator,
    CreateProjectOperator,
    LabelStudioStorageOperator,
    LabelStudioSyncOperator,
    NewObjectsSensor,
    LabelingProgressSensor,
    StorageSyncSensor,
)
FIRST = ("file", "s3", "gs", "azure-blob")
"""Schemes that most people use."""
HEAD = "| parameter | default | meaning |\n|---|---|---|\n"
WIDTH = 120


def parameters(operator: Any) -> dict[str, Any]:
    """Return the parameters of an operator or a sensor, less Airflow's, and their defaults, in its order."""
    ours = [kind for kind in operator.__mro__ if kind.__module__.startswith("labelsync_provider.")]
    own = [one for kind in ours for one in inspect.signature(kind.__init__).parameters.values()]
    return {one.name: one.default for one in own if one.kind is inspect.Parameter.KEYWORD_ONLY}


def docstring_lines(operator: type) -> str:
    """Return the `:param` lines of an operator's docstring."""
    texts = (f":param {name}: {text_of(operator, name).for_docstring()}" for name in parameters(operator))
    indents: dict[str, Any] = {"initial_indent": " " * 4, "subsequent_indent": " " * 8}
    return "\n".join(fill(text, WIDTH, **indents, break_long_words=False, break_on_hyphens=False) for text in texts)


def table(operator: type) -> str:
    """Return the table of an operator's parameters."""
    rows = []
    for name, default in parameters(operator).items():
        text = text_of(operator, name)
        shown = (
            ""
            if default is inspect.Parameter.empty
            else f'`"{default}"`'
            if isinstance(default, str)
            else f"`{default}`"
        )
        rows.append(f"| `{name}` | {text.by_default or shown} | {in_cell(text.for_table())} |")
    return HEAD + "\n".join(rows) + "\n"


def with_docstring(source: str, operator: type) -> str:
    """Return a module with the `:param` lines of one of its classes written anew."""
    before, of_class = source.split(f"class {operator.__name__}(", 1)
    lines = docstring_lines(operator).replace("\\", "\\\\")
    return f"{before}class {operator.__name__}(" + re.sub(
        r"    :param .*?\n(?=    \"\"\"|\n)", lambda _: lines + "\n", of_class, count=1, flags=re.DOTALL
    )


def with_tables(readme: str) -> str:
    """Return the README with the tables of parameters written anew, where an operator has one below its heading."""
    for operator in OPERATORS:
        before, heading, after = readme.partition(f"### {operator.__name__}\n")
        part, next_heading, rest = after.partition("\n### ")
        part = re.sub(re.escape(HEAD) + r"(\|.*\n)+", lambda _: table(operator), part, count=1)  # noqa: B023 - called here
        readme = before + heading + part + next_heading + rest
    return readme


def storages() -> str:
    """Return what the texts tell of the package's own storages, as JSON; the simplest one is the first."""
    found = {
        one.name: {"uri": one.load().uri_form, "connection": one.load().default_conn_name}
        for one in entry_points(group=installed.STORAGES.name)
        if one.dist and one.dist.name == labelsync_provider.__name__.replace("_", "-")
    }
    in_order = [*FIRST, *sorted(found.keys() - set(FIRST))]
    return json.dumps({scheme: found[scheme] for scheme in in_order}, indent=2) + "\n"


def main() -> None:
    """Write them. What is written first is told by the others when this runs once more."""
    if STORAGES.read_text() != storages():
        STORAGES.write_text(storages())
        sys.exit("Written: what the texts tell of storages. Run this once more, for docstrings and the README.")
    for operator in OPERATORS:
        path = Path(inspect.getfile(operator))
        path.write_text(with_docstring(path.read_text(), operator))
    README.write_text(with_tables(README.read_text()))


if __name__ == "__main__":
    sys.exit(main())
