"""Tell which Redis and Valkey servers a host has, whether they run, and why one does not.

Looks at units, processes, containers, files and logs alone: no server is asked, so it works where one is down, hung
or full. Sentinels are left out, and units that are disabled and stopped. Returns `servers` and `server`: the one that
`unit`, `container`, `socket` or `port` names, else the one on the port, else the only one, else None. Of each:
`name`, `unit`, `container`, `image`, `state` (running, stopped, failed, starting, hung: all its processes are stopped
by a signal, its container is paused), `unit_state` (active, sub, result, exit, restarts, enabled), `pid`, `user`,
`listens`, `port` (where it listens, else that of its command line or file, and that for TLS where it has no other; 0:
it takes no TCP; a container's published one; None: it is not known where it is reached, as of a container that is
stopped or has no network, or of a unit whose script starts it), `address` (None: 127.0.0.1; else the address that it
is bound to; a container's own, where it has published no port, which may be another one after a start), `socket` (its
Unix socket), `config_file`, `config` (the main settings of the file; of a password only `password`: whether who gives
no name needs one), `connected` (TCP connections to its port), `by_address` (from where they are, the most first, at
most 20), `persists` (it has save points or an append-only file), `appends` (its process has an append-only file open;
None: it is not to be seen), `saved` (seconds since its dump or append-only file was written, None: there is none),
`disk` (of its dumps), `open_files`, `rss`, `log` (its last lines), `problem` (kind: config, port, dump, append-only,
disk, memory, permission; text) and `port_owner` (who else has its port). With `reached` also `serves`: whether the
one that is meant takes connections there (None: nobody can tell).
"""

import collections
import os
import re
import time

from remedy.agent.kinds import Failed, Param, Probe
from remedy.modules.target import _containers, _holders, _listening, _ports, _redis_host, _redis_problem
from remedy.modules.target._systemd import Units, booted

_NAME = re.compile(r"(redis|valkey|keydb)", re.IGNORECASE)
# A command may also name where a client's server is: redis://cache:6379.
_PROGRAM = re.compile(r"(^|[\s/])(redis|valkey|keydb)(-stack)?-server\b", re.IGNORECASE)
_SERVER = re.compile(r"argv\[\]=(?:[^;\n]*[\s/])?(?:redis|valkey|keydb)(?:-stack)?-server(?=\s)")
_FILE = re.compile(_SERVER.pattern + r"\s+(/[^\s;\"']+)")
_OTHERS = re.compile(r"sentinel|exporter|remedy-drill|commander|insight", re.IGNORECASE)
_EXITS = {"1": "a wrong configuration or port", "137": "killed (out of memory?)", "139": "segmentation fault"}
_SHOWN = (
    "port bind protected-mode unixsocket maxclients timeout maxmemory maxmemory-policy save appendonly dir dbfilename"
    " appendfilename appenddirname logfile stop-writes-on-bgsave-error replicaof slaveof"
).split()

PARAMS = (
    Param("unit", help="The unit of the server that is meant; .service is meant without a suffix."),
    Param("container", help="The container that is meant, by its name."),
    Param("port", "int", help="The port that is meant; else 6379."),
    Param("socket", "path", help="The Unix socket of the server that is meant, which comes before the port."),
    Param("host", help="The address that is meant, where several servers have the port."),
    Param("reached", help="Where one was reached, HOST:PORT or a socket's path: is that the one that is meant?"),
    Param("log_lines", "int", default=15, help="How many of the last lines of its log to return."),
)

VARIABLES = {
    "unit": "redis_unit",
    "container": "redis_container",
    "port": "redis_login_port",
    "socket": "redis_login_unix_socket",
    "host": "redis_login_host",
}

EXAMPLES = """
- redis_servers:
  register: redis
- redis_servers: {unit: redis-sessions, port: 6380}
  register: redis
"""


