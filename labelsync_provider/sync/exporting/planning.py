"""What is to be done for some tasks: pure functions of what the project and the ledger tell."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from msgspec.structs import replace

from labelsync_provider.formats.annotations.files import AnnotationFile
from labelsync_provider.projects.protocol import TaskState
from labelsync_provider.sync.ledger.records import GONE, KnownExport


@dataclass(frozen=True, slots=True)
class TasksToRead:
    """What the states of some tasks say."""

    stamps: dict[int, str]
    """Tasks to be read in full, each with the stamp that its objects get."""
    in_doubt: dict[str, KnownExport]
    """By path, the objects that are in step only if reading their tasks says so."""
    in_step: int
    """Objects that are in step without it."""


def tasks_to_read(
    states: Sequence[TaskState], known: Mapping[int, Sequence[KnownExport]], settings: str, *, by_stamp: bool
) -> TasksToRead:
    """Tell which tasks may have changed since their objects were written.

    :param known: by task, its objects in the target.
    :param settings: what else decides about the objects of a task.
    :param by_stamp: whether a task whose stamp is as it was need not be read.
    """
    stamps: dict[int, str] = {}
    in_doubt: dict[str, KnownExport] = {}
    in_step = 0
    for task in states:
        stamp = f"{task.state} {settings}" if task.state else ""
        there = known.get(task.id, ())
        live = [export for export in there if export.state != GONE]
        if by_stamp and stamp and live and all(export.state == stamp for export in live):
            in_step += len(live)
            continue
        in_doubt |= {export.path: export for export in there}
        if task.annotated:
            stamps[task.id] = stamp
    return TasksToRead(stamps, in_doubt, in_step)


@dataclass(frozen=True, slots=True)
class RenderedFile:
    """A file as it should stand in the target."""

    file: AnnotationFile
    path: str
    digest: str
    size: int
    """In bytes."""
    stamp: str
    """The state of its task, with what else decides about the object; see `tasks_to_read`."""


def batches(files: Iterable[RenderedFile], size: int) -> Iterator[list[RenderedFile]]:
    """Yield files in lists of up to `size`. Those of one task are in one list, even if they are more.

    For the stamp of one object says that all objects of its task are in step, whatever becomes of the run.
    """
    batch: list[RenderedFile] = []
    for _, of_task in groupby(files, key=lambda rendered: rendered.file.task):
        some = list(of_task)
        if batch and len(batch) + len(some) > size:
            yield batch
            batch = []
        batch += some
    if batch:
        yield batch


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done for some files."""

    write: list[tuple[RenderedFile, KnownExport | None]] = field(default_factory=list)
    """With what is known of the object that is overwritten; None: a new one is created."""
    restamp: list[KnownExport] = field(default_factory=list)
    """Objects that are in step, though their tasks have changed."""


def planned(files: Sequence[RenderedFile], in_doubt: Mapping[str, KnownExport]) -> Plan:
    """Compare files with what stands in the target."""
    plan = Plan()
    for rendered in files:
        known = in_doubt.get(rendered.path)
        count = rendered.file.annotations
        if known is None or not known.version or known.digest != rendered.digest:
            plan.write.append((rendered, known))
        else:
            # Nothing is about to be written any more, whatever a run that was killed had announced.
            as_it_is = replace(known, intended="", state=rendered.stamp, annotations=count, task=rendered.file.task)
            if as_it_is != known:
                plan.restamp.append(as_it_is)
    return plan
