"""Where Alembic enters: the connection is given by `labelsync_provider.database.schema`, its transaction is begun."""

from alembic import context

from labelsync_provider.database.schema import VERSION

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION.name,
    # Alembic believes SQLite's is not, which is true of connections that commit before each DDL statement. Ours do not.
    transactional_ddl=True,
)
context.run_migrations()
