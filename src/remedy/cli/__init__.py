"""The command line: one file a command, each imported when it is called."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import click

from remedy.cli.telling import never_begun, tell, wants_color, wants_json
from remedy.errors import InputError, RemedyError, nearest

_COMMANDS = {
    "play": "Heal: diagnose the hosts, fix what was found, prove it.",
    "diagnose": "Look only: what is wrong on which host, with evidence.",
    "run": "Run one module on hosts.",
    "rollback": "Take back what a run changed.",
    "schedule": "Playbooks that run by themselves, and by whose leave.",
    "scheduler": "The daemon that starts what is due, for containers.",
    "notify": "Who is told how runs end, and whether that works.",
    "history": "The runs of this machine, and what they changed.",
    "capacity": "What grows, and in how many days it is full.",
    "inventory": "Show hosts and groups, and who set a variable.",
    "doc": "Describe a module or a runbook.",
    "drill": "Break a real host, heal it, prove it.",
    "lab": "Disposable hosts on this machine, to break and heal.",
}


class _Lazy(click.Group):
    """Knows its commands by name and first line; a command's imports are paid by whoever calls it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command = getattr(import_module(f"remedy.cli.{name}"), name)
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in _COMMANDS:
            raise click.UsageError(f"no command '{args[0]}'; {nearest(args[0], _COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(
    cls=_Lazy,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Each command has a --help of its own. Exit codes: 0 done, 2 a host failed, 3 refused, 4 a host could "
    "not be worked on, 5 bad input, 10 findings, 11 changes pending, 99 interrupted.",
)
@click.version_option(None, "--version", package_name="remedy", message="remedy %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Diagnose sick servers over SSH, heal them, prove it, and roll it back.

    \b
    Look:      remedy diagnose disk-full -i prod
    Heal:      remedy play disk-full -i prod --check      (what would be done)
               remedy play disk-full -i prod
    Take back: remedy rollback
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(InputError.exit_code)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit; whatever goes wrong is one text, never a traceback."""
    _open_streams()
    sys.exit(_run(arguments))


def _open_streams() -> None:
    """Give a program that was started without standard streams some: else the journal would become one of them."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115  (lives as long as the program)


def _run(arguments: list[str] | None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        code = cli.main(arguments, prog_name="remedy", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.Abort:
        return _fail("interrupted", 99, arguments)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f"\n  try '{context.command_path} --help'" if context else ""
        return _fail(error.format_message() + hint, InputError.exit_code, arguments)
    except RemedyError as error:
        return _fail(str(error), error.exit_code, arguments)
    except KeyboardInterrupt:
        return _fail("interrupted", 99, arguments)
    except BrokenPipeError:
        # Whoever read our output has gone; nobody is left to be told.
        sys.stderr.close()
        return 0
    except OSError as error:
        if _lost():
            return _fail("the folder you are in is gone\n  cd to one that is there", 5, arguments)
        return _fail(f"{error.filename or 'the output'}: {error.strerror or error}", 1, arguments)
    except Exception as error:
        if os.environ.get("REMEDY_TRACEBACK"):
            raise
        hint = "this is a fault of remedy's; with REMEDY_TRACEBACK=1 in the environment it shows where"
        return _fail(f"internal error: {type(error).__name__}: {error}\n  {hint}", 1, arguments)
    return code if isinstance(code, int) else 0


def _lost() -> bool:
    """Say whether the folder we are in was deleted."""
    try:
        Path.cwd()
    except OSError:
        return True
    return False


def _fail(text: str, code: int, arguments: list[str]) -> int:
    if wants_json(arguments):
        with suppress(OSError):  # standard error still hears of it
            click.echo(never_begun(text, code))
    return tell(text, code, color=wants_color(arguments))
