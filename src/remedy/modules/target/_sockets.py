"""TCP connections as the kernel knows them (sock_diag(7)): who, how long idle, and how to end one from outside."""

import errno
import os
import socket
import struct

from remedy.agent.kinds import Failed

_BY_FAMILY, _DESTROY = 20, 21
_REQUEST, _ACK, _DUMP = 1, 4, 0x300
_ERROR, _DONE = 2, 3
_ESTABLISHED = 1
_INFO = 2
_LAST_SENT, _LAST_RECEIVED = 44, 52  # offsets in struct tcp_info, in milliseconds


class Connection(object):
    """One connection seen from this host's end; `idle` is the time in seconds since its peer has sent anything.

    `silent` is that since this host has: to a subscriber, who never sends, it does all the time.
    """

    def __init__(self, family, ident, inode, idle, silent):
        self.family = family
        self.ident = ident
        self.inode = inode
        self.idle = idle
        self.silent = silent
        self.port, self.peer_port = struct.unpack(">HH", ident[:4])
        size = 4 if family == socket.AF_INET else 16
        self.local = _plain(family, ident[4 : 4 + size])
        self.peer = _plain(family, ident[20 : 20 + size])
        self.cookie = ident[40:48].hex()

    @property
    def quiet(self):
        """Return for how many seconds neither side has sent anything; None where the kernel does not say."""
        return None if self.idle is None or self.silent is None else min(self.idle, self.silent)

    @property
    def shown(self):
        return "%s:%d" % (self.peer, self.peer_port)


def established(port):
    """Return the established connections to a port of this host."""
    found = []
    for family in (socket.AF_INET, socket.AF_INET6):
        request = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 1 << (_INFO - 1), 0, 1 << _ESTABLISHED)
        for kind, body in _talk(_BY_FAMILY, _REQUEST | _DUMP, request + b"\0" * 48):
            if kind == _BY_FAMILY:
                each = _connection(body)
                if each.port == port and each.inode:
                    found.append(each)
    return found


def destroy(connection):
    """End a connection: both sides see it aborted. Return False where it is gone; raise Failed where it cannot be."""
    request = struct.pack("=BBBBI", connection.family, socket.IPPROTO_TCP, 0, 0, 1 << _ESTABLISHED)
    for kind, body in _talk(_DESTROY, _REQUEST | _ACK, request + connection.ident):
        number = -struct.unpack("=i", body[:4])[0] if kind == _ERROR else 0
        if number == errno.ENOENT:
            return False
        if number in (errno.EPERM, errno.EACCES):
            raise Failed("only root may end connections of others; add become: true", cause="permission")
        if number in (errno.EOPNOTSUPP, errno.EINVAL):
            raise Failed("this kernel cannot end a connection from outside (CONFIG_INET_DIAG_DESTROY)")
        if number:
            raise Failed("the connection of %s cannot be ended: %s" % (connection.shown, os.strerror(number)))
    return True


def _connection(body):
    family = body[0]
    inode = struct.unpack("=I", body[68:72])[0]
    idle = silent = None
    at = 72
    while at + 4 <= len(body):
        length, kind = struct.unpack("=HH", body[at : at + 4])
        if length < 4:
            break
        if kind == _INFO and length >= 4 + _LAST_RECEIVED + 4:
            info = body[at + 4 : at + length]
            silent = struct.unpack("=I", info[_LAST_SENT : _LAST_SENT + 4])[0] / 1000.0
            idle = struct.unpack("=I", info[_LAST_RECEIVED : _LAST_RECEIVED + 4])[0] / 1000.0
        at += (length + 3) & ~3
    return Connection(family, body[4:52], inode, idle, silent)


def _talk(kind, flags, body):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as link:  # 4: NETLINK_SOCK_DIAG
        link.settimeout(10)
        link.send(struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body)
        answers = []
        while True:
            data = link.recv(1 << 17)
            at = 0
            while at + 16 <= len(data):
                length, told = struct.unpack("=IH", data[at : at + 6])
                if length < 16:
                    return answers
                part = data[at + 16 : at + length]
                if told == _DONE:
                    return answers
                answers.append((told, part))
                if told == _ERROR:
                    return answers
                at += (length + 3) & ~3


def _plain(family, raw):
    if family == socket.AF_INET6 and raw[:12] == b"\0" * 10 + b"\xff\xff":
        return socket.inet_ntop(socket.AF_INET, raw[12:])
    text = socket.inet_ntop(family, raw)
    return "[%s]" % text if family == socket.AF_INET6 else text
