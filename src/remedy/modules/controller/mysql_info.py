"""Tell how a MySQL or MariaDB server is: its version, connections, room for more, timeouts, error counters.

Returns `version`, `variant` (MySQL, MariaDB), `port` (0: it takes no TCP) and `socket`, `uptime` (seconds), `door`
(where it came in, where every connection was taken; "" otherwise), `connections` (used, allowed, percent, above:
whether `limit` is reached, peak: the most at once since the start; refused: for want of one, since the start, as
{least, most}, equal where the server counts them all, None: it does not count; by_user, by_host, by_command, by_state;
aborted_clients, aborted_connects), `sleepers` (those idle for `idle` and longer), `in_transaction` (those of them in a
transaction), `long` (statements that run for `long` and longer), `capacity` (bytes_per_connection, server_bytes,
memory_bytes: 0: not known, for it runs elsewhere; memory_percent: how much of it may be used; by_memory, by_open_files,
most: connections), `timeouts`, `files` (now, soft, hard: descriptors), `drift` (variables whose live value is not what
the next start reads), `errors` (the server's counters Connection_errors_) and `target`: the max_connections to go for,
the parameter's, else one with room for what there is, within `capacity.most`; never less than now. With `filter`
databases alone, or beside: `databases` (name: size in bytes, as the server last counted it, which MySQL from 8.0 does
once a day; tables; free: bytes that its files have to spare).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from remedy.agent.kinds import Param, Probe
from remedy.modules.controller import _sessions, _variables
from remedy.modules.controller._capacity import capacity
from remedy.modules.controller._doors import opened
from remedy.modules.controller._mysql import LOGIN_PARAMS, LOGIN_VARIABLES, Session, is_mariadb

_DATABASES = """SELECT table_schema AS name, CAST(SUM(data_length + index_length) AS SIGNED) AS size,
COUNT(*) AS tables, CAST(SUM(data_free) AS SIGNED) AS free FROM information_schema.tables
WHERE table_type = 'BASE TABLE' GROUP BY table_schema ORDER BY size DESC"""
_PATIENCE = 120.0  # seconds for their sizes: MariaDB and MySQL 5.7 open every table

PARAMS = (
    Param("filter", "list", elements="str", choices=("connections", "databases"),
          help="What is asked for; nothing: connections, with all that is told but databases."),
    Param("idle", "duration", default=300, help="From when on an idle session is a sleeper."),
    Param("long", "duration", default=60, help="From when on a statement is a long one."),
    Param("limit", "percent", default=85, help="From how much of max_connections on `connections.above` is true."),
    Param("target", "int", default=0, help="The max_connections to go for; 0: computed."),
    Param("freed", "bool", default=False, help="In check mode it is not known, rather than a failure, that nobody gets "
          "in: a task before it would have freed a connection."),
    Param("memory_share", "percent", default=90, help="How much of the host's memory the server may need where "
          "every connection uses its buffers."),
    *LOGIN_PARAMS,
)  # fmt: skip
VARIABLES = LOGIN_VARIABLES
EXAMPLES = """
- mysql_info:
  register: mysql
