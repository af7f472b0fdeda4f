"""Logs and package caches of a booted host: each gives its space back, also on a full disk, and works on."""

import pytest
from tests.modules.running import one

from remedy.lab import Disk

pytestmark = pytest.mark.lab

MB = 1 << 20
WRITER = """
import os, signal, sys, time
log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
os.write(log, b"line\\n" * int(sys.argv[2]))
signal.signal(signal.SIGUSR1, lambda *_: os.write(log, b"a line afterwards\\n"))
open("/run/" + os.path.basename(sys.argv[1]), "w").close()
while True:
    signal.pause()
"""


@pytest.fixture(scope="module")
def booted(lab, host_factory):
    name = host_factory("logs", role="app", disks={"/var/log": Disk("96M")}).name
    lab.run(name, ["journalctl", "--flush"])
    return name


@pytest.fixture
def host(lab, booted):
    yield booted
    script = """
    systemctl stop 'w-*' 2>/dev/null; systemctl reset-failed 2>/dev/null
    rm -rf /var/log/app /etc/logrotate.d/t-* /run/*.log
    """
    lab.run(booted, ["sh", "-c", script], ok=None)
    lab.unfill(booted, "/var/log")


def sh(lab, host, script):
    return lab.run(host, ["sh", "-ec", script]).stdout


def free(lab, host):
    return int(sh(lab, host, "df --output=avail -B1 /var/log | tail -1"))


def write(lab, host, name, lines):
    """Start a service that keeps its log open."""
    lab.put(host, "/run/writer.py", WRITER.encode())
    sh(
        lab,
        host,
        f"mkdir -p /var/log/app; systemd-run -q --unit=w-{name} python3 /run/writer.py /var/log/app/{name}.log"
        f" {lines}; until test -e /run/{name}.log; do :; done",
    )


def line_afterwards(lab, host, name):
    """Have the service write a real line; return what its open file is and holds."""
    script = f"""
    pid=$(systemctl show -P MainPID w-{name}); kill -USR1 $pid
    until grep -q afterwards /proc/$pid/fd/3; do :; done
    stat -L -c '%s %b' /proc/$pid/fd/3; cat /proc/$pid/fd/3
    """
    first, rest = sh(lab, host, script).split("\n", 1)
    return [int(word) for word in first.split()], rest


def test_a_deleted_log_of_a_service_on_a_full_disk(lab, host):
    write(lab, host, "gone", 4 * MB)
    sh(lab, host, "rm /var/log/app/gone.log")
    lab.fill(host, "/var/log")
    assert free(lab, host) == 0
    frame = one(lab, host, "open_deleted", reads=True)
    [item] = [item for item in frame["result"]["takes"] if "gone.log" in item["item"]]
    assert "w-gone.service) still writes" in item["reason"]
    assert frame["result"]["units"] == [{"unit": "w-gone.service", "size": item["size"]}]
    frame = one(lab, host, "open_deleted")
    assert frame["status"] == "changed", frame["reason"]
    assert frame["change"]["bytes_freed"] == item["size"]
    assert free(lab, host) >= 20 * MB
    assert line_afterwards(lab, host, "gone") == ([18, 8], "a line afterwards\n")
    assert one(lab, host, "open_deleted")["status"] == "ok"


HOLDER = """
import os, time
for name, flags in (("deep.log", os.O_WRONLY | os.O_APPEND), ("sort.tmp", os.O_RDWR)):
    os.write(os.open("/root/" + name, flags | os.O_CREAT), b"x" * (2 << 20))
    os.unlink("/root/" + name)
open("/run/held.log", "w").close()
time.sleep(600)
"""


def test_a_deleted_file_on_the_hosts_own_root_is_seen_too(lab, host):
    lab.put(host, "/run/holder.py", HOLDER.encode())
    sh(
        lab,
        host,
        "systemd-run -q --unit=w-hold python3 /run/holder.py; until test -e /run/held.log; do :; done",
    )
    frame = one(lab, host, "open_deleted")
    assert frame["result"]["bytes_freed"] == 2 * MB, frame
    [row] = [row for row in frame["kept"] if "sort.tmp" in row["item"]]
    assert row["reason"].startswith("open for reading, too; held by python3")
    assert "restart w-hold.service to free it" in row["reason"]


