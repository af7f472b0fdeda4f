"""Documents from disk: read, decrypted where the whole file is a vault, decoded, loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from remedy.document.loader import load_yaml
from remedy.errors import InputError, Position, VaultError

Decrypt = Callable[[bytes, str], bytes]
"""Opens a whole vault file: (its bytes, its name for errors) -> the plain bytes."""

_VAULT_MARK = b"$ANSIBLE_VAULT;"


def load_file(path: Path, *, vault: Decrypt | None = None) -> Any:
    """Return the one document of a YAML or JSON file.

    `vault` opens files that are vaults as a whole. Raises InputError for what cannot be read,
    VaultError where a vault is met and no password is there.
    """
    return load_yaml(read_text(path, vault=vault), str(path))


def read_text(path: Path, *, vault: Decrypt | None = None) -> str:
    """Return the text of a file, decrypted where the whole file is a vault."""
    file = str(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror or error}",
            where=Position(file),
            hint="expected a readable file",
        ) from error
    return decode(opened(data, file, vault=vault), file)


def is_vault(path: Path) -> bool:
    """Say whether a whole file is a vault; raises OSError."""
    with path.open("rb") as file:
        return file.read(len(_VAULT_MARK)) == _VAULT_MARK


def opened(data: bytes, file: str, *, vault: Decrypt | None) -> bytes:
    """Return what a file holds, decrypted where it is a vault; VaultError without a password."""
    if not data.startswith(_VAULT_MARK):
        return data
    if vault is None:
        raise VaultError(
            "the file is encrypted, and no vault password was given",
            where=Position(file, 1),
            hint="give one with --vault-password-file or --ask-vault-pass",
        )
    return vault(data, file)


def decode(data: bytes, file: str) -> str:
    """Return UTF-8 bytes as text, without a byte order mark; an InputError names the first bad byte."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        where = Position(file, before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1)
        raise InputError(
            f"byte 0x{data[error.start]:02x} at offset {error.start} is not UTF-8",
            where=where,
            hint="expected a text file in UTF-8; convert it, for example with: iconv -f latin1 -t utf-8",
        ) from error
