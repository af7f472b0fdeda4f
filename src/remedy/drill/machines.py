"""Which machine a host of an inventory is: one key for one machine, however an inventory calls it."""

from __future__ import annotations

import ipaddress
import socket
import threading

from remedy.errors import InputError, Unreachable
from remedy.inventory import Host, Inventory
from remedy.secret import Secrets
from remedy.template import Layer, Templar, Variables, Vault
from remedy.transport import Target
from remedy.transport.configuration import resolve
from remedy.transport.options import split_options
from remedy.transport.values import Variables as Values

_PATIENCE = 5.0  # seconds that the resolver has
_HERE = "127.0.0.1"


def machine(inventory: Inventory, host: Host, vault: Vault | None = None) -> str:
    """Return ADDRESS:PORT of a host as `way` has it, its name resolved; one that does not in time stands for itself."""
    server, port = way(inventory, host, vault)
    return f"{address(server)}:{port}"


def way(inventory: Inventory, host: Host, vault: Vault | None = None, *above: Layer) -> tuple[str, int]:
    """Return the server and port of a host, its variables rendered and the SSH configuration asked.

    `above` are variables that win over the inventory's. Raises InputError for an address that they do not tell:
    nobody could say which machine is to be locked.
    """
    layers = [*inventory.layers(host), *above, Layer("magic", inventory.magic(host), data=True)]
    read = Values(host.name, Variables(Templar(Secrets(), vault).scope(layers)))
    try:
        name = read.text("ansible_host", "ansible_ssh_host") or host.name
        port = read.integer("ansible_port", "ansible_ssh_port", low=1, high=65535)
        here = (read.text("ansible_connection") or "").endswith("local")
    except InputError as error:
        raise InputError(
            f"the inventory does not tell the address of {host.name}: {error.message}",
            where=error.where,
            hint="expected ansible_host and ansible_port that need nothing but the inventory's own variables: "
            "a drill locks the machine behind them",
        ) from error
    return (_HERE, port or 22) if here else _configured(host, name, port, read)


def address(name: str, patience: float = _PATIENCE) -> str:
    """Return the first address of a name, IPv4 before IPv6, or after `patience` seconds the name itself."""
    found: list[str] = []

    def ask() -> None:
        try:
            found.extend(str(one[4][0]) for one in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError):
            return  # what does not resolve here, such as a name behind a jump server, is told by its text

    thread = threading.Thread(target=ask, name="remedy-drill-dns", daemon=True)
    thread.start()
    thread.join(patience)  # getaddrinfo cannot be interrupted, and may take half a minute
    return min(found, key=_order, default=name.rstrip(".").lower())


def _order(text: str) -> tuple[int, int]:
    one = ipaddress.ip_address(text.partition("%")[0])
    return one.version, int(one)


def _configured(host: Host, name: str, port: int | None, read: Values) -> tuple[str, int]:
    """Return the server and port that the SSH configuration makes of a name."""
    try:
        endpoint = resolve(Target(name=host.name, address=name, port=port, options=_options(host, read)))
    except Unreachable:
        return name, port or 22  # what is wrong is told where the host is contacted
    return endpoint.host, endpoint.port


def _options(host: Host, read: Values) -> tuple[str, ...]:
    names = ("ansible_ssh_common_args", "ansible_ssh_extra_args")
    try:
        return tuple(word for name in names for word in split_options(host.name, name, read.text(name) or ""))
    except InputError:
        return ()  # they may need what only a play knows
