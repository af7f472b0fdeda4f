"""Which algorithms Paramiko offers: what the configuration allows, the cheapest first."""

from __future__ import annotations

from typing import Any

from remedy.errors import Unreachable
from remedy.transport.endpoint import Endpoint

# post-quantum stays first where both sides have it; of the rest X25519 costs a tenth of the finite-field groups
_CHEAP = {
    "kex": ("mlkem768x25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256"),
    "ciphers": ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes256-ctr"),
    "macs": ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-256"),
}
_SAME = {"curve25519-sha256@libssh.org": "curve25519-sha256"}  # one algorithm, two names


def prefer(transport: Any, endpoint: Endpoint, known_keys: tuple[str, ...]) -> None:
    """Order and restrict what a transport offers; `known_keys` are the host key types to ask for first.

    Raises Unreachable(configuration) where the configuration allows nothing that Paramiko knows.
    """
    options = transport.get_security_options()
    options.kex = _chosen(endpoint, "kex", options.kex, _CHEAP["kex"])
    options.ciphers = _chosen(endpoint, "ciphers", options.ciphers, _CHEAP["ciphers"])
    options.digests = _chosen(endpoint, "macs", options.digests, _CHEAP["macs"])
    options.key_types = _chosen(endpoint, "keys", options.key_types, known_keys)


def forbidden_pubkeys(endpoint: Endpoint, offered: tuple[str, ...]) -> dict[str, list[str]]:
    """Return Paramiko's `disabled_algorithms` for the signatures that the configuration does not accept."""
    allowed = endpoint.algorithms.get("pubkeys")
    return {"pubkeys": [name for name in offered if name not in allowed]} if allowed else {}


def _chosen(
    endpoint: Endpoint, kind: str, offered: tuple[str, ...], first: tuple[str, ...]
) -> tuple[str, ...]:
    allowed = endpoint.algorithms.get(kind)
    usable = [name for name in offered if allowed is None or name in allowed or _SAME.get(name) in allowed]
    if not usable:
        raise Unreachable(
            "configuration",
            f"the SSH configuration for {endpoint.host} allows none of the {kind} that remedy knows",
            hint=f"allow one of: {', '.join(offered)}",
            host=endpoint.name,
        )
    rank = {name: at for at, name in enumerate(first)}
    return tuple(sorted(usable, key=lambda name: rank.get(name, len(rank))))  # sorted is stable
