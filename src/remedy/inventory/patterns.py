"""The language of `hosts:` and `--limit`: unions first, then `&`, then `!`."""

from __future__ import annotations

import fnmatch
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from remedy.errors import InputError, Position, nearest
from remedy.inventory.model import ALL, Group

LOCALHOST = ("localhost", "127.0.0.1", "::1")
_PART = re.compile(r"(?:[^\s:\[\]]|\[[^\]]*\])+")
_SUBSCRIPT = re.compile(r"(.+)\[(?:(-?\d+)|(\d+):(-?\d*))\]")


def split(pattern: str) -> list[str]:
    """Return the parts of a pattern that commas or colons separate."""
    if "," in pattern:
        parts = [part.strip() for part in pattern.split(",")]
    elif pattern.startswith("~") or _is_address(pattern.lstrip("!&")):
        parts = [pattern]
    else:
        parts = _PART.findall(pattern)
    return [part for part in parts if part]


def _is_address(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def limit_parts(limit: str) -> list[str]:
    """Return the parts of a `--limit`; `@FILE` stands for the lines of a file."""
    parts: list[str] = []
    for part in split(limit):
        if not part.startswith("@"):
            parts.append(part)
            continue
        file = Path(part[1:])
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            hint = "expected a file with a pattern on each line"
            raise InputError("the limit file cannot be read", where=Position(str(file)), hint=hint) from error
        parts += [line.strip() for line in lines if line.strip()]
    return parts


def select(parts: Iterable[str], hosts: Iterable[str], groups: Mapping[str, Group]) -> list[str]:
    """Return the names that the parts select, in inventory order within each part.

    InputError with the nearest name where a part matches neither host nor group, and nothing else was selected.
    """
    found: dict[str, None] = {}
    lost: list[str] = []
    known = list(hosts)
    ordered = sorted(parts, key=lambda part: {"!": 2, "&": 1}.get(part[0], 0))
    if not ordered or ordered[0][0] in "!&":
        ordered.insert(0, ALL)
    for part in ordered:
        bare = part.lstrip("!&") if part[0] in "!&" else part
        matched = _match(bare, known, groups)
        names = matched if matched is not None else []
        if part[0] == "!":
            found = {name: None for name in found if name not in set(names)}
        elif part[0] == "&":
            found = {name: None for name in found if name in set(names)}
        else:
            found |= dict.fromkeys(names)
        if matched is None and part[0] != "!":
            lost.append(bare)
    if lost and not found:
        raise nobody(lost[0], known, groups)
    return list(found)


def unmatched(parts: Iterable[str], hosts: Iterable[str], groups: Mapping[str, Group]) -> list[str]:
    """Return the parts that name neither host nor group, exclusions too, as they are written.

    `select` leaves them aside where another part finds somebody, as Ansible does.
    """
    known = dict.fromkeys(hosts)
    return [
        part
        for part in parts
        if (bare := part.lstrip("!&") or part) not in known and _match(bare, list(known), groups) is None
    ]


def nobody(part: str, hosts: Iterable[str], groups: Mapping[str, Group]) -> InputError:
    """Return the error for a part that names neither host nor group."""
    known = list(hosts)
    hint = nearest(part, {*known, *groups})
    if not hint.startswith("did you mean"):
        hint = f"groups: {', '.join(groups)}; {len(known)} hosts, of which the first is {(known or ['-'])[0]}"
    return InputError(f"no host and no group matches '{part}'", hint=hint)


def _match(pattern: str, hosts: list[str], groups: Mapping[str, Group]) -> list[str] | None:
    """Return the hosts of one part, None where it names neither a host nor a group."""
    if pattern in groups and not any(special in pattern for special in ".?*["):
        return list(groups[pattern].hosts)
    base, cut = _subscript(pattern)
    matches = _matcher(base)
    in_groups = [group for name, group in groups.items() if matches(name)]
    found = dict.fromkeys(name for group in in_groups for name in group.hosts)
    named: list[str] = []
    if not in_groups or base[0] == "~" or any(special in base for special in ".?*["):
        named = [name for name in hosts if matches(name)]
        found |= dict.fromkeys(named)
    if not in_groups and not named:
        return [base] if base in LOCALHOST else None
    if found and not list(found)[cut]:
        message = f"the pattern '{pattern}' asks for more than the {len(found)} hosts of '{base}'"
        raise InputError(message, hint="positions count from 0; [-1] is the last")
    return list(found)[cut]


def _subscript(pattern: str) -> tuple[str, slice]:
    found = None if pattern.startswith("~") else _SUBSCRIPT.fullmatch(pattern)
    if found is None:
        return pattern, slice(None)
    base, index, start, end = found.groups()
    if index is not None:
        number = int(index)
        return base, slice(number, number + 1 if number != -1 else None)
    last = int(end) if end else -1
    return base, slice(int(start), None if last == -1 else last + 1)


def _matcher(pattern: str) -> Callable[[str], bool]:
    if pattern == ALL:
        return lambda name: name == ALL
    if pattern.startswith("~"):
        try:
            found = re.compile(pattern[1:])
        except re.error as error:
            hint = "expected a regular expression behind '~'"
            raise InputError(f"the pattern '{pattern}' cannot be read: {error}", hint=hint) from error
        return lambda name: found.match(name) is not None
    matches = re.compile(fnmatch.translate(pattern))
    return lambda name: matches.match(name) is not None
