"""logrotate_rule on a booted host: rules that are proved before they stand, and writers that lose no line."""

import pytest
from tests.modules.log_lines import lines, sh, write
from tests.modules.running import one

from remedy.lab import Disk

pytestmark = pytest.mark.lab

HUP = {"w-told.service": "HUP"}


@pytest.fixture(scope="module")
def booted(host_factory):
    return host_factory("rules", role="app", disks={"/var/log": Disk("200M")}).name


@pytest.fixture
def host(lab, booted):
    sh(lab, booted, "[ -e /root/rules ] || cp -a /etc/logrotate.d /root/rules; cp -a /etc/logrotate.conf /root/main")
    yield booted
    sh(lab, booted, "systemctl stop 'w-*' 2>/dev/null || :; systemctl reset-failed; rm -rf /var/log/app /srv/app*; "
                    "rm -rf /etc/logrotate.d; cp -a /root/rules /etc/logrotate.d; "
                    "cp -a /root/main /etc/logrotate.conf")  # fmt: skip


def rule(lab, host, **given):
    return one(lab, host, "logrotate_rule", **given)


def rules(lab, host):
    return sh(lab, host, "cat /etc/logrotate.d/remedy-* 2>/dev/null || :")


def test_not_a_line_gets_lost_where_the_service_is_told(lab, host):
    log = write(lab, host, "told", "told", rate=5000)
    frame = rule(lab, host, paths=[log], signals=HUP)
    assert frame["status"] == "changed", frame["reason"]
    assert frame["result"]["reopen"]["kind"] == "signal"
    for _ in range(4):
        done = one(lab, host, "logrotate_run", paths=[log], reopened=True)
        assert done["status"] == "changed", done["reason"]
        [rotated] = done["result"]["rotated"]
        assert (rotated["lines"], rotated["to"], done["result"]["held"]) == ("renamed", log + ".1", [])
    files = sh(lab, host, f"ls {log}*; readlink /proc/$(systemctl show -P MainPID w-told)/fd/3").split()
    assert log + ".2.gz" in files
    assert files[-1] == log, "it writes its own log"
    sh(lab, host, "systemctl stop w-told")
    written, missing, twice = lines(lab, host, log)
    assert written > 1000
    assert (missing, twice) == (0, 0)
    # As on any night, by the timer's own service with its sandbox.
    again = rule(lab, host, paths=[log], signals=HUP)
    assert (again["status"], again["reason"]) == ("ok", "already as wanted"), "nobody writes it now, and its rule stays"


def test_the_service_of_the_timer_can_tell_it_too(lab, host):
    log = write(lab, host, "told", "told", fill=3_000_000)
    assert rule(lab, host, paths=[log], signals=HUP, max_size="1M")["status"] == "changed"
    sh(lab, host, f"systemctl start logrotate; until test -e {log}; do :; done")
    held = sh(lab, host, "sleep .3; readlink /proc/$(systemctl show -P MainPID w-told)/fd/3").strip()
    assert held == log
    assert log + ".1" in sh(lab, host, f"ls {log}*").split()


def test_copytruncate_loses_what_is_written_in_between_and_says_so(lab, host):
    log = write(lab, host, "deaf", "deaf", rate=5000, fill=20_000_000)
    frame = rule(lab, host, paths=[log])
    assert frame["status"] == "changed", frame["reason"]
    assert frame["result"]["reopen"]["kind"] == "copytruncate"
    assert "what is written in between is lost" in frame["result"]["reopen"]["why"]
    done = one(lab, host, "logrotate_run", paths=[log])
    assert [each["lines"] for each in done["result"]["rotated"]] == ["copied"]
    sh(lab, host, f"sleep .2; systemctl stop w-deaf; test -s {log}")
    _, missing, twice = lines(lab, host, log)
    assert missing < 5000, "less than a second's"
    assert twice == 0


def test_check_mode_writes_nothing_and_tells_all(lab, host):
    log = write(lab, host, "told", "told")
    seen = one(lab, host, "logrotate_rule", in_check=True, paths=[log], signals=HUP)
    assert seen["status"] == "changed"
    assert "--signal=HUP w-told.service" in seen["change"]["diff"]["after"]
    assert rules(lab, host) == ""


