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
_CREDENTIAL = re.compile(r"\$(?:CREDENTIALS_DIRECTORY|\{CREDENTIALS_DIRECTORY\})/([^/]+)")
_PART = re.compile(r"[^/?&=@:]{6,}")
_DOMAIN = re.compile(r"([a-zA-Z0-9_-]{1,30}\.)+[a-zA-Z]{2,10}|[0-9.]+")


class Target(Struct, frozen=True, kw_only=True):
    """Somebody to be told; `kinds` of message.KINDS. `url` is Apprise's, and a secret."""

    name: str
    url: str
    kinds: frozenset[str]
    position: Position


class Need(Struct, frozen=True, kw_only=True):
    """What a service must be given for an address: a `credential` or a `variable` of this name."""

    name: str
    kind: str
    position: Position


class Targets:
    """Who may be told, as a project's notifications.yml has it; without the file nobody.

    Each is read when it is asked for: one whose address is missing today keeps no other from being told. The addresses
    become secrets. `names` are in the file's order; InputError, with the place, for a file that cannot be used.
    `credentials`: files that systemd will put below $CREDENTIALS_DIRECTORY, by their names there.
    """

    def __init__(
        self, root: Path, vault: Vault | None, secrets: Secrets, credentials: Mapping[str, Path] | None = None
    ) -> None:
        self._path = root / FILE
        self._vault = vault
        self._secrets = secrets
        self._credentials = credentials or {}
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
        return self._read(name, where, _from_file)

    def check(self, name: str, where: Position) -> Need | None:
        """Raise InputError as `get` does, but not for a credential that is not here: a service alone has those.

        Returns what a service must be given for it.
        """
        self._read(name, where, self._from_credential)
        return self._need(name)

    def _need(self, name: str) -> Need | None:
        written = self._written[name]
        if "url_env" in written:
            return Need(name=str(written["url_env"]), kind="variable", position=written.values_at["url_env"])
        if credential := _CREDENTIAL.fullmatch(str(written.get("url_file", ""))):
            return Need(name=credential[1], kind="credential", position=written.values_at["url_file"])
        return None

    def _from_credential(self, value: Any, name: str, where: Position) -> str | None:
        """Read an address from a file; None for a credential that is not here, or not for us to read."""
        credential = _CREDENTIAL.fullmatch(str(value))
        if credential is None:
            return _from_file(value, name, where)
        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        path = self._credentials.get(credential[1]) or (Path(folder) / credential[1] if folder else None)
        if path is None:
            return None
        try:
            return _read_address(path, where)
        except InputError as error:
            if isinstance(error.__cause__, FileNotFoundError | PermissionError):
                return None
            raise

    def _read(self, name: str, where: Position, from_file: readers.Reader) -> Target:
        if name not in self._written:
            known = self.names
            hint = nearest(name, known) if known else f"{self._path} names nobody yet; {_EXPECTED}"
            raise InputError(f"nobody to be told is called '{name}'", where=where, hint=hint)
        return _target(name, self._written[name], self._written.values_at[name], self._vault, self._secrets, from_file)


def _target(
    name: Any,
    value: Any,
    where: Position,
    vault: Vault | None,
    secrets: Secrets,
    from_file: readers.Reader,
) -> Target:
    """Read one; its `url` is empty where `from_file` gives None."""
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
            "url_file": from_file,
            "events": _kinds,
        },
    )
    place = next(each for each in _PLACES if each in read)
    kinds = frozenset(read.get("events", _NORMAL))
    if read[place] is None:
        return Target(name=name, url="", kinds=kinds, position=where)
    url = str(read[place]).strip()
    # Whatever is long enough may be a token; the name of a server helps whoever reads why it did not answer.
    parts = _PART.findall(url.partition("://")[2])
    secrets.add([url, *(part for part in parts if not _DOMAIN.fullmatch(part))])
    _usable(url, name, at[place])
    return Target(name=name, url=url, kinds=kinds, position=where)


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
    text = readers.constant(value, name, where)
    if (credential := _CREDENTIAL.fullmatch(text)) and not os.environ.get("CREDENTIALS_DIRECTORY"):
        hint = f"systemd gives it to a service: schedule export --systemd --credential {credential[1]}=FILE"
        raise InputError(f"no credential '{credential[1]}' here: this is no service", where=where, hint=hint)
    return _read_address(expanded(os.path.expandvars(text)), where)


def _read_address(path: Path, where: Position) -> str:
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
