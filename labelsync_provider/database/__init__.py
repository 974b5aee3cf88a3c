"""The database that holds the ledger and the embedded projects: SQLite by default, PostgreSQL when shared."""

from labelsync_provider.database.engines import open_database, open_scratch, shown_url, writing
from labelsync_provider.database.statements import UPSERTS, Row, chunks, insert_rows, upsert_rows

__all__ = [
    "UPSERTS",
    "Row",
    "chunks",
    "insert_rows",
    "open_database",
    "open_scratch",
    "shown_url",
    "upsert_rows",
    "writing",
]
