"""The main job, as an operator does it: a log disk is full to the last byte; diagnose, look, heal, heal again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remedy.lab import Disk, Host, Lab
from tests.acceptance.host_tree import Tree, changed, look
from tests.acceptance.operator import Operator
from tests.conftest_lab import HostFactory

pytestmark = pytest.mark.lab

MAKE_SICK = """
set -eu
for week in 2 3; do
    for name in app worker; do
        head -c 12M /dev/zero > /var/log/$name.log.$week
        touch -d "$((week * 7)) days ago" /var/log/$name.log.$week
    done
done
head -c 1M /dev/zero > /var/log/app.log.1
mkdir /var/log/kept
echo precious > /var/log/kept/book
touch -d '90 days ago' /var/log/kept/book
"""

OLD = {f"/var/log/{name}.log.{week}" for name in ("app", "worker") for week in (2, 3)}

SIZE = 4 * (12 << 20)


@pytest.fixture(scope="module")
def hosts(lab: Lab, host_factory: HostFactory) -> tuple[Host, Host]:
    disks = {"/var/log": Disk("96M")}
    return host_factory("full", disks=disks), host_factory("healthy", disks=disks)


@pytest.fixture(autouse=True)
def _sick(lab: Lab, hosts: tuple[Host, Host]) -> Iterator[None]:
    lab.run("full", ["sh", "-c", MAKE_SICK])
    lab.fill("full", "/var/log")
    yield
    lab.reset("full", "healthy")


@pytest.fixture(params=["admin", "operator"])
def who(request: pytest.FixtureRequest) -> str:
    """Who heals: one whom sudo asks for nothing, and one who types his password."""
    return str(request.param)


def options(lab: Lab, who: str) -> tuple[tuple[str, ...], dict[str, Any]]:
    return ((), {}) if who == "admin" else (("-K",), {"passwords": [lab.password(who)]})


def free(lab: Lab) -> int:
    return int(lab.run("full", ["df", "--output=avail", "-B1", "/var/log"]).stdout.split()[1])


def logs(tree: Tree) -> set[str]:
    return {path for path in tree if path.startswith("/var/log/")}


def beside_logins(paths: set[str]) -> set[str]:
    """Leave out what every login and sudo writes, whoever comes."""
    return {path for path in paths if not path.startswith("/run") and path != "/var/log/wtmp"} - {
        "/home/admin/.sudo_as_admin_successful",
        "/home/admin",
        "/home",
        "/",
    }


def test_diagnose_look_heal_and_heal_again(
    lab: Lab, hosts: tuple[Host, Host], tmp_path: Path, who: str
) -> None:
    flags, typed = options(lab, who)
    operator = Operator(tmp_path, lab, *hosts, ansible_user=who)
    before = {name: look(lab, name) for name in ("full", "healthy")}
    assert free(lab) == 0

    found = operator.diagnose("disk-full", *flags, **typed)
    assert found.code == 10, found
    assert {(each["host"], each["id"], each["severity"]) for each in found.report["findings"]} == {
        ("full", "disk-full", "P1"),
        ("full", "old-logs", "P3"),
    }
    assert "/var/log above 85%" in {each["title"] for each in found.report["findings"]}
    assert found.report["changes"] == []

    foreseen = operator.play("disk-full", "--check", *flags, **typed)
    assert foreseen.code == 0, foreseen
    assert foreseen.report["run"]["mode"] == "check"
    predicted = foreseen.report["changes"]

    refused = operator.play("disk-full", *flags, **typed)
    assert refused.code == 3, refused
    assert refused.report["changes"] == []
    for path in OLD:
        assert path in refused.stderr, refused.stderr
    assert "would destroy 4 files (48.0 MiB) on 1 host" in refused.stderr
    assert "--yes" in refused.stderr
    assert "healthy" not in refused.stderr

    for name in ("full", "healthy"):
        assert beside_logins(changed(before[name], look(lab, name))) == set()
    assert free(lab) == 0

    healed = operator.play("disk-full", "--yes", *flags, **typed)
    assert healed.code == 0, healed
    after = {name: look(lab, name) for name in ("full", "healthy")}
    assert beside_logins(changed(before["healthy"], after["healthy"])) == set()
    assert beside_logins(changed(before["full"], after["full"])) == {*OLD, "/var/log"}
    assert logs(before["full"]) - logs(after["full"]) == OLD
    assert free(lab) > SIZE - (16 << 20), "journald has waited for room, too"
    counts = healed.report["hosts"]
    assert (counts["full"]["changed"], counts["full"]["failed"]) == (1, 0)
    assert (counts["healthy"]["changed"], counts["healthy"]["failed"]) == (0, 0)
    freed = [(each["host"], each["object"], each["bytes_freed"]) for each in healed.report["changes"]]
    assert freed == [(each["host"], each["object"], each["bytes_freed"]) for each in predicted]
    assert sum(size for _, _, size in freed) == SIZE
    assert {each["resolved"] for each in healed.report["findings"]} == {True}

    again = operator.play("disk-full", "--yes", *flags, **typed)
    assert again.code == 0, again
    assert again.report["changes"] == again.report["findings"] == []
    assert {host["changed"] for host in again.report["hosts"].values()} == {0}
    assert operator.diagnose("disk-full", *flags, **typed).code == 0


def test_a_disk_that_old_logs_cannot_heal_is_not_called_healed(
    lab: Lab, hosts: tuple[Host, Host], tmp_path: Path
) -> None:
    lab.run("full", ["sh", "-c", "rm /var/log/*.log.[23]"])
    lab.fill("full", "/var/log")
    done = Operator(tmp_path, lab, *hosts).play("disk-full", "--yes")
    assert done.code == 2, done
    assert done.report["changes"] == []
    assert done.report["hosts"]["full"]["failed"] == 1
    assert done.report["hosts"]["healthy"]["failed"] == 0
