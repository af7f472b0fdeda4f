"""From a target to an endpoint: ssh_config is asked for the host and for each server on the way."""

from __future__ import annotations

import os
import shlex
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from remedy.errors import Unreachable
from remedy.transport.endpoint import Endpoint
from remedy.transport.sshconfig import Settings, read_settings
from remedy.transport.target import CONNECT_TIMEOUT, Target
from remedy.transport.tokens import expand, expand_path, tokens

_MOST_JUMPS = 8
_FAMILIES = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}
_ALGORITHMS = {
    "kex": "kexalgorithms",
    "ciphers": "ciphers",
    "macs": "macs",
    "keys": "hostkeyalgorithms",
    "pubkeys": "pubkeyacceptedalgorithms",
}
_METHODS = {
    "publickey": "pubkeyauthentication",
    "password": "passwordauthentication",
    "keyboard-interactive": "kbdinteractiveauthentication",
}
_REFUSED = {
    "revokedhostkeys": "put '@revoked' lines into known_hosts instead",
    "proxyusefdpass": "use a ProxyCommand that carries the data itself",
}
_NOT_DONE = ("certificatefile", "pkcs11provider", "knownhostscommand")


Read = Callable[[str, str, Sequence[str]], Settings]
"""What holds for a name with these ssh arguments; the first word is the host's name for messages."""


def resolve(target: Target, read: Read = read_settings) -> Endpoint:
    """Return the endpoint of a target; runs `ssh -G` once for the host and once for each jump (about 5 ms each).

    Raises Unreachable(configuration) for what cannot be used.
    """
    arguments: list[str] = []
    if target.port is not None:
        arguments += ["-p", str(target.port)]
    if target.user is not None:
        arguments += ["-l", target.user]
    if target.private_key_file is not None:
        arguments += ["-o", f'IdentityFile="{target.private_key_file}"']
    if target.host_key_checking is False:
        arguments += ["-o", "StrictHostKeyChecking=no"]
    endpoint = _resolve(target.name, target.address, [*arguments, *target.options], 0, read)
    return replace(endpoint, timeout=target.timeout) if target.timeout is not None else endpoint


def _resolve(host: str, name: str, arguments: Sequence[str], jumps: int, read: Read) -> Endpoint:
    settings = read(host, name, arguments)
    for directive, advice in _REFUSED.items():
        if settings.one(directive, "no").lower() != "no":
            raise Unreachable(
                "configuration",
                f"{directive} is set for '{name}', which remedy cannot honour",
                hint=advice,
                host=host,
            )
    server = settings.one("hostname", name)
    port = int(settings.one("port", "22"))
    user = settings.one("user")
    alias = settings.one("hostkeyalias") or None
    jump = settings.one("proxyjump")
    letters = tokens(name=name, host=server, port=port, user=user, jump=jump, alias=alias)
    command = "" if jump else settings.one("proxycommand")
    timeout = settings.one("connecttimeout", "0")
    return Endpoint(
        name=host,
        host=server,
        port=port,
        user=user,
        timeout=float(timeout) if timeout.isdigit() and int(timeout) else CONNECT_TIMEOUT,
        via=_jump(host, jump, arguments, jumps, (user, server, port), read) if jump else None,
        proxy_command=expand(command, letters) or None,
        proxy_pattern=command or None,
        host_key_alias=alias,
        known_hosts=_paths(settings.one("userknownhostsfile"), letters),
        global_known_hosts=_paths(settings.one("globalknownhostsfile"), letters),
        strict=_strictness(settings.one("stricthostkeychecking", "ask")),
        hash_known_hosts=settings.flag("hashknownhosts"),
        identity_files=tuple(
            dict.fromkeys(expand_path(file, letters) for file in settings.all("identityfile"))
        ),
        identities_only=settings.flag("identitiesonly"),
        agent=_agent(settings, letters),
        methods=frozenset(method for method, directive in _METHODS.items() if settings.flag(directive, True)),
        algorithms={kind: tuple(words) for kind, of in _ALGORITHMS.items() if (words := settings.words(of))},
        family=_FAMILIES.get(settings.one("addressfamily", "any").lower(), socket.AF_UNSPEC),
        bind_address=settings.one("bindaddress") or None,
        notes=settings.notes
        + tuple(
            f"{directive} for '{name}' is not used" for directive in _NOT_DONE if settings.one(directive)
        ),
    )


def _jump(
    host: str, jump: str, arguments: Sequence[str], jumps: int, target: tuple[str, str, int], read: Read
) -> Endpoint:
    """Return the server next to the target: the last of the list, reached through those before it.

    As in OpenSSH, options of the command line are not for jump servers; only its configuration file is.
    """
    if jumps >= _MOST_JUMPS:
        raise Unreachable(
            "configuration",
            f"more than {_MOST_JUMPS} jump servers in a row, the last one '{jump}'",
            hint="does a 'Host *' with ProxyJump also match the jump server? exclude it: Host * !bastion",
            host=host,
        )
    before, _, last = jump.rpartition(",")
    user, server, port = _split_jump(host, last)
    inherited = [
        word for at, word in enumerate(arguments) if word == "-F" or (at and arguments[at - 1] == "-F")
    ]
    inherited += ["-l", user] if user else []
    inherited += ["-p", port] if port else []
    inherited += ["-J", before] if before else []
    endpoint = _resolve(host, server, inherited, jumps + 1, read)
    if (endpoint.user, endpoint.host, endpoint.port) == target:
        raise Unreachable(
            "configuration",
            f"the way to {endpoint.host}:{endpoint.port} leads through itself (ProxyJump {jump})",
            hint="exclude the jump server from the pattern that sets ProxyJump: Host * !bastion",
            host=host,
        )
    return endpoint


def _split_jump(host: str, text: str) -> tuple[str, str, str]:
    rest = text.strip().removeprefix("ssh://").rstrip("/")
    user, _, place = rest.rpartition("@")
    if place.startswith("["):
        server, _, port = place[1:].partition("]")
        port = port.removeprefix(":")
    elif place.count(":") == 1:
        server, _, port = place.partition(":")
    else:
        server, port = place, ""
    if not server or (port and not port.isdigit()):
        raise Unreachable(
            "configuration",
            f"ProxyJump '{text}' is no server",
            hint="expected: [user@]host[:port]",
            host=host,
        )
    return user, server, port


def _strictness(value: str) -> str:
    """Return yes, accept-new or no; nobody can be asked in the middle of a run, so `ask` is yes."""
    word = value.lower()
    if word in ("no", "false", "off"):
        return "no"
    return word if word == "accept-new" else "yes"


def _paths(value: str, letters: dict[str, str]) -> tuple[str, ...]:
    if not value:
        return ()
    if Path(value).is_file():  # `ssh -G` prints a path with a space as it is
        return (value,)
    try:
        words = shlex.split(value)
    except ValueError:
        words = value.split()
    return tuple(expand_path(word, letters) for word in words)


def _agent(settings: Settings, letters: dict[str, str]) -> str | None:
    wanted = settings.one("identityagent", "" if settings.given("identityagent") else "SSH_AUTH_SOCK")
    if wanted == "SSH_AUTH_SOCK":
        return os.environ.get("SSH_AUTH_SOCK") or None
    if wanted.startswith("$"):
        return os.environ.get(wanted.strip("${}")) or None
    return expand_path(wanted, letters) or None
