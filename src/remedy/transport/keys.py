"""Private keys: what a file holds, without its passphrase, and the keys themselves, each parsed once a run."""

from __future__ import annotations

import base64
import binascii
import struct
import threading
from pathlib import Path
from typing import Any

from msgspec import Struct

_MAGIC = b"openssh-key-v1\0"
_START = b"-----BEGIN OPENSSH PRIVATE KEY-----"
_END = b"-----END OPENSSH PRIVATE KEY-----"


class KeyFile(Struct, frozen=True):
    """A private key file: its type and public key where the file shows them, and whether it has a passphrase."""

    path: str
    kind: str | None = None
    public: bytes | None = None
    encrypted: bool = False


class UnusableKey(Exception):
    """A key file cannot be used; the text says why and what to do."""


class Keyring:
    """The private keys of one run; parsing one costs up to half a second where it has a passphrase."""

    def __init__(self) -> None:
        self._loaded: dict[tuple[str, str | None], Any] = {}
        self._guard = threading.Lock()

    def load(self, file: KeyFile, passphrase: str | None) -> Any:
        """Return Paramiko's key; raises UnusableKey."""
        wanted = (file.path, passphrase if file.encrypted else None)
        with self._guard:
            found = self._loaded.get(wanted)
            if found is None:
                try:
                    found = _load(*wanted, file)
                except UnusableKey as error:
                    found = error
                self._loaded[wanted] = found
        if isinstance(found, UnusableKey):
            raise UnusableKey(str(found))
        return found


def look(path: str) -> KeyFile | None:
    """Return what a key file holds; None where there is no such file. Raises UnusableKey if it cannot be read."""
    try:
        text = Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UnusableKey(f"{path} cannot be read: {error.strerror}") from None
    if _START in text:
        kind, public, encrypted = _openssh(path, text)
        return KeyFile(path, kind, public, encrypted)
    older = "ssh-rsa" if b"BEGIN RSA PRIVATE" in text else "ecdsa" if b"BEGIN EC PRIVATE" in text else None
    return KeyFile(path, older, _public(path), b"ENCRYPTED" in text)


def _openssh(path: str, text: bytes) -> tuple[str, bytes, bool]:
    """Read the open part of an OpenSSH key (PROTOCOL.key): cipher, kdf, its options, count, public key."""
    body = text.partition(_START)[2].partition(_END)[0]
    try:
        data = base64.b64decode(body)
        if not data.startswith(_MAGIC):
            raise ValueError
        cipher, rest = _string(data[len(_MAGIC) :])
        _, rest = _string(rest)
        _, rest = _string(rest)
        public, _ = _string(rest[4:])
        kind, _ = _string(public)
        return kind.decode("ascii"), public, cipher != b"none"
    except (binascii.Error, ValueError, struct.error):
        raise UnusableKey(f"{path} is damaged: it is no OpenSSH private key") from None


def _string(data: bytes) -> tuple[bytes, bytes]:
    (length,) = struct.unpack_from(">I", data)
    if length > len(data) - 4:
        raise ValueError
    return data[4 : 4 + length], data[4 + length :]


def _public(path: str) -> bytes | None:
    try:
        return base64.b64decode(Path(path + ".pub").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None


def _load(path: str, passphrase: str | None, file: KeyFile) -> Any:
    import paramiko

    if file.encrypted and not passphrase:
        raise UnusableKey(f"{path} has a passphrase: ssh-add {path}")
    if file.kind is not None and file.kind.startswith("sk-"):
        raise UnusableKey(f"{path} is a security key, which is not supported: load it into ssh-agent")
    # asking the right class spares the parses of the others; each of them runs the slow key derivation
    classes = {"ssh-ed25519": paramiko.Ed25519Key, "ssh-rsa": paramiko.RSAKey}
    chosen: Any = classes.get(file.kind or "")
    if chosen is None and file.kind is not None and file.kind.startswith("ecdsa"):
        chosen = paramiko.ECDSAKey
    try:
        key = chosen(filename=path, password=passphrase) if chosen else _any(path, passphrase)
    except Exception as error:  # Paramiko and cryptography raise a dozen kinds for a wrong passphrase alone
        if file.encrypted:
            raise UnusableKey(f"{path} does not open with the passphrase given: ssh-add {path}") from None
        raise UnusableKey(f"{path} cannot be used: {error or type(error).__name__}") from None
    certificate = Path(path + "-cert.pub")
    if certificate.is_file():
        key.load_certificate(str(certificate))
    return key


def _any(path: str, passphrase: str | None) -> Any:
    import paramiko

    # positional, because the parameter's name differs between Paramiko's versions; from 5.0 it wants bytes
    newer = int(paramiko.__version__.split(".")[0]) >= 5
    word: Any = passphrase.encode() if passphrase is not None and newer else passphrase
    return paramiko.PKey.from_path(path, word)
