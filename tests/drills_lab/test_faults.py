"""Each fault on a real host: it breaks, a second time changes nothing, and the way back leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remedy.lab import Lab
from tests.acceptance.host_tree import look
from tests.acceptance.operator import Operator
from tests.modules.faults.cases import BASE, CASES, DRILL, HOSTS, NGINX, SHOP, STAYS
from tests.modules.running import in_lab, step

pytestmark = pytest.mark.lab

COMINGS = ("/run", "/var/log/wtmp", "/var/log/lastlog", "/var/log/auth.log", "/var/log/syslog", "/var/log/cron.log",
           "/var/log/user.log", "/var/log/nginx", "/var/lib/nginx", "/home/admin")  # fmt: skip
REMAINS = """
systemctl list-units --all --plain --no-legend 'remedy-drill*'
systemctl show -P DropInPaths -P ActiveState nginx
grep remedy-drill /proc/self/mountinfo || true
pgrep -af remedy-drill || true
if command -v docker > /dev/null; then docker ps -a --format '{{.Names}}'; docker images -aq; docker volume ls -q; fi
if command -v mariadb > /dev/null; then mariadb -NBe 'SHOW DATABASES'; fi
"""


@pytest.fixture(scope="module", autouse=True)
def fresh(lab: Lab) -> Iterator[dict[str, dict[str, Any]]]:
    """Boot the hosts; what each is like before anything happens, by its name."""
    lab.up(HOSTS)
    sh(lab, SHOP, NGINX)
    yield {host.name: fingerprint(lab, host.name) for host in HOSTS}
    lab.remove(*(host.name for host in HOSTS))


def sh(lab: Lab, host: str, script: str) -> str:
    """Run a script as root in a host."""
    return lab.run(host, ["sh", "-ec", script], timeout=30).stdout


def one(lab: Lab, host: str, module: str, /, **given: Any) -> dict[str, Any]:
    (frame,) = in_lab(lab, host, step(module, **given))
    return dict(frame)


def undone(module: str, frame: dict[str, Any], **given: Any) -> dict[str, Any]:
    """Return the step that takes a change back, as a rollback would, after somebody has healed a part of it."""
    change = frame["change"]
    kept = {"state": change["before"]}
    return {**step(module, **given), "op": "undo", "kept": kept, "expect": [change["after"]]}


def fingerprint(lab: Lab, host: str) -> dict[str, Any]:
    """Return what a host is like: all files, and what faults could leave behind besides."""
    # Not by `sh -c`: the script would find itself among the processes.
    found: dict[str, Any] = {"remains": lab.run(host, ["sh", "-e"], stdin=REMAINS.encode()).stdout}
    for path, known in look(lab, host).items():
        if not path.startswith((*COMINGS, *STAYS.get(host, ()))):
            mode, uid, gid, size, written, _, *rest = known  # type: ignore[misc]
            folder = mode & 0o170000 == 0o040000
            found[path] = (mode, uid, gid) if folder else (mode, uid, gid, size, written, *rest)
    return found


def differing(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {
        key: (one.get(key), other.get(key)) for key in one.keys() | other if one.get(key) != other.get(key)
    }


@pytest.mark.soak  # the drills have each of these come and go, too
@pytest.mark.parametrize("name", CASES)
def test_a_fault_comes_and_goes(lab: Lab, fresh: dict[str, dict[str, Any]], name: str) -> None:
    case = CASES[name]
    there = step(case.module, **case.params)
    # All that `absent` knows is who it is: name, path, port.
    named = {key: value for key, value in case.params.items() if key in ("name", "path", "port")}
    gone = step(case.module, state="absent", **named)

    seen, here, again = in_lab(lab, case.host, {**there, "check": True}, there, there)
    assert (seen["status"], seen["change"]["predicted"]) == ("changed", True), seen
    assert (here["status"], here["change"]["before"]) == ("changed", None), here
    assert (again["status"], again["reason"]) == ("ok", "it is broken already"), again
    sh(lab, case.host, case.broken)
    sh(lab, case.host, case.heals or "true")

    frames = in_lab(lab, case.host, undone(case.module, here, **case.params), gone, there, gone, gone)
    told = [(frame["status"], frame["reason"]) for frame in frames]
    nothing = ("ok", "there is no such fault")
    assert told == [("changed", ""), nothing, ("changed", ""), ("changed", ""), nothing]
    assert differing(fresh[case.host], fingerprint(lab, case.host)) == {}


def test_a_run_leaves_its_process_and_a_rollback_ends_it(lab: Lab, tmp_path: Path) -> None:
    operator = Operator(tmp_path, lab, lab.host(SHOP), drill=True)
    broken = operator.run(SHOP, "fault_deleted_open", "size=1M", "-b")
    assert broken.code == 0, broken
    unit = "remedy-drill-deleted-app"
    sh(lab, SHOP, f"flock -w 15 /run true; systemctl -q is-active {unit}")
    pid = sh(lab, SHOP, f"systemctl show -P MainPID {unit}")
    assert operator.run(SHOP, "fault_deleted_open", "size=1M", "-b").report["changes"] == []
    assert sh(lab, SHOP, f"systemctl show -P MainPID {unit}") == pid
    run = broken.report["run"]["id"]
    back = operator.rollback(run, "--yes")
    assert back.code == 0, back
    assert sh(lab, SHOP, f"systemctl show -P LoadState {unit}; ls -d {DRILL} || true") == "not-found\n"


def test_a_host_that_is_not_marked_is_refused(lab: Lab, tmp_path: Path) -> None:
    refused = Operator(tmp_path, lab, lab.host(SHOP)).run(SHOP, "fault_port", "port=8081", "-b", "--yes")
    assert refused.code == 3
    assert f"the inventory does not mark {SHOP} for that" in refused.stderr


def test_what_is_not_its_own_stays(lab: Lab) -> None:
    """Files beside its own, in a folder that it made, and drop-ins of others."""
    other = "/run/systemd/system/nginx.service.d/other.conf"
    script = f"mkdir -p $(dirname {other}); echo '[Unit]' > {other}; systemctl daemon-reload; {NGINX}"
    sh(lab, SHOP, script)
    one(lab, SHOP, "fault_logs", rotated=1, size="1K")
    one(lab, SHOP, "fault_service", name="nginx", how="kill")
    sh(lab, SHOP, f"echo mine > {DRILL}/book; echo mine > {DRILL}/remedy-drill-application.log")
    for frame in in_lab(
        lab, SHOP, step("fault_logs", state="absent"), step("fault_service", name="nginx", state="absent")
    ):
        assert frame["status"] == "changed", frame
    assert (
        sh(lab, SHOP, f"ls {DRILL}; ls $(dirname {other})")
        == "book\nremedy-drill-application.log\nother.conf\n"
    )
    sh(lab, SHOP, f"rm -r {DRILL} $(dirname {other}); systemctl daemon-reload")


def test_a_configuration_comes_back_whatever_became_of_it(lab: Lab) -> None:
    path = "/etc/nginx/nginx.conf"
    whole = sh(lab, SHOP, f"sha1sum {path}; stat -c '%a %U %Y' {path}")
    one(lab, SHOP, "fault_config", path=path, search="user www-data", replace="user nobody-at-all")
    sh(lab, SHOP, f"! nginx -tq 2> /dev/null; echo new > {path}; chmod 600 {path}; touch {path}")
    frame = one(lab, SHOP, "fault_config", path=path, state="absent")
    assert frame["status"] == "changed", frame
    assert sh(lab, SHOP, f"sha1sum {path}; stat -c '%a %U %Y' {path}") == whole


REFUSED = {
    "more than most": (
        "fault_disk_full",
        {"path": "/var/log", "most": "1M"},
        "give a higher most if that is meant",
    ),
    "more left than is free": (
        "fault_disk_full",
        {"path": "/var/log", "leave": "1G"},
        "1073741824 are to be left: nothing to fill; leave less",
    ),
    "more files than most": ("fault_inodes_full", {"path": "/var/log", "most": 10}, "has 19"),
    "no folder": ("fault_disk_full", {"path": "/nowhere"}, "/nowhere is no folder on this host"),
    "no room for logs": ("fault_logs", {"size": "1G"}, "has no room for 1073741824 bytes more"),
    "no room for what is deleted": ("fault_deleted_open", {"size": "1G"}, "has no room for 1073741824 bytes"),
    "another folder than its own": (
        "fault_logs",
        {"folder": "/var/log/shop"},
        "only one named remedy-drill is made",
    ),
    "a taken port": ("fault_port", {"port": 22}, "address already in use; stop who listens there first"),
    "no such unit": (
        "fault_service",
        {"name": "ngin"},
        "there is no unit ngin.service on this host; did you mean ngi",
    ),
    "a unit that does not run": ("fault_service", {"name": "e2scrub_reap"}, "only what runs can be broken"),
    "a unit that ends": ("fault_crash_loop", {"name": "e2scrub_reap"}, "runs once and ends (Type=oneshot)"),
    "a text that is not there": (
        "fault_config",
        {"path": "/etc/hosts", "search": "qq"},
        "does not hold the text 'qq'",
    ),
    "a file that is not there": (
        "fault_config",
        {"path": "/etc/nil", "line": "x"},
        "there is no file /etc/nil to break",
    ),
    "no database": ("fault_binlogs", {}, "this host has neither the program mariadb nor mysql"),
    "no Docker": ("fault_docker", {}, "there is no Docker socket at /var/run/docker.sock"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_broken_says_why_and_leaves_nothing(lab: Lab, name: str) -> None:
    module, params, text = REFUSED[name]
    broken, gone = in_lab(lab, SHOP, step(module, **params), step(module, state="absent", **params))
    assert broken["status"] == "failed"
    assert text in broken["reason"]
    assert gone["status"] in ("ok", "failed")
    assert gone["status"] == "ok" or text in gone["reason"]
    assert sh(lab, SHOP, f"ls -a / /var/log /var/lib {DRILL} 2> /dev/null | grep remedy-drill || true") == ""


def test_a_full_disk_takes_no_binary_logs(lab: Lab) -> None:
    """A server that finds its disk full hangs."""
    frame = one(lab, BASE, "fault_binlogs", size="1G")
    assert frame["status"] == "failed"
    assert "/var/lib/mysql has no room for" in frame["reason"]


def test_nobody_but_root_breaks_anything(lab: Lab) -> None:
    (frame,) = in_lab(lab, SHOP, step("fault_port", port=8081), user="plain")
    assert (frame["status"], frame["result"]["cause"]) == ("failed", "permission")
