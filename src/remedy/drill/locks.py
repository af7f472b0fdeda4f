"""One drill a host: locks of this machine, held by the kernel for as long as the process lives."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from remedy.errors import Refused

_RUN = Path("/run/lock")  # everybody may write there, and it is gone after a boot, as every drill is


@contextmanager
def taken(keys: Iterable[tuple[str, str]], folder: Path | None = None) -> Iterator[None]:
    """Hold the hosts with these (name, key); Refused, at once, where another drill has one of them."""
    place = folder or (_RUN if os.access(_RUN, os.W_OK) else Path(tempfile.gettempdir()))
    with ExitStack() as stack:
        for host, key in sorted(keys, key=lambda pair: pair[1]):
            name = hashlib.sha256(key.encode()).hexdigest()[:24]
            stack.enter_context(_held(place / f"remedy-drill-{name}.lock", host, key))
        yield


@contextmanager
def _held(path: Path, host: str, key: str) -> Iterator[None]:
    file = _take(path, host, key)
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # while it is ours: whoever waits for the old file sees that it is another one
        os.close(file)


def _take(path: Path, host: str, key: str) -> int:
    while True:
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise Refused(
                f"the lock {path} cannot be taken: {error.strerror}",
                host=host,
                hint="another user's drill has this host: wait for its end",
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(file, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(file)
            raise Refused(
                f"another drill (process {holder}) has {key}",
                host=host,
                hint="wait for its end, or choose other hosts",
            ) from None
        if _same(file, path):
            os.ftruncate(file, 0)
            os.pwrite(file, str(os.getpid()).encode(), 0)
            return file
        os.close(file)  # its holder has just gone, and the file with him


def _same(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path, follow_symlinks=False))  # noqa: PTH116  (no Path)
    except FileNotFoundError:
        return False
