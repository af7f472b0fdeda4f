"""From flags to a run: everything a run needs, put together once."""

from __future__ import annotations

import getpass
import resource
import secrets as random
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from msgspec import Struct

from remedy.cli.asking import ask_password, extra_vars, vault_passwords
from remedy.cli.measured import Measured
from remedy.cli.remembering import remember
from remedy.cli.telling import as_json, tell
from remedy.document import Map
from remedy.engine.approval import Approver
from remedy.engine.bus import Bus
from remedy.engine.connections import Connections
from remedy.engine.context import RunContext
from remedy.engine.options import Options
from remedy.engine.run import Run
from remedy.errors import InputError, Interrupted, Position, RemedyError
from remedy.events import Warned
from remedy.home import expanded
from remedy.inventory import Host, Inventory
from remedy.inventory import load as load_inventory
from remedy.journal import Journal, Journals, Loans
from remedy.playbook import Playbook
from remedy.project import Project
from remedy.secret import Secrets
from remedy.template import Layer, Templar, Vault
from remedy.transport import Target, TargetDefaults

_FILES = 1 << 16  # open files; programs that walk through all that they may have suffer from more


class Login(Struct, frozen=True, kw_only=True):
    """What the flags say of logging in, and of variables; no inventory is read."""

    secrets: Secrets
    vault: Vault | None
    defaults: TargetDefaults
    extra: Map

    @classmethod
    def of(cls, flags: Mapping[str, Any], project: Project) -> Login:
        """Read the flags, and ask for the passwords that they call for; raises InputError."""
        secrets = Secrets()
        passwords = vault_passwords(flags, project)
        vault = Vault(passwords, secrets) if passwords else None
        defaults = TargetDefaults(
            user=flags.get("user"),
            password=ask_password("SSH password") if flags.get("ask_pass") else None,
            private_key_file=flags.get("private_key"),
            timeout=flags.get("timeout"),
            connection=flags.get("connection") or "ssh",
            ssh_common_args=flags.get("ssh_common_args") or "",
            become=bool(flags.get("become")),
            become_user=flags.get("become_user"),
            become_method=flags.get("become_method"),
            become_password=ask_password("BECOME password") if flags.get("ask_become_pass") else None,
        )
        key = defaults.private_key_file
        if key and not expanded(key).is_file():
            raise InputError(f"no key file '{key}'", hint="--private-key expects the path of a private key")
        secrets.add([defaults.password, defaults.become_password])
        try:
            Target.from_variables("all", {}, defaults)
        except InputError as error:
            raise InputError(error.message, where=Position("command line"), hint=error.hint) from error
        extra = extra_vars(flags.get("extra_vars", ()), vault)
        return cls(secrets=secrets, vault=vault, defaults=defaults, extra=extra)


class Unattended(Struct, frozen=True, kw_only=True):
    """A run that nobody watches: whose, who answers for it, given the number of its hosts, and who is told its id.

    `vars` are extra variables that stand in a file. `complete`: a part of `limit` or `hosts` that names nobody is an
    error, not only a warning.
    """

    schedule: str
    approver: Callable[[int], Approver]
    began: Callable[[str], None]
    vars: Map
    complete: bool = False


