"""A source knows how many tasks its project should have, and when it was looked which of its own are there."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the columns; the next import from each source looks."""
    op.add_column("labelsync_storage", sa.Column("project_tasks", sa.BigInteger))
    op.add_column("labelsync_storage", sa.Column("looked_at", sa.Float))
    op.execute("UPDATE labelsync_storage SET looked_at = 0 WHERE role = 'source'")
