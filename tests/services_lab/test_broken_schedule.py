"""A schedule whose file broke, under a real systemd: its unit fails in everybody's sight, with file and line."""

from __future__ import annotations

import pytest

from remedy.lab import Lab
from tests.conftest_lab import HostFactory
from tests.services_lab.timekeeping import MARK, PROJECT, STATE, Keeper

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

UNIT = "remedy-ops-breaking.service"
FILE = f"{PROJECT}/schedules/breaking.yml"


def _result(keeper: Keeper) -> dict[str, str]:
    told = keeper.run("systemctl", "show", UNIT, "-p", "Result,ExecMainStatus,ActiveState")
    return dict(line.split("=", 1) for line in told.splitlines())


@pytest.mark.soak
def test_the_unit_fails_with_the_place_and_starts_again_once_it_is_mended(
    lab: Lab, host_factory: HostFactory
) -> None:
    host_factory("breaks")
    keeper = Keeper(lab, "breaks", ("breaks",))
    keeper.furnish()
    keeper.put(f"{PROJECT}/playbooks/mark.yml", MARK)
    keeper.remedy("schedule", "add", "breaking", "--playbook", "mark", "--mode", "play", "--when", "@yearly")
    keeper.run("chown", "-R", "admin:admin", STATE, PROJECT)
    keeper.remedy("schedule", "export", "breaking", "--systemd", "--install", "--run-as", "admin")
    whole = keeper.run("cat", FILE)
    try:
        keeper.put(FILE, whole.replace("@yearly", "@yerly"))
        keeper.run("systemctl", "start", UNIT, ok=None)
        assert _result(keeper) == {"Result": "exit-code", "ExecMainStatus": "5", "ActiveState": "failed"}
        assert UNIT in keeper.run("systemctl", "list-units", "--failed", "--plain", "--no-legend")
        said = keeper.run("journalctl", "-q", "-o", "cat", "-u", UNIT)
        assert "breaking: what is due does not run: its file cannot be used" in said
        assert "schedules/breaking.yml:3:7: when: " in said
        keeper.put(FILE, whole)
        keeper.run("systemctl", "start", UNIT)
        assert _result(keeper) == {"Result": "success", "ExecMainStatus": "0", "ActiveState": "inactive"}
        assert "breaking: nothing is due" in keeper.run("journalctl", "-q", "-o", "cat", "-u", UNIT)
        # What was remembered of it is over, though nothing was missed.
        (kept,) = keeper.run("ls", f"{STATE}/schedules").split()
        assert kept.endswith(".clock")
    finally:
        keeper.remedy("schedule", "remove", "breaking")
