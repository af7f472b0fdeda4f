"""Users, passwords, sudo and doas of one test alone: an /etc of its own in a mount namespace."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

PASSWORD = "let me in"
USERS = {"anna": 4001, "ben": 4002, "app": 4003}
"""anna and ben have PASSWORD; app has none, and nologin as its shell."""

PROGRAMS = {"sudo": "sudo", "doas": "opendoas", "setpriv": "util-linux", "unshare": "util-linux"}


def install() -> None:
    """See that the programs are there that these tests are about."""
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    if missing:
        subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", *missing], check=True)


class People:
    """A folder that becomes /etc for the processes of one test."""

    def __init__(self, folder: Path, hashed: str) -> None:
        self.folder = folder
        self.files: dict[str, str] = {
            "passwd": _passwd(),
            "group": _group(),
            "shadow": _shadow(hashed),
            "sudoers": "root ALL=(ALL:ALL) ALL\n",
            "doas.conf": "",
        }

    def write(self, name: str, text: str) -> None:
        """Set one of the files."""
        self.files[name] = text

    def shell(self, user: str) -> tuple[str, ...]:
        """Return the words that run a line as this user, as a login would."""
        for name, text in self.files.items():
            (self.folder / name).write_text(text)
            mode = 0o755 if text.startswith("#!") else 0o644
            (self.folder / name).chmod(0o440 if name in ("sudoers", "shadow") else mode)
        number = USERS[user]
        script = (
            "mkdir -p etc run && mount -t tmpfs none etc && cp -a /etc/. etc/ && rm -rf etc/sudoers.d "
            f"&& cp -p {' '.join(self.files)} etc/ && mount --bind etc /etc "
            "&& mount -t tmpfs -o mode=755 none run && mkdir -p run/sudo && mkdir -p /run/sudo "
            "&& mount --bind run/sudo /run/sudo && cd / "
            f"&& exec setpriv --reuid {number} --regid {number} --clear-groups "
            'env -u SUDO_USER HOME=/tmp USER="$1" LOGNAME="$1" /bin/sh -c "$0"'
        )
        inner = f"cd '{self.folder}' && {script}"
        return ("unshare", "-m", "--propagation", "private", "/bin/sh", "-c", inner.replace("$1", user))


def hashed(password: str) -> str:
    """Return the entry for /etc/shadow."""
    words = ["openssl", "passwd", "-6", "-salt", "remedytests", password]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def _passwd() -> str:
    shells: Mapping[str, str] = {"app": "/usr/sbin/nologin"}
    lines = [f"{name}:x:{n}:{n}::/tmp:{shells.get(name, '/bin/bash')}\n" for name, n in USERS.items()]
    return Path("/etc/passwd").read_text() + "".join(lines)


def _group() -> str:
    return Path("/etc/group").read_text() + "".join(f"{name}:x:{n}:\n" for name, n in USERS.items())


def _shadow(entry: str) -> str:
    lines = [f"{name}:{'*' if name == 'app' else entry}:19000:0:99999:7:::\n" for name in USERS]
    root = f"root:{entry}:19000:0:99999:7:::\n"
    rest = [line for line in Path("/etc/shadow").read_text().splitlines(True) if not line.startswith("root:")]
    return root + "".join(rest) + "".join(lines)
