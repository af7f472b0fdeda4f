"""Which Python each host had when it was last seen: a hint for what to send, no more.

A wrong hint costs bytes or milliseconds. What runs is decided on the host, which knows.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from remedy.transport.shelf import cache_folder

_OWN = f"{sys.version_info.major}.{sys.version_info.minor}"
_VERSION = re.compile(r"\d+\.\d+(?=\.)")
_MOST = 20_000  # hosts


class Pythons:
    """What is known of the hosts' Pythons, by address; read when first asked for."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or cache_folder() / "pythons.json"
        self._known: dict[str, str] | None = None
        self._news: dict[str, str] = {}
        self._guard = threading.Lock()

    def foreign(self, address: str) -> bool:
        """Say whether a host is known to have another Python than this one."""
        with self._guard:
            return self._seen(address) not in (None, _OWN)

    def saw(self, address: str, version: Any) -> None:
        """Remember what a host has said of its Python (3.11.2)."""
        found = _VERSION.match(version) if isinstance(version, str) else None
        with self._guard:
            if found is not None and self._seen(address) != found[0]:
                self._news[address] = found[0]

    def keep(self) -> None:
        """Write down what is new, for later runs; where that cannot be, they ask anew."""
        with self._guard, suppress(OSError):
            if not self._news:
                return
            known = {**self._read(), **self._news}
            self._news = {}
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._path.parent, prefix=".") as apart:
                part = Path(apart) / self._path.name
                part.write_text(json.dumps(dict(list(known.items())[-_MOST:])))
                part.replace(self._path)

    def _seen(self, address: str) -> str | None:
        if self._known is None:
            self._known = self._read()
        return self._news.get(address, self._known.get(address))

    def _read(self) -> dict[str, str]:
        try:
            found = json.loads(self._path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}