def test_check_mode_of_a_rule_that_is_to_go_tells_so_and_leaves_it(lab, host):
    log = write(lab, host, "told", "told")
    assert rule(lab, host, paths=[log], signals=HUP)["status"] == "changed"
    stands = rules(lab, host)
    seen = one(lab, host, "logrotate_rule", in_check=True, paths=[log], state="absent")
    assert seen["status"] == "changed", seen["reason"]
    assert (seen["change"]["diff"]["before"], seen["change"]["diff"]["after"]) == (stands, "")
    assert rules(lab, host) == stands


def test_a_log_that_another_file_has_a_rule_for_gets_none(lab, host):
    frame = rule(lab, host, paths=["/var/log/nginx/access.log"])
    assert (frame["status"], frame["reason"]) == ("ok", "/etc/logrotate.d/nginx has a rule for it")
    log = write(lab, host, "deaf", "deaf")
    frame = rule(lab, host, paths=[log, "/var/log/nginx/access.log"])
    assert frame["status"] == "failed"
    assert "nginx has a rule for /var/log/nginx/access.log already, and not for " + log in frame["reason"]
    # A rule for a pattern that takes in what another has: logrotate itself finds the duplicate.
    sh(lab, host, "printf '/var/log/app/*.log {\\n daily\\n}\\n' > /etc/logrotate.d/z-late")
    assert rule(lab, host, paths=[log])["reason"] == "/etc/logrotate.d/z-late has a rule for it"
    assert rules(lab, host) == ""


def test_an_error_that_the_rule_would_bring_refuses_it(lab, host):
    sh(lab, host, "mkdir -p /var/log/app")
    frame = rule(lab, host, paths=["/var/log/app/new.log"], create="0640 nosuch nosuch")
    assert frame["status"] == "failed"
    assert frame["reason"].startswith("logrotate would not take the rule, nothing was written: unknown user 'nosuch'")
    frame = rule(lab, host, paths=["/var/log/app/new.log"])
    assert frame["reason"] == "there is no /var/log/app/new.log yet: give create, such as '0640 app app'"
    assert rules(lab, host) == ""
    # Errors of others are no reason.
    sh(lab, host, "printf '/srv/x.log {\\n rotato 3\\n}\\n' > /etc/logrotate.d/bad")
    frame = rule(lab, host, paths=["/var/log/app/new.log"], create="0640 app app")
    assert frame["status"] == "changed", frame["reason"]
    assert "create 0640 app app" in rules(lab, host)


def test_a_rule_that_cannot_be_proved_where_it_stands_goes_again(lab, host):
    """logrotate answers before the write, and is gone after it."""
    log = write(lab, host, "deaf", "deaf")
    fake = "/usr/local/sbin/logrotate"
    lab.put(host, fake, b"""#!/bin/sh
/usr/sbin/logrotate "$@"; code=$?
case $2 in /proc/*) [ -e /run/asked ] && chmod -x /usr/sbin/logrotate "$0"; echo > /run/asked;; esac
exit $code
""", 0o755)  # fmt: skip
    frame = rule(lab, host, paths=[log])
    sh(lab, host, f"chmod +x /usr/sbin/logrotate; rm {fake} /run/asked")
    assert frame["status"] == "failed"
    assert "cannot run logrotate" in frame["reason"]
    assert frame["reason"].endswith("/etc/logrotate.d/remedy-app-deaf is as it was")
    assert rules(lab, host) == ""


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/var/log/journal/x/system.journal", "the journal: use journald's own vacuum"),
        ("/var/lib/docker/containers/a/a-json.log", "docker's folder"),
        ("/var/log/wtmp", "it is a record that has a program of its own"),
        ("/etc/some.log", "it belongs to the system"),
    ],
)
def test_what_is_not_for_logrotate_is_refused(lab, host, path, why):
    frame = rule(lab, host, paths=[path], create="0640 root root")
    assert frame["reason"] == f"{path} is not for logrotate: {why}"


def test_a_writer_that_does_not_append_and_a_signal_that_would_kill(lab, host):
    odd = write(lab, host, "odd", "odd")
    frame = rule(lab, host, paths=[odd])
    assert "does not append: copytruncate would leave a sparse file" in frame["reason"]
    deaf = write(lab, host, "deaf", "deaf")
    frame = rule(lab, host, paths=[deaf], signals={"w-deaf": "HUP"})
    assert "has no use for SIGHUP, which would end it: give another signal for w-deaf.service" in frame["reason"]
    sh(lab, host, "systemctl is-active w-odd w-deaf")
    assert rules(lab, host) == ""