def check_params(params):
    for name, least, most in (("port", 1, 65535), ("log_lines", 0, 200)):
        if isinstance(params[name], int) and not least <= params[name] <= most:
            return "%s: expected %d to %d" % (name, least, most)
    return None


def kind(params):
    return Servers


class Servers(Probe):
    deadline = 60

    def read(self):
        found = self._of_units() + self._of_containers()
        known = [each["pid"] for each in found] + [each["unit"] for each in found if each["unit"]]
        for pid in _redis_host.processes():
            # One of a unit that is started again and again may be a newer try than the one that was looked at.
            if pid not in known and _holders.unit(pid) not in known and not _redis_host.root_of(pid):
                found.append(self._described({"name": "pid %d" % pid, "pid": pid}))
        server = self._chosen(found)
        return {"servers": found, "server": server, "serves": self._serves(server, self.params.get("reached"))}

    def _serves(self, server, reached):
        """Say whether a server takes connections where one was reached; None where nobody can tell."""
        if server is None or not reached or not server["pid"]:
            return None
        host, _, port = reached.rpartition(":")
        if server["container"] and not reached.startswith("/"):
            here = host == server["address"] if server["address"] else bool(_listening.own(reached))
            return here and port == str(server["port"])
        try:
            return None if server["container"] else _listening.serves(server["pid"], reached)
        except OSError:
            return None  # only root may look, or it has ended

    def _chosen(self, found):
        unit, container = self.params["unit"], self.params["container"]
        if unit:
            found = [each for each in found if self._named() in [each["unit"]] + each["names"]]
        elif container:
            found = [each for each in found if each["container"] == container]
        socket, host = self.params.get("socket"), self.params.get("host")
        port = self.params["port"] or _redis_host.PORT
        if socket:
            there = [each for each in found if each["socket"] and _same(each["socket"], socket)]
        else:
            there = [each for each in found if each["port"] == port and not (each["container"] and each["address"])]
        # One that runs before one that is only installed; that at the address, else that of the host itself.
        reached = "%s:%d" % (host, port) if host else None
        there.sort(
            key=lambda each: (
                each["state"] in ("stopped", "failed"),
                not (reached and self._serves(each, reached)),
                bool(each["address"]),
            )
        )
        if there:
            return there[0]
        named = self.params["port"] and not socket and not unit and not container
        return found[0] if len(found) == 1 and not named else None

    def _of_units(self):
        if not booted():
            return []
        units = Units(self.host)
        names = set()
        for words in (["list-unit-files"], ["list-units", "--all", "--plain"]):
            _, out, _ = units.call(*(words + ["--type=service", "--no-legend", "--full"]))
            names.update(line.split()[0] for line in out.splitlines() if line.split())
        held = {pid: _holders.unit(pid) for pid in _redis_host.processes() if not _redis_host.root_of(pid)}
        called = {name for name in names | set(filter(None, held.values())) if _NAME.search(name)}
        called = {name for name in called if not _OTHERS.search(name)} | {self._named()} - {None}
        by_id = {}
        for name in sorted(called | set(filter(None, held.values()))):
            if not name.endswith("@.service"):
                try:
                    status = units.show(name)
                except Failed:
                    continue
                # One of another name is a Redis's own where that is its main process: others run one among much else.
                if name not in called and held.get(int(status.get("MainPID") or 0)) != name:
                    continue
                if status["LoadState"] in ("loaded", "masked"):
                    by_id.setdefault(status["Id"], (status, []))[1].append(name)
        return [
            self._of_unit(units, status, names, held)
            for _, (status, names) in sorted(by_id.items())
            if self._meant(status, names)
        ]

    def _meant(self, status, names):
        """Say whether a unit is to run: one that is disabled and stopped is not, nor one whose program has gone."""
        if status["ActiveState"] not in ("inactive", "deactivating") or self._named() in names:
            return True
        installed = any(self.host.which(program) for program in _redis_host.PROGRAMS)
        return installed and status.get("UnitFileState") in (
            "enabled",
            "enabled-runtime",
            "generated",
            "linked",
        )

    def _named(self):
        """Return the unit that is meant as systemd has it, None where none is named."""
        unit = self.params["unit"]
        return unit if not unit or "." in unit else unit + ".service"

    def _of_unit(self, units, status, names, held):
        unit = status["Id"]
        pid = int(status.get("MainPID") or 0) or None
        if pid not in held:
            # Its main process may be a script that waits for the server.
            own = [each for each in sorted(held) if held[each] == unit]
            pid = own[0] if len(own) == 1 else pid
        exit_code = status.get("ExecMainStatus") or "0"
        about = {
            "name": unit,
            "names": names,
            "unit": unit,
            "pid": pid,
            "state": _state(status),
            "unit_state": {
                "active": status["ActiveState"],
                "sub": status["SubState"],
                "result": status.get("Result"),
                "exit": exit_code + (" (%s)" % _EXITS[exit_code] if exit_code in _EXITS else ""),
                "restarts": int(status.get("NRestarts") or 0),
                "enabled": status.get("UnitFileState"),
            },
        }
        _, out, _ = units.call("show", "--property=ExecStart", "--", unit)
        # Where the server itself is not on the command line, a script may start it on any port.
        path = re.search(r"argv\[\]=\S+\s+(/\S+\.conf)\b", out) or _FILE.search(out)
        known = path or _SERVER.search(out) or re.search(r"\s--port\s", out)
        return self._described(about, path.group(1) if path else None, out, bool(known))

    def _of_containers(self):
        def wanted(each):
            image, command = (each.get("Image") or "").rpartition("/")[2], each.get("Command") or ""
            ours = _NAME.search(image) or _PROGRAM.search(command)
            return ours and not _OTHERS.search(image) and "--sentinel" not in command

        found = _containers.listed(self.host, wanted, _redis_host.PORT)
        servers = _redis_host.processes()
        for about in found:
            if about["pid"]:
                # Its first process may be one that only starts it (docker run --init).
                first = about["pid"]
                about["pid"] = next((pid for pid in servers if _containers.inside(pid, first)), first)
        return [self._described(about) for about in found]

    def _described(self, about, path=None, command="", known=True):
        pid = about["pid"]
        root = _redis_host.root_of(pid)
        path = path or (None if about.get("container") else _config_of(pid))
        config = _redis_host.config(path, root) if path else None
        values = config["values"] if config else {}
        listens = _ports.of_process(pid) if pid else []
        port = _redis_host.port(listens, values, command)
        port = port or _number(values.get("tls-port"))  # it takes TLS alone
        port = port if known or listens else None
        sockets = [each for each in listens if each.startswith("/")] + [values.get("unixsocket") or None]
        found = {
            "unit": None,
            "container": None,
            "image": None,
            "address": _redis_host.address(listens, port),
            "socket": None if about.get("container") else sockets[0],
            "names": [],
            "unit_state": None,
            "state": "running",
            "port": port,
            "user": _owner(pid),
            "listens": listens,
            "config_file": path,
            "config": dict({name.replace("-", "_"): values.get(name) for name in _SHOWN if name in values},
                           password=config["password"],
                           renamed=config["renamed"], unreadable=config["unreadable"]) if config else None,
            "open_files": _redis_host.open_files(pid),
            "connected": None,
            "by_address": None,
            "rss": _redis_host.memory(pid)["rss"],
        }  # fmt: skip
        found.update(about)
        if pid and _hung(pid) and found["state"] == "running":
            found["state"] = "hung"
        folder = values.get("dir") or (None if root or not pid else _link("/proc/%d/cwd" % pid))
        folder = None if folder == "." and not pid else folder
        found["disk"] = _redis_host.disk(folder, root) if folder else None
        found["persists"] = _persists(config)
        found["appends"] = _appends(pid, values) if pid else None
        found["saved"] = _saved(values, root + folder) if folder else None
        found["log"] = self._log(found, values.get("logfile"), root)
        found["port_owner"] = None
        if found["state"] in ("stopped", "failed", "starting"):
            found["port_owner"] = _ports.owner(found["port"]) if found["port"] else None
        if pid and not root and found["port"] is not None:
            clients = _redis_host.connections(found["port"], pid)
            found["connected"] = len(clients)
            counts = collections.Counter(place.rpartition(":")[0] for place, _ in clients)
            found["by_address"] = dict(counts.most_common(20))
        found["problem"] = _redis_problem.problem(found, path)
        return found

    def _log(self, found, logfile, root):
        lines = []
        if found["unit"]:
            done = self.host.run(
                ["journalctl", "--unit=" + found["unit"], "--lines=%d" % self.params["log_lines"], "--output=cat",
                 "--no-pager", "--quiet"],
                ok=None, timeout=10, c_locale=True,
            )  # fmt: skip
            lines += done.stdout.decode("utf-8", "replace").splitlines()
        if logfile:
            try:
                with open(root + logfile, "rb") as file:
                    file.seek(max(0, os.fstat(file.fileno()).st_size - 16384))
                    last = file.read().decode("utf-8", "replace").splitlines()
                lines += last[-self.params["log_lines"] :] if self.params["log_lines"] else []
            except OSError:
                pass
        return lines


