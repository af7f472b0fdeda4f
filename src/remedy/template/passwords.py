"""Vault passwords from files, and from programs that print one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from remedy.errors import InputError, Position

DEADLINE = 60.0


def read_password_file(path: Path, *, label: str = "", deadline: float = DEADLINE) -> bytes:
    """Return the password in a file, without surrounding blanks; an executable file is run and prints it.

    A program whose name ends in `-client` is told the vault id, as Ansible's. `deadline` in seconds. Raises
    InputError where there is no password.
    """
    where = Position(str(path))
    if not path.is_file():
        raise InputError(
            "the vault password file does not exist", where=where, hint="expected a file with one line"
        )
    password = _printed(path, label, deadline, where) if os.access(path, os.X_OK) else _read(path, where)
    password = password.strip()
    if not password:
        raise InputError(
            "the vault password is empty", where=where, hint="expected one line with the password"
        )
    return password


def _read(path: Path, where: Position) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        hint = "expected a file that you may read"
        raise InputError(
            f"the vault password cannot be read: {error.strerror}", where=where, hint=hint
        ) from error


def _printed(path: Path, label: str, deadline: float, where: Position) -> bytes:
    command = [str(path.resolve())]
    if path.stem.endswith("-client") and label:
        command += ["--vault-id", label]
    hint = (
        "expected a program that prints the password; make a plain password file non-executable (chmod 600)"
    )
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=deadline, stdin=subprocess.DEVNULL, check=False
        )
    except subprocess.TimeoutExpired as error:
        message = f"the vault password program did not end within {deadline:g} s"
        raise InputError(message, where=where, hint=hint) from error
    except OSError as error:
        message = f"the vault password program cannot be run: {error.strerror}"
        raise InputError(message, where=where, hint=hint) from error
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()
        message = f"the vault password program failed with exit status {done.returncode}: {said}"
        raise InputError(message, where=where, hint=hint)
    return done.stdout
