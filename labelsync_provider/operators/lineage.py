"""Lineage: which datasets a task has read and written, as OpenLineage names them.

Rule: https://openlineage.io/docs/spec/naming. It has no names for what some servers hold, Label Studio among them;
theirs are made alike.
"""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.openlineage.extractors import OperatorLineage

    from labelsync_provider.operators.accounting import Run
    from labelsync_provider.storages.location import Location

Name = tuple[str, str]
"""Namespace and name."""


def openlineage_of(runs: "Sequence[Run]") -> "OperatorLineage":
    """Return the datasets of some runs; of dry runs, none. Only OpenLineage's own provider asks for them."""
    from airflow.providers.common.compat.openlineage.facet import Dataset
    from airflow.providers.openlineage.extractors import OperatorLineage

    sources, targets = datasets_of(runs)
    inputs = [Dataset(namespace=namespace, name=name) for namespace, name in sources]
    outputs = [Dataset(namespace=namespace, name=name) for namespace, name in targets]
    return OperatorLineage(inputs=inputs, outputs=outputs)


def datasets_of(runs: "Sequence[Run]") -> tuple[list[Name], list[Name]]:
    """Return the names of what runs have read, and of what they have written."""
    read, written = list[Name](), list[Name]()
    for run in runs:
        if not run.dry_run:
            storage, project = storage_name(run.storage.location), project_name(run.project.url or run.project.uri)
            source, target = (storage, project) if run.direction == "import" else (project, storage)
            read.append(source)
            written.append(target)
    return list(dict.fromkeys(read)), list(dict.fromkeys(written))


def storage_name(location: "Location") -> Name:
    """Return the name of what is below a storage's prefix."""
    scheme, _, container = location.container.partition("://")
    below = location.start.strip("/")
    if scheme == "file":
        return "file", f"{location.endpoint.rstrip('/')}/{below}".rstrip("/") or "/"
    if scheme == "azure-blob":
        account = (urlsplit(location.endpoint).hostname or "").partition(".")[0]
        return f"wasbs://{container}@{account}.dfs.core.windows.net", below or "/"
    if "://" not in location.endpoint:
        # A server's host and port: its databases and directories have the same names on every one.
        return f"{scheme}://{location.endpoint}", f"{container}/{below}".rstrip("/") or "/"
    return location.container, below or "/"


def project_name(address: str) -> Name:
    """Return the name of a project, which is the end of its address."""
    scheme, _, rest = address.partition("://")
    server, _, number = rest.rpartition("projects/")
    if not server:
        return f"labelsync-{scheme}", f"projects/{number}"
    scheme = "label-studio" if scheme in ("http", "https") else scheme
    return f"{scheme}://{server.rstrip('/')}", f"projects/{number}"
