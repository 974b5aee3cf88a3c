"""The tables of the embedded store, with Label Studio's field names."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    exists,
)

METADATA = MetaData()

PROJECT = Table(
    "labelsync_project",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("title", Text, nullable=False, unique=True),
    Column("description", Text, nullable=False),
    Column("label_config", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("tasks_ever", Integer, nullable=False, default=0),
    Column("fencing_token", BigInteger, nullable=False, default=0),
)
# Ids come from here and are never used again, so that a task above an id is a younger one on any database.
COUNTER = Table(
    "labelsync_counter",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("last", BigInteger, nullable=False),
)
TASK = Table(
    "labelsync_task",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("project", ForeignKey(PROJECT.c.id), nullable=False),
    Column("inner_id", Integer, nullable=False),
    Column("data", JSON, nullable=False),
    Column("meta", JSON, nullable=False),
    Column("allow_skip", Boolean),
    Column("created_at", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    Index("labelsync_task_of_project", "project", "id"),
)
ANNOTATION = Table(
    "labelsync_annotation",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("task", ForeignKey(TASK.c.id), nullable=False, index=True),
    Column("result", JSON, nullable=False),
    Column("completed_by", JSON),
    Column("was_cancelled", Boolean, nullable=False),
    Column("ground_truth", Boolean, nullable=False),
    Column("lead_time", Float),
    Column("import_id", BigInteger),
    Column("created_at", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    Column("other", JSON, nullable=False),
)
PREDICTION = Table(
    "labelsync_prediction",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("task", ForeignKey(TASK.c.id), nullable=False, index=True),
    Column("result", JSON, nullable=False),
    Column("score", Float),
    Column("model_version", Text),
    Column("created_at", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    Column("other", JSON, nullable=False),
)

ANNOTATED = exists().where(ANNOTATION.c.task == TASK.c.id)
DONE = exists().where(ANNOTATION.c.task == TASK.c.id, ~ANNOTATION.c.was_cancelled)
"""An annotation that was cancelled is a task that was skipped."""
