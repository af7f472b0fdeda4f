"""Databases of PostgreSQL that take each other's names: sessions ended, new ones kept out, both renamed in one go."""

import re
import time

from remedy.agent.kinds import Failed
from remedy.modules.target._postgres_tools import name, text

_LISTS = (
    "search_path",
    "temp_tablespaces",
    "session_preload_libraries",
    "local_preload_libraries",
    "unix_socket_directories",
)
_CANCELLED = 2.0  # seconds that a session has to roll back before it is ended
_PATIENCE = 15.0


def create(client, database, like):
    """Create an empty database with owner, encoding, locale, limit, settings and grants of another one.

    `like` is what `Client.databases` says of it, or said when the backup was made; None: the server's defaults.
    """
    sql = "CREATE DATABASE %s TEMPLATE template0" % name(database)
    if like is None:
        client.psql(sql + ";", timeout=300)
        return
    row = like["row"]
    roles = {each["rolname"] for each in client.rows("SELECT rolname FROM pg_roles")}
    if like["owner"] in roles:
        sql += " OWNER %s" % name(like["owner"])
    sql += " ENCODING %s LC_COLLATE %s LC_CTYPE %s" % tuple(
        text(each) for each in (like["encoding"], row["datcollate"], row["datctype"])
    )
    provider = row.get("datlocprovider")
    locale = row.get("datlocale") or row.get("daticulocale")
    if provider == "i" and locale:
        sql += " LOCALE_PROVIDER icu ICU_LOCALE %s" % text(locale)
    elif provider == "b" and locale:
        sql += " LOCALE_PROVIDER builtin BUILTIN_LOCALE %s" % text(locale)
    if row["datconnlimit"] >= 0:
        sql += " CONNECTION LIMIT %d" % row["datconnlimit"]
    client.psql(sql + ";", timeout=300)
    client.psql(_dressed(client, database, like, roles))


def _dressed(client, database, like, roles):
    sql = ""
    for role, settings in like["settings"] or ():
        for each in settings if not role or role in roles else ():
            key, _, value = each.partition("=")
            said = _list(key, value) if key in _LISTS else text(value)
            who = "ROLE %s IN DATABASE" % name(role) if role else "DATABASE"
            sql += "ALTER %s %s SET %s = %s;\n" % (who, name(database), name(key), said)
    acl = like["row"].get("datacl")
    if acl is not None:
        listed = ", ".join(text(each) for each in acl)
        known = all(_known(each, roles) for each in acl)
        grants = (
            []
            if not known
            else client.rows(
                "SELECT CASE WHEN a.grantee = 0 THEN NULL ELSE pg_get_userbyid(a.grantee) END AS who,"
                " a.privilege_type AS what, a.is_grantable AS passed FROM aclexplode(ARRAY[%s]::aclitem[]) a"
                % listed
            )
        )
        sql += "REVOKE ALL ON DATABASE %s FROM PUBLIC;\n" % name(database) if grants else ""
        for each in grants:
            sql += "GRANT %s ON DATABASE %s TO %s%s;\n" % (
                each["what"],
                name(database),
                "PUBLIC" if each["who"] is None else name(each["who"]),
                " WITH GRANT OPTION" if each["passed"] and each["who"] else "",
            )
    return sql or "SELECT 1;"


def _list(key, value):
    """Return a list as SQL: whoever may set one (set_config, SET ... FROM CURRENT) chooses every letter of it."""
    parts = re.findall(r'"((?:[^"]|"")*)"|([^\s,"][^\s,]*)', value)
    folded = key in ("search_path", "temp_tablespaces")  # the others are no identifiers
    names = [quoted.replace('""', '"') or (plain.lower() if folded else plain) for quoted, plain in parts]
    return ", ".join(text(each) for each in names) or "''"


def _known(item, roles):
    who = item.partition("=")[0].strip('"')
    return not who or who in roles


