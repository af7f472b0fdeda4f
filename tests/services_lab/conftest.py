"""Hosts that several tests here have: one whose disks grow, and the server of a history; the others have their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from remedy.lab import Disk, Lab
from tests.conftest_lab import HostFactory
from tests.services_lab.growing import Bench, Machine
from tests.services_lab.postgres import Postgres


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


@pytest.fixture(scope="module")
def server(lab: Lab, host_factory: HostFactory) -> Postgres:
    found = Postgres.booted(lab, host_factory)
    found.account("ops", "a/secret")
    return found


@pytest.fixture
def url(server: Postgres) -> str:
    """An empty database."""
    server.sql("DROP DATABASE IF EXISTS ops WITH (FORCE)")
    server.sql("CREATE DATABASE ops OWNER ops")
    return f"postgresql://ops:a%2Fsecret@{server.address}/ops"
