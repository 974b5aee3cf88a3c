"""Who a project is: its `uri` names it, and when it was created tells it from another one that has its name later."""

from datetime import datetime

from sqlalchemy import Engine, select, update

from labelsync_provider.database import writing
from labelsync_provider.database.schema import check_schema, ensure_schema
from labelsync_provider.errors import Invalid
from labelsync_provider.projects.protocol import Named
from labelsync_provider.sync.ledger.tables import SCOPE, STORAGE


def refuse_other_birth(project: Named, engine: Engine, *, read_only: bool) -> None:
    """Make sure that a project is the one that the ledger knows by its `uri`, whatever was synced with it.

    :param read_only: change nothing. Otherwise it is noted when the project was created, where that is not known.
    :raises Invalid: it is another one.
    :raises SchemaOutdated: the schema is older and `read_only`, or newer than this package.
    """
    if not read_only:
        ensure_schema(engine)
    elif not check_schema(engine):
        return
    of_project = STORAGE.c.scope.in_(select(SCOPE.c.id).where(SCOPE.c.project == project.uri))
    with engine.connect() as connection:
        known = set(connection.scalars(select(STORAGE.c.project_created_at).where(of_project).distinct()))
    for created_at in sorted(known - {None, project.created_at}):
        if _instant(created_at) != _instant(project.created_at):
            raise _another(project, created_at)
    if None in known and not read_only:
        unknown = update(STORAGE).where(of_project, STORAGE.c.project_created_at.is_(None))
        with writing(engine) as connection:
            connection.execute(unknown.values(project_created_at=project.created_at))


def has_other_name(project: Named, engine: Engine) -> bool:
    """Tell whether the ledger knows a project by another `uri` too: that of its server's other name, or of a copy."""
    if not check_schema(engine):
        return False
    notes = select(STORAGE.c.project_created_at).join(SCOPE, SCOPE.c.id == STORAGE.c.scope).distinct()
    others = notes.where(SCOPE.c.project != project.uri, SCOPE.c.project.like(f"%/projects/{project.id}"))
    with engine.connect() as connection:
        noted = set(connection.scalars(others))
    return any(_instant(created_at) == _instant(project.created_at) for created_at in noted - {None})


def _instant(created_at: str) -> datetime:
    """Return when a project was created, to the millisecond: Django's dumpdata, which moves databases, has no more."""
    instant = datetime.fromisoformat(created_at)
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def _another(project: Named, created_at: str) -> Invalid:
    remedy = (
        "If the server was set up anew, or another one answers at its address, give it a name of its own in the extra "
        'of the Label Studio connection, such as {"server": "labels-2"}: the ledger then begins anew for it. If the '
        "wrong server answers, correct the Server URL, or `server`."
        if project.url
        else "Create another project, and name that one. If one of the two lives in a store of another package, each "
        "store must have a URI of its own: correct that of the package's, with which its projects' URIs begin."
    )
    return Invalid(
        f"project={project.title!r}: {project.uri} was created at {project.created_at}, but the project that the "
        f"ledger knows by this name was created at {created_at}: it is another one. Nothing was written. {remedy}"
    )
