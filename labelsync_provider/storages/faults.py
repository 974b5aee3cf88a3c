"""What a service's refusal means: one table for all of them, so that an error says which mistake it was."""

import re
from typing import NamedTuple

from labelsync_provider.errors import (
    AlreadyThere,
    Denied,
    Invalid,
    LabelsyncError,
    NotFound,
    TooLarge,
    Unavailable,
    Unusable,
)


class Fault(NamedTuple):
    """What a service, or the way to it, answered to a request that failed."""

    status: int | None
    """Of HTTP; None if no answer came."""
    code: str = ""
    """The service's own name for it, such as `NoSuchBucket`."""
    detail: str = ""
    """The service's message, or why no answer came."""
    region: str = ""
    """Where the bucket is, if the service says so."""

    @property
    def tells_which(self) -> bool:
        """Whether it tells which mistake it was, and not only of what kind: a bare 404 may be of a bucket or a key."""
        return bool(self.code or self.detail) or self.status not in LEFT_OPEN


LEFT_OPEN = (None, 403, 404, 412)
CERTIFICATE, NO_TLS, NO_CREDENTIALS = "certificate", "no TLS", "no credentials"
"""Codes of ours: the TLS connection cannot be trusted; what answers speaks no TLS; the connection gives no credentials,
and the detail says why."""
NO_SUCH_BUCKET = frozenset({"NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted"})
REFUSED = frozenset(
    {
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "InvalidToken",
        "InvalidSecurity",
        "ExpiredToken",
        "TokenRefreshRequired",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "AuthenticationFailed",
        "InvalidAuthenticationInfo",
        "NoAuthenticationInformation",
        "AuthenticationRequired",
        "AccountIsDisabled",
        "PublicAccessNotPermitted",
    }
)
WRONG_REGION = frozenset({"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"})
CLOCK = frozenset({"RequestTimeTooSkewed", "RequestExpired"})
OCCUPIED = frozenset({"PreconditionFailed", "BlobAlreadyExists", "ConditionNotMet"})
REDIRECTED = (300, 301, 302, 303, 307, 308)
ARCHIVED = frozenset({"InvalidObjectState", "BlobArchived", "BlobBeingRehydrated"})
BUSY = frozenset(
    {
        "ConditionalRequestConflict",
        "OperationAborted",
        "SlowDown",
        "ServerBusy",
        "RequestTimeout",
        "OperationTimedOut",
        "InternalError",
        "Throttling",
    }
)

LONGEST_DETAIL = 4096
"""Characters of a service's message that are looked at."""
LONGEST_WORD = 100
"""Characters of a code or a region."""
DETAIL_LENGTH = 200
ASSIGNED = re.compile(r"\w=").search


def too_large(key: str, most: int) -> TooLarge:
    """Return the error of an object that has more than so many bytes."""
    return TooLarge(f"{key}: more than {most:,} bytes, which is what may be read of an object. Split it")


def explained(fault: Fault, storage: str, doing: str, login: str) -> LabelsyncError:
    """Return the error that a fault means.

    :param storage: the bucket or database, such as `s3://bucket`.
    :param doing: what was tried, such as `list`, or `read photos/1.jpg`.
    :param login: the Airflow connection, in words.
    """
    status, code = fault.status, fault.code[:LONGEST_WORD]
    answer = " ".join(filter(None, (str(status) if status else "", code)))
    sentence = _sentence(fault.detail[:LONGEST_DETAIL]) or ("" if status else "the request failed on the way")
    detail = f" {sentence}." if sentence else ""
    says = f"{storage}: cannot {doing}:{f' {answer}.' if answer else ''}{detail}"
    if code == CERTIFICATE:
        return Unusable(
            f"{storage}: cannot {doing}: the TLS connection to its endpoint cannot be trusted. For a private CA, name "
            f"the CA file in {login}."
        )
    if code == NO_TLS:
        return Unusable(
            f"{storage}: cannot {doing}: what answers at its endpoint does not speak TLS. Is it https? If not, let "
            f"its URL in {login} begin with http; if so, correct its port."
        )
    if code == NO_CREDENTIALS:
        return Unusable(f"{storage}: cannot {doing}: no credentials from {login}:{detail}")
    if code in NO_SUCH_BUCKET:
        return Unusable(f"{says} There is no such bucket or container. Create it, or correct the storage URI.")
    # Azurite has one code for keys that are wrong and permissions that are missing; the message tells them apart.
    if code in REFUSED or status == 401 or "failed to authenticate" in fault.detail:
        return Unusable(f"{says} The credentials of {login} are not accepted: wrong, expired, or of another account.")
    if code in WRONG_REGION or (fault.region and status in REDIRECTED):
        where = f"it is in {fault.region[:LONGEST_WORD]}" if fault.region else "it is in another region"
        return Unusable(f"{says} Wrong region: {where}. Set region_name in {login}.")
    if status in REDIRECTED:
        # Maybe for this one object, which stops no other.
        kind = Denied if doing.startswith("read ") else Unusable
        return kind(
            f"{says} It sends on to another address, and is not followed: what answers there need not be the storage. "
            f"If it is, name that address as the endpoint in {login}."
        )
    if code in CLOCK:
        return Unusable(f"{says} The clock of this machine differs too much from the service's. Set it.")
    if code in OCCUPIED or (status == 412 and not code):
        return AlreadyThere(f"{says} Another object is there.")
    if status is None or status in (408, 423, 429) or status >= 500 or code in BUSY:
        return Unavailable(f"{says} Is the endpoint in {login} the right one?" if status is None else says)
    if status == 404:
        return NotFound(says)
    if code in ARCHIVED:
        return Invalid(f"{says} It is archived. Restore it first, or leave it out by regex_filter.")
    if status == 403:
        return Denied(f"{says} The {login} has no permission to {doing.partition(' ')[0]} there.")
    return Invalid(f"{says} The service refuses it.")


def _sentence(text: str) -> str:
    """Return what is a plain sentence: no page of a proxy, no URL, no query string."""
    plain = text.partition("<")[0].partition("{")[0]
    words = [word for word in plain.split() if "://" not in word and not ASSIGNED(word)]
    return " ".join(words).strip(" .")[:DETAIL_LENGTH]
