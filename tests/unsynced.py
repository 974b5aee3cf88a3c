"""Whoever imports this has SQLite that does not wait for the disk.

Tests kill processes, not the machine: nothing has to survive a power cut. The processes that are killed at any instant
do wait, as a run does.
"""

from sqlalchemy import Connection, Engine, event


@event.listens_for(Engine, "engine_connect")
def _do_not_wait(connection: Connection) -> None:
    # After whoever opened it has said otherwise, and once: most connections are used many times.
    if connection.dialect.name == "sqlite" and connection.info.setdefault("synchronous", "on") == "on":
        connection.info["synchronous"] = "off"
        connection.connection.cursor().execute("PRAGMA synchronous = OFF")
