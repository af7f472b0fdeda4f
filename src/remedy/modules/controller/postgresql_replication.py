"""Tell how a PostgreSQL server replicates, or let the replay of a standby go on.

Looks only, without `replay`. On a primary: `standbys` (application, client, state, sync, lag_bytes, lag_seconds) and
`slots` (name, type, active, held_bytes: WAL that it holds back, status). On a standby: `receiver` (status, primary;
None: it does not stream), `lag_bytes` (received, and not replayed yet), `lag_seconds` (0 where all that came is
replayed; None: unknown), `delay_seconds` (so far behind it is meant to be: recovery_min_apply_delay, known from
version 12 on), `paused`, and `insufficient`: settings that are below the primary's (name, value, primary),
for which the server pauses its replay. All: `role` (primary, standby), `problems` in words.

`replay: resumed` goes on with a replay that somebody has paused (pg_wal_replay_resume); a rollback pauses it again.
It is refused where settings are below the primary's: the server would stop. Raise them with postgresql_set, and
restart the standby: its replay goes on by itself.
"""

from __future__ import annotations

import time
from typing import Any

from remedy.agent.kinds import Failed, Param, Probe, Resource
from remedy.modules.controller._pg_settings import AS_PRIMARY
from remedy.modules.controller._postgres import LOGIN_PARAMS, LOGIN_VARIABLES, Session, opened, plain
from remedy.modules.controller._site import Site

_PATIENCE = 10.0
_LOOK = 0.05

PARAMS = (
    Param("replay", choices=("resumed", "paused"), help="What a standby's replay should be; else it is looked at."),
    *LOGIN_PARAMS,
)  # fmt: skip
VARIABLES = LOGIN_VARIABLES
EXAMPLES = """
- postgresql_replication:
  register: replication
- postgresql_replication: {replay: resumed}
"""

STANDBYS = (
    "SELECT pid, application_name AS application, host(client_addr) AS client, state, sync_state AS sync, "
    "pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint AS lag_bytes, "
    "extract(epoch FROM replay_lag)::float AS lag_seconds FROM pg_stat_replication "
    "WHERE application_name NOT IN ('pg_basebackup', 'pg_receivewal') ORDER BY application_name, pid"
)
_RECEIVER = (
    "SELECT r.status, {primary} AS primary, "
    "pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::bigint AS lag_bytes, "
    "extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float AS age, "
    "(SELECT setting::float / 1000 FROM pg_settings WHERE name = 'recovery_min_apply_delay') AS delay "
    "FROM (SELECT 1) one LEFT JOIN pg_stat_wal_receiver r ON true"
)


def kind(params: dict[str, Any]) -> type[Probe | Resource]:
    return Replay if params.get("replay") else Look


class Look(Probe):
    """Reads it."""

    def read(self) -> dict[str, Any]:
        """Return how it is."""
        return look(self.host, opened(self.host, self.params))


class Replay(Resource):
    """Whether a standby's replay is paused."""

    def key(self) -> str:
        """Return what is looked after."""
        return f"postgresql:{self.params['login_port']}:replay"

    def read(self) -> dict[str, Any]:
        """Return whether it is paused; raises Failed on a primary."""
        server = opened(self.host, self.params)
        if not _standby(server):
            raise Failed("this server is a primary: only a standby replays")
        return {"paused": paused(server)}

    def wanted(self, have: dict[str, Any]) -> dict[str, Any]:
        """Return the state that should be; raises Failed where the server would stop."""
        want = {"paused": self.params["replay"] == "paused"}
        if have["paused"] and not want["paused"]:
            self._guard()
        return want

    def write(self, have: dict[str, Any], want: dict[str, Any]) -> None:
        """Pause it, or go on."""
        if not want["paused"]:
            self._guard()
        name = "pg_wal_replay_pause" if want["paused"] else "pg_wal_replay_resume"
        server = opened(self.host, self.params)
        server.rows(f"SELECT {name}()")
        until = time.monotonic() + _PATIENCE
        while paused(server) != want["paused"] and time.monotonic() < until:
            time.sleep(_LOOK)

    def _guard(self) -> None:
        server = opened(self.host, self.params)
        told = server.ask_host(self.host)
        if told["elsewhere"]:
            raise Failed(
                f"{told['elsewhere']}: with settings below its primary's it would stop, and whether it has such is not "
                "known here; play on the host that it runs on, or see its log, and SELECT pg_wal_replay_resume()"
            )
        below = insufficient(server, told["control"])
        if below:
            named = ", ".join(f"{each['name']} {each['value']} (primary: {each['primary']})" for each in below)
            raise Failed(
                f"the replay is paused because of settings below the primary's: {named}; if it went on, the server "
                "would stop: raise them with postgresql_set, and restart it"
            )

    def why(self, have: dict[str, Any]) -> str:
        """Return why nothing is to be done."""
        return "the replay is paused already" if have["paused"] else "the replay is not paused"


