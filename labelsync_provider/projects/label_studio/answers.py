"""What a Label Studio server answers: read whole within bounds, decoded, and told for what it means.

Whatever it is, it ends in one of the package's errors: what answers may be a proxy, a login page, or somebody hostile.
"""

import zlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec

from labelsync_provider.errors import (
    Denied,
    Invalid,
    NotFound,
    RequestFailed,
    TooLarge,
    Unavailable,
    Unusable,
)
from labelsync_provider.uris import without

ANSWER_BYTES = 64 << 20
"""So many bytes an answer may have, unpacked. Pages of tasks that have more are asked for in smaller ones."""
LOOKED_AT = 4096
"""So many characters of an answer are looked at for what it says to a person, and of these"""
EXPLANATION = 300
"""so many are shown."""

MOMENTARY = frozenset({httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_EARLY, httpx.codes.TOO_MANY_REQUESTS})
"""The answers of a server that has not read a request, and may take it another time."""
WITHOUT_CONTENT = frozenset({httpx.codes.NO_CONTENT, httpx.codes.NOT_MODIFIED})
"""Those that have none, whatever the header says."""

NO_BASE = (
    "Set the Server URL of the connection to where the pages of Label Studio begin: https://labels.example.com, or "
    "https://example.com/label-studio if it is served below a path; without /api or whatever else follows."
)


class NotSent(Unavailable):
    """The request did not get to the server, or was sent back unread: it may be repeated, whatever it asks."""


class TooLate(Unavailable):
    """The server was reached, and its answer did not come in time, or not all of it."""


class Refused(Invalid):
    """The server does not take what was sent, and has done nothing."""

    def __init__(self, *lines: str, reasons: Any = None) -> None:
        """Keep the server's reasons.

        :param reasons: its `validation_errors`.
        """
        super().__init__(*lines)
        self.reasons = reasons


class NotUnderstood(Unusable):
    """The request was answered, and not as Label Studio does: whether something was done is not known."""


class Conflict(Refused):
    """What was to be created is there already."""


class TooMuch(Refused):
    """The request has more bytes than the server, or one in front of it, takes."""


REFUSALS: dict[int, type[Refused]] = {httpx.codes.CONFLICT: Conflict, httpx.codes.REQUEST_ENTITY_TOO_LARGE: TooMuch}


@dataclass(frozen=True)
class Answer:
    """An answer that has come in whole."""

    status: int
    reason: str
    """The server's words for the status."""
    location: str
    """Where a redirect leads to."""
    content: bytes | bytearray


def read(response: httpx.Response, what: str) -> Answer:
    """Read an answer, as far as it may be read.

    :param what: the request, to be named.
    :raises TooLarge: it has more than `ANSWER_BYTES`.
    :raises NotUnderstood: it is packed in a way that was not asked for.
    :raises Unavailable: it cannot be unpacked, or breaks off.
    """
    content = bytearray()
    unpack = _unpacking(response.headers.get("Content-Encoding", ""), what)
    try:
        # Unpacked here: what httpx gives at once has no bound.
        for chunk in response.iter_raw():
            content += unpack.decompress(chunk, ANSWER_BYTES + 1 - len(content)) if unpack else chunk
            if len(content) > ANSWER_BYTES:
                raise TooLarge(f"{what}: the answer has more than {ANSWER_BYTES:,} bytes.")
    except zlib.error as error:
        raise Unavailable(f"{what}: the answer cannot be unpacked: {error}.") from None
    # Before its first byte as well: what is packed is never empty, so that it does not pass for null.
    if unpack and not unpack.eof and response.status_code not in WITHOUT_CONTENT:
        raise Unavailable(f"{what}: the answer breaks off.")
    location = response.headers.get("Location", "nowhere")
    return Answer(response.status_code, response.reason_phrase, location, content)


def _unpacking(encoding: str, what: str) -> Any:
    match encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip" | "deflate":
            return zlib.decompressobj(zlib.MAX_WBITS | 32)  # either, by its first bytes
    raise NotUnderstood(
        f"{what}: the answer comes in Content-Encoding {encoding[:EXPLANATION]!r}, which was not asked for."
    )


