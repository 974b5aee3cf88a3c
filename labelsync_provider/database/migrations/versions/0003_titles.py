"""Which projects were found by which title: one that was renamed is not taken for one that is not there."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "labelsync_title",
        sa.Column("title", sa.Text, primary_key=True),
        sa.Column("project", sa.Text, primary_key=True),
        sa.Column("created_at", sa.Text, nullable=False),
    )
