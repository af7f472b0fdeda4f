"""What a sweep of old files never touches, whatever it is asked for."""

import fnmatch
import json
import os
import re

# Programs, configuration and the kernel's own trees; nothing there is litter.
_SYSTEM = tuple("/bin /boot /dev /etc /lib /lib32 /lib64 /libx32 /proc /sbin /sys /usr".split())
_ALLOWED = ("/usr/local",)
_TOO_BROAD = tuple("/ /home /opt /root /run /srv /usr/local /var /var/lib /var/spool".split())

# Containers: an overlay hides which of these files are open. Journals: journald has its own way.
_NEVER = {
    "/var/lib/docker": "docker's folder",
    "/var/lib/containerd": "containerd's folder",
    "/run/containerd": "containerd's folder",
    "/var/lib/kubelet": "kubelet's folder",
    "/var/log/pods": "kubelet's folder",
    "/var/log/containers": "kubelet's folder",
    "/var/lib/containers": "podman's folder",
    "/var/lib/lxc": "the containers' folder",
    "/var/lib/lxd": "the containers' folder",
    "/var/lib/machines": "the containers' folder",
    "/var/log/journal": "the journal: use journald's own vacuum",
    "/run/log/journal": "the journal: use journald's own vacuum",
}

# What stands in a data directory of MariaDB or MySQL, PostgreSQL, MongoDB, RabbitMQ, Redis, Elasticsearch.
_DATABASE = re.compile(
    r"ibdata1|aria_log_control|PG_VERSION|WiredTiger|schema\.DAT|appendonly\.aof|appendonlydir|dump\.rdb|_state"
    r"|[^/]*bin(log)?[^/]*\.index|[^/]*relay[^/]*\.index"
)


def refusal(path):
    """Return why a resolved path cannot be swept at all, else None."""
    if path in _TOO_BROAD:
        return "it is too broad; name the folders below it"
    if any(_below(path, top) for top in _SYSTEM) and not any(_below(path, top) for top in _ALLOWED):
        return "it belongs to the system"
    return None


class Protected(object):
    """The folders and files to leave alone on this host; `every` are its mounts (see _mounts)."""

    def __init__(self, every):
        self.folders = dict(_NEVER)
        self.folders.update(dict.fromkeys(_docker_roots(), "docker's folder"))
        for entry in every:
            if entry["type"] == "overlay":
                self.folders.update(dict.fromkeys(_layers(entry), "a layer of a container"))
        self.ignored = _tmpfiles()
        self._known = {}

    def folder(self, path):
        """Return why nothing at or below this folder may be touched, else None.

        It is looked at once, and so are those above it: who asks for each of many files needs no more.
        """
        asked = []
        while path not in self._known:
            asked.append(path)
            reason = self._reason(path)
            if reason is not None or path == "/":
                self._known[path] = reason
            else:
                path = os.path.dirname(path)
        self._known.update(dict.fromkeys(asked, self._known[path]))
        return self._known[path]

    def inside(self, path, names):
        """Return why a folder below one that may be swept may not, else None; `names` is what it holds."""
        if path in self.folders:
            return self.folders[path]
        if os.path.basename(path).startswith(("systemd-private-", "snap-private-tmp")):
            return "a service's private folder"
        if any(_DATABASE.fullmatch(name) for name in names):
            return "a database's folder"
        return self.kept(path)

    def kept(self, path):
        """Return why a path is kept by tmpfiles.d, else None."""
        for only_itself, pattern in self.ignored:
            candidates = [path]
            while not only_itself and candidates[-1] != "/":
                candidates.append(os.path.dirname(candidates[-1]))
            if any(fnmatch.fnmatchcase(candidate, pattern) for candidate in candidates):
                return "tmpfiles.d says to leave %s alone" % pattern
        return None

    def _reason(self, path):
        for top, reason in self.folders.items():
            if _below(path, top):
                return reason
        if any(part.startswith(("systemd-private-", "snap-private-tmp")) for part in path.split("/")):
            return "a service's private folder"
        try:
            return "a database's folder" if any(map(_DATABASE.fullmatch, os.listdir(path))) else None
        except OSError:
            return None


def _docker_roots():
    try:
        with open("/etc/docker/daemon.json") as file:
            root = json.load(file).get("data-root")
    except (OSError, ValueError, AttributeError):
        root = None
    return [os.path.realpath(root)] if root else []


def _layers(entry):
    for option in entry["super_options"].split(","):
        name, _, value = option.partition("=")
        if name in ("upperdir", "workdir", "lowerdir") and entry["mount"] != "/":
            for layer in value.split(":"):
                if layer.startswith("/"):
                    yield layer


def _tmpfiles():
    """Read the x and X lines of tmpfiles.d(5): [(only the path itself, pattern)]."""
    files = {}
    for folder in ("/usr/lib/tmpfiles.d", "/run/tmpfiles.d", "/etc/tmpfiles.d"):
        try:
            names = [name for name in os.listdir(folder) if name.endswith(".conf")]
        except OSError:
            continue
        files.update({name: os.path.join(folder, name) for name in names})
    found = []
    for path in files.values():
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                lines = file.readlines()
        except OSError:
            continue
        for line in lines:
            words = line.split(None, 2)
            if len(words) > 1 and words[0][0] in "xX":
                # A specifier such as %b stands for something this host knows: any text is on the safe side.
                pattern = re.sub(r"%.", "*", words[1].strip("\"'")).rstrip("/")
                found.append((words[0][0] == "X", pattern))
    return found


def _below(path, top):
    return path == top or path.startswith(top.rstrip("/") + "/")
