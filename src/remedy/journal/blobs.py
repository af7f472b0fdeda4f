"""Undo content: one file (0600) for each intent, named by its hash so that damage shows."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from remedy.agent import frames
from remedy.errors import RemedyError
from remedy.journal.disk import sync_folder, write_new
from remedy.journal.lines import with_text_keys
from remedy.journal.sealing import Seal, is_sealed

FOLDER = "blobs"


class Blob:
    """Content on its way to disk."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.name = sha256(data).hexdigest()


def pack(content: Mapping[str, Any], seal: Seal | None) -> Blob:
    """Return the content as a blob, sealed where there is a seal; bytes may stand anywhere in it."""
    data = frames.encode(with_text_keys(content))
    return Blob(data if seal is None else seal.close(data))


def store(folder: Path, blobs: list[Blob]) -> None:
    """Put blobs on disk, with the folder they stand in."""
    for blob in blobs:
        try:
            write_new(folder / blob.name, blob.data)
        except FileExistsError:
            pass  # the same content, kept before
    if blobs:
        sync_folder(folder)


def load(folder: Path, name: str, seal: Seal) -> dict[str, Any]:
    """Return the content of a blob; RemedyError where it is missing, damaged or sealed with another key."""
    path = folder / name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RemedyError(
            f"cannot read {path}: {error.strerror}", hint="without it this change cannot be rolled back"
        ) from error
    if sha256(data).hexdigest() != name:
        raise _damaged(path)
    if is_sealed(data):
        data = seal.open(data, path)
    try:
        length, raw = frames.HEADER.unpack_from(data)
        start = frames.HEADER.size
        if len(data) != start + length + raw:
            raise _damaged(path)
        content: dict[str, Any] = frames.decode(data[start : start + length], data[start + length :])
        return content
    except (ValueError, struct.error):
        raise _damaged(path) from None


def _damaged(path: Path) -> RemedyError:
    return RemedyError(f"{path} is damaged", hint="the change that it belongs to cannot be rolled back")