def _state(status):
    if status["SubState"] == "auto-restart":
        return "failed"
    active = status["ActiveState"]
    return {"active": "running", "reloading": "running", "activating": "starting", "failed": "failed"}.get(
        active, "stopped"
    )


def _persists(config):
    """Say whether its file lets it write dumps or an append-only file; None where it is not known."""
    if config is None or config["unreadable"]:
        return None
    values = config["values"]
    return values.get("save", "default").strip() not in ("", '""') or values.get("appendonly") == "yes"


def _appends(pid, values):
    """Say whether a process has its append-only file open: what its file says may have been switched off since."""
    name = values.get("appendfilename") or "appendonly.aof"  # and from Redis 7 on NAME.1.incr.aof
    try:
        targets = [_link("/proc/%d/fd/%s" % (pid, each)) for each in os.listdir("/proc/%d/fd" % pid)]
    except OSError:
        return None
    # One that was deleted is no longer there when the server comes up.
    found = [each for each in targets if each and not each.endswith(" (deleted)")]
    return any(os.path.basename(each).startswith(name) for each in found)


def _saved(values, folder):
    """Return the seconds since the newest of dump and append-only files was written; None where there is none."""
    name = values.get("appenddirname") or "appendonlydir"
    names = [values.get("dbfilename") or "dump.rdb"]
    if values.get("appendonly") == "yes":
        names.append(values.get("appendfilename") or "appendonly.aof")
        try:
            names += [os.path.join(name, each) for each in os.listdir(os.path.join(folder, name))]
        except OSError:
            pass
    times = []
    for each in names:
        try:
            times.append(os.stat(os.path.join(folder, each)).st_mtime)
        except OSError:
            pass
    return max(0, int(time.time() - max(times))) if times else None


def _hung(pid):
    """Say whether a signal or a debugger has stopped the process."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"T", b"t")
    except OSError:
        return False


def _config_of(pid):
    """Return the file on its command line; most servers write a title over it."""
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as file:
            words = file.read().split(b"\0")
    except (OSError, TypeError):
        return None
    paths = [word for word in words[1:2] if word.startswith(b"/")]
    return paths[0].decode("utf-8", "surrogateescape") if paths else None


def _owner(pid):
    try:
        import pwd

        return pwd.getpwuid(os.stat("/proc/%d" % pid).st_uid).pw_name
    except (OSError, KeyError, TypeError):
        return None


def _number(text):
    return int(text) if text and text.isdigit() else 0


def _same(path, other):
    try:
        return os.path.samefile(path, other)
    except OSError:
        return os.path.normpath(path) == os.path.normpath(other)


def _link(path):
    try:
        return os.readlink(path)
    except OSError:
        return None
