"""A rehearsal: a project as a dry run leaves it, in which it sees what it would have done."""

import pytest
from model.fake_project import Clock, Process
from model.worlds import FakeWorld

from labelsync_provider.projects.protocol import Project, Task
from labelsync_provider.sync.importing.rehearsal import Rehearsal

FIRST, SECOND = "mem://bucket/a.json", "mem://bucket/b.json"


@pytest.fixture
def project() -> Project:
    return FakeWorld(Clock(), reuses_ids=False).open(Process())


def imported(project: Project, uri: str) -> int:
    (task,) = project.import_tasks([Task({"text": "1"}, {"labelsync": {"uri": uri}})])
    assert isinstance(task, int)
    return task


def test_has_the_tasks_that_would_be_left(project: Project) -> None:
    task, other = imported(project, FIRST), imported(project, FIRST)
    rehearsal = Rehearsal(project)
    assert rehearsal.delete_tasks({task: FIRST}) == {task}
    assert [stored.id for page in rehearsal.tasks_after(0) for stored in page] == [other]
    assert (rehearsal.count_all(), project.count_all()) == (1, 2)


def test_keeps_a_task_of_the_same_id_that_was_made_from_another_object(project: Project) -> None:
    task = imported(project, FIRST)
    rehearsal = Rehearsal(project)
    assert rehearsal.delete_tasks({task: SECOND, task + 1: FIRST}) == {task, task + 1}
    assert [stored.id for page in rehearsal.tasks_after(0) for stored in page] == [task]
    assert rehearsal.count_all() == 1
