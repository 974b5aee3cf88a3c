"""Imports of one source into one project, past Airflow, and what stands in the project and in the ledger afterwards."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from model.bucket import Bucket, Directory
from model.fake_project import Process
from model.model import Stored
from model.worlds import World
from places import as_bytes
from sqlalchemy import Engine, select

from labelsync_provider.sync import ExportReport, ImportOptions, ImportReport, Runtime, import_storage
from labelsync_provider.sync.ledger.tables import QUARANTINE

Json = dict[str, Any]


def texts(*values: str) -> list[Json]:
    """Return rows that are their data."""
    return [{"text": value} for value in values]


def lines(*rows: Json | str) -> str:
    """Return JSON lines; a text is a line as it is."""
    return "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)


def prediction(choice: str, model: str | None = None) -> Json:
    """Return a prediction that fits the label config of the worlds."""
    result = [{"from_name": "c", "to_name": "t", "type": "choices", "value": {"choices": [choice]}}]
    return {"result": result, **({"model_version": model} if model else {})}


annotation = prediction
"""Of one, no more is needed."""


@dataclass
class Importing:
    """What is imported from where to where."""

    source: Bucket | Directory
    world: World
    engine: Engine
    """Of the ledger."""
    runtime: Runtime | None = None

    def __call__(self, prefix: str = "", **options: Any) -> ImportReport:
        """Import; what no test sees is left at its default."""
        source, project = self.source.open(prefix), self.world.open(Process())
        return import_storage(source, project, self.engine, ImportOptions(**options), "a test", self.runtime)

    def put(self, key: str, content: Any) -> None:
        """Write an object: bytes and text as they are, anything else as JSON."""
        self.source.put(key, as_bytes(content))

    def tasks(self) -> dict[int, Stored]:
        """Return the tasks by id."""
        return self.world.snapshot()

    def texts(self) -> list[str]:
        """Return the texts of the tasks, by id."""
        return [task.data["text"] for _, task in sorted(self.tasks().items())]

    def task(self, text: str) -> int:
        """Return the id of the one task with a text."""
        (found,) = [number for number, task in self.tasks().items() if task.data.get("text") == text]
        return found

    def quarantine(self) -> Counter[tuple[str, int | None]]:
        """Return path and position of all that the ledger has in quarantine."""
        with self.engine.connect() as connection:
            return Counter(
                (path, at) for path, at in connection.execute(select(QUARANTINE.c.path, QUARANTINE.c.position))
            )


def some(report: ImportReport | ExportReport, *names: str) -> dict[str, int]:
    """Return those counts that are not zero, less what every report has."""
    left_out = {"dry_run", "listed", "matched", "bytes_read", "bytes_written", "requests", "seconds", "created_ids"}
    left_out |= {"quarantine", "quarantined_now", "failures", "tasks", "annotated_tasks", "annotations_told"}
    left_out -= set(names)
    return {name: value for name, value in report.as_dict().items() if value and name not in left_out}
