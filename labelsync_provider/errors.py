"""What can go wrong, named for what a caller can do about it.

LabelsyncError
├── Invalid              a parameter, a connection or an object cannot be what it is: mend it
│   └── TooLarge         an object has more bytes than may be read
├── NotFound             there is no such object, directory, project or connection
├── Denied               permissions do not allow it
├── Unusable             a storage as a whole: no such bucket, credentials refused, wrong region, clock, certificate
├── AlreadyThere         an object stands where a new one was to be created
├── Unavailable          the other side did not answer as it should: retry may help
│   └── RequestFailed    the other side says that it failed, and is not at work on the request any more
├── SchemaOutdated       the database's schema is older, or newer, than this version of the package
├── LeaseHeld            another run is writing there now: retry may help
├── LeaseLost            another run has taken over from this one: retry may help
├── Stopped              the run was told to end: the next one goes on from there
├── EmptyListing         nothing is listed where the ledger knows objects: retry may help
├── TargetOccupied       the target holds objects that are not this export's
├── StoragesOverlap      a project's source and target, or two of its targets, share objects
├── TooManyMissing       more tasks would be deleted than `max_delete` allows
├── TooManyQuarantined   more is quarantined than `max_quarantined` allows, or all that there is
├── SourcesFailed        some of several sources could not be imported: retry may help if it may help one of them
└── UploadsFailed        some objects could not be written: retry may help
"""

from labelsync_provider.uris import shown, without_secrets


class LabelsyncError(Exception):
    """An error of this package; `retry_may_help` is the one place where a retry is decided."""

    retry_may_help: bool = False

    def __init__(self, *lines: str) -> None:
        """Say what is wrong, mostly on one line. Of what that quotes, secrets are hidden, and line breaks escaped."""
        super().__init__("\n".join(map(shown, lines)))


class Invalid(LabelsyncError):
    """A parameter, a connection or an object cannot be what it is."""


class TooLarge(Invalid):
    """An object has more bytes than may be read."""


class NotFound(LabelsyncError):
    """There is no such object, directory, project or connection."""


class Denied(LabelsyncError):
    """Permissions do not allow it."""


class Unusable(LabelsyncError):
    """A storage as a whole cannot be used as it is named and logged in to; it is not about one object."""


class AlreadyThere(LabelsyncError):
    """An object stands where a new one was to be created."""


class Unavailable(LabelsyncError):
    """The other side did not answer as it should."""

    retry_may_help = True


class RequestFailed(Unavailable):
    """The other side says that it failed over the request, and is not at work on it any more."""


class SchemaOutdated(LabelsyncError):
    """The schema of the database is older, or newer, than this version of the package can use."""


class LeaseHeld(LabelsyncError):
    """Another run holds the lease."""

    retry_may_help = True


class LeaseLost(LabelsyncError):
    """Another run has taken the lease over; this one may not write any more."""

    retry_may_help = True


class Stopped(LabelsyncError):
    """The run was told to end before it had done all; the next one goes on from there."""

    retry_may_help = True


class EmptyListing(LabelsyncError):
    """Nothing, or nothing but markers, is listed where the ledger knows objects: an unmounted disk looks like this."""

    retry_may_help = True


class TargetOccupied(LabelsyncError):
    """The target holds objects that the exporter did not write, or wrote with another layout or key template."""


class StoragesOverlap(LabelsyncError):
    """A project's source and its target, or two of its targets, share objects."""


class TooManyMissing(LabelsyncError):
    """More tasks would be deleted than `max_delete` allows; none was."""


class TooManyQuarantined(LabelsyncError):
    """More is quarantined than `max_quarantined` allows, or all that there is; the good ones are in."""


class SourcesFailed(LabelsyncError):
    """Some of several sources could not be imported; the others were."""

    def __init__(self, *lines: str, retry_may_help: bool) -> None:
        super().__init__(*lines)
        self.retry_may_help = retry_may_help


class UploadsFailed(LabelsyncError):
    """Some objects could not be written; the others were."""

    retry_may_help = True


def counted(count: int, one: str, many: str = "") -> str:
    """Return how many there are, in words: `1 object`, `1,000 objects`.

    :param many: what several are called, where that is not `one` and an s.
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def invalid(parameter: str, value: object, what: str, remedy: str) -> Invalid:
    """Return the error for a bad parameter: its name, its value, what is wrong and what to do.

    Keys and signatures in a URI are not shown.
    """
    if isinstance(value, list | tuple):
        value = [without_secrets(one) if isinstance(one, str) else one for one in value]
    said = repr(without_secrets(value) if isinstance(value, str) else value)
    return Invalid(f"{parameter}={said if len(said) <= 200 else said[:200] + '...'}: {what}. {remedy}")


def check_ends(parameter: str, value: str) -> None:
    """Make sure that a text neither begins nor ends with a blank or a line break: it would name something else.

    :raises Invalid: it does.
    """
    if value != value.strip():
        raise invalid(parameter, value, "it begins or ends with a blank or a line break", "Take that out.")


def check_whole_numbers(options: object, **least: int) -> None:
    """Make sure that options are whole numbers from the least that makes sense, or None where that is the default.

    :raises Invalid: one is not.
    """
    for name, lowest in least.items():
        value, default = getattr(options, name), getattr(type(options), name)
        if not (value is None is default) and (not isinstance(value, int) or value < lowest):
            raise invalid(name, value, "not a number that makes sense", f"Use a whole number from {lowest}.")


def check_flags(options: object, *names: str) -> None:
    """Make sure that options are True or False.

    :raises Invalid: one is not; a text such as "False", which a template gives, would count as True.
    """
    for name in names:
        value = getattr(options, name)
        if not isinstance(value, bool):
            remedy = "Use True or False; in a template, dag.param(...) keeps the type."
            raise invalid(name, value, "neither True nor False", remedy)
