"""Guests of the lab: real machines with a kernel, disks and a clock of their own, emulated by QEMU."""

from remedy.lab.qemu.guest import Guest
from remedy.lab.qemu.guests import Guests
from remedy.lab.qemu.spec import ROOT, GuestSpec

__all__ = ["ROOT", "Guest", "GuestSpec", "Guests"]
