"""Tell what a PostgreSQL server is at: who waits for whom, and which statements run for long.

Returns `blocked` (pid, user, db, seconds, query, waits_for: pids), `blockers`: those at the root, which wait for nobody
(pid, user, db, state, superuser, seconds, transaction, query, blocks: how many wait behind it), `long`: statements
older than `age`, and `active`, how many run.
"""

from __future__ import annotations

from typing import Any

from remedy.agent.kinds import Failed, Param, Probe
from remedy.modules.controller import _pg_sessions
from remedy.modules.controller._postgres import LOGIN_PARAMS, LOGIN_VARIABLES, opened

PARAMS = (
    Param("age", "duration", default=60, help="Statements that have run for longer are long."),
    Param("blocked", "duration", default=0, help="Only who has waited for so long."),
    *LOGIN_PARAMS,
)
VARIABLES = LOGIN_VARIABLES
EXAMPLES = """
- postgresql_activity: {age: 5m, blocked: 30s}
  register: activity
"""

_SEES = "SELECT pg_has_role('pg_read_all_stats', 'USAGE') AS all"  # a superuser has every role


def kind(params: dict[str, Any]) -> type[Probe]:
    return Activity


class Activity(Probe):
    def read(self) -> dict[str, Any]:
        """Return who is at what."""
        server = opened(self.host, self.params)
        if not server.rows(_SEES)[0]["all"]:
            # What others are at would be hidden from it: nobody would seem to wait.
            raise Failed(
                "the role sees what its own sessions are at alone: GRANT pg_read_all_stats (or pg_monitor) TO it",
                "permission",
                sqlstate="42501",
            )
        clients = {each.pid: each for each in _pg_sessions.clients(server)}
        # Asked only of those that wait: for each it takes the lock manager's own locks.
        rows = server.rows(
            "SELECT pid, pg_blocking_pids(pid) AS waits_for FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        )
        waiting = {int(row["pid"]): [int(pid) for pid in row["waits_for"]] for row in rows if row["waits_for"]}
        blocked = [
            {**_shown(clients[pid]), "waits_for": behind}
            for pid, behind in waiting.items()
            if pid in clients and clients[pid].seconds >= self.params["blocked"]
        ]
        counts: dict[int, int] = {}
        for each in blocked:
            for root in roots(each["pid"], waiting):
                counts[root] = counts.get(root, 0) + 1
        blockers = [
            {
                **_shown(clients[pid]),
                "state": clients[pid].state,
                "superuser": bool(clients[pid].row["super"]),
                "blocks": count,
            }
            for pid, count in sorted(counts.items(), key=lambda each: -each[1])
            if pid in clients
        ]
        own = [each for each in clients.values() if each.state == "active" and not each.untouchable]
        long = [_shown(each) for each in own if each.seconds >= self.params["age"]]
        return {
            "blocked": sorted(blocked, key=lambda each: -each["seconds"]),
            "blockers": blockers,
            "long": sorted(long, key=lambda each: -each["seconds"]),
            "active": len(own),
        }


def roots(pid: int, waiting: dict[int, list[int]]) -> set[int]:
    """Return those at the end of the chain that a session waits in; one that waits for itself ends nowhere."""
    found: set[int] = set()
    seen, open_ends = {pid}, list(waiting.get(pid, ()))
    while open_ends:
        one = open_ends.pop()
        if one in seen:
            continue
        seen.add(one)
        if waiting.get(one):
            open_ends += waiting[one]
        else:
            found.add(one)
    return found


def _shown(each: _pg_sessions.Client) -> dict[str, Any]:
    told = each.told()
    names = ("pid", "user", "db", "client", "application", "seconds", "transaction", "query")
    return {name: told[name] for name in names}
