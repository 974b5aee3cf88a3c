"""What a service's refusal means: one table for all of them, so that an error says which mistake it was."""

import re
from typing import NamedTuple

from labelsync_provider.errors import AlreadyThere, Denied, Invalid, LabelsyncError, NotFound, Unavailable, Unusable


class Fault(NamedTuple):
    """What a service, or the way to it, answered to a request that failed."""

    status: int | None
    """Of HTTP; None if no answer came."""
    code: str = ""
    """The service's own name for it, such as `NoSuchBucket`."""
    detail: str = ""
    region: str = ""
    """Where the bucket is, if the service says so."""


NO_SUCH_PLACE = frozenset({"NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted", "UserProjectAccountProblem"})
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
    }
)
WRONG_REGION = frozenset({"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"})
CLOCK = frozenset({"RequestTimeTooSkewed", "RequestExpired"})
OCCUPIED = frozenset({"PreconditionFailed", "BlobAlreadyExists", "ConditionNotMet"})
BUSY = frozenset({"SlowDown", "ServerBusy", "RequestTimeout", "OperationTimedOut", "InternalError", "Throttling"})

STATUS = re.compile(r"status code: (\d{3})")
ELEMENT = r"<{0}>\s*([^<]*?)\s*</{0}>"
CERTIFICATE = re.compile(r"certificate|SSLError|CERTIFICATE_VERIFY_FAILED|tls|handshake", re.IGNORECASE)
REASONS = (
    (
        re.compile(r"dns error|failed to lookup|Name or service|getaddrinfo|NameResolution|resolve host", re.I),
        "no such host",
    ),
    (re.compile(r"Connection refused", re.I), "the connection is refused"),
    (re.compile(r"timed? ?out", re.I), "it did not answer in time"),
    (
        re.compile(r"reset by peer|Connection reset|broken pipe|IncompleteMessage|closed", re.I),
        "the connection broke off",
    ),
    (
        re.compile(r"decoding response body|IncompleteRead|IncompleteBody|end of file|body", re.I),
        "its answer was cut off",
    ),
)
DETAIL_LENGTH = 200


def fault_in(text: str) -> Fault:
    """Read the fault from an error's text with the service's answer in XML, as obstore gives it.

    Only named parts of the answer are taken: the rest may hold URLs with signatures and the credentials themselves.
    """
    status = STATUS.search(text)
    if not status:
        return Fault(None, "certificate" if CERTIFICATE.search(text) else "", _reason(text))
    code, detail, region = (_element(name, text) for name in ("Code", "Message", "Region"))
    return Fault(int(status[1]), code, detail, region)


def no_answer(error: BaseException) -> Fault:
    """Return the fault of a request that got no answer."""
    text = f"{type(error).__name__} {error}"
    return Fault(None, "certificate" if CERTIFICATE.search(text) else "", _reason(text))


def explained(fault: Fault, place: str, doing: str, login: str) -> LabelsyncError:
    """Return the error that a fault means.

    :param place: the storage, such as `s3://bucket`.
    :param doing: what was tried, such as `list`, or `read photos/1.jpg`.
    :param login: the Airflow connection, in words.
    """
    status, code = fault.status, fault.code
    answer = " ".join(filter(None, (str(status) if status else "", code)))
    detail = f" {fault.detail.rstrip('.')[:DETAIL_LENGTH]}." if fault.detail else ""
    says = f"{place}: cannot {doing}: {answer}.{detail}" if answer else f"{place}: cannot {doing}:{detail}"
    if code == "certificate":
        return Unusable(
            f"{place}: cannot {doing}: the TLS connection to its endpoint cannot be trusted.{detail} Is it https? For "
            f"a private CA, name the CA file in {login}."
        )
    if code in NO_SUCH_PLACE:
        return Unusable(f"{says} There is no such bucket or container. Create it, or correct the storage URI.")
    if code in REFUSED or status == 401:
        return Unusable(f"{says} The credentials of {login} are not accepted: wrong, expired, or of another account.")
    if code in WRONG_REGION or status == 301:
        where = f"it is in {fault.region}" if fault.region else "it is in another region"
        return Unusable(f"{says} Wrong region: {where}. Set region_name in {login}.")
    if code in CLOCK:
        return Unusable(f"{says} The clock of this machine differs too much from the service's. Set it.")
    if status in (409, 412) and code not in BUSY:
        return AlreadyThere(f"{says} Another object is there.")
    if status is None or status in (408, 429) or status >= 500 or code in BUSY:
        return Unavailable(f"{says} Is the endpoint in {login} the right one?" if status is None else says)
    if status == 404:
        return NotFound(says)
    if status == 403:
        return Denied(f"{says} {login} has no permission to {doing.partition(' ')[0]} there.")
    return Invalid(f"{says} The service refuses it.")


def _element(name: str, text: str) -> str:
    found = re.search(ELEMENT.format(name), text)
    return found[1] if found else ""


def _reason(text: str) -> str:
    return next((reason for pattern, reason in REASONS if pattern.search(text)), "the request failed on the way")
