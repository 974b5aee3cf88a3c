"""What lies in a directory that may not be listed for the moment is not missing, and not deleted."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from labelsync_provider.projects.embedded.project import EmbeddedProject
from labelsync_provider.storages.local_files import LocalFiles
from labelsync_provider.storages.protocol import Page
from labelsync_provider.sync import ImportOptions, ImportReport, import_storage


@pytest.fixture
def run(
    open_folder: Any, unprivileged: Callable, project: EmbeddedProject, engine: Engine
) -> Callable[[], ImportReport]:
    """Import, and delete what is missing, as a user for whom permission bits bind."""

    class Unprivileged(LocalFiles):
        def list(self) -> Iterator[Page]:
            with unprivileged():
                return iter([*super().list()])

    def run() -> ImportReport:
        storage = Unprivileged(open_folder.uri, str(open_folder.root))
        options = ImportOptions(on_missing="delete", max_delete=100)
        return import_storage(storage, project, engine, options, "a test")

    return run


def test_objects_in_it_stay_and_the_others_go_in(open_folder: Any, run: Callable[[], ImportReport]) -> None:
    for key in ("a.json", "closed/b.json", "closed/deep/c.json", "z.json"):
        open_folder.put(key, '{"text": "1"}')
    assert run().tasks_created == 4
    (open_folder.path / "closed").chmod(0)
    (open_folder.path / "z.json").unlink()
    open_folder.put("new.json", '{"text": "2"}')
    report = run()
    assert (report.tasks_created, report.missing, report.tasks_deleted, report.quarantined) == (1, 1, 1, 1)
    assert report.quarantine[0].key == "closed"
    assert "may not be read by user" in report.quarantine[0].reason
    (open_folder.path / "closed").chmod(0o755)
    report = run()
    assert (report.unchanged, report.missing, report.quarantined) == (4, 0, 0)
