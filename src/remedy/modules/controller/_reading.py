"""Whether a statement of SQL only reads: one SELECT, SHOW or EXPLAIN, and nothing in it that acts."""

from __future__ import annotations

import re

_SKIP = re.compile(
    r"""--[^\n]*"""
    r"""|/\*.*?\*/"""
    r"""|\$(?P<tag>[A-Za-z_]*)\$.*?\$(?P=tag)\$"""
    r"""|[eE]'(?:\\.|''|[^'\\])*'"""
    r"""|'(?:''|[^'])*'"""
    r"""|"(?:""|[^"])*\"""",
    re.DOTALL,
)
_FIRST = ("select", "show", "explain", "with", "table", "values")
# A read-only transaction of PostgreSQL lets these act all the same.
_ACTS = re.compile(
    r"\b(pg_(?:terminate|cancel)_backend|pg_reload_conf|pg_rotate_logfile|pg_switch_(?:wal|xlog)|pg_promote"
    r"|pg_wal_replay_(?:pause|resume)|pg_(?:create|drop|copy)_\w*slot|pg_create_restore_point"
    r"|pg_replication_slot_advance|pg_sync_replication_slots|pg_logical_(?:slot_get|emit)\w*|pg_replication_origin_\w+"
    r"|pg_(?:start|stop)_backup|pg_backup_(?:start|stop)|pg_stat_reset\w*|pg_stat_statements_reset|pg_notify"
    r"|pg_(?:try_)?advisory\w*|pg_file_\w+|pg_log_backend_memory_contexts|pg_export_snapshot|set_config|setval|nextval"
    r"|lo_(?:import|export|unlink|creat\w*|put|from_bytea)|dblink\w*|query_to_xml\w*|pg_sleep\w*)\s*\(",
    re.IGNORECASE,
)


def objection(sql: str) -> str | None:
    """Return why a statement may not count as reading, None where it may."""
    bare = _SKIP.sub(lambda found: " '' " if found[0][0] not in "-/" else " ", sql).strip().rstrip(";").strip()
    words = bare.split()
    first = words[0].lower().strip("(") if words else ""
    if ";" in bare:
        return "it is more than one statement"
    if first not in _FIRST:
        return f"it begins with {first.upper() or 'nothing'}: expected SELECT, SHOW or EXPLAIN"
    if first == "explain" and re.match(r"explain\s*(\(|analy[sz]e\b|verbose\s+analy[sz]e\b)", bare, re.IGNORECASE):
        options = re.match(r"explain\s*\(([^)]*)\)", bare, re.IGNORECASE)
        if options is None or re.search(r"analy[sz]e", options[1], re.IGNORECASE):
            return "EXPLAIN ANALYZE runs the statement"
    # In quotes a name of a function is still one.
    acts = _ACTS.search(re.sub(r'"(\w+)"', r"\1", _COMMENTS.sub(" ", sql)))
    return f"{acts[1]}() acts, whatever the transaction" if acts else None


_COMMENTS = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
