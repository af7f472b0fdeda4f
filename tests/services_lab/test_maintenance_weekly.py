"""maintenance-weekly on real hosts: nothing to find, what is told, what is done, and what never goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from remedy.lab import Disk, Lab
from tests.acceptance.healing import why
from tests.acceptance.operator import Operator
from tests.conftest_lab import HostFactory
from tests.modules.running import in_lab, step
from tests.services_lab.drilled import drilled, told

pytestmark = pytest.mark.lab

QUICK = ("-e", "log_sample=0", "-e", "log_growth=0")


@pytest.fixture(scope="module")
def host(lab: Lab, host_factory: HostFactory) -> str:
    return host_factory("weekly", role="app", disks={"/var/log": Disk("96M")}).name


@pytest.fixture
def operator(lab: Lab, host: str, tmp_path: Path) -> Operator:
    return Operator(tmp_path, lab, lab.host(host), ansible_become=True)


def sh(lab: Lab, host: str, script: str) -> str:
    return lab.run(host, ["sh", "-ec", script], timeout=60).stdout


def findings(done: Any) -> dict[str, dict[str, Any]]:
    return {each["id"]: each for each in done.report["findings"]}


def test_a_host_without_docker_and_databases_has_nothing(operator: Operator) -> None:
    done = operator.here("play", "maintenance-weekly", "--yes", *QUICK)
    assert (done.code, done.report["findings"], done.report["changes"]) == (0, [], []), done.stderr
    for book in ("maintenance-mysql", "maintenance-postgres"):
        done = operator.here("play", book, "--yes")
        assert (done.code, done.report["findings"], done.report["changes"]) == (0, [], []), done.stderr


def test_without_leave_nothing_old_goes_and_with_it_only_that(
    operator: Operator, lab: Lab, host: str
) -> None:
    sh(lab, host, """
    mkdir -p /var/log/shop && cd /var/log/shop
    for n in 1 2 3 4 5 6 7; do fallocate -l 9M app.log.$n; touch -d "$((30 + n)) days ago" app.log.$n; done
    echo young > web.log.1
    fallocate -l 1M orders.db && touch -d '200 days ago' orders.db
    tail -f /dev/null 3>> app.log.7 > /dev/null 2>&1 & echo $! > /run/holds
    """)  # fmt: skip
    try:
        refused = operator.here("play", "maintenance-weekly", *QUICK)
        assert refused.code == 3, refused.stderr
        assert sh(lab, host, "ls /var/log/shop | wc -l") == "9\n"
        done = operator.here("play", "maintenance-weekly", "--yes", *QUICK)
        assert done.code == 0, why(done)
        assert sh(lab, host, "ls /var/log/shop").split() == [
            "app.log.1",
            "app.log.7",
            "orders.db",
            "web.log.1",
        ]
        assert findings(done)["old-logs"]["resolved"]
        assert operator.here("play", "maintenance-weekly", "--yes", *QUICK).report["changes"] == []
    finally:
        sh(lab, host, "kill $(cat /run/holds); rm -rf /var/log/shop")


def test_with_room_nothing_goes_however_old(operator: Operator, lab: Lab, host: str) -> None:
    sh(lab, host, "cd /var/log && echo old > shop.log.3 && touch -d '900 days ago' shop.log.3")
    done = operator.here("play", "maintenance-weekly", "--yes", *QUICK)
    assert (done.code, done.report["changes"]) == (0, [])
    done = operator.here(
        "play", "maintenance-weekly", "--yes", "-e", "disk_limit=0%", "-e", "log_keep=0", *QUICK
    )
    assert done.code == 0, done.report["tasks"]
    assert sh(lab, host, "ls /var/log/shop.log.3 2>&1 || true").startswith("ls: cannot access")


def test_a_cleaning_that_fails_fails_the_host(operator: Operator, lab: Lab, host: str) -> None:
    sh(
        lab,
        host,
        "cd /var/log && echo old > stays.log.3 && touch -d '90 days ago' stays.log.3 && chattr +i stays.log.3",
    )
    try:
        done = operator.here(
            "play", "maintenance-weekly", "--yes", "-e", "disk_limit=0%", "-e", "log_keep=0", *QUICK
        )
        assert done.code == 2
        proof = done.tasks()["What was to go is gone"]
        assert "still there, though it was to go: /var/log/stays.log.3" in proof["reason"]
    finally:
        sh(lab, host, "chattr -i /var/log/stays.log.3; rm /var/log/stays.log.3")


def test_a_dead_mount_holds_up_no_certificate_and_no_backup(lab: Lab, host: str) -> None:
    sh(lab, host, """
    mkdir -p /srv/tls
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3 -subj /CN=shop.example \\
        -keyout /srv/tls/shop.key -out /srv/tls/shop.crt 2> /dev/null
    """)  # fmt: skip
    lab.hang_mount(host, "/dead")
    try:
        steps = (
            step("certificate_expiry", paths=["/dead", "/srv/tls"], ports=[], timeout=1),
            step("backup_age", path="/dead/*.gz", timeout=1),
        )
        certificates, backup = in_lab(lab, host, *steps)
        assert [each["subject"] for each in certificates["result"]["expiring"]] == ["shop.example"]
        assert [each["place"] for each in certificates["result"]["unknown"]] == ["/dead"]
        assert backup["result"]["trouble"] == "/dead/*.gz did not answer within 1 s"
    finally:
        lab.revive_mount(host, "/dead")
        sh(lab, host, "rm -r /srv/tls")


def test_what_is_renewed_and_not_read_what_restarts_and_what_may_fail(
    operator: Operator, lab: Lab, host: str
) -> None:
    sh(lab, host, """
    make() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days $1 -subj /CN=shop.example \
        -addext subjectAltName=DNS:shop.example -keyout /etc/nginx/shop.key -out /etc/nginx/shop.crt 2> /dev/null; }
    make 3
    echo 'server { listen 8443 ssl; ssl_certificate shop.crt; ssl_certificate_key shop.key; }' \\
        > /etc/nginx/sites-enabled/shop
    nginx -t -q && systemctl reload nginx
    until echo | openssl s_client -connect 127.0.0.1:8443 2> /dev/null | grep -q shop.example; do sleep .1; done
    make 300
    systemd-run -q --unit=may-fail false || true
    systemd-run -q --unit=loops -p Restart=always -p RestartSec=60s -p StartLimitIntervalSec=0 \\
        sh -c 'echo no port; exit 7' || true
    until systemctl is-failed -q may-fail; do sleep .1; done
    useradd -M ends && chage -E "$(date -d '3 days' +%F)" ends
    """)  # fmt: skip
    try:
        more = (
            "-e",
            '{"unit_excludes": ["may-fail.service"]}',
            "-e",
            '{"certificate_paths": ["/etc/nginx", "/no/where"]}',
        )
        found = findings(operator.here("diagnose", "maintenance-weekly", *more, *QUICK))
        assert set(found) == {"certificates-expiring", "passwords-expiring"}, found
        expiring = found["certificates-expiring"]
        assert expiring["severity"] == "P1"
        assert [each["places"] for each in expiring["evidence"]] == [["127.0.0.1:8443"]]
        assert (
            "/etc/nginx/shop.crt is newer: what listens on 127.0.0.1:8443 has not read it yet"
            in expiring["advice"]
        )
        assert found["passwords-expiring"]["title"].startswith("ends: the account expires in ")
        sh(lab, host, "systemctl reload nginx")
        found = findings(operator.here("diagnose", "maintenance-weekly", *QUICK))
        assert set(found) == {"units-failed", "passwords-expiring"}
        assert [each["unit"] for each in found["units-failed"]["evidence"]] == ["may-fail.service"]
    finally:
        back = "rm /etc/nginx/shop.* /etc/nginx/sites-enabled/shop; systemctl reload nginx; userdel ends"
        sh(lab, host, f"systemctl stop loops; systemctl reset-failed; {back}")


def test_a_schedule_does_it_by_night_where_it_may(operator: Operator, lab: Lab, host: str) -> None:
    """The week of the drill: what goes is deleted, and nothing is restarted, so D is what it takes."""

    def seen() -> str:
        return sh(lab, host, "find /var/log /etc /tmp /run/reboot* ! -name 'wtmp*' ! -path '*journal*' -type f | sort")

    operator.place(host, ansible_host=lab.host(host).address, drill=True)
    with drilled(operator, "maintenance-weekly") as drill:
        before = seen()
        for kinds, says in ((["R"], "its permission is for R only"), ([], "it has no permission for what")):
            refused = operator.scheduled("maintenance-weekly", host, kinds, **drill["vars"])
            assert refused.code == 3, refused.stderr
            assert says in refused.stderr
            assert f"{host}: destroys old files in /var/log  [Delete old logs] (D)" in refused.stderr
            assert refused.report["changes"] == []
            assert seen() == before
        done = operator.scheduled("maintenance-weekly", host, ["D"], **drill["vars"])
        assert done.code == 0, why(done)
        assert told(done) == {name: name not in drill["remain"] for name in drill["expect"]["app1"]}
        (approval,) = done.report["run"]["approvals"]
        assert (approval["by"], approval["kinds"]) == ("anna@example.com", ["D"])
        assert sh(lab, host, "ls /var/log/remedy-drill-kept").split() == ["app.log.1", "book"]
