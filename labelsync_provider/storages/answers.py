"""Reading the fault from what came: from an answer in XML, or from an error where none came."""

import re

from labelsync_provider.storages.faults import CERTIFICATE, NO_TLS, Fault

LONGEST_ANSWER = 4096
"""Characters of an answer that are looked at: a service says what is wrong in fewer."""
LONGEST_TEXT = 4 * LONGEST_ANSWER
"""The same of an error's text where no answer came: it quotes the key, and a URL with the key."""

URL = re.compile(r"\b\w+://[^\s,\"]+")
"""One in an error's text; the key in it may hold any of the words that are looked for."""
UNTRUSTED = re.compile(
    r"invalid peer certificate|InvalidCertificate|UnknownIssuer|CERTIFICATE_VERIFY_FAILED|SSLError|\[SSL"
)
PLAIN = re.compile(r"InvalidContentType|WRONG_VERSION_NUMBER|wrong version number|record layer failure")
"""What rustls and OpenSSL say of an answer that is no TLS."""
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
"""What obstore and the services' own clients say of a connection that fails, and how it is told. obstore has one class
for all of it, and each client has others. What is not recognised is retried like the rest."""


def fault_of_answer(status: int, body: str) -> Fault:
    """Read the fault from an answer in XML. Of a key or a URL in it, nothing is taken."""
    answer = body[:LONGEST_ANSWER]
    code, detail, region = (_element(name, answer) for name in ("Code", "Message", "Region"))
    return Fault(status, code, detail.partition("\n")[0], region)


def no_answer(error: BaseException) -> Fault:
    """Return the fault of a request that got no answer."""
    behind = error.__cause__ or error.__context__
    return no_answer_in(f"{type(error).__name__} {error} {behind or ''}")


def no_answer_in(text: str) -> Fault:
    """Read from an error's text why no answer came; without a detail, if it does not tell."""
    said = without_urls(text)
    if PLAIN.search(said):
        return Fault(None, NO_TLS)
    if UNTRUSTED.search(said):
        return Fault(None, CERTIFICATE)
    reasons = (reason for pattern, reason in REASONS.items() if re.search(pattern, said, re.IGNORECASE))
    return Fault(None, "", next(reasons, ""))


def without_urls(text: str) -> str:
    """Return as much of an error's text as is looked at, without URLs."""
    return URL.sub("", text[:LONGEST_TEXT])


def _element(name: str, text: str) -> str:
    _, _, behind = text.partition(f"<{name}>")
    value, closed, _ = behind.partition(f"</{name}>")
    return value.strip() if closed and "<" not in value else ""