def test_a_big_log_that_is_written_on_a_full_disk(lab, host):
    write(lab, host, "big", 4 * MB)
    lab.fill(host, "/var/log")
    frame = one(lab, host, "log_truncate", paths=["/var/log/**"], min_size="10M")
    assert frame["status"] == "changed", frame["reason"]
    assert frame["result"]["files"] == ["/var/log/app/big.log"]
    assert 65000 < frame["result"]["tails"]["/var/log/app/big.log"] <= 65536
    assert free(lab, host) >= 20 * MB
    assert line_afterwards(lab, host, "big") == ([18, 8], "a line afterwards\n")
    assert one(lab, host, "log_truncate", paths=["/var/log/**"], min_size="10M")["status"] == "ok"


RULE = """/var/log/app/%s.log {
  rotate 2
  %s
  postrotate
    echo "} rotated" >> /run/%s.ran
  endscript
}
"""


def test_a_rule_asked_for_runs_and_no_other(lab, host):
    for name in ("one", "two"):
        lab.put(host, f"/etc/logrotate.d/t-{name}", (RULE % (name, "missingok", name)).encode())
        write(lab, host, name, MB)
    seen = one(lab, host, "logrotate_run", paths=["/var/log/app/one.log"], in_check=True)
    assert seen["status"] == "changed", seen["reason"]
    assert sh(lab, host, "ls /var/log/app") == "one.log\ntwo.log\n"
    frame = one(lab, host, "logrotate_run", paths=["/var/log/app/one.log"])
    assert frame["status"] == "changed", frame["reason"]
    assert sh(lab, host, "ls /var/log/app; cat /run/one.ran; rm /run/one.ran") == (
        "one.log\none.log.1\ntwo.log\n} rotated\n"
    ), "create stands among the global options of logrotate.conf"
    [rotated] = frame["result"]["rotated"]
    assert (rotated["path"], rotated["size"] >= 5 * MB) == ("/var/log/app/one.log", True)
    again = one(lab, host, "logrotate_run", rules=["t-one"], min_size="1M")
    assert (again["status"], again["reason"]) == ("ok", "no log of these rules takes 1.0 MiB")
    third = one(lab, host, "logrotate_run", rules=["t-one"])
    assert third["status"] == "changed", "without min_size an act is an act"
    gone = one(lab, host, "logrotate_run", rules=["/etc/logrotate.d/t-one"])
    assert gone["result"]["removed"] == ["/var/log/app/one.log.3"]
    assert gone["change"]["bytes_freed"] == gone["result"]["bytes_freed"] >= 5 * MB


def test_a_real_service_opens_its_log_again(lab, host):
    sh(lab, host, "logger before; until grep -q before /var/log/syslog; do :; done")
    frame = one(lab, host, "logrotate_run", rules=["rsyslog"])
    assert frame["status"] == "changed", frame["reason"]
    assert "/var/log/syslog" in [each["path"] for each in frame["result"]["rotated"]]
    sh(lab, host, "logger afterwards; until grep -q afterwards /var/log/syslog; do :; done")
    files = sh(lab, host, "ls -l /proc/$(systemctl show -P MainPID rsyslog)/fd")
    assert "/var/log/syslog\n" in files
    assert not [line for line in files.splitlines() if "/var/log" in line and "deleted" in line]


def test_a_copy_without_room_is_refused_and_the_others_run(lab, host):
    for name, option in (("copied", "copytruncate"), ("renamed", "create")):
        lab.put(host, f"/etc/logrotate.d/t-{name}", (RULE % (name, option, name)).encode())
        write(lab, host, name, 2 * MB)
    lab.fill(host, "/var/log")
    alone = one(lab, host, "logrotate_run", rules=["t-copied"])
    assert alone["status"] == "failed"
    assert alone["result"]["cause"] == "disk_full"
    assert (
        "no room for copying /var/log/app/copied.log: it may take 10.0 MiB, /var/log/app has "
        in alone["reason"]
    )
    frame = one(lab, host, "logrotate_run", paths=["/var/log/app/*.log", "/srv/own.log"])
    assert frame["status"] == "changed", frame["reason"]
    assert [each["path"] for each in frame["result"]["rotated"]] == ["/var/log/app/renamed.log"]
    bare, refused = frame["result"]["refused"]
    assert bare == {"rule": "/srv/own.log", "reason": "no rule is for it"}
    assert refused["rule"] == "/etc/logrotate.d/t-copied: /var/log/app/copied.log"
    assert frame["warnings"][0] == "not rotated: /srv/own.log: no rule is for it"
    assert frame["warnings"][1].startswith("not rotated: /etc/logrotate.d/t-copied: ")
    assert sh(lab, host, "ls /var/log/app") == "copied.log\nrenamed.log\nrenamed.log.1\n"


