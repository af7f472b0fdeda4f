"""`remedy schedule`: playbooks that run by themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from remedy.cli import options

_login = options.stack(
    options.user,
    options.private_key,
    options.vault_password_file,
    click.option("--vault-id", "vault_ids", multiple=True, metavar="LABEL@SOURCE",
                 help="A labelled vault password: a file."),
    options.forks,
)  # fmt: skip


@click.group()
def schedule() -> None:
    """Run playbooks by themselves: when, on which hosts, and by whose permission.

    A schedule is a file of the project, schedules/NAME.yml. It looks only (diagnose) unless it says `mode: play`, and
    then it does only what its permission covers: which kinds of step may run with nobody to ask, on which share of
    the hosts, until which date, granted by whom. All else ends with exit 3, before the first write.

    \b
    Begin:  remedy schedule add disk-nightly --playbook disk-full -i prod --when 'daily at 03:10' --zone Europe/Berlin
    Look:   remedy schedule show disk-nightly            (the next ten times, with the clock changes)
    Try:    remedy schedule run disk-nightly             (now, as the night would do it)
    Start:  remedy schedule export disk-nightly --systemd --install
            or --cron, or the daemon: remedy scheduler

    Whoever starts it, a due time runs once. One that does not run is recorded with the reason: outside its windows, a
    blackout, the machine was off, the run before was still at work, paused, the clock was set.
    """


@schedule.command(short_help="Write one, or check the one that is there.")
@click.argument("name")
@click.option(
    "--from", "source", type=click.Path(path_type=Path), metavar="FILE", help="Take this file as it is."
)
@click.option("--playbook", metavar="NAME", help="What runs.")
@click.option("-i", "--inventory", "inventories", multiple=True, metavar="NAME", help="On which hosts.")
@click.option("-l", "--limit", metavar="PATTERN", help="Only these of the hosts.")
@click.option(
    "--mode", type=click.Choice(["diagnose", "play"]), help="diagnose looks only (default); play heals."
)
@click.option(
    "--when", multiple=True, metavar="TIME", help="Cron ('10 3 * * *') or words ('sundays at 02:00')."
)
@click.option("--zone", metavar="ZONE", help="Such as Europe/Berlin (default: this machine's).")
@click.option(
    "--jitter", metavar="DURATION", help="Start up to this much later, each due time by its own amount."
)
@click.option(
    "--window", "windows", multiple=True, metavar="TIMES", help="Only then: 'sat, sun 01:00 to 05:00'."
)
@click.option(
    "--missed", type=click.Choice(["skip", "once"]), help="A missed time: skipped, or once in the window."
)
@click.option(
    "--overlap", type=click.Choice(["refuse", "wait"]), help="While the run before is still at work."
)
@click.option("--permit", metavar="KINDS", help="May run unattended: D (destroys), R (interrupts) or D,R.")
@click.option("--at-most", metavar="SHARE", help="On at most so many hosts: 25% or 2.")
@click.option("--until", metavar="DATE", help="The permission's last day.")
@click.option("--by", metavar="WHO", help="Who grants the permission.")
@click.option("--replace", is_flag=True, help="Also where there is one of this name.")
@_login
def add(name: str, source: Path | None, replace: bool, **flags: Any) -> int:
    """Write schedules/NAME.yml, or check the one that is there; what cannot work is refused.

    \b
    remedy schedule add disk-look --playbook disk-full -i prod --when 'hourly at :20'
    remedy schedule add logs-weekly --playbook logs-rotate -i prod --mode play --when 'sundays at 02:00' \\
        --window 'sundays 02:00 to 05:00' --permit R --at-most 25% --until 2027-06-30 --by anna@example.com
    remedy schedule add logs-weekly                      (check a file that you wrote)
    """
    from remedy.cli import schedule_edit as edit
    from remedy.cli import schedule_pages as pages
    from remedy.cli import scheduling
    from remedy.cli.schedule_install import installed
    from remedy.report.text import count
    from remedy.schedule.book import Book
    from remedy.schedule.file import project_key
    from remedy.schedule.jobs import served

    project = scheduling.project_here()
    new, path = edit.drafted(project, name, source, flags, replace=replace)
    hosts = scheduling.check(new, edit.login_of(flags)).hosts
    edit.written(path, new)
    now = datetime.now(UTC)
    # Before the history is asked: where that cannot be used the file is there all the same.
    scheduling.say(f"{path}: {count(hosts, 'host')}, {pages.next_text(pages.next_run(new, now))}")
    with scheduling.history(project) as database:
        Book(database, new, scheduling.holder()).begin(now)
        by = served(database, project_key(project), name)
    if lost := pages.lost_to_jitter(new, now):
        scheduling.say(f"warning: {lost}")
    if new.paused is not None:
        scheduling.say(f"warning: until `remedy schedule resume {name}` nothing runs, it is {pages.state(new, now)}")
    if new.permission is not None and not new.permission.hosts(hosts):
        scheduling.say(
            f"warning: at most {new.permission.at_most} of {count(hosts, 'host')} is none: on none may it destroy or "
            "interrupt"
        )
    timers = installed(project, new)
    for timer in timers:
        scheduling.say(pages.timer_text(timer, name))
    if by is not None:
        scheduling.say(f"the daemon at work starts it: {by.holder}")
    elif not timers:
        scheduling.say(
            f"nothing starts it yet: remedy schedule export {name} --systemd --install, or remedy scheduler"
        )
    return 0


@schedule.command("list", short_help="All, with the next and the last time of each.")
@options.shape
def list_(shape: str) -> int:
    """List the project's schedules: the next time, how the last one ended, whether it will run.

    A timer that was exported before the plan was changed is named so, and so is a schedule that neither a daemon nor a
    timer of this machine starts (a crontab may, or another machine).

    Where the history cannot be read, LAST is ? (in JSON `last` is null), and a warning says why.
    """
    from remedy.cli import schedule_pages as pages
    from remedy.cli import scheduling
    from remedy.cli.schedule_install import installed
    from remedy.errors import InputError, RemedyError
    from remedy.schedule import load_schedule, schedule_files
    from remedy.schedule.file import misnamed, misnamed_files

    project = scheduling.project_here()
    now = datetime.now(UTC)
    rows: list[tuple[str, ...]] = []
    documents: list[dict[str, Any]] = []
    broken = 0
    with scheduling.pasts(project) as past_of:
        for path in schedule_files(project):
            try:
                one = load_schedule(path, project=project)
            except RemedyError as error:
                broken = error.exit_code
                rows.append(
                    (path.stem, "-", "-", "-", "-", f"cannot be used: {error.where}: {error.message}")
                )
                documents.append({"name": path.stem, "file": str(path), "state": f"cannot be used: {error}"})
                continue
            past, timers = past_of(one, 1), installed(project, one)
            rows.append(pages.list_row(one, past, now, timers))
            documents.append(pages.as_json(one, past, now, 1, "", timers))
    for path in misnamed_files(project):
        broken = InputError.exit_code
        rows.append((path.stem, "-", "-", "-", "-", misnamed(path)))
        documents.append({"name": path.stem, "file": str(path), "state": misnamed(path)})
    if shape == "json":
        click.echo(pages.dumped(documents))
    elif rows:
        click.echo(pages.list_text(rows), nl=False)
    else:
        scheduling.say("no schedules; write the first: remedy schedule add --help")
    return broken


@schedule.command(short_help="Its next times, with clock changes, and the last ones.")
@click.argument("name")
@click.option(
    "-n", "--next", "number", type=click.IntRange(1, 1000), default=10, show_default=True, help="How many."
)
@options.shape
@_login
def show(name: str, number: int, shape: str, **flags: Any) -> int:
    """Show a schedule: its next times with the clock changes, its permission, the daemon that serves it if one is at
    work, what became of the last times.

    Exits with 5 where it cannot run as it stands (an unknown playbook or host, a permission that has ended). Where the
    history cannot be read it tells all but the last times, and a warning says why.
    """
    from remedy.cli import schedule_pages as pages
    from remedy.cli import scheduling
    from remedy.cli.schedule_install import installed
    from remedy.errors import RemedyError

    project = scheduling.project_here()
    one = scheduling.named(project, name)
    now, timers = datetime.now(UTC), installed(project, one)
    hosts, trouble, code = None, "", 0
    try:
        hosts = scheduling.check(one, flags, now, complete=False).hosts
    except RemedyError as error:
        trouble, code = "; ".join(map(str.strip, str(error).splitlines())), error.exit_code
    with scheduling.pasts(project) as past_of:
        past = past_of(one, number)
    if shape == "json":
        click.echo(pages.dumped(pages.as_json(one, past, now, number, trouble, timers)))
    else:
        click.echo(pages.show_text(one, past, now, number, hosts, trouble, timers), nl=False)
    return code


@schedule.command(short_help="Now by hand, or as a timer does.")
@click.argument("name")
@click.option(
    "--due", metavar="TIME", help="For a due time ('now': what is due); as timers and the daemon call it."
)
@click.option("--anyway", is_flag=True, help="By hand: also outside its windows, in a blackout, or paused.")
@click.option("--prefix", is_flag=True, help="Each line begins with its name: for a log that many runs share.")
@_login
@options.output
def run(name: str, due: str | None, anyway: bool, prefix: bool, **flags: Any) -> int:
    """Run a schedule: by hand now, or (--due) as a timer does.

    Nobody is asked: what the permission does not cover ends with exit 3, also by hand. So what you try is what the
    night will do. With --due a time that somebody else has started already is left alone, one that is outside its
    windows is recorded and skipped, and both exit with 0; the other exit codes are those of `remedy play` and
    `remedy diagnose`, and 3 while the run before is still at work (overlap: refuse).

    \b
    remedy schedule run disk-nightly
    remedy schedule run disk-nightly --due now
    remedy schedule run disk-nightly --due 2026-12-01T02:10:00Z
    """
    from remedy.cli import scheduling
    from remedy.cli.prefixed import prefix_output
    from remedy.cli.schedule_edit import read_due
    from remedy.errors import InputError
    from remedy.schedule.broken import note
    from remedy.schedule.file import NAME, path_of
    from remedy.schedule.turn import Turn

    if prefix:
        prefix_output(name)
    project = scheduling.project_here()
    try:
        one = scheduling.named(project, name)
    except InputError as error:
        # Where it has a place its file is there, or perhaps is; whom it tells is not known either.
        if due is not None and error.where is not None and NAME.fullmatch(name):
            scheduling.say(f"{name}: what is due does not run: its file cannot be used")
            note(project.state, path_of(project, name), f"{error.where}: {error.message}")
        raise
    at = read_due(due, one)
    with scheduling.history_of_a_run(project, one, flags, at=at, by_hand=due is None) as database:
        turn = Turn(one, scheduling.world(project, database, one, flags, by_hand=due is None))
        return turn.by_hand(anyway=anyway) if due is None else turn.due(at)


@schedule.command(short_help="Let its times pass, recorded as paused.")
@click.argument("name")
@click.option("--why", metavar="TEXT", default="", help="Said wherever a time is skipped for it.")
def pause(name: str, why: str) -> int:
    """Let a schedule's times pass, each recorded as paused, until `resume`.

    It is written into the schedule's file: whoever starts it, everywhere, sees it with the next version.
    """
    from remedy.cli import schedule_edit as edit
    from remedy.cli import scheduling

    project = scheduling.project_here()
    one = scheduling.named(project, name)
    text = edit.pause(one, why)
    scheduling.say(f"{name} is paused: {text}")
    return 0


@schedule.command(short_help="Go on after a pause.")
@click.argument("name")
def resume(name: str) -> int:
    """Let a paused schedule run again; what passed meanwhile does not."""
    from remedy.cli import schedule_edit as edit
    from remedy.cli import schedule_pages as pages
    from remedy.cli import scheduling
    from remedy.schedule.turn import Turn

    project = scheduling.project_here()
    one = scheduling.named(project, name)
    if one.paused is None:
        scheduling.say(f"{name} is not paused")
        return 0
    with scheduling.history(project) as database:
        # What passed while it was paused is recorded so, and cannot be taken for missed later.
        Turn(one, scheduling.world(project, database, one, {}, by_hand=False)).due()
    edit.resume(one)
    scheduling.say(f"{name} runs again, {pages.next_text(pages.next_run(one, datetime.now(UTC)))}")
    return 0


@schedule.command(short_help="Delete its file and its timer.")
@click.argument("name")
def remove(name: str) -> int:
    """Delete a schedule's file, and the timer that `export --install` made of it; its past stays in the history."""
    from remedy.cli import schedule_edit as edit
    from remedy.cli import schedule_install as install
    from remedy.cli import scheduling
    from remedy.schedule.file import schedule_file

    project = scheduling.project_here()
    path = schedule_file(project, name)
    edit.check_folder(path)  # first: a schedule whose timer is gone, and whose file is not, would stand still
    for unit in install.removed(project, name):
        scheduling.say(f"removed {unit}")
    path.unlink()
    scheduling.say(f"removed {path}; a line in a crontab is yours to take out")
    return 0


