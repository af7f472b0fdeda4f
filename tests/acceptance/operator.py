"""The operator: remedy's command line as a program of its own, on real lab hosts."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml

from remedy.cli import main
from remedy.lab import Host, Lab
from remedy.lab.qemu import Guest
from tests.acceptance.terminal import PREFIX, Terminal

REMEDY = Path(sys.executable).with_name("remedy")


@dataclass(frozen=True)
class Result:
    """How a command ended; `report` is its JSON document, {} where it printed none."""

    code: int
    stdout: str
    stderr: str
    report: dict[str, Any] = field(default_factory=dict)

    def tasks(self, host: str | None = None) -> dict[str, dict[str, Any]]:
        """Return the tasks of a host (of all, for a run on one) by their names."""
        return {task["task"]: task for task in self.report["tasks"] if host in (None, task["host"])}

    def trips(self, host: str) -> int:
        """Return how many round trips a host took."""
        number: int = self.report["hosts"][host]["round_trips"]
        return number


class Operator:
    """A folder with a project, an inventory of lab hosts and a state folder; commands run in it."""

    def __init__(self, folder: Path, lab: Lab, *hosts: Host, **variables: Any) -> None:
        """`variables` are for all hosts; `ansible_user` is the lab's admin unless they say otherwise."""
        self.folder = folder
        self.lab = lab
        self.state = folder / "state"
        self._files = 0
        self._known = folder / "known_hosts"
        self._variables: dict[str, Any] = {
            "ansible_user": "admin",
            "ansible_ssh_private_key_file": str(lab.identity.key),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={self._known} -o StrictHostKeyChecking=yes",
            **variables,
        }
        self._hosts: dict[str, dict[str, Any]] = {}
        (folder / "inventory").mkdir(parents=True, exist_ok=True)
        self._known.touch()
        for host in hosts:
            self.add(host.name, host)

    def add(self, name: str, host: Host, port: int | None = None, **variables: Any) -> None:
        """Put a host into the inventory; `port` leads to it by a proxy on this machine."""
        address = host.address if port is None else "127.0.0.1"
        label = address if port is None else f"[127.0.0.1]:{port}"
        self._trust(label, host.host_key)
        self.place(
            name, ansible_host=address, **({} if port is None else {"ansible_port": port}), **variables
        )

    def add_guest(self, guest: Guest) -> None:
        """Put an emulated machine into the inventory."""
        self._trust(f"[{guest.address}]:{guest.port}", guest.host_key)
        # Emulated on a busy machine, it takes more than the usual ten seconds to let somebody in.
        self.place(guest.name, ansible_host=guest.address, ansible_port=guest.port, ansible_ssh_timeout=60)

    def _trust(self, label: str, key: str) -> None:
        with self._known.open("a") as known:
            known.write(f"{label} {' '.join(key.split()[:2])}\n")

    def place(self, name: str, **variables: Any) -> None:
        """Put a name into the inventory, whatever it leads to."""
        self._hosts[name] = variables
        inventory = {"all": {"vars": self._variables, "hosts": self._hosts}}
        (self.folder / "inventory/hosts.yml").write_text(yaml.safe_dump(inventory))

    def write(self, name: str, content: str) -> Path:
        """Write a file of the project."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path

    def play(self, playbook: str, *flags: str, **options: Any) -> Result:
        """Play a playbook: its text (of several lines), or its name."""
        return self.remedy("play", self._named(playbook), *flags, **options)

    def diagnose(self, playbook: str, *flags: str, **options: Any) -> Result:
        """Diagnose with a runbook: its text, or its name."""
        return self.remedy("diagnose", self._named(playbook), *flags, **options)

    def run(self, pattern: str, module: str, arguments: str = "", *flags: str, **options: Any) -> Result:
        """Run one module."""
        return self.remedy("run", pattern, "-m", module, "-a", arguments, *flags, **options)

    def rollback(self, *arguments: str, **options: Any) -> Result:
        """Take a run back."""
        return self.remedy("rollback", *arguments, **options)

    def remedy(self, command: str, *arguments: str, **options: Any) -> Result:
        """Run a command to its end; see `start` for the options."""
        stdin = options.pop("stdin", None)
        timeout = options.pop("timeout", 90)
        with self.start(command, *arguments, **options) as process:
            try:
                out, err = process.communicate(stdin, timeout)
            finally:
                process.kill()
        return finished(process.returncode, out, err)

    def here(self, command: str, *arguments: str) -> Result:
        """Run a command in this process, where a test may have changed how remedy works."""
        inventory = () if command == "schedule" else ("-i", str(self.folder / "inventory/hosts.yml"))
        words = [command, *arguments, *inventory, "--format", "json"]
        out, err, code = io.StringIO(), io.StringIO(), 0
        environment = {"REMEDY_STATE": str(self.state), "NO_COLOR": "1"}
        with (
            redirect_stdout(out),
            redirect_stderr(err),
            chdir(self.folder),
            patch.dict(os.environ, environment),
        ):
            try:
                main(words)
            except SystemExit as ended:
                code = int(str(ended.code))
        return finished(code, out.getvalue(), err.getvalue())

    def scheduled(self, playbook: str, limit: str, kinds: Sequence[str] = ("D", "R"), **variables: Any) -> Result:
        """Run a schedule now whose permission is for these kinds of step, mostly for all that one can be for."""
        granted = {"kinds": [*kinds], "at_most": "100%", "until": "2099-12-31", "by": "anna@example.com"}
        permission = {"permission": granted} if kinds else {}
        words = {"playbook": playbook, "inventory": "hosts", "limit": limit, "mode": "play", "when": "@daily"}
        given = {"vars": variables} if variables else {}
        written = {**words, **given, **permission}
        self.write(f"schedules/{playbook}.yml", yaml.safe_dump(written, sort_keys=False))
        return self.here("schedule", "run", playbook)

    def start(
        self,
        command: str,
        *arguments: str,
        json: bool = True,
        environment: Mapping[str, str] | None = None,
        passwords: Sequence[str] = (),
        under: Sequence[str] = (),
    ) -> subprocess.Popen[str]:
        """Begin a command; `json` asks for the report as a document; `passwords` are typed at a terminal's prompts.

        Without passwords there is no terminal. `under` is a program that runs remedy, such as faketime.
        """
        inventory = () if command in ("history",) else ("-i", str(self.folder / "inventory/hosts.yml"))
        shape = ("--format", "json") if json else ()
        terminal = Terminal(passwords) if passwords else None
        try:
            return subprocess.Popen(
                [*(PREFIX if terminal else ()), *under, str(REMEDY), command, *arguments, *inventory, *shape],
                cwd=self.folder,
                env={**os.environ, "REMEDY_STATE": str(self.state), "NO_COLOR": "1", **(environment or {})},
                stdin=terminal.inside if terminal else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=terminal is None,
            )
        finally:
            if terminal:
                os.close(terminal.inside)

    def named(self, plays: list[dict[str, Any]]) -> str:
        """Write a playbook and return its path."""
        return self._named(f"{yaml.safe_dump(plays, sort_keys=False)}\n")

    def journal(self) -> bytes:
        """Return every byte that the runs have kept on this machine."""
        return b"".join(path.read_bytes() for path in sorted(self.state.rglob("*")) if path.is_file())

    def _named(self, playbook: str) -> str:
        if "\n" not in playbook:
            return playbook
        self._files += 1
        return str(self.write(f"playbooks/play-{self._files}.yml", playbook))


def finished(code: int, out: str, err: str) -> Result:
    """Return the result of a command that has ended; whatever happened, it showed no traceback."""
    assert "Traceback (most recent call last)" not in out + err, out + err
    return Result(code, out, err, json.loads(out) if out.startswith("{") else {})
