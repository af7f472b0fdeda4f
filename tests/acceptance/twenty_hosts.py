"""Where the twenty changes are made: in a folder of this machine, or on a lab host over SSH."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from remedy.lab import Host, Lab
from tests.acceptance import tree, wrecker
from tests.acceptance.operator import Operator
from tests.acceptance.twenty import FILES

SOURCE = Path(tree.__file__).read_bytes()
GONE_SECONDS = 15.0  # an agent whose link has ended is gone after 5 s


class Local:
    """A tree on this machine; a folder of its own stands for /run, so that its lock is nobody else's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = str(folder / "tree")
        self._run = folder / "run"
        self._run.mkdir(parents=True)
        self._states = 0
        variables = {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3"}
        hosts = {"all": {"hosts": {"here": {**variables, "tree": self.root}}}}
        for name, text in {**FILES, "inventory/hosts.yml": json.dumps(hosts)}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)

    def build(self) -> dict[str, Any]:
        """Make the tree anew and return what it looks like."""
        tree.build(self.root)
        return tree.look(self.root)

    def look(self) -> dict[str, Any]:
        """Return what the tree looks like when the agent is gone."""
        self.wait_until_free()
        return tree.look(self.root)

    def wait_until_free(self) -> None:
        """Return when the agent has let go of the lock, which it does last."""
        subprocess.run(["flock", "-w", f"{GONE_SECONDS:g}", str(self._run), "true"], check=True)

    def state(self) -> Path:
        """Return a new folder for runs."""
        self._states += 1
        return self.folder / f"state-{self._states}"

    def order(self, state: Path, *arguments: str, **options: Any) -> wrecker.Order:
        """Return a command for this tree."""
        inventory = ("-i", str(self.folder / "inventory/hosts.yml"))
        return wrecker.Order((*arguments, *inventory), self.folder, state, run=self._run, **options)


class Remote:
    """A tree on a lab host, worked on as root by sudo, over SSH."""

    root = "/srv/tree"

    def __init__(self, folder: Path, lab: Lab, host: Host, **options: Any) -> None:
        self.lab = lab
        self.host = host
        self.operator = Operator(folder, lab, tree=self.root)
        self.operator.add(host.name, host, **options)
        self._states = 0
        for name, text in FILES.items():
            self.operator.write(name, text)

    def build(self) -> dict[str, Any]:
        """Make the tree anew and return what it looks like."""
        return self._tree("build")

    def look(self, seconds: float = GONE_SECONDS) -> dict[str, Any]:
        """Return what the tree looks like when the agent is gone, which must be within `seconds`."""
        return self._tree("look", "flock", "-w", f"{seconds:g}", "/run")

    def agents(self, seconds: float = 3 * 5.0) -> list[str]:
        """Return the processes of remedy that are still there after `seconds`, as soon as there are none."""
        script = (
            f"for i in $(seq {seconds * 10:.0f}); do "
            'found=$(pgrep -af "[r]emedy [0-9]{8}-") || exit 0; sleep 0.1; done; echo "$found"'
        )
        return self.lab.run(self.host.name, ["sh", "-c", script], timeout=seconds + 30).stdout.splitlines()

    def state(self) -> Path:
        """Return a new folder for runs."""
        self._states += 1
        return self.operator.folder / f"state-{self._states}"

    def order(self, state: Path, *arguments: str, **options: Any) -> wrecker.Order:
        """Return a command for this tree."""
        inventory = ("-i", str(self.operator.folder / "inventory/hosts.yml"))
        return wrecker.Order((*arguments, *inventory), self.operator.folder, state, **options)

    def _tree(self, command: str, *before: str) -> dict[str, Any]:
        words: Sequence[str] = [*before, "python3", "-", command, self.root]
        found: dict[str, Any] = json.loads(self.lab.run(self.host.name, words, stdin=SOURCE).stdout)
        return found
