"""Tell how large the tables and indexes of PostgreSQL's databases are, and what is wrong with them.

Returns `tables` (the largest first, `limit` of each database: db, table, bytes, index_bytes, live, dead, dead_percent,
changed: rows since the last ANALYZE, vacuumed, analyzed: when last, by whom ever; seq_scans, seq_rows, idx_scans,
bloat_bytes: an estimate), `needs_vacuum` (more than `dead_percent` dead, and at least `dead_rows`), `held_back`
(those of which a VACUUM could take nothing, because a transaction is older than the last one), `held_by` (who keeps
VACUUM from cleaning there, the oldest first: db, kind: session, prepared, slot or standby, pid, name, user, state,
seconds, age in transactions, superuser), `needs_analyze` (never,
or more than `changed_percent` changed since), `invalid_indexes` (db, table, index, building), `unused_indexes` (never
read since statistics began, no constraint, the largest first), `scanned`: large tables that are read as a whole again
and again, `indexes` (db, table, index), and `databases` (db, bytes, temp_bytes, temp_files, deadlocks, hit_percent).
"""

from __future__ import annotations

from typing import Any

from remedy.agent.kinds import Param, Probe
from remedy.modules.controller._pg_heavy import databases
from remedy.modules.controller._postgres import LOGIN_PARAMS, LOGIN_VARIABLES, login_of, plain

_LARGE = 10 << 20  # bytes of a table whose scans count

PARAMS = (
    Param("databases", "list", elements="str", help="The databases; nothing: all."),
    Param("limit", "int", default=20, help="So many tables of each."),
    Param("dead_percent", "percent", default=20, help="More dead rows call for VACUUM."),
    Param("dead_rows", "int", default=10000, help="Fewer do not."),
    Param("changed_percent", "percent", default=20, help="More changed rows call for ANALYZE."),
    *LOGIN_PARAMS,
)
VARIABLES = LOGIN_VARIABLES
EXAMPLES = """
- postgresql_tables: {databases: [shop], dead_percent: 30%}
  register: tables
"""

# To measure a table takes a lock that whoever has it to himself does not give: such ones are as large as they were.
_LOCKED = """
WITH locked AS (SELECT DISTINCT relation FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation IS NOT NULL
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())),
page AS (SELECT current_setting('block_size')::bigint AS size)
"""
TABLES = f"""
{_LOCKED}
SELECT quote_ident(s.schemaname) || '.' || quote_ident(s.relname) AS table,
  CASE WHEN l.relation IS NULL THEN pg_table_size(s.relid) ELSE c.relpages * page.size END AS bytes,
  CASE WHEN l.relation IS NULL THEN pg_indexes_size(s.relid) END AS index_bytes,
  s.n_live_tup AS live, s.n_dead_tup AS dead,
  round(100.0 * s.n_dead_tup / GREATEST(s.n_live_tup + s.n_dead_tup, 1), 1) AS dead_percent,
  s.n_mod_since_analyze AS changed, GREATEST(s.last_vacuum, s.last_autovacuum) AS vacuumed,
  GREATEST(s.last_analyze, s.last_autoanalyze) AS analyzed, s.seq_scan AS seq_scans, s.seq_tup_read AS seq_rows,
  COALESCE(s.idx_scan, 0) AS idx_scans,
  -- Rows as wide as the statistics say, with 28 bytes of header each, in pages that are filled by nine tenths.
  GREATEST(0, c.relpages * page.size - c.reltuples * (28 + COALESCE(w.width, 0)) / 0.9)::bigint AS bloat_bytes,
  w.width IS NOT NULL AS measured,
  GREATEST(s.last_vacuum, s.last_autovacuum) > LEAST(
    (SELECT min(xact_start) FROM pg_stat_activity WHERE COALESCE(backend_xmin, backend_xid) IS NOT NULL
      AND pid <> pg_backend_pid() AND datname = current_database() AND backend_type <> 'autovacuum worker'),
    (SELECT min(prepared) FROM pg_prepared_xacts WHERE database = current_database())) AS held
FROM page, pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid LEFT JOIN locked l ON l.relation = s.relid
LEFT JOIN (SELECT schemaname, tablename, sum((1 - null_frac) * avg_width) AS width FROM pg_stats GROUP BY 1, 2) w
  ON w.schemaname = s.schemaname AND w.tablename = s.relname
ORDER BY 2 DESC
"""
# Who may still want to see what is dead: sessions, prepared transactions, slots, a standby
# that says so (hot_standby_feedback).
HOLDERS = """
SELECT * FROM (
  SELECT CASE a.backend_type WHEN 'walsender' THEN 'standby' ELSE 'session' END AS kind, a.pid,
    a.application_name AS name, a.usename AS user, a.state, COALESCE(r.rolsuper, false) AS superuser,
    extract(epoch FROM clock_timestamp() - a.xact_start) AS seconds,
    GREATEST(age(a.backend_xmin), age(a.backend_xid)) AS age
  FROM pg_stat_activity a LEFT JOIN pg_roles r ON r.oid = a.usesysid
  WHERE COALESCE(a.backend_xmin, a.backend_xid) IS NOT NULL AND a.pid <> pg_backend_pid()
    AND a.backend_type <> 'autovacuum worker' AND (a.datname = current_database() OR a.backend_type = 'walsender')
  UNION ALL
  SELECT 'prepared', NULL, p.gid, p.owner, NULL, NULL, extract(epoch FROM clock_timestamp() - p.prepared),
    age(p.transaction) FROM pg_prepared_xacts p WHERE p.database = current_database()
  UNION ALL
  SELECT 'slot', s.active_pid, s.slot_name, NULL, CASE WHEN s.active THEN 'active' ELSE 'inactive' END, NULL, NULL,
    age(s.xmin) FROM pg_replication_slots s WHERE s.xmin IS NOT NULL
) held WHERE seconds IS NULL OR seconds >= 1 ORDER BY age DESC LIMIT 5
"""
INDEXES = f"""
{_LOCKED}
SELECT quote_ident(n.nspname) || '.' || quote_ident(t.relname) AS table,
  quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS index,
  CASE WHEN l.relation IS NULL THEN pg_relation_size(c.oid) ELSE c.relpages * page.size END AS bytes,
  i.indisvalid AS valid, i.indisunique AS unique, COALESCE(s.idx_scan, 0) AS scans,
  EXISTS (SELECT FROM pg_constraint o WHERE o.conindid = c.oid) AS constraint,
  -- Whoever builds one holds this lock on its table.
  EXISTS (SELECT FROM pg_locks k JOIN pg_stat_activity a USING (pid) WHERE k.relation = t.oid AND k.granted
    AND k.mode = 'ShareUpdateExclusiveLock' AND a.query ~* '(create|reindex).*(index|table|concurrently)') AS building
FROM page, pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_stat_user_indexes s ON s.indexrelid = c.oid
LEFT JOIN locked l ON l.relation = c.oid
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_t' ORDER BY 3 DESC
"""
_DATABASE = (
    "SELECT pg_database_size(datid) AS bytes, temp_bytes, temp_files, deadlocks, round(100.0 * blks_hit / "
    "GREATEST(blks_hit + blks_read, 1), 1) AS hit_percent FROM pg_stat_database WHERE datname = current_database()"
)


