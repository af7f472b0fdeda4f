"""Containers of Docker: their processes, and where a server in one is reached from the host."""

import os

from remedy.agent.kinds import Failed
from remedy.modules.target import _docker, _ports

_STATES = {"running": "running", "restarting": "starting", "paused": "hung"}


def listed(host, wanted, usual):
    """Return what is known of each container whose image and command are `wanted`: name, container, image, pid,
    state, unit_state, port and address.

    `usual` is the port that such a server has unless it is told another one. `port` is the published one; `address`
    the container's own where none is published, None: it is reached at 127.0.0.1. A port that is None: where it is
    reached is not known, as of one that is stopped and has published none, or has no network. No Docker, or one that
    gives no answer: [].
    """
    if not os.path.exists(_docker.SOCKET):
        return []
    engine = _docker.Engine(host, _docker.SOCKET, 5)
    try:
        names = [each["Id"] for each in engine.get("/containers/json", all="1") if wanted(each)]
    except (Failed, _docker.Refused):
        return []
    found = []
    for name in names:
        try:
            found.append(_about(engine, _inspected(engine, name), usual))
        except (Failed, _docker.Refused):
            continue  # it went
    return found


def _inspected(engine, name):
    return engine.get("/containers/%s/json" % _docker.part(name))


def _about(engine, inside, usual):
    state = inside.get("State") or {}
    name = inside["Name"].lstrip("/")
    pid = state.get("Pid") or None
    kind, _, other = str((inside.get("HostConfig") or {}).get("NetworkMode")).partition(":")
    # The network of another container: its addresses, and what it has published, lead here, too.
    owner = _inspected(engine, other) if kind == "container" and other else inside
    address, port = _place(inside, owner, pid, usual)
    return {
        "name": "container " + name,
        "container": name,
        "image": (inside.get("Config") or {}).get("Image"),
        "pid": pid,
        "state": _STATES.get(state.get("Status"), "failed" if state.get("ExitCode") else "stopped"),
        "unit_state": {"exit": str(state.get("ExitCode")), "active": state.get("Status")},
        "address": address,
        "port": port,
    }


def _place(inside, owner, pid, usual):
    """Return (address, port) as described above; `owner` is the container whose network it is in."""
    network = owner.get("NetworkSettings") or {}
    own = _own(inside, pid, usual)
    # What it is to have, and what it got: one that is stopped has none, one that Docker chose is only there.
    for ports in (network.get("Ports"), (owner.get("HostConfig") or {}).get("PortBindings")):
        bound = {int(name.partition("/")[0]): places for name, places in (ports or {}).items()
                 if places and name.endswith("/tcp")}  # fmt: skip
        if inside is not owner:
            bound = {inner: places for inner, places in bound.items() if inner in own}
        for inner in sorted(bound, key=lambda inner: (inner not in own, inner != usual, inner)):
            place = bound[inner][0]
            if place.get("HostPort") and place["HostPort"] != "0":
                local = place.get("HostIp") in (None, "", "0.0.0.0", "::", "127.0.0.1")
                return None if local else place["HostIp"], int(place["HostPort"])
    networks = network.get("Networks") or {}
    addresses = [each.get("IPAddress") for each in networks.values()]
    address = next((each for each in addresses if each), None)
    if address is None and "host" not in networks:
        return None, None
    return address, own[0] if own else usual


def _own(inside, pid, usual):
    """Return the ports that its processes listen on, those first that its image tells; else these."""
    told = [int(name.partition("/")[0]) for name in (inside.get("Config") or {}).get("ExposedPorts") or {}
            if name.endswith("/tcp")]  # fmt: skip
    seen = _ports.numbers(within(pid)) if pid else []
    return sorted(seen or told, key=lambda port: (port not in told, port != usual, port))


def within(pid):
    """Return the processes of a container by its first one; that alone where it has no process numbers of its own."""
    space = _space(pid)
    if not _apart(space):
        return [pid]
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and _space(name) == space] or [pid]


def inside(pid, first):
    """Say whether a process is one of a container, by its first one: see `within`."""
    space = _space(first)
    return _space(pid) == space if _apart(space) else int(pid) == int(first)


def _apart(space):
    return space is not None and space != _space("self")


def _space(pid):
    """Return which process numbers a process sees, None where it has ended or belongs to others."""
    try:
        return os.stat("/proc/%s/ns/pid" % pid).st_ino
    except OSError:
        return None
