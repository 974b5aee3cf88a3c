"""Pages of a listing as S3 gives them in XML, and GCS in its XML API: ListObjectsV2.

The SDKs make a dictionary and a date of every object, which takes five times as long as the service. A tree of
the XML takes as long as the service: six thousand nodes a page, which the garbage collector visits again and again.

GCS is asked by a plain request of google-auth's session. S3 is asked through botocore's client, by an event before its
parser, and not by a plain signed request. For that, botocore offers `generate_presigned_url` and an HTTP session of
one's own. A signature in a URL is one that a bucket's policy can refuse (`s3:authType`); which CA is trusted stands in
the client's own session alone, which it keeps to itself; and the client follows a bucket to its region, by which a
wrong one is named.
"""

import re
import sys
from urllib.parse import unquote_plus

from labelsync_provider.storages.etags import version_of
from labelsync_provider.storages.keys import SHORT_KEY, listed_key
from labelsync_provider.storages.protocol import ObjectInfo, Page

BEGIN, END = "<ListBucketResult", "</ListBucketResult>"
FIELDS = re.compile(r"<(Key|Size|Generation|ETag|LastModified)>([^<]*)<")
URL_ENCODED = re.compile(r"<EncodingType>\s*url\s*<")
NEXT = re.compile(r"<NextContinuationToken>([^<]+)<")
ENTITY = re.compile(r"&(?:#x([0-9a-fA-F]+)|#([0-9]+)|(amp|lt|gt|quot|apos));")
NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
TRUNCATED = re.compile(r"<IsTruncated>\s*true\s*<")
LARGEST_SIZE = 2**63 - 1


def objects_of_page(body: bytes) -> tuple[Page, str | None]:
    """Return the objects of a page, and the token of the next page, if there is one.

    No step looks at a part of it more than once, whoever wrote it.
    Rule: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html

    :param body: the answer to a request with `encoding-type=url`; not every server heeds that.
    :raises ValueError: it is no such page, or not all of it.
    """
    page = body.decode()
    if BEGIN not in page or not page.rstrip().endswith(END):
        raise ValueError("not a listing, or not all of it")
    url_encoded = URL_ENCODED.search(page) is not None
    objects = []
    about, *parts = page.split("<Contents>")
    for part in parts:
        contents, closed, between = part.partition("</Contents>")
        if not closed:
            raise ValueError("not a listing, or not all of it")
        objects.append(_object(contents, url_encoded=url_encoded))
        about += between
    if not TRUNCATED.search(about):
        return objects, None
    following = NEXT.search(about)
    if following is None:
        raise ValueError("not a listing: it names no next page, and not all of it is here")
    return objects, ENTITY.sub(_character, following[1])


def _object(contents: str, *, url_encoded: bool) -> ObjectInfo:
    fields = dict(FIELDS.findall(contents))
    key, size, version = fields.get("Key"), fields.get("Size"), fields.get("Generation") or fields.get("ETag")
    if key is None or size is None:
        raise ValueError("not a listing: an object has no key or no size")
    problem = None
    if "&" in key or "%" in key or "+" in key or "\0" in key or len(key) > SHORT_KEY:
        if "&" in key:
            key = ENTITY.sub(_character, key)
        if url_encoded:
            key = unquote_plus(key, errors="surrogateescape")
        key, problem = listed_key(key)
    if version and "&" in version:
        version = ENTITY.sub(_character, version)
    return ObjectInfo(key, size_of(size), version_of(version), problem, fields.get("LastModified"))


def size_of(text: str) -> int:
    """Return the size that a listing shows.

    :raises ValueError: it is none.
    """
    size = int(text)
    if not 0 <= size <= LARGEST_SIZE:
        raise ValueError("not a listing: an object has no size that can be")
    return size


def _character(entity: re.Match[str]) -> str:
    hexadecimal, decimal, name = entity.groups()
    if name:
        return NAMED[name]
    number = int(hexadecimal, 16) if hexadecimal else int(decimal)
    if number > sys.maxunicode:
        raise ValueError("not a listing: it holds a character that there is not")
    return chr(number)