- debug: {msg: "{{ mysql.connections.used }} of {{ mysql.connections.allowed }}"}
- mysql_info: {filter: [databases]}
"""

_LASTING = ("max_connections", "wait_timeout", "interactive_timeout", "slow_query_log", "long_query_time")
_COUNTERS = {
    "peak": "Max_used_connections",
    "aborted_clients": "Aborted_clients",
    "aborted_connects": "Aborted_connects",
}
_SHOWN = 50
_GROWTH = 1.5
_STEP = 10


def kind(params: dict[str, Any]) -> type[Probe]:
    return Info


class Info(Probe):
    """Reads it."""

    def read(self) -> dict[str, Any]:
        """Return what was found."""
        server = opened(self.host, self.params, looks=not self.params["freed"])
        parts = self.params["filter"] or ["connections"]
        return {
            "version": server.version,
            "variant": "MariaDB" if is_mariadb(server.version) else "MySQL",
            **server.place(self.params),
            **(self._connections(server) if "connections" in parts else {}),
            **({"databases": _databases(server)} if "databases" in parts else {}),
        }

    def _connections(self, server: Session) -> dict[str, Any]:
        live = _variables.values(server, [*_LASTING, "datadir"])
        status = {str(row["Variable_name"]): str(row["Value"]) for row in server.rows("SHOW GLOBAL STATUS")}
        host = _variables.host_of(self.host, server, live["datadir"], _LASTING)
        everybody = _sessions.clients(server, [server.id])
        people = [each for each in everybody if not each.untouchable]
        allowed = int(live["max_connections"])
        # The session that asks is not one of those that were counted before it came.
        used = max(0, int(status["Threads_connected"]) - 1)
        memory = host["memory"]["total"] if host["pid"] is not None else 0  # else it runs elsewhere
        room = capacity(server, server.version, memory, float(self.params["memory_share"]))
        sleepers = [each for each in people if each.idle and each.seconds >= self.params["idle"]]
        long = [each for each in people if not each.idle and each.seconds >= self.params["long"]]
        return {
            "uptime": int(status["Uptime"]),
            "door": server.door,
            "connections": {
                "used": used,
                "allowed": allowed,
                "percent": round(100 * used / allowed, 1),
                "above": 100 * used >= float(self.params["limit"]) * allowed,
                **{name: _count(status.get(counter)) for name, counter in _COUNTERS.items()},
                "refused": refused(status, mariadb=is_mariadb(server.version)),
                **_grouped(people),
            },
            "sleepers": [each.told() for each in sleepers[:_SHOWN]],
            "sleeping": len(sleepers),
            "in_transaction": [each.told() for each in sleepers if each.transaction is not None][:_SHOWN],
            "long": [each.told() for each in long[:_SHOWN]],
            "capacity": room.told(),
            "timeouts": {name: live[name] for name in ("wait_timeout", "interactive_timeout")},
            "files": host["open_files"],
            "drift": _drift(server, live, host),
            "errors": {
                name: int(value) for name, value in status.items() if name.startswith("Connection_errors_")
            },
            "target": max(allowed, self.params["target"])
            if self.params["target"]
            else target(used - len(sleepers), allowed, room.most),
        }


def _databases(server: Session) -> dict[str, dict[str, Any]]:
    rows = server.rows(_DATABASES, seconds=_PATIENCE)
    return {str(row["name"]): {name: int(row[name] or 0) for name in ("size", "tables", "free")} for row in rows}


def target(used: int, allowed: int, most: int) -> int:
    """Return a max_connections with half as much again, and at most two thirds taken; never less than now."""
    wanted = max(allowed * _GROWTH, used * _GROWTH)
    return max(allowed, min(most, -(-int(wanted) // _STEP) * _STEP))


def refused(status: Mapping[str, str], *, mariadb: bool) -> dict[str, int] | None:
    """Return how many connections were refused since the start for want of one, as far as the counters tell.

    MariaDB lets the first one beyond max_connections log in; where it may not stay, it counts as an aborted connect
    alone. So the number is between both counters, less the logins that failed. MySQL counts every one.
    """
    least = _count(status.get("Connection_errors_max_connections"))
    if least is None:
        return None
    if not mariadb:
        return {"least": least, "most": least}
    aborted = int(status.get("Aborted_connects", 0)) - int(status.get("Access_denied_errors", 0))
    return {"least": least, "most": max(least, aborted)}


def _grouped(people: list[_sessions.Client]) -> dict[str, dict[str, int]]:
    """Return how many sessions there are by each, the most first."""
    ways = {
        "by_user": lambda each: each.user,
        "by_host": lambda each: each.host.rpartition(":")[0] or each.host,
        "by_command": lambda each: each.command,
        "by_state": lambda each: each.state or each.command,
    }
    return {name: dict(Counter(map(way, people)).most_common(20)) for name, way in ways.items()}


def _drift(server: Session, live: dict[str, str], host: dict[str, Any]) -> list[dict[str, Any]]:
    kept = _variables.persisted(server, list(_LASTING)) if _variables.persists(server.version) else {}
    found = []
    for name in _LASTING:
        later = kept.get(name, host["options"].get(name))
        if later is not None and name in live and not _variables.same(live[name], _variables.plain(later)):
            where = "SET PERSIST" if name in kept else host["sets"].get(name)
            found.append({"variable": name, "live": live[name], "persistent": later, "where": where})
    return found


def _count(value: str | None) -> int | None:
    return None if value is None else int(value)
