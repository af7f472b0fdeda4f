"""disk-full finds and heals each cause: by what it reports, by what is gone, and by what still stands and works."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remedy.lab import Disk, Host, Lab
from tests.acceptance import causes
from tests.acceptance.causes import line_afterwards, sh
from tests.acceptance.cutting import CuttingProxy
from tests.acceptance.healing import SIZES, found, heal, nothing_left, percent, why
from tests.acceptance.host_tree import changed, look
from tests.acceptance.operator import Operator
from tests.acceptance.shop import CASES, EVERYTHING, MB, SHOP, everything, make_sick, well
from tests.conftest_lab import HostFactory

pytestmark = pytest.mark.lab

AGED = ("-e", "docker_age=1s")
SHIPS = "ships"
# What logins, sudo and syslog leave behind, whoever comes.
COMINGS = {"/var/log/wtmp", "/var/log/lastlog", "/var/log/auth.log", "/var/log/syslog", "/var/log/user.log"}


@pytest.fixture(scope="module")
def hosts(host_factory: HostFactory) -> tuple[Host, Host]:
    shop = host_factory(SHOP, role="app", root_size="64M", disks={"/var/log": Disk("96M", inodes=2000)})
    return shop, host_factory(SHIPS, role="docker")


@pytest.fixture(autouse=True)
def _well(lab: Lab, hosts: tuple[Host, Host]) -> Iterator[None]:
    yield
    lab.reset(SHOP)


@pytest.fixture
def ships(lab: Lab) -> Iterator[None]:
    yield
    lab.reset(SHIPS)


def beside_comings(paths: set[str]) -> set[str]:
    """Leave out what every login leaves behind."""
    homes = ("/home/admin", "/home/operator")
    return {
        path
        for path in paths - COMINGS - {"/", "/home"}
        if not path.startswith(("/run/", *homes)) and path != "/run"
    }


@pytest.fixture
def sick(lab: Lab, hosts: tuple[Host, Host], ships: None, tmp_path: Path) -> Operator:
    """The operator of two hosts that are sick of everything there is."""
    everything(lab, tmp_path)
    sh(lab, SHIPS, causes.DOCKER)
    return Operator(tmp_path, lab, *hosts)


SHOPS = {(SHOP, name) for name in ("disk-full", *EVERYTHING.findings)}
BOTH = {*SHOPS, (SHIPS, "disk-full"), (SHIPS, "docker")}


@pytest.mark.soak  # the drills of disk-full are about each of these, too
@pytest.mark.parametrize("cause", CASES)
def test_one_cause(lab: Lab, hosts: tuple[Host, Host], tmp_path: Path, cause: str) -> None:
    case = CASES[cause]
    make_sick(lab, case, tmp_path)
    who = "operator" if case.mount == "/" else "admin"
    typed: dict[str, Any] = {"passwords": [lab.password(who)]} if who == "operator" else {}
    flags = ("-K",) if typed else ()
    operator = Operator(tmp_path, lab, hosts[0], ansible_user=who)
    assert percent(lab, SHOP, case.mount) > 85
    before = look(lab, SHOP)

    diagnosed = operator.diagnose("disk-full", *SIZES, *flags, **typed)
    assert diagnosed.code == 10, why(diagnosed)
    assert set(found(diagnosed)) == {(SHOP, name) for name in ("disk-full", *case.findings)}, why(diagnosed)
    assert diagnosed.report["changes"] == []
    advice = found(diagnosed)[SHOP, "disk-full"]["advice"]
    assert advice.partition("The most files: ")[2].startswith(case.crowd + " (" if case.crowd else "")
    if (
        case.spare and case.mount != "/"
    ):  # what is left is for its owner; an overlay does not tell where a file lies
        ballast = f"{case.mount}/ballast ("
        assert advice.partition(ballast)[2].partition(")")[0].endswith("owner root"), advice
    [evidence] = [found(diagnosed)[SHOP, name]["evidence"] for name in case.findings]
    named = {row["item"].partition(" (")[0] for row in evidence}
    assert case.gone <= named
    assert all((row["size"] > 0 or "inodes" in cause) and row["reason"] for row in evidence)
    assert beside_comings(changed(before, look(lab, SHOP))) == set()

    healed = heal(operator, *flags, **typed)
    assert healed.code == 0, why(healed)
    assert {each["resolved"] for each in healed.report["findings"]} == {True}
    assert percent(lab, SHOP, case.mount) <= 85
    freed = sum(change["bytes_freed"] for change in healed.report["changes"])
    assert freed >= (0 if "inodes" in cause else 6 * MB)
    after = look(lab, SHOP)
    assert before.keys() - after.keys() >= case.gone
    for unit in case.logs:
        assert line_afterwards(lab, SHOP, unit) == "a line afterwards\n"
    different = beside_comings(changed(before, after)) - case.gone - case.differ
    assert {path for path in different if not path.startswith("/var/log/jobs/")} == set()

    nothing_left(operator, *flags, **typed)


def containers(lab: Lab) -> dict[str, set[str]]:
    """Return what Docker has on `ships`."""
    told = {
        "containers": "ps -a --format '{{.Names}} {{.State}}'",
        "images": "images -a --format '{{.ID}}'",
        "labelled": "images -a --filter label=remedy.keep --format '{{.ID}}'",
        "volumes": "volume ls --format '{{.Name}}'",
    }
    return {name: set(sh(lab, SHIPS, f"docker {words}").splitlines()) for name, words in told.items()}


@pytest.mark.soak  # a drill is about it, and `all at once` has it, too
def test_docker(lab: Lab, hosts: tuple[Host, Host], ships: None, tmp_path: Path) -> None:
    sh(lab, SHIPS, causes.DOCKER)
    lab.fill(SHIPS, "/var/lib/docker")
    operator = Operator(tmp_path, lab, hosts[1])
    before = containers(lab)
    tree = look(lab, SHIPS)

    diagnosed = operator.diagnose("disk-full", *SIZES)
    assert diagnosed.code == 10, why(diagnosed)
    assert set(found(diagnosed)) == {(SHIPS, "disk-full"), (SHIPS, "docker")}
    evidence = found(diagnosed)[SHIPS, "docker"]["evidence"]
    assert ["container done" in row["item"] for row in evidence["containers"]] == [True]
    assert max(row["bytes"] for row in evidence["images"]) >= 20 * MB
    assert max(row["bytes"] for row in evidence["build_cache"]) >= 20 * MB

    healed = heal(operator)
    assert healed.code == 0, why(healed)
    assert percent(lab, SHIPS, "/var/lib/docker") <= 85
    assert sum(change["bytes_freed"] for change in healed.report["changes"]) > 59 * MB
    after = containers(lab)
    assert before["containers"] - after["containers"] == {"done exited"}
    assert "web running" in after["containers"]
    assert after["volumes"] == before["volumes"]
    assert before["labelled"] == after["labelled"] != set()
    assert len(before["images"] - after["images"]) == 2
    different = beside_comings(changed(tree, look(lab, SHIPS)))
    assert {path for path in different if not path.startswith("/var/lib/docker/")} == set()
    assert sh(lab, SHIPS, "docker run --rm busybox:1 echo alive") == "alive\n"
    nothing_left(operator)


def test_all_at_once(lab: Lab, sick: Operator) -> None:
    before = look(lab, SHOP)
    diagnosed = sick.diagnose("disk-full", *SIZES)
    assert diagnosed.code == 10, why(diagnosed)
    assert set(found(diagnosed)) == BOTH
    healed = heal(sick)
    assert healed.code == 0, why(healed)
    assert set(found(healed)) == BOTH
    assert {each["resolved"] for each in healed.report["findings"]} == {True}
    after = look(lab, SHOP)
    assert before.keys() - after.keys() >= EVERYTHING.gone
    well(lab)
    nothing_left(sick)


@pytest.mark.soak  # its drill is about old logs; what cleans is that of disk-full
def test_the_weekly_maintenance_clears_what_is_old_of_each_kind(lab: Lab, sick: Operator) -> None:
    before = look(lab, SHOP)
    chosen = {"disk_limit": "85%", "log_age": "7d", "temporary_age": "7d", "journal_size": "2M", "big_log": "99M"}
    weekly = ("--yes", *AGED, "-e", json.dumps({**chosen, "log_sample": 0, "log_growth": 0}))
    healed = sick.play("maintenance-weekly", *weekly)
    assert healed.code == 0, why(healed)
    kinds = EVERYTHING.findings - {"big-logs"}
    told = found(healed)
    assert {name for host, name in told if host == SHOP} == {"disk-headroom", *kinds}
    assert {name for host, name in told if host == SHIPS} == {"disk-headroom", "docker"}
    # A live log is not emptied here, and what it takes is told: its disk stays above the limit.
    left = {key for key, each in told.items() if not each["resolved"]}
    assert left == {(SHOP, "disk-headroom")}
    assert percent(lab, SHOP, "/tmp") <= 85
    assert percent(lab, SHIPS, "/var/lib/docker") <= 85
    after = look(lab, SHOP)
    kept = {"/var/log/shop/worker.log.2"}  # log_keep: one old file of each log stays
    assert before.keys() - after.keys() >= EVERYTHING.gone - kept
    assert {"/tmp/young", "/var/log/shop/book", "/var/log/shop/app.log.1", *kept} <= after.keys()
    again = sick.play("maintenance-weekly", *weekly)
    assert (again.code, again.report["changes"]) == (0, []), why(again)
    assert set(found(again)) == {(SHOP, "disk-headroom")}
    # A smaller big_log wants it rotated, and there is no room for the copy that this takes: that is said.
    tight = sick.play("maintenance-weekly", *weekly, "-e", "big_log=8M", "-l", SHOP)
    assert tight.code == 2
    (failed,) = (each for each in tight.report["tasks"] if each["status"] == "failed")
    assert "/var/log/shop/big.log is as big as it was" in failed["reason"]
    assert "no room for copying /var/log/shop/big.log: it may take 25.0 MiB, /var/log/shop has " in failed["reason"]


def test_a_clock_two_days_ahead_takes_nothing_for_old(lab: Lab, sick: Operator) -> None:
    """Temporary files alone fill /tmp, so it stays full; the two other disks are healed by what has no age."""
    before, held = look(lab, SHOP), containers(lab)
    healed = heal(sick, *AGED, under=("faketime", "-f", "+2d"))
    assert healed.code == 2, why(healed)
    refused = {name: each for (host, name), each in found(healed).items() if name.endswith("-unknown")}
    assert set(refused) == {"old-logs-unknown", "temporary-files-unknown"}
    for each in refused.values():
        assert each["evidence"].startswith("the host's clock is 172800 s off")
    assert before.keys() - look(lab, SHOP).keys() == causes.DEBS
    assert containers(lab) == held
    failed = {task["host"]: task["reason"] for task in healed.report["tasks"] if task["status"] == "failed"}
    assert failed[SHOP].startswith("still above 85%: /tmp (100% of bytes")
    assert failed[SHIPS].startswith("still above 85%: /var/lib/docker")
    assert max(percent(lab, SHOP, mount) for mount in ("/", "/var/log")) <= 85
    for unit in EVERYTHING.logs:
        assert line_afterwards(lab, SHOP, unit) == "a line afterwards\n"


def announced(operator: Operator) -> int:
    """Return how many changes the runs have announced."""
    return operator.journal().count(b'"event":"Intent"')


@pytest.mark.parametrize("how", ["interrupted", "killed", "link cut"])
def test_cut_off_somewhere_and_played_again(
    lab: Lab, hosts: tuple[Host, Host], tmp_path: Path, how: str
) -> None:
    """In the middle of the fix, after a number of changes that chance decides."""
    everything(lab, tmp_path)
    operator = Operator(tmp_path, lab)
    proxy = CuttingProxy((hosts[0].address, 22))
    operator.add(SHOP, hosts[0], proxy.port)
    before = random.randint(1, len(EVERYTHING.findings))
    process = operator.start("play", "disk-full", "--yes", *SIZES)
    try:
        until = time.monotonic() + 60
        while announced(operator) < before:
            assert process.poll() is None, (before, process.communicate())
            assert time.monotonic() < until
            time.sleep(0.005)
        if how == "link cut":
            proxy.cut(proxy.pieces + 1, random.random())
        else:
            process.send_signal(signal.SIGINT if how == "interrupted" else signal.SIGKILL)
        process.communicate(timeout=60)
    finally:
        process.kill()
        proxy.close()
    # The last change may be its end.
    ends = {"interrupted": 99, "killed": -signal.SIGKILL, "link cut": 4}
    assert process.returncode in (ends[how], 0)
    # The agent of a killed run ends with its connection; until then the host is its.
    sh(lab, SHOP, "flock -w 15 /run true", 20)
    operator.add(SHOP, hosts[0])
    again = heal(operator)
    assert again.code == 0, (before, why(again))
    well(lab)
    nothing_left(operator)


def test_what_is_to_be_left_alone_is_no_finding(lab: Lab, hosts: tuple[Host, Host], tmp_path: Path) -> None:
    everything(lab, tmp_path)
    alone = '{"log_paths": [], "temporary_paths": [], "binlog_purge": false}'
    done = Operator(tmp_path, lab, hosts[0]).diagnose("disk-full", "-e", alone)
    assert done.code == 10, why(done)
    assert set(found(done)) == {(SHOP, "disk-full"), (SHOP, "package-cache")}


def test_a_sweep_may_be_the_first_word_to_a_host(lab: Lab, hosts: tuple[Host, Host], tmp_path: Path) -> None:
    """Nothing has told the clock yet, and the check pass wants to know it."""
    sh(lab, SHOP, causes.OLD_LOGS)
    given = '{"paths": ["/var/log"], "age": "7d"}'
    refused = Operator(tmp_path, lab, hosts[0]).run(SHOP, "old_files", given, "-b", timeout=20)
    assert refused.code == 3, refused
    assert "would destroy 4 files" in refused.stderr
