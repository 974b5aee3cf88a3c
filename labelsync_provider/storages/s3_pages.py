"""Pages of a listing as S3 gives them in XML, and GCS in its XML API: ListObjectsV2.

The SDKs make a dictionary and a date of every object, which takes five times as long as the service.
"""

from urllib.parse import unquote_plus
from xml.etree import ElementTree

from labelsync_provider.storages.protocol import ObjectInfo, Page


def objects_of_page(body: bytes) -> tuple[Page, str | None]:
    """Return the objects of a page, and the token of the next page, if there is one.

    Rule: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html

    :param body: the answer to a request with `encoding-type=url`.
    :raises ElementTree.ParseError: it is not XML, or not all of it.
    :raises ValueError: it is another document.
    """
    root = ElementTree.fromstring(body)  # noqa: S314 - expat expands no external entity
    namespace, _, name = root.tag.rpartition("}")
    if name != "ListBucketResult":
        raise ValueError(f"not a listing but {name!r}")
    namespace = namespace and namespace + "}"
    quoted = root.findtext(namespace + "EncodingType") == "url"
    names = [namespace + name for name in ("Key", "Size", "Generation", "ETag")]
    objects = []
    for item in root.iter(namespace + "Contents"):
        key, size, generation, etag = map(item.findtext, names)
        if key is None or size is None:
            raise ValueError("a listing with an object that has no key or no size")
        if quoted and ("%" in key or "+" in key):
            key = unquote_plus(key)
        objects.append(ObjectInfo(key, int(size), generation or version_of(etag)))
    if root.findtext(namespace + "IsTruncated") != "true":
        return objects, None
    return objects, root.findtext(namespace + "NextContinuationToken")


def version_of(etag: str | None) -> str:
    """Return the version that an ETag stands for, however it is quoted."""
    return (etag or "").removeprefix("W/").strip('"')
