"""The guest whose disks grow, and who lets them; the other tests here have guests of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from remedy.lab import Lab
from remedy.lab.qemu import Guest, Guests
from tests.acceptance.operator import Operator
from tests.conftest_lab import GuestFactory
from tests.services_lab.growing import Machine
from tests.soak.lvm import CLEAN, DISK, SERIAL, TWIN


@pytest.fixture(scope="module")
def booted(guest_factory: GuestFactory) -> Guest:
    return guest_factory("grow", disks={SERIAL: "640M", "twin": "640M"})


@pytest.fixture
def machine(guests: Guests, booted: Guest) -> Machine:
    machine = Machine(guests, booted.name, seconds=600)
    machine.shell(CLEAN, DISK, TWIN)
    return machine


@pytest.fixture
def operator(tmp_path: Path, lab: Lab, booted: Guest, machine: Machine) -> Operator:
    operator = Operator(tmp_path, lab, ansible_become=True)
    operator.add_guest(booted)
    return operator
