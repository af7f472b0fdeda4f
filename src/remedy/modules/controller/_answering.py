"""Who can answer at an address of a host: what a password may be trusted to before the server has proved who it is."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

_ANYBODYS = ("/tmp/", "/var/tmp/", "/dev/shm/")


def is_private(address: str) -> bool:
    """Say whether an address is a socket where only root and the server may have put one."""
    return address.startswith("/") and not address.startswith(_ANYBODYS)


def is_own(address: str) -> bool:
    """Say whether an address, HOST:PORT or a socket, is sure to be the host's own: nobody on the way can answer."""
    if address.startswith("/"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def all_private(addresses: Sequence[object]) -> bool:
    """Say whether of some addresses, sockets or (host, port), each is private."""
    return all(isinstance(each, str) and is_private(each) for each in addresses)
