"""What the operator types in: passwords, vault passwords, extra variables."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

import click

from remedy.document import Map, Text, load_file, load_yaml
from remedy.errors import InputError, Position
from remedy.home import expanded
from remedy.project import Project
from remedy.template import Vault, read_password_file

_WHERE = Position("command line (-e)")


def ask_password(what: str) -> str:
    """Ask for a password without showing it."""
    return str(click.prompt(what, hide_input=True, err=True))


def vault_passwords(flags: Mapping[str, Any], project: Project) -> list[tuple[str, bytes]]:
    """Return the vault passwords, each with its label, in the order in which they are tried."""
    found: list[tuple[str, bytes]] = []
    for given in flags.get("vault_ids", ()):
        label, at, source = given.partition("@")
        label, source = (label, source) if at else ("default", given)
        found.append((label, _password(source, label)))
    files = [expanded(name) for name in flags.get("vault_files", ())]
    if not files and not found and project.vault_password_file is not None:
        files = [project.vault_password_file]
    found += [("default", read_password_file(path)) for path in files]
    if flags.get("ask_vault_pass"):
        found.append(("default", ask_password("Vault password").encode()))
    return found


def _password(source: str, label: str) -> bytes:
    if source == "prompt":
        return ask_password(f"Vault password ({label})").encode()
    return read_password_file(expanded(source))


def extra_vars(given: Iterable[str], vault: Vault | None) -> Map:
    """Return the variables of every -e, the last winning; raises InputError for what cannot be read."""
    merged = Map(_WHERE)
    for text in given:
        for name, value in _one(text, vault).items():
            merged[name] = value
            merged.keys_at[name] = merged.values_at[name] = _WHERE
    return merged


def _one(text: str, vault: Vault | None) -> Map:
    if text.startswith("@"):
        values = load_file(expanded(text[1:]), vault=vault.open if vault else None)
    elif text.lstrip()[:1] in ("{", "["):
        values = load_yaml(text, _WHERE.file)
    else:
        return _pairs(text)
    if not isinstance(values, Map):
        raise InputError(
            f"-e {text} holds no variables", hint="expected k=v, a JSON or YAML mapping, or @file"
        )
    return values


def _pairs(text: str) -> Map:
    values = Map(_WHERE)
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(
            f"-e '{text}': {error}", hint="quote values with spaces: -e \"name='two words'\""
        ) from error
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            raise InputError(
                f"-e '{word}' is no variable", hint="expected k=v, a JSON or YAML mapping, or @file"
            )
        values[name] = Text(value, _WHERE)
    return values
