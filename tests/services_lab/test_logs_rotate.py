"""logs-rotate on real services: each writes its new log, no numbered line is missing; cut off, and played again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from remedy.lab import Disk, Lab
from tests.acceptance.operator import Operator, Result
from tests.conftest_lab import HostFactory
from tests.modules.log_lines import lines, write
from tests.services_lab.redis_host import findings

pytestmark = pytest.mark.lab

_REQUESTS = """
import http.client, time
link, number, until = http.client.HTTPConnection("127.0.0.1"), 0, time.time() + 60
while time.time() < until:
    number += 1
    link.request("GET", "/n-%012d" % number)
    link.getresponse().read()
"""
# journald hands on to rsyslog what fits into ten datagrams: more, while that opens its log anew, is journald's loss.
_SYSLOG = """
import syslog, time
for number in range(1, 6001):
    syslog.syslog("n-%012d" % number)
    time.sleep(0.02)
"""
_SQL = """
import subprocess, sys, time
client = subprocess.Popen(["mysql"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
client.stdin.write(b"SET SESSION long_query_time = 0;\\n")
for number in range(1, 60001):
    client.stdin.write(b"SELECT 'n-%012d';\\n" % number)
    client.stdin.flush()
    time.sleep(0.001)
"""
_EVAL = """
import socket, time
link = socket.create_connection(("127.0.0.1", 6379))
for number in range(1, 60001):
    link.sendall(b"EVAL \\"redis.log(redis.LOG_WARNING, 'n-%012d')\\" 0\\r\\n" % number)
    link.recv(100)
    time.sleep(0.001)
"""
_SLOW_LOG = """
[ -d /var/log/mysql ] || install -d -o mysql -g adm -m 2750 /var/log/mysql
mysql -e "SET GLOBAL slow_query_log_file='/var/log/mysql/slow.log', GLOBAL log_output='FILE', GLOBAL slow_query_log=1"
"""


class Logs:
    """The operator of one lab host."""

    def __init__(self, folder: Path, lab: Lab, host: str) -> None:
        self.lab, self.host = lab, host
        self.operator = Operator(folder, lab, lab.host(host), ansible_become=True)

    def shell(self, script: str, *arguments: str) -> str:
        return self.lab.run(self.host, ["sh", "-ec", script, "sh", *arguments], timeout=60).stdout.strip()

    def play(self, *flags: str, command: str = "play", **values: Any) -> Result:
        known = {"big_log": "1M", "log_growth": 0, "log_sample": 0, **values}
        yes = ("--yes",) if command == "play" and "--check" not in flags else ()
        return self.operator.here(command, "logs-rotate", *yes, *flags, "-e", json.dumps(known))

    def numbered(self, program: str, log: str) -> None:
        """Let a service write numbered lines, and wait until they come."""
        self.lab.put(self.host, "/run/numbering.py", program.encode())
        # The host has just booted: the service may not answer yet.
        self.shell("systemd-run -q --collect --unit=w-numbers -p Restart=on-failure -p RestartSec=200ms "
                   "-p StartLimitIntervalSec=0 python3 /run/numbering.py; "
                   'until grep -q n-000000000050 "$1"; do sleep .02; done', log)  # fmt: skip

    def missing(self, log: str) -> tuple[int, int]:
        """End the numbers, when there are more than a hundred; return how many lines there are, and how many lack."""
        self.shell('until zgrep -qs n-000000000101 "$1"*; do sleep .02; done; systemctl stop w-numbers; sleep .5', log)
        written, missing, _ = lines(self.lab, self.host, log, r"n-(\d{12})")
        return written, missing


@pytest.mark.parametrize(
    ("role", "rule", "prepare", "log", "program", "kind"),
    [
        pytest.param("app", "nginx", "", "/var/log/nginx/access.log", _REQUESTS, "signal", marks=pytest.mark.soak),
        ("app", "rsyslog", "", "/var/log/syslog", _SYSLOG, "signal"),
        ("db", "mariadb", _SLOW_LOG, "/var/log/mysql/slow.log", _SQL, "command"),
        pytest.param(
            "mysql", "mysql-server", _SLOW_LOG, "/var/log/mysql/slow.log", _SQL, "signal", marks=pytest.mark.soak
        ),
        ("cache", "redis-server", "", "/var/log/redis/redis-server.log", _EVAL, "each"),
    ],
)
def test_a_service_whose_rule_is_gone_loses_no_line(
    lab: Lab,
    host_factory: HostFactory,
    tmp_path: Path,
    role: str,
    rule: str,
    prepare: str,
    log: str,
    program: str,
    kind: str,
) -> None:
    host_factory(f"lr{role}", role=role)
    on = Logs(tmp_path, lab, f"lr{role}")
    on.shell(f"for k in $(seq 100); do mysql -e 'select 1' > /dev/null 2>&1 && break || sleep .1; done\n{prepare}"
             if prepare else ":")  # fmt: skip
    on.shell(
        f"until [ -e {log} ]; do sleep .1; done; rm -f /etc/logrotate.d/{rule}; "
        f"yes 'an ordinary line' | head -c 3000000 >> {log}"
    )
    owner = on.shell(f"stat -c '%U %G %a' {log}")
    on.numbered(program, log)
    seen = findings(on.play(command="diagnose"))
    assert [each["reopen"]["kind"] for each in seen["logs-uncovered"]["evidence"] if each["path"] == log] == [
        kind
    ]
    done = on.play()
    assert done.code == 0, done
    # Twice more, as on two nights: what was renamed is packed by the last.
    for _ in range(2):
        before = on.shell(f"stat -c %i {log}")
        assert "rotating log " + log in on.shell("logrotate -v -f /etc/logrotate.conf 2>&1")
        on.shell(f"for k in $(seq 500); do [ -s {log} ] && exit 0 || sleep .02; done; exit 1")
        assert on.shell(f"stat -c %i {log}") != before
    assert on.shell(f"stat -c '%U %G %a' {log}") == owner
    assert f"{log}.2.gz" in on.shell(f"ls {log}*").split()
    written, missing = on.missing(log)
    assert written > 100
    assert missing == 0
    again = on.play()
    assert (again.code, again.report["changes"], again.report["findings"]) == (0, [], [])


@pytest.fixture(scope="module")
def shop(lab: Lab, host_factory: HostFactory) -> str:
    return host_factory("lrshop", role="app", disks={"/var/log": Disk("200M")}).name


@pytest.fixture
def on(lab: Lab, shop: str, tmp_path: Path) -> Logs:
    logs = Logs(tmp_path, lab, shop)
    logs.shell(
        "systemctl stop 'w-*' || :; systemctl reset-failed; rm -rf /var/log/app /etc/logrotate.d/remedy-*"
    )
    return logs


HUP = {"w-told.service": "HUP"}


def test_check_writes_nothing_and_a_run_can_be_taken_back(on: Logs, lab: Lab) -> None:
    log = write(lab, on.host, "told", "told", fill=3_000_000)
    before = on.shell("ls -l --time-style=+ /etc/logrotate.d; ls /var/log/app")
    seen = on.play("--check", log_signals=HUP)
    assert seen.code == 0, seen
    assert "logrotate_rule:/etc/logrotate.d/remedy-app-told" in [
        each["object"] for each in seen.report["changes"]
    ]
    rotation = seen.tasks()["Rotate once"]
    assert (rotation["status"], rotation["reason"]) == (
        "unknown",
        "it hangs on a rule that an earlier task would write",
    )
    assert on.shell("ls -l --time-style=+ /etc/logrotate.d; ls /var/log/app") == before
    done = on.play(log_signals=HUP)
    assert done.code == 0, done
    assert findings(done)["logs-uncovered"]["resolved"]
    back = on.operator.here("rollback", done.report["run"]["id"], "--yes")
    assert "/etc/logrotate.d/remedy-app-told" in back.stdout
    assert on.shell("ls -l --time-style=+ /etc/logrotate.d") == before.rpartition("\ntold.log")[0]
    assert lines(lab, on.host, log)[1:] == (0, 0), "what was rotated stays, with every line"


def test_a_rule_is_taken_back_whatever_its_log_is_by_now(on: Logs, lab: Lab) -> None:
    """What refuses a new rule, such as a link in the log's place, is no reason to keep one."""
    log = write(lab, on.host, "told", "told", fill=3_000_000)
    done = on.play(log_signals=HUP, log_rotate_now=False)
    assert done.code == 0, done
    on.shell(f"systemctl stop w-told; mv {log} /var/log/app/other.log; ln -s other.log {log}")
    refused = on.operator.here("run", "all", "-m", "logrotate_rule", "-a", f"paths={log}")
    assert "is a link: name the log itself, /var/log/app/other.log" in refused.stdout
    back = on.operator.here("rollback", done.report["run"]["id"], "--yes")
    assert back.code == 0, back
    assert on.shell("ls /etc/logrotate.d | grep remedy- || :") == ""


def test_a_log_of_a_service_that_cannot_be_told_can_be_left_alone(on: Logs, lab: Lab) -> None:
    write(lab, on.host, "deaf", "deaf", fill=3_000_000)
    done = on.play(log_copytruncate=False)
    assert (done.code, done.report["changes"]) == (0, [])
    left = findings(done)["logs-for-a-person"]
    assert "no signal is known that makes it open its log anew" in left["advice"]
    assert not left["resolved"]


def test_a_log_that_no_rule_may_rotate_is_not_asked_to_be_rotated(on: Logs, lab: Lab) -> None:
    odd = write(lab, on.host, "odd", "odd", fill=3_000_000)
    lab.put(on.host, "/etc/logrotate.d/z-due", b"/var/log/app/due.log {\n weekly\n maxsize 2M\n}\n")
    on.shell("head -c 5000000 /dev/zero > /var/log/app/due.log")
    try:
        done = on.play()
        assert done.code == 0, done
        assert set(findings(done)) == {"logs-for-a-person", "logs-due"}
        rotation = done.tasks()["Rotate once"]
        assert (rotation["status"], rotation["result"]["refused"]) == ("changed", [])
        assert int(on.shell(f"stat -c %s {odd}")) >= 3_000_000
    finally:
        on.shell("rm /etc/logrotate.d/z-due")


def test_cut_off_in_the_middle_and_played_again(on: Logs, lab: Lab) -> None:
    log = write(lab, on.host, "told", "told", rate=200, fill=60_000_000)
    words = ("logs-rotate", "--yes", "-e", json.dumps({"big_log": "1M", "log_growth": 0, "log_signals": HUP}))
    for sign in ("test -e /etc/logrotate.d/remedy-app-told", f"test -e {log}.1"):
        with on.operator.start("play", *words) as process:
            on.shell(f"for k in $(seq 3000); do {sign} && exit 0 || sleep .01; done; exit 1")
            process.kill()
    on.shell(
        "for k in $(seq 300); do pgrep -f '[p]ython3 -I -B' > /dev/null || exit 0; sleep .1; done; exit 1"
    )
    done = on.play(log_signals=HUP)
    assert done.code == 0, done
    again = on.play(log_signals=HUP)
    assert (again.code, again.report["changes"], again.report["findings"]) == (0, [], [])
    on.shell("systemctl stop w-told")
    assert lines(lab, on.host, log)[1:] == (0, 0)
    assert (
        on.shell("ls -A /etc/logrotate.d /var/log/app | grep remedy- | grep -v '^remedy-app-told$' || :")
        == ""
    )


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"log_period": "fortnightly"}, "fortnightly"),
        ({"log_signals": {"shop": "SIGHUP"}}, "signal 'SIGHUP': expected a name such as HUP or USR1"),
        ({"log_rotations": "many"}, "keep 'many': expected auto, or 1 to 1000"),
        ({"big_log": "large"}, "large"),
        ({"log_paths": ["var/log"]}, "paths must be absolute"),
    ],
)
def test_bad_input_is_told_and_changes_nothing(on: Logs, lab: Lab, values: dict[str, Any], text: str) -> None:
    write(lab, on.host, "told", "told", fill=3_000_000)
    done = on.play(**values)
    assert done.code in (2, 5), done
    assert text in done.stdout + done.stderr
    assert on.shell("ls /etc/logrotate.d | grep remedy- || :; ls /var/log/app") == "told.log"


