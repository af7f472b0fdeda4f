"""How the schema of the history database came to be; alembic runs these."""
