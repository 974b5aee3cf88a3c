"""What is new in a source: counted for whoever waits for it. Nothing is read, written or locked."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

from sqlalchemy import Engine

from labelsync_provider.projects.protocol import Project
from labelsync_provider.storages.protocol import ObjectInfo, Page, Storage
from labelsync_provider.sync.compare import compare
from labelsync_provider.sync.identity import refuse_other_birth
from labelsync_provider.sync.importing.checks import data_key_of
from labelsync_provider.sync.importing.listing import Filter, worth_a_run
from labelsync_provider.sync.importing.options import ImportOptions
from labelsync_provider.sync.importing.readings import refuse_other_reading
from labelsync_provider.sync.importing.state import judged_by
from labelsync_provider.sync.ledger.imports import ImportLedger
from labelsync_provider.sync.ledger.records import KnownObject
from labelsync_provider.sync.names import markers_of

DIGEST_SIZE = 16
"""In bytes, of the digest of what is new."""


@dataclass
class NewObjects:
    """What one look at a source shows, in objects."""

    listed: int = 0
    matched: int = 0
    """Of these, those that pass `regex_filter`; markers that tools leave do not count."""
    new: int = 0
    """Of these, those that the ledger does not know for this project."""
    retriable: int = 0
    """And those in quarantine that are worth another try."""
    digest: str = ""
    """Another one whenever an object that waits for its import has come, gone or changed."""
    unmatched: str | None = None
    """The first key that did not match."""

    @property
    def waiting(self) -> int:
        """How many objects wait for an import."""
        return self.new + self.retriable


class Quiet(NamedTuple):
    """Since when nothing has changed, in seconds since the epoch by the clock of whoever looks.

    Objects tell when they were changed, but by the storage's clock, if at all (Redis does not), and a copy that keeps
    the times of its files tells of a day long past. So it is seen by looking: what shows the same twice is quiet.
    """

    digest: str
    since: float
    """When this digest was seen first."""
    enough_since: float
    """When there were enough objects first."""


def count_new_objects(source: Storage, project: Project, engine: Engine, options: ImportOptions) -> NewObjects:
    """Count what an import of the same options would find new.

    What has changed in an object whose tasks are there is not new. Nor is what a storage or a server has refused for
    the moment: every run tries that again, and one that is begun for nothing else would be the first of many.

    :param engine: the database of the ledger. Without tables in it, everything is new.
    :raises Invalid: `data_key` is needed and not given; or what is there was imported by the other `use_blob_urls`; or
        the project is not the one that the ledger knows by its `uri`.
    :raises Denied: permissions do not allow to list.
    :raises Unusable: the source cannot be used as it is named and logged in to.
    :raises Unavailable: the listing broke off.
    :raises SchemaOutdated: the database is of another version of this package.
    """
    judge = judged_by(project, options, data_key_of(project, options))
    refuse_other_birth(project, engine, read_only=True)
    ledger = ImportLedger.if_known(engine, project.uri, source.location, as_blobs=options.use_blob_urls)
    if ledger:
        refuse_other_reading(source, project, ledger, options)
    found, passes, digests = NewObjects(), Filter(options.regex_filter), 0
    is_marker = markers_of(source)

    def pages() -> Iterator[Page]:
        for page in source.list():
            objects = passes(page)
            found.listed += len(page)
            found.matched += len(objects)
            yield objects

    def waits_for_nothing(info: ObjectInfo, known: KnownObject) -> bool:
        return not worth_a_run(info, known, judge)

    between, at = (ledger.objects_between, ledger.objects_at) if ledger else (_nothing, _nothing)
    for page in compare(pages(), source.location, waits_for_nothing, between, at):
        for path, info, known in page.fresh:
            if known is None and is_marker(info):
                found.matched -= 1
                continue
            if known is not None and known.quarantined:
                found.retriable += 1
            else:
                found.new += 1
            digests += _digest(path, info)
    found.digest = _sum_of([digests])
    found.unmatched = passes.unmatched
    return found


def summed(found: Sequence[NewObjects]) -> NewObjects:
    """Return what several sources show together."""
    return NewObjects(
        listed=sum(one.listed for one in found),
        matched=sum(one.matched for one in found),
        new=sum(one.new for one in found),
        retriable=sum(one.retriable for one in found),
        digest=_sum_of(int(one.digest, 16) for one in found),
        unmatched=next((one.unmatched for one in found if one.unmatched is not None), None),
    )


def quiet_since(before: Quiet | None, found: NewObjects, now: float) -> Quiet:
    """Return since when what waits has not changed, from what the look before has shown."""
    if before is None:
        return Quiet(found.digest, now, now)
    return before if before.digest == found.digest else Quiet(found.digest, now, before.enough_since)


def _digest(path: str, info: ObjectInfo) -> int:
    """Return a number of an object and its version; these are added up, whatever order a service lists in."""
    text = f"{path}\0{info.version}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=DIGEST_SIZE).digest(), "big")


def _sum_of(digests: Iterable[int]) -> str:
    return f"{sum(digests) % (1 << 8 * DIGEST_SIZE):x}"


def _nothing(*_: str | Sequence[str] | None) -> Iterator[list[KnownObject]]:
    return iter(())
