"""Containers of Docker that run Redis or Valkey, and where each is reached from the host."""

import os

from remedy.agent.kinds import Failed
from remedy.modules.target import _docker, _ports

PORT = 6379
_STATES = {"running": "running", "restarting": "starting", "paused": "hung"}


def listed(host, wanted):
    """Return what is known of each container whose image and command are `wanted`: name, container, image, pid,
    state, unit_state, port and address.

    `port` is the published one, None where it is not known; `address` the container's own where none is published,
    None: it is reached at 127.0.0.1. No Docker, or one that gives no answer: [].
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
            found.append(_about(engine.get("/containers/%s/json" % name)))
        except (Failed, _docker.Refused):
            continue  # it went
    return found


def _about(inside):
    state = inside.get("State") or {}
    name = inside["Name"].lstrip("/")
    pid = state.get("Pid") or None
    address, port = _place(inside, pid)
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


def _place(inside, pid):
    """Return (address, port) as described above."""
    network = inside.get("NetworkSettings") or {}
    own = _own(inside, pid)
    # What it is to have, and what it got: one that is stopped has none, one that Docker chose is only there.
    for ports in (network.get("Ports"), (inside.get("HostConfig") or {}).get("PortBindings")):
        bound = {int(name.partition("/")[0]): places for name, places in (ports or {}).items()
                 if places and name.endswith("/tcp")}  # fmt: skip
        for inner in sorted(bound, key=lambda inner: (inner not in own, inner != PORT, inner)):
            place = bound[inner][0]
            if place.get("HostPort") and place["HostPort"] != "0":
                local = place.get("HostIp") in (None, "", "0.0.0.0", "::", "127.0.0.1")
                return None if local else place["HostIp"], int(place["HostPort"])
    addresses = [each.get("IPAddress") for each in (network.get("Networks") or {}).values()]
    address = next((each for each in addresses if each), None)
    if address is None and "host" not in (network.get("Networks") or {}):
        return None, None
    return address, own[0] if own else PORT


def _own(inside, pid):
    """Return the ports it listens on inside, else those that its image tells."""
    seen = sorted({port for _, port, _ in _ports.listening(pid)}) if pid else []
    told = [int(name.partition("/")[0]) for name in (inside.get("Config") or {}).get("ExposedPorts") or {}
            if name.endswith("/tcp")]  # fmt: skip
    found = [port for port in told if port in seen] or told or seen
    return sorted(found, key=lambda port: port != PORT)
