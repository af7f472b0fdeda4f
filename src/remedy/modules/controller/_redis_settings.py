"""Settings of Redis and Valkey: what is the same value, what a server would come up with, what the two disagree on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_SIZE = re.compile(r"(-?\d+)(b|k|kb|m|mb|g|gb)?", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "k": 1000, "kb": 1 << 10, "m": 1000**2, "mb": 1 << 20, "g": 1000**3, "gb": 1 << 30}
# Of redis.conf, the same from 5 to 8 and in Valkey: what a file without a line for it means.
_DEFAULTS = {
    "maxmemory": "0",
    "maxmemory-policy": "noeviction",
    "maxmemory-samples": "5",
    "maxclients": "10000",
    "timeout": "0",
    "tcp-keepalive": "300",
    "appendonly": "no",
    "appendfsync": "everysec",
    "stop-writes-on-bgsave-error": "yes",
    "activedefrag": "no",
    "lazyfree-lazy-eviction": "no",
    "lazyfree-lazy-expire": "no",
    "slowlog-log-slower-than": "10000",
    "slowlog-max-len": "128",
    "min-replicas-to-write": "0",
    "replica-read-only": "yes",
    "notify-keyspace-events": "",
}
# Not told by CONFIG GET as they stand in the file, secret, of the command line, or the server's own.
_APART = (
    "client-output-buffer-limit", "rename-command", "include", "loadmodule", "user", "requirepass", "masterauth",
    "masteruser", "daemonize", "supervised", "pidfile", "bind", "replicaof", "slaveof", "oom-score-adj-values",
    "tls-key-file-pass", "tls-client-key-file-pass", "always-show-logo", "save",
)  # fmt: skip
SECRETS = ("requirepass", "masterauth", "masteruser", "tls-key-file-pass", "tls-client-key-file-pass")


def plain(name: str, value: str) -> str:
    """Return a value as CONFIG GET tells it: sizes in bytes, one blank between words."""
    text = " ".join(str(value).split())
    match = _SIZE.fullmatch(text)
    if match is not None and (match[2] or name in _DEFAULTS):
        return str(int(match[1]) * _UNITS[(match[2] or "").lower()])
    if text.lower() in ("yes", "no"):
        return text.lower()
    return "" if text == '""' else text


def after_restart(name: str, values: Mapping[str, str], live: str) -> str:
    """Return what the server would come up with, by its file; where nobody can tell, what it has now."""
    if name in values:
        return plain(name, values[name])
    return _DEFAULTS.get(name, live)


def drift(live: Mapping[str, str], values: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the settings that a restart would change, as {name, live, file}."""
    found = []
    for name in sorted(live):
        if name in _APART or (name not in values and name not in _DEFAULTS):
            continue
        file = after_restart(name, values, live[name])
        if plain(name, live[name]) != file:
            found.append({"name": name, "live": live[name], "file": file})
    return found
