"""Tell which MySQL and MariaDB servers run on a host, where their binary logs are, and which are down.

Looks at processes and units alone: no server is asked, and nobody logs in. Returns `servers` (pid, program, user, unit,
datadir; listens: paths of Unix sockets, and [address, port]; binlogs: the folder of its binary logs, None where it
writes none or this user may not see; container: it has a root of its own, and its folders are named as seen from
there; docker: of a container of Docker its name, image, and address and port where it is reached from the host,
address None: 127.0.0.1, port None: not known), `binlogs`: the folders of those outside containers, `units`: those of
the usual names (mariadb, mysql, mysqld and their instances) that exist (name, state, sub, enabled, result, exit: the
last exit status, down: it is to run, being enabled, failed, or starting and not there yet), and `down`: those of them
that are down where no server runs outside containers, with the last lines of their `log`.
"""

import os
import pwd
import re

from remedy.agent.kinds import Probe
from remedy.modules.target import _containers, _holders, _listening
from remedy.modules.target._systemd import Units, booted

_PROGRAMS = ("mysqld", "mariadbd")
_INDEX = re.compile(r"(?P<folder>/.*)/(?P<name>[^/]+)\.index")

_UNITS = ("mariadb", "mysql", "mysqld")
_SHOWN = "Id LoadState ActiveState SubState UnitFileState Result ExecMainStatus".split()
_TO_RUN = ("enabled", "enabled-runtime", "generated", "linked", "linked-runtime")
_LINES = 10
_PORT = 3306

PARAMS = ()

EXAMPLES = """
- mysql_servers:
  register: mysql
"""


def kind(params):
    return Servers


class Servers(Probe):
    def read(self):
        found = []
        for pid in sorted((name for name in os.listdir("/proc") if name.isdigit()), key=int):
            try:
                with open("/proc/%s/comm" % pid, errors="replace") as file:
                    program = file.read().strip()
                if program in _PROGRAMS:
                    found.append(_server(pid, program))
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue  # it ended, or /proc hides what belongs to others
        self._name_containers([each for each in found if each["container"]])
        folders = sorted({each["binlogs"] for each in found if each["binlogs"] and not each["container"]})
        units = self._units()
        runs = [each for each in found if not each["container"]]
        down = [] if runs else [dict(each, log=self._log(each["name"])) for each in units if each["down"]]
        return {"servers": found, "binlogs": folders, "units": units, "down": down}

    def _name_containers(self, found):
        if found:
            for about in _containers.listed(self.host, lambda _: True, _PORT):
                for each in found if about["pid"] else ():
                    if _containers.inside(each["pid"], about["pid"]):
                        each["docker"] = {name: about[name] for name in ("container", "image", "address", "port")}
                        each["docker"]["name"] = each["docker"].pop("container")

    def _units(self):
        """Return the units that exist; an alias is the unit that it means."""
        if not booted():
            return []
        # Instances are found as the manager has them loaded, as it has every one that is enabled, runs or failed.
        names = [name + kind for name in _UNITS for kind in (".service", "@*.service")]
        _, out, _ = Units(self.host).call("show", "--property=" + ",".join(_SHOWN), "--", *names)
        return _described(out)

    def _log(self, unit):
        done = self.host.run(
            ["journalctl", "--unit=" + unit, "--lines=%d" % _LINES, "--output=cat", "--no-pager", "--quiet"],
            ok=None, timeout=10, c_locale=True,
        )  # fmt: skip
        return done.stdout.decode("utf-8", "replace").splitlines()


def _described(out):
    """Return the units that `systemctl show` tells of."""
    units = {}
    for block in out.split("\n\n"):
        about = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if about.get("LoadState") not in (None, "not-found", "masked"):
            unit = units[about["Id"]] = {
                "name": about["Id"],
                "state": about.get("ActiveState"),
                "sub": about.get("SubState"),
                "enabled": about.get("UnitFileState") or None,
                "result": about.get("Result"),
                "exit": int(about.get("ExecMainStatus") or 0),
            }
            unit["down"] = _is_down(unit)
    return [units[name] for name in sorted(units)]


def _is_down(unit):
    """Say whether a unit whose server does not run should have one: somebody may have disabled and stopped it."""
    return unit["state"] in ("failed", "activating") or (
        unit["state"] in ("inactive", "deactivating") and unit["enabled"] in _TO_RUN
    )


def _server(pid, program):
    owner = os.stat("/proc/%s" % pid).st_uid
    about = {
        "pid": int(pid),
        "program": program,
        "user": _name(owner),
        "unit": _holders.unit(pid),
        "datadir": None,
        "listens": [],
        "binlogs": None,
        "container": False,
        "docker": None,
    }
    try:
        # Both servers work in their data folder, and keep the index of their binary logs open.
        about["datadir"] = os.readlink("/proc/%s/cwd" % pid)
        about["listens"] = _listening.places(pid)
        about["binlogs"] = _binlogs("/proc/%s/fd" % pid)
        about["container"] = not os.path.samefile("/proc/%s/root" % pid, "/")
    except PermissionError:
        pass  # only root may look
    return about


def _binlogs(folder):
    """Return where the one index is that is no relay log's; both are open all the time."""
    for number in os.listdir(folder):
        try:
            known = _INDEX.fullmatch(os.readlink(os.path.join(folder, number)))
        except FileNotFoundError:
            continue  # closed
        if known and "relay" not in known.group("name"):
            return known.group("folder")
    return None


def _name(uid):
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
