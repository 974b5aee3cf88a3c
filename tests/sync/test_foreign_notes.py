"""What others put into `meta.labelsync` of a task is no source reference, and stops no run."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from labelsync_provider.projects.embedded.project import EmbeddedProject
from labelsync_provider.projects.protocol import Task
from labelsync_provider.storages.local_files import LocalFiles
from labelsync_provider.sync import ExportOptions, ImportOptions, export_annotations, import_storage

HERE = "/data/local-files/?d=in/a.json"
NOTE: dict[str, Any] = {"uri": HERE, "row": 0, "version": "v", "digest": "d", "effect": "e"}
FOREIGN: list[Any] = [
    None,
    True,
    7,
    1e300,
    "a text",
    [],
    [NOTE],
    {},
    {"uri": None},
    *(
        {**NOTE, "uri": uri}
        for uri in (7, [HERE], {"uri": HERE}, "", "s3://[::1", "\0", HERE + "\0", HERE + "%00", HERE + "%ff%fe")
    ),
    *(
        {**NOTE, "uri": HERE + "x" * 5000},
        {**NOTE, "uri": "file://" + "%" * 3000},
        {**NOTE, "uri": "/data/local-files/?d="},
    ),
    *({**NOTE, "row": row} for row in (-1, 2**31, 2**63, 10**40, 0.5, 1.0, True, False, "0", [0], {})),  # type: ignore[var-annotated]
    *({**NOTE, "digest": digest} for digest in (None, 7, [], {}, "\0", "x" * 5000)),  # type: ignore[var-annotated]
    *({**NOTE, "row": None, "version": version} for version in (None, 7, [], {}, "\0", "x" * 5000)),  # type: ignore[var-annotated]
    *({**NOTE, "uri": 1, "effect": effect} for effect in (None, 7, [], {}, "\0", "x" * 5000)),  # type: ignore[var-annotated]
    *({**NOTE, "key": key, "uri": HERE + "%00"} for key in (7, [], "\0")),  # type: ignore[var-annotated]
]


@pytest.fixture
def source(folder: Any) -> LocalFiles:
    files = folder("in")
    files.put("a.json", '{"text": "ours"}')
    return LocalFiles(files.uri, str(files.root))


@pytest.fixture
def target(folder: Any) -> LocalFiles:
    files = folder("out")
    return LocalFiles(files.uri, str(files.root))


@pytest.mark.parametrize("blobs", [False, True], ids=["task files", "blobs"])
def test_foreign_notes_are_none_and_stop_neither_an_import_nor_an_export(
    source: LocalFiles, target: LocalFiles, project: EmbeddedProject, engine: Engine, blobs: bool
) -> None:
    annotations: list[dict[str, Any]] = [{"result": []}]
    theirs = [Task({"text": "theirs"}, {"labelsync": note}, annotations=annotations) for note in FOREIGN]
    assert len(project.import_tasks(theirs)) == len(FOREIGN)
    options = ImportOptions(
        use_blob_urls=blobs, data_key="text" if blobs else None, on_changed="update", on_missing="delete", adopt=True
    )
    report = import_storage(source, project, engine, options, "a test")
    assert (report.adopted, report.tasks_created, report.quarantined) == (0, 1, 0)
    Path(source.path, "a.json").write_text('{"text": "changed"}')
    report = import_storage(source, project, engine, options, "a test")
    assert (report.adopted, report.changed, report.missing, report.tasks_deleted) == (0, 1, 0, 0)
    exported = export_annotations(project, target, engine, ExportOptions(layout="task"), "a test")
    assert exported.written == len(FOREIGN)
    (kept,) = {len(page) for page in project.tasks_after(0)}
    assert kept == len(FOREIGN) + 1