def refuse(client, database, superusers):
    """Raise Failed where the sessions of a database must not be ended."""
    found = client.rows(
        "SELECT a.pid, a.usename, a.backend_type, coalesce(r.rolsuper, false) AS super FROM pg_stat_activity a"
        " LEFT JOIN pg_roles r ON r.rolname = a.usename WHERE a.datname = %s AND a.pid <> pg_backend_pid()"
        % text(database)
    )
    senders = [each for each in found if each["backend_type"] == "walsender"]
    if senders:
        raise Failed("logical replication reads %s (pid %d): stop it first" % (database, senders[0]["pid"]))
    admins = [each for each in found if each["super"] and each["backend_type"] == "client backend"]
    if admins and not superusers:
        raise Failed(
            "superusers are in %s, and are not ended: %s; let them leave, or set end_superusers"
            % (database, ", ".join("%s (pid %d)" % (each["usename"], each["pid"]) for each in admins[:8]))
        )
    prepared = client.rows("SELECT gid FROM pg_prepared_xacts WHERE database = %s" % text(database))
    if prepared:
        raise Failed(
            "%s holds a prepared transaction (%s): commit or roll it back first"
            % (database, prepared[0]["gid"])
        )
    slots = client.rows(
        "SELECT slot_name FROM pg_replication_slots WHERE database = %s AND active" % text(database)
    )
    if slots:
        raise Failed(
            "the replication slot %s reads %s: stop its reader first" % (slots[0]["slot_name"], database)
        )


def end_sessions(client, database):
    """Cancel what runs in a database, then end the sessions; return them."""
    listing = (
        "SELECT pid, usename AS user, application_name AS application, client_addr AS host, state,"
        " backend_start::text AS since FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend'" % text(database)
    )
    ended = {}
    began = time.monotonic()
    for call, patience in (("pg_cancel_backend", _CANCELLED), ("pg_terminate_backend", _PATIENCE)):
        until = time.monotonic() + patience
        while True:
            there = client.rows(listing)
            if not there:
                return list(ended.values())
            for each in there:
                ended[(each["pid"], each["since"])] = each
            # The identity once more: a pid may have got another owner since.
            for each in there:
                client.psql(
                    "SELECT %s(pid) FROM pg_stat_activity WHERE pid = %d AND backend_start = %s AND datname = %s;"
                    % (call, each["pid"], text(each["since"]), text(database))
                )
            busy = [each for each in there if each["state"] not in ("idle", None)]
            if call == "pg_cancel_backend" and not busy:
                break
            if time.monotonic() >= until:
                break
            client.psql("SELECT pg_sleep(0.1);")
    raise Failed(
        "%d sessions are still in %s %d s after they were ended"
        % (len(client.rows(listing)), database, time.monotonic() - began)
    )


def exchange(client, front, source, aside, mark, unmark):
    """Give `source` the name `front`, and what was called so the name `aside`; return the sessions ended.

    `mark` is what the comment of `aside` says then (of `front`, where there was none before), `unmark` the one of
    `front`. All names change in one transaction, or none.
    """
    known = client.databases()
    there = known.get(front)
    ended = []
    allowed = there is None or there["row"]["datallowconn"]
    try:
        for each in (front, source):
            if each in known:
                client.psql("ALTER DATABASE %s ALLOW_CONNECTIONS false;" % name(each))
                ended += end_sessions(client, each)
        sql = "BEGIN;\n"
        if there is not None:
            sql += "ALTER DATABASE %s RENAME TO %s;\n" % (name(front), name(aside))
            sql += "COMMENT ON DATABASE %s IS %s;\n" % (name(aside), text(mark))
            sql += "ALTER DATABASE %s ALLOW_CONNECTIONS true;\n" % name(aside)
        sql += "ALTER DATABASE %s RENAME TO %s;\n" % (name(source), name(front))
        said = unmark if there is not None else mark
        sql += "COMMENT ON DATABASE %s IS %s;\n" % (name(front), "NULL" if said is None else text(said))
        sql += "ALTER DATABASE %s ALLOW_CONNECTIONS true;\nCOMMIT;\n" % name(front)
        client.psql(sql, timeout=60)
    except Failed:
        # What is called so now is the damaged one still: it goes on as it was.
        for each in (front, source):
            if each in known and (each == source or allowed):
                client.psql("ALTER DATABASE %s ALLOW_CONNECTIONS true;" % name(each))
        raise
    return ended
