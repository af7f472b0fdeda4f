"""The home folder of who runs remedy, and paths that begin with ~. A service or a container may have none."""

from __future__ import annotations

import os
from pathlib import Path

from remedy.errors import InputError


def home_folder(instead: str) -> Path:
    """Return the home folder; InputError where there is none, `instead` saying what to set in its place."""
    try:
        return Path.home()
    except (RuntimeError, KeyError):
        raise InputError(
            f"user {os.getuid()} has no home folder: HOME is not set, and no entry of the password file names one",
            hint=f"set {instead}, or HOME",
        ) from None


def expanded(written: str | Path) -> Path:
    """Return a path, a leading ~ or ~user replaced by that home folder; InputError where there is none."""
    try:
        return Path(written).expanduser()
    except (RuntimeError, KeyError):
        whose = str(written).partition("/")[0]
        raise InputError(
            f"'{written}': no home folder is known for {whose}", hint="expected a path without ~, or set HOME"
        ) from None
