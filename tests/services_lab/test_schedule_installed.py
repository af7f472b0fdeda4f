"""Schedules handed to what a host has: a real cron, a timer with credentials, a user's own systemd."""

from __future__ import annotations

import json
import textwrap
from typing import Any

import pytest

from remedy.lab import Lab
from remedy.template.vault import encrypt
from tests.conftest_lab import HostFactory
from tests.services_lab.timekeeping import MARK, PROJECT, STATE, Keeper

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

LOOK = """\
- hosts: all
  gather_facts: false
  runbook: {severity: P2}
  diagnose:
    - finding: {id: odd, severity: P2, title: odd, evidence: 1}
"""
SECRET = """\
- hosts: all
  gather_facts: false
  vars:
    word: !vault |
      %s
  tasks:
    - copy: {dest: "/srv/{{ name }}", content: "{{ word }} {{ other }}", mode: "0600"}
      no_log: true
"""
ADMIN = 2001


@pytest.fixture(scope="module")
def keeper(lab: Lab, host_factory: HostFactory) -> Keeper:
    host_factory("clock2")
    host_factory("web2")
    keeper = Keeper(lab, "clock2", ("web2",))
    keeper.furnish()
    keeper.put(f"{PROJECT}/playbooks/mark.yml", MARK)
    keeper.put(f"{PROJECT}/playbooks/look.yml", LOOK)
    return keeper


def _vaulted(text: str, indent: int) -> str:
    return textwrap.indent(encrypt(text.encode(), b"open sesame").decode(), " " * indent).strip()


def _add(keeper: Keeper, name: str, *words: str) -> None:
    keeper.remedy("schedule", "add", name, "--when", "every 1 minute", "--zone", "UTC", *words,
                  "--private-key", "/root/lab_key")  # fmt: skip
    keeper.lab.run(keeper.name, ["chown", "-R", "admin:admin", STATE, PROJECT])


def _ended(keeper: Keeper, *names: str) -> list[dict[str, Any]]:
    """Wait until each of these schedules has ended a run; return the first one of each."""
    found = []
    for name in names:
        over = keeper.until(
            f"a run of {name}", lambda name=name: [e for e in keeper.past(name) if e["exit_code"] is not None], 150
        )
        found.append(over[-1])
    return found


def _events(keeper: Keeper, run: str) -> list[dict[str, Any]]:
    text = keeper.lab.run(keeper.name, ["sh", "-c", f"cat {STATE}/runs/{run}/*.jsonl"], user="admin").stdout
    return [json.loads(line) for line in text.splitlines()]


