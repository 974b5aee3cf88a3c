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
ARCHIVED = frozenset({"InvalidObjectState", "BlobArchived"})
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

STATUS = re.compile(r"Server returned non-2xx status code: (\d{3})(.*)", re.DOTALL)
ELEMENT = r"<{0}>\s*([^<]*?)\s*</{0}>"
URL = re.compile(r"\w+://[^\s,\"]+")
MARKUP = re.compile(r"[<{].*|\S*\w=\S*", re.DOTALL)
"""What is no plain sentence: a page of a proxy, a query string."""
CERTIFICATE = re.compile(
    r"invalid peer certificate|InvalidCertificate|InvalidContentType|UnknownIssuer|CERTIFICATE_VERIFY_FAILED"
    r"|SSLError|\[SSL"
)
REASONS = {
    r"dns error|failed to lookup|Name or service|getaddrinfo|NameResolution|nodename": "there is no such host",
    r"Connection refused|ConnectionRefused": "the connection is refused",
    r"timed out|TimedOut|TimeoutError|ReadTimeout|ConnectTimeout": "it did not answer in time",
    r"reset by peer|Connection reset|ConnectionReset|broken pipe|IncompleteMessage|closed": "the connection broke off",
    r"decoding response body|IncompleteRead|IncompleteBody|end of file|UnexpectedEof|not all of it": (
        "its answer was cut off"
    ),
    r"Could not connect|tcp connect": "it cannot be reached",
}
DETAIL_LENGTH = 200


def fault_in(text: str) -> Fault:
    """Read the fault from an error's text with the service's answer in XML, as obstore gives it.

    Only named parts of the answer are taken: the rest may hold URLs with signatures and the credentials themselves.
    """
    answer = STATUS.search(text)
    if not answer:
        return _no_answer(text)
    # What stands before it names the object, whose key may read like anything.
    return fault_of_answer(int(answer[1]), answer[2])


def fault_of_answer(status: int, body: str) -> Fault:
    """Read the fault from an answer in XML."""
    code, detail, region = (_element(name, body) for name in ("Code", "Message", "Region"))
    return Fault(status, code, detail.partition("\n")[0], region)


def no_answer(error: BaseException) -> Fault:
    """Return the fault of a request that got no answer."""
    behind = error.__cause__ or error.__context__
    return _no_answer(f"{type(error).__name__} {error} {behind or ''}")


def explained(fault: Fault, storage: str, doing: str, login: str) -> LabelsyncError:
    """Return the error that a fault means.

    :param storage: the bucket or database, such as `s3://bucket`.
    :param doing: what was tried, such as `list`, or `read photos/1.jpg`.
    :param login: the Airflow connection, in words.
    """
    status, code = fault.status, fault.code
    answer = " ".join(filter(None, (str(status) if status else "", code)))
    sentence = MARKUP.sub("", URL.sub("", fault.detail)).strip(" .")[:DETAIL_LENGTH]
    detail = f" {sentence}." if sentence else ""
    says = f"{storage}: cannot {doing}:{f' {answer}.' if answer else ''}{detail}"
    if code == "certificate":
        return Unusable(
            f"{storage}: cannot {doing}: the TLS connection to its endpoint cannot be trusted.{detail} Is it https? "
            f"For a private CA, name the CA file in {login}."
        )
    if code in NO_SUCH_BUCKET:
        return Unusable(f"{says} There is no such bucket or container. Create it, or correct the storage URI.")
    if code in REFUSED or status == 401 or "failed to authenticate" in fault.detail:
        return Unusable(f"{says} The credentials of {login} are not accepted: wrong, expired, or of another account.")
    if code in WRONG_REGION or status == 301:
        where = f"it is in {fault.region}" if fault.region else "it is in another region"
        return Unusable(f"{says} Wrong region: {where}. Set region_name in {login}.")
    if code in CLOCK:
        return Unusable(f"{says} The clock of this machine differs too much from the service's. Set it.")
    if code in OCCUPIED or (status == 412 and not code):
        return AlreadyThere(f"{says} Another object is there.")
    if status is None or status in (408, 429) or status >= 500 or code in BUSY:
        return Unavailable(f"{says} Is the endpoint in {login} the right one?" if status is None else says)
    if status == 404:
        return NotFound(says)
    if status == 403 and code not in ARCHIVED:
        return Denied(f"{says} The {login} has no permission to {doing.partition(' ')[0]} there.")
    return Invalid(f"{says} The service refuses it.")


def _element(name: str, text: str) -> str:
    found = re.search(ELEMENT.format(name), text)
    return found[1] if found else ""


def _no_answer(text: str) -> Fault:
    said = URL.sub("", text)  # a key may hold any of the words that are looked for
    if CERTIFICATE.search(said):
        return Fault(None, "certificate")
    if "redirect without LOCATION" in said:
        return Fault(301)
    reasons = (reason for pattern, reason in REASONS.items() if re.search(pattern, said, re.IGNORECASE))
    return Fault(None, "", next(reasons, "the request failed on the way"))