def test_a_folder_that_others_may_write_gets_su(lab, host):
    sh(lab, host, "install -d -m 2770 -o app -g app /srv/app")
    log = write(lab, host, "told", "told", folder="/srv/app", user="app")
    frame = rule(lab, host, paths=[log], signals=HUP)
    assert frame["status"] == "changed", frame["reason"]
    assert "\tsu app app\n" in rules(lab, host)
    done = one(lab, host, "logrotate_run", paths=[log], reopened=True)
    assert done["status"] == "changed", done["reason"]
    assert sh(lab, host, f"stat -c '%U %G %a' {log}") == "app app 640\n"
    sh(lab, host, "systemctl stop w-told")
    assert lines(lab, host, log)[1:] == (0, 0)
    sh(lab, host, "chmod 777 /srv/app; echo x > /srv/app/roots.log")
    frame = rule(lab, host, paths=["/srv/app/roots.log"])
    assert "can be written by everybody, and the log is root's: chmod o-w /srv/app first" in frame["reason"]


def test_root_does_not_write_in_a_folder_that_belongs_to_a_service(lab, host):
    """Its owner could swap it for a link between logrotate's steps, and have root make a file elsewhere."""
    sh(lab, host, "install -d -m 755 -o app -g app /srv/app")
    log = write(lab, host, "told", "told", folder="/srv/app", user="app", fill=1_000_000)
    frame = rule(lab, host, paths=[log], signals=HUP)
    assert frame["status"] == "changed", frame["reason"]
    assert "\tsu app app\n" in rules(lab, host)
    for _ in range(2):
        done = one(lab, host, "logrotate_run", paths=[log], reopened=True)
        assert done["status"] == "changed", done["reason"]
    sh(lab, host, "systemctl stop w-told")
    assert sh(lab, host, f"stat -c '%U %G' {log} {log}.1 {log}.2.gz | uniq") == "app app\n"
    assert lines(lab, host, log)[1:] == (0, 0)


def test_su_is_not_given_to_a_rule_that_it_would_keep_from_rotating_other_logs(lab, host):
    """logrotate's dry run does not try what the user may do: the rule looked well, and every night failed."""
    sh(lab, host, "install -d -m 2775 -o app -g app /srv/app; install -d /srv/app2 /srv/app3; "
                  "install -o app -g app /etc/services /srv/app/a.log")  # fmt: skip
    for other, make, why in (
        ("/srv/app2/*.log", "rm -f /srv/app2/*", "the rule is for /srv/app2 too, where app may not write"),
        ("/srv/app/r.log", "cp /etc/services /srv/app/r.log", "the rule is for /srv/app/r.log too, which is root's"),
    ):
        sh(lab, host, make)
        text = f"/srv/app/a.log {other} {{\n daily\n rotate 3\n}}\n"
        lab.put(host, "/etc/logrotate.d/z-two", text.encode())
        frame = rule(lab, host, paths=["/srv/app/a.log"], amend=["su"])
        assert (frame["status"], frame["change"]) == ("failed", None), frame
        assert why in frame["reason"]
        assert sh(lab, host, "cat /etc/logrotate.d/z-two") == text
    sh(lab, host, "rm /etc/logrotate.d/z-two; install -o app -g app /etc/services /srv/app3/b.log")
    frame = rule(lab, host, paths=["/srv/app/a.log", "/srv/app3/b.log"])
    assert "the rule is for /srv/app3 too, where app may not write" in frame["reason"]
    assert rules(lab, host) == ""


def test_a_log_with_hard_links_gets_no_rule_that_logrotate_would_not_follow(lab, host):
    sh(lab, host, "mkdir -p /var/log/app; head -c 2000000 /dev/zero > /var/log/app/a.log; "
                  "ln /var/log/app/a.log /var/log/app/b.log")  # fmt: skip
    frame = rule(lab, host, paths=["/var/log/app/a.log"])
    assert frame["reason"] == "/var/log/app/a.log has 2 names (hard links), and logrotate leaves such logs alone"
    assert rules(lab, host) == ""


