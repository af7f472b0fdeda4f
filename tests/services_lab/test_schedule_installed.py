"""Schedules handed to what a host has: a real cron, a timer with credentials, a user's own systemd; the daemon."""

from __future__ import annotations

import json
import re
import textwrap
from datetime import datetime
from typing import Any

import pytest
import yaml

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
REFUSED = """\
- hosts: all
  gather_facts: false
  runbook: {severity: P2, symptoms: [none]}
  diagnose:
    - finding: {id: odd, severity: P2, title: odd, evidence: 1}
  tasks:
    - name: restart cron
      service: {name: cron, state: restarted}
  verify:
    - assert: {that: true}
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
    for name in ("web2", "web3", "web4"):
        host_factory(name)
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


def _ended(keeper: Keeper, *names: str, project: str = PROJECT) -> list[dict[str, Any]]:
    """Wait until each of these schedules has ended a run; return the first one of each."""
    found = []
    for name in names:
        over = keeper.until(
            f"a run of {name}",
            lambda name=name: [e for e in keeper.past(name, project) if e["exit_code"] is not None],
            210,
        )
        found.append(over[-1])
    return found


def _events(keeper: Keeper, run: str) -> list[dict[str, Any]]:
    text = keeper.lab.run(keeper.name, ["sh", "-c", f"cat {STATE}/runs/{run}/*.jsonl"], user="admin").stdout
    return [json.loads(line) for line in text.splitlines()]


def _shape(events: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Return of each event what does not hang on the moment."""
    keys = ("event", "host", "mode", "section", "task", "module", "status", "object", "id", "outcome", "exit_code")
    return [tuple(each.get(key) for key in keys) for each in events]


@pytest.mark.soak
def test_cron_a_timer_and_the_daemon_do_the_same(keeper: Keeper) -> None:
    """Each for a copy of the project whose `web` is a host of its own: two that play meet on none."""
    keeper.put("/home/admin/lab_key", keeper.lab.identity.key.read_text(), 0o600)
    keeper.put(f"{PROJECT}/playbooks/refused.yml", REFUSED)
    projects = {way: f"/srv/by-{way}" for way in ("cron", "timer", "daemon")}
    permission = {"kinds": ["D"], "at_most": 1, "until": "2099-12-31", "by": "anna@example.com"}
    even, odd = "*/2 * * * *", "1-59/2 * * * *"  # what plays is never due with what is refused: they would meet, too
    schedules: dict[str, dict[str, Any]] = {
        "plays": {"playbook": "mark", "mode": "play", "when": even},
        "looks": {"playbook": "look", "when": even},
        "refused": {"playbook": "refused", "mode": "play", "when": odd, "permission": permission},
    }
    for (way, project), host in zip(projects.items(), ("web2", "web3", "web4"), strict=True):
        keeper.run("cp", "-a", PROJECT, project)
        login = {"ansible_host": keeper.lab.host(host).address, "ansible_user": "admin", "ansible_become": True}
        keeper.put(f"{project}/inventory/hosts.yml", yaml.safe_dump({"all": {"hosts": {"web": login}}}))
        for name, words in schedules.items():
            keeper.put(f"{project}/schedules/{way}-{name}.yml", yaml.safe_dump({"zone": "UTC", **words}))
    keeper.run("chown", "-R", "admin:admin", "/home/admin/lab_key", STATE, *projects.values())

    lines = "".join(
        keeper.remedy("schedule", "export", f"cron-{name}", "--cron", "--private-key", "/home/admin/lab_key",
                      project=projects["cron"]).stdout
        for name in schedules
    )  # fmt: skip
    for name in schedules:
        keeper.remedy("schedule", "export", f"timer-{name}", "--systemd", "--install", "--run-as", "admin",
                      "--private-key", "/root/lab_key", project=projects["timer"])  # fmt: skip
    # No mail server is there to tell what the runs said.
    lines = re.sub(r"(?<= /home/admin/lab_key)$", f" >> {STATE}/cron.log 2>&1", lines, flags=re.MULTILINE)
    keeper.lab.run(keeper.name, ["crontab", "-u", "admin", "-"], stdin=lines.encode())
    keeper.run("systemctl", "restart", "cron")
    keeper.start_daemon("--private-key", "/home/admin/lab_key", project=projects["daemon"])
    ended = {
        way: _ended(keeper, *(f"{way}-{name}" for name in schedules), project=project)
        for way, project in projects.items()
    }
    keeper.run("crontab", "-u", "admin", "-r")
    keeper.run("systemctl", "stop", "remedy-scheduler", *(f"remedy-by-timer-timer-{name}.timer" for name in schedules))
    keeper.until("the end of all runs", keeper.idle, 60)
    units = keeper.run("systemctl", "show", "-pResult,ExecMainStatus",
                       *(f"remedy-by-timer-timer-{name}.service" for name in schedules))  # fmt: skip
    for name in schedules:
        keeper.remedy("schedule", "remove", f"timer-{name}", project=projects["timer"])

    runs: dict[str, list[list[dict[str, Any]]]] = {}
    for (way, entries), host in zip(ended.items(), ("web2", "web3", "web4"), strict=True):
        told = [(each["state"], each["exit_code"], each["reason"]) for each in entries]
        assert told[:2] == [("done", 0, None), ("done", 10, None)], way
        assert told[2][:2] == ("refused", 3), way
        assert all(each["holder"].startswith("admin@clock2") for each in entries)
        dues = [datetime.fromisoformat(each["due"]) for each in entries]
        assert [(due.minute % 2, due.second) for due in dues] == [(0, 0), (0, 0), (1, 0)]
        assert keeper.lab.run(host, ["cat", "/srv/times"]).stdout.split()
        runs[way] = [_events(keeper, each["run"]) for each in entries]
    assert all(len(events) > 3 for events in runs["cron"])
    # Which step it was is said where each of them says things.
    logs = {
        "cron": keeper.run("cat", f"{STATE}/cron.log"),
        "timer": keeper.run("journalctl", "-q", "-o", "cat", "-u", "remedy-by-timer-timer-refused.service"),
        "daemon": keeper.daemon(),
    }
    for way, log in logs.items():
        assert f"the schedule '{way}-refused' may not do this: its permission is for D only" in log, (way, log)
        assert re.search(r"web: interrupts \S+  \[restart cron\] \(R\)\n", log), (way, log)
    for way in ("timer", "daemon"):
        assert list(map(_shape, runs[way])) == list(map(_shape, runs["cron"])), way
    # The exit codes as those see them who started it; findings are no failure of a unit.
    assert [tuple(text.split()) for text in units.strip().split("\n\n")] == [
        ("Result=success", "ExecMainStatus=0"), ("Result=success", "ExecMainStatus=10"),
        ("Result=exit-code", "ExecMainStatus=3"),
    ]  # fmt: skip
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
