"""URIs, keys and messages as they are shown: without secrets, and without what no line of a log may hold."""

import re
from collections.abc import Iterable

SCHEMES = r"(?:s3[an]?|gcs|gs|azure(?:-blob)?|wasbs?|abfss?|rediss?|https?)"
APART = r"(?<![^\s\"'`(\[{,;=<>|*])"
"""Behind one of these, what begins is no part of the URI before."""
# Of a run of such characters, only the first place is tried: each would look at all the rest.
BEGIN = re.compile(
    rf"(?<![\w+.-])(?:[\w+.-]+:/{{2,}}|{SCHEMES}:/"
    rf"|{APART}(?::/{{2,}}|{SCHEMES}(?:;/+|/{{2,}}|:\\+|(?P<bare>:(?=[^\s/])))))",
    re.IGNORECASE,
)
"""Of a URI in a text, wherever it stands, in the key of another one too; and of what is meant for one: `s3:/bucket`,
`s3//bucket`, `://bucket`, `s3:bucket`, the last ones only apart, as ARNs and paths hold them."""
IS_APART = re.compile(APART)
END = re.compile(r"[\"'`<>\s]")
PUNCTUATION = frozenset(",;:.)]}")
"""Behind a URI, that of the text."""
LOGIN_AHEAD = re.compile(r":|%3a|^a[ks]ia[0-9a-z]{16}", re.IGNORECASE)
"""What stands before the first slash only where keys were pasted; a secret may hold slashes, and go on behind it."""
AT = re.compile(r"@|%40", re.IGNORECASE)
LONGEST_SECRET = 200
"""Characters behind a blank or a quotation mark among which the `@` of a login is looked for."""
HOST = re.compile(r"(?:[^:]+|\[[\da-f:.]+\]):\d{1,5}|\[[\da-f:.]+\]?", re.IGNORECASE)
"""With a port, or of IPv6, what holds a colon all the same."""
SIGNATURE = re.compile(
    r"(?:[?&#;]|%3f|%26|%23|%3b)(?:[\w.-]*(?:token|secret|secret[_-]?key|signature|passw(?:or)?d|credentials?"
    r"|(?:api|access|account|private)[_-]?key(?:[_-]?id)?)|sig|pwd|auth|authorization|x-(?:amz|goog)-[\w-]+"
    r"|awsaccesskeyid|googleaccessid)(?:=|%3d)",
    re.IGNORECASE,
)
WEB = re.compile(r"https?:/", re.IGNORECASE)
SERVED = "/data/local-files/?d="
"""What stands before the path of a file in the URL under which Label Studio serves it."""
IS_SERVERS = re.compile(r"(?:https?://[^\s?#]+)?", re.IGNORECASE).fullmatch
"""Tells whether what stands before the path under which Label Studio serves a file is its own address, or nothing."""
QUERY = re.compile(r"[?#]")
HIDDEN = "***"
SHORTEST_SECRET = 4
"""Characters."""


def without_secrets(text: str) -> str:
    """Return a text, a URI itself or one that quotes some, with `***` for each login and signature.

    A login stands before an `@`, and its secret may hold anything, slashes too. Where it is not clear how far it goes,
    rather more is hidden. What is behind an `@` in a key, `s3://bucket/ann@example.com/`, is none, and stays.
    """
    begins = [found.start() for found in BEGIN.finditer(text)]
    if begins[:1] == [0] and not any(IS_APART.match(text, begin) for begin in begins[1:]):
        return _without_signature(_without_logins(text)[0])
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
    told: list[str] = []
    done = 0
    for begin, limit in _begins(text):
        if begin < done:
            continue
        end = _end(text, begin, limit)
        uri, is_open = _without_logins(text[begin:end])
        # The secret may hold what ends a URI.
        if is_open and (at := AT.search(text, end, min(limit, end + LONGEST_SECRET))):
            end = _end(text, at.end(), limit)
            uri += text[at.start() : end]
        told += [text[done:begin], _without_signature(uri)]
        done = end
    return "".join([*told, text[done:]])


def _begins(text: str) -> list[tuple[int, int]]:
    """Return where URIs begin, and how far each may go: to the next one that stands apart."""
    found, limit = [], len(text)
    for begin in reversed([one.start() for one in BEGIN.finditer(text)]):
        found.append((begin, limit))
        if IS_APART.match(text, begin):
            limit = begin
    return found[::-1]


def _end(text: str, begin: int, limit: int) -> int:
    ended = END.search(text, begin, limit)
    end = ended.start() if ended else limit
    while end > begin and text[end - 1] in PUNCTUATION:
        end -= 1
    return end


def _without_logins(uri: str) -> tuple[str, bool]:
    """Return a URI, and those that stand in it, without logins, and whether the last one may go on behind it."""
    last = max((at.end() for at in AT.finditer(uri)), default=0)
    told: list[str] = []
    done = 0
    begins = list(BEGIN.finditer(uri))
    for found, behind in zip(begins, [*(one.start() for one in begins[1:]), len(uri)], strict=True):
        start = found.end()
        slash = uri.find("/", start, behind)
        authority = uri[start : behind if slash < 0 else slash]
        if authority.startswith("arn:") or found.group().lower() == "file:///":
            continue  # an access point of S3, or a path
        pasted = LOGIN_AHEAD.search(authority)
        if pasted and last > start:
            return f"{''.join(told)}{uri[done:start]}{HIDDEN}@{uri[last:]}", False
        if ats := list(AT.finditer(authority)):
            told += [uri[done:start], HIDDEN, "@"]
            done = start + ats[-1].end()
        elif pasted and not found["bare"] and pasted.group() != authority and not HOST.fullmatch(authority):
            if slash < 0 and behind < len(uri):
                continue  # the colon stands before the next URI
            return f"{''.join(told)}{uri[done:start]}{HIDDEN}", True
    return "".join([*told, uri[done:]]), False


def _without_signature(uri: str) -> str:
    if uri.lower().startswith("file:"):
        return uri
    found = SIGNATURE.search(uri)
    ends = [uri.find("?", 0, found.start()), found.start()] if found else []
    if (web := WEB.search(uri)) and (query := QUERY.search(uri, web.end())):
        ends.append(query.start())
    end = min((end for end in ends if end >= 0), default=None)
    return uri if end is None else f"{uri[:end]}?{HIDDEN}"


def if_wildcard(uri: str) -> str:
    """Return the remedy for a URI in which somebody may have meant a wildcard; empty if there is none in it."""
    if not any(character in uri for character in "*?"):
        return ""
    return (
        " A * or a ? in it is taken as it is written: name the folder or prefix alone, and choose among its objects by "
        "regex_filter, such as .*[.]jpg$."
    )