def test_a_rule_with_an_error_is_refused_alone(lab, host):
    lab.put(host, "/etc/logrotate.d/t-bad", (RULE % ("bad", "rotato 7", "bad")).encode())
    lab.put(host, "/etc/logrotate.d/t-good", (RULE % ("good", "", "good")).encode())
    sh(lab, host, "mkdir -p /var/log/app; echo x | tee /var/log/app/bad.log > /var/log/app/good.log")
    frame = one(lab, host, "logrotate_run", rules=["t-bad"])
    assert frame["status"] == "failed"
    assert "unknown option 'rotato'" in frame["reason"]
    assert one(lab, host, "logrotate_run", rules=["t-good"])["status"] == "changed"
    sh(lab, host, "echo '/var/log/x.log {' > /etc/logrotate.d/t-open")
    assert "brace is not closed" in one(lab, host, "logrotate_run", rules=["t-open"])["reason"]


def test_a_script_that_hangs_is_ended_and_every_line_stays(lab, host):
    sh(lab, host, "mkdir -p /var/log/app; seq 2000 > /var/log/app/hung.log")
    text = "/var/log/app/hung.log {\n rotate 3\n postrotate\n  echo > /run/hung; sleep 1000.25\n endscript\n}\n"
    lab.put(host, "/etc/logrotate.d/t-hung", text.encode())
    frame = one(lab, host, "logrotate_run", rules=["t-hung"], wait=2)
    assert (frame["status"], frame["result"]["cause"]) == ("failed", "timeout")
    assert frame["reason"].startswith("logrotate took longer than 2 seconds and was ended: a script of a rule hangs")
    left = sh(lab, host, "rm /run/hung; pgrep -f '[l]ogrotate -v|[s]leep 1000.25' || :; "
                         "cat /var/log/app/hung.log* | sort -n | uniq | wc -l")  # fmt: skip
    assert left == "2000\n"
    sh(lab, host, "rm /etc/logrotate.d/t-hung")


def test_what_no_rule_is_for_is_said(lab, host):
    frame = one(lab, host, "logrotate_run", rules=["ngix"])
    assert frame["reason"].startswith(
        "logrotate has no rule for ngix; there are rules in: alternatives, apt, "
    )
    frame = one(lab, host, "logrotate_run", paths=["/srv/own.log"])
    assert frame["reason"].startswith("logrotate has no rule for /srv/own.log; ")
    frame = one(lab, host, "logrotate_run", rules=["nginx"])
    assert frame["status"] == "ok"
    assert "/var/log/nginx/access.log: log is empty" in frame["reason"]


ARCHIVES = "/var/cache/apt/archives"
LOCKING = """
import fcntl, sys, time
file = open(sys.argv[1], "a")
fcntl.lockf(file, fcntl.LOCK_EX)
open("/run/locked.log", "w").close()
time.sleep(600)
"""


@pytest.fixture
def packages(lab, host):
    script = f"""
    mkdir -p {ARCHIVES}/partial /var/lib/apt/lists/partial
    for f in a_1_all.deb b_2_all.deb partial/c_3_all.deb; do head -c 1000000 /dev/zero > {ARCHIVES}/$f; done
    echo kept > {ARCHIVES}/notes.txt; head -c 100000 /dev/zero > /var/lib/apt/lists/deb_main_Packages
    touch {ARCHIVES}/lock /var/lib/dpkg/lock-frontend; ln -sf /etc/services {ARCHIVES}/link.deb
    """
    sh(lab, host, script)
    yield host
    sh(lab, host, f"rm -rf {ARCHIVES}/* /var/lib/apt/lists/* /var/cache/dnf; systemctl stop -q w-lock || :")


