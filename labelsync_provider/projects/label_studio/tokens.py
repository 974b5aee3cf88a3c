"""The two kinds of tokens of Label Studio, and what a request shows of them.

Source: https://labelstud.io/guide/access_tokens
"""

import math
import threading
import time
from collections.abc import Callable
from typing import Any

from labelsync_provider.errors import Unusable, invalid
from labelsync_provider.projects.label_studio.answers import Answer, NotSent, NotUnderstood, decoded, said, understood

USED_UP = 0.8
"""An access token is renewed when so much of its life is over; it lives for 300 seconds."""

REFRESH = "/api/token/refresh/"

Refresh = Callable[[str, dict[str, str]], Answer]
"""Posts a body to a path, with no token, and returns the answer."""


class LegacyToken:
    """Is shown as it is."""

    renewable = False

    def __init__(self, token: str) -> None:
        self.secrets = {token}

    def header(self, refresh: Refresh, *, refused: str = "") -> str:
        """Return the header that a request shows."""
        (token,) = self.secrets
        return f"Token {token}"


class PersonalAccessToken:
    """Is shown for access tokens only, which are shown one after the other, each for minutes."""

    renewable = True

    def __init__(self, token: str, url: str) -> None:
        self._token, self._url = token, url
        self._renewing = threading.Lock()
        self._access = ""
        self._renew_at = 0.0

    @property
    def secrets(self) -> set[str]:
        """What is not to be shown."""
        return {self._token, self._access} - {""}

    def header(self, refresh: Refresh, *, refused: str = "") -> str:
        """Return the header that a request shows.

        Of threads that find it used up, or refused, one renews it, and the others wait for that.

        :param refused: the header that was shown and is not taken any more.
        """
        with self._renewing:
            if time.monotonic() >= self._renew_at or refused == f"Bearer {self._access}":
                self._renew(refresh(REFRESH, {"refresh": self._token}))
            return f"Bearer {self._access}"

    def _renew(self, answer: Answer) -> None:
        what = f"{self._url}: POST {REFRESH}"
        if answer.status >= 500:
            value, _ = decoded(answer)
            raise NotSent(f"{what}: {answer.status}, {said(answer, value, self.secrets)}.")
        try:
            value = understood(answer, what, self.secrets)
        except NotUnderstood as error:
            raise Unusable(str(error)) from None  # nothing was asked for yet, but a token
        access = value.get("access") if isinstance(value, dict) else None
        claims = _claims(access) if isinstance(access, str) and access.isascii() and access.isprintable() else None
        if claims is None:
            raise Unusable(f"{what}: the answer holds no access token. Is there a Label Studio at {self._url}?")
        ends = claims.get("exp", 0)
        life = _seconds(ends) - _seconds(claims.get("iat", ends))
        self._access, self._renew_at = str(access), time.monotonic() + USED_UP * life


def _seconds(value: Any) -> float:
    """Return an instant that a token names; what is none is 0, so that the token is used once."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return 0.0
    return float(value) if abs(value) < 2**53 and math.isfinite(value) else 0.0


def token_of(token: str, url: str) -> LegacyToken | PersonalAccessToken:
    """Tell the two kinds apart: a personal access token is a JWT that says "refresh".

    :param url: the base URL of the server.
    :raises Invalid: it is neither.
    """
    claims = _claims(token)
    if claims is None:
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise invalid("token", "***", "it is empty, or no token", "Set the connection's password to a token.")
        return LegacyToken(token)
    if claims.get("token_type") != "refresh":
        remedy = "Use a personal access token, or the legacy token, from Account & Settings."
        raise invalid("token", "***", f"it is an {claims.get('token_type')!r} token, which ends in minutes", remedy)
    return PersonalAccessToken(token, url)


def _claims(token: str) -> dict[str, Any] | None:
    """Return what a JWT says, unverified; None if it is none."""
    if token.count(".") != 2:
        return None
    import jwt  # with cryptography behind it, which a legacy token need not wait for

    try:
        return dict(jwt.decode(token, options={"verify_signature": False}))
    except (jwt.InvalidTokenError, RecursionError):
        return None
