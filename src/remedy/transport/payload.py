"""The modules that travel to hosts: packed once for all hosts that need the same, and kept for the next run."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from remedy.agent import bootstrap
from remedy.transport import bytecode
from remedy.transport.pythons import Pythons
from remedy.transport.shelf import Shelf

Payload = tuple[bytes, frozenset[str]]
"""The bytes that the stage reads, and the true names of all modules in them."""


class Payloads:
    """The packed modules of one run."""

    def __init__(self, shelf: Shelf | None = None, pythons: Pythons | None = None) -> None:
        self.pythons = pythons or Pythons()
        self._shelf = shelf or Shelf()
        self._packed: dict[frozenset[str], Payload] = {}
        self._alone: dict[frozenset[str], Payload] = {}
        self._guard = threading.Lock()

    def pack(self, modules: Iterable[str], address: str = "") -> Payload:
        """Return what a link to an address begins with: byte code for Pythons like this one, source for all others.

        A host whose Python was another one when it was last seen is sent the source alone.
        """
        wanted = frozenset(map(bootstrap.full_name, modules))
        foreign = self.pythons.foreign(address)
        with self._guard:
            found = self._packed.get(wanted)
            if found is None:
                found = self._packed[wanted] = self._shelf.get(wanted) or self._made(wanted)
            if foreign and wanted not in self._alone:
                self._alone[wanted] = (_source_alone(found[0]), found[1])
            return self._alone[wanted] if foreign else found

    def further(self, modules: Iterable[str], known: Iterable[str]) -> dict[str, str]:
        """Return the sources of the modules, and of what they import, that are not known on the host yet."""
        missing = {bootstrap.full_name(name) for name in modules} - set(known)
        if not missing:
            return {}
        sources = bootstrap.sources(sorted(missing))
        return {name: source for name, source in sources.items() if name not in known}

    def _made(self, wanted: frozenset[str]) -> Payload:
        sources = bootstrap.sources(sorted(wanted))
        made = (
            bootstrap.pack(sources, bytecode.KIND, bytecode.compiled(sources)),
            frozenset(sources),
        )
        self._shelf.put(wanted, made)
        return made


def _source_alone(packed: bytes) -> bytes:
    first, _, rest = packed.partition(b"\n")
    return b"- 0\n" + rest[int(first.split()[1]) :]
