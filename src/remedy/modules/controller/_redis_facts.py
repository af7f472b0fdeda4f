"""What a Redis or Valkey server says of itself, in words and numbers that runbooks ask for."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from math import isfinite
from typing import Any

from remedy.agent.kinds import Failed
from remedy.modules.controller._redis import Session
from remedy.modules.controller._redis_words import fields, parsed

HOST = "remedy.modules.target._redis_host"
_PATIENCE, _LOOK = 5.0, 0.1  # seconds
_SETTINGS = (
    *("save", "appendonly", "dir", "maxclients", "maxmemory", "maxmemory-policy", "timeout"),
    *("stop-writes-on-bgsave-error", "min-replicas-to-write", "replica-read-only", "slave-read-only"),
)


def facts(server: Session) -> dict[str, Any]:
    """Return the facts; those that the server does not tell are None. Two round trips."""
    info, *settings = server.ask_all([("INFO",), *(("CONFIG", "GET", name) for name in _SETTINGS), ("TIME",)])
    if isinstance(info, Failed):
        raise info
    *answers, now = settings
    config: dict[str, str] = {}
    for answer in answers:
        if not isinstance(answer, Failed):
            config.update(zip(answer[::2], answer[1::2], strict=True))
    return told(parsed(info), config, None if isinstance(now, Failed) else int(now[0]))


def used_memory(server: Session) -> int:
    """Return the bytes in use once what UNLINK and ASYNC delete in the background is given back; waits 5 s at most."""
    until = time.monotonic() + _PATIENCE
    while True:
        memory = server.info("memory")
        if not int(memory.get("lazyfree_pending_objects", 0)) or time.monotonic() > until:
            return int(memory.get("used_memory", 0))
        threading.Event().wait(_LOOK)


def told(info: Mapping[str, str], config: Mapping[str, str], now: int | None) -> dict[str, Any]:
    """Return what INFO and CONFIG GET say; `now` is the server's own time."""
    memory = _memory(info, config)
    persistence = _persistence(info, config, now)
    replication = _replication(info)
    clients = _clients(info, config)
    loading = info.get("loading") == "1"
    refuses = [] if loading else list(_refuses(info, config, memory, persistence, replication))
    return {
        "version": info.get("valkey_version") or info.get("redis_version"),
        "product": "Valkey" if info.get("server_name") == "valkey" else "Redis",
        "mode": info.get("server_mode") or info.get("redis_mode"),
        "role": "replica" if info.get("role") == "slave" else info.get("role"),
        "uptime": _int(info, "uptime_in_seconds"),
        "config_file": info.get("config_file") or None,
        "config_known": bool(config),
        "loading": loading,
        "memory": memory,
        "persistence": persistence,
        "replication": replication,
        "clients": clients,
        "keyspace": {name: {key: int(value) for key, value in fields(line).items() if value.isdigit()}
                     for name, line in info.items() if name[:2] == "db" and name[2:].isdigit()},
        "refuses": refuses,
    }  # fmt: skip


def host_of(server: Session) -> dict[str, Any]:
    """Return what the host knows of the server: its configuration file, memory, open files, disk."""
    folder = server.config("dir").get("dir")
    pid = server.server.get("process_id")
    found: dict[str, Any] = server.site.ask(
        HOST,
        config_file=server.server.get("config_file") or None,
        pid=int(pid) if pid and pid.isdigit() else None,
        dir=folder,
        reached=server.reached,
    )
    return found


def room_for(memory: Mapping[str, Any]) -> int:
    """Return how many bytes there are for everything that runs beside the server and with it."""
    return min(int(memory["total"]), int(memory["limit"] or memory["total"]))


def _memory(info: Mapping[str, str], config: Mapping[str, str]) -> dict[str, Any]:
    used = _int(info, "used_memory") or 0
    # What goes to replicas and the append-only file does not count for the limit.
    counted = used - (_int(info, "mem_not_counted_for_evict") or 0)
    most = _int(info, "maxmemory")
    most = int(config.get("maxmemory", 0)) if most is None else most
    total = _int(info, "total_system_memory")
    rss = _int(info, "used_memory_rss") or 0
    return {
        "used": used,
        "counted": counted,
        "rss": rss,
        "peak": _int(info, "used_memory_peak"),
        "dataset": _int(info, "used_memory_dataset"),
        "maxmemory": most,
        "percent": round(100 * counted / most, 1) if most else None,
        "policy": info.get("maxmemory_policy") or config.get("maxmemory-policy"),
        "host": total,
        "host_percent": round(100 * rss / total, 1) if total else None,
        "fragmentation": _float(info, "mem_fragmentation_ratio"),
        "fragmentation_bytes": max(0, rss - used),
        "evicted": _int(info, "evicted_keys"),
        "allocator": info.get("mem_allocator"),
    }


