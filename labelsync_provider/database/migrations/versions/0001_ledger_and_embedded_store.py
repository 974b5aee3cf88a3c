"""The tables of the ledger and of the embedded store."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# Paths are compared by code point, whatever the database's language.
PATH = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
LIVE = sa.text("state = 'live'")


def upgrade() -> None:
    """Create them."""
    _create_ledger()
    _create_imports()
    _create_exports()
    _create_embedded_store()


def _create_ledger() -> None:
    op.create_table(
        "labelsync_scope",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("container", sa.Text, nullable=False),
    )
    op.create_index("labelsync_scope_named", "labelsync_scope", ["project", "container"], unique=True)
    op.create_table(
        "labelsync_storage",
        sa.Column("scope", sa.Integer, primary_key=True),
        sa.Column("role", sa.Text, primary_key=True),
        sa.Column("start", PATH, primary_key=True),
        sa.Column("endpoint", sa.Text, nullable=False),
    )
    op.create_table(
        "labelsync_lease",
        sa.Column("resource", sa.Text, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("task_instance", sa.Text),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.Float, nullable=False),
    )


def _create_imports() -> None:
    op.create_table(
        "labelsync_object",
        sa.Column("scope", sa.Integer, primary_key=True),
        sa.Column("as_blob", sa.Boolean, primary_key=True),
        sa.Column("path", PATH, primary_key=True),
        sa.Column("version", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("quarantined", sa.Integer, nullable=False),
        sa.Column("judged_by", sa.Text),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "labelsync_row",
        sa.Column("scope", sa.Integer, primary_key=True),
        sa.Column("as_blob", sa.Boolean, primary_key=True),
        sa.Column("path", PATH, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("position", sa.Integer),
        sa.Column("task", sa.BigInteger),
        sa.Column("digest", sa.Text),
        sa.Column("key", sa.Text),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "labelsync_row_live",
        "labelsync_row",
        ["scope", "as_blob", "path", "position"],
        unique=True,
        sqlite_where=LIVE,
        postgresql_where=LIVE,
    )
    op.create_index("labelsync_row_of_task", "labelsync_row", ["scope", "task"], unique=True)
    op.create_table(
        "labelsync_quarantine",
        sa.Column("scope", sa.Integer, primary_key=True),
        sa.Column("as_blob", sa.Boolean, primary_key=True),
        sa.Column("path", PATH, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("position", sa.Integer),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("lasting", sa.Boolean, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "labelsync_journal",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("scope", sa.Integer, nullable=False),
        sa.Column("as_blob", sa.Boolean, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("effects", sa.Text, nullable=False),
        sa.Column("after_task", sa.BigInteger, nullable=False),
        sa.Column("doubted_since", sa.Float),
    )
    op.create_index("ix_labelsync_journal_scope", "labelsync_journal", ["scope"])


def _create_exports() -> None:
    op.create_table(
        "labelsync_export",
        sa.Column("scope", sa.Integer, primary_key=True),
        sa.Column("path", PATH, primary_key=True),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("task", sa.BigInteger, nullable=False),
        sa.Column("intended", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("labelsync_export_of_task", "labelsync_export", ["scope", "task"])
    op.create_table(
        "labelsync_watermark",
        sa.Column("scope", sa.Integer, primary_key=True),
        sa.Column("start", PATH, primary_key=True),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("changed_at", sa.Text, nullable=False),
        sa.Column("first_seen", sa.Float, nullable=False),
        sa.Column("read", sa.Float, nullable=False),
        sa.Column("read_whole", sa.Float, nullable=False),
    )


def _create_embedded_store() -> None:
    op.create_table(
        "labelsync_project",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("title", sa.Text, nullable=False, unique=True),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("label_config", sa.Text, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("tasks_ever", sa.Integer, nullable=False),
        sa.Column("fencing_token", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "labelsync_counter",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("last", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "labelsync_task",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("project", sa.Integer, sa.ForeignKey("labelsync_project.id"), nullable=False),
        sa.Column("inner_id", sa.Integer, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sa.Column("meta", sa.JSON, nullable=False),
        sa.Column("allow_skip", sa.Boolean),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("updated_at", sa.Text, nullable=False),
    )
    op.create_index("labelsync_task_of_project", "labelsync_task", ["project", "id"])
    op.create_table(
        "labelsync_annotation",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("task", sa.BigInteger, sa.ForeignKey("labelsync_task.id"), nullable=False),
        sa.Column("result", sa.JSON, nullable=False),
        sa.Column("completed_by", sa.JSON),
        sa.Column("was_cancelled", sa.Boolean, nullable=False),
        sa.Column("ground_truth", sa.Boolean, nullable=False),
        sa.Column("lead_time", sa.Float),
        sa.Column("import_id", sa.BigInteger),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("updated_at", sa.Text, nullable=False),
        sa.Column("other", sa.JSON, nullable=False),
    )
    op.create_index("ix_labelsync_annotation_task", "labelsync_annotation", ["task"])
    op.create_table(
        "labelsync_prediction",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("task", sa.BigInteger, sa.ForeignKey("labelsync_task.id"), nullable=False),
        sa.Column("result", sa.JSON, nullable=False),
        sa.Column("score", sa.Float),
        sa.Column("model_version", sa.Text),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("updated_at", sa.Text, nullable=False),
        sa.Column("other", sa.JSON, nullable=False),
    )
    op.create_index("ix_labelsync_prediction_task", "labelsync_prediction", ["task"])
