"""Who is told, and of what: `notifications.yml` beside the playbooks."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from remedy.document import Map, VaultText, load_file
from remedy.errors import InputError, Position, VaultError, nearest
from remedy.home import expanded
from remedy.notify.message import KINDS
from remedy.playbook import readers
from remedy.secret import Secrets
from remedy.template import Vault

FILE = "notifications.yml"

_ALWAYS = "always"
_NORMAL = tuple(kind for kind in KINDS if kind != "ok")
_EXPECTED = "expected lines such as  ops: {url: 'mailto://mail.example.com?to=ops@example.com'}"
_PLACES = ("url", "url_env", "url_file")
_PART = re.compile(r"[^/?&=@:]{6,}")
_DOMAIN = re.compile(r"([a-zA-Z0-9_-]{1,30}\.)+[a-zA-Z]{2,10}|[0-9.]+")


class Target(Struct, frozen=True, kw_only=True):
    """Somebody to be told; `kinds` of message.KINDS. `url` is Apprise's, and a secret."""

    name: str
    url: str
    kinds: frozenset[str]
    position: Position


class Targets:
    """Who may be told, as a project's notifications.yml has it; without the file nobody.

    Each is read when it is asked for: one whose address is missing today keeps no other from being told. The addresses
    become secrets. `names` are in the file's order; InputError, with the place, for a file that cannot be used.
    """

    def __init__(self, root: Path, vault: Vault | None, secrets: Secrets) -> None:
        self._path = root / FILE
        self._vault = vault
        self._secrets = secrets
        written = load_file(self._path, vault=vault.open if vault else None) if self._path.is_file() else Map()
        if not isinstance(written, Map):
            start = Position(str(self._path), 1)
            raise InputError("nobody to be told stands here", where=start, hint=_EXPECTED)
        self._written = written

    @property
    def names(self) -> list[str]:
        """The names, in the file's order."""
        return list(map(str, self._written))

    def get(self, name: str, where: Position) -> Target:
        """Return one of them; InputError where there is no such one, or where it cannot be used."""
        if name not in self._written:
            known = self.names
            hint = nearest(name, known) if known else f"{self._path} names nobody yet; {_EXPECTED}"
            raise InputError(f"nobody to be told is called '{name}'", where=where, hint=hint)
        return _target(name, self._written[name], self._written.values_at[name], self._vault, self._secrets)


def _target(name: Any, value: Any, where: Position, vault: Vault | None, secrets: Secrets) -> Target:
    if not isinstance(name, str) or not isinstance(value, Map):
        raise InputError(f"'{name}' is {readers.describe(value)}", where=where, hint=_EXPECTED)
    if len([each for each in _PLACES if each in value]) != 1:
        hint = "expected one of url (vaulted, if it holds a password), url_env (a variable's name), url_file"
        raise InputError(f"'{name}' has no address, or several", where=where, hint=hint)
    at = value.values_at
    read = readers.read_mapping(
        value,
        f"notification {name}",
        {
            "url": lambda given, word, place: _address(given, word, place, vault),
            "url_env": _from_environment,
            "url_file": _from_file,
            "events": _kinds,
        },
    )
    place = next(each for each in _PLACES if each in read)
    url = str(read[place]).strip()
    # Whatever is long enough may be a token; the name of a server helps whoever reads why it did not answer.
    parts = _PART.findall(url.partition("://")[2])
    secrets.add([url, *(part for part in parts if not _DOMAIN.fullmatch(part))])
    _usable(url, name, at[place])
    return Target(name=name, url=url, kinds=frozenset(read.get("events", _NORMAL)), position=where)


def _address(value: Any, name: str, where: Position, vault: Vault | None) -> str:
    if isinstance(value, VaultText):
        if vault is None:
            raise VaultError("this address is vaulted", where=where, hint="name --vault-password-file FILE")
        return vault.reveal(value, where)
    return readers.constant(value, name, where)


def _from_environment(value: Any, name: str, where: Position) -> str:
    variable = readers.constant(value, name, where)
    found = os.environ.get(variable)
    if not found:
        hint = f"expected {variable}=URL in the environment of remedy"
        raise InputError(f"no variable {variable} in the environment", where=where, hint=hint)
    return found


def _from_file(value: Any, name: str, where: Position) -> str:
    """Read an address from a file; $CREDENTIALS_DIRECTORY is where systemd puts those of a service."""
    path = expanded(os.path.expandvars(readers.constant(value, name, where)))
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise InputError(
            f"cannot read {path}: {why}", where=where, hint="expected a file with one URL"
        ) from error


def _kinds(value: Any, name: str, where: Position) -> tuple[str, ...]:
    found: list[str] = []
    for each, at in readers.items(value, where):
        word = readers.choice(*KINDS, _ALWAYS)(each, name, at)
        found += KINDS if word == _ALWAYS else (word,)
    return tuple(found)


def _usable(url: str, name: str, where: Position) -> None:
    """Raise InputError for what Apprise makes nothing of; the address is never told."""
    import apprise

    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it would print the address
    try:
        made = apprise.Apprise.instantiate(url, suppress_exceptions=True)
    except Exception:  # a plugin's own fault on an address it did not expect
        made = None
    if made is not None:
        return
    scheme = url.partition("://")[0]
    schemes = {each for plugin in apprise.Apprise().details()["schemas"] for each in _schemes(plugin)}
    if scheme.lower() not in schemes:
        near = nearest(scheme, schemes)
        known = "known are mailto, mailtos, json, slack, lark, feishu ..."
        hint = near if near.startswith("did you mean") else known
        raise InputError(f"'{name}' has an address of no known kind", where=where, hint=hint)
    hint = f"see how {scheme}:// is written in the documentation of Apprise"
    raise InputError(f"the {scheme} address of '{name}' is incomplete or wrong", where=where, hint=hint)


def _schemes(plugin: Mapping[str, Any]) -> list[str]:
    return [*(plugin.get("protocols") or ()), *(plugin.get("secure_protocols") or ())]
