"""Two databases of MySQL or MariaDB change places: tables by one RENAME TABLE, then what hangs on them.

A server has no RENAME DATABASE. What cannot be renamed across databases (triggers, views) is written down first, in the
table of marks of the database that comes, so that a swap which was cut off is finished by the next one.
"""

import json

from remedy.agent.kinds import Failed
from remedy.modules.target import _mysql_tools
from remedy.modules.target._mysql_tools import name, text

MARKS = "_remedy_restore"
_VIEWS = ("VIEW", "SYSTEM VIEW")
_TRIES = 2
_WAIT = "SET SESSION lock_wait_timeout = 5; "  # else a statement waits a day for whoever reads a table


def marks(client, database):
    """Return what remedy wrote down in a database, None where that is not its own."""
    known = client.one(
        "SELECT 1 FROM information_schema.tables WHERE table_schema = %s AND table_name = %s"
        % (text(database), text(MARKS))
    )
    if known is None:
        return None
    return {
        row[0]: json.loads(row[1])
        for row in client.rows("SELECT k, FROM_BASE64(v) FROM %s.%s" % (name(database), MARKS))
    }


def mark(client, database, **values):
    """Write something down in a database of remedy's own."""
    sql = "CREATE TABLE IF NOT EXISTS %s.%s (k VARCHAR(64) PRIMARY KEY, v LONGTEXT); " % (
        name(database),
        MARKS,
    )
    for key in sorted(values):
        # Packed: so neither sql_mode nor the client's own escapes have a say in it.
        packed = json.dumps(values[key]).encode("utf-8").hex()
        sql += "REPLACE INTO %s.%s VALUES ('%s', TO_BASE64(x'%s')); " % (name(database), MARKS, key, packed)
    client.rows(sql)


def marked(client):
    """Return {database: marks} of all databases that are remedy's."""
    sql = "SELECT table_schema FROM information_schema.tables WHERE table_name = %s" % text(MARKS)
    return {row[0]: marks(client, row[0]) for row in client.rows(sql)}


def charset(client, database):
    """Return [character set, collation] of a database, None where it is gone."""
    return client.one(
        "SELECT default_character_set_name, default_collation_name FROM information_schema.schemata"
        " WHERE schema_name = %s" % text(database)
    )


def make(client, database, like, otherwise=None):
    """Create a database with the character set of another one; where that is gone, with this one, or the server's."""
    row = charset(client, like) or otherwise
    how = " CHARACTER SET %s COLLATE %s" % (row[0], row[1]) if row else ""
    client.rows("CREATE DATABASE IF NOT EXISTS %s%s" % (name(database), how))


def refuse(client, front):
    """Raise Failed where a swap would tear something apart."""
    sql = (
        "SELECT DISTINCT constraint_schema, table_name FROM information_schema.referential_constraints"
        " WHERE unique_constraint_schema = {0} AND constraint_schema <> {0}".format(text(front))
    )
    others = client.rows(sql)
    if others:
        raise Failed(
            "foreign keys of %s lead into %s, and would go on to its damaged copy: drop them first"
            % (", ".join("%s.%s" % (row[0], row[1]) for row in others[:8]), front)
        )


def exchange(client, front, source, aside, state, served):
    """Put `source` in the place of `front`, whose tables go to `aside`, with remedy's marks; return sessions ended.

    `state` and `served` (it was in service) are what the marks say then.

    """
    plan = _planned(client, front, source, aside)
    make(client, aside, front)
    ended = []
    if plan is not None:
        plan, ended = _move(client, plan, front, source, aside)
    else:
        plan = (marks(client, aside) or {})["plan"]
    _free(client, front, aside)
    _load(client, aside, plan["of_front"], force=True)
    _load(client, front, plan["of_source"])
    set_events(
        client, front, on=True, only=(marks(client, aside) or {}).get("events") if state == "swapped" else []
    )
    left = (
        [each for each, kind in client.tables(source).items() if kind not in _VIEWS]
        if source in client.schemas()
        else []
    )
    if source in client.schemas() and not left:
        client.rows("DROP DATABASE %s" % name(source))
    mark(client, aside, plan=None, state=state, served=served)
    return ended


def set_events(client, database, on, only=None):
    """Turn the events of a database on or off, all or `only` some; return the names of those that were otherwise."""
    rows = client.rows(
        "SELECT event_name, status FROM information_schema.events WHERE event_schema = %s" % text(database)
    )
    turned = [row[0] for row in rows if (row[1] == "ENABLED") != on and (only is None or row[0] in only)]
    for each in turned:
        client.rows("ALTER EVENT %s.%s %s" % (name(database), name(each), "ENABLE" if on else "DISABLE"))
    return turned


def _planned(client, front, source, aside):
    """Return the plan of the swap, written down in `source`; None where all tables have been moved already."""
    there = marks(client, source) if source in client.schemas() else None
    if there is None:
        return None
    plan = there.get("plan")
    if plan is None or plan["aside"] != aside:
        tables = {each: _of(client, each) for each in (front, source)}
        plan = {
            "aside": aside,
            "front": tables[front],
            "source": [each for each in tables[source] if each != MARKS],
            "triggers": _triggers(client, front),
            "of_front": _extras(client, front, routines=False),
            "of_source": _extras(client, source, routines=True),
        }
        mark(client, source, plan=plan)
    return plan


