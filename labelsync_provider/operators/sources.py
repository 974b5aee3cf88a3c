"""Several sources of one import: as a list, one after the other; or by dynamic mapping, one to a mapped task."""

import json
import re
from ast import literal_eval
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from airflow.sdk import Context

    from labelsync_provider.errors import LabelsyncError
    from labelsync_provider.sync import ImportReport

LONGEST = 250
"""Characters that Airflow's table has for what a mapped task is called."""


def name_mapped_task(context: "Context", source: object) -> None:
    """Have Airflow call a mapped task by its source, unless its author has said what it is called.

    Airflow renders `map_index_template` once more when the task has ended, whether it succeeded or failed.
    """
    ti = context.get("ti")
    if ti is None or ti.map_index is None or ti.map_index < 0 or context.get("map_index_template") is not None:
        return
    named = source if isinstance(source, str) else ", ".join(map(str, source if isinstance(source, list) else [source]))
    # The name is a value, and not the template itself: braces in a path are no expression.
    values = cast("dict[str, object]", context)
    values["map_index_template"], values["labelsync_source"] = "{{ labelsync_source }}", without_login(named)[:LONGEST]


def without_login(uri: str) -> str:
    """Return a storage URI without what stands before an `@`: the mistake of who writes keys there is not shown."""
    return re.sub(r"(?<=://)[^/]*@", "", uri)


def sources_of(source: str | Sequence[str], conn_id: str | None) -> list[str]:
    """Return the URIs of one source or of a list of them, which a template may have rendered to a text.

    One inside another does no harm: what both list is imported once, and counted by each.

    :param conn_id: the connection that is given for all of them, if there is one.
    :raises Invalid: it names none, or one twice, or the connection cannot be that of all.
    """
    from labelsync_provider.errors import invalid

    if not is_list(source):
        return [str(source)]
    uris = _parsed(source) if isinstance(source, str) else list(source)
    if not uris:
        raise invalid("source", source, "it names no source", "Name at least one.")
    if twice := next((uri for n, uri in enumerate(uris) if uri in uris[:n]), None):
        raise invalid("source", without_login(twice), "it is in the list twice", "Name it once.")
    schemes = sorted({"file" if uri.startswith("/") else uri.partition("://")[0] for uri in uris})
    if conn_id and len(schemes) > 1:
        what = f"one connection does not open {' and '.join(f'{scheme}://' for scheme in schemes)}"
        remedy = (
            "Leave it out, so that each source has the usual one of its scheme; or import them by tasks of their own."
        )
        raise invalid("source_conn_id", conn_id, what, remedy)
    return uris


def is_list(source: str | Sequence[str]) -> bool:
    """Tell whether a parameter names sources by a list; a template that is not rendered natively gives its text."""
    return not isinstance(source, str) or source.lstrip().startswith("[")


def import_each(uris: Sequence[str], imported: Callable[[str], "ImportReport"]) -> dict[str, Any]:
    """Import sources one after the other; return each one's report by its URI, under `sources`, and beside it the sums.

    One that fails does not keep the others from being imported.

    :param imported: imports one.
    :raises SourcesFailed: some failed, each named with its reason. It is worth a retry if one of the reasons is.
    """
    from labelsync_provider.errors import LabelsyncError, LeaseHeld, Stopped
    from labelsync_provider.sync.report import summed

    reports: dict[str, ImportReport] = {}
    failed: dict[str, LabelsyncError] = {}
    for uri in uris:
        try:
            reports[without_login(uri)] = imported(uri)
        except Stopped:
            raise
        except LeaseHeld as error:
            # The others would wait as long, for the same lease.
            failed[without_login(uri)] = error
            break
        except LabelsyncError as error:
            failed[without_login(uri)] = error
    if failed:
        raise _sources_failed(failed, len(reports), len(uris))
    return {"sources": {uri: report.as_dict() for uri, report in reports.items()}, **summed(reports.values())}


def _sources_failed(failed: Mapping[str, "LabelsyncError"], succeeded: int, all_sources: int) -> "LabelsyncError":
    from labelsync_provider.errors import SourcesFailed

    untried = all_sources - succeeded - len(failed)
    rest = f"; {untried} were not tried" if untried else ""
    lines = [f"{uri}: {error}" for uri, error in failed.items()]
    summary = f"{len(failed)} of {all_sources} sources failed, {succeeded} are imported{rest}."
    return SourcesFailed("\n".join([summary, *lines]), retry_may_help=any(e.retry_may_help for e in failed.values()))


def _parsed(text: str) -> list[str]:
    """Return the list that a text is, as JSON or as Python writes it."""
    from labelsync_provider.errors import invalid

    try:
        uris = json.loads(text)
    except ValueError:
        try:
            uris = literal_eval(text.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            uris = None
    if not isinstance(uris, list) or not all(isinstance(uri, str) for uri in uris):
        raise invalid("source", text, "no list of storage URIs", 'Write it as JSON, such as ["s3://bucket/photos"].')
    return uris
