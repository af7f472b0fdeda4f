"""Fixtures with real lab hosts; loaded as a plugin by tests/conftest.py.

Where no lab can run these fixtures fail with the lab's own error: a test that needs a host is never skipped.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator

import pytest

from remedy.lab import Host, HostSpec, Lab
from remedy.lab.qemu import Guest, Guests, GuestSpec
from remedy.lab.roles import NEWER_ROLES

NEWER = "REMEDY_TEST_NEWER"
"""A variable: where it is set, hosts are those of the next Debian, as far as there are such."""


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A lab of this test session: its hosts, network and cgroups are not those of the user's lab."""
    with Lab.for_tests(say=lambda text: print(f"lab: {text}", file=sys.stderr)) as lab:
        yield lab


HostFactory = Callable[..., Host]


@pytest.fixture(scope="module")
def host_factory(lab: Lab) -> Iterator[HostFactory]:
    """Make clean hosts for one test module: host_factory("h1", disks=...) or host_factory(*specs).

    Names are the module's own; its hosts end with it. A second call with the same definition returns the
    running host as it is; `lab.reset(name)` makes it clean again.
    """
    made: dict[str, None] = {}

    def make(name: str = "h1", **options: object) -> Host:
        made[name] = None
        newer = f"{options.get('role', 'base')}-newer"
        if os.environ.get(NEWER) and newer in NEWER_ROLES:
            options["role"] = newer
        return lab.up([HostSpec(name, **options)])[0]  # type: ignore[arg-type]

    yield make
    lab.remove(*(host.name for host in lab.hosts() if host.name in made))


@pytest.fixture(scope="module")
def lab_host(host_factory: HostFactory) -> Host:
    """One clean base host for a test module."""
    return host_factory("h1")


@pytest.fixture(scope="session")
def guests(lab: Lab) -> Guests:
    """The guests of the session's lab: power, disks, clock, and programs in them."""
    return Guests(lab, say=lambda text: print(f"lab: {text}", file=sys.stderr))


GuestFactory = Callable[..., Guest]


@pytest.fixture(scope="module")
def guest_factory(guests: Guests) -> Iterator[GuestFactory]:
    """Boot emulated machines for one test module: guest_factory("g1", disks={"vol0a": "1G"}).

    A boot takes 20 s and more, so a module had better share one. A second call with the same definition returns the
    guest as it is, booted if it was off; `guests.reset(name)` makes it clean again.
    """
    made: dict[str, None] = {}

    def make(name: str = "g1", **options: object) -> Guest:
        made[name] = None
        return guests.up([GuestSpec(name, **options)])[0]  # type: ignore[arg-type]

    yield make
    guests.remove(*(guest.name for guest in guests.guests() if guest.name in made))