def test_two_rotations_on_one_day_with_dateext(lab, host):
    sh(lab, host, "sed -i 's/^#dateext/dateext/' /etc/logrotate.conf")
    log = write(lab, host, "told", "told")
    assert rule(lab, host, paths=[log], signals=HUP)["status"] == "changed"
    for _ in range(2):
        done = one(lab, host, "logrotate_run", paths=[log], reopened=True)
        assert done["status"] == "changed", done["reason"]
        sh(lab, host, "sleep 1.1")
    sh(lab, host, "systemctl stop w-told")
    assert len(sh(lab, host, f"ls {log}-*").split()) == 2
    assert lines(lab, host, log)[1:] == (0, 0)


def test_what_is_kept_follows_the_room_there_is_and_stays_where_it_fits(lab, host):
    log = write(lab, host, "deaf", "deaf", rate=10)
    wide = rule(lab, host, paths=[log], growth="1M", name="deaf")
    assert wide["result"]["keep"] == 30
    assert rule(lab, host, paths=[log], growth="500K", name="deaf")["status"] == "ok"
    tight = rule(lab, host, paths=[log], growth="8M", name="deaf")
    assert tight["status"] == "changed"
    assert 1 < tight["result"]["keep"] < 10
    assert rule(lab, host, paths=[log], growth="7500K", name="deaf")["status"] == "ok", "about as many fit"
    assert rule(lab, host, paths=[log], growth="1M", name="deaf")["result"]["keep"] == 30
    full = rule(lab, host, paths=[log], growth="1G", name="deaf")
    assert full["result"]["keep"] == 1
    assert any("let logrotate run more often, or grow the disk" in each for each in full["warnings"])
    asked = rule(lab, host, paths=[log], keep=7, growth="1M", name="deaf", period="weekly", compress=False)
    assert asked["status"] == "changed"
    text = rules(lab, host)
    assert "\tweekly\n" in text
    assert "\trotate 7\n" in text
    assert "\tnocompress\n" in text


def test_only_remedys_own_drop_in_is_changed_or_removed(lab, host):
    log = write(lab, host, "deaf", "deaf")
    sh(lab, host, "echo '# mine' > /etc/logrotate.d/remedy-x")
    for state in ("present", "absent"):
        frame = rule(lab, host, paths=[log], name="x", state=state)
        assert frame["reason"] == "/etc/logrotate.d/remedy-x is there and not remedy's: give another name"
    assert rule(lab, host, paths=[log])["status"] == "changed"
    gone = rule(lab, host, paths=[log], state="absent")
    assert gone["status"] == "changed", gone["reason"]
    assert rule(lab, host, paths=[log], state="absent")["status"] == "ok"
    assert sh(lab, host, "ls /etc/logrotate.d | grep remedy") == "remedy-x\n"


def test_a_drop_in_is_found_again_though_its_name_would_be_another_today(lab, host):
    """It was told to be gone, and stood."""
    sh(lab, host, "echo x | tee /var/log/dup.log > /var/log/dup-.log")
    try:
        made = [rule(lab, host, paths=[path]) for path in ("/var/log/dup.log", "/var/log/dup-.log")]
        assert [frame["status"] for frame in made] == ["changed", "changed"], made
        assert made[0]["result"]["file"] == "/etc/logrotate.d/remedy-dup"
        gone = [rule(lab, host, paths=[path], state="absent") for path in ("/var/log/dup.log", "/var/log/dup-.log")]
        assert [frame["status"] for frame in gone] == ["changed", "changed"], gone
        assert rules(lab, host) == ""
    finally:
        sh(lab, host, "rm -f /var/log/dup.log /var/log/dup-.log")


