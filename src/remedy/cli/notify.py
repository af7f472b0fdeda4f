"""`remedy notify`: who is told of runs, and whether that works."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from remedy.cli import options
from remedy.errors import InputError, Position

_WHERE = Position("command line")
_NOT_TOLD = 4


@click.group()
def notify() -> None:
    """Tell people how runs end: by mail, or by the webhook of Feishu, Lark, Slack, DingTalk and many more.

    Who is told, and of what, stands in notifications.yml beside the playbooks; a schedule names them in `notify:`.
    An address is a URL of Apprise's, and a secret: vaulted, or taken from the environment or a file.

    \b
    ops:                                # notifications.yml
      url: mailto://mail.example.com?from=remedy@example.com&to=ops@example.com
      events: [failed, refused, unreachable, findings, changed, skipped]     (what is left out: ok; or: always)
    oncall:
      url_env: ONCALL_URL               # such as lark://TOKEN, feishu://TOKEN, slack://A/B/C, dingtalk://TOKEN
      events: [failed, unreachable]
    """


@notify.command("list")
@options.vault
def list_(**flags: Any) -> int:
    """List who may be told, and of what."""
    from remedy.cli.notifying import known_targets
    from remedy.project import Project

    known, _ = known_targets(Project.find(Path.cwd()), flags)
    if not known.names:
        click.echo("nobody yet: `remedy notify --help` shows how notifications.yml is written")
        return 0
    widest = max(map(len, known.names))
    code = 0
    for name in known.names:
        try:
            target = known.get(name, _WHERE)
        except InputError as error:
            click.echo(f"{name:{widest}}  cannot be told: {error.where}: {error.message}")
            code = InputError.exit_code
        else:
            scheme = target.url.partition("://")[0]
            click.echo(f"{name:{widest}}  {scheme:8}  {', '.join(sorted(target.kinds))}")
    return code


@notify.command()
@click.argument("names", nargs=-1, required=True)
@options.vault
def test(names: tuple[str, ...], **flags: Any) -> int:
    """Send a message to NAMES, whatever they want to know of; exit code 4 if one could not be told."""
    from remedy.notify import Message

    text = "If you can read this, remedy can tell you how its runs end."
    message = Message(title="remedy: a test", text=text, kinds=frozenset({"ok"}), level="info")
    return _send(message, names, flags)


@notify.command()
@click.argument("run")
@click.argument("names", nargs=-1, required=True)
@options.vault
def send(run: str, names: tuple[str, ...], **flags: Any) -> int:
    """Tell NAMES of a RUN that is over: its id or the start of it; exit code 4 if one could not be told."""
    from remedy.cli.past import run_as_document
    from remedy.journal import find_run, read_run
    from remedy.notify import of_run
    from remedy.project import Project

    record = read_run(find_run(Project.find(Path.cwd()).state, run).folder)
    return _send(of_run(run_as_document(record)), names, flags)


def _send(message: Any, names: Sequence[str], flags: dict[str, Any]) -> int:
    from remedy.cli.notifying import known_targets
    from remedy.cli.telling import tell
    from remedy.notify import send
    from remedy.project import Project

    project = Project.find(Path.cwd())
    known, secrets = known_targets(project, flags)
    wanted = [known.get(name, _WHERE) for name in dict.fromkeys(names)]
    trouble: list[str] = []
    if send(message, wanted, trouble.append, mask=secrets.mask, anyway=True):
        hint = "  the address, the network and the service's answer above are what to look at"
        return tell("\n".join([*trouble, hint]), _NOT_TOLD)
    click.echo(f"told {', '.join(each.name for each in wanted)}")
    return 0
