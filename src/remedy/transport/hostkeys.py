"""Is this the server it claims to be? The check of host keys, on every hop."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from remedy.errors import Unreachable
from remedy.transport import knownhosts
from remedy.transport.endpoint import Endpoint
from remedy.transport.knownhosts import KnownHosts, Verdict, fingerprint


class HostKeys:
    """The known_hosts files of one run, each read once until it changes."""

    def __init__(self) -> None:
        self._read: dict[tuple[str, ...], tuple[tuple[object, ...], KnownHosts]] = {}
        self._guard = threading.Lock()

    def of(self, endpoint: Endpoint) -> KnownHosts:
        """Return what the user's and the machine's known_hosts files say."""
        files = endpoint.known_hosts + endpoint.global_known_hosts
        state = tuple(_state(file) for file in files)
        with self._guard:
            known = self._read.get(files)
            if known is None or known[0] != state:
                known = (state, knownhosts.load(files))
                self._read[files] = known
            return known[1]

    def learn(self, endpoint: Endpoint, kind: str, key: bytes) -> None:
        """Add a key to the user's first known_hosts file; a file that cannot be written is left alone, as by ssh."""
        if not endpoint.known_hosts:
            return
        file = Path(endpoint.known_hosts[0])
        hashed = endpoint.hash_known_hosts
        line = knownhosts.line_for(endpoint.known_as, kind, key, hashed=hashed, salt=os.urandom(20))
        with self._guard:
            try:
                file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                start = "" if _ends_with_newline(file) else "\n"
                with file.open("a") as lines:
                    lines.write(start + line)
            except OSError:
                return


class Policy:
    """What Paramiko asks about a server's key; it holds no keys itself, so it is asked every time.

    `passwords` says whether a password may be given to this server.
    """

    def __init__(self, endpoint: Endpoint, keys: HostKeys) -> None:
        self._endpoint = endpoint
        self._keys = keys
        self.passwords = True

    def algorithms(self) -> tuple[str, ...]:
        """Return the host key algorithms to ask for first."""
        return self._keys.of(self._endpoint).kinds(names(self._endpoint))

    def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
        """Return where the key is to be trusted, else raise Unreachable(host_key)."""
        endpoint = self._endpoint
        kind, blob = key.get_name(), key.asbytes()
        verdict = self._keys.of(endpoint).check(names(endpoint), kind, blob)
        if verdict.status == knownhosts.GOOD:
            return
        if verdict.status == knownhosts.UNKNOWN and endpoint.strict != "yes":
            self._keys.learn(endpoint, kind, blob)
            return
        if verdict.status == knownhosts.CHANGED and endpoint.strict == "no":
            self.passwords = False  # as ssh does: whoever sits there gets no password
            return
        raise refusal(endpoint, verdict, kind, blob)


def names(endpoint: Endpoint) -> tuple[str, ...]:
    """Return the names a key may be known under; as in ssh, a line without a port can confirm a key."""
    if endpoint.host_key_alias or endpoint.port == 22:
        return (endpoint.known_as,)
    return (endpoint.known_as, endpoint.host.lower())


def refusal(endpoint: Endpoint, verdict: Verdict, kind: str, key: bytes) -> Unreachable:
    """Return the error for a key that is not trusted: what was shown, what is known, what to do."""
    shown = f"{endpoint.address} shows the {_short(kind)} key {fingerprint(key)}"
    lines = ", ".join(f"{entry.file}:{entry.line}" for entry in verdict.entries)
    file = endpoint.known_hosts[0] if endpoint.known_hosts else "~/.ssh/known_hosts"
    scan = f"ssh-keyscan -p {endpoint.port} {endpoint.host}"
    if verdict.status == knownhosts.REVOKED:
        message = f"{shown}, which is revoked ({lines})"
        hint = "somebody marked this key as stolen: do not connect; give the host a new key"
    elif verdict.status == knownhosts.CHANGED:
        known = ", ".join(fingerprint(entry.key) for entry in verdict.entries)
        message = f"{shown}, but {lines} knows {known}: the host key has changed, or this is another machine"
        hint = (
            "if the host was reinstalled, check the fingerprint on its console, then: "
            f"ssh-keygen -f {file} -R '{endpoint.known_as}' && {scan} >> {file}"
        )
    else:
        message = f"{shown}, which known_hosts does not know"
        if verdict.entries:
            message += f" (it knows other keys of the host: {lines})"
        if verdict.authorities:
            places = ", ".join(f"{entry.file}:{entry.line}" for entry in verdict.authorities)
            message += f"; the @cert-authority at {places} was not used: certificates are not supported"
        hint = (
            f"check the fingerprint on the host's console, then: {scan} >> {file}; "
            "or trust new hosts with -o StrictHostKeyChecking=accept-new in ansible_ssh_common_args"
        )
        if endpoint.host_key_alias:
            hint += f" (known_hosts is asked for '{endpoint.host_key_alias}', the HostKeyAlias)"
    return Unreachable("host_key", message, hint=hint, host=endpoint.name)


def _short(kind: str) -> str:
    return kind.removeprefix("ssh-").removeprefix("ecdsa-sha2-").upper()


def _state(file: str) -> object:
    try:
        status = Path(file).stat()
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino)


def _ends_with_newline(file: Path) -> bool:
    try:
        with file.open("rb") as lines:
            if not lines.seek(0, os.SEEK_END):
                return True
            lines.seek(-1, os.SEEK_END)
            return lines.read(1) == b"\n"
    except OSError:
        return True
