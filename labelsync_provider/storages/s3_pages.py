"""Pages of a listing as S3 gives them in XML, and GCS in its XML API: ListObjectsV2.

The SDKs make a dictionary and a date of every object, which takes five times as long as the service. A tree of
the XML takes as long as the service: six thousand nodes a page, which the garbage collector visits again and again.
"""

import re
from urllib.parse import unquote_plus

from labelsync_provider.storages.protocol import ObjectInfo, Page

ROOT = re.compile(r"<ListBucketResult[\s>].*</ListBucketResult>\s*\Z", re.DOTALL)
CONTENTS = re.compile(r"<Contents>(.*?)</Contents>", re.DOTALL)
FIELDS = re.compile(r"<(Key|Size|Generation|ETag)>([^<]*)<")
URL_ENCODED = re.compile(r"<EncodingType>\s*url\s*<")
NEXT = re.compile(r"<NextContinuationToken>([^<]*)<")
ENTITY = re.compile(r"&(?:#x([0-9a-fA-F]+)|#([0-9]+)|(amp|lt|gt|quot|apos));")
NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
TRUNCATED = re.compile(r"<IsTruncated>\s*true\s*<")


def objects_of_page(body: bytes) -> tuple[Page, str | None]:
    """Return the objects of a page, and the token of the next page, if there is one.

    Rule: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html

    :param body: the answer to a request with `encoding-type=url`; not every server heeds that.
    :raises ValueError: it is no such page, or not all of it.
    """
    page = body.decode()
    if not ROOT.search(page):
        raise ValueError("not a listing, or not all of it")
    url_encoded = URL_ENCODED.search(page) is not None
    objects = []
    for contents in CONTENTS.findall(page):
        fields = dict(FIELDS.findall(contents))
        key, size, version = fields.get("Key"), fields.get("Size"), fields.get("Generation") or fields.get("ETag")
        if key is None or size is None:
            raise ValueError("not a listing: an object has no key or no size")
        if "&" in key:
            key = ENTITY.sub(_character, key)
        if url_encoded and ("%" in key or "+" in key):
            key = unquote_plus(key)
        objects.append(ObjectInfo(key, int(size), version_of(version)))
    if not TRUNCATED.search(page):
        return objects, None
    following = NEXT.search(page)
    if following is None:
        raise ValueError("not a listing: it names no next page, and not all of it is here")
    return objects, ENTITY.sub(_character, following[1])


def version_of(etag: str | None) -> str:
    """Return the version that an ETag stands for, however it is quoted."""
    etag = etag or ""
    return (ENTITY.sub(_character, etag) if "&" in etag else etag).removeprefix("W/").strip('"')


def _character(entity: re.Match[str]) -> str:
    hexadecimal, decimal, name = entity.groups()
    return NAMED[name] if name else chr(int(hexadecimal, 16) if hexadecimal else int(decimal))
