"""Several sources of one import: as a list, one after the other; or by dynamic mapping, one to a mapped task."""

import json
import logging
from ast import literal_eval
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from labelsync_provider.airflow_compat import AirflowFailException
from labelsync_provider.uris import without_secrets

if TYPE_CHECKING:
    from airflow.sdk import Context

    from labelsync_provider.errors import LabelsyncError
    from labelsync_provider.sync import ImportReport

log = logging.getLogger(__name__)

LONGEST = 250
"""Characters that Airflow's table has for what a mapped task is called."""
NAMED = 20
"""Sources that an error names, of those that failed."""
LONGEST_REASON = 1000
"""Characters of why one failed, in the log, the error and the report; enough for each error of this package."""


def name_mapped_task(context: "Context", source: object) -> None:
    """Have Airflow call a mapped task by its source, unless its author has said what it is called.

    Airflow renders `map_index_template` once more when the task has ended, whether it succeeded or failed.
    """
    ti = context.get("ti")
    if ti is None or ti.map_index is None or ti.map_index < 0 or context.get("map_index_template") is not None:
        return
    named = ", ".join(without_secrets(str(uri)) for uri in (source if isinstance(source, list) else [source]))
    # The name is a value, and not the template itself: braces in a path are no expression.
    values = cast("dict[str, object]", context)
    values["map_index_template"], values["labelsync_source"] = "{{ labelsync_source }}", named[:LONGEST]


def sources_of(source: str | Sequence[str], conn_id: str | None) -> list[str]:
    """Return the URIs of one source or of a list of them, which a template may have rendered to a text.

    One inside another does no harm: what both list is imported once, and counted by each.

    :param conn_id: the connection that is given for all of them, if there is one.
    :raises Invalid: it names none, or one twice, or the connection cannot be that of all.
    """
    from labelsync_provider.errors import invalid

    if not is_list(source):
        return [str(source)]
    # What stands in a list that is a text, is stripped as what stands in one that is none; see `make_options`.
    uris = [uri.strip() for uri in _parsed(source)] if isinstance(source, str) else list(source)
    if not uris:
        raise invalid("source", source, "it names no source", "Name at least one.")
    if twice := next((uri for n, uri in enumerate(uris) if uri in uris[:n]), None):
        raise invalid("source", twice, "it is in the list twice", "Name it once.")
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


def import_each(
    uris: Sequence[str], imported: Callable[[str], "ImportReport"]
) -> tuple[dict[str, Any], "LabelsyncError | None"]:
    """Import sources one after the other; one that fails does not keep the others out.

    But after one that was told to end, or that waited in vain for another import into the project, none is tried: the
    others would fail for the same reason.

    :param imported: imports the source of a URI.
    :returns: each one's report by its URI, under `sources`; why others have none, under `failed_sources`; and beside
        these the sums. And the error for the whole, if there are such others: `Stopped`, or else `SourcesFailed`, which
        is worth a retry if one of the reasons is.
    """
    from labelsync_provider.errors import LeaseHeld, Stopped
    from labelsync_provider.sync.report import summed

    reports: dict[str, ImportReport] = {}
    failed: dict[str, Exception] = {}
    for uri in uris:
        try:
            reports[uri] = imported(uri)
        except Exception as error:
            failed[uri] = error
            _log_failure(uri, error)
            if isinstance(error, Stopped | LeaseHeld):
                break  # the others would wait as long, for the same lease
    untried = [uri for uri in uris if uri not in reports and uri not in failed]
    reasons = {uri: _said(uri, error) for uri, error in failed.items()} | dict.fromkeys(untried, "not tried")
    report = {
        "sources": {uri: report.as_dict() for uri, report in reports.items()},
        "failed_sources": {without_secrets(uri): reason for uri, reason in reasons.items()},
        **summed(reports.values()),
    }
    return report, _sources_failed(failed, len(reports), len(untried)) if failed else None


def _sources_failed(failed: Mapping[str, Exception], succeeded: int, untried: int) -> "LabelsyncError":
    from labelsync_provider.errors import SourcesFailed, Stopped

    rest = f", {untried} not tried" if untried else ""
    summary = f"{len(failed)} of {len(failed) + succeeded + untried} sources failed, {succeeded} succeeded{rest}."
    lines = [f"{without_secrets(uri)}: {_said(uri, error)}" for uri, error in islice(failed.items(), NAMED)]
    more = [f"And {len(failed) - NAMED} more, which the log names."] if len(failed) > NAMED else []
    if any(isinstance(error, Stopped) for error in failed.values()):
        return Stopped(summary, *lines, *more)
    return SourcesFailed(summary, *lines, *more, retry_may_help=any(map(_may_pass, failed.values())))


def _said(uri: str, error: Exception) -> str:
    """Return what an error says; one that is not of this package may quote what it was given."""
    from labelsync_provider.errors import LabelsyncError

    if isinstance(error, LabelsyncError):
        said = str(error)
    else:
        said = f"{type(error).__name__}: {error}".replace(uri, without_secrets(uri))
    return said if len(said) <= LONGEST_REASON else said[:LONGEST_REASON] + "..."


def _may_pass(error: Exception) -> bool:
    """Tell whether a retry may help: of an error that nobody foresaw, it is not known that it does not."""
    return bool(getattr(error, "retry_may_help", not isinstance(error, AirflowFailException)))


def _log_failure(uri: str, error: Exception) -> None:
    """Log why a source is not imported, as soon as that is known.

    Of an error that is not of this package, where it was raised is logged too: who is to mend the code looks there.
    """
    from labelsync_provider.errors import LabelsyncError

    where = None if isinstance(error, LabelsyncError) else error
    log.error("%s: %s", without_secrets(uri), _said(uri, error), exc_info=where)


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
