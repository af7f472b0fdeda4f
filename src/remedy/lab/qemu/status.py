"""How the guests of a lab are doing, seen from outside so that a sick guest is seen too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from remedy.lab.qemu.guest import Guest
from remedy.lab.qemu.guests import Guests
from remedy.lab.qemu.spec import ROOT
from remedy.lab.status import age


@dataclass(frozen=True, slots=True)
class GuestStatus:
    """What is known of one guest from outside."""

    guest: Guest
    running: bool
    seconds: float
    """Since it was switched on."""
    disks: Mapping[str, int]
    """Serial → bytes; what is on them only the guest knows."""


def guest_status(guests: Guests) -> list[GuestStatus]:
    """Return the state of every guest of a lab."""
    return [_status(guests, guest) for guest in guests.guests()]


def _status(guests: Guests, guest: Guest) -> GuestStatus:
    process = guests.process(guest.name)
    disks = {serial: guest.disk(serial).stat().st_size for serial in (ROOT, *guest.spec.disks)}
    return GuestStatus(guest, process is not None, age(process) if process is not None else 0.0, disks)
