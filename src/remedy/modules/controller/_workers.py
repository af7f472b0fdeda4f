"""How many workers apply a replica's events, and in which order: live, and for the server's next start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from remedy.agent.kinds import Failed
from remedy.modules.controller._mysql import Asks
from remedy.modules.controller._replication import Channel, Words, domains, variables

_PERSISTS = (8, 0)
_ORDER_WITHOUT_LOG = (8, 0, 19)  # before, preserving the commit order needed log_slave_updates
_MODES = ("optimistic", "aggressive", "conservative", "minimal", "none")


@dataclass(frozen=True)
class Setting:
    """One variable: its name, the value that is wanted, and the value as the server shows it."""

    name: str
    value: str


def names(words: Words) -> tuple[str, ...]:
    """Return the variables that decide, as this server calls them."""
    if words.mariadb:
        return ("slave_parallel_threads", "slave_parallel_mode")
    return tuple(
        words.variable(name) for name in ("parallel_workers", "parallel_type", "preserve_commit_order")
    )


def live(server: Asks, words: Words) -> dict[str, str]:
    """Return those variables as they are; a server that dropped one (parallel_type, MySQL 9) has no such key."""
    return {name: value.upper() for name, value in variables(server, names(words)).items()}


def wanted(
    words: Words, have: dict[str, str], workers: int, mode: str | None, known: dict[str, str]
) -> dict[str, str]:
    """Return the values they should have; `known` are other variables of the server."""
    want = dict(have)
    if words.mariadb:
        want["slave_parallel_threads"] = str(workers)
        current = have.get("slave_parallel_mode", "")
        # Both of these apply one transaction after the other, whatever the number of threads.
        if mode is not None or (workers > 1 and current in ("NONE", "MINIMAL")):
            want["slave_parallel_mode"] = (mode or "conservative").upper()
        return want
    if mode is not None:
        raise Failed(
            f"parallel_mode is MariaDB's ({', '.join(_MODES)}); MySQL's workers follow the logical clock, "
            "leave it out"
        )
    want[words.variable("parallel_workers")] = str(workers)
    if workers > 1:
        kind, order = words.variable("parallel_type"), words.variable("preserve_commit_order")
        if kind in have:
            want[kind] = "LOGICAL_CLOCK"
        if order in have:
            want[order] = "ON"
        if have.get(order) == "OFF" and words.version < _ORDER_WITHOUT_LOG and not _logs(known):
            raise Failed(
                f"{order} needs log_bin and log_slave_updates on this server, which are off: without it the replica "
                "would show states that the source never had. Turn them on (both need a restart), then play again"
            )
    return want


def objection(server: Asks, words: Words, found: Sequence[Channel], have: dict[str, str]) -> str | None:
    """Return why a replica must not get its first workers now; None: nothing speaks against it.

    MariaDB (10.11 seen) remembers, when a SQL thread with workers stops in GTID mode, how far each of several domains
    was, and forgets it only when both threads start in GTID mode again. Workers that apply by position afterwards pass
    by, without an error, what lies before that place, and everything that another server has written in the domain.
    """
    if not words.mariadb or have.get("slave_parallel_threads") != "0":
        return None
    several = domains(str(server.rows("SELECT @@global.gtid_slave_pos AS pos")[0]["pos"]))
    by_position = [each.name or each.source for each in found if not each.gtid]
    if len(several) < 2 or not by_position:
        return None
    return (
        f"the replica applies by position ({', '.join(by_position)}) and knows {len(several)} GTID domains: if it has "
        "applied by GTID since the server started, its workers would pass by transactions without an error. Let it "
        "apply by GTID (CHANGE MASTER TO master_use_gtid = slave_pos), or write slave_parallel_threads into the "
        "server's options and restart it: then nothing is remembered"
    )


def _logs(known: dict[str, str]) -> bool:
    return known.get("log_bin") == "ON" and known.get("log_slave_updates") == "ON"


def persists(words: Words) -> bool:
    """Say whether the server itself keeps a value for its next start (SET PERSIST)."""
    return not words.mariadb and words.version >= _PERSISTS


def persisted(server: Asks, words: Words) -> dict[str, str | None]:
    """Return what the server has kept of them for its next start, None where nothing; {} where it cannot."""
    if not persists(words):
        return {}
    listed = ", ".join(f"'{name}'" for name in names(words))
    rows = server.rows(
        "SELECT VARIABLE_NAME AS name, VARIABLE_VALUE AS value FROM performance_schema.persisted_variables "
        f"WHERE VARIABLE_NAME IN ({listed})"
    )
    kept: dict[str, str | None] = dict.fromkeys(live(server, words))
    kept.update({str(row["name"]): str(row["value"]).upper() for row in rows})
    return kept


def acting(server: Asks, words: Words, channel: str) -> int | None:
    """Return how many workers a running channel has, None where it does not run or the server does not tell."""
    if words.mariadb:
        return None
    try:
        rows = server.rows(
            "SELECT COUNT(*) AS workers FROM performance_schema.replication_applier_status_by_worker "
            f"WHERE CHANNEL_NAME = '{channel}' AND SERVICE_STATE = 'ON'"
        )
    except Failed:
        return None  # the performance schema is off, or not for this account
    return int(rows[0]["workers"]) or None


def literal(value: str) -> str:
    """Return a value for SET."""
    return value if value.isdigit() or value in ("ON", "OFF") else f"'{value}'"


def told(words: Words, values: dict[str, str]) -> dict[str, Any]:
    """Return the settings in words that are the same for every server."""
    count = values.get(names(words)[0])
    return {
        "workers": int(count) if count is not None and count.isdigit() else None,
        "type": (
            values.get("slave_parallel_mode") or values.get(words.variable("parallel_type")) or ""
        ).lower(),
        "commit_order": "on"
        if words.mariadb
        else values.get(words.variable("preserve_commit_order"), "").lower() or None,
        "settings": dict(values),
    }
