"""Tell which MySQL and MariaDB servers run on a host, and where their binary logs are.

Looks at processes alone: no server is asked, and nobody logs in. Returns `servers` (pid, program, user, unit,
datadir; listens: paths of Unix sockets, and [address, port]; binlogs: the folder of its binary logs, None where it
writes none or this user may not see; container: it has a root of its own, and its folders are named as seen from
there) and `binlogs`: the folders of those outside containers.
"""

import os
import pwd
import re

from remedy.agent.kinds import Probe
from remedy.modules.target import _holders, _listening

_PROGRAMS = ("mysqld", "mariadbd")
_INDEX = re.compile(r"(?P<folder>/.*)/(?P<name>[^/]+)\.index")

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
                with open("/proc/%s/comm" % pid) as file:
                    program = file.read().strip()
                if program in _PROGRAMS:
                    found.append(_server(pid, program))
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue  # it ended, or /proc hides what belongs to others
        folders = sorted({each["binlogs"] for each in found if each["binlogs"] and not each["container"]})
        return {"servers": found, "binlogs": folders}


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
