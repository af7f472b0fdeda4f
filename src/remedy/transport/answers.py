"""What ssh says of one name holds for all of them, where its configuration singles out none: a fleet asks once.

`ssh -G` costs 3 ms a host. It is asked for a name and a port that nobody has, and names the files that it read. Its
answer is anybody's if none of these files has a `Host` (but `Host *`) or a `Match`, and nothing in the answer depends
on name or port; else each host is asked for by itself.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from remedy.transport.sshconfig import Settings, directive_of, printed, read_settings

_NOBODY = "a-name-that-remedy-made-up"
_NO_PORT = "64253"
_PATIENCE = 0.5  # seconds: all hosts wait for this answer
_PLAIN = re.compile(r"\w[\w.-]*|[\da-fA-F:]+", re.ASCII)  # no user@, no ssh://
_FILE = re.compile(r"^debug1: Reading configuration data (.*?)\r?$", re.MULTILINE)


class Answers:
    """The answers of one run; safe to use from many threads."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], dict[str, list[str]] | None] = {}
        self._in_vain = False  # it is the same files for most hosts
        self._guard = threading.Lock()

    def read(self, host: str, name: str, arguments: Sequence[str]) -> Settings:
        """Return what holds for `name` with these ssh arguments, as `read_settings` does."""
        port = arguments[1] if arguments[:1] == ["-p"] else None
        words = ("-p", _NO_PORT, *arguments[2:]) if port is not None else tuple(arguments)
        with self._guard:
            if words not in self._known and not self._in_vain:
                self._known[words] = _for_anybody(words)
                self._in_vain = self._known[words] is None
            general = self._known.get(words)
        if general is None or not _PLAIN.fullmatch(name):
            return read_settings(host, name, arguments)
        own = {"hostname": [name.lower()]} if port is None else {"hostname": [name.lower()], "port": [port]}
        return Settings({**general, **own})


def _for_anybody(words: Sequence[str]) -> dict[str, list[str]] | None:
    """Return what ssh says with these arguments, None where it depends on the name."""
    program = shutil.which("ssh")
    if program is None:
        return None
    try:
        asked = subprocess.run(
            [program, "-v", "-T", "-G", *words, "--", _NOBODY],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (subprocess.TimeoutExpired, OSError):
        return None
    told = asked.stderr.decode(errors="surrogateescape")
    if asked.returncode != 0 or not told.startswith("OpenSSH_"):  # another one may be silent about its files
        return None
    if any(_singles_out(Path(file)) for file in _FILE.findall(told)):
        return None
    values = printed(asked.stdout)
    return values if _depends_on_nothing(values) else None


def _singles_out(file: Path) -> bool:
    try:
        lines = file.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return True
    found = map(directive_of, lines)
    return any(word == "match" or (word == "host" and value != "*") for word, value in found)


def _depends_on_nothing(values: Mapping[str, list[str]]) -> bool:
    if values.get("hostname") != [_NOBODY] or values.get("canonicalizehostname", ["false"]) != ["false"]:
        return False
    others = (
        value for word, found in values.items() if word not in ("host", "hostname", "port") for value in found
    )
    return not any(_NOBODY in value or _NO_PORT in value for value in others)
