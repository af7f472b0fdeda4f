"""An operator's check of a restored database, asked so that nothing in there acts with the rights of a superuser.

Whoever owns a database chooses what its views, functions, casts and operators do, and a query runs them with the rights
of who asks. A read-only transaction does not hold them (COPY TO PROGRAM), nor does SET ROLE (they set it back). What a
materialized view is filled with runs as its owner in what PostgreSQL calls a security-restricted operation, from where
no role leads out: that owner is a role that may only read here, and is gone with the transaction, as is all else.
"""

import os

from remedy.modules.target import _postgres_tools

_SECONDS = 3600
# Of the tables of the server itself it reads what everybody reads: there are passwords in them.
_SCRIPT = """\
SET search_path = pg_catalog;
SET statement_timeout = '{seconds}s';
SET lock_timeout = '60s';
BEGIN;
CREATE ROLE {role} NOLOGIN NOINHERIT BYPASSRLS;
CREATE SCHEMA {role} AUTHORIZATION {role};
SELECT format('GRANT USAGE ON SCHEMA %1$I TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA %1$I TO {role};'
  ' GRANT SELECT ON ALL SEQUENCES IN SCHEMA %1$I TO {role}', nspname)
  FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', '{role}') \\gexec
{names_first}\
CREATE MATERIALIZED VIEW {role}.answer AS SELECT pg_catalog.format('%s', (
{query}
)) AS answer WITH NO DATA;
SET search_path = pg_catalog;
ALTER MATERIALIZED VIEW {role}.answer OWNER TO {role};
REFRESH MATERIALIZED VIEW {role}.answer;
SELECT answer FROM {role}.answer;
ROLLBACK;
"""


def answer(client, database, query):
    """Return the one value that a SELECT answers, as psql writes it; raises Failed with the server's words."""
    script = _SCRIPT.format(
        role="remedy_check_" + os.urandom(8).hex(),
        query=query.rstrip("; \n"),
        seconds=_SECONDS,
        names_first=_postgres_tools.NAMES_FIRST,
    )
    return client.psql(script, database, timeout=_SECONDS + 60).rstrip("\n")
