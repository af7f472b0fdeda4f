"""Where a process listens, and whether that is where a client on its host got to: in a network namespace of its own."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, os, socket, sys
from remedy.modules.target import _listening
with socket.socket() as server:
    server.bind((sys.argv[1], 4711))
    server.listen()
    asked = ("127.0.0.1", "127.0.1.1", "10.7.0.1", "10.7.0.2", "198.51.100.9")
    print(json.dumps([each for each in asked if _listening.serves(os.getpid(), each + ":4711")]))
"""
NETWORK = "ip link set lo up; ip address add 10.7.0.1/32 dev lo; "


@pytest.mark.parametrize(
    ("bound", "serves"),
    [("0.0.0.0", ["127.0.0.1", "127.0.1.1", "10.7.0.1"]), ("10.7.0.1", ["10.7.0.1"]), ("127.0.0.1", ["127.0.0.1"])],
)
@pytest.mark.parametrize("nonlocal_bind", [0, 1])
def test_only_an_address_of_this_host_is_served_by_it(bound, serves, nonlocal_bind):
    """With ip_nonlocal_bind, as keepalived sets it, a process may bind what the host does not have."""
    setting = f"sysctl -qw net.ipv4.ip_nonlocal_bind={nonlocal_bind}; "
    done = subprocess.run(
        ["unshare", "--net", "sh", "-ec", NETWORK + setting + 'exec "$@"', "sh", sys.executable, "-c", PROGRAM, bound],
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    )
    assert json.loads(done.stdout) == serves
