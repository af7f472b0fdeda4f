"""The flags that commands share: Ansible's names, Ansible's meaning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

_Command = Callable[..., Any]


def stack(*options: Callable[[_Command], _Command]) -> Callable[[_Command], _Command]:
    """Return several options as one decorator, in this order in the help."""

    def decorate(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


shape: Callable[[_Command], _Command] = click.option(
    "--format", "shape", type=click.Choice(["console", "json"]), default="console",
    help="json: one document on standard output.",
)  # fmt: skip

forks: Callable[[_Command], _Command] = click.option(
    "-f", "--forks", type=click.IntRange(1), metavar="N", help="Hosts at a time (default 50)."
)
user: Callable[[_Command], _Command] = click.option("-u", "--user", metavar="NAME", help="Log in as this user.")
private_key: Callable[[_Command], _Command] = click.option(
    "--private-key", "--key-file", metavar="FILE", help="Log in with this key."
)
vault_password_file: Callable[[_Command], _Command] = click.option(
    "--vault-password-file", "--vault-pass-file", "vault_files", multiple=True, metavar="FILE",
    help="The vault password: a file, or a program that prints it.",
)  # fmt: skip

connection = stack(
    click.option(
        "-i", "--inventory", "inventories", multiple=True, metavar="NAME",
        help="Hosts: a name (prod: inventory/prod.yml), a path, or a list ('web1,web2,').",
    ),
    click.option("-l", "--limit", metavar="PATTERN", help="Only these of the hosts (web*, !db1, @file)."),
    forks,
    user,
    click.option("-k", "--ask-pass", is_flag=True, help="Ask for the login password."),
    private_key,
    click.option("-T", "--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS",
                 help="For connecting, and for the host's shell to answer."),
    click.option("-c", "--connection", metavar="KIND", default="ssh", help="ssh or local."),
    click.option("--ssh-common-args", metavar="ARGS", default="", help="Options such as '-o ProxyJump=gate'."),
)  # fmt: skip

becoming = stack(
    click.option("-b", "--become", is_flag=True, help="Work as another user (root)."),
    click.option("--become-user", metavar="NAME", help="Which user (default root)."),
    click.option("--become-method", metavar="NAME", help="sudo (default), su or doas."),
    click.option("-K", "--ask-become-pass", is_flag=True, help="Ask for the password for that."),
)

vault = stack(
    vault_password_file,
    click.option("--vault-id", "vault_ids", multiple=True, metavar="LABEL@SOURCE",
                 help="A labelled vault password: a file, or 'prompt'."),
    click.option("-J", "--ask-vault-pass", is_flag=True, help="Ask for the vault password."),
)  # fmt: skip

variables = stack(
    click.option("-e", "--extra-vars", multiple=True, metavar="VARS",
                 help="Variables that win over all others: k=v, JSON, YAML or @file."),
    vault,
)  # fmt: skip

tags = stack(
    click.option("-t", "--tags", multiple=True, metavar="TAGS", help="Only tasks with these tags."),
    click.option("--skip-tags", multiple=True, metavar="TAGS", help="Not the tasks with these tags."),
)

listing = stack(
    click.option("--list-hosts", is_flag=True, help="Show the hosts and stop."),
    click.option("--list-tasks", is_flag=True, help="Show the tasks and stop."),
    click.option("--list-tags", is_flag=True, help="Show the tags and stop."),
    click.option("--syntax-check", is_flag=True, help="Read the playbook and stop."),
)

changing = stack(
    click.option("-C", "--check", is_flag=True, help="Change nothing: say what would change."),
    click.option("--yes", is_flag=True, help="Approve what destroys or interrupts, without being asked."),
    click.option(
        "--fail-on-change", is_flag=True, help="With --check: exit with 11 when changes are pending."
    ),
)

output = stack(
    click.option("-D", "--diff", is_flag=True, help="Show what changes inside files."),
    click.option("-v", "--verbose", "verbosity", count=True, help="Every task; -vv results; up to -vvvv."),
    shape,
    click.option("--color/--no-color", "color", default=None, help="Default: colour on a terminal."),
)  # fmt: skip