def test_containers_get_limits_by_dockers_own_options(
    lab: Lab, host_factory: HostFactory, tmp_path: Path
) -> None:
    on = Logs(tmp_path, lab, host_factory("lrdocker", role="docker").name)
    chatty = (
        "docker run -d --name chatty busybox:1 sh -c 'yes a line of a container > /dev/stderr' > /dev/null"
    )
    on.shell("for k in $(seq 100); do docker image inspect busybox:1 > /dev/null 2>&1 && break || sleep .2; done; "
             f"{chatty}; until [ $(du -sm /var/lib/docker/containers | cut -f1) -ge 3 ]; do sleep .1; done; "
             "docker stop -t0 chatty")  # fmt: skip
    seen = findings(on.play(command="diagnose"))
    assert set(seen) == {"logs-containers"}
    assert seen["logs-containers"]["evidence"][0]["container"] == "chatty"
    pid = on.shell("pidof dockerd")
    done = on.play(log_docker_size="1M")
    assert done.code == 0, done
    assert [each["object"] for each in done.report["changes"]] == [
        "docker_log_options:/etc/docker/daemon.json"
    ]
    assert json.loads(on.shell("cat /etc/docker/daemon.json")) == {
        "storage-driver": "overlay2", "log-driver": "json-file", "log-opts": {"max-size": "1m", "max-file": "3"},
    }  # fmt: skip
    assert on.shell("pidof dockerd") == pid, "Docker is not restarted"
    again = on.play(log_docker_size="1M")
    assert (again.code, again.report["changes"]) == (0, [])
    on.shell(f"systemctl restart docker; docker rm chatty > /dev/null; {chatty}; "
             "until ls /var/lib/docker/containers/*/*-json.log.2 2> /dev/null; do sleep .1; done; "
             "docker stop -t0 chatty")  # fmt: skip
    assert int(on.shell("du -sm /var/lib/docker/containers | cut -f1")) <= 4, "three files of 1 MB"
    assert "logs-containers" not in findings(on.play(command="diagnose"))
    # What Docker would not start with is not written.
    on.shell("echo '{' > /etc/docker/daemon.json; docker rm chatty > /dev/null")
    refused = on.operator.here("run", "all", "-m", "docker_log_options", "-a", "max_size=1M")
    assert "is no JSON" in refused.stdout
    assert on.shell("cat /etc/docker/daemon.json") == "{"


def test_postgresqls_collector_rotates_by_itself(lab: Lab, host_factory: HostFactory, tmp_path: Path) -> None:
    on = Logs(tmp_path, lab, host_factory("lrpg", role="postgres").name)
    on.shell("""
    printf "logging_collector = on\\nlog_directory = '/var/log/postgresql'\\nlog_filename = 'own.log'\\n" \
      > /etc/postgresql/15/main/conf.d/own.conf
    rm /etc/logrotate.d/postgresql-common; systemctl restart postgresql
    for k in $(seq 100); do [ -e /var/log/postgresql/own.log ] && break || sleep .1; done
    yes 'an ordinary line' | head -c 3000000 >> /var/log/postgresql/own.log
    """)
    seen = findings(on.play(command="diagnose"))
    assert "PostgreSQL's collector rotates its logs itself" in seen["logs-for-a-person"]["advice"]
    done = on.operator.here("run", "all", "-m", "logrotate_rule", "-a", "paths=/var/log/postgresql/own.log")
    assert "own.log gets no rule: PostgreSQL's collector rotates its logs itself" in done.stdout
