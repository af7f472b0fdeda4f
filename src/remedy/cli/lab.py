"""`remedy lab`: disposable hosts to try things on."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import click

from remedy.errors import InputError, nearest
from remedy.lab import Lab
from remedy.lab.inventory import in_inventory, remove_inventory, write_inventory
from remedy.lab.qemu import Guests
from remedy.lab.qemu.spec import read_guests
from remedy.lab.qemu.status import GuestStatus, guest_status
from remedy.lab.spec import default_file, read_specs
from remedy.lab.status import HostStatus, status
from remedy.project import Project

_Spec = TypeVar("_Spec", bound="_Named")


class _Named(Protocol):
    @property
    def name(self) -> str: ...


def _say(text: str) -> None:
    click.echo(text, err=True)


def _lab() -> Lab:
    return Lab(say=_say)


def _guests() -> Guests:
    return Guests(_lab(), _say)


def _root() -> Path:
    return Project.find(Path.cwd()).root


def _inventory() -> Path:
    return _root() / "inventory" / "lab.yml"


@click.group()
def lab() -> None:
    """Disposable hosts on this machine, to break and heal.

    Each is a booted Debian with a network, an sshd, services and disks of its own. Needs Linux and root.
    Guests are whole machines emulated by QEMU, slower, with a kernel, LVM and a clock of their own, too.

    \b
    Start:     remedy lab up                (guests: remedy lab up --provider qemu)
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
@click.option(
    "--provider",
    type=click.Choice(["nspawn", "qemu"]),
    default="nspawn",
    show_default=True,
    help="nspawn: booted hosts on this machine's kernel; qemu: guests, whole emulated machines.",
)
def up(names: tuple[str, ...], file: Path | None, with_passwords: bool, provider: str) -> None:
    """Start the hosts, or only those named, and write inventory/lab.yml.

    The inventory holds the hosts that this project's lab.yml declares, and no other project's.
    The first time builds the root trees, a minute or so; later starts take a second or two, those of guests
    half a minute. A host that runs as declared is left as it is; one whose declaration changed is made anew.
    """
    started = time.monotonic()
    declared = file or _file()
    # The lab is the machine's: what others have started in it is no target for this project's drills.
    own = in_inventory(_inventory())
    if provider == "qemu":
        machines = read_guests(declared)
        guests = _guests().up(_choose(machines, names))
        lines = [f"{guest.name}\t{guest.address}:{guest.port}\t{guest.spec.role}" for guest in guests]
        own |= {machine.name for machine in machines}
    else:
        specs = read_specs(declared)
        hosts = _lab().up(_choose(specs, names))
        lines = [f"{host.name}\t{host.address}\t{host.spec.role}" for host in hosts]
        own |= {spec.name for spec in specs}
    others = write_inventory(_lab(), _inventory(), with_passwords, own)
    for line in lines:
        click.echo(line)
    _say(f"{len(lines)} up in {time.monotonic() - started:.1f} s; inventory: {_inventory()}")
    if others:
        _say(f"not in it, for no lab.yml of this project declares them: {', '.join(others)}")


@lab.command("status")
def show() -> None:
    """Show the hosts: state, address, how full the disks are."""
    rows = [_row(one) for one in status(_lab())] + [_guest_row(one) for one in guest_status(_guests())]
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
    guests, hosts = _split((name,))
    argv = (_guests() if guests else _lab()).ssh(*(guests or hosts), *command, user=user)
    os.execvp(argv[0], argv)


@lab.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
def reset(names: tuple[str, ...]) -> None:
    """Make hosts clean again: all of them, or those named.

    Everything that happened to a host is thrown away. Its address and its keys stay.
    """
    started = time.monotonic()
    guests, hosts = _split(names or tuple(_names()))
    if hosts:
        _lab().reset(*hosts)
    if guests:
        _guests().reset(*guests)
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
        guests, hosts = _split(names)
        if hosts:
            gone.remove(*hosts)
        if guests:
            _guests().remove(*guests)
        click.echo(f"ended: {', '.join(names)}")
    if names and _names():
        own = in_inventory(_inventory()).difference(names)
        if own:
            write_inventory(gone, _inventory(), only=own)
        else:
            remove_inventory(_inventory())
        return
    _guests().down()
    remove_inventory(_inventory())
    if purge:
        for kept in ("layers", "images"):
            shutil.rmtree(gone.root / kept, ignore_errors=True)
        shutil.rmtree(gone.folder, ignore_errors=True)


def _file() -> Path:
    own = _root() / "lab.yml"
    return own if own.exists() else default_file()


def _names() -> list[str]:
    return [*_lab().names(), *_guests().names()]


def _split(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return which of these are guests, and the rest: hosts, or names that the lab will refuse."""
    known = _guests().names()
    return [name for name in names if name in known], [name for name in names if name not in known]


def _choose(specs: tuple[_Spec, ...], names: tuple[str, ...]) -> list[_Spec]:
    known = {spec.name: spec for spec in specs}
    for name in names:
        if name not in known:
            raise InputError(f"lab.yml declares no host {name!r}", hint=nearest(name, known))
    return [known[name] for name in names] or list(specs)


def _row(one: HostStatus) -> tuple[str, ...]:
    host = one.host
    disks = ", ".join(f"{disk.mount} {disk.used}% of {disk.size >> 20}M" for disk in one.disks) or "-"
    state = "running" if one.running else "stopped"
    return host.name, state, host.address, host.spec.role, disks, _up(one.seconds) if one.running else "-"


def _guest_row(one: GuestStatus) -> tuple[str, ...]:
    guest = one.guest
    disks = ", ".join(f"{serial} {size >> 20}M" for serial, size in one.disks.items())
    state = "running" if one.running else "stopped"
    address = f"{guest.address}:{guest.port}"
    return guest.name, state, address, guest.spec.role, disks, _up(one.seconds) if one.running else "-"


def _up(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}h{minutes % 60:02}m" if minutes >= 60 else f"{minutes}m{rest:02}s"
