"""What was packed for hosts, kept in the user's cache folder: packing costs a tenth of a second, reading a thousandth.

As with Python's own byte code, what was made counts while the files it was made from keep their size and time.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from remedy.errors import InputError
from remedy.home import home_folder
from remedy.transport.bytecode import KIND

_PACKAGES = ("remedy.agent", "remedy.modules.target", "remedy.transport")  # this last one packs
_MOST = 32  # packed payloads that are kept, the newest; each is 160 KB
_DIGEST = 32  # bytes


class Shelf:
    """A folder of packed payloads; one that cannot be read or written is an empty one."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or cache_folder() / "payloads"

    def get(self, wanted: frozenset[str]) -> tuple[bytes, frozenset[str]] | None:
        """Return what was packed for these modules, whole and of the files that are installed now, else None."""
        try:
            with (self._folder / _name(wanted)).open("rb") as file:
                found = os.fstat(file.fileno())
                if found.st_uid != os.geteuid() or found.st_mode & 0o022:
                    return None  # it will run on hosts: nobody else may have had a hand in it
                digest, rest = file.read(_DIGEST), file.read()
        except OSError:
            return None
        if sha256(rest).digest() != digest:
            return None
        names, _, packed = rest.partition(b"\n")
        return packed, frozenset(json.loads(names))

    def put(self, wanted: frozenset[str], made: tuple[bytes, frozenset[str]]) -> None:
        """Keep what was packed for these modules."""
        packed, names = made
        rest = json.dumps(sorted(names)).encode("ascii") + b"\n" + packed
        with suppress(OSError):  # a full disk here must not keep a sick host waiting
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._folder, prefix=".") as apart:
                part = Path(apart) / "payload"
                part.touch(mode=0o600)
                part.write_bytes(sha256(rest).digest() + rest)
                part.replace(self._folder / _name(wanted))
            kept = [path for path in self._folder.iterdir() if path.is_file()]
            for path in sorted(kept, key=lambda path: path.stat().st_mtime, reverse=True)[_MOST:]:
                path.unlink(missing_ok=True)


def cache_folder() -> Path:
    """Return the user's folder for what can be made again at any time; who has no home gets one that keeps nothing."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or "")
    try:
        return (base if base.is_absolute() else home_folder("XDG_CACHE_HOME") / ".cache") / "remedy"
    except InputError:
        return Path(os.devnull) / "remedy"  # every read and write there is an OSError


def _name(wanted: frozenset[str]) -> str:
    """Return the name under which a payload lies: it tells the modules, the kind of Python and all files apart."""
    told = sha256(KIND.encode())
    for name in sorted(wanted):
        told.update(f"\n{name}".encode())
    for place, size, changed in _files():
        told.update(f"\n{place} {size} {changed}".encode())
    return told.hexdigest()


def _files() -> Iterator[tuple[str, int, int]]:
    for package in _PACKAGES:
        spec = find_spec(package)
        for top in (spec and spec.submodule_search_locations) or ():
            for path in sorted(Path(top).rglob("*.py")):
                found = path.stat()
                yield str(path), found.st_size, found.st_mtime_ns
