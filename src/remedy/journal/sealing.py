"""Sealing what undo needs of secrets: AES-GCM with a key that never leaves the control machine."""

from __future__ import annotations

import os
import secrets
import threading
from contextlib import suppress
from pathlib import Path

from remedy.errors import RemedyError
from remedy.journal.disk import make_folder, sync_folder, write_new

_MARK = b"remedy sealed 1\n"
_KEY_BYTES = 32
_NONCE_BYTES = 12  # what the standard asks of AES-GCM; random, far below 2**32 blobs a key


class Seal:
    """Seals and opens with the key in the file `path`, created when something is first sealed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._key: bytes | None = None
        self._guard = threading.Lock()

    def close(self, data: bytes) -> bytes:
        """Return the data sealed; OSError where the key cannot be written."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(_NONCE_BYTES)
        return _MARK + nonce + AESGCM(self._load(create=True)).encrypt(nonce, data, _MARK)

    def open(self, sealed: bytes, name: Path) -> bytes:
        """Return what was sealed; RemedyError where the key is another one. `name` is for the message."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        start = len(_MARK) + _NONCE_BYTES
        try:
            return AESGCM(self._load(create=False)).decrypt(sealed[len(_MARK) : start], sealed[start:], _MARK)
        except InvalidTag:
            raise RemedyError(
                f"{name} was not sealed with the key in {self._path}",
                hint="bring back the key that was there when the run was made",
            ) from None

    def _load(self, *, create: bool) -> bytes:
        with self._guard:
            if self._key is None:
                if create and not self._path.exists():
                    self._create()
                try:
                    self._key = self._path.read_bytes()
                except OSError as error:
                    raise RemedyError(
                        f"cannot read the key {self._path}: {error.strerror}",
                        hint="without it, changes that involve secrets cannot be rolled back",
                    ) from error
                if len(self._key) != _KEY_BYTES:
                    self._key = None
                    raise RemedyError(
                        f"{self._path} is no key: expected {_KEY_BYTES} bytes",
                        hint="bring back the file, or move it away: older secrets then stay sealed for good",
                    )
            return self._key

    def _create(self) -> None:
        # A link appears whole or not at all; of two runs that start at once both use the winner's key.
        make_folder(self._path.parent)
        draft = self._path.with_name(f"{self._path.name}.{secrets.token_hex(8)}")
        write_new(draft, os.urandom(_KEY_BYTES))
        try:
            with suppress(FileExistsError):
                self._path.hardlink_to(draft)
        finally:
            draft.unlink()
        sync_folder(self._path.parent)


def is_sealed(data: bytes) -> bool:
    """Say whether this is something sealed."""
    return data.startswith(_MARK)
