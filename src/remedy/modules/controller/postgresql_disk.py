"""Tell what fills the disk of a PostgreSQL server.

Returns `port`, `disk` (of the data folder: free, size, percent), `wal` (bytes, files; keep: bytes that settings keep;
None: the login may not see), `slots` (those that hold WAL back, most first), `archiver` (mode, failing: it has failed
since it last succeeded; failed, last_failed), `temp` (bytes and files that sessions have there now, None: may not see;
since_reset: bytes), `databases` (db, bytes), and `prepared` (transactions that were prepared and never ended).
"""

from __future__ import annotations

from typing import Any

from remedy.agent.kinds import Failed, Probe
from remedy.modules.controller._postgres import LOGIN_PARAMS, LOGIN_VARIABLES, Session, opened, plain
from remedy.modules.controller.postgresql_replication import slots

PARAMS = LOGIN_PARAMS
VARIABLES = LOGIN_VARIABLES
EXAMPLES = """
- postgresql_disk:
  register: disk
"""

_WAL = (
    "SELECT (SELECT sum(size)::bigint FROM pg_ls_waldir()) AS bytes, (SELECT count(*) FROM pg_ls_waldir()) AS files, "
    "pg_size_bytes(current_setting('max_wal_size')) + {keep} AS keep"
)
_ARCHIVER = (
    "SELECT current_setting('archive_mode') AS mode, failed_count AS failed, last_failed_wal AS last_failed, "
    "current_setting('archive_mode') <> 'off' AND last_failed_time IS NOT NULL AND (last_archived_time IS NULL OR "
    "last_failed_time > last_archived_time) AS failing FROM pg_stat_archiver"
)
_TEMP = "SELECT COALESCE(sum(size), 0)::bigint AS bytes, count(*) AS files FROM pg_ls_tmpdir()"


def wal_sql(major: int) -> str:
    """Return the statement: wal_keep_segments became wal_keep_size in version 13."""
    if major >= 13:
        return _WAL.replace("{keep}", "pg_size_bytes(current_setting('wal_keep_size'))")
    segments = "current_setting('wal_keep_segments')::bigint * pg_size_bytes(current_setting('wal_segment_size'))"
    return _WAL.replace("{keep}", segments)


def kind(params: dict[str, Any]) -> type[Probe]:
    return Disk


class Disk(Probe):
    deadline = 120

    def read(self) -> dict[str, Any]:
        """Return what there is."""
        server = opened(self.host, self.params)
        data = server.data_folder()
        disk = server.ask_host(self.host)["disk"] if data else None
        if disk:
            disk = {"folder": data, **disk, "percent": round(100 * (1 - disk["free"] / max(1, disk["size"])), 1)}
        temp = _maybe(server, _TEMP) if server.major >= 12 else None
        spilled = server.rows("SELECT COALESCE(sum(temp_bytes), 0)::bigint AS bytes FROM pg_stat_database")[0]["bytes"]
        holding = [each for each in slots(server) if each["held_bytes"]]
        archiver = plain(server.rows(_ARCHIVER)[0])
        return {
            "port": self.params["login_port"],
            "disk": disk,
            "wal": _maybe(server, wal_sql(server.major)),
            "slots": sorted(holding, key=lambda each: -each["held_bytes"]),
            "archiver": archiver,
            "temp": {**(temp or {"bytes": None, "files": None}), "since_reset": int(spilled)},
            "databases": [plain(row) for row in server.rows(
                "SELECT datname AS db, pg_database_size(oid) AS bytes FROM pg_database ORDER BY 2 DESC", seconds=60)],
            "prepared": [plain(row) for row in server.rows(
                "SELECT gid, owner, database AS db, prepared FROM pg_prepared_xacts ORDER BY prepared")],
        }  # fmt: skip


def _maybe(server: Session, sql: str) -> dict[str, Any] | None:
    """Return a row, None where this login may not ask."""
    try:
        return dict(plain(server.rows(sql)[0]))
    except Failed as failed:
        if failed.result.get("sqlstate") == "42501":
            return None
        raise
