"""Titles: which projects were found by which title. A person may rename one, and a DAG goes on naming it as before."""

from typing import Protocol

from sqlalchemy import Engine, select

from labelsync_provider.database import upsert_rows, writing
from labelsync_provider.database.schema import check_schema, ensure_schema
from labelsync_provider.sync.ledger.tables import TITLE


class Titled(Protocol):
    """What a project is known by, and what it is called."""

    uri: str
    created_at: str
    title: str


def note_title(engine: Engine, project: Titled) -> None:
    """Note that a project has its title, unless that is known."""
    ensure_schema(engine)
    known = select(TITLE.c.created_at).where(TITLE.c.title == project.title, TITLE.c.project == project.uri)
    with engine.connect() as connection:
        if connection.scalar(known) == project.created_at:
            return
    with writing(engine) as connection:
        upsert_rows(connection, TITLE, [(project.title, project.uri, project.created_at)])


def once_titled(engine: Engine, title: str, *, read_only: bool) -> list[tuple[str, str]]:
    """Return the projects that have had a title: the `uri` and `created_at` of each.

    :param read_only: leave the schema of the database as it is.
    :raises SchemaOutdated: the schema is older and `read_only`, or newer than this package.
    """
    if not read_only:
        ensure_schema(engine)
    elif not check_schema(engine):
        return []
    known = select(TITLE.c.project, TITLE.c.created_at).where(TITLE.c.title == title).order_by(TITLE.c.project)
    with engine.connect() as connection:
        return [(uri, created_at) for uri, created_at in connection.execute(known)]
