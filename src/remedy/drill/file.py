"""From drills/NAME.yml to the model: everything that can be known is checked before a host is asked for."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from remedy.document import Decrypt, Map, Seq, load_file
from remedy.drill.collateral import read_thing
from remedy.drill.method import read_steps
from remedy.drill.model import ANY, Drill, Expected, Limits
from remedy.drill.providers import Need
from remedy.errors import InputError, Position
from remedy.lab.spec import read_spec
from remedy.modules.values import TYPES
from remedy.playbook import readers
from remedy.playbook.reading import Reading
from remedy.project import Project

_EXPECTED = "expected 'title', 'runbook', 'hosts', 'method' and 'expect'"
_HOST = "expected a mapping such as {role: app, disks: {/var/log: {size: 96M}}}"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")
_DAY = 86400.0  # seconds


def load_drill(path: Path, *, project: Project, decrypt: Decrypt | None = None) -> Drill:
    """Read a drill's file; the first thing that is wrong raises InputError with its place."""
    document = load_file(path, vault=decrypt)
    start = Position(str(path), 1, 1)
    if not isinstance(document, Map):
        found = readers.describe(document)
        raise InputError(
            f"the drill is {found}", where=getattr(document, "position", None) or start, hint=_EXPECTED
        )
    for word in ("runbook", "hosts", "method", "expect"):
        if not document.get(word):
            raise InputError(
                f"a drill without '{word}'", where=document.keys_at.get(word, start), hint=_EXPECTED
            )
    needs = _needs(document["hosts"], document.values_at["hosts"])
    hosts = tuple(need.name for need in needs)
    reading = Reading(project=project, file=path, decrypt=decrypt)
    same = {name: lambda value, *_: value for name in ("hosts", "method", "restore", "collateral")}
    found_in = _Findings(hosts)
    written = readers.read_mapping(
        document,
        "drill",
        {
            **same,
            "title": readers.constant,
            "runbook": readers.constant,
            "vars": _variables,
            "become": readers.plain_flag,
            "limits": _limits,
            "expect": found_in.read,
            "allow": found_in.read,
            "not_expected": found_in.read,
            "remain": found_in.read,
        },
    )
    drill = Drill(
        name=path.stem,
        path=path,
        title=written.get("title", path.stem),
        runbook=written["runbook"],
        needs=needs,
        method=read_steps(document, "method", hosts, reading),
        restore=read_steps(document, "restore", hosts, reading) if document.get("restore") else (),
        collateral=_collateral(document, hosts),
        **{name: written[name] for name in _AS_READ if name in written},
    )
    _refuse_contradictions(drill, document)
    return drill


_AS_READ = ("expect", "allow", "not_expected", "remain", "limits", "vars", "become")


def _needs(value: Any, position: Position) -> tuple[Need, ...]:
    if not isinstance(value, Map):
        raise readers.wrong(value, "hosts", position, "a mapping of names, such as {app1: {role: app}}")
    return tuple(_need(name, node, value.keys_at.get(name, position)) for name, node in value.items())


def _need(name: str, node: Any, position: Position) -> Need:
    if not isinstance(name, str) or name in (ANY, "all") or not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} cannot name a host",
            where=position,
            hint="expected a name such as app1: up to 63 of letters, digits, '-', '_' and '.'; not 'all' or 'any'",
        )
    if not isinstance(node, Map):
        raise InputError(f"the host {name} is {readers.describe(node)}", where=position, hint=_HOST)
    if not isinstance(node.get("role"), str):
        raise InputError(f"the host {name} has no role", where=position, hint=_HOST)
    options = Map(node.position)
    for key, item in node.items():
        if key != "role":
            options[key] = item
    options.keys_at.update(node.keys_at)
    options.values_at.update(node.values_at)
    _refuse_odd(name, options)
    return Need(name=name, role=str(node["role"]), options=options, position=position)


def _refuse_odd(name: str, options: Map) -> None:
    """Raise InputError for an option that no lab host could have, whoever provides the hosts."""
    about = re.sub(r"[^a-z0-9-]", "-", name.lower()).lstrip("-0123456789")[:31] or "host"
    for key, value in options.items():
        where = options.values_at.get(key) or options.position or Position("drill")
        read_spec(about, {key: value}, where)


def _variables(value: Any, name: str, position: Position) -> Map:
    found = readers.variables(value, name, position)
    for variable in found:
        if variable.startswith("ansible_"):
            raise InputError(
                f"a drill cannot set '{variable}'",
                where=found.keys_at.get(variable, position),
                hint="write it in the inventory: a host is marked `drill: true` there, with the way to it",
            )
    return found


class _Findings:
    """Reads findings: a list of ids (on any host), or a mapping from a host (or any) to its ids."""

    def __init__(self, hosts: tuple[str, ...]) -> None:
        self._hosts = hosts

    def read(self, value: Any, name: str, position: Position) -> tuple[Expected, ...]:
        if not isinstance(value, Map):
            return tuple(Expected(ANY, id) for id in self._ids(value, name, position))
        found = []
        for host, ids in value.items():
            if host not in (ANY, *self._hosts):
                raise InputError(
                    f"the drill has no host '{host}'",
                    where=value.keys_at.get(host, position),
                    hint=f"expected {ANY}, or one of its hosts: {', '.join(self._hosts)}",
                )
            found += [Expected(host, id) for id in self._ids(ids, name, value.values_at.get(host, position))]
        return tuple(found)

    def _ids(self, value: Any, name: str, position: Position) -> tuple[str, ...]:
        ids = readers.constants(value, name, position)
        if name in ("expect", "remain") and ANY in ids:
            raise InputError(
                f"'{name}' takes no 'any'", where=position, hint="name the findings by their ids"
            )
        return ids


def _limits(value: Any, name: str, position: Position) -> Limits:
    if not isinstance(value, Map):
        raise readers.wrong(value, name, position, "a mapping such as {detect: 30s, heal: 60s}")
    return Limits(**readers.read_mapping(value, name, {"detect": seconds, "heal": seconds}))


def seconds(value: Any, name: str, position: Position) -> float:
    """Read a duration of more than nothing and at most a day, in seconds."""
    try:
        found = float(TYPES["duration"](value))
    except (ValueError, OverflowError):
        found = math.nan
    if not 0 < found <= _DAY or readers.is_template(value):
        raise readers.wrong(value, name, position, "a duration such as 30s, at most 1d")
    return found


def _collateral(document: Map, hosts: tuple[str, ...]) -> tuple[Any, ...]:
    value = document.get("collateral")
    if value is None:
        return ()
    at = document.values_at["collateral"]
    if not isinstance(value, Seq):
        raise readers.wrong(value, "collateral", at, "a list, such as '- file: /etc/fstab'")
    return tuple(read_thing(node, where, hosts) for node, where in readers.items(value, at))


def _refuse_contradictions(drill: Drill, document: Map) -> None:
    for one in drill.expect:
        if any(other.covers(one.host, one.id) for other in drill.not_expected):
            raise InputError(
                f"the finding '{one}' is both expected and not expected",
                where=document.keys_at["not_expected"],
                hint="leave it in one of the two",
            )
