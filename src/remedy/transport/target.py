"""Whom to reach and how: a host's connection variables, read once and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from remedy.errors import InputError, nearest
from remedy.transport.identity import Identity
from remedy.transport.options import split_options
from remedy.transport.values import Variables

CONNECT_TIMEOUT = 10.0
START_TIMEOUT = 30.0

_CONNECTIONS = ("ssh", "local")
_LATER = {
    "openssh": "it comes with a later version; use 'ssh', which reads the same ~/.ssh/config",
    "docker": "it comes with a later version; reach the container's host by 'ssh'",
    "winrm": "remedy works on Linux hosts; use 'ssh'",
    "psrp": "remedy works on Linux hosts; use 'ssh'",
    "paramiko": "use 'ssh', which is Paramiko here",
    "paramiko_ssh": "use 'ssh', which is Paramiko here",
}
_SEARCHING = ("auto", "auto_legacy", "auto_silent", "auto_legacy_silent")


@dataclass(frozen=True, kw_only=True)
class TargetDefaults:
    """What the command line says for hosts whose variables say nothing (-u, -k, --private-key, -T, -c, -b ...).

    `timeout` is in seconds; None: ssh_config's ConnectTimeout, else 10 to connect and 30 for the agent's hello.
    """

    user: str | None = None
    password: str | None = field(default=None, repr=False)
    private_key_file: str | None = None
    timeout: float | None = None
    connection: str = "ssh"
    ssh_common_args: str = ""
    ssh_extra_args: str = ""
    become: bool = False
    become_user: str | None = None
    become_method: str | None = None
    become_password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class Target:
    """One host as the inventory describes it; what it leaves open, the SSH configuration decides.

    `address` is what ssh is asked for (ansible_host, else the name). `options` are arguments for `ssh -G`, in the
    order in which the first one counts. `timeout` in seconds, None: the SSH configuration's, else 10.
    `identity` is who the variables and defaults say the host is worked on as, None: the login user.
    """

    name: str
    address: str
    connection: str = "ssh"
    port: int | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    private_key_file: str | None = None
    options: tuple[str, ...] = ()
    timeout: float | None = None
    host_key_checking: bool | None = None
    python: str | None = None
    shell: str = "/bin/sh"
    identity: Identity | None = None

    @property
    def start_timeout(self) -> float:
        """Return the seconds that the agent has to say hello."""
        return START_TIMEOUT if self.timeout is None else self.timeout

    @classmethod
    def from_variables(
        cls, name: str, variables: Mapping[str, Any], defaults: TargetDefaults | None = None
    ) -> Target:
        """Return the target that the rendered connection variables of a host describe.

        Raises InputError for a value that cannot be used, naming the variable and what is valid.
        """
        defaults = defaults or TargetDefaults()
        read = Variables(name, variables)
        timeout = read.number("ansible_ssh_timeout", "ansible_timeout")
        common = read.text("ansible_ssh_common_args")
        extra = read.text("ansible_ssh_extra_args")
        return cls(
            name=name,
            address=read.text("ansible_host", "ansible_ssh_host") or name,
            connection=_connection(read, defaults),
            port=read.integer("ansible_port", "ansible_ssh_port", low=1, high=65535),
            user=read.text("ansible_user", "ansible_ssh_user") or defaults.user,
            password=read.secret("ansible_password", "ansible_ssh_pass", "ansible_ssh_password")
            or defaults.password,
            private_key_file=read.text("ansible_ssh_private_key_file", "ansible_private_key_file")
            or defaults.private_key_file,
            options=split_options(name, "ansible_ssh_common_args", common or defaults.ssh_common_args)
            + split_options(name, "ansible_ssh_extra_args", extra or defaults.ssh_extra_args),
            timeout=defaults.timeout if timeout is None else timeout,
            host_key_checking=read.flag("ansible_host_key_checking", "ansible_ssh_host_key_checking"),
            python=_python(read),
            shell=read.text("ansible_shell_executable") or "/bin/sh",
            identity=Identity.choose(
                name,
                variables,
                become=defaults.become,
                user=defaults.become_user,
                method=defaults.become_method,
                password=defaults.become_password,
            ),
        )


def _connection(read: Variables, defaults: TargetDefaults) -> str:
    wanted = read.text("ansible_connection") or defaults.connection
    wanted = wanted.removeprefix("ansible.builtin.")
    if wanted in ("smart", *_CONNECTIONS):
        return "ssh" if wanted == "smart" else wanted
    raise InputError(
        f"ansible_connection '{wanted}' cannot be used",
        hint=_LATER.get(wanted) or nearest(wanted, _CONNECTIONS),
        host=read.host,
    )


def _python(read: Variables) -> str | None:
    python = read.text("ansible_python_interpreter")
    return None if python in _SEARCHING else python