@schedule.command(short_help="Units for systemd, or lines for cron.")
@click.argument("name")
@click.option("--systemd", is_flag=True, help="A timer and a service unit.")
@click.option("--cron", is_flag=True, help="Lines for a crontab.")
@click.option("--install", is_flag=True, help="Units: write them, and start the timer.")
@click.option(
    "--system/--user", "system", default=None, help="Whose manager (default: the system's for root)."
)
@click.option("--run-as", metavar="USER", help="System units: as whom the service runs (default: you).")
@click.option(
    "--vault-password-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Given to the service by LoadCredential=; named in the lines of a crontab.",
)
@click.option(
    "--private-key", type=click.Path(path_type=Path), metavar="FILE", help="The same for an SSH key."
)
@click.option(
    "--credential",
    "credentials",
    multiple=True,
    metavar="NAME=FILE",
    help="Units: a file for the service, at $CREDENTIALS_DIRECTORY/NAME; may be given again.",
)
@click.option("--unhardened", is_flag=True, help="Units: without the sandbox, for work on this very machine.")
def export(
    name: str, systemd: bool, cron: bool, install: bool, credentials: tuple[str, ...], **flags: Any
) -> int:
    """Hand a schedule to what the machine already has: systemd, or cron.

    \b
    remedy schedule export disk-nightly --systemd             (print the units)
    remedy schedule export disk-nightly --systemd --install   (write them, start the timer)
    remedy schedule export disk-nightly --cron | crontab -    (replaces your crontab: put the lines into it instead)

    The service is sandboxed: it reads, reaches other hosts, and writes nothing but remedy's state folder and history. A
    schedule whose hosts are this machine itself (ansible_connection: local) needs --unhardened. A change of `when`,
    `zone` or `windows` in the file wants a new export; all else is read at each run.

    An address in notifications.yml that only root may read: `url_file: $CREDENTIALS_DIRECTORY/ops`, and
    --credential ops=/etc/remedy/ops.
    """
    from remedy.cli import schedule_given as given
    from remedy.cli import schedule_install as installing
    from remedy.cli import scheduling
    from remedy.errors import InputError

    project = scheduling.project_here()
    one = scheduling.named(project, name)
    if systemd == cron:
        raise InputError("export as what?", hint="expected either --systemd or --cron")
    if cron and credentials:
        raise InputError("--credential is for --systemd", hint="cron gives no files: what needs one names its path")
    files = given.credentials(credentials, installing.RESERVED)
    vault = {"vault_files": [str(flags["vault_password_file"])] if flags["vault_password_file"] else []}
    checked = scheduling.check(one, vault, credentials=files)
    given.check_told(checked.needs, files, cron=cron)
    given.check_history(project)
    if cron:
        from remedy.schedule.crontab import crontab

        if install:
            raise InputError("--install is for --systemd", hint="put the lines into a crontab: crontab -e")
        given.warn_of_zone(one)
        arguments = installing.arguments(flags)
        click.echo(crontab(one, scheduling.program(), project.root, project.state, arguments), nl=False)
        return 0
    if checked.here and not flags["unhardened"]:
        scheduling.say(
            f"warning: {', '.join(checked.here)} is this machine, which the sandbox mostly hides: add --unhardened"
        )
    units = installing.units(project, one, {**flags, "credentials": files})
    if not install:
        for path, text in units.items():
            click.echo(f"# {path}\n{text}")
        return 0
    installing.install(project, one, units, flags)
    return 0
