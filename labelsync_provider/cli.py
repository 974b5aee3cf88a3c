"""`airflow labelsync ...`. Every `airflow` command imports this module, so it imports what it needs when it is run."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow.cli.cli_config import CLICommand


def get_commands() -> "list[CLICommand]":
    """Return the commands that this package adds to `airflow`."""
    from airflow.cli.cli_config import ActionCommand, GroupCommand

    migrate = ActionCommand(
        name="migrate",
        help="Bring the tables of labelsync to the newest schema",
        description=(
            "Bring the tables of labelsync to the newest schema, in the database that the section labelsync of "
            "Airflow's configuration names. The first run of a new version does the same by itself, unless it is a dry "
            "run. If the schema is older, a run that holds a lease is waited for."
        ),
        func=migrate_database,
        args=(),
    )
    database = GroupCommand(name="db", help="Manage the database of labelsync", subcommands=(migrate,))
    return [GroupCommand(name="labelsync", help="Manage labelsync-provider", subcommands=(database,))]


def migrate_database(_arguments: "Namespace") -> None:
    """Bring the database to the newest schema and say what was done; exit with 1 and a sentence if it cannot be."""
    from labelsync_provider.database import shown_url
    from labelsync_provider.database.schema import NEWEST, ensure_schema
    from labelsync_provider.errors import LabelsyncError
    from labelsync_provider.hooks.database import labelsync_database

    # As Airflow's own commands do, so that connections are looked for in its database, too.
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
    try:
        engine = labelsync_database()
        found = ensure_schema(engine)
    except LabelsyncError as error:
        raise SystemExit(str(error)) from error
    database = shown_url(engine.url)
    if found == NEWEST:
        print(f"The schema of {database} is at revision {NEWEST} already.")
    elif found:
        print(f"The schema of {database} was brought from revision {found} to revision {NEWEST}.")
    else:
        print(f"The tables of labelsync were created in {database}, at revision {NEWEST}.")
