"""The host of the tests of disk-grow, and who lets its disks grow; the other tests here have hosts of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from remedy.lab import Disk, Lab
from tests.conftest_lab import HostFactory
from tests.services_lab.growing import Bench, Machine


@pytest.fixture(scope="module")
def booted(lab: Lab, host_factory: HostFactory) -> Machine:
    host_factory("grows", role="disks", root_size="64M", disks={"/srv/disks": Disk("2G")})
    return Machine(lab, "grows")


@pytest.fixture
def machine(booted: Machine) -> Machine:
    booted.clean()
    return booted


@pytest.fixture
def bench(machine: Machine, lab: Lab, tmp_path: Path) -> Bench:
    return Bench(tmp_path, lab, machine)
