"""What a task tells beside its report: in the log, what is about to happen and where to look; metrics; lineage."""

import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from labelsync_provider import __version__

if TYPE_CHECKING:
    from labelsync_provider.projects.protocol import Annotated, Project
    from labelsync_provider.storages.protocol import Storage
    from labelsync_provider.sync.report import ExportReport, ImportReport

log = logging.getLogger(__name__)

LONGEST_ASSET = 1500
"""Characters of an asset's name in Airflow. One that is longer has no lineage: no run fails for that."""
LONGEST_TAG = 100
UNSAFE = re.compile(r"[^A-Za-z0-9_./-]+")
"""What means something in the protocols of StatsD: a colon, a comma, an equals sign, a bar."""
COUNTED = {
    "listed": "objects_listed",
    "tasks_created": "tasks_created",
    "tasks_updated": "tasks_updated",
    "tasks_deleted": "tasks_deleted",
    "written": "annotations_written",
    "failed": "annotations_failed",
}
"""The counters, by what a report calls them."""


@dataclass(frozen=True)
class Run:
    """An import or an export between a storage and a project."""

    direction: Literal["import", "export"]
    hook: Any
    """Of the storage."""
    storage: "Storage"
    project: "Project | Annotated"
    label_studio_conn_id: str
    dry_run: bool

    def announce(self) -> None:
        """Log what is about to happen."""
        storage = f"{self.storage.uri} (connection {getattr(self.hook, self.hook.conn_name_attr)!r})"
        project = f"project {self.project.title!r}, {self._where()} (connection {self.label_studio_conn_id!r})"
        importing = self.direction == "import"
        log.info(
            "%s %s %s, by labelsync-provider %s.%s",
            "Importing" if importing else "Exporting",
            f"{storage} into" if importing else f"{project} to",
            project if importing else storage,
            __version__,
            " A dry run: nothing is written." if self.dry_run else "",
        )

    def _where(self) -> str:
        from labelsync_provider.projects.embedded.project import EMBEDDED_STORE
        from labelsync_provider.projects.planned import PlannedProject

        if isinstance(self.project, PlannedProject):
            return "which is not there yet"
        in_the_embedded = ", in the embedded store" if self.project.uri.startswith(f"{EMBEDDED_STORE}/") else ""
        return self.project.url or f"{self.project.uri}{in_the_embedded}"

    def account(self, report: "ImportReport | ExportReport") -> None:
        """Send the metrics of a complete run, and add its assets to the lineage of the task; not of a dry run."""
        if not self.dry_run:
            self._send_metrics(report)
            self._add_lineage()

    def _send_metrics(self, report: "ImportReport | ExportReport") -> None:
        from labelsync_provider.airflow_compat import Stats

        tags = {
            "direction": self.direction,
            "source" if self.direction == "import" else "target": tag(self.storage.uri),
            "project": tag(self.project.uri),
        }
        for field, metric in COUNTED.items():
            if count := getattr(report, field, 0):
                Stats.incr(f"labelsync.{metric}", count, tags=tags)
        for kind, count in report.requests.items():
            Stats.incr("labelsync.requests", count, tags={**tags, "kind": tag(kind)})
        if self.direction == "import":
            Stats.gauge("labelsync.quarantined", report.quarantined, tags=tags)  # type: ignore[union-attr]
        Stats.timing("labelsync.seconds", timedelta(seconds=report.seconds), tags=tags)
        Stats.gauge("labelsync.last_complete_run", int(time.time()), tags=tags)

    def _add_lineage(self) -> None:
        from labelsync_provider.airflow_compat import get_hook_lineage_collector

        lineage = get_hook_lineage_collector()
        adding = [lineage.add_input_asset, lineage.add_output_asset]
        add_storage, add_project = adding if self.direction == "import" else reversed(adding)
        uri = quote(self.storage.uri, safe="/:")
        if len(uri) <= LONGEST_ASSET:
            add_storage(context=self.hook, uri=uri)
        add_project(context=self.hook, uri=self.project.url or self.project.uri)


def log_links(links: Mapping[str, str]) -> None:
    """Log where to look: Airflow shows links only under *Details*, and only when the task has ended."""
    for name, url in links.items():
        log.info("%s: %s", name, url)


def tag(text: str) -> str:
    """Return a tag's value that every receiver takes, of bounded length; the end of a long one tells it from others."""
    safe = UNSAFE.sub("_", text.replace("://", "/"))
    if len(safe) <= LONGEST_TAG:
        return safe
    return f"{safe[: LONGEST_TAG - 9]}-{blake2b(text.encode(), digest_size=4).hexdigest()}"
