"""Journals of a booted host: they give their space back, also on a full disk, and journald works on."""

import pytest
from tests.modules.running import in_lab, one, step

from remedy.lab import Disk

pytestmark = pytest.mark.lab

MB = 1 << 20


@pytest.fixture(scope="module")
def booted(lab, host_factory):
    name = host_factory("journals", role="app", disks={"/var/log": Disk("96M")}).name
    lab.run(name, ["journalctl", "--flush"])
    return name


@pytest.fixture
def host(lab, booted):
    yield booted
    # rsyslog writes down all the noise a second time.
    script = """
    systemctl stop 'w-*' 2>/dev/null; systemctl reset-failed 2>/dev/null; rm -f /run/full
    if rm /etc/systemd/journald.conf.d/t.conf 2>/dev/null; then systemctl restart systemd-journald; fi
    truncate --size=0 /var/log/syslog /var/log/*.log
    """
    lab.unfill(booted, "/var/log")
    lab.run(booted, ["sh", "-c", script], ok=None)


def sh(lab, host, script):
    return lab.run(host, ["sh", "-ec", script]).stdout


def free(lab, host):
    return int(sh(lab, host, "df --output=avail -B1 /var/log | tail -1"))


NOISE = "head -c %d /dev/urandom | base64 -w 1000 | systemd-cat -t noise; journalctl --sync\n"


@pytest.fixture
def journals(lab, host):
    """Archived journals of some MB, one that is active, and a unit that failed."""
    sh(
        lab,
        host,
        "journalctl -q --rotate --vacuum-size=1; systemctl reset-failed\n"
        + (NOISE % 1500000 + "journalctl --rotate\n") * 3
        + "systemd-run -q --unit=w-sick sh -c 'echo my last words; exit 3' || :\n"
        "until systemctl is-failed -q w-sick; do :; done; journalctl --sync",
    )
    return host


def usage(lab, host, **given):
    frame = one(lab, host, "journal_vacuum", reads=True, **given)
    assert frame["status"] == "ok", frame
    return frame["result"]


def test_archived_journals_go_oldest_first_and_evidence_is_saved(lab, journals):
    host = journals
    looked = usage(lab, host, size="4M")
    assert looked["usage"]["archived"] > 5 * MB
    assert all("entries from 20" in item["reason"] for item in looked["takes"])
    names = [item["item"] for item in looked["takes"]]
    assert len(names) >= 1
    frame = one(lab, host, "journal_vacuum", size="4M", rotate=False)
    assert frame["status"] == "changed", frame["reason"]
    [failed] = [each for each in frame["result"]["failed_units"] if each["unit"] == "w-sick.service"]
    assert any("my last words" in line for line in failed["lines"])
    assert frame["result"]["usage"]["archived"] <= 4 * MB
    assert frame["change"]["bytes_freed"] >= MB
    assert any(row["reason"].startswith("active: journald writes it") for row in frame["kept"])
    assert one(lab, host, "journal_vacuum", size="4M", rotate=False)["status"] == "ok"
    for unlimited in ({"size": 0, "age": "1d"}, {"size": "1G", "age": 0}):
        assert one(lab, host, "journal_vacuum", **unlimited)["status"] == "ok"


def test_what_is_active_is_rotated_where_that_frees_something_and_journald_goes_on(lab, journals):
    host = journals
    [row] = [row for row in usage(lab, host, size="1K")["kept"] if row["item"].endswith("system.journal")]
    assert row["reason"].startswith("active: journald writes it; ")
    lab.put(
        host, "/etc/systemd/journald.conf.d/t.conf", b"[Journal]\nSystemMaxUse=80M\nSystemMaxFileSize=40M\n"
    )
    sh(lab, host, "systemctl restart systemd-journald; " + NOISE % 12000000)
    lab.fill(host, "/var/log")
    frame = one(lab, host, "journal_vacuum", size="1K")
    assert frame["status"] == "changed", frame["reason"]
    assert frame["change"]["items"][-1]["item"].endswith("/system.journal")
    assert frame["change"]["bytes_freed"] > 5 * MB
    left = frame["change"]["bytes_freed"] - free(lab, host)
    assert left < 4 * MB, "the new journal's share is taken off; syslog's noise took the rest"
    held = sh(lab, host, "ls -l /proc/$(pidof systemd-journald)/fd")
    assert "deleted" not in held, "what was archived is closed, or it would still take its space"
    sh(
        lab,
        host,
        "logger a line afterwards; journalctl --sync; journalctl -q -o cat | grep 'a line afterwards'",
    )
    again = one(lab, host, "journal_vacuum", size="1M")
    assert again["status"] == "ok", "a second time nothing changes"


