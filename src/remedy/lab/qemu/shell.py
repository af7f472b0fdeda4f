"""Programs in a guest, by ssh."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from remedy.lab.door import Door
from remedy.lab.errors import LabError

_SSH_FAILED = 255


@dataclass(frozen=True)
class Shell(Door):
    """The way into one guest; `ssh` makes the command line that runs a command there as a user."""

    name: str
    ssh: Callable[..., list[str]]
    seconds: ClassVar[float] = 120

    def _execute(
        self, argv: Sequence[str], user: str, stdin: bytes, timeout: float
    ) -> tuple[int, bytes, bytes]:
        words = self.ssh(shlex.join(argv), user=user)
        try:
            done = subprocess.run(words, input=stdin, capture_output=True, timeout=timeout, check=False)
        except subprocess.TimeoutExpired as error:
            raise LabError(f"no end after {timeout:g} s: {shlex.join(argv)}", host=self.name) from error
        if done.returncode == _SSH_FAILED:
            said = done.stderr.decode(errors="replace").strip()
            raise LabError(f"no login: {said}", host=self.name, hint="remedy lab status")
        return done.returncode, done.stdout, done.stderr
