"""The tables of the ledger."""

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, Table, Text, text

METADATA = MetaData()

# Paths are compared by code point, as storages list them, whatever the database's language.
PATH = Text().with_variant(Text(collation="C"), "postgresql")

SCOPE = Table(
    "labelsync_scope",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("project", Text, nullable=False),
    Column("container", Text, nullable=False),
    Index("labelsync_scope_named", "project", "container", unique=True),
)
STORAGE = Table(
    "labelsync_storage",
    METADATA,
    Column("scope", Integer, primary_key=True),
    Column("role", Text, primary_key=True),
    Column("start", PATH, primary_key=True),
    Column("endpoint", Text, nullable=False),
    # Of a target: how its objects were made.
    Column("layout", Text),
    Column("key_template", Text),
    # None if a version of this package wrote it that did not note it.
    Column("project_created_at", Text),
    # Of a source: how many tasks its project should have, and when its own were looked for (seconds since the epoch).
    Column("project_tasks", BigInteger),
    Column("looked_at", Float),
)
# Which projects were found, or created, by which title.
TITLE = Table(
    "labelsync_title",
    METADATA,
    Column("title", Text, primary_key=True),
    Column("project", Text, primary_key=True),
    Column("created_at", Text, nullable=False),
)
LEASE = Table(
    "labelsync_lease",
    METADATA,
    Column("resource", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("task_instance", Text),
    Column("token", BigInteger, nullable=False),
    Column("expires_at", Float, nullable=False),
)

# --- import ---

OBJECT = Table(
    "labelsync_object",
    METADATA,
    Column("scope", Integer, primary_key=True),
    Column("as_blob", Boolean, primary_key=True),
    Column("path", PATH, primary_key=True),
    Column("version", Text),
    Column("state", Text, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("quarantined", Integer, nullable=False),
    Column("judged_by", Text),
    sqlite_with_rowid=False,
)
ROW = Table(
    "labelsync_row",
    METADATA,
    Column("scope", Integer, primary_key=True),
    Column("as_blob", Boolean, primary_key=True),
    Column("path", PATH, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("state", Text, nullable=False),
    Column("position", Integer),
    Column("task", BigInteger),
    Column("digest", Text),
    Column("key", Text),
    # Two live tasks of one row cannot be, whatever the code believes.
    Index(
        "labelsync_row_live",
        "scope",
        "as_blob",
        "path",
        "position",
        unique=True,
        sqlite_where=text("state = 'live'"),
        postgresql_where=text("state = 'live'"),
    ),
    # Nor can one task be that of two rows.
    Index("labelsync_row_of_task", "scope", "task", unique=True),
    sqlite_with_rowid=False,
)
QUARANTINE = Table(
    "labelsync_quarantine",
    METADATA,
    Column("scope", Integer, primary_key=True),
    Column("as_blob", Boolean, primary_key=True),
    Column("path", PATH, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("position", Integer),
    Column("reason", Text, nullable=False),
    Column("lasting", Boolean, nullable=False),
    sqlite_with_rowid=False,
)
JOURNAL = Table(
    "labelsync_journal",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("scope", Integer, nullable=False, index=True),
    Column("as_blob", Boolean, nullable=False),
    Column("kind", Text, nullable=False),
    Column("effects", Text, nullable=False),
    Column("after_task", BigInteger, nullable=False),
    Column("doubted_since", Float),
)

# --- export ---

EXPORT = Table(
    "labelsync_export",
    METADATA,
    Column("scope", Integer, primary_key=True),
    Column("path", PATH, primary_key=True),
    Column("version", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("task", BigInteger, nullable=False),
    Column("intended", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("annotations", Integer, nullable=False, server_default="1"),
    # The fencing number of the run that wrote it last.
    Column("written_by", BigInteger, nullable=False, server_default="0"),
    Index("labelsync_export_of_task", "scope", "task"),
    sqlite_with_rowid=False,
)
WATERMARK = Table(
    "labelsync_watermark",
    METADATA,
    Column("scope", Integer, primary_key=True),
    Column("start", PATH, primary_key=True),
    Column("settings", Text, nullable=False),
    Column("changed_at", Text, nullable=False),
    Column("first_seen", Float, nullable=False),
    Column("read", Float, nullable=False),
    Column("read_whole", Float, nullable=False),
    Column("tasks_off", BigInteger, nullable=False, server_default="0"),
    Column("annotations_off", BigInteger, nullable=False, server_default="0"),
)