def kind(params: dict[str, Any]) -> type[Probe]:
    return Tables


class Tables(Probe):
    cost = "expensive"
    deadline = 300

    def read(self) -> dict[str, Any]:
        """Return what is found in the databases."""
        names = ("tables", "needs_vacuum", "held_back", "held_by", "needs_analyze", "invalid_indexes")
        more = ("unused_indexes", "scanned", "indexes", "databases")
        found: dict[str, Any] = {name: [] for name in (*names, *more)}
        login = login_of(self.host, self.params)
        for db, server in databases(self.host, login, self.params["databases"]):
            found["databases"].append({"db": db, **plain(server.rows(_DATABASE)[0])})
            tables = [{"db": db, **plain(row)} for row in server.rows(TABLES, seconds=60)]
            found["tables"] += tables[: self.params["limit"]]
            dead = [each for each in tables if self._dead(each)]
            found["needs_vacuum"] += [each for each in dead if not each["held"]]
            found["held_back"] += [each for each in dead if each["held"]]
            if dead:
                found["held_by"] += [{"db": db, **plain(row)} for row in server.rows(HOLDERS)]
            found["needs_analyze"] += [each for each in tables if self._stale(each)]
            found["scanned"] += [each for each in tables if _scanned(each)]
            for row in server.rows(INDEXES, seconds=60):
                each = {"db": db, **plain(row)}
                found["indexes"].append({name: each[name] for name in ("db", "table", "index")})
                if not each["valid"]:
                    found["invalid_indexes"].append(each)
                elif not (each["scans"] or each["unique"] or each["constraint"]):
                    found["unused_indexes"].append(each)
        return found

    def _dead(self, table: dict[str, Any]) -> bool:
        few = table["dead"] < self.params["dead_rows"]
        return not few and bool(table["dead_percent"] > self.params["dead_percent"])

    def _stale(self, table: dict[str, Any]) -> bool:
        rows = max(table["live"], 1)
        never = table["analyzed"] is None and not table["measured"]
        return bool(rows >= 1000 and (never or table["changed"] * 100 / rows > self.params["changed_percent"]))


def _scanned(table: dict[str, Any]) -> bool:
    """Say whether a large table is read as a whole often, and more than by an index."""
    return bool(table["bytes"] >= _LARGE and table["seq_scans"] >= 50 and table["seq_scans"] > table["idx_scans"])
