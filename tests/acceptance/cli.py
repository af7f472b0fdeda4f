"""The real command line in this process, over a small project of its own."""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import select
import shlex
import socket
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

from remedy.cli import main

DOCUMENTED = {0, 2, 3, 4, 5, 10, 11, 99}
"""The exit codes that a user may meet; 1 is a fault of remedy's own."""

PLAIN = {
    "inventory/hosts.ini": "[web]\nweb[1:2] ansible_host=127.0.0.1 ansible_port=$PORT\n",
    "playbooks/site.yml": "- hosts: web\n  gather_facts: false\n  tasks:\n    - ping:\n",
}
"""A project in which nothing is wrong."""

LOCAL = "all:\n  hosts:\n    box: {ansible_connection: local}\n"
"""An inventory whose one host is this machine."""

_PATIENCE = 60.0  # seconds for another test session to be done with this machine


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Played:
    """What a play came to: its document, and what stood on standard error."""

    code: int
    document: dict[str, Any]
    err: str

    def task(self, name: str) -> dict[str, Any]:
        """Return what is told of the one task of this name."""
        (found,) = [task for task in self.document["tasks"] if task["task"] == name]
        return dict(found)

    def objects(self) -> set[str]:
        """Return the objects that changed, or would change."""
        return {change["object"] for change in self.document["changes"]}

    def tasks(self, *statuses: str) -> set[str]:
        """Return the names of the tasks that ended in one of these ways."""
        return {task["task"] for task in self.document["tasks"] if task["status"] in statuses}


def _wait_for_the_machine() -> None:
    """Wait until no other test session changes this machine: a run would be refused."""

    def wait() -> None:
        descriptor = os.open("/run", os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.close(descriptor)

    waiting = Thread(target=wait, daemon=True)
    waiting.start()
    waiting.join(_PATIENCE)
    if waiting.is_alive():
        raise TimeoutError("another run has been changing this machine for a minute")


class Listener:
    """A port that must never be connected; the hosts of the test projects lead to it."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]

    def contacted(self) -> bool:
        """Say whether anybody has connected since the last question."""
        met = False
        while select.select([self._socket], [], [], 0)[0]:
            self._socket.accept()[0].close()
            met = True
        return met

    def close(self) -> None:
        self._socket.close()


@dataclass(frozen=True)
class Scene:
    """A folder with a project; commands run in it."""

    folder: Path
    listener: Listener = field(default_factory=Listener)

    def write(self, files: Mapping[str, str | bytes]) -> None:
        """Write files; `$PORT` in a text is the listener's."""
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, str):
                content = content.replace("$PORT", str(self.listener.port)).encode()
            path.write_bytes(content)
            path.chmod(0o755 if content.startswith(b"#!") else 0o644)

    def run(self, arguments: str | list[str]) -> Done:
        """Run a command line; paths below the folder are shown as relative ones."""
        out, err = io.StringIO(), io.StringIO()
        words = shlex.split(arguments) if isinstance(arguments, str) else arguments
        with redirect_stdout(out), redirect_stderr(err):
            try:
                main(words)
            except SystemExit as ended:
                code = ended.code
        return Done(int(str(code)), self._short(out.getvalue()), self._short(err.getvalue()))

    def play(self, flags: str = "", *, name: str = "site") -> Played:
        """Play a playbook of the project on this machine."""
        while True:
            done = self.run(f"play {name} --format json --yes {flags}")
            document = json.loads(done.out)
            if not any(host["reason"] == "locked" for host in document["hosts"].values()):
                return Played(done.code, document, done.err)
            _wait_for_the_machine()

    def _short(self, text: str) -> str:
        text = text.replace(f"{self.folder}/", "").replace(str(self.folder), ".")
        return re.sub(r"[^\s,]*/(?=(playbooks|tasks)\b)", "PACKAGE/", text)


def sections(path: Path) -> dict[str, str]:
    """Return the parts of a fixture, each under its `=== NAME`."""
    parts = re.split(r"^=== (.+)\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))
