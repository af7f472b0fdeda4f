"""Programs of the control machine: running them, and installing those the lab needs."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from remedy.lab.errors import LabError

_One = TypeVar("_One")

Say = Callable[[str], None]
"""Where progress is told; the lab itself prints nothing."""

NEEDED = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "ip": "iproute2",
    "mkfs.ext4": "e2fsprogs",
    "losetup": "mount",
    "nsenter": "util-linux",
    "openssl": "openssl",
}
"""Program → the Debian package that brings it."""

APART = ("unshare", "--mount", "--propagation", "slave")
"""Before a command whose mounts end with it, whatever happens."""

APT_ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}


def quiet(_text: str) -> None:
    """Tell nobody."""


def run(
    argv: Sequence[str],
    *,
    ok: Sequence[int] = (0,),
    stdin: str | None = None,
    timeout: float = 60,
    env: Mapping[str, str] | None = None,
    hint: str | None = None,
) -> str:
    """Run a program of the control machine and return its stdout; an exit code not in `ok` is a LabError."""
    try:
        done = subprocess.run(
            list(argv),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env={**os.environ, **(env or {})},
            check=False,
        )
    except FileNotFoundError as error:
        raise LabError(f"the program {argv[0]} is not installed on the control machine", hint=hint) from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"no end after {timeout:g} s: {shlex.join(argv)}", hint=hint) from error
    if done.returncode not in ok:
        said = (done.stderr or done.stdout).strip()[-2000:] or "nothing was printed"
        raise LabError(f"exit code {done.returncode} from: {shlex.join(argv)}\n  {said}", hint=hint)
    return done.stdout


def require(say: Say = quiet, more: Mapping[str, str] | None = None) -> None:
    """Refuse where no lab can run, and install the missing programs, NEEDED and `more`, through apt-get."""
    if not sys.platform.startswith("linux"):
        raise LabError(
            f"the lab needs Linux, this is {sys.platform}",
            hint="run it on Linux or in a Linux virtual machine; the rest of remedy works without a lab",
        )
    require_root()
    if "overlay" not in Path("/proc/filesystems").read_text() and not _load("overlay"):
        raise LabError(
            "this kernel has no overlay filesystem",
            hint="load it (modprobe overlay) or boot a kernel that has it",
        )
    if not Path("/dev/loop-control").exists() and not _load("loop"):
        raise LabError(
            "this machine has no loop devices (/dev/loop-control is missing)",
            hint="load them (modprobe loop), or give the container that this runs in access to them",
        )
    needed = {**NEEDED, **(more or {})}
    install({package for program, package in needed.items() if shutil.which(program) is None}, say)


def require_root() -> None:
    """Refuse to go on as an ordinary user."""
    if os.geteuid() != 0:
        raise LabError(
            "the lab needs root: it mounts filesystems and makes network links",
            hint="run it as root, for example: sudo remedy lab up",
        )


def install(packages: set[str], say: Say = quiet) -> None:
    """Install Debian packages on the control machine."""
    if not packages:
        return
    names = sorted(packages)
    if shutil.which("apt-get") is None:
        raise LabError(
            f"the lab needs {', '.join(names)}, and there is no apt-get to install them",
            hint="install these programs with this system's package manager: " + ", ".join(sorted(NEEDED)),
        )
    say(f"installing {', '.join(names)} on this machine")
    hint = f"install them by hand, then try again: apt-get install {' '.join(names)}"
    command = ["apt-get", "-q", "-y", "--no-install-recommends", "install", *names]
    try:
        run(command, timeout=300, env=APT_ENVIRONMENT, hint=hint)
    except LabError:  # the package lists may be missing or old
        run(["apt-get", "-q", "update"], timeout=300, env=APT_ENVIRONMENT, hint=hint)
        run(command, timeout=300, env=APT_ENVIRONMENT, hint=hint)


def _load(module: str) -> bool:
    if shutil.which("modprobe") is None:
        return False
    return subprocess.run(["modprobe", module], capture_output=True, check=False).returncode == 0


def each(work: Callable[[_One], None], hosts: Sequence[_One], stop: threading.Event | None = None) -> None:
    """Do one thing to all of these at once; the first error stops the waiting of the others."""
    with ThreadPoolExecutor(max_workers=max(1, len(hosts))) as pool:
        try:
            for done in [pool.submit(work, host) for host in hosts]:
                done.result()
        except BaseException:
            if stop is not None:
                stop.set()
            raise
