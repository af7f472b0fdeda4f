"""A MariaDB in a lab host, and the operator who plays on it; faults may break it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from remedy.lab import Lab
from tests.acceptance.operator import Operator, Result
from tests.modules.mariadb import Database

OPTION_FILE = "/etc/mysql/mariadb.conf.d/zz-remedy.cnf"


class MySQL(Database):
    """A MySQL in a lab host of the role `mysql`."""

    def sql(self, text: str, seconds: float = 20) -> str:
        """Run statements as root; what they answer, columns parted by tabs."""
        return self.lab.run(self.host, ["mysql", "-NBe", text], timeout=seconds).stdout.strip()


class Bench:
    """One server, its host marked for faults, and an operator with variables for it."""

    unit = "mariadb"

    def __init__(self, folder: Path, lab: Lab, name: str, **variables: Any) -> None:
        self.db = Database(lab, name)
        self.name = name
        self.operator = Operator(folder, lab, ansible_become=True, **variables)
        self.operator.add(name, lab.host(name), drill=True)

    def task(self, module: str, *flags: str, **params: Any) -> dict[str, Any]:
        """Play one task in this process; return its row of the report."""
        return self.tasks({module: params}, flags=flags)[0]

    def tasks(self, *tasks: dict[str, Any], flags: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Play tasks in this process; return their rows of the report."""
        return [dict(each) for each in self.report(*tasks, flags=flags)["tasks"]]

    def report(self, *tasks: dict[str, Any], flags: Sequence[str] = ()) -> dict[str, Any]:
        """Play tasks in this process; return the document."""
        book = [{"hosts": self.name, "gather_facts": False, "tasks": list(tasks)}]
        path = self.operator.write("playbooks/one.yml", json.dumps(book))
        return self.operator.here("play", str(path), *(flags or ("--yes",))).report

    def runbook(self, name: str, *flags: str) -> Result:
        """Play a runbook in this process, approved ahead."""
        return self.operator.here("play", name, "--yes", *flags)

    def diagnose(self, name: str, *flags: str) -> dict[str, dict[str, Any]]:
        """Return the findings of a runbook by their ids."""
        found = self.operator.here("diagnose", name, *flags).report["findings"]
        return {each["id"]: each for each in found}

    def fault(self, module: str, **params: Any) -> None:
        """Break it, or with state: absent make it whole."""
        done = self.task(module, **params)
        assert done["status"] in ("changed", "ok"), done["reason"]

    def variable(self, name: str) -> str:
        """Return a global variable, as the server has it."""
        return self.db.sql(f"SELECT @@GLOBAL.{name}")

    def restart(self) -> None:
        """Restart the server."""
        self.db.lab.run(self.name, ["systemctl", "restart", self.unit])


def changes(result: Result) -> list[tuple[str, str]]:
    """Return what a run changed: (task, object)."""
    return [(each["task"], each["object"]) for each in result.report["changes"]]


def row(result: Result, task: str) -> dict[str, Any]:
    """Return a task's row of the report."""
    return result.tasks()[task]