class Session(Struct, frozen=True, kw_only=True):
    """What the flags say, read and checked; nothing has been contacted."""

    project: Project
    secrets: Secrets
    vault: Vault | None
    inventory: Inventory
    named: str
    sources: tuple[str, ...]
    options: Options
    extra: Map
    limit: str | None
    shape: str
    color: bool | None
    unattended: Unattended | None = None

    @classmethod
    def of(cls, mode: str, flags: Mapping[str, Any], unattended: Unattended | None = None) -> Session:
        """Read the flags; raises InputError."""
        project = Project.find(Path.cwd())
        login = Login.of(flags, project)
        vault = login.vault
        names = flags.get("inventories") or (None,)
        sources = [str(project.inventory(name)) for name in names]
        inventory = load_inventory(sources, root=Path.cwd(), vault=vault)
        options = Options(
            mode=mode,
            forks=flags.get("forks") or project.settings.forks or 50,
            diff=bool(flags.get("diff")),
            yes=bool(flags.get("yes")),
            unattended=unattended is not None,
            tags=_tags("--tags", flags.get("tags", ())),
            skip_tags=_tags("--skip-tags", flags.get("skip_tags", ())),
            verbosity=int(flags.get("verbosity") or 0),
            defaults=login.defaults,
            fail_on=flags.get("fail_on") or "P3",
            fail_on_change=bool(flags.get("fail_on_change")),
        )
        return cls(
            project=project,
            secrets=login.secrets,
            vault=vault,
            inventory=inventory,
            named=", ".join(name or source for name, source in zip(names, sources, strict=True)),
            sources=tuple(map(_absolute, sources)),
            options=options,
            extra=_joined(unattended.vars, login.extra) if unattended else login.extra,
            unattended=unattended,
            limit=flags.get("limit"),
            shape=flags.get("shape") or "console",
            color=flags.get("color"),
        )

    def hosts(self, patterns: Iterable[str]) -> list[Host]:
        """Return the hosts of all plays, in inventory order; a limit that leaves nobody is an InputError."""
        chosen: dict[str, Host] = {}
        patterns = list(patterns)
        for pattern in patterns:
            for host in self.inventory.select(pattern):
                chosen[host.name] = host
        limited = None if self.limit is None else {host.name for host in self.inventory.select("all", self.limit)}
        self._look_for_nobody(patterns)
        if limited is not None:
            chosen = {name: host for name, host in chosen.items() if name in limited}
            if not chosen:
                raise InputError(
                    f"--limit '{self.limit}' leaves no host of '{', '.join(patterns)}'",
                    hint=f"the inventory '{self.named}' has: {_some(self.inventory.hosts)}",
                )
        if not chosen:
            raise InputError(
                f"no host matches '{', '.join(patterns)}'",
                hint=f"the inventory '{self.named}' has: {_some(self.inventory.hosts) or 'no hosts'}",
            )
        return list(chosen.values())

    def _look_for_nobody(self, patterns: Iterable[str]) -> None:
        """Tell of each part of a pattern that names neither host nor group: what it was to choose is left out."""
        complete = self.unattended is not None and self.unattended.complete
        if self.limit is not None:
            for part, error in self.inventory.unmatched(self.limit, limit=True):
                if complete:
                    raise error
                click.echo(f"warning: --limit '{self.limit}': {_ignored(error, part)}", err=True)
        for pattern in dict.fromkeys(patterns):
            where = getattr(pattern, "position", None)
            for part, error in self.inventory.unmatched(pattern):
                # A playbook may leave out a group (all:!lab) that some inventories do not have.
                if complete and not part.startswith("!"):
                    error.where = where
                    raise error
                place = "" if where is None else f"{where}: "
                click.echo(f"warning: {place}'{pattern}': {_ignored(error, part)}", err=True)

    def run(self, playbook: Playbook, hosts: list[Host], *, answers: bool = False) -> int:
        """Run a playbook and report; return the exit code. `answers`: show what each task returned."""

        def work(run: Run) -> int:
            return run.play(playbook, self.named, me(), without_values(sys.argv[1:]))

        return self.execute(playbook.path.stem, hosts, work, answers=answers)

    def execute(self, name: str, hosts: list[Host], work: Any, *, answers: bool = False) -> int:
        """Give `work` a Run with journal and report around it; return its exit code."""
        from remedy.report import Console, JsonReport, Question

        id = f"{time.strftime('%Y%m%d-%H%M%S')}-{name}-{random.token_hex(3)}"
        journal = Journal(self.project.state / "runs" / id)
        report: Any = (
            JsonReport()
            if self.shape == "json"
            else Console(
                sys.stdout,
                color=self.color,
                verbosity=self.options.verbosity,
                diff=self.options.diff,
                answers=answers,
            )
        )
        page = report if self.shape != "json" else None
        stop = threading.Event()
        bus = Bus([journal, report], self.secrets)
        connections = Connections(stop, lambda host, text: bus.emit(Warned(message=text, host=host)))
        context = RunContext(
            id=id,
            label=f"remedy {id}, {me()}, since {time.strftime('%Y-%m-%d %H:%M:%S %z')}",
            options=self.options,
            project=self.project,
            inventory=self.inventory,
            templar=Templar(self.secrets, self.vault),
            secrets=self.secrets,
            bus=bus,
            recorder=journal,
            connector=connections,
            loans=Loans(self.project.state),
            journals=Journals(self.project.state),
            growing=Measured(self.project.state, self.project.history),
            approver=(
                self.unattended.approver(len(hosts))
                if self.unattended
                else Question(page if somebody_is_there() else None, stop, self.secrets.mask, by=me())
            ),
            schedule=self.unattended.schedule if self.unattended else "",
            stop=stop,
            decrypt=self.vault.open if self.vault else None,
            sources=self.sources,
            extra_vars=Layer("extra vars", self.extra),
        )
        if self.unattended:
            self.unattended.began(id)
        _raise_limit()
        # A run that is told to end ends like one that is interrupted: what must not be cut off finishes.
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler)
        trouble: RemedyError | None = None
        try:
            code: int = work(Run(context, hosts))
        except RemedyError as error:
            trouble = error
        except KeyboardInterrupt:
            trouble = Interrupted("interrupted")
        finally:
            late = _close(report, connections, journal)
            if bus.begun:
                remember(self.project)
        trouble = trouble or late
        if trouble is None:
            if self.shape == "json":
                click.echo(as_json(report.document()))
            return code
        trouble.message, trouble.hint = self.secrets.mask(trouble.message), self.secrets.mask(trouble.hint)
        if self.shape != "json" or not bus.begun:
            raise trouble
        click.echo(as_json(report.document(), str(trouble), trouble.exit_code))
        return tell(str(trouble), trouble.exit_code, color=self.color)


