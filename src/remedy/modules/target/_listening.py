"""What a process listens on: its sockets, found by their inodes in /proc/PID/net."""

import os
import re
import socket
import struct

from remedy.modules.target import _addresses

_SOCKET = re.compile(r"socket:\[(\d+)\]")
_LISTENS = "0A"
_ANY = ("0.0.0.0", "::")
# Whoever passes connections on may do so for several servers: at another of its addresses another one is reached.
_PASS_ON = (
    "haproxy", "nginx", "envoy", "traefik", "nutcracker", "stunnel", "stunnel4", "socat", "ssh", "systemd", "init",
    "docker-proxy", "rootlessport", "slirp4netns", "pasta", "pasta.avx2", "kube-proxy",
)  # fmt: skip


def places(pid):
    """Return what a process listens on, sorted: paths of Unix sockets, and [address, port]."""
    mine = set(descriptors(pid).values())
    found = [path for inode, path in _unix(pid) if inode in mine]
    found += [list(here) for inode, here in _tcp(pid) if inode in mine]
    return sorted(found, key=str)


def every():
    """Return the (address, port) on which anything listens in this network, sorted."""
    return sorted({here for _, here in _tcp("self")})


def serves(pid, reached):
    """Say whether a process listens where a client on this host got to: the path of a Unix socket, or HOST:PORT.

    What passes it on does not: a proxy, or the port that a container has published.
    """
    if reached.startswith("/"):
        return any(isinstance(place, str) and _same(place, reached) for place in places(pid))
    port = reached.rpartition(":")[2]
    listens = [place[0] for place in places(pid) if not isinstance(place, str) and str(place[1]) == port]
    if not listens or not _same("/proc/%s/ns/net" % pid, "/proc/self/ns/net"):
        return False
    meant = own(reached)
    return bool(meant) and any(address in _ANY or address in meant for address in listens)


def own(reached):
    """Return those addresses of a HOST:PORT that are this host's, empty where it leads to another one."""
    try:
        host = reached.rpartition(":")[0].strip("[]")
        meant = {each[4][0] for each in socket.getaddrinfo(host, None, 0, socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return set()
    # All of 127.0.0.0/8 is this host, whichever of it an interface has.
    here = {each["address"] for found in _addresses.addresses().values() for each in found}
    return {address for address in meant if address in here or address.startswith("127.")}


def elsewhere(reached):
    """Return in words that no process of this host's own serves there."""
    return (
        "the server at %s is no process of this host's own (it is in a container, on another host, or behind a proxy)"
        % reached
    )


def doors(reached):
    """Return the (address, port) that those listen on who take connections where a client on this host got to.

    Empty: nobody in this network, or none whom this user may see. What passes it on counts: a port that a container has
    published is its proxy's; but of a proxy that one door alone. The tables are read once: a full server has thousands
    of lines in them.
    """
    listens = list(_tcp("self"))
    if reached.startswith("/"):
        wanted = {inode for inode, path in _unix("self") if _same(path, reached)}
    else:
        places, port = {here for _, here in listens}, reached.rpartition(":")[2]
        meant = {door(address, int(port), places) for address in own(reached)} if port.isdecimal() else set()
        wanted = {inode for inode, here in listens if here in meant}
    found = set()
    for name in os.listdir("/proc") if wanted else ():
        try:
            mine = set(descriptors(name).values()) if name.isdigit() else set()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended, or only root may look
        if wanted & mine:
            counted = wanted & mine if _passes_on(name) else mine
            found |= {here for inode, here in listens if inode in counted}
    return found


def _passes_on(pid):
    try:
        with open("/proc/%s/comm" % pid, "rb") as file:
            return file.read().decode("utf-8", "replace").strip() in _PASS_ON
    except (FileNotFoundError, ProcessLookupError):
        return True  # it ended


def door(address, port, listens):
    """Return by which (address, port) of `listens` a connection to an address of this host came in; None: none."""
    wild = _ANY if ":" not in address else _ANY[1:]
    return next(((each, port) for each in (address,) + wild if (each, port) in listens), None)


def _same(path, other):
    try:
        return os.path.samefile(path, other)
    except OSError:
        return path == other


def descriptors(pid):
    """Return {descriptor: inode} of a process's sockets."""
    folder, found = "/proc/%s/fd" % pid, {}
    for name in os.listdir(folder):
        try:
            known = _SOCKET.match(os.readlink(os.path.join(folder, name)))
        except FileNotFoundError:
            continue  # closed
        if known:
            found[int(name)] = int(known.group(1))
    return found


def _tcp(pid):
    for name in ("tcp", "tcp6"):
        for words in _table(pid, name):
            if len(words) > 9 and words[3] == _LISTENS:
                yield int(words[9]), _address(words[1])


def _unix(pid):
    for words in _table(pid, "unix"):
        # __SO_ACCEPTCON: it listens. A path that begins with @ is no file.
        if len(words) > 7 and int(words[3], 16) & 0x10000 and words[7].startswith("/"):
            yield int(words[6]), words[7]


def _table(pid, name):
    try:
        with open("/proc/%s/net/%s" % (pid, name), encoding="utf-8", errors="surrogateescape") as file:
            next(file, None)
            for line in file:
                yield line.split()
    except FileNotFoundError:
        return  # no IPv6


def _address(text):
    """Return (address, port) of "0100007F:0CEA"; the kernel writes the words in the machine's own order."""
    packed, _, port = text.partition(":")
    data = b"".join(
        struct.pack("=I", int(packed[place : place + 8], 16)) for place in range(0, len(packed), 8)
    )
    family = socket.AF_INET if len(data) == 4 else socket.AF_INET6
    shown = socket.inet_ntop(family, data)
    return (shown[7:] if shown.startswith("::ffff:") else shown), int(port, 16)
