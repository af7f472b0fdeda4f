"""Passwords of .pgpass, the file of PostgreSQL's own clients: here, and on the host."""

from __future__ import annotations

import os
import re
from pathlib import Path

from remedy.modules.controller._site import Site

_HOST = "remedy.modules.target._postgres_host"


def find(site: Site, host: str, port: int, database: str, user: str) -> str:
    """Return the password for a login, "" where no file has one; the file of this machine comes first.

    There the host may also be called as in the inventory.
    """
    # os.path leaves a ~ that nobody has as it is, and so no file is found there.
    here = Path(os.environ.get("PGPASSFILE") or os.path.expanduser("~/.pgpass"))  # noqa: PTH111
    names = {host, site.name, site.address} if host in ("localhost", "127.0.0.1") else {host}
    try:
        mode, text = here.stat().st_mode, here.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        mode, text = 0, ""
    if mode & 0o077:
        site.warn(f"{here} is left out: others may read it; chmod 600 {here}")
        text = ""
    found = password_of(text, names, port, database, user)
    if found is None:
        told = site.ask(_HOST, passfile="~/.pgpass")
        if told["ignored"]:
            site.warn(f"{site.name}: {told['ignored']}")
        found = password_of(told["passfile"] or "", {host}, port, database, user)
    return found or ""


def password_of(text: str, hosts: set[str], port: int, database: str, user: str) -> str | None:
    """Return the password of the first line that fits."""
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        fields = [re.sub(r"\\(.)", r"\1", part) for part in re.findall(r"(?:^|:)((?:\\.|[^:\\])*)", line)]
        if len(fields) < 5:
            continue
        wanted = (hosts, {str(port)}, {database}, {user})
        if all(field == "*" or field in accepted for field, accepted in zip(fields[:4], wanted, strict=True)):
            return fields[4]
    return None