def look(site: Site, server: Session) -> dict[str, Any]:
    """Return the replication of a server."""
    if _standby(server):
        return _of_standby(site, server)
    standbys = [plain(row) for row in server.rows(STANDBYS)]
    found = {"role": "primary", "standbys": standbys, "slots": slots(server)}
    problems = [f"{each['application']} is not streaming: {each['state']}" for each in standbys
                if each["state"] != "streaming"]  # fmt: skip
    return {**found, "problems": problems}


def slots(server: Session) -> list[dict[str, Any]]:
    """Return the replication slots, and how much WAL each holds back."""
    return [plain(row) for row in server.rows(slots_sql(server.major))]


def slots_sql(major: int) -> str:
    """Return the statement: the view has grown from version to version."""
    status = "wal_status" if major >= 13 else "NULL::text"
    since = "inactive_since" if major >= 17 else "NULL::timestamptz"
    here = "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END"
    return (
        "SELECT slot_name AS name, slot_type AS type, database, plugin, temporary, active, active_pid, "
        f"restart_lsn::text, pg_wal_lsn_diff({here}, restart_lsn)::bigint AS held_bytes, {status} AS status, "
        f"{since} AS inactive_since FROM pg_replication_slots ORDER BY 1"
    )


def paused(server: Session) -> bool:
    """Say whether a standby's replay is paused, or will be."""
    return bool(server.rows("SELECT pg_is_wal_replay_paused() AS paused")[0]["paused"])


def insufficient(server: Session, control: dict[str, int]) -> list[dict[str, Any]]:
    """Return the settings of a standby that are below its primary's, as its control file knows them."""
    rows = server.rows("SELECT name, setting::int AS value FROM pg_settings WHERE name = ANY(%s) ORDER BY 1",
                       [list(AS_PRIMARY)])  # fmt: skip
    return [
        {"name": row["name"], "value": row["value"], "primary": control[row["name"]]}
        for row in rows
        if control.get(row["name"], 0) > row["value"]
    ]


def _of_standby(site: Site, server: Session) -> dict[str, Any]:
    primary = "r.sender_host || ':' || r.sender_port" if server.major >= 11 else "NULL"
    row = plain(server.rows(_RECEIVER.replace("{primary}", primary))[0])
    is_paused, behind = paused(server), row["lag_bytes"]
    below = insufficient(server, server.ask_host(site)["control"]) if is_paused else []
    receiver = {"status": row["status"], "primary": row["primary"]} if row["status"] else None
    # What has come is replayed: nothing to wait for, however long ago the last change was.
    seconds = 0.0 if behind == 0 and receiver is not None and not is_paused else row["age"]
    problems = []
    if receiver is None or receiver["status"] != "streaming":
        problems.append("it does not receive from its primary")
    if below:
        problems.append("its replay is paused, because settings are below the primary's")
    elif is_paused:
        problems.append("its replay was paused (pg_wal_replay_pause)")
    return {
        "role": "standby",
        "receiver": receiver,
        "lag_bytes": behind,
        "lag_seconds": None if seconds is None else round(max(0.0, seconds), 1),
        "delay_seconds": row["delay"] or 0.0,
        "paused": is_paused,
        "insufficient": below,
        "slots": slots(server),
        "problems": problems,
    }


def _standby(server: Session) -> bool:
    return bool(server.rows("SELECT pg_is_in_recovery() AS yes")[0]["yes"])
