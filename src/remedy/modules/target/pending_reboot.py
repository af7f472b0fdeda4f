"""Tell whether a host waits for a reboot, or services for a restart, to use what was upgraded.

A host waits where a package has said so (reboot-required), or where a newer kernel is installed than the one
that runs. A service waits where it still maps a library or a program that an upgrade has replaced. A container
has no kernel of its own; processes of containers on the host are not looked at. Returns `needed`, `reasons`
(texts), `packages` (those that asked for it), `kernel` (running, installed: the newest, None: not known),
`services` (unit, None: no service; processes, files) and `unseen`: processes that could not be looked at
(without root).
"""

import glob
import os
import re

from remedy.agent.kinds import Param, Probe
from remedy.modules.target import _holders

PARAMS = (Param("excludes", "list", elements="str", help="Units whose old libraries are not told."),)

EXAMPLES = """
- pending_reboot:
  register: reboot
"""

_FLAGS = ("/run/reboot-required", "/var/run/reboot-required")
_KERNELS = ("/boot/vmlinuz-*", "/lib/modules/*/vmlinuz", "/usr/lib/modules/*/vmlinuz")
_CODE = re.compile(rb"(/(?:usr/)?(?:local/)?(?:s?bin|lib\w*|opt)/\S.*) \(deleted\)$")
_SHOWN = 10


def kind(params):
    return Pending


class Pending(Probe):
    def read(self):
        packages, reasons = [], []
        flag = next((path for path in _FLAGS if os.path.exists(path)), None)
        if flag:
            packages = sorted(set(_lines(flag + ".pkgs")))
            by = " (%s)" % ", ".join(packages[:_SHOWN]) if packages else ""
            reasons.append("%s is there%s" % (flag, by))
        running = os.uname()[2]
        newest = None if _container() else newer(running, _installed())
        if newest:
            reasons.append("the kernel %s is installed, and %s runs" % (newest, running))
        services, unseen = _old_code()
        return {
            "needed": bool(reasons),
            "reasons": reasons,
            "packages": packages,
            "kernel": {"running": running, "installed": newest or running},
            "services": [each for each in services if each["unit"] not in (self.params["excludes"] or ())],
            "unseen": unseen,
        }


def newer(running, installed):
    """Return the newest kernel of the running one's kind, where that is newer than it; else None."""
    alike = [name for name in installed if _flavour(name) == _flavour(running)]
    found = max(alike, key=_order, default=running)
    return found if _order(found) > _order(running) else None


def _flavour(name):
    """Return the words of a kernel's name (cloud, amd; generic), without those that only say whose build it is."""
    return [word for word in re.findall(r"[a-z]+", name) if word not in ("rc", "el", "fc", "deb", "bpo")]


def _order(name):
    """Return what makes 6.1.0-9-amd64 older than 6.1.0-10-amd64, among kernels of one kind."""
    return [int(part) for part in re.findall(r"\d+", name)]


def _installed():
    found = set()
    for pattern in _KERNELS:
        for path in glob.glob(pattern):
            name = path.split("/")[-2] if path.endswith("/vmlinuz") else path.partition("vmlinuz-")[2]
            if name[:1].isdigit() and "rescue" not in name:
                found.add(name)
    return found


def _container():
    """Say whether this is a container: then the kernel is not its own."""
    if os.path.exists("/run/systemd/container") or os.path.exists("/.dockerenv"):
        return True
    try:
        with open("/proc/1/environ", "rb") as file:
            return any(each.startswith(b"container=") for each in file.read().split(b"\0"))
    except OSError:
        return False


def _old_code():
    """Return ([{unit, processes, files}], [processes not seen]) for code that was replaced and is still mapped."""
    own = _root("self")
    units, unseen = {}, []
    for pid in [name for name in os.listdir("/proc") if name.isdigit()]:
        try:
            if _root(pid) != own:
                continue  # a container's: its files are not this host's
            files = _replaced(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended
        except PermissionError:
            unseen.append(_holders.process(pid))
            continue
        if files:
            about = units.setdefault(_holders.unit(pid), {"processes": [], "files": set()})
            about["processes"].append(_holders.process(pid))
            about["files"].update(files)
    return [
        {
            "unit": unit,
            "processes": sorted(about["processes"])[:_SHOWN],
            "files": sorted(about["files"])[:_SHOWN],
        }
        for unit, about in sorted(units.items(), key=lambda pair: pair[0] or "~")
    ], sorted(unseen)[:_SHOWN]


def _root(pid):
    return os.readlink("/proc/%s/ns/mnt" % pid), os.readlink("/proc/%s/root" % pid)


def _replaced(pid):
    """Return the programs and libraries that a process maps and that are deleted."""
    found = set()
    with open("/proc/%s/maps" % pid, "rb") as file:
        for line in file:
            parts = line.rstrip(b"\n").split(None, 5)
            if len(parts) < 6 or b"x" not in parts[1]:
                continue
            known = _CODE.match(parts[5])
            if known:
                found.add(known.group(1).decode("utf-8", "replace"))
    return found


def _lines(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return [line.strip() for line in file if line.strip()]
    except OSError:
        return []