def _persistence(info: Mapping[str, str], config: Mapping[str, str], now: int | None) -> dict[str, Any]:
    last = _int(info, "rdb_last_save_time")
    points = config.get("save")
    append = info.get("aof_enabled") == "1"
    return {
        "save": points,
        "rdb": None if points is None else points != "",
        "aof": append,
        "on": append or (None if points is None else points != ""),
        "last_save": last,
        "last_save_age": max(0, now - last) if now is not None and last is not None else None,
        "last_status": info.get("rdb_last_bgsave_status"),
        "aof_status": info.get("aof_last_write_status"),
        "changes": _int(info, "rdb_changes_since_last_save"),
        "saving": info.get("rdb_bgsave_in_progress") == "1",
        "stops_writes": config.get("stop-writes-on-bgsave-error", "yes") == "yes",
        "dir": config.get("dir"),
    }


def _replication(info: Mapping[str, str]) -> dict[str, Any]:
    replicas = []
    for name, line in info.items():
        if name.startswith("slave") and name[5:].isdigit():
            each = fields(line)
            replicas.append({"address": f"{each.get('ip')}:{each.get('port')}", "state": each.get("state"),
                             "lag": int(each["lag"]) if each.get("lag", "").isdigit() else None})  # fmt: skip
    primary = f"{info['master_host']}:{info.get('master_port')}" if info.get("master_host") else None
    return {
        "primary": primary,
        "link": info.get("master_link_status"),
        "syncing": info.get("master_sync_in_progress") == "1",
        "replicas": replicas,
    }


def _clients(info: Mapping[str, str], config: Mapping[str, str]) -> dict[str, Any]:
    connected = _int(info, "connected_clients") or 0
    most = _int(info, "maxclients")
    most = int(config["maxclients"]) if most is None and "maxclients" in config else most
    return {
        "connected": connected,
        "blocked": _int(info, "blocked_clients"),
        "max": most,
        "percent": round(100 * connected / most, 1) if most else None,
        "rejected": _int(info, "rejected_connections"),
        "timeout": int(config["timeout"]) if "timeout" in config else None,
    }


def _refuses(
    info: Mapping[str, str],
    config: Mapping[str, str],
    memory: Mapping[str, Any],
    persistence: Mapping[str, Any],
    replication: Mapping[str, Any],
) -> Any:
    """Give why an ordinary write would be refused now, as {code, text}."""
    if info.get("role") == "slave":
        read_only = config.get("replica-read-only") or config.get("slave-read-only") or "yes"
        if read_only == "yes":
            yield {"code": "READONLY", "text": f"it is a replica of {replication['primary']}"}
        return
    if persistence["stops_writes"] and persistence["rdb"] and persistence["last_status"] == "err":
        yield {"code": "MISCONF", "text": "its last save failed, and stop-writes-on-bgsave-error is on"}
    if persistence["aof"] and persistence["aof_status"] == "err":
        yield {"code": "MISCONF", "text": "it could not write its append-only file"}
    if memory["maxmemory"] and memory["counted"] >= memory["maxmemory"] and memory["policy"] == "noeviction":
        yield {"code": "OOM", "text": "it is at maxmemory, and noeviction lets nothing go"}
    least = int(config.get("min-replicas-to-write", 0) or 0)
    if least and (good := _int(info, "min_slaves_good_slaves")) is not None and good < least:
        yield {"code": "NOREPLICAS", "text": f"min-replicas-to-write is {least}, and {good} are in step"}


def _int(info: Mapping[str, str], name: str) -> int | None:
    text = info.get(name, "")
    return int(text) if text.lstrip("-").isdigit() else None


def _float(info: Mapping[str, str], name: str) -> float | None:
    try:
        number = float(info[name])
        return number if isfinite(number) else None  # JSON has no word for it
    except (KeyError, ValueError):
        return None
