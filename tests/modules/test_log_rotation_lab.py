"""log_rotation and log_compress on a booted host: what nobody rotates, what is rotated badly, what is packed."""

import json

import pytest
from tests.modules.log_lines import sh, write
from tests.modules.running import one

from remedy.lab import Disk

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def booted(host_factory):
    return host_factory("turns", role="app", disks={"/var/log": Disk("120M"), "/srv": Disk("40M")}).name


@pytest.fixture
def host(lab, booted):
    sh(lab, booted, "[ -e /root/rules ] || cp -a /etc/logrotate.d /root/rules")
    yield booted
    lab.unfill(booted, "/srv")
    sh(lab, booted, "systemctl stop 'w-*' 2>/dev/null || :; systemctl reset-failed; "
                    "rm -rf /var/log/app /srv/* /etc/logrotate.d; cp -a /root/rules /etc/logrotate.d; "
                    "systemctl start logrotate.timer")  # fmt: skip


def look(lab, host, **given):
    frame = one(lab, host, "log_rotation", **{"sample": 0, "min_size": "1M", **given})
    assert frame["status"] == "ok", frame["reason"]
    return frame["result"]


def paths(rows, name="path"):
    return [row[name] for row in rows]


def test_a_healthy_host_has_nothing_to_tell(lab, host):
    found = look(lab, host)
    empty = ("uncovered", "own", "due", "failing", "uncompressed", "held", "containers")
    assert {name: found[name] for name in empty} == {name: [] for name in empty}
    assert found["available"]
    assert found["complete"]
    assert (found["runs"]["by"], found["runs"]["failed"]) == ("timer", False)


def test_what_nobody_rotates_by_size_and_by_growth_wherever_it_lies(lab, host):
    big = write(lab, host, "deaf", "deaf", rate=1, fill=2_000_000)
    quick = write(lab, host, "told", "told", rate=5000, folder="/srv/shop/logs")
    sh(lab, host, "head -c 3000000 /dev/zero > /var/log/app/old.log; touch -d '9 days ago' /var/log/app/old.log; "
                  "head -c 3000000 /dev/zero > /var/log/app/done.log.3; "
                  "head -c 3000000 /dev/zero > /var/log/app/x.gz")  # fmt: skip
    found = look(lab, host, sample=1)
    assert paths(found["uncovered"]) == [quick, big]
    assert found["uncovered"][0]["growth"] > 100 << 20
    assert found["uncovered"][0]["reopen"]["kind"] == "copytruncate", "no signal of it is known"
    assert look(lab, host, sample=0, min_growth=0)["uncovered"][0]["path"] == big
    assert paths(look(lab, host, excludes=["deaf.log", "/srv/**"])["uncovered"]) == []


def test_a_name_that_logrotate_cannot_take_and_one_with_a_date(lab, host):
    write(lab, host, "deaf-2026-01-31", "deaf", rate=1, fill=2_000_000)
    sh(lab, host, "head -c 2000000 /dev/zero > '/var/log/app/a{b}.log'")
    found = look(lab, host)
    [row] = found["uncovered"]
    assert (row["path"], row["reopen"]["kind"]) == ("/var/log/app/a{b}.log", "refused")
    assert [row["reopen"]["why"] for row in found["own"]] == [
        "its writer begins new logs by itself: old_files removes the old ones"
    ]


def test_a_log_with_hard_links_is_nobodys_whatever_rule_there_is(lab, host):
    """logrotate leaves it out, without an error: it grew on, and was told to be looked after."""
    sh(lab, host, "mkdir -p /var/log/app; head -c 2000000 /dev/zero > /var/log/app/a.log; "
                  "ln /var/log/app/a.log /var/log/app/b")  # fmt: skip
    lab.put(host, "/etc/logrotate.d/z-linked", b"/var/log/app/*.log {\n daily\n}\n")
    found = look(lab, host)["uncovered"]
    assert [(row["path"], row["reopen"]["kind"]) for row in found] == [
        ("/var/log/app/a.log", "refused"),
        ("/var/log/app/b", "refused"),
    ]
    assert found[0]["reopen"]["why"] == "it has 2 names (hard links): logrotate leaves it alone"
    done = one(lab, host, "logrotate_run", rules=["z-linked"])
    assert done["reason"].endswith("/var/log/app/a.log: it has several names (hard links)")


def test_a_dead_mount_that_a_rule_looks_at_is_named(lab, host):
    lab.hang_mount(host, "/mnt/dead")
    lab.put(host, "/etc/logrotate.d/z-dead", b"/mnt/dead/*.log {\n daily\n}\n")
    frame = one(lab, host, "log_rotation", sample=0)
    sh(lab, host, "rm /etc/logrotate.d/z-dead")
    lab.revive_mount(host, "/mnt/dead")
    assert frame["status"] == "failed"
    assert "/mnt/dead, where a rule may look for logs, does not answer" in frame["reason"]