def _shape(events: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Return of each event what does not hang on the moment."""
    return [tuple(each.get(key) for key in ("type", "host", "module", "status", "section")) for each in events]


@pytest.mark.soak
def test_cron_does_what_a_timer_does(keeper: Keeper) -> None:
    key = keeper.lab.identity.key.read_text()
    keeper.put("/home/admin/lab_key", key, 0o600)
    keeper.lab.run(keeper.name, ["chown", "admin:admin", "/home/admin/lab_key"])
    plays, looks = ("--playbook", "mark", "--mode", "play"), ("--playbook", "look", "--mode", "diagnose")
    lines = ""
    for name, words in (("cron-plays", plays), ("cron-looks", looks)):
        _add(keeper, name, *words)
        lines += keeper.remedy("schedule", "export", name, "--cron", "--private-key", "/home/admin/lab_key").stdout
    keeper.lab.run(keeper.name, ["crontab", "-u", "admin", "-"], stdin=lines.encode())
    keeper.lab.run(keeper.name, ["systemctl", "restart", "cron"])
    for name, words in (("timer-plays", plays), ("timer-looks", looks)):
        _add(keeper, name, *words)
        keeper.remedy("schedule", "export", name, "--systemd", "--install", "--run-as", "admin",
                      "--private-key", "/root/lab_key")  # fmt: skip
    names = ("cron-plays", "cron-looks", "timer-plays", "timer-looks")
    ended = _ended(keeper, *names)
    keeper.lab.run(keeper.name, ["crontab", "-u", "admin", "-r"])
    for name in names:
        keeper.remedy("schedule", "remove", name)

    assert [(each["state"], each["exit_code"]) for each in ended] == [("done", 0), ("done", 10)] * 2
    assert all(each["due"].endswith(":00Z") and each["holder"].startswith("admin@clock2") for each in ended)
    assert keeper.lab.run("web2", ["cat", "/srv/times"]).stdout.split()
    told = [_events(keeper, each["run"]) for each in ended]
    for cron, timer in ((told[0], told[2]), (told[1], told[3])):
        assert len(cron) > 3
        assert _shape(cron) == _shape(timer)
    said = keeper.lab.run(keeper.name, ["journalctl", "-q", "-o", "cat", "-u", "cron"]).stdout
    assert "remedy schedule run cron-plays --due now" in said


@pytest.mark.soak
def test_a_timer_hands_over_the_vault_password_that_its_account_cannot_read(keeper: Keeper) -> None:
    keeper.put("/root/vault_password", "open sesame\n", 0o600)
    keeper.put(f"{PROJECT}/playbooks/secret.yml", SECRET % _vaulted("wérd", 6))
    keeper.put(
        f"{PROJECT}/schedules/secret.yml",
        "playbook: secret\nmode: play\nwhen: every 1 minute\n"
        f"vars:\n  name: secret\n  other: !vault |\n    {_vaulted('other', 4)}\n",
    )
    files = ("--vault-password-file", "/root/vault_password", "--private-key", "/root/lab_key")
    keeper.remedy("schedule", "add", "secret", *files)
    keeper.lab.run(keeper.name, ["chown", "-R", "admin:admin", STATE, PROJECT])
    keeper.remedy("schedule", "export", "secret", "--systemd", "--install", "--run-as", "admin", *files)
    (ended,) = _ended(keeper, "secret")
    keeper.remedy("schedule", "remove", "secret")
    assert (ended["state"], ended["exit_code"], ended["reason"]) == ("done", 0, None)
    assert keeper.lab.run("web2", ["cat", "/srv/secret"]).stdout == "wérd other"
    assert keeper.lab.run(keeper.name, ["cat", "/root/vault_password"], user="admin", ok=None).code != 0
    # Neither the words nor the password are kept anywhere.
    kept = keeper.lab.run(
        keeper.name, ["grep", "-rlE", "wérd|other\\b.*secret|open sesame", STATE, "/var/log"], ok=None
    )
    assert kept.stdout == ""
    left = keeper.lab.run(keeper.name, ["sh", "-c", "ls -A /run/credentials 2>/dev/null || :"]).stdout
    assert "remedy" not in left


@pytest.mark.soak
def test_an_account_without_root_has_timers_of_its_own(keeper: Keeper) -> None:
    """The account's own systemd, which lingers; no login, no root."""
    keeper.put("/home/admin/vault_password", "open sesame\n", 0o600)
    keeper.put("/home/admin/lab_key", keeper.lab.identity.key.read_text(), 0o600)
    keeper.put(f"{PROJECT}/playbooks/secret.yml", SECRET % _vaulted("wérd", 6))
    keeper.put(
        f"{PROJECT}/schedules/mine.yml",
        "playbook: secret\nmode: play\nwhen: every 1 minute\nvars: {name: mine, other: plain}\n",
    )
    # The host has no PAM module of systemd, which would say this at a login.
    keeper.put(
        "/etc/systemd/system/user@.service.d/runtime.conf", "[Service]\nEnvironment=XDG_RUNTIME_DIR=/run/user/%i\n"
    )
    lab, name = keeper.lab, keeper.name
    lab.run(name, ["chown", "-R", "admin:admin", STATE, PROJECT, "/home/admin"])
    lab.run(name, ["systemctl", "daemon-reload"])
    lab.run(name, ["loginctl", "enable-linger", "admin"])
    lab.run(name, ["systemctl", "start", f"user@{ADMIN}.service"])
    files = "--vault-password-file /home/admin/vault_password --private-key /home/admin/lab_key"
    mine = (
        f"cd {PROJECT} && export HOME=/home/admin REMEDY_STATE={STATE} XDG_RUNTIME_DIR=/run/user/{ADMIN} && "
        "unset XDG_CONFIG_HOME && "
    )
    said = lab.run(
        name,
        ["sh", "-c", f"{mine} remedy schedule export mine --systemd --user --install {files}"],
        user="admin",
        timeout=120,
    )
    assert "remedy-ops-mine.timer is at work, next at" in said.stderr
    assert "loginctl enable-linger" not in said.stderr  # it lingers already
    (ended,) = _ended(keeper, "mine")
    gone = lab.run(name, ["sh", "-c", f"{mine} remedy schedule remove mine"], user="admin", timeout=120).stderr
    assert (ended["state"], ended["exit_code"], ended["reason"]) == ("done", 0, None)
    assert lab.run("web2", ["cat", "/srv/mine"]).stdout == "wérd plain"
    assert "removed /home/admin/.config/systemd/user/remedy-ops-mine.timer" in gone
