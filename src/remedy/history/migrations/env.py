"""What alembic loads to run the revisions: on the connection, and in the transaction, that it is handed."""

from alembic import context

from remedy.history.tables import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,  # SQLite alters a table by making it anew
)
context.run_migrations()
