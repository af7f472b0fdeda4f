"""Sets of machines: each `remedy drill` has one to itself, and none is that of the user's own `vagrant up`."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from remedy.home import home_folder
from remedy.lab import LabError
from remedy.lab.lock import locked

_MOST = 7  # VirtualBox lets users have 192.168.56.0 to 192.168.63.255; the first is for `vagrant up` by hand


@dataclass(frozen=True, slots=True)
class Set:
    """One set: its number chooses addresses and names of machines in the Vagrantfile."""

    number: int

    @classmethod
    def free(cls, stack: ExitStack) -> Set:
        """Return a set that no other process has; it is given back with the stack."""
        for number in range(1, _MOST + 1):
            found = cls.again(stack, number)
            if found is not None:
                return found
        raise LabError(f"all {_MOST} sets of Vagrant machines are in use", hint="wait for the other drills")

    @classmethod
    def again(cls, stack: ExitStack, number: int) -> Set | None:
        """Return the set with this number; None where another process has it."""
        found = cls(number)
        try:
            stack.enter_context(locked(found.folder / "lock", seconds=0))
        except LabError:
            return None
        return found

    @property
    def folder(self) -> Path:
        """What is kept of the set, also after a kill."""
        home = Path(os.environ.get("VAGRANT_HOME") or home_folder("VAGRANT_HOME") / ".vagrant.d")
        return home.absolute() / "remedy" / str(self.number)

    @property
    def data(self) -> Path:
        """Vagrant's own data of these machines."""
        return self.folder / "data"

    @property
    def environment(self) -> dict[str, str]:
        """What the Vagrantfile is told."""
        return {"REMEDY_VAGRANT_SET": str(self.number)}

    def clear(self) -> None:
        """Forget the machines; they have been destroyed."""
        shutil.rmtree(self.data, ignore_errors=True)