def _of(client, database):
    return [each for each, kind in client.tables(database).items() if kind not in _VIEWS]


def _extras(client, database, routines):
    """Return the SQL that makes the triggers and views of a database anew, and its routines and events."""
    words = client.words("mariadb-dump", "mysqldump") + ["--no-data", "--skip-comments", "--skip-lock-tables"]
    views = [each for each, kind in client.tables(database).items() if kind in _VIEWS]
    asked = [
        ["--no-create-info", "--triggers", "--add-drop-trigger"]
        + (["--routines", "--events"] if routines else [])
        + [database]
    ]
    asked += [["--skip-triggers", database] + views] if views else []
    sql = b""
    # In what is damaged a view may lead nowhere: it stays where it is, and is named.
    words += [] if routines else ["--force"]
    for each in asked:
        done = client.host.run(
            words + _no_gtid(client) + each, c_locale=True, timeout=600, ok=(0,) if routines else None
        )
        if done.rc != 0:
            client.host.warn("not all of %s can be written down: %s" % (database, _mysql_tools.said(done)))
        sql += done.stdout
    return sql.decode("utf-8", "surrogateescape")


def _no_gtid(client):
    return [] if client.about["mariadb"] else ["--set-gtid-purged=OFF"]


def _load(client, database, sql, force=False, wait=5):
    if not sql:
        return
    words = client.words("mariadb", "mysql") + ["--batch", "--binary-mode"]
    words += (["--force"] if force else []) + [database]
    done = client.host.run(
        words,
        input=("SET SESSION lock_wait_timeout = %d;\n%s" % (wait, sql)).encode("utf-8", "surrogateescape"),
        c_locale=True,
        timeout=600,
        ok=None,
    )
    if done.rc != 0 and not force:
        raise Failed("triggers, views, routines and events of %s: %s" % (database, _mysql_tools.said(done)))
    if force and done.stderr:
        client.host.warn("triggers and views of %s: %s" % (database, _mysql_tools.said(done)))


def _move(client, plan, front, source, aside):
    ended = []
    for again in range(_TRIES):
        ended += _end_sessions(client, front)
        try:
            _drop_triggers(client, front, source)
            _rename(client, plan, front, source, aside)
            return plan, ended
        except Failed as error:
            if again == _TRIES - 1 or not any(word in error.message for word in ("1205", "1213")):
                # The damaged one goes on as it was, with its triggers.
                if set(plan["triggers"]) - set(_triggers(client, front)):
                    _load(client, front, plan["of_front"], force=True, wait=60)
                raise
    raise Failed("the swap did not come to an end")


def _rename(client, plan, front, source, aside):
    fronts, sources, asides = (set(_of(client, each)) for each in (front, source, aside))
    pairs = []
    for each in plan["front"]:
        if each in fronts and each not in asides:
            pairs.append((front, aside, each))
    for each in plan["source"]:
        if each in sources:
            pairs.append((source, front, each))
    pairs.append((source, aside, MARKS))
    said = ", ".join("%s.%s TO %s.%s" % (name(a), name(each), name(b), name(each)) for a, b, each in pairs)
    client.rows(
        _WAIT + "SET SESSION foreign_key_checks = 0; RENAME TABLE " + said,
        timeout=120,
    )


def _free(client, front, aside):
    """Drop foreign keys of `aside` that lead into `front`: their parent had been lost, and another has its name now.

    Else what is live could not delete a row that the damaged copy refers to.
    """
    rows = client.rows(
        "SELECT table_name, constraint_name FROM information_schema.referential_constraints"
        " WHERE constraint_schema = %s AND unique_constraint_schema = %s" % (text(aside), text(front))
    )
    for table, key in rows:
        client.rows("ALTER TABLE %s.%s DROP FOREIGN KEY %s" % (name(aside), name(table), name(key)))
        client.host.warn(
            "the foreign key %s of %s in %s led to a lost table, and is dropped" % (key, table, aside)
        )


def _triggers(client, database):
    sql = "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = %s"
    return [row[0] for row in client.rows(sql % text(database))]


def _drop_triggers(client, *databases):
    for each in databases:
        for trigger in _triggers(client, each):
            client.rows(_WAIT + "DROP TRIGGER IF EXISTS %s.%s" % (name(each), name(trigger)))


def _end_sessions(client, database):
    """End the sessions that are in a database; never replication's or the server's own."""
    rows = client.rows(
        "SELECT id, user, host, command, time FROM information_schema.processlist WHERE db = %s"
        " AND id <> CONNECTION_ID() AND user NOT IN ('system user', 'event_scheduler')"
        " AND command NOT LIKE 'Binlog Dump%%'" % text(database)
    )
    ended = []
    for row in rows:
        try:
            client.rows("KILL %d" % int(row[0]))
        except Failed as error:
            if "1094" not in error.message:  # it is gone
                raise
        ended.append(
            {
                "id": int(row[0]),
                "user": row[1],
                "host": row[2],
                "command": row[3],
                "seconds": int(row[4] or 0),
            }
        )
    return ended
