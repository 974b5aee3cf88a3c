"""How to import."""

import json
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from labelsync_provider.errors import invalid
from labelsync_provider.regex_filter import check_regex_filter
from labelsync_provider.request_limit import MOST
from labelsync_provider.sync.options import AtLeastOne, Count, Minutes, Options, Seconds, SecondsAboveZero, Share

EXTRA_DATA = Meta(description='an object of values by their keys, such as {"transcript": ""}')


class ImportOptions(Options, frozen=True, kw_only=True):
    """How to import; the names are the operator's, whose docstring says what each means."""

    regex_filter: str | None = None
    use_blob_urls: bool = False
    url_mode: Literal["storage", "signed"] = "storage"
    presign_ttl: Minutes = 15
    """In minutes."""
    data_key: str | None = None
    extra_data: Annotated[dict[str, Any], EXTRA_DATA] | None = None
    """What the data of each new blob's task has beside the URI, for the other keys of the label config."""
    row_key: str | None = None
    """The field by which rows of a changed file are matched, dotted, as written in the file: `id`, `data.filename`."""
    on_changed: Literal["report", "update", "add"] = "report"
    on_missing: Literal["report", "delete"] = "report"
    max_delete: Count | None = None
    max_quarantined: Count | Share | None = None
    """A number of objects and rows; or, below 1, a share of the matched objects."""
    adopt: bool = False
    restore_deleted: bool = False
    dry_run: bool = False
    batch_size: AtLeastOne = 10_000
    """The most tasks of a batch."""
    min_seconds_between_batches: Seconds = 0
    max_in_flight: AtLeastOne = MOST
    wait_for_lease: Seconds = 3600
    """How long a run waits for another import into the same project, in seconds."""
    lease_seconds: SecondsAboveZero = 60.0
    """How long the lease outlives a run that was killed, in seconds."""

    def __post_init__(self) -> None:
        """Check each option by itself, then those that depend on another.

        :raises Invalid: one is not what it can be.
        """
        super().__post_init__()
        if self.url_mode == "signed" and not self.use_blob_urls:
            remedy = "Set use_blob_urls=True, or leave url_mode out: what stands in task files is imported as it is."
            raise invalid("url_mode", self.url_mode, "only the URIs of blobs are signed", remedy)
        if self.row_key is not None:
            if self.use_blob_urls:
                remedy = "Leave it out: a blob has no rows, and is known by its URI."
                raise invalid("row_key", self.row_key, "only the rows of task files are matched by a field", remedy)
            if not all(self.row_key.split(".")):
                remedy = "Name a field of the row as it is written in the file, such as id or data.filename."
                raise invalid("row_key", self.row_key, "not the name of a field", remedy)
        if self.extra_data:
            _check_values(self.extra_data)
        if self.extra_data and not self.use_blob_urls:
            remedy = "Set use_blob_urls=True, or write it into the task files."
            raise invalid("extra_data", self.extra_data, "only blobs are given other values", remedy)
        check_regex_filter(self.regex_filter)


def _check_values(values: dict[str, Any]) -> None:
    """Make sure that values are what JSON can say.

    :raises Invalid: one is none: NaN, half of a surrogate pair, an object of Python's.
    """
    try:
        json.dumps(values, allow_nan=False)
        msgspec.json.encode(values)
    except (TypeError, ValueError, RecursionError) as error:
        remedy = 'Use values of JSON, such as {"transcript": ""}.'
        raise invalid("extra_data", values, f"not all of it is JSON: {error}", remedy) from None