def test_an_error_of_the_state_file_is_not_told_of_a_rule(lab, host):
    sh(lab, host, "echo garbage > /var/lib/logrotate/status")
    [error] = look(lab, host)["failing"]
    sh(lab, host, "rm /var/lib/logrotate/status")
    assert (error["file"], error["log"], error["mend"]) == ("/var/lib/logrotate/status", None, None)


@pytest.mark.parametrize(
    ("rule", "text", "mend"),
    [
        ("/var/log/app/a.log {\n rotato 3\n}\n", "unknown option 'rotato'", None),
        ("/var/log/app/a.log {\n create 0640 nosuch nosuch\n}\n", "unknown user 'nosuch'", None),
        ("/var/log/app/a.log {\n daily\n}\n", "parent directory has insecure permissions", "su"),
        ("/srv/gone.log {\n daily\n}\n", "stat of /srv/gone.log failed: No such file or directory", "missingok"),
        ("/var/log/syslog {\n daily\n}\n", "duplicate log entry for /var/log/syslog", None),
        ("/var/log/app/a.log {\n daily\n", "a rule's brace is not closed", None),
    ],
)
def test_a_rule_that_fails_is_told_with_its_file_and_what_would_help(lab, host, rule, text, mend):
    sh(lab, host, "install -d -m 2775 -o app -g app /var/log/app; install -o app -g app /dev/null /var/log/app/a.log")
    lab.put(host, "/etc/logrotate.d/z-bad", rule.encode())
    [error] = [row for row in look(lab, host)["failing"] if text in row["text"]]
    assert (error["file"], error["mend"]) == ("/etc/logrotate.d/z-bad", mend)
    if mend is not None:
        done = one(lab, host, "logrotate_rule", paths=[error["log"]], amend=[mend])
        assert done["status"] == "changed", done["reason"]
        assert look(lab, host)["failing"] == []


def test_a_file_of_rules_that_others_may_write_is_told(lab, host):
    sh(lab, host, "echo '/srv/x.log { }' > /etc/logrotate.d/z-bad; chmod 666 /etc/logrotate.d/z-bad")
    [error] = look(lab, host)["failing"]
    assert error["file"] == "/etc/logrotate.d/z-bad"
    assert "writable by group or others" in error["text"]


def test_what_a_deleted_log_and_a_rotated_one_still_get(lab, host):
    log = write(lab, host, "told", "told")
    gone = write(lab, host, "deaf", "deaf")
    lab.put(host, "/etc/logrotate.d/z-app", b"/var/log/app/*.log {\n daily\n missingok\n}\n")
    sh(lab, host, f"mv {log} {log}.1; : > {log}; rm {gone}; : > {gone}")
    held = {row["log"]: row for row in look(lab, host, signals={"w-told": "HUP"})["held"]}
    assert (held[log]["path"], held[log]["deleted"], held[log]["reopen"]["kind"]) == (log + ".1", False, "signal")
    assert (held[gone]["deleted"], held[gone]["unit"]) == (True, "w-deaf.service")
    assert held[log]["mendable"]


def test_nothing_starts_logrotate(lab, host):
    sh(lab, host, "systemctl stop logrotate.timer; chmod a-x /etc/cron.daily/logrotate")
    try:
        assert look(lab, host)["runs"]["by"] is None
    finally:
        sh(lab, host, "chmod a+x /etc/cron.daily/logrotate")


def test_a_log_that_is_due(lab, host):
    sh(lab, host, "mkdir -p /var/log/app; head -c 5000000 /dev/zero > /var/log/app/a.log")
    lab.put(host, "/etc/logrotate.d/z-app", b"/var/log/app/a.log {\n weekly\n maxsize 2M\n}\n")
    assert [(row["path"], row["rule"]) for row in look(lab, host)["due"]] == [
        ("/var/log/app/a.log", "/etc/logrotate.d/z-app")
    ]
    assert look(lab, host, min_size="6M")["due"] == []


def packable(lab, host, folder="/srv/app"):
    sh(lab, host, f"mkdir -p {folder}; cd {folder}; for n in 1 2 3; do seq 400000 | sed s/^/$n/ > a.log.$n; done; "
                  "chown app:adm a.log.2; chmod 640 a.log.2; touch -d '3 days ago' a.log.2; echo live > a.log; "
                  "cp a.log.1 a.log.4.gz; cp a.log.1 notes.txt; ln a.log.3 twin")  # fmt: skip
    return sh(lab, host, f"cd {folder}; sha256sum < a.log.2").strip()


