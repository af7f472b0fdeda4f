"""Whether a statement of PostgreSQL only reads: one SELECT, SHOW or EXPLAIN, and nothing in it that acts."""

from __future__ import annotations

import re

# PostgreSQL's own parts of a text (scan.l); whatever is not ASCII belongs to a name there, spaces too.
_PARTS = re.compile(
    r"""(?P<remark>--[^\n\r]*)"""
    r"""|(?P<comment>/\*)"""
    r"""|(?P<text>'(?:''|[^'])*(?P<end>'|$))"""
    r"""|(?P<name>"(?:""|[^"])*(?:"|$))"""
    r"""|(?P<dollars>\$(?P<tag>(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*)?)\$)"""
    r"""|(?P<word>[A-Za-z0-9_\x80-\U0010ffff]+)"""
    r"""|(?P<other>.)""",
    re.DOTALL,
)
_COMMENT = re.compile(r"/\*|\*/")
_ESCAPED = re.compile(r"(?<!\\)(?:\\\\)*\\'")
_FIRST = ("select", "show", "explain", "with", "table", "values")
# A read-only transaction of PostgreSQL lets these act all the same.
_ACTS = re.compile(
    r"\b(pg_(?:terminate|cancel)_backend|pg_reload_conf|pg_rotate_logfile|pg_switch_(?:wal|xlog)|pg_promote"
    r"|pg_wal_replay_(?:pause|resume)|pg_(?:create|drop|copy)_\w*slot|pg_create_restore_point"
    r"|pg_replication_slot_advance|pg_sync_replication_slots|pg_logical_(?:slot_get|emit)\w*|pg_replication_origin_\w+"
    r"|pg_(?:start|stop)_backup|pg_backup_(?:start|stop)|pg_stat_reset\w*|pg_stat_statements_reset|pg_notify"
    r"|pg_(?:try_)?advisory\w*|pg_file_\w+|pg_log_backend_memory_contexts|pg_export_snapshot|set_config|setval|nextval"
    r"|pg_log_standby_snapshot|pg_buffercache_evict\w*|gin_clean_pending_list|brin_(?:de)?summarize_\w+|heap_force_\w+"
    r"|lo_(?:import|export|unlink|creat\w*|put|from_bytea)|dblink\w*|query_to_xml\w*|pg_sleep\w*)\s*\(",
    re.IGNORECASE,
)


class _Unclear(Exception):
    """The text may be read in more than one way."""


def objection(sql: str) -> str | None:
    """Return why a statement may not count as reading, None where it may."""
    try:
        bare, called = _read(sql)
    except _Unclear as unclear:
        return str(unclear)
    bare = bare.strip().rstrip(";").strip()
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
    acts = _ACTS.search(called)
    return f"{acts[1]}() acts, whatever the transaction" if acts else None


def _read(sql: str) -> tuple[str, str]:
    """Return the statement without comments twice: with '' for each text and quoted name, and with what stands in
    them, for in quotes the name of a function is still one."""
    bare, called, at, before = "", "", 0, ""
    while at < len(sql):
        part = _PARTS.match(sql, at)
        if part is None:  # not possible: `other` takes any character
            raise _Unclear("it cannot be read")
        kind, said, at = str(part.lastgroup), part[0], part.end()
        if part["dollars"] is not None:
            end = sql.find(said, at)
            if end < 0 or before == "word":
                raise _Unclear(f"{said} ends nowhere, or belongs to a name: put the name, or the text, into quotes")
            bare, called, at = f"{bare} '' ", f"{called} {sql[at:end]} ", end + len(said)
        elif part["comment"] is not None:
            at = _after_comment(sql, at)
            bare, called = f"{bare} ", f"{called} "
        elif part["remark"] is not None:
            bare, called = f"{bare} ", f"{called} "
        elif part["text"] is not None:
            if not part["end"] or _ESCAPED.search(said, 1):
                # Whether that quote ends the text depends on what stands before it, and on the server's settings.
                raise _Unclear("it has a text without end, or \\' in one: write a quote in a text as ''")
            bare, called = f"{bare} '' ", f"{called}{said}"
        elif part["name"] is not None:
            if re.search(r"(?:^|\W)u&$", bare, re.IGNORECASE):
                raise _Unclear('it has a name in U&"": write it as it is')
            bare, called = f"{bare} '' ", called + said[1:].removesuffix('"')
        else:
            bare, called = bare + said, called + said
        before = kind
    return bare, called


def _after_comment(sql: str, at: int) -> int:
    """Return where a comment ends: they nest."""
    depth = 1
    while depth:
        found = _COMMENT.search(sql, at)
        if found is None:
            raise _Unclear("a comment has no end")
        depth += 1 if found[0] == "/*" else -1
        at = found.end()
    return at
