"""Undo content: one file (0600) for the run, in which a journal's line says where its blob lies, and its hash.

One file, because each of its own would cost every change two more waits for the disk.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from remedy.agent import frames
from remedy.errors import RemedyError
from remedy.journal.disk import create, sync_folder, write_all
from remedy.journal.lines import Blob, with_text_keys
from remedy.journal.sealing import Seal, is_sealed

FILE = "undo.bin"


class Blobs:
    """The undo content of one run: `add` only says where it will lie, `store` puts it there."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._file: int | None = None
        self._end = 0
        self._known: dict[str, Blob] = {}
        self._waiting: list[bytes] = []

    def add(self, content: Mapping[str, Any], seal: Seal | None) -> Blob:
        """Return the place of this content, sealed where there is a seal; bytes may stand anywhere in it."""
        try:
            data = frames.encode(content)
        except TypeError:  # keys that JSON has no word for
            data = frames.encode(with_text_keys(content))
        data = data if seal is None else seal.close(data)
        name = sha256(data).hexdigest()
        if name not in self._known:
            self._known[name] = Blob(self._end, len(data), name)
            self._waiting.append(data)
            self._end += len(data)
        return self._known[name]

    def given(self) -> list[bytes]:
        """Return what is to be stored, once."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def store(self, parts: Sequence[bytes]) -> None:
        """Put on disk what `given` returned, in its order; raises OSError."""
        if not parts:
            return
        if self._file is None:
            self._file = create(self._path)
            sync_folder(self._path.parent)
        write_all(self._file, parts)
        os.fsync(self._file)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def load(folder: Path, blob: Blob, seal: Seal) -> dict[str, Any]:
    """Return the content of a blob; RemedyError where it is missing, damaged or sealed with another key."""
    path = folder / FILE
    try:
        with path.open("rb") as file:
            file.seek(blob.at)
            data = file.read(blob.size)
    except OSError as error:
        raise RemedyError(
            f"cannot read {path}: {error.strerror}", hint="without it this change cannot be rolled back"
        ) from error
    if sha256(data).hexdigest() != blob.sha256:
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