def understood(answer: Answer, what: str, secrets: Collection[str]) -> Any:
    """Return the decoded content of an answer, None if it is empty; or raise what it says.

    :param what: the request, to be named.
    :param secrets: what is hidden, should the server repeat it.
    :raises NotUnderstood: it says that all is well, and is no JSON.
    """
    status = answer.status
    value, is_json = decoded(answer)
    if 200 <= status < 300:
        if not is_json:
            raise NotUnderstood(
                f"{what}: the answer is {said(answer, value, secrets)}, and not Label Studio's. {NO_BASE}"
            )
        return value
    if 300 <= status < 400:
        raise Unusable(
            f"{what}: redirects to {without(answer.location, secrets)[:EXPLANATION]!r}, where the token is not sent. "
            "Correct the Server URL of the connection."
        )
    told = f"{what}: {status}, {said(answer, value, secrets)}"
    if status == httpx.codes.UNAUTHORIZED:
        raise Unusable(f"{told}. {_remedy(value)}")
    if status == httpx.codes.FORBIDDEN:
        raise Denied(f"{told}. The user of this token may not do that.")
    if status == httpx.codes.NOT_FOUND:
        raise NotFound(f"{what}: there is no such thing, or the user of this token may not see it.")
    if status in MOMENTARY:
        raise NotSent(f"{told}.")
    if status == httpx.codes.GATEWAY_TIMEOUT:
        raise TooLate(f"{told}.")
    if 400 <= status < 500:
        refusal = REFUSALS.get(status, Refused)
        raise refusal(f"{told}.", reasons=value.get("validation_errors") if isinstance(value, dict) else None)
    by_label_studio = isinstance(value, dict) and "status_code" in value
    raise (RequestFailed if by_label_studio else Unavailable)(f"{told}.")


def checked(value: Any, shape: Any, what: str) -> Any:
    """Return what an answer holds as it is, if it has a shape: a type, as msgspec knows them.

    :raises NotUnderstood: it has not.
    """
    try:
        msgspec.convert(value, shape)
    except (msgspec.ValidationError, RecursionError) as error:
        raise NotUnderstood(f"{what}: the answer is not Label Studio's: {error}. {NO_BASE}") from None
    return value


def decoded(answer: Answer) -> tuple[Any, bool]:
    """Return the content of an answer, and whether it is JSON; nothing at all is taken for null."""
    if not answer.content:
        return None, True
    try:
        return msgspec.json.decode(answer.content), True
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None, False


def said(answer: Answer, value: Any, secrets: Collection[str]) -> str:
    """Return what an answer says to a person: the detail of Label Studio's errors, the title of a page."""
    if isinstance(value, dict):
        parts = (value.get("detail") or value.get("message"), value.get("validation_errors"))
        text = "; ".join(text_of(part) for part in parts if part)
    elif value is not None:
        text = text_of(value)
    else:
        text = _of_page(answer.content[:LOOKED_AT].decode(errors="replace"))
    text = without(text or answer.reason, secrets)
    return text.rstrip(".") if len(text) <= EXPLANATION else text[:EXPLANATION] + "..."


def text_of(value: Any) -> str:
    """Return a value that a server has sent as a text, as far as it is looked at."""
    return (value if isinstance(value, str) else repr(value))[:LOOKED_AT]


def _of_page(text: str) -> str:
    begin = text.lower().find("<title>")
    end = text.lower().find("</title>", begin)
    if 0 <= begin < end:
        return f"a page titled {text[begin + len('<title>') : end].strip()!r}"
    return f"{text.strip()[:100]!r}"


def _remedy(value: Any) -> str:
    detail = text_of(value.get("detail", "")).lower() if isinstance(value, dict) else ""
    if "legacy" in detail:
        return (
            "Legacy tokens are switched off there. Use a personal access token, or switch them on: Organization, "
            "API Tokens Settings."
        )
    return "Put a token that is valid there into the connection: Account & Settings of its user shows it."
