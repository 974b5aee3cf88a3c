"""An export is known by its target, layout and key template, and by what its project's counters are off by."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns; what was exported before is looked at once more as a whole."""
    op.add_column("labelsync_storage", sa.Column("layout", sa.Text))
    op.add_column("labelsync_storage", sa.Column("key_template", sa.Text))
    op.add_column("labelsync_storage", sa.Column("project_created_at", sa.Text))
    op.add_column("labelsync_export", sa.Column("annotations", sa.Integer, nullable=False, server_default="1"))
    op.add_column("labelsync_export", sa.Column("written_by", sa.BigInteger, nullable=False, server_default="0"))
    op.execute("DELETE FROM labelsync_watermark")
    for name in ("tasks_off", "annotations_off"):
        op.add_column("labelsync_watermark", sa.Column(name, sa.BigInteger, nullable=False, server_default="0"))
