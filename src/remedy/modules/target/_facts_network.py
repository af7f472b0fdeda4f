"""Facts about the network, asked of the kernel directly: no `ip` program is needed."""

import os
import socket
import struct

from remedy.modules.target import _addresses
from remedy.modules.target._facts_system import read

_TYPES = {"1": "ether", "772": "loopback", "32": "infiniband", "512": "ppp"}


def facts():
    """Return the facts of the group network, without the ansible_ before their names."""
    found = {"interfaces": [], "all_ipv4_addresses": [], "all_ipv6_addresses": []}
    addresses = _addresses.addresses()
    by_name = {}
    for name in sorted(os.listdir("/sys/class/net")):
        if not os.path.isdir("/sys/class/net/" + name):
            continue
        about = _interface(name)
        for address in addresses.get(name, ()):
            _add(about, address, found)
        by_name[name] = about
        found["interfaces"].append(name)
    for name, about in by_name.items():
        found[_fact(name)] = about
    found["default_ipv4"] = _default4(by_name)
    found["default_ipv6"] = _default6(by_name)
    return found


def _fact(name):
    return "".join(c if c.isalnum() else "_" for c in name)


def _interface(name):
    folder = "/sys/class/net/%s/" % name
    kind = _TYPES.get(read(folder + "type").strip(), "unknown")
    for mark, special in (("bridge", "bridge"), ("bonding", "bonding")):
        kind = special if os.path.isdir(folder + mark) else kind
    about = {
        "device": name,
        "type": kind,
        "mtu": int(read(folder + "mtu").strip() or 0),
        # IFF_UP; operstate is "unknown" for loopback and many tunnels that work
        "active": bool(int(read(folder + "flags").strip() or "0", 16) & 1),
        "promisc": bool(int(read(folder + "flags").strip() or "0", 16) & 0x100),
    }
    mac = read(folder + "address").strip()
    if mac and mac != "00:00:00:00:00:00":
        about["macaddress"] = mac
    speed = _speed(folder)
    if speed > 0:
        about["speed"] = speed
    if os.path.exists(folder + "device/driver/module"):
        about["module"] = os.path.basename(os.path.realpath(folder + "device/driver/module"))
    if kind == "bridge":
        about["interfaces"] = sorted(os.listdir(folder + "brif"))
    return about


def _speed(folder):
    try:
        return int(read(folder + "speed").strip() or -1)
    except ValueError:
        return -1


def _add(about, address, found):
    if address["family"] == socket.AF_INET6:
        entry = {"address": address["address"], "prefix": str(address["prefix"]), "scope": address["scope"]}
        about.setdefault("ipv6", []).append(entry)
        if address["address"] != "::1":
            found["all_ipv6_addresses"].append(address["address"])
        return
    prefix = address["prefix"]
    mask = 0xFFFFFFFF << 32 - prefix & 0xFFFFFFFF
    number = struct.unpack("!I", socket.inet_aton(address["address"]))[0]
    entry = {
        "address": address["address"],
        "broadcast": address["broadcast"],
        "netmask": socket.inet_ntoa(struct.pack("!I", mask)),
        "network": socket.inet_ntoa(struct.pack("!I", number & mask)),
        "prefix": str(prefix),
    }
    if "ipv4" in about:
        about.setdefault("ipv4_secondaries", []).append(entry)
    else:
        about["ipv4"] = entry
    if not address["address"].startswith("127."):
        found["all_ipv4_addresses"].append(address["address"])


def _default4(by_name):
    best = None
    for line in read("/proc/net/route").splitlines()[1:]:
        words = line.split()
        if words[1] == "00000000" and int(words[3], 16) & 3 and (best is None or int(words[6]) < best[0]):
            best = (int(words[6]), words[0], socket.inet_ntoa(struct.pack("=I", int(words[2], 16))))
    if best is None or best[1] not in by_name:
        return {}
    about = by_name[best[1]]
    found = dict(about.get("ipv4", {}), interface=best[1], gateway=best[2], alias=best[1])
    return dict(found, **{name: about[name] for name in ("macaddress", "mtu", "type") if name in about})


def _default6(by_name):
    best = None
    for line in read("/proc/net/ipv6_route").splitlines():
        words = line.split()
        usable = int(words[8], 16) & 0x203 == 3  # up, by a gateway, not rejected
        if words[0] == "0" * 32 and words[1] == "00" and usable and words[9] in by_name:
            metric = int(words[5], 16)
            if best is None or metric < best[0]:
                best = (metric, words[9], socket.inet_ntop(socket.AF_INET6, bytes.fromhex(words[4])))
    if best is None:
        return {}
    about = by_name[best[1]]
    addresses = [each for each in about.get("ipv6", ()) if each["scope"] == "global"]
    found = dict(addresses[0] if addresses else {}, interface=best[1], gateway=best[2])
    return dict(found, **{name: about[name] for name in ("macaddress", "mtu", "type") if name in about})
