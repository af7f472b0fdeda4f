"""A host that runs Docker of its own: Debian's units, a real disk, an image without a registry."""

from __future__ import annotations

import time

import pytest

from remedy.lab import Lab
from tests.conftest_lab import HostFactory

pytestmark = pytest.mark.lab

READY = ["systemctl", "start", "busybox-image"]


def test_a_host_runs_containers_and_is_clean_again_soon(lab: Lab, host_factory: HostFactory) -> None:
    host = host_factory("ships", role="docker").name
    lab.run(host, READY)
    lab.run(host, ["systemctl", "is-system-running", "--wait"])
    assert lab.run(host, ["docker", "run", "--rm", "busybox:1", "echo", "ahoy"]).stdout == "ahoy\n"
    mounts = lab.run(host, ["findmnt", "-n", "-o", "FSTYPE,SOURCE", "/var/lib/docker"]).stdout
    assert mounts.startswith("ext4 ")
    lab.run(host, ["docker", "run", "-d", "--name", "still", "busybox:1", "sleep", "1000"])
    begun = time.monotonic()
    lab.reset(host)
    lab.run(host, READY)
    assert time.monotonic() - begun < 15, "5 s, times 3"
    assert lab.run(host, ["docker", "ps", "--all", "--quiet"]).stdout == ""
