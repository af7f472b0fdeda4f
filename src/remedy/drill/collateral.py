"""What a heal must leave alone: how each kind of thing is read, and what of it counts."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from remedy.document import Map, Text
from remedy.drill.model import Thing
from remedy.drill.tasks import reading_task
from remedy.errors import InputError, Position
from remedy.playbook import Task
from remedy.playbook.readers import constant, constants, describe, read_mapping, text, wrong

STEADY, METHOD = "steady state", "method"

_TABLE = re.compile(r"[A-Za-z0-9_$-]+\.[A-Za-z0-9_$-]+")
_FILE = ("exists", "checksum", "mode", "uid", "gid", "lnk_source")
_INSIDE = ("checksum", "size", "mode", "uid", "gid", "isdir", "lnk_source")
_UNIT = "LoadState,ActiveState,InvocationID,NRestarts"
_CONTAINER = "{{.Id}} {{.State.Status}} {{.State.StartedAt}} {{.RestartCount}} {{.Image}}"
_MYSQL = 'exec "$(command -v mariadb || command -v mysql)" --batch --skip-column-names -e "CHECKSUM TABLE $1"'
_POSTGRES = (
    'exec runuser -u postgres -- psql -AtX -d "$2" -c '
    "\"SELECT count(*), md5(string_agg(t::text, ',' ORDER BY t::text)) FROM $1 t\""
)

Make = Callable[[Any, Map, Position], tuple[str, dict[str, Any]]]


def read_thing(node: Any, position: Position, hosts: tuple[str, ...]) -> Thing:
    """Read one entry of `collateral`; `hosts` are those it counts for where it names none."""
    kinds = [kind for kind in _KINDS if isinstance(node, Map) and kind in node]
    if not isinstance(node, Map) or len(kinds) != 1:
        raise InputError(
            f"an entry of collateral is {describe(node)}",
            where=position,
            hint=f"expected one of {', '.join(_KINDS)}, such as '- file: /etc/fstab'",
        )
    kind = kinds[0]
    known = {kind: lambda value, *_: value, "hosts": constants, "since": _since, "engine": _engine}
    written = read_mapping(node, "collateral", {**known, "database": text})
    for word, owner in (("engine", "table"), ("database", "table")):
        if word in node and kind != owner:
            raise InputError(f"'{word}' is for a {owner}", where=node.keys_at[word], hint="remove it")
    at = node.values_at.get(kind, position)
    module, args = _KINDS[kind](node[kind], node, at)
    return Thing(
        position=position,
        kind=kind,
        title=_title(node[kind]),
        hosts=chosen(written.get("hosts", ()), hosts, node, position),
        module=module,
        args=args,
        since=written.get("since", METHOD),
    )


def chosen(named: tuple[str, ...], hosts: tuple[str, ...], node: Map, position: Position) -> tuple[str, ...]:
    """Return the hosts that an entry names, all where it has no `hosts`; InputError for one that the drill has not."""
    if "hosts" in node and not named:
        raise InputError(
            "'hosts' names no host",
            where=node.values_at.get("hosts", position),
            hint=f"expected some of {', '.join(hosts)}; without 'hosts' all are meant",
        )
    for name in named:
        if name not in hosts:
            raise InputError(
                f"the drill has no host '{name}'",
                where=node.values_at.get("hosts", position),
                hint=f"its hosts are: {', '.join(hosts)}",
            )
    return named or hosts


def reading(thing: Thing) -> Task:
    """Return the task that reads a thing; its position tells its result from others."""
    return reading_task(thing.position, f"{thing.kind} {thing.title}", thing.module, thing.args)


def fingerprint(thing: Thing, result: Mapping[str, Any]) -> tuple[str, str]:
    """Return (digest, words) of what a reading returned: equal digests are equal things."""
    if thing.kind == "file":
        stat = result.get("stat") or {}
        seen: Any = {name: stat.get(name) for name in _FILE}
        words = _file_in_words(stat)
    elif thing.kind == "folder":
        files = result.get("files") or []
        seen = {str(one["path"]): [one.get(name) for name in _INSIDE] for one in files}
        words = (
            f"{len(files)} {'entry' if len(files) == 1 else 'entries'}" if files else "empty, or not there"
        )
    else:
        seen = str(result.get("stdout") or "")
        words = " ".join(seen.split())[:200] or "nothing"
    exact = json.dumps(seen, sort_keys=True, default=str)
    return hashlib.sha256(exact.encode()).hexdigest(), words


def missing(thing: Thing, result: Mapping[str, Any]) -> bool:
    """Say whether what was to be guarded is not there at all: then nothing is proved by its staying so."""
    if thing.kind == "file":
        return not (result.get("stat") or {}).get("exists")
    if thing.kind == "folder":
        return bool(result.get("skipped_paths")) or not result.get("files")
    if thing.kind == "service":
        return "LoadState=loaded" not in str(result.get("stdout"))
    return thing.kind == "table" and str(result.get("stdout") or "").split()[-1:] in ([], ["NULL"])


def _file_in_words(stat: Mapping[str, Any]) -> str:
    if not stat.get("exists"):
        return "absent"
    content = (
        f"{stat.get('size')} bytes, {str(stat.get('checksum'))[:12]}" if stat.get("checksum") else "no file"
    )
    return f"{content}, mode {stat.get('mode')}, {stat.get('pw_name')}:{stat.get('gr_name')}"


def _title(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _since(value: Any, name: str, position: Position) -> str:
    if value not in (STEADY, METHOD):
        raise wrong(value, name, position, f"'{METHOD}' (as the method left it) or '{STEADY}'")
    return str(value)


def _engine(value: Any, name: str, position: Position) -> str:
    if value not in ("mysql", "postgres"):
        raise wrong(value, name, position, "mysql or postgres")
    return str(value)


def _path(value: Any, position: Position) -> Text:
    path = text(value, "path", position)
    if not path.startswith(("/", "{{")):
        raise wrong(value, "path", position, "an absolute path")
    return path


def _of_file(value: Any, node: Map, at: Position) -> tuple[str, dict[str, Any]]:
    return "stat", {"path": _path(value, at), "checksum_algorithm": "sha256"}


def _of_folder(value: Any, node: Map, at: Position) -> tuple[str, dict[str, Any]]:
    flags = {"recurse": True, "hidden": True, "get_checksum": True, "file_type": "any"}
    return "find", {"paths": [_path(value, at)], "checksum_algorithm": "sha256", **flags}


def _of_service(value: Any, node: Map, at: Position) -> tuple[str, dict[str, Any]]:
    name = text(value, "service", at)
    return _reading(["systemctl", "show", "-p", _UNIT, "--", name])


def _of_container(value: Any, node: Map, at: Position) -> tuple[str, dict[str, Any]]:
    name = text(value, "container", at)
    return _reading(["docker", "inspect", "--type", "container", "--format", _CONTAINER, "--", name])


def _of_table(value: Any, node: Map, at: Position) -> tuple[str, dict[str, Any]]:
    name = constant(value, "table", at)
    if not _TABLE.fullmatch(name):
        raise wrong(value, "table", at, "a name such as shop.orders")
    schema, _, table = name.partition(".")
    if node.get("engine") == "postgres":
        database = constant(node.get("database"), "database", node.values_at.get("database", at))
        return _reading(["sh", "-c", _POSTGRES, "sh", f'"{schema}"."{table}"', database])
    return _reading(["sh", "-c", _MYSQL, "sh", f"`{schema}`.`{table}`"])


def _of_command(value: Any, node: Map, at: Position) -> tuple[str, dict[str, Any]]:
    if isinstance(value, list):
        return _reading([text(word, "command", at) for word in value])
    return "command", {"cmd": text(value, "command", at), "reads": True}


def _reading(argv: list[str]) -> tuple[str, dict[str, Any]]:
    return "command", {"argv": argv, "reads": True, "expand_argument_vars": False}


_KINDS: Mapping[str, Make] = {
    "file": _of_file,
    "folder": _of_folder,
    "service": _of_service,
    "container": _of_container,
    "table": _of_table,
    "command": _of_command,
}
