"""Label Studio, started so that it waits neither for the disk nor for an acknowledgement.

It is run by the Python of the environment that Label Studio is installed in, with the arguments of `label-studio`.

Nothing has to survive a power cut: see `unsynced`. And its server sends the head and the body of an answer apart, of
which the second waits for the first to be acknowledged: that takes Linux 40 ms, longer than most answers.
"""

import gc
import runpy
import sqlite3.dbapi2
from socketserver import StreamRequestHandler
from typing import Any

connect = sqlite3.dbapi2.connect


def connect_unsynced(*args: Any, **options: Any) -> sqlite3.Connection:
    connection = connect(*args, **options)
    connection.execute("PRAGMA synchronous = OFF")
    return connection


sqlite3.dbapi2.connect = connect_unsynced  # type: ignore[assignment]
StreamRequestHandler.disable_nagle_algorithm = True
# Django makes much garbage around few objects that stay: to look through these so often was a twentieth of its time.
gc.set_threshold(100_000, 20, 100)
runpy.run_module("label_studio.server", run_name="__main__", alter_sys=True)
