"""The % tokens, ~ and ${VARIABLE} in paths and commands of ssh_config (ssh_config(5), TOKENS)."""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import socket
from collections.abc import Mapping

_TOKEN = re.compile(r"%(.)")
_VARIABLE = re.compile(r"\$\{(\w+)\}")


def tokens(*, name: str, host: str, port: int, user: str, jump: str, alias: str | None) -> dict[str, str]:
    """Return what each letter after % stands for."""
    local = socket.gethostname()
    return {
        "%": "%",
        "h": host,
        "n": name,
        "p": str(port),
        "r": user,
        "j": jump,
        "k": alias or name,
        "l": local,
        "L": local.split(".")[0],
        "u": local_user(),
        "i": str(os.getuid()),
        "d": os.path.expanduser("~"),  # noqa: PTH111  (Path raises where there is none)
        "C": hashlib.sha1(f"{local}{host}{port}{user}{jump}".encode(), usedforsecurity=False).hexdigest(),
    }


def expand(text: str, letters: Mapping[str, str]) -> str:
    """Return the text with its tokens replaced; one that is not known stays as it is."""
    return _TOKEN.sub(lambda found: letters.get(found[1], found[0]), text)


def expand_path(text: str, letters: Mapping[str, str]) -> str:
    """Return a path with tokens, ~ and ${VARIABLE} replaced."""
    text = _VARIABLE.sub(lambda found: os.environ.get(found[1], found[0]), expand(text, letters))
    return os.path.expanduser(text)  # noqa: PTH111  (Path raises for a user that does not exist)


def local_user() -> str:
    """Return the name of the user who runs remedy, or the number where it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