def rotated_twice(lab, host):
    """Have journald archive what says no more than that it rotated, and hold it open; return its path."""
    for _ in range(20):
        sh(lab, host, "journalctl --rotate")
        held = sh(lab, host, "readlink /proc/$(pidof systemd-journald)/fd/* | grep @ | sort; true").split()
        if held and sh(lab, host, f"journalctl --file={held[-1]} --output=cat").count("\n") == 1:
            return held[-1]
    pytest.fail(f"journald holds {held or 'no archived journal'}, with more in it")


def test_what_a_rotation_leaves_goes_by_age_only_and_never_while_journald_has_it_open(lab, journals):
    host = journals
    left = rotated_twice(lab, host)
    frame = one(lab, host, "journal_vacuum", size="1K", rotate=False)
    kept = {row["item"]: row["reason"] for row in frame["kept"]}
    assert kept.pop(left).startswith("within the limits; 1 entries from 20")
    assert [path for path in kept if "@" in path] == [], "all the others went"
    frame = one(lab, host, "journal_vacuum", age="0.001s", rotate=False)
    kept = {row["item"]: row["reason"] for row in frame["kept"]}
    assert kept[left].startswith("journald has it open until it rotates; 1 entries from 20")
    sh(lab, host, "journalctl --rotate")
    frame = one(lab, host, "journal_vacuum", age="0.001s", rotate=False)
    assert [item["item"] for item in frame["change"]["items"]] == [left]


READERS = """
mkfifo /run/full
systemd-run -q --unit=w-stuck sh -c 'exec 3<>/run/full; exec journalctl --no-pager >&3'
systemd-run -q --unit=w-follows journalctl --follow --lines=1
for unit in stuck follows; do
    until readlink /proc/$(systemctl show -P MainPID w-$unit)/fd/* | grep -q @; do :; done
done
"""


def test_a_journal_that_is_read_is_kept_and_one_that_is_only_followed_goes(lab, journals):
    host = journals
    sh(lab, host, READERS)
    pid = sh(lab, host, "systemctl show -P MainPID w-stuck").strip()
    frame = one(lab, host, "journal_vacuum", size="1K", rotate=False)
    assert frame["status"] == "ok", frame
    [reason] = {row["reason"] for row in frame["kept"] if "space" in row["reason"]}
    assert reason == f"its space would not be free: journalctl (pid {pid}, w-stuck.service) has it open"
    sh(lab, host, "systemctl stop w-stuck; rm /run/full")
    frame = one(lab, host, "journal_vacuum", size="1K", rotate=False)
    assert frame["status"] == "changed", frame
    held = "ls -l /proc/$(systemctl show -P MainPID w-follows)/fd"
    sh(lab, host, f"for i in $(seq 500); do {held} | grep -q deleted || exit 0; sleep 0.01; done; exit 1")


def test_journals_are_judged_by_their_newest_entry_and_not_by_a_wrong_clock(lab, journals):
    host = journals
    assert one(lab, host, "journal_vacuum", age="1h")["status"] == "ok"
    [frame] = in_lab(lab, host, step("journal_vacuum", age="1h", internal={"clock_skew": 172800}))
    assert frame["status"] == "failed"
    assert frame["reason"].startswith("the host's clock is 172800 s off")
    [frame] = in_lab(
        lab, host, step("journal_vacuum", size="1M", in_check=True, internal={"clock_skew": 172800})
    )
    assert frame["status"] == "changed"
    sh(lab, host, "mkdir /var/log/journal/" + "0" * 32)
    frame = one(lab, host, "journal_vacuum", age="0.01s", in_check=True)
    assert frame["status"] == "changed"
    assert {"item": "/var/log/journal/" + "0" * 32, "reason": "another machine's journals"} in frame["kept"]
    sh(lab, host, "rmdir /var/log/journal/" + "0" * 32)
