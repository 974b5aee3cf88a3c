"""Readings: an object is a file to be shown, or describes tasks. Taken once for each, it would come in twice."""

from collections import Counter
from collections.abc import Callable, Iterator

from labelsync_provider.errors import counted, invalid
from labelsync_provider.projects.protocol import Project
from labelsync_provider.storages.protocol import Storage
from labelsync_provider.sync.compare import compare
from labelsync_provider.sync.importing.listing import Filter, in_groups
from labelsync_provider.sync.importing.options import ImportOptions
from labelsync_provider.sync.importing.state import looked_at
from labelsync_provider.sync.ledger.imports import ImportLedger
from labelsync_provider.sync.ledger.records import RowState
from labelsync_provider.sync.names import markers_of, name_problem


def refuse_other_reading(source: Storage, project: Project, ledger: ImportLedger, options: ImportOptions) -> None:
    """Refuse objects that are in the project already by the other value of `use_blob_urls`, and not by this one.

    What is told apart by a filter, pictures and task files beside each other, may be imported either way.

    :param ledger: that of this import.
    :raises Invalid: there are some.
    """
    blobs, passes = options.use_blob_urls, Filter(options.regex_filter)
    other = ledger.of(blobs=not blobs)

    def may_come_in(path: str) -> bool:
        key = source.location.key(path)
        return (blobs or name_problem(source, key) is None) and passes.passes(key) and source.covers(key)

    if not _may_hold_some(other, may_come_in):
        return
    objects, tasks, first = 0, 0, ""
    for path, count in _doubled(source, project, ledger, other, may_come_in):
        objects, tasks, first = objects + 1, tasks + count, first or path
    if objects:
        what = (
            f"project {project.title!r} has tasks of {counted(objects, 'object')} of {source.uri} "
            f"already, such as {source.location.key(first)!r}, which were imported with use_blob_urls={not blobs} and "
            "would come in a second time"
        )
        remedy = (
            f"Set use_blob_urls={not blobs}, or leave them out by regex_filter. To import them with "
            f"use_blob_urls={blobs} instead, delete their {counted(tasks, 'task')} from the project "
            "first."
        )
        raise invalid("use_blob_urls", blobs, what, remedy)


def _may_hold_some(other: ImportLedger, may_come_in: Callable[[str], bool]) -> bool:
    """Tell whether it is worth a listing: mostly, there is nothing in the other part of the ledger."""
    pages = other.objects_between("", None)
    return any(other.count_rows([known.path for known in page if may_come_in(known.path)]) for page in pages)


def _doubled(
    source: Storage,
    project: Project,
    ledger: ImportLedger,
    other: ImportLedger,
    may_come_in: Callable[[str], bool],
) -> Iterator[tuple[str, int]]:
    """Yield the paths of objects that are in the project by the other reading alone, and how many tasks each has."""
    known_between, known_at, is_marker = other.objects_between, other.objects_at, markers_of(source)
    listing = ([info for info in page if not is_marker(info)] for page in source.list())
    for page in compare(listing, source.location, lambda *_: True, known_between, known_at):
        paths = [known.path for known in page.unchanged if may_come_in(known.path)]
        here = ledger.count_rows(paths)
        counts = {path: count for path, count in other.count_rows(paths).items() if path not in here}
        for some in in_groups(counts):
            yield from _with_tasks(source, project, other, some)


def _with_tasks(source: Storage, project: Project, other: ImportLedger, paths: list[str]) -> Iterator[tuple[str, int]]:
    """Yield those of some objects that have tasks in the project, and how many."""
    rows = [row for some in other.rows_of(paths).values() for row in some if row.state == RowState.LIVE]
    there = looked_at(project, source, rows)
    yield from Counter(row.path for row in rows if row.task in there).items()
