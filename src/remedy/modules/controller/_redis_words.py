"""What Redis and Valkey say: refusals as codes with what to do, INFO and lists as mappings, numbers for people."""

from __future__ import annotations

import re
from collections.abc import Iterable

from remedy.agent.kinds import Failed

_HINTS = {
    "NOAUTH": "; it asks for a password: set login_password (redis_login_password)",
    "WRONGPASS": "; the password or the account is wrong",
    "MAXCLIENTS": "; every connection that maxclients allows is taken",
    "LOADING": "; it reads its data from disk, and answers when that is done",
    "MISCONF": "; it takes no writes because it could not save: see its log, and the room on its disk",
    "OOM": "; it is at maxmemory, and its policy evicts nothing that would make room",
    "READONLY": "; it is a replica: write to its primary",
    "DENIED": "; without a password it lets in only who comes from its own 127.0.0.1: connect there, or, where it is "
    "in a container, let it ask for a password, or set protected-mode no where nobody else gets to it",
    "BUSY": "; a script holds it up: SCRIPT KILL ends one that has written nothing",
}
# Words that are no code of their own, and servers' ways to say the same.
_CODES = (
    ("MAXCLIENTS", re.compile(r"ERR max number of clients (\+ cluster connections )?reached", re.IGNORECASE)),
    ("WRONGPASS", re.compile(r"ERR invalid (username-)?password", re.IGNORECASE)),
    ("NOPASSWORD", re.compile(r"ERR (AUTH <password> called without any password|Client sent AUTH, but no password)")),
    ("NOACL", re.compile(r"ERR wrong number of arguments for 'auth' command", re.IGNORECASE)),
    ("UNKNOWN", re.compile(r"ERR unknown command", re.IGNORECASE)),
)  # fmt: skip


def refusal(text: str, command: str, where: str) -> Failed:
    """Return what to raise for an error that a server has answered; `redis_error` is its code."""
    code = next((code for code, shape in _CODES if shape.search(text)), text.split(" ", 1)[0])
    if code == "UNKNOWN":
        return Failed(no_command(where, [command]), redis_error=code)
    if code == "NOPERM":
        return Failed(f"{where} refuses {command}: {text}; grant it: ACL SETUSER ... +{command.lower()}",
                      "permission", redis_error=code)  # fmt: skip
    if code == "DENIED":
        text = text.partition(". ")[0]  # what follows is a page of ways out, some of them for its own host alone
    does = "lets nobody in" if code in ("MAXCLIENTS", "DENIED") else f"refuses {command}"
    return Failed(f"{where} {does}: {text}{_HINTS.get(code, '')}", redis_error=code)


def parsed(text: str) -> dict[str, str]:
    """Return INFO's lines as a mapping."""
    lines = (line.partition(":") for line in text.splitlines() if not line.startswith("#"))
    return {name: value for name, colon, value in lines if colon}


def number_of(version: str) -> tuple[int, ...]:
    """Return a version's numbers: "7.0.15" is (7, 0, 15)."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def fields(text: str) -> dict[str, str]:
    """Return a line of CLIENT LIST, or a database's line of INFO keyspace, as a mapping."""
    parts = (part.partition("=") for part in re.split(r"[ ,]", text.strip()))
    return {name: value for name, equals, value in parts if equals}


def size_of(count: float) -> str:
    """Return a number of bytes for people."""
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if abs(count) >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} bytes"


def no_command(where: str, names: Iterable[str]) -> str:
    listed = ", ".join(names)
    return (
        f"{where} does not know {listed}: rename-command has renamed or disabled it; "
        "name it in renamed_commands (redis_renamed_commands), or do without"
    )
