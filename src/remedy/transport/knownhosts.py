"""known_hosts files: what they say about a server's key (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)."""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct

GOOD = "good"
UNKNOWN = "unknown"
CHANGED = "changed"
REVOKED = "revoked"

_RSA = ("rsa-sha2-512", "rsa-sha2-256")


class Entry(Struct, frozen=True):
    """One line: its hosts as written, key type, key, marker (cert-authority, revoked or empty) and place."""

    hosts: str
    kind: str
    key: bytes
    marker: str
    file: str
    line: int

    def names(self, host: str) -> bool:
        """Return whether the line is about this name (host, or [host]:port)."""
        if self.hosts.startswith("|1|"):
            return _hashed(self.hosts, host)
        found = False
        for pattern in self.hosts.lower().split(","):
            negated = pattern.startswith("!")
            if _matches(pattern[negated:], host):
                if negated:
                    return False
                found = True
        return found


class Verdict(Struct, frozen=True):
    """What known_hosts says: good, unknown, changed or revoked; `entries` are the lines it rests on."""

    status: str
    entries: tuple[Entry, ...] = ()
    authorities: tuple[Entry, ...] = ()


class KnownHosts:
    """The lines of several known_hosts files, taken as one."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = tuple(entries)
        self._about: dict[str, tuple[Entry, ...]] = {}

    def about(self, name: str) -> tuple[Entry, ...]:
        """Return the lines about a name, whatever they say."""
        found = self._about.get(name)
        if found is None:  # a hashed line costs an HMAC, and files of thousands of them are common
            found = tuple(entry for entry in self._entries if entry.names(name.lower()))
            self._about[name] = found
        return found

    def check(self, names: Sequence[str], kind: str, key: bytes) -> Verdict:
        """Return what is known of a key under the names, the first of which counts; the others can only confirm."""
        revoked = tuple(
            entry
            for name in names
            for entry in self.about(name)
            if entry.marker == "revoked" and entry.key == key
        )
        if revoked:
            return Verdict(REVOKED, revoked)
        lines = self.about(names[0])
        authorities = tuple(entry for entry in lines if entry.marker == "cert-authority")
        plain = tuple(entry for entry in lines if not entry.marker)
        confirming = [
            *plain,
            *(entry for name in names[1:] for entry in self.about(name) if not entry.marker),
        ]
        good = tuple(entry for entry in confirming if entry.key == key)
        if good:
            return Verdict(GOOD, good, authorities)
        other = tuple(entry for entry in plain if entry.kind == kind)
        return Verdict(CHANGED, other, authorities) if other else Verdict(UNKNOWN, plain, authorities)

    def kinds(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the host key algorithms to ask for first: those whose keys are known under the names."""
        found: dict[str, None] = {}
        for name in names:
            for entry in self.about(name):
                if not entry.marker:
                    found.update(dict.fromkeys(_RSA if entry.kind == "ssh-rsa" else (entry.kind,)))
        return tuple(found)


def parse(text: bytes, file: str) -> tuple[Entry, ...]:
    """Return the entries of a file; lines that cannot be read are skipped, as OpenSSH does."""
    entries = []
    for number, raw in enumerate(text.splitlines(), 1):
        words = raw.decode("utf-8", "replace").split()
        if not words or words[0].startswith("#"):
            continue
        marker = words.pop(0)[1:].lower() if words[0].startswith("@") else ""
        if len(words) < 3 or marker not in ("", "revoked", "cert-authority"):
            continue
        try:
            key = base64.b64decode(words[2], validate=True)
        except (binascii.Error, ValueError):
            continue
        entries.append(Entry(words[0], words[1], key, marker, file, number))
    return tuple(entries)


def load(files: Iterable[str]) -> KnownHosts:
    """Return the lines of the files; one that is missing or may not be read has none."""
    entries: list[Entry] = []
    for file in files:
        try:
            entries += parse(Path(file).read_bytes(), file)
        except OSError:
            continue
    return KnownHosts(entries)


def fingerprint(key: bytes) -> str:
    """Return a key's fingerprint as ssh shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def line_for(name: str, kind: str, key: bytes, *, hashed: bool, salt: bytes = b"") -> str:
    """Return the line that remembers a key; hashed with a salt of 20 bytes where the configuration asks for it."""
    if hashed:
        digest = hmac.digest(salt, name.encode(), "sha1")
        name = f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"
    return f"{name} {kind} {base64.b64encode(key).decode()}\n"


def _hashed(hosts: str, host: str) -> bool:
    parts = hosts.split("|")
    if len(parts) != 4:
        return False
    try:
        salt, digest = base64.b64decode(parts[2]), base64.b64decode(parts[3])
    except (binascii.Error, ValueError):
        return False
    return hmac.digest(salt, host.encode(), "sha1") == digest


def _matches(pattern: str, host: str) -> bool:
    if "*" not in pattern and "?" not in pattern:
        return pattern == host
    # only * and ? are special here, while fnmatch also knows [...]: "[host]:2222" is to stand for itself
    return re.fullmatch(fnmatch.translate(pattern.replace("[", "[[]")), host) is not None