def _joined(first: Map, then: Map) -> Map:
    """Return two mappings as one, with the places of all keys; the later one wins."""
    joined = Map(first.position)
    for each in (first, then):
        joined.update(each)
        joined.keys_at.update(each.keys_at)
        joined.values_at.update(each.values_at)
    return joined


def _absolute(source: str) -> str:
    """Return an inventory so that it can be found from any folder; a list of hosts stays one."""
    path = Path(source)
    return source if "," in source and not path.exists() else str(path.absolute())


def _raise_limit() -> None:
    """Ask for as many open files as may be had: each host takes a few, and 1024 are soon gone."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if most == resource.RLIM_INFINITY else min(most, _FILES)
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _close(report: Any, connections: Connections, journal: Journal) -> RemedyError | None:
    """Close all three, whatever happens to one of them; return what kept the journal from its end."""
    try:
        report.close()
    finally:
        try:
            connections.shut()
        finally:
            try:
                journal.close()
            except RemedyError as error:
                return error
    return None


def somebody_is_there() -> bool:
    """Say whether there is a terminal to ask on; a program started without standard streams has none."""
    return sys.stdin is not None and sys.stderr is not None and sys.stdin.isatty() and sys.stderr.isatty()


def _tags(flag: str, given: Sequence[str]) -> tuple[str, ...]:
    words = tuple(word.strip() for text in given for word in text.split(",") if word.strip())
    if given and not words:
        # An empty variable of a shell script must not turn "some tasks" into "all tasks".
        raise InputError(
            f"{flag} '{','.join(given)}' names no tag", hint=f"expected names such as {flag} logs,users"
        )
    return words


def _ignored(error: InputError, part: str) -> str:
    return f"{error.message}; {'nobody is left out for it' if part.startswith('!') else 'that part is ignored'}"


def _some(hosts: Iterable[Host]) -> str:
    names = [host.name for host in hosts]
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def without_values(arguments: Sequence[str]) -> list[str]:
    """Return a command line without the values of its extra variables: the journal must not hold them."""
    shown: list[str] = []
    for word in arguments:
        flag, equals, _ = word.partition("=")
        if shown and shown[-1] in ("-e", "--extra-vars") and not word.startswith("@"):
            shown.append("...")
        elif flag == "--extra-vars" and equals:
            shown.append("--extra-vars=...")
        else:
            shown.append(word)
    return shown


def me() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "unknown"
    return f"{name}@{socket.gethostname()}"
