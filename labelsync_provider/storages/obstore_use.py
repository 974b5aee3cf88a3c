"""How obstore is used: its options, and the keys that it cannot express."""

import re
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

CLIENT_OPTIONS: "ClientConfig" = {
    "connect_timeout": timedelta(seconds=10),
    "read_timeout": timedelta(seconds=60),
    # Of a whole request; the largest task file takes its time on a thin line.
    "timeout": timedelta(minutes=15),
}
NO_RETRIES: "RetryConfig" = {"max_retries": 0}
"""obstore's own retries would multiply with those of `call_with_retries`."""

INEXPRESSIBLE = re.compile(r"(?:^|/)\.{0,2}(?:/|$)|[\x00-\x1f\x7f]").search
"""obstore takes no empty segment, `.`, `..` or control character; some it rewrites, into another object's key."""
