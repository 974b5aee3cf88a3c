"""How to export."""

from labelsync_provider.formats.annotations.layout import LayoutName
from labelsync_provider.request_limit import MOST
from labelsync_provider.sync.options import AtLeastOne, Options, Seconds, SecondsAboveZero


class ExportOptions(Options, frozen=True, kw_only=True):
    """How to export; the names are the operator's, whose docstring says what each means."""

    layout: LayoutName = "annotation"
    key_template: str | None = None
    include_cancelled: bool = True
    can_delete_objects: bool = False
    full: bool = False
    dry_run: bool = False
    batch_size: AtLeastOne = 1000
    """In objects."""
    max_in_flight: AtLeastOne = MOST
    wait_for_lease: Seconds = 3600
    """How long a run waits for another export to the same target, in seconds."""
    lease_seconds: SecondsAboveZero = 60.0
    """How long the lease outlives a run that was killed, in seconds."""
