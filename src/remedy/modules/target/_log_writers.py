"""Who writes a log, and how that service is told to open it anew once logrotate has renamed it."""

import os
import re
import shlex
import signal
import time

from remedy.agent.kinds import Failed, Param
from remedy.modules.target import _holders, _log_names, _redis_host
from remedy.modules.target._systemd import Units, booted

SIGNALS = Param(
    "signals",
    "dict",
    help="Signals that make services open their logs anew, where remedy knows none: {unit or program: HUP}.",
)

# What each of these opens its logs anew for, by its own manual: nginx.org/en/docs/control.html, rsyslogd(8),
# syslog-ng(8), httpd.apache.org/docs/current/stopping.html (graceful), php-fpm(8).
_SIGNALS = (("nginx", "USR1"), ("rsyslogd", "HUP"), ("syslog-ng", "HUP"), ("apache2", "USR1"), ("httpd", "USR1"),
            (r"php-fpm[\d.]*", "USR1"))  # fmt: skip
_OWN = {
    "systemd-journal": "journald rotates its journals itself: set SystemMaxUse in journald.conf, or use journal_vacuum",
    "dockerd": "Docker rotates the logs of containers itself: give it max-size and max-file (docker_log_options)",
    "conmon": "Podman rotates the logs of containers itself: give it log_size_max in containers.conf",
}
_COLLECTOR = (
    "PostgreSQL's collector rotates its logs itself: set log_rotation_age, log_rotation_size and a log_filename "
    "that comes round"
)
# Also a service that has a handler for one of these would be ended by it, each night.
_ENDING = frozenset("KILL STOP TERM INT QUIT ABRT IOT TSTP TTIN TTOU SEGV BUS FPE ILL SYS".split())
_MYSQL = ("mariadbd", "mysqld")
_DEBIAN = "/etc/mysql/debian.cnf"
_LATELY = 600  # seconds


class Way(object):
    """How a log is rotated so that its writer loses nothing.

    kind: signal or command (the service opens it anew when told to, by `script`, lines of shell), each (it is opened
    for each line: nobody need be told), copytruncate, own (its service rotates it), refused. `why` is for people.
    """

    def __init__(self, kind, why, script=(), unit=None):
        self.kind = kind
        self.why = why
        self.script = list(script)
        self.unit = unit

    def told(self):
        return {"kind": self.kind, "why": self.why, "script": self.script, "unit": self.unit}


def way(host, path, holders, signals=None):
    """Return the Way for a log that these Holders have open for writing; `signals` is {unit or program: signal}."""
    writers = [holder for holder in holders if holder.writes]
    if not writers:
        return _unheld(path)
    leads = {}
    for writer in writers:
        unit = _holders.unit(writer.pid)
        leads.setdefault(unit or _lead(writer.pid, {each.pid for each in writers}), []).append(writer)
    if len(leads) > 1:
        return _copied(writers, "%s write it" % _several(writers))
    return _of(host, writers, signals or {})


def handles(pid, name):
    """Say whether a process has a use for a signal: one that it does not catch would end it."""
    bit = 1 << (_number(name) - 1)
    try:
        with open("/proc/%s/status" % pid, errors="replace") as file:
            masks = dict(line.split(":", 1) for line in file if line.startswith(("SigCgt", "SigBlk")))
    except (FileNotFoundError, ProcessLookupError):
        return False
    # A server that waits for its signals in a thread (sigwait) has them blocked.
    return any(int(mask, 16) & bit for mask in masks.values())


def wrong_signals(params):
    """Return what is wrong with the parameter `signals`, else None."""
    for name in (params["signals"] or {}).values():
        if "{{" in str(name):
            continue
        if "SIG" + str(name) not in signal.Signals.__members__:
            return "signal '%s': expected a name such as HUP or USR1" % name
        if name in _ENDING:
            return "signal '%s' ends or halts a service: expected one for which it opens its logs anew" % name
    return None


def _number(name):
    return int(getattr(signal, "SIG" + name))


def _of(host, writers, signals):
    pids = {writer.pid for writer in writers}
    lead = _lead(writers[0].pid, pids)
    unit = _holders.unit(lead)
    name = program(lead)
    if name in _OWN:
        return Way("own", _OWN[name], unit=unit)
    if name == "postgres" and b"logger" in _bytes("/proc/%s/cmdline" % lead):
        return Way("own", _COLLECTOR, unit=unit)
    main = _main(host, unit) if unit else None
    who = _holders.told(writers)
    given = next(
        (signals[key] for key in (unit, (unit or "").rpartition(".")[0], name) if key in signals), None
    )
    if given is not None:
        target = main or lead
        if not handles(target, given):
            raise Failed(
                "%s has no use for SIG%s, which would end it: give another signal for %s"
                % (_holders.process(target), given, unit or name)
            )
        return _signalled(unit if main else None, target, given, who) or _copied(
            writers, "%s cannot be told: it has neither a unit nor a pid file" % who
        )
    known = _known(name, main if main in pids else lead)
    if known is not None:
        target = main if main in pids else lead
        told = _signalled(unit if target == main else None, target, known, who)
        if told is not None:
            return told
    if name in _MYSQL:
        return _flushed(host, unit, who, writers, name == "mariadbd" or host.which("mariadb-admin"))
    return _copied(writers, "%s writes it, and no signal is known that makes it open its log anew" % who)


def _known(name, pid):
    """Return the signal for which a program opens its logs anew, None where none is known or it has no use for it."""
    for pattern, each in _SIGNALS:
        if re.match(pattern + "$", name):
            return each if handles(pid, each) else None
    # MySQL since 8.0.19; MariaDB and older ones have no use for it.
    if name == "mysqld" and "mariadb" not in _exe(pid) and handles(pid, "USR1"):
        return "USR1"
    return None


