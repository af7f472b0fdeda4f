"""The ssh options in ansible_ssh_common_args and ansible_ssh_extra_args that may go to `ssh -G`."""

from __future__ import annotations

import shlex

from remedy.errors import InputError

_WITH_VALUE = {"-o", "-J", "-i", "-F", "-p", "-l", "-b", "-c", "-m", "-B", "-E", "-e", "-I", "-S"}
_IGNORED_WITH_VALUE = {"-E", "-e", "-S"}  # log file, escape character and control socket: nothing here
_FLAGS = set("46ACKkaqTtvxXYnyGNfMg")  # only -4, -6 matter to what -G answers
_USEFUL_FLAGS = set("46")
_REFUSED = {
    "-L": "tunnels are made by the modules that need them",
    "-R": "tunnels are made by the modules that need them",
    "-D": "tunnels are made by the modules that need them",
    "-W": "use -J or -o ProxyJump=HOST",
    "-w": "tunnel devices are not supported",
    "-s": "subsystems are not supported",
    "-O": "control masters are not used: remedy has one connection a host",
    "-Q": "queries are not possible here",
    "-I": "PKCS#11 is not supported; load the key into ssh-agent",
}


def split_options(host: str, variable: str, text: str) -> tuple[str, ...]:
    """Return the arguments for `ssh -G`; those that only steer the ssh program itself are left out.

    Raises InputError for an option that cannot be honoured, and for what is no option.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(
            f"{variable} cannot be read: {error}",
            hint="expected: options as typed after ssh, quotes closed",
            host=host,
        ) from None
    kept: list[str] = []
    waiting = iter(words)
    for word in waiting:
        option, rest = word[:2], word[2:]
        if option in _REFUSED:
            raise InputError(f"{variable}: {option} cannot be honoured", hint=_REFUSED[option], host=host)
        if option in _WITH_VALUE:
            value = rest or next(waiting, "")
            if not value:
                raise InputError(
                    f"{variable}: {option} has no value", hint="expected: a value after it", host=host
                )
            if option not in _IGNORED_WITH_VALUE:
                kept += [option, value]
        elif len(word) > 1 and word[0] == "-" and set(word[1:]) <= _FLAGS:
            kept += [f"-{letter}" for letter in word[1:] if letter in _USEFUL_FLAGS]
        else:
            raise InputError(
                f"{variable}: '{word}' is no option of ssh",
                hint="expected: options such as -o ProxyJump=bastion",
                host=host,
            )
    return tuple(kept)
