"""The addresses of this host, asked of the kernel directly: no `ip` program is needed."""

import socket
import struct

# linux/rtnetlink.h and linux/if_addr.h
_GETADDR, _DUMP, _DONE, _ERROR = 22, 0x301, 3, 2
_HEADER, _ADDRESS, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=BBBBI"), struct.Struct("=HH")
_IFA_ADDRESS, _IFA_LOCAL, _IFA_LABEL, _IFA_BROADCAST = 1, 2, 3, 4
_SCOPES = {0: "global", 200: "site", 253: "link", 254: "host"}


def addresses():
    """Ask the kernel for all addresses (rtnetlink(7), RTM_GETADDR); return {interface: [address]}."""
    found = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as link:
        link.settimeout(5)
        request = _HEADER.pack(_HEADER.size + _ADDRESS.size, _GETADDR, _DUMP, 1, 0)
        link.sendto(request + _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0), (0, 0))
        while True:
            data = link.recv(1 << 16)
            while data:
                length, kind = _HEADER.unpack_from(data)[:2]
                if kind in (_DONE, _ERROR):
                    return found
                name, address = _one(data[_HEADER.size : length])
                if name:
                    found.setdefault(name, []).append(address)
                data = data[length + 3 & ~3 :]


def _one(message):
    family, prefix, _, scope, index = _ADDRESS.unpack_from(message)
    values = {}
    rest = message[_ADDRESS.size :]
    while len(rest) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(rest)
        values[kind] = rest[_ATTRIBUTE.size : length]
        rest = rest[length + 3 & ~3 :]
    raw = values.get(_IFA_LOCAL) or values.get(_IFA_ADDRESS)
    if family not in (socket.AF_INET, socket.AF_INET6) or raw is None:
        return None, None
    try:
        name = socket.if_indextoname(index)
    except OSError:  # it went away meanwhile
        return None, None
    broadcast = values.get(_IFA_BROADCAST)
    return name, {
        "family": family,
        "address": socket.inet_ntop(family, raw),
        "prefix": prefix,
        "scope": _SCOPES.get(scope, str(scope)),
        "broadcast": socket.inet_ntop(family, broadcast) if broadcast else "",
    }
