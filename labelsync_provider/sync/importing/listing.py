"""Listing: which objects of the source have to be looked at. What is unchanged is counted, what is missing noted."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import islice

from labelsync_provider.regex_filter import RegexFilter
from labelsync_provider.storages.protocol import InFileSystem, ObjectInfo, Page, Signing
from labelsync_provider.sync.compare import compare
from labelsync_provider.sync.importing.deleting import Deletions
from labelsync_provider.sync.importing.state import ImportRun, KnownRows, SourceObject
from labelsync_provider.sync.importing.telling import ImportProgress
from labelsync_provider.sync.ledger.imports import RowCount
from labelsync_provider.sync.ledger.records import COMPLETE, KnownObject
from labelsync_provider.sync.names import markers_of
from labelsync_provider.sync.report import FAILURES_SHOWN

ROWS_AT_ONCE = 10_000
"""Rows of the ledger that are held at once, but for a single object that has more."""


class Filter:
    """Lets objects through whose key matches `regex_filter`."""

    def __init__(self, regex: str | None) -> None:
        self._regex = regex
        self.passes = RegexFilter(regex).matches
        """Tells whether an object of this key would pass."""
        self.unmatched: str | None = None
        """The first key that did not match."""

    def __call__(self, page: Page) -> Page:
        """Return those of the objects that pass."""
        if not self._regex:
            return page
        matching = [info for info in page if self.passes(info.key)]
        if self.unmatched is None and len(matching) < len(page):
            self.unmatched = next(info.key for info in page if not self.passes(info.key))
        return matching


def objects_to_look_at(
    run: ImportRun, passes: Filter, deletions: Deletions, progress: ImportProgress
) -> Iterator[SourceObject]:
    """Yield the objects that are new, have changed, or were not dealt with completely by the run before."""
    source, ledger, judged_by = run.source, run.ledger, run.judged_by
    is_marker = markers_of(source)

    def is_unchanged(info: ObjectInfo, known: KnownObject) -> bool:
        same = known.state == COMPLETE and known.version == info.version
        # Which task a row is may have been made plain in the project.
        decides_anew = run.options.adopt and known.quarantined > 0
        return same and not (decides_anew or _worth_another_try(info, known, judged_by))

    pages = _filtered(run, passes, progress)
    for page in compare(pages, source.location, is_unchanged, ledger.objects_between, ledger.objects_at):
        _count_unchanged(run, page.unchanged)
        _note_missing(run, [known for known in page.missing if covers(run, passes, known.path)], deletions)
        progress.fresh += len(page.fresh)
        known_rows = _known_rows(run, [path for path, _, _ in page.fresh])
        objects = [info for _, info, _ in page.fresh]
        uris = [source.object_uri(info.key) for info in objects]
        urls = _urls(run, objects, uris)
        for (path, info, known), uri, url in zip(page.fresh, uris, urls, strict=True):
            rows = known_rows.get(path)
            if rows is None and is_marker(info):
                _skip_marker(run, path, known, deletions)
                progress.fresh -= 1
            else:
                yield SourceObject(path, info, uri, url, known, rows)
        progress.tell()


def _skip_marker(run: ImportRun, path: str, known: KnownObject | None, deletions: Deletions) -> None:
    run.report.matched -= 1
    run.report.markers += 1
    if known:
        deletions.forget([path])  # one that was in quarantine


def worth_a_run(info: ObjectInfo, known: KnownObject, judged_by: str) -> bool:
    """Tell whether an object that is known is a reason to begin a run, and not only looked at by one that has begun."""
    # Without a version, it is known from a run that was killed before it had dealt with it.
    return known.version is None or _worth_another_try(info, known, judged_by)


def _worth_another_try(info: ObjectInfo, known: KnownObject, judged_by: str) -> bool:
    return known.quarantined > 0 and (known.version != info.version or known.judged_by != judged_by)


def _filtered(run: ImportRun, passes: Filter, progress: ImportProgress) -> Iterator[Page]:
    pages, is_marker = run.source.list(), markers_of(run.source)
    # Where objects are read ahead of the import, that begins with the first page. Elsewhere, the page behind is waited
    # for: it tells whether this one is the last.
    reads_ahead = not (run.options.use_blob_urls or isinstance(run.source, InFileSystem))
    with_last = ((page, False) for page in pages) if reads_ahead else _with_last(pages)
    for page, progress.all_listed in with_last:
        run.runtime.stop.check()
        objects = passes(page)
        run.report.listed += len(page)
        run.report.matched += len(objects)
        if len(objects) < len(page) and not run.others_listed:
            others = [info for info in page if not passes.passes(info.key)]
            run.others_listed = not all(is_marker(info) for info in others)
        yield objects
    progress.all_listed = True


def _with_last(pages: Iterator[Page]) -> Iterator[tuple[Page, bool]]:
    """Yield pages, and whether each is the last."""
    before: Page | None = None
    for page in pages:
        if before is not None:
            yield before, False
        before = page
    if before is not None:
        yield before, True


def covers(run: ImportRun, passes: Filter, path: str) -> bool:
    """Tell whether this run looks at an object, if there is one at this path of the container."""
    key = run.key(path)
    # The keys of files are relative to a directory: what is not below it has none.
    return path.startswith(run.source.location.start) and run.source.covers(key) and passes.passes(key)


def _urls(run: ImportRun, objects: Sequence[ObjectInfo], uris: Sequence[str]) -> Sequence[str]:
    """Return the URLs under which tasks show some objects; a source that cannot sign was refused before."""
    source, life = run.source, timedelta(minutes=run.options.presign_ttl)
    if run.options.url_mode == "storage" or not objects or not isinstance(source, Signing):
        return uris
    return source.sign([info.key for info in objects], life)


def _count_unchanged(run: ImportRun, unchanged: list[KnownObject]) -> None:
    report = run.report
    report.unchanged += sum([known.rows for known in unchanged])
    if bad := [known for known in unchanged if known.quarantined]:
        shown = bad[: FAILURES_SHOWN - len(report.quarantine)]
        rows = run.ledger.quarantined([known.path for known in shown])
        named = [run.failure(row) for row in islice(rows, FAILURES_SHOWN - len(report.quarantine))]
        report.quarantine.extend(named)
        count = sum([known.quarantined for known in bad])
        report.quarantined += count
        run.aside.note_earlier(count, named[0] if named else None)
        run.aside.objects += len(bad)


def _known_rows(run: ImportRun, paths: Sequence[str]) -> dict[str, KnownRows]:
    known: dict[str, KnownRows] = {}
    counts = run.ledger.count_rows(paths)
    for some in in_groups(counts):
        known |= dict.fromkeys(some, KnownRows(run.ledger, {path: counts[path].all for path in some}))
    return known


def in_groups(counts: Mapping[str, RowCount]) -> Iterator[list[str]]:
    """Group objects so that no group has many rows, but for a single object that has more."""
    paths, rows = list[str](), 0
    for path, count in counts.items():
        if paths and rows + count.all > ROWS_AT_ONCE:
            yield paths
            paths, rows = [], 0
        paths.append(path)
        rows += count.all
    if paths:
        yield paths


def _note_missing(run: ImportRun, missing: list[KnownObject], deletions: Deletions) -> None:
    """Count the rows of objects that are gone, and have them deleted if that is asked for."""
    counts = run.ledger.count_rows([known.path for known in missing])
    run.report.missing += sum([count.live for count in counts.values()])
    deletes = run.options.on_missing == "delete"
    deletions.forget([known.path for known in missing if deletes or known.quarantined or known.path not in counts])
    for paths in in_groups(counts) if deletes else ():
        for rows in run.ledger.rows_of(paths).values():
            deletions.note(rows)