def test_rotated_logs_are_packed_whole_with_their_owner_and_time(lab, host):
    before = packable(lab, host)
    seen = one(lab, host, "log_compress", paths=["/srv/app/*"], reads=True)["result"]
    assert [row["item"] for row in seen["takes"]] == ["/srv/app/a.log.1", "/srv/app/a.log.2"]
    assert [(row["item"], row["reason"]) for row in seen["kept"]] == [("/srv/app/a.log.3", "it has 2 names")]
    about = sh(lab, host, "stat -c '%U %G %a %Y' /srv/app/a.log.2")
    frame = one(lab, host, "log_compress", paths=["/srv/app/*"])
    assert frame["status"] == "changed", frame["reason"]
    assert frame["change"]["bytes_freed"] > 2_000_000
    assert sh(lab, host, "cd /srv/app; ls") == "a.log\na.log.1.gz\na.log.2.gz\na.log.3\na.log.4.gz\nnotes.txt\ntwin\n"
    assert sh(lab, host, "zcat /srv/app/a.log.2.gz | sha256sum").strip() == before
    assert sh(lab, host, "stat -c '%U %G %a %Y' /srv/app/a.log.2.gz") == about
    assert one(lab, host, "log_compress", paths=["/srv/app/*"])["status"] == "ok"


def test_an_open_log_is_not_packed_and_one_half_packed_is_finished(lab, host):
    packable(lab, host)
    sh(lab, host, "systemd-run -q --unit=w-tail tail -f /srv/app/a.log.1; "
                  "until ls -l /proc/$(systemctl show -P MainPID w-tail)/fd | grep -q a.log.1; do :; done; "
                  "gzip -k /srv/app/a.log.2")  # fmt: skip
    frame = one(lab, host, "log_compress", paths=["/srv/app/*"])
    assert [row["path"] for row in frame["result"]["files"]] == ["/srv/app/a.log.2"]
    assert "open in tail (pid" in json.dumps(frame["kept"])
    sh(lab, host, "systemctl stop w-tail; echo other | gzip > /srv/app/a.log.1.gz")
    frame = one(lab, host, "log_compress", paths=["/srv/app/*"])
    assert "/srv/app/a.log.1.gz is there, and is not the same packed" in json.dumps(frame["kept"])
    assert sh(lab, host, "zcat /srv/app/a.log.1.gz") == "other\n"


def test_records_of_logins_and_of_audit_stay_as_they_are(lab, host):
    sh(lab, host, "mkdir -p /var/log/audit /var/log/app; echo > /var/log/app/a.log; touch /var/log/btmp; "
                  "for log in app/a.log btmp audit/audit.log; do seq 200000 > /var/log/$log.1; done")  # fmt: skip
    try:
        assert [row["log"] for row in look(lab, host, min_packed="1M")["uncompressed"]] == ["/var/log/app/a.log"]
        frame = one(lab, host, "log_compress", paths=["/var/log/audit/*", "/var/log/btmp.1", "/var/log/app/*"])
        assert [row["path"] for row in frame["result"]["files"]] == ["/var/log/app/a.log.1"]
        assert [(row["item"], row["reason"]) for row in frame["kept"]] == [
            ("/var/log/audit/audit.log.1", "the audit's own record: ausearch(8) reads it as it is"),
            ("/var/log/btmp.1", "a record of logins: last(1) reads it as it is"),
        ]
    finally:
        sh(lab, host, "rm -rf /var/log/audit /var/log/btmp.1")


def test_without_room_every_log_stands(lab, host):
    before = packable(lab, host)
    lab.fill(host, "/srv")
    frame = one(lab, host, "log_compress", paths=["/srv/app/*"])
    assert frame["result"]["files"] == []
    assert "no room: it may take" in json.dumps(frame["kept"])
    assert sh(lab, host, "sha256sum < /srv/app/a.log.2").strip() == before
    assert sh(lab, host, "ls -A /srv/app | grep remedy || :") == ""


def test_two_logs_whose_names_come_out_alike_get_two_rules(lab, host):
    sh(lab, host, "mkdir -p /var/log/app/x; echo a > /var/log/app/x/y.log; echo b > /var/log/app/x-y.log")
    for path in ("/var/log/app/x/y.log", "/var/log/app/x-y.log"):
        done = one(lab, host, "logrotate_rule", paths=[path])
        assert done["status"] == "changed", done["reason"]
        assert one(lab, host, "logrotate_rule", paths=[path])["status"] == "ok"
    assert len(sh(lab, host, "ls /etc/logrotate.d | grep remedy-app-x-y").split()) == 2
