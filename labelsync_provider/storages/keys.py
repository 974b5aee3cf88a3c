"""Keys as they are listed: one that no database takes is listed by another that tells what it is."""

import re
from hashlib import blake2b

LONGEST_KEY = 2500
"""In bytes of UTF-8: an index of PostgreSQL takes 2,704, and the names of project and row are in it."""
MOST_BYTES_OF_A_CHARACTER = 4
SHORT_KEY = LONGEST_KEY // MOST_BYTES_OF_A_CHARACTER
"""In characters: it need not be measured."""
NO_PATH = re.compile(r"(?:^|/)\.{0,2}(?:/|$)|\0").search
"""Of a path of files, no name may be empty, `.` or `..`."""
SHOWN = 200
"""Characters of a key that is too long, with which the key begins that it is listed by."""

UNFIT = re.compile("[\0\ud800-\udfff]").search
"""PostgreSQL takes no NUL, and nothing but UTF-8: no half of a surrogate pair."""


def is_longer(key: str, most: int) -> bool:
    """Tell whether a key has more than so many bytes of UTF-8."""
    return len(key) > most // MOST_BYTES_OF_A_CHARACTER and len(key.encode()) > most


def listed_key(key: str) -> tuple[str, str | None]:
    """Return the key to list an object by, and what is wrong with its own, if it is another."""
    if UNFIT(key):
        what = "a NUL character" if "\0" in key else "half a surrogate pair, which is no UTF-8"
        escaped = key.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()
        return listed_key(escaped)[0], f"its key holds {what}; rename it"
    if is_longer(key, LONGEST_KEY):
        encoded = key.encode()
        digest = blake2b(encoded, digest_size=8).hexdigest()
        return f"{key[:SHOWN]}...{digest}", f"its key has {len(encoded):,} bytes, more than {LONGEST_KEY:,}; shorten it"
    return key, None
