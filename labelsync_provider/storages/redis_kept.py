"""Contents that a listing has read for their versions, kept for who reads them next."""

from threading import Lock

KEPT_BYTES = 32 * 1024 * 1024
"""Of all that is kept; the oldest make room."""


class Kept:
    """Contents by key, each taken once. Several threads may take while one keeps."""

    def __init__(self) -> None:
        self._contents: dict[str, bytes] = {}
        self._lock = Lock()
        self.size = 0
        """Of all contents, in bytes."""

    def keep(self, key: str, content: bytes) -> None:
        """Keep the content of a key, in the place of an earlier one."""
        with self._lock:
            self.size += len(content) - len(self._contents.pop(key, b""))
            self._contents[key] = content
            while self.size > KEPT_BYTES:
                self.size -= len(self._contents.pop(next(iter(self._contents))))

    def take(self, key: str) -> bytes | None:
        """Return the content of a key, which is not kept any longer; None if it is not kept."""
        with self._lock:
            content = self._contents.pop(key, None)
            self.size -= len(content or b"")
            return content
