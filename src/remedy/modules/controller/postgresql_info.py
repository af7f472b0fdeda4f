"""Tell what a PostgreSQL server is and has.

Returns `version` (full, raw, major, minor), `in_recovery`, `superuser` (whether the login is one), `port`, and what
`filter` names: `connections` (max, superuser_reserved, reserved, allowed: for any role, used, free, free_for_all,
percent: of those allowed that are taken, by_state, by_user, by_client), `room` (memory and processes per connection;
most: so many connections there is room for; target: half as many again as there may be, within it; elsewhere: why the
server is none of the host's own, as one in a container; where its memory is not known most is None), `databases`
(name: owner, size, age of its oldest transaction id, connection_limit), `roles` (name: superuser, canlogin,
replication, connection_limit), `settings` (name: setting, unit, source, context, pending_restart; of the names in
`settings`, else those that differ from the default), `pending` (settings that wait for a restart), `replications`
(standbys), `repl_slots`, `tablespaces`, `extensions`. `standbys` are those named, None: nobody has said.
"""

from __future__ import annotations

from typing import Any

from remedy.agent.kinds import Failed, Param, Probe
from remedy.modules.controller._pg_settings import capacity
from remedy.modules.controller._postgres import (
    APPLICATION,
    LOGIN_PARAMS,
    LOGIN_VARIABLES,
    Session,
    opened,
    plain,
)

_PARTS = (
    *("connections", "room", "databases", "roles", "settings", "pending", "replications", "repl_slots"),
    *("tablespaces", "extensions"),
)
PARAMS = (
    Param("filter", "list", elements="str", choices=_PARTS, help="What is asked for; nothing: all."),
    Param("settings", "list", elements="str", help="Settings that are asked for."),
    Param("memory_share", "percent", default=80, help="So much of the host's memory the server may have (room)."),
    Param("standbys", "list", elements="str", help="Hosts of the inventory that follow this server. Else the variable "
          "postgres_standbys."),
    *LOGIN_PARAMS,
)  # fmt: skip
VARIABLES = {"standbys": "postgres_standbys", **LOGIN_VARIABLES}
EXAMPLES = """
- postgresql_info: {filter: [connections, settings], settings: [max_connections]}
  register: postgres
"""

_SQL = {
    "databases": "SELECT datname AS name, pg_get_userbyid(datdba) AS owner, datconnlimit AS connection_limit, "
    "CASE WHEN has_database_privilege(oid, 'CONNECT') THEN pg_database_size(oid) END AS size, age(datfrozenxid) AS age "
    "FROM pg_database WHERE NOT datistemplate ORDER BY 1",
    "roles": "SELECT rolname AS name, rolsuper AS superuser, rolcanlogin AS canlogin, rolreplication AS replication, "
    "rolconnlimit AS connection_limit FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%' ORDER BY 1",
    "replications": "SELECT pid, usename, application_name, client_addr::text, state, sync_state, sent_lsn::text, "
    "replay_lsn::text, replay_lag FROM pg_stat_replication ORDER BY pid",
    "repl_slots": "SELECT slot_name, plugin, slot_type, database, active, restart_lsn::text FROM pg_replication_slots "
    "ORDER BY 1",
    "tablespaces": "SELECT spcname AS name, pg_get_userbyid(spcowner) AS owner, pg_tablespace_location(oid) AS "
    "location FROM pg_tablespace ORDER BY 1",
    "extensions": "SELECT extname AS name, extversion AS version FROM pg_extension ORDER BY 1",
}
_PENDING = "SELECT name FROM pg_settings WHERE pending_restart ORDER BY 1"
_NAMED = ("databases", "roles", "tablespaces", "extensions")


def kind(params: dict[str, Any]) -> type[Probe]:
    return Info


class Info(Probe):
    def read(self) -> dict[str, Any]:
        """Return what is asked for."""
        server = opened(self.host, self.params)
        version = {"full": server.words.partition(",")[0], "raw": server.words, "major": server.major,
                   "minor": server.version % 10000}  # fmt: skip
        found: dict[str, Any] = {
            "version": version,
            "in_recovery": server.rows("SELECT pg_is_in_recovery() AS yes")[0]["yes"],
            "superuser": server.superuser,
            "port": self.params["login_port"],
            "standbys": self.params["standbys"],
        }
        for part in self.params["filter"] or _PARTS:
            if part == "connections":
                found[part] = connections(server)
            elif part == "room":
                found[part] = self._room(server)
            elif part == "pending":
                found[part] = [row["name"] for row in server.rows(_PENDING)]
            elif part == "settings":
                found[part] = settings(server, self.params["settings"])
            else:
                rows = [plain(row) for row in server.rows(_SQL[part], seconds=30)]
                found[part] = {row.pop("name"): row for row in rows} if part in _NAMED else rows
        return found

    def _room(self, server: Session) -> dict[str, Any]:
        if server.data_folder() is None:
            what = "room takes a superuser, or membership in pg_read_all_settings"
            raise Failed(what, "permission", sqlstate="42501")
        can = capacity(server, server.ask_host(self.host), float(self.params["memory_share"]))
        now = can.settings["max_connections"]
        most = can.most if can.memory else None
        return {**can.told(), "most": most, "target": max(now, min(-(-now * 3 // 2), most or 0))}


def connections(server: Session) -> dict[str, Any]:
    """Return how many connections there may be and are; `free_for_all` counts what ordinary roles may still take."""
    limits = settings(server, ["max_connections", "superuser_reserved_connections", "reserved_connections"])
    most, superuser, reserved = (int(limits.get(name, {}).get("setting", 0)) for name in (
        "max_connections", "superuser_reserved_connections", "reserved_connections"))  # fmt: skip
    # From version 10 on the view shows the server's own processes, too; walsenders have slots of their own since 12.
    walsender = "" if server.major >= 12 else ", 'walsender'"
    rows = server.rows(
        "SELECT COALESCE(usename, '?') AS by_user, COALESCE(host(client_addr), 'local') AS by_client, "
        "COALESCE(state, 'unknown') AS by_state, count(*) AS count FROM pg_stat_activity WHERE backend_type IN "
        f"('client backend'{walsender}) AND application_name <> '{APPLICATION}' GROUP BY 1, 2, 3"
    )
    # remedy's own sessions are not counted: they end with the run.
    used = sum(int(row["count"]) for row in rows)
    allowed = most - superuser - reserved
    found: dict[str, Any] = {
        "max": most,
        "superuser_reserved": superuser,
        "reserved": reserved,
        "allowed": allowed,
        "used": used,
        "free": max(0, most - used),
        "free_for_all": max(0, allowed - used),
        "percent": round(100 * used / max(1, allowed), 1),
    }
    for name in ("by_state", "by_user", "by_client"):
        counts: dict[str, int] = {}
        for row in rows:
            counts[row[name]] = counts.get(row[name], 0) + int(row["count"])
        found[name] = dict(sorted(counts.items(), key=lambda each: -each[1]))
    return found


def settings(server: Session, names: list[str] | None) -> dict[str, Any]:
    """Return settings by name: those asked for, else those that are not as the server would have them by itself."""
    which = "name = ANY(%s)" if names else "source NOT IN ('default', 'override', 'client', 'session')"
    rows = server.rows(
        f"SELECT name, setting, unit, source, context, pending_restart FROM pg_settings WHERE {which} ORDER BY 1",
        [list(names)] if names else None,
    )
    return {row.pop("name"): plain(row) for row in rows}
