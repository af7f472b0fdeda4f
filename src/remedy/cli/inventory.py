"""`remedy inventory`: hosts, groups, variables, and who set them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from remedy.cli import options

if TYPE_CHECKING:
    from remedy.template import Scope


@click.command()
@options.connection
@options.variables
@click.option("--host", metavar="NAME", help="Show the variables of this host.")
@click.option("--why", metavar="VARIABLE", help="With --host: who set this variable, and where.")
def inventory(host: str | None, why: str | None, **flags: Any) -> int:
    """Show the hosts and groups of an inventory, or the variables of one host.

    \b
    remedy inventory -i prod
    remedy inventory -i prod --host db1 --why max_connections
    """
    from remedy.cli.session import Session
    from remedy.errors import InputError
    from remedy.template import Layer, Templar

    if why and not host:
        raise InputError(
            "--why needs --host", hint="remedy inventory -i prod --host db1 --why max_connections"
        )
    session = Session.of("check", flags)
    found = session.inventory
    if host is None:
        chosen = {each.name for each in session.hosts(["all"])}
        for name, group in found.groups.items():
            shown = [member for member in group.hosts if member in chosen]
            click.echo(f"{name}: {', '.join(shown) or '-'}")
        return 0
    one = found.host(host)
    templar = Templar(session.secrets, session.vault)
    magic = Layer("magic", found.magic(one), data=True)
    scope = templar.scope([*found.layers(one, None), Layer("extra vars", session.extra), magic])
    if why is None:
        for name in sorted(scope.names()):
            if name not in ("groups", "hostvars"):
                click.echo(f"{name}: {_shown(scope, name)}")
        return 0
    origin = scope.why(why)
    if origin is None:
        from remedy.errors import nearest

        raise InputError(f"'{host}' has no variable '{why}'", hint=nearest(why, scope.names()))
    click.echo(f"{why} = {_shown(scope, why)}\n  from {origin.layer}, {origin.position or 'no file'}")
    return 0


def _shown(scope: Scope, name: str) -> str:
    """Return a variable's value; of one that needs facts, or a password, what stands there and why it is no value."""
    from remedy.errors import InputError, VaultError

    secrets = scope.templar.secrets
    try:
        return repr(secrets.mask(scope.get(name)))
    except VaultError as error:
        return f"(encrypted: {error.message})"
    except InputError as error:
        return f"{secrets.mask(str(scope.raw(name)))!r}  ({secrets.mask(error.message)})"