def test_a_rule_gets_what_it_lacks_and_nothing_else(lab, host):
    log = write(lab, host, "told", "told")
    own = "# ours\n/var/log/app/told.log {\n  daily   # each night\n  rotate 5\n}\n/srv/none.log {\n  missingok\n}\n"
    lab.put(host, "/etc/logrotate.d/shop", own.encode())
    assert rule(lab, host, paths=[log])["status"] == "ok", "it is not asked to amend"
    frame = rule(lab, host, paths=[log], amend=["reopen", "compress", "missingok", "su"], signals=HUP)
    assert frame["status"] == "changed", frame["reason"]
    text = sh(lab, host, "cat /etc/logrotate.d/shop")
    assert text.startswith(own.partition("}")[0] + "\tsharedscripts\n\tpostrotate\n")
    assert text.endswith("\tendscript\n\tcompress\n\tdelaycompress\n\tmissingok\n}\n/srv/none.log {\n  missingok\n}\n")
    again = rule(lab, host, paths=[log], amend=["reopen", "compress", "missingok", "su"], signals=HUP)
    assert again["status"] == "ok"
    assert one(lab, host, "logrotate_run", paths=[log], reopened=True)["status"] == "changed"
    sh(lab, host, "systemctl stop w-told")
    assert lines(lab, host, log)[1:] == (0, 0)


def test_a_rule_of_somebody_elses_that_is_called_like_ours_is_amended_too(lab, host):
    """It was taken for a drop-in of remedy's own, and then refused for not being one."""
    log = write(lab, host, "told", "told")
    lab.put(host, "/etc/logrotate.d/remedy-shop", f"{log} {{\n  daily\n}}\n".encode())
    try:
        frame = rule(lab, host, paths=[log], amend=["missingok"])
        assert frame["status"] == "changed", frame["reason"]
        assert sh(lab, host, "cat /etc/logrotate.d/remedy-shop") == f"{log} {{\n  daily\n\tmissingok\n}}\n"
    finally:
        sh(lab, host, "rm /etc/logrotate.d/remedy-shop; systemctl stop w-told")


def test_a_link_to_a_file_of_rules_stays_one(lab, host):
    """It was replaced by a file, and what its owner wrote into his own from then on had no effect."""
    log = write(lab, host, "told", "told", folder="/srv/app")
    lab.put(host, "/srv/app/rules", f"{log} {{\n  daily\n}}\n".encode())
    sh(lab, host, "ln -s /srv/app/rules /etc/logrotate.d/shop")
    frame = rule(lab, host, paths=[log], amend=["missingok"])
    assert (frame["status"], frame["change"]) == ("failed", None)
    assert "/etc/logrotate.d/shop is a link: add to its rule in /srv/app/rules by hand: missingok" in frame["reason"]
    assert sh(lab, host, "readlink /etc/logrotate.d/shop; cat /srv/app/rules") == (
        f"/srv/app/rules\n{log} {{\n  daily\n}}\n"
    )


def test_a_service_that_writes_what_was_rotated_opens_its_log_anew(lab, host):
    log = write(lab, host, "told", "told")
    lab.put(host, "/etc/logrotate.d/shop", f"{log} {{\n  daily\n  create\n}}\n".encode())
    refused = one(lab, host, "logrotate_run", paths=[log], reopened=True)
    assert refused["status"] == "failed"
    assert "still writes the old file: its rule does not tell it to open it anew" in refused["reason"]
    seen = one(lab, host, "log_rotation", sample=0, signals=HUP)["result"]["held"]
    assert [(each["path"], each["mendable"]) for each in seen] == [(log + ".1", True)]
    deaf = one(lab, host, "log_reopen", paths=[log])
    assert "cannot be told to open it anew: restart w-told.service" in deaf["reason"]
    done = one(lab, host, "log_reopen", paths=[log], signals=HUP)
    assert done["status"] == "changed", done["reason"]
    again = one(lab, host, "log_reopen", paths=[log], signals=HUP)
    assert again["reason"] == "nobody writes a file that was rotated from it"
    sh(lab, host, f"until test -s {log}; do :; done; systemctl stop w-told")
    assert lines(lab, host, log)[1:] == (0, 0)


def test_a_log_that_was_rotated_by_a_date_in_its_name_and_deleted_is_opened_anew(lab, host):
    log, other = write(lab, host, "told", "told"), write(lab, host, "deaf", "deaf")
    sh(lab, host, f"mv {log} /var/log/app/told-20240131.log; rm /var/log/app/told-20240131.log")
    done = one(lab, host, "log_reopen", paths=[other, log], signals=HUP)
    assert done["status"] == "changed", done["reason"]
    assert [each["path"] for each in done["result"]["reopened"]] == [log]
    sh(lab, host, f"until test -s {log}; do :; done")
    assert one(lab, host, "log_reopen", paths=[other, log], signals=HUP)["status"] == "ok"
