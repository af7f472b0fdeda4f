"""`remedy lab`: disposable hosts to try things on."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import click

from remedy.errors import InputError, nearest
from remedy.lab import Lab
from remedy.lab.inventory import in_inventory, remove_inventory, write_inventory
from remedy.lab.spec import HostSpec, default_file, read_specs
from remedy.lab.status import HostStatus, status
from remedy.project import Project


def _say(text: str) -> None:
    click.echo(text, err=True)


def _lab() -> Lab:
    return Lab(say=_say)


def _root() -> Path:
    return Project.find(Path.cwd()).root


def _inventory() -> Path:
    return _root() / "inventory" / "lab.yml"


@click.group()
def lab() -> None:
    """Disposable hosts on this machine, to break and heal.

    Each is a booted Debian with a network, an sshd, services and disks of its own. Needs Linux and root.

    \b
    Start:     remedy lab up
    Look:      remedy lab status
    Log in:    remedy lab ssh app1
    Clean:     remedy lab reset app1
    End:       remedy lab down              (or one host: remedy lab down app1)

    The hosts stand in lab.yml: the project's, if it has one, else remedy's own. Accounts on every host: admin
    (sudo without a password), operator (sudo with a password), plain (no sudo), app, and hung, whose login
    never answers.
    """


@lab.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--file", "-f", type=click.Path(path_type=Path), help="Take the hosts from this lab.yml.")
@click.option(
    "--with-passwords", is_flag=True, help="Write operator's password for become into the inventory."
)
def up(names: tuple[str, ...], file: Path | None, with_passwords: bool) -> None:
    """Start the hosts, or only those named, and write inventory/lab.yml.

    The inventory holds the hosts that this project's lab.yml declares, and no other project's.
    The first time builds the root trees, a minute or so; later starts take a second or two. A host that
    runs as declared is left as it is; one whose declaration changed is made anew.
    """
    started = time.monotonic()
    specs = read_specs(file or _file())
    hosts = _lab().up(_choose(specs, names))
    # The lab is the machine's: what others have started in it is no target for this project's drills.
    own = {spec.name for spec in specs} | in_inventory(_inventory())
    others = write_inventory(_lab(), _inventory(), with_passwords, own)
    for host in hosts:
        click.echo(f"{host.name}\t{host.address}\t{host.spec.role}")
    _say(f"{len(hosts)} up in {time.monotonic() - started:.1f} s; inventory: {_inventory()}")
    if others:
        _say(f"not in it, for no lab.yml of this project declares them: {', '.join(others)}")


@lab.command("status")
def show() -> None:
    """Show the hosts: state, address, how full the disks are."""
    rows = [_row(one) for one in status(_lab())]
    if not rows:
        _say("no hosts; start them: remedy lab up")
        return
    head = ("HOST", "STATE", "ADDRESS", "ROLE", "DISKS", "UP")
    if not sys.stdout.isatty():
        for row in (head, *rows):
            click.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*head, box=None, header_style="bold")
    for cells in rows:
        table.add_row(*cells)
    Console().print(table)


@lab.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--user", "-u", default="admin", show_default=True, help="Log in as this account.")
@click.argument("name")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def ssh(user: str, name: str, command: tuple[str, ...]) -> None:
    """Log in to a host with OpenSSH, or run a command there.

    Example: remedy lab ssh app1 df -h /var/log
    """
    argv = _lab().ssh(name, *command, user=user)
    os.execvp(argv[0], argv)


@lab.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
def reset(names: tuple[str, ...]) -> None:
    """Make hosts clean again: all of them, or those named.

    Everything that happened to a host is thrown away. Its address and its keys stay.
    """
    started = time.monotonic()
    _lab().reset(*names)
    _say(f"clean again after {time.monotonic() - started:.1f} s")


@lab.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--purge", is_flag=True, help="Also remove the root trees, packages and keys kept for the next start."
)
def down(names: tuple[str, ...], purge: bool) -> None:
    """End the hosts, or only those named.

    They leave inventory/lab.yml, too. Without a NAME nothing stays behind: no process, mount, link or disk, also
    after an `up` that was killed.
    """
    gone = _lab()
    if names:
        if purge:
            raise InputError("--purge is for the whole lab", hint="write `remedy lab down --purge`, without names")
        gone.remove(*names)
        click.echo(f"ended: {', '.join(names)}")
    if names and gone.hosts():
        own = in_inventory(_inventory()).difference(names)
        if own:
            write_inventory(gone, _inventory(), only=own)
        else:
            remove_inventory(_inventory())
        return
    gone.down()
    remove_inventory(_inventory())
    if purge:
        shutil.rmtree(gone.root / "layers", ignore_errors=True)
        shutil.rmtree(gone.folder, ignore_errors=True)


def _file() -> Path:
    own = _root() / "lab.yml"
    return own if own.exists() else default_file()


def _choose(specs: tuple[HostSpec, ...], names: tuple[str, ...]) -> list[HostSpec]:
    known = {spec.name: spec for spec in specs}
    for name in names:
        if name not in known:
            raise InputError(f"lab.yml declares no host {name!r}", hint=nearest(name, known))
    return [known[name] for name in names] or list(specs)


def _row(one: HostStatus) -> tuple[str, ...]:
    host = one.host
    disks = ", ".join(f"{disk.mount} {disk.used}% of {disk.size >> 20}M" for disk in one.disks) or "-"
    minutes, seconds = divmod(int(one.seconds), 60)
    up = f"{minutes // 60}h{minutes % 60:02}m" if minutes >= 60 else f"{minutes}m{seconds:02}s"
    state = "running" if one.running else "stopped"
    return host.name, state, host.address, host.spec.role, disks, up if one.running else "-"