def _signalled(unit, pid, name, who):
    if unit and booted():
        line = "if systemctl -q is-active %s; then systemctl kill --kill-who=main --signal=%s %s; fi"
        line %= (shlex.quote(unit), name, shlex.quote(unit))
        return Way("signal", "%s: it is opened anew on SIG%s" % (who, name), [line], unit)
    file = _pid_file(pid)
    if file is None:
        return None
    line = 'if [ -s %s ]; then kill -%s "$(cat %s)"; fi' % (shlex.quote(file), name, shlex.quote(file))
    return Way("signal", "%s: it is opened anew on SIG%s" % (who, name), [line], unit)


def _flushed(host, unit, who, writers, mariadb):
    client = host.which("mariadb-admin") or host.which("mysqladmin")
    if client is None:
        return _copied(writers, "%s writes it, and there is no mysqladmin to flush its logs with" % who)
    words = [client] + (["--defaults-file=" + _DEBIAN] if os.path.exists(_DEBIAN) else [])
    done = host.run(words + ["--connect-timeout=5", "status"], ok=None, timeout=20)
    if done.rc:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        why = said[-1] if said else "rc %d" % done.rc
        return _copied(writers, "%s writes it, and mysqladmin cannot log in as root (%s)" % (who, why))
    flush = (
        "--local flush-error-log flush-general-log flush-slow-log"
        if mariadb
        else "flush-logs error general slow"
    )
    command = " ".join(words)
    line = "if %s status > /dev/null 2>&1; then %s %s; fi" % (command, command, flush)
    return Way("command", "%s: it is opened anew when its logs are flushed" % who, [line], unit)


def _copied(writers, why):
    for writer in writers:
        if writer.reads:
            return Way(
                "refused", "%s has it open for reading and writing: it may be data" % _holders.told([writer])
            )
        if not writer.appends:
            return Way(
                "refused",
                "%s does not append: copytruncate would leave a sparse file; name its signal (signals), or let it"
                " append" % _holders.told([writer]),
            )
    return Way("copytruncate", why + ": it is copied and emptied, and what is written in between is lost")


def _unheld(path):
    try:
        about = os.stat(path)
    except OSError:
        return Way("each", "it is not there")
    for pid in _redis_host.processes() if re.search(r"redis|valkey|keydb", path) else ():
        if _uid(pid) == about.st_uid:
            return Way("each", "%s opens its log for each line" % program(pid))
    if time.time() - about.st_mtime < _LATELY:
        return Way("each", "nobody has it open, and it was written lately: its writer opens it for each line")
    return Way(
        "copytruncate", "nobody has it open now: it is copied and emptied; what is written in between is lost"
    )


def program(pid):
    """Return a process's name, "" where it has ended."""
    return _bytes("/proc/%s/comm" % pid).decode("utf-8", "replace").strip()


def _several(writers):
    return ", ".join(sorted({_holders.process(writer.pid) for writer in writers})[:4])


def _lead(pid, pids):
    """Return the process that stands above the others of these."""
    for _ in range(64):
        above = _parent(pid)
        if above not in pids:
            return pid
        pid = above
    return pid


def _parent(pid):
    fields = _bytes("/proc/%s/stat" % pid).rpartition(b")")[2].split()
    return fields[1].decode("ascii") if len(fields) > 1 else None


def _main(host, unit):
    """Return the main process of a unit as systemd knows it, None where it knows none."""
    if not booted():
        return None
    try:
        pid = Units(host).show(unit).get("MainPID")
    except Failed:
        return None
    return pid if pid not in (None, "", "0") else None


def _pid_file(pid):
    """Return a file below /run that holds this number alone."""
    for folder, folders, names in os.walk("/run"):
        depth = folder.count("/")
        folders[:] = [
            each for each in folders if depth < 2 and each not in ("systemd", "user", "udev", "lock")
        ]
        for name in names:
            path = os.path.join(folder, name)
            if (
                name.endswith(".pid")
                and os.path.isfile(path)
                and _bytes(path).strip() == str(pid).encode("ascii")
            ):
                return path
    return None


def _uid(pid):
    try:
        return os.stat("/proc/%s" % pid).st_uid
    except OSError:
        return None


def _exe(pid):
    try:
        return os.readlink("/proc/%s/exe" % pid)
    except OSError:
        return ""


def _bytes(path):
    try:
        with open(path, "rb") as file:
            return file.read(1 << 12)
    except OSError:
        return b""


def holders(host, paths):
    """Return {path: [Holder]}: who has which of these files open for writing, by what the paths are now."""
    numbers = {}
    for path in paths:
        try:
            about = os.stat(path)
        except OSError:
            continue
        numbers[(about.st_dev, about.st_ino)] = path
    found = {path: [] for path in paths}
    for holder, about in _holders.holding(host, paths)[0] if numbers else ():
        if holder.writes and about[:2] in numbers:
            found[numbers[about[:2]]].append(holder)
    return found


def stale(host, logs):
    """Return {log: [Holder]}: who writes what these logs were rotated to, or them after they were deleted."""
    found = {log: [] for log in logs}
    for holder, _ in _holders.named(host, lambda name: not _was(name).isdisjoint(found))[0]:
        for log in _was(holder.target) if holder.writes else ():
            if log in found:
                found[log].append(holder)
    return found


def _was(name):
    """Return which logs a file was before it was rotated or deleted, by its name as a descriptor shows it."""
    path = _holders.named_by(name)
    return {_log_names.log_of(path)} | ({path} if path != name else set())
