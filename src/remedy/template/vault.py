"""Ansible's vault: whole files and scalars, formats 1.1 and 1.2.

Source: https://docs.ansible.com/ansible/latest/vault_guide/vault_encrypted_content.html (format 1.1 and 1.2)
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import os
import threading
from collections.abc import Sequence
from typing import Any

from remedy.document import load_yaml
from remedy.document.files import decode
from remedy.errors import InputError, Position, VaultError
from remedy.secret import Secrets

_ROUNDS = 10_000
_KEY = 32
_BLOCK = 16
_WIDTH = 80
_HEADER = (
    "expected $ANSIBLE_VAULT;1.1;AES256 or $ANSIBLE_VAULT;1.2;AES256;LABEL, then lines of hexadecimal digits"
)


class Vault:
    """Opens vaulted texts with the passwords of a run; safe to share between threads."""

    def __init__(self, passwords: Sequence[tuple[str, bytes]], secrets: Secrets | None = None) -> None:
        """Take (label, password) pairs; the label of `--vault-id` may be empty.

        `secrets` learns the variables of files that are vaults as a whole.
        """
        self._passwords = tuple(passwords)
        self._secrets = secrets
        self._opened: dict[bytes, bytes] = {}  # deriving a key takes milliseconds, and fifty hosts ask
        self._guard = threading.Lock()

    def open(self, data: bytes, file: str) -> bytes:
        """Return what a whole vault file holds: the shape that `document.load_file(vault=...)` takes."""
        plain = self.decrypt(data, Position(file, 1))
        if self._secrets is not None:
            self._secrets.add(_variables(plain, file))
        return plain

    def reveal(self, text: str, where: Position | None = None) -> str:
        """Return the text that a `!vault` scalar holds."""
        data = self.decrypt(text.encode(), where)
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            hint = "expected UTF-8; keep binary content base 64 encoded in the vault"
            raise VaultError("the decrypted value is no text", where=where, hint=hint) from error

    def decrypt(self, data: bytes, where: Position | None = None) -> bytes:
        """Return what a vaulted text (with its header) holds; a VaultError says why it cannot be opened."""
        compact = b"\n".join(data.split())
        with self._guard:
            known = self._opened.get(compact)
        if known is not None:
            return known
        plain = self._decrypt(compact, where)
        with self._guard:
            self._opened[compact] = plain
        return plain

    def _decrypt(self, data: bytes, where: Position | None) -> bytes:
        header, _, body = data.partition(b"\n")
        label = _label(header, where)
        try:
            salt, mac, cipher = (binascii.unhexlify(part) for part in _parts(body))
        except (ValueError, binascii.Error) as error:
            raise VaultError(f"the vaulted value is damaged: {error}", where=where, hint=_HEADER) from error
        if not self._passwords:
            hint = "give one with --vault-password-file or --ask-vault-pass"
            raise VaultError(
                "the value is encrypted, and no vault password was given", where=where, hint=hint
            )
        matching = sorted(self._passwords, key=lambda known: known[0] != label)
        for _, password in matching:
            cipher_key, mac_key, start = _keys(password, salt)
            if hmac.compare_digest(hmac.digest(mac_key, cipher, "sha256"), mac):
                return _unpad(_crypt(cipher_key, start, cipher), where)
        tried = ", ".join(known or "default" for known, _ in matching)
        named = f" for the vault id '{label}'" if label else ""
        raise VaultError(
            f"no password fits{named}: the password is wrong, or the value is damaged",
            where=where,
            hint=f"tried: {tried}",
        )


def encrypt(plain: bytes, password: bytes, *, label: str = "", salt: bytes | None = None) -> bytes:
    """Return bytes as a vault, header included: format 1.2 with a label, else 1.1."""
    salt = os.urandom(_KEY) if salt is None else salt
    cipher_key, mac_key, start = _keys(password, salt)
    missing = _BLOCK - len(plain) % _BLOCK
    cipher = _crypt(cipher_key, start, plain + bytes([missing]) * missing)
    mac = hmac.digest(mac_key, cipher, "sha256")
    body = binascii.hexlify(b"\n".join(binascii.hexlify(part) for part in (salt, mac, cipher)))
    header = f"$ANSIBLE_VAULT;1.2;AES256;{label}" if label else "$ANSIBLE_VAULT;1.1;AES256"
    lines = [body[start : start + _WIDTH] for start in range(0, len(body), _WIDTH)]
    return b"\n".join([header.encode(), *lines, b""])


def _variables(plain: bytes, file: str) -> Any:
    """Return the variables in a file that holds some; a vaulted template or task file holds none."""
    try:
        values = load_yaml(decode(plain, file), file)
    except InputError:
        return None  # whoever reads the file says what is wrong with it
    return values if isinstance(values, dict) else None


def _label(header: bytes, where: Position | None) -> str:
    parts = header.decode("utf-8", "replace").split(";")
    if parts[0] != "$ANSIBLE_VAULT" or len(parts) < 3:
        raise VaultError("this is no vaulted value", where=where, hint=_HEADER)
    version, cipher = parts[1], parts[2]
    if version not in ("1.1", "1.2") or cipher != "AES256":
        hint = "re-encrypt it with a current ansible-vault (version 1.1 or 1.2, AES256)"
        raise VaultError(f"the vault format {version} with {cipher} is not supported", where=where, hint=hint)
    return parts[3] if version == "1.2" and len(parts) > 3 else ""


def _parts(body: bytes) -> list[bytes]:
    parts = binascii.unhexlify(body.replace(b"\n", b"")).split(b"\n", 2)
    if len(parts) != 3:
        raise ValueError("salt, checksum and content were expected")
    return parts


def _keys(password: bytes, salt: bytes) -> tuple[bytes, bytes, bytes]:
    derived = hashlib.pbkdf2_hmac("sha256", password, salt, _ROUNDS, 2 * _KEY + _BLOCK)
    return derived[:_KEY], derived[_KEY : 2 * _KEY], derived[2 * _KEY :]


def _crypt(key: bytes, start: bytes, data: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    # CTR is its own inverse.
    worker = Cipher(algorithms.AES(key), modes.CTR(start)).encryptor()
    return worker.update(data) + worker.finalize()


def _unpad(data: bytes, where: Position | None) -> bytes:
    count = data[-1] if data else 0
    if not 1 <= count <= _BLOCK or data[-count:] != bytes([count]) * count:
        raise VaultError("the vaulted value is damaged: wrong padding", where=where, hint=_HEADER)
    return data[:-count]
