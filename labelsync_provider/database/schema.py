"""The version of the tables, and how a database gets to the newest.

Alembic's revisions are below `migrations`. All that are due run in one transaction, together with the note that they
did: of a process that is killed on the way nothing remains, and the next one begins anew.
"""

import logging
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakSet

from sqlalchemy import Connection, Engine, column, inspect, select, table, update
from sqlalchemy.exc import DBAPIError

from labelsync_provider import __version__
from labelsync_provider.database.engines import is_absent, shown_url, writing
from labelsync_provider.errors import SchemaOutdated, Unavailable

if TYPE_CHECKING:
    from alembic.config import Config

NEWEST = "0004"
"""The last of the revisions. It stands here so that a run that has nothing to upgrade need not import Alembic."""
MIGRATIONS = Path(__file__).parent / "migrations"
LEASE_WAIT_SECONDS = 3600.0
POLL_SECONDS = 1.0
LOCK_NUMBER = 7236837
"""Of PostgreSQL's advisory lock: whoever upgrades holds it."""

# The database may be Airflow's, which has a version table of its own.
VERSION = table("labelsync_alembic_version", column("version_num"))
# These columns are the same in every revision.
LEASE = table("labelsync_lease", column("resource"), column("owner"), column("token"), column("expires_at"))

_CURRENT: WeakSet[Engine] = WeakSet()
# Alembic keeps the migration that it is at in global variables.
_ONE_AT_A_TIME = threading.Lock()

log = logging.getLogger(__name__)


class _Lease(NamedTuple):
    resource: str
    owner: str


def ensure_schema(engine: Engine) -> str | None:
    """Bring a database to the newest schema, unless it is there; one process does so while others wait.

    An older schema is upgraded when no run is at work by it, that is, when no lease is alive. What is found to be
    the newest is not looked at again for the same `engine`.

    :returns: the revision that was found; None: there were no tables.
    :raises SchemaOutdated: the schema is newer than this package, or was made by a version that was never released.
    :raises Unavailable: a run held a lease for `LEASE_WAIT_SECONDS`, or the database refuses the upgrade.
    """
    if engine in _CURRENT:
        return NEWEST
    try:
        with engine.connect() as connection:
            found = _revision(connection)
        if found != NEWEST:
            found = _upgrade(engine)
    except DBAPIError as error:
        said = " ".join(str(error.orig).split())
        raise Unavailable(f"{_database(engine)}: its schema cannot be brought to revision {NEWEST}: {said}") from error
    _CURRENT.add(engine)
    return found


def check_schema(engine: Engine) -> bool:
    """Tell whether a database has the newest schema, and change nothing; False: it has no tables of this package.

    :raises SchemaOutdated: the schema is older or newer, or was made by a version that was never released.
    """
    if engine in _CURRENT:
        return True
    if is_absent(engine):
        return False
    with engine.connect() as connection:
        found = _revision(connection)
    if found is None:
        return False
    if found != NEWEST:
        raise _outdated(engine, found)
    _CURRENT.add(engine)
    return True


def confirm_schema(connection: Connection) -> None:
    """Make the transaction of `connection` fail if another process has upgraded the schema since `ensure_schema`.

    Whoever takes a lease calls this after it has written to the lease's row: an upgrade and the taking of leases
    exclude each other, so that no run goes on by an older schema.

    :raises SchemaOutdated: the schema is not the one that this package knows.
    """
    found = connection.scalar(select(VERSION.c.version_num))
    if found != NEWEST:
        raise _outdated(connection.engine, found)


def _upgrade(engine: Engine) -> str | None:
    """Run the revisions that are due, as soon as no lease is alive; return the revision that was found."""
    deadline = time.monotonic() + LEASE_WAIT_SECONDS
    waits = False
    while True:
        with _ONE_AT_A_TIME, writing(engine) as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK_NUMBER})")
            found = _revision(connection)
            if found == NEWEST:
                return found  # another process was faster
            if found and found not in _known():
                raise _outdated(engine, found)
            lease = _live_lease(connection) if found else None
            if not lease:
                if found:
                    # A run that was paused past its lease, and knows the older schema, must not go on.
                    connection.execute(update(LEASE).values(token=LEASE.c.token + 1))
                _run_migrations(connection)
                break
        what = f"{_database(engine)}: its schema is to be upgraded from revision {found} to {NEWEST}"
        if time.monotonic() > deadline:
            raise Unavailable(
                f"{what}, but {lease.owner} has been writing to {lease.resource} for the {LEASE_WAIT_SECONDS:.0f} s "
                "that were waited. Run it again when that run has ended."
            )
        if not waits:
            log.warning("%s as soon as %s, which is writing to %s, has ended.", what, lease.owner, lease.resource)
            waits = True
        time.sleep(POLL_SECONDS)
    before = f"revision {found}" if found else "no tables"
    log.info("%s: its schema was brought from %s to revision %s.", _database(engine), before, NEWEST)
    return found


def _run_migrations(connection: Connection) -> None:
    from alembic import command

    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _live_lease(connection: Connection) -> _Lease | None:
    """Return a lease that is alive; none can be taken any more before the transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"LOCK TABLE {LEASE.name} IN EXCLUSIVE MODE")
    alive = select(LEASE.c.resource, LEASE.c.owner).where(LEASE.c.expires_at > time.time())
    found = connection.execute(alive.order_by(LEASE.c.resource)).first()
    return found and _Lease(*found)


def _revision(connection: Connection) -> str | None:
    """Return the revision that a database is at; None: it has no tables of this package.

    :raises SchemaOutdated: it has some, but no revision is noted.
    """
    # Asked once: between two questions another process may have brought them all.
    tables = inspect(connection).get_table_names()
    if VERSION.name in tables:
        revision: str | None = connection.scalar(select(VERSION.c.version_num))
        return revision
    if any(name.startswith("labelsync_") for name in tables):
        raise SchemaOutdated(
            f"{_database(connection.engine)}: its labelsync_ tables were made by a version that was never released, "
            "and cannot be upgraded. Name another database, or drop the tables whose names begin with labelsync_: the "
            "ledger is rebuilt from the projects' tasks, but projects of the embedded store are lost with them."
        )
    return None


def _outdated(engine: Engine, found: str | None) -> SchemaOutdated:
    what = f"{_database(engine)}: its schema is at revision {found}"
    if found in _known():
        return SchemaOutdated(
            f"{what}, and labelsync-provider {__version__} needs {NEWEST}. Run `airflow labelsync db migrate`."
        )
    return SchemaOutdated(
        f"{what}, which labelsync-provider {__version__} does not know: a newer version has upgraded it. Upgrade "
        "labelsync-provider here, too."
    )


def _known() -> set[str]:
    from alembic.script import ScriptDirectory

    return {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    # The parser of the ini files, which there are none of, takes % for its own.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _database(engine: Engine) -> str:
    return f"[labelsync] database {shown_url(engine.url)}"
