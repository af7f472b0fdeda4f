"""The sources that travel to hosts: packed once for all hosts that need the same."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from remedy.agent import bootstrap


class Payloads:
    """The packed sources of one run."""

    def __init__(self) -> None:
        self._packed: dict[frozenset[str], tuple[bytes, frozenset[str]]] = {}
        self._guard = threading.Lock()

    def pack(self, modules: Iterable[str]) -> tuple[bytes, frozenset[str]]:
        """Return the bytes that the stage reads, and the true names of all modules in them."""
        wanted = frozenset(map(bootstrap.full_name, modules))
        with self._guard:
            found = self._packed.get(wanted)
            if found is None:
                sources = bootstrap.sources(sorted(wanted))
                found = (bootstrap.pack(sources), frozenset(sources))
                self._packed[wanted] = found
            return found

    def further(self, modules: Iterable[str], known: Iterable[str]) -> dict[str, str]:
        """Return the sources of the modules, and of what they import, that are not known on the host yet."""
        missing = {bootstrap.full_name(name) for name in modules} - set(known)
        if not missing:
            return {}
        sources = bootstrap.sources(sorted(missing))
        return {name: source for name, source in sources.items() if name not in known}
