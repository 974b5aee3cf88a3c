"""Pages of a listing as S3 gives them in XML, and GCS in its XML API: ListObjectsV2.

The SDKs make a dictionary and a date of every object, which takes five times as long as the service. A tree of
the XML takes as long as the service: six thousand nodes a page, which the garbage collector visits again and again.
"""

import re
from html import unescape
from urllib.parse import unquote_plus

from labelsync_provider.storages.protocol import ObjectInfo, Page

ROOT = re.compile(r"<ListBucketResult[\s>].*</ListBucketResult>\s*\Z", re.DOTALL)
CONTENTS = re.compile(r"<Contents>(.*?)</Contents>", re.DOTALL)
FIELDS = re.compile(r"<(Key|Size|Generation|ETag)>([^<]*)<")
URL_ENCODED = re.compile(r"<EncodingType>\s*url\s*<")
NEXT = re.compile(r"<NextContinuationToken>([^<]*)<")
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
        key = fields["Key"]
        if "&" in key:
            key = unescape(key)
        if url_encoded and ("%" in key or "+" in key):
            key = unquote_plus(key)
        objects.append(ObjectInfo(key, int(fields["Size"]), fields.get("Generation") or version_of(fields.get("ETag"))))
    following = NEXT.search(page) if TRUNCATED.search(page) else None
    return objects, unescape(following[1]) if following else None


def version_of(etag: str | None) -> str:
    """Return the version that an ETag stands for, however it is quoted."""
    etag = etag or ""
    return (unescape(etag) if "&" in etag else etag).removeprefix("W/").strip('"')