def test_downloaded_packages_go_and_nothing_else(lab, packages):
    host = packages
    looked = one(lab, host, "package_cache", reads=True)["result"]
    assert len(looked["takes"]) == 3
    frame = one(lab, host, "package_cache")
    assert frame["status"] == "changed", frame["reason"]
    assert frame["change"]["bytes_freed"] == looked["bytes"] >= 3 * 1000000
    assert frame["result"]["managers"] == ["apt"]
    left = sh(lab, host, f"cd {ARCHIVES}; find . -not -type d | sort")
    assert left.split() == ["./link.deb", "./lock", "./notes.txt"]
    assert one(lab, host, "package_cache")["status"] == "ok"
    assert (
        "/var/lib/apt/lists/deb_main_Packages"
        in one(lab, host, "package_cache", lists=True)["result"]["files"]
    )
    assert sh(lab, host, "find /var/lib/apt/lists -type f").split() in ([], ["/var/lib/apt/lists/lock"])


@pytest.mark.parametrize("lock", ["/var/lib/dpkg/lock-frontend", ARCHIVES + "/lock"])
def test_while_a_package_manager_works_its_cache_stays(lab, packages, lock):
    host = packages
    lab.put(host, "/run/locking.py", LOCKING.encode())
    sh(lab, host, f"systemd-run -q --unit=w-lock python3 /run/locking.py {lock}")
    sh(lab, host, "until test -e /run/locked.log; do :; done")
    frame = one(lab, host, "package_cache")
    assert frame["status"] == "ok"
    pid = sh(lab, host, "systemctl show -P MainPID w-lock").strip()
    assert {row["reason"] for row in frame["kept"]} == {f"python3 (pid {pid}) is at work: it holds {lock}"}


def test_caches_of_dnf(lab, packages):
    host = packages
    sh(
        lab,
        host,
        "mkdir -p /var/cache/dnf/base-1/packages /var/cache/dnf/base-1/repodata; cd /var/cache/dnf/base-1;"
        "echo x | tee packages/a.rpm repodata/primary.xml.gz > repodata/repomd.xml",
    )
    sh(lab, host, "echo 1 > /var/cache/dnf/download_lock.pid")
    frame = one(lab, host, "package_cache", in_check=True)
    assert [row["item"] for row in frame["kept"]] == ["/var/cache/dnf/base-1/packages/a.rpm"]
    assert "is at work: it holds /var/cache/dnf/download_lock.pid" in frame["kept"][0]["reason"]
    sh(lab, host, "echo 99999999 > /var/cache/dnf/download_lock.pid")
    frame = one(lab, host, "package_cache", lists=True)
    assert frame["result"]["managers"] == ["apt", "dnf"]
    assert sh(lab, host, "find /var/cache/dnf -type f") == "/var/cache/dnf/download_lock.pid\n"


def test_mariadbs_own_deleted_files_are_never_touched(lab, host_factory):
    host = host_factory("logsdb", role="db").name
    sh(lab, host, "until mysql -e 'select 1' > /dev/null 2>&1; do :; done")
    held = (
        "ls -lL --time-style=+ $(ls -l /proc/$(pidof mariadbd)/fd | sed -n 's#.* \\([0-9]*\\) -> .*deleted.*#"
    )
    held += "/proc/'$(pidof mariadbd)'/fd/\\1#p')"
    before = sh(lab, host, held)
    assert before.count("\n") >= 4, "a healthy mariadbd holds deleted files"
    frame = one(lab, host, "open_deleted", log_paths=["/**"], min_size=0)
    theirs = [row["reason"] for row in frame["kept"] if "mariadbd" in row["reason"]]
    assert len(theirs) >= 4
    assert all(reason.startswith("open for reading, too; held by mariadbd") for reason in theirs)
    assert all("restart mariadb.service to free it" in reason for reason in theirs)
    assert sh(lab, host, held) == before
    frame = one(lab, host, "log_truncate", paths=["/var/lib/mysql/**"], min_size=1, unopened=True)
    assert frame["status"] == "ok"
    assert {row["reason"] for row in frame["kept"]} == {"a database's folder"}
    assert sh(lab, host, "mysql -N -e 'select 1'") == "1\n"
