"""Inventories that are programs: `--list` prints JSON, `--host NAME` where there is no `_meta`."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from remedy.document import Map, Text, Unsafe, VaultText
from remedy.errors import InputError, Position
from remedy.inventory.draft import Draft
from remedy.inventory.model import put

DEADLINE = 120.0
"""Seconds that one call of an inventory program may take."""


def is_script(path: Path) -> bool:
    """Tell whether a file is a program: executable, and with the beginning of one."""
    if not os.access(path, os.X_OK):
        return False
    with path.open("rb") as file:
        return file.read(4).startswith((b"#!", b"\x7fELF"))


def read_script(path: Path, draft: Draft) -> None:
    """Add what an inventory program prints to the draft."""
    where = Position(str(path))
    listed = _run(path, ["--list"], where)
    meta = listed.pop("_meta", None)
    known = meta.get("hostvars") if isinstance(meta, dict) else None
    hosts: dict[str, None] = {}
    for name, body in listed.items():
        hosts |= dict.fromkeys(_group(name, body, where, path, draft))
    for host in hosts:
        variables = known.get(host, {}) if isinstance(known, dict) else _run(path, ["--host", host], where)
        if not isinstance(variables, dict):
            raise _wrong(f"the variables of '{host}' are no object", where)
        for name, value in variables.items():
            draft.set_host(host, name, marked(value, where), where)


def _group(name: str, body: Any, where: Position, path: Path, draft: Draft) -> list[str]:
    draft.add_group(name)
    body = {"hosts": body} if isinstance(body, list) else body
    if not isinstance(body, dict):
        raise _wrong(f"the group '{name}' is neither a list of hosts nor an object", where)
    hosts, children, variables = body.get("hosts", []), body.get("children", []), body.get("vars", {})
    if not isinstance(hosts, list) or not isinstance(children, list) or not isinstance(variables, dict):
        raise _wrong(f"in the group '{name}' hosts and children must be lists, vars an object", where)
    for host in hosts:
        draft.add_host(str(host), name, path)
    for child in children:
        draft.add_child(name, str(child), where)
    for key, value in variables.items():
        draft.set_group(name, key, marked(value, where), where)
    return [str(host) for host in hosts]


def marked(value: Any, where: Position) -> Any:
    """Return JSON data with its texts marked as the author's: as in Ansible they may be templates."""
    if isinstance(value, str):
        return Text(value, where)
    if isinstance(value, list):
        return [marked(item, where) for item in value]
    if isinstance(value, dict):
        if isinstance(value.get("__ansible_unsafe"), str):
            return Unsafe(value["__ansible_unsafe"])
        if isinstance(value.get("__ansible_vault"), str):
            return VaultText(value["__ansible_vault"], where)
        found = Map(where)
        for key, item in value.items():
            put(found, key, marked(item, where), where)
        return found
    return value


def _run(path: Path, arguments: list[str], where: Position) -> dict[str, Any]:
    command = [str(path.resolve()), *arguments]
    called = f"{path.name} {' '.join(arguments)}"
    try:
        done = subprocess.run(
            command, capture_output=True, stdin=subprocess.DEVNULL, timeout=DEADLINE, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise _wrong(f"'{called}' did not end within {DEADLINE:g} s", where) from error
    except OSError as error:
        raise _wrong(f"'{called}' cannot be run: {error.strerror}", where) from error
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise _wrong(f"'{called}' ended with exit status {done.returncode}: {said}", where)
    try:
        found = json.loads(done.stdout or b"{}")
    except ValueError as error:
        raise _wrong(f"'{called}' printed no JSON: {error}", where) from error
    if not isinstance(found, dict):
        raise _wrong(f"'{called}' printed no JSON object", where)
    return found


def _wrong(message: str, where: Position) -> InputError:
    hint = "expected an inventory program as Ansible's: --list prints groups and _meta.hostvars as JSON"
    return InputError(message, where=where, hint=hint)
