"""ETags: the same one is quoted by one server and not by another, and weak behind a proxy that compresses."""


def version_of(etag: str | None) -> str:
    """Return the version that an ETag stands for, however it is quoted."""
    return (etag or "").removeprefix("W/").strip('"')
