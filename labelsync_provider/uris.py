"""URIs, keys and messages as they are shown: without secrets, and without what no line of a log may hold."""

import re
from collections.abc import Iterable
from itertools import pairwise

BEGIN = re.compile(r"(?<![^\s\"'`(\[{,;=<>|*])[A-Za-z][\w+.-]*://")
"""Of a URI in a text: behind another character, it is a part of the one before."""
# Of a run of such characters, only the first place is tried: each would look at all the rest.
URI_AND_REST = re.compile(r"\A(.*?)((?<![,;:.)\]}])[,;:.)\]}]*+(?:[\"'`<>\s].*|\Z))", re.DOTALL)
LOGIN_AHEAD = re.compile(r":|%3a|^a[ks]ia[0-9a-z]{16}", re.IGNORECASE)
"""What stands before the first slash only where keys were pasted; a secret may hold slashes, and go on behind it."""
AT = re.compile(r"@|%40", re.IGNORECASE)
HOST = re.compile(r"(?:[^:]+|\[[\da-f:.]+\]):\d{1,5}|\[[\da-f:.]+\]?", re.IGNORECASE)
"""With a port, or of IPv6, what holds a colon all the same."""
SIGNATURE = re.compile(
    r"(?:[?&]|%3f|%26)(?:sig|signature|x-(?:amz|goog)-[\w-]+|awsaccesskeyid|googleaccessid|aws_secret_access_key"
    r"|(?:access|session|security)_?token|secret_?key|password)(?:=|%3d)",
    re.IGNORECASE,
)
HIDDEN = "***"
SHORTEST_SECRET = 4
"""Characters."""


def without_secrets(text: str) -> str:
    """Return a text, a URI itself or one that quotes some, with `***` for each login and signature.

    A login stands before an `@`, and its secret may hold anything, slashes too. Where it is not clear how far it goes,
    rather more is hidden. What is behind an `@` in a key, `s3://bucket/ann@example.com/`, is none, and stays.
    """
    if [found.start() for found in BEGIN.finditer(text)] == [0]:
        return _shown(text)
    return _quoted_without_secrets(text)


def shown(text: str) -> str:
    """Return a message, or a part of one, as a log may have it: on one line, and with no login or signature in it."""
    return printable(_quoted_without_secrets(text))


def printable(text: str) -> str:
    """Return a text with escapes for line breaks, control characters and halves of surrogates: a key may hold any."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def without(text: str, secrets: Iterable[str | None]) -> str:
    """Return what another side says, with `***` for each of these secrets that it repeats."""
    for secret in secrets:
        # A shorter one would be found in any sentence.
        if secret and len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, HIDDEN)
    return text


def _quoted_without_secrets(text: str) -> str:
    borders = [0, *(found.start() for found in BEGIN.finditer(text)), len(text)]
    before, *parts = [text[begin:end] for begin, end in pairwise(borders)]
    return before + "".join(_shown(uri) + rest for part in parts for uri, rest in URI_AND_REST.findall(part))


def _shown(uri: str) -> str:
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{_without_signature(scheme.lower(), _without_login(rest))}"


def _without_login(rest: str) -> str:
    authority = rest.partition("/")[0]
    if authority.startswith("arn:"):
        return rest  # an access point of S3
    pasted = LOGIN_AHEAD.search(authority)
    ats = list(AT.finditer(rest if pasted else authority))
    if ats:
        return f"{HIDDEN}@{rest[ats[-1].end() :]}"
    return HIDDEN if pasted and pasted.group() != authority and not HOST.fullmatch(authority) else rest


def _without_signature(scheme: str, rest: str) -> str:
    if scheme == "file":
        return rest
    if scheme in ("http", "https"):
        plain, *query = re.split(r"[?#]", rest, maxsplit=1)
        return f"{plain}?{HIDDEN}" if query else plain
    found = SIGNATURE.search(rest)
    if found is None:
        return rest
    asked = rest.find("?", 0, found.start())
    return f"{rest[: found.start() if asked < 0 else asked]}?{HIDDEN}"


def if_wildcard(uri: str) -> str:
    """Return the remedy for a URI in which somebody may have meant a wildcard; empty if there is none in it."""
    if not any(character in uri for character in "*?"):
        return ""
    return (
        " A * or a ? in it is taken as it is written: name the folder or prefix alone, and choose among its objects by "
        "regex_filter, such as .*[.]jpg$."
    )
