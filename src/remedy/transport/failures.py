"""From foreign exceptions to `Unreachable`: the one place that knows what Paramiko and the sockets raise."""

from __future__ import annotations

import errno

from remedy.errors import LinkLost, Unreachable
from remedy.transport.endpoint import Endpoint
from remedy.transport.sockets import NoAddress

_NO_ROUTE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL}
_FILTERED = {errno.EPERM, errno.EACCES}
_TRANSIENT = ("banner", "No existing session")


class NoBanner(Exception):
    """The line stood until the deadline, and nothing that speaks SSH said a word."""


def may_retry(error: BaseException) -> bool:
    """Return whether sshd may merely be busy (MaxStartups drops connections); never after a refused login or key."""
    if isinstance(error, EOFError | ConnectionResetError | TimeoutError | BrokenPipeError):
        return True
    return type(error).__name__ == "SSHException" and any(word in str(error) for word in _TRANSIENT)


def connecting(
    error: BaseException, endpoint: Endpoint, *, seconds: float, tries: int = 1, words: str = ""
) -> Unreachable:
    """Return why a host could not be connected to; `words` are what its ProxyCommand said."""
    if isinstance(error, Unreachable):
        return error
    reason, message, hint = _explain(error, endpoint, seconds)
    if words:
        message = f"no SSH server answers at {endpoint.address}; the program said: {words}"
        hint = "try the ProxyCommand by hand: it must speak SSH on its standard output"
    if tries > 1:
        message += f" ({tries} tries)"
    return Unreachable(reason, message, hint=hint, host=endpoint.name)


def _explain(error: BaseException, endpoint: Endpoint, seconds: float) -> tuple[str, str, str]:
    where = endpoint.address
    text = str(error) or type(error).__name__
    number = getattr(error, "errno", None)
    if isinstance(error, NoAddress):
        return (
            "dns",
            f"the name '{endpoint.host}' does not resolve: {error}",
            "check ansible_host in the inventory, HostName in ~/.ssh/config, and the resolver of this machine",
        )
    if number == errno.ECONNREFUSED:
        return (
            "refused",
            f"{where} refuses the connection",
            "is sshd running there, and is it this port? (ansible_port)",
        )
    if number in _NO_ROUTE:
        return (
            "no_route",
            f"no route to {where}: {text}",
            "is the host up, and the VPN or jump host in place?",
        )
    if number in _FILTERED:
        return (
            "no_route",
            f"a firewall forbids the way to {where}: {text}",
            "look at this machine's own firewall",
        )
    if isinstance(error, NoBanner):
        return (
            "no_banner",
            f"{where} is open, but no SSH server said a word within {seconds:g} s",
            "is it the right port (ansible_port)? a host without memory accepts connections and stays silent too",
        )
    if isinstance(error, TimeoutError) or "Timeout opening channel" in text:
        return (
            "timeout",
            f"{where} did not answer within {seconds:g} s",
            "is the host up, does a firewall drop packets? a slow host may need -T SECONDS (ansible_ssh_timeout)",
        )
    if type(error).__name__ == "ChannelException":
        return (
            "refused",
            f"{endpoint.via.address if endpoint.via else where} cannot open the way to "
            f"{endpoint.host}:{endpoint.port}: {text}",
            "is sshd running on the target, and may the jump host reach it (AllowTcpForwarding, firewall)?",
        )
    if type(error).__name__ == "IncompatiblePeer":
        return (
            "configuration",
            f"{where} and remedy have no algorithm in common: {text}",
            "look at Ciphers, KexAlgorithms, MACs and HostKeyAlgorithms on both sides",
        )
    if isinstance(error, EOFError | OSError) or "banner" in text or "Indecipherable" in text:
        return (
            "no_banner",
            f"{where} is open, but no SSH server answers: {_tidy(text)}",
            "is it the right port (ansible_port)? an overloaded sshd, MaxStartups or a TCP proxy closes like this too",
        )
    return (
        "no_banner",
        f"{where} ended the SSH handshake: {_tidy(text)}",
        f"try: ssh -v -p {endpoint.port} {endpoint.host}",
    )


def lost(error: BaseException | None, endpoint_or_name: str, address: str) -> LinkLost:
    """Return the error for a connection that ended in the middle of the work."""
    detail = f": {_tidy(str(error))}" if error is not None and str(error) else ""
    return LinkLost(
        "link_lost",
        f"the connection to {address} ended{detail}",
        hint="what was under way is in the journal; look at the host, then run again or resume",
        host=endpoint_or_name,
    )


def _tidy(text: str) -> str:
    """Return Paramiko's text without what only its authors read."""
    if text == "EOFError" or not text:
        return "it closed the connection"
    return text.replace("Error reading SSH protocol banner", "no banner ").strip() or "no banner"
