"""An SSH server and how to reach it: the SSH configuration with every pattern, token and jump resolved."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One SSH server; `via` is the server to go through, `proxy_command` the program to go through.

    `strict` is yes, accept-new or no. `timeout` in seconds for everything up to the login. `algorithms` maps
    kex, ciphers, macs, keys and pubkeys to what the configuration allows, in its order; a missing one is free.
    `notes` name what the configuration says and remedy does not do.
    """

    name: str
    host: str
    port: int = 22
    user: str = ""
    timeout: float = 10.0
    via: Endpoint | None = None
    proxy_command: str | None = None
    proxy_pattern: str | None = None
    host_key_alias: str | None = None
    known_hosts: tuple[str, ...] = ()
    global_known_hosts: tuple[str, ...] = ()
    strict: str = "yes"
    hash_known_hosts: bool = False
    identity_files: tuple[str, ...] = ()
    identities_only: bool = False
    agent: str | None = None
    methods: frozenset[str] = frozenset({"publickey", "password", "keyboard-interactive"})
    algorithms: dict[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    family: int = socket.AF_UNSPEC
    bind_address: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """Return host:port for messages, with the way there."""
        place = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        if self.via is not None:
            return f"{place} through {self.via.address}"
        return f"{place} through '{self.proxy_command}'" if self.proxy_command else place

    @property
    def known_as(self) -> str:
        """Return the name that known_hosts has for the server: the alias, host, or [host]:port."""
        if self.host_key_alias:
            return self.host_key_alias
        return self.host.lower() if self.port == 22 else f"[{self.host.lower()}]:{self.port}"

    @property
    def way(self) -> tuple[str, ...]:
        """Return what tells this server, reached this way and as this user, from others."""
        before = self.via.way if self.via is not None else (self.proxy_command or "",)
        return (*before, f"{self.user}@{self.host}:{self.port}")

    @property
    def door(self) -> tuple[str, ...]:
        """Return what limits how many may log in at once: this sshd, or the program that leads to many."""
        if self.proxy_pattern:
            return ("program", self.proxy_pattern)
        return ("server", *(self.via.way if self.via is not None else ()), f"{self.host}:{self.port}")
