"""Who listens on which TCP port: /proc/net, and the process behind an inode."""

import os
import socket
import struct

from remedy.modules.target import _holders

_LISTEN = "0A"  # include/net/tcp_states.h


def of_process(pid):
    """Return the addresses that a process listens on: "127.0.0.1:6379", and the paths of its Unix sockets."""
    inodes = set(_inodes(pid))
    found = ["%s:%d" % (_shown(host), port) for host, port, inode in listening(pid) if inode in inodes]
    for line in _lines("/proc/%s/net/unix" % pid):
        words = line.split()
        if len(words) == 8 and words[6] in inodes and words[7].startswith("/") and words[5] == "01":
            found.append(words[7])
    return sorted(set(found))


def numbers(pids):
    """Return the TCP ports that processes of one network listen on for others than themselves (127.0.0.0/8), sorted."""
    inodes = {inode for pid in pids for inode in _inodes(pid)}
    heard = [(host, port) for host, port, inode in listening(pids[0]) if inode in inodes]
    open_ = {port for host, port in heard if not host.startswith("127.") and host != "::1"}
    return sorted(open_ or {port for _, port in heard})


def owner(port):
    """Return who listens on a port, "nginx (pid 7, nginx.service)"; None: nobody, or only root may see."""
    inodes = {inode for _, number, inode in listening("self") if number == port}
    if not inodes:
        return None
    for name in os.listdir("/proc"):
        if name.isdigit() and inodes & set(_inodes(name)):
            unit = _holders.unit(name)
            text = _holders.process(name)
            return text[:-1] + ", %s)" % unit if unit and text.endswith(")") else text
    return "somebody who cannot be seen from here"


def listening(pid):
    """Return [(address, port, inode)] of the sockets that listen in the network that a process sees."""
    found = []
    for family, name in ((socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6")):
        for line in _lines("/proc/%s/net/%s" % (pid, name)):
            words = line.split()
            if len(words) > 9 and words[3] == _LISTEN:
                address, port = words[1].split(":")
                found.append((_address(family, address), int(port, 16), words[9]))
    return found


def _address(family, text):
    # Words of four bytes, each in the machine's own order.
    raw = b"".join(struct.pack("=I", int(text[at : at + 8], 16)) for at in range(0, len(text), 8))
    return socket.inet_ntop(family, raw)


def _shown(host):
    return "[%s]" % host if ":" in host else host


def _inodes(pid):
    folder = "/proc/%s/fd" % pid
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        try:
            target = os.readlink(os.path.join(folder, name))
        except OSError:
            continue
        if target.startswith("socket:["):
            yield target[8:-1]


def _lines(path):
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read().splitlines()[1:]
    except OSError:
        return []
