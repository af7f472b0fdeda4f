"""A drill's file: what it may say, and what is said of what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from remedy.drill.file import load_drill
from remedy.drill.method import undoing
from remedy.drill.model import ANY, Expected
from remedy.errors import InputError
from remedy.playbook import Task
from remedy.project import Project

GOOD = """\
title: Two hosts fall ill
runbook: disk-full
hosts:
  app1: {role: app, disks: {/var/log: {size: 96M}}}
  db1: {role: mysql}
vars: {big_log: 16M}
limits: {detect: 20s, heal: 2m}
method:
  - name: Ballast
    fault_disk_full: {path: /var/log, leave: 1M}
    hosts: app1
    register: full
  - name: Logs
    fault_logs: {rotated: 3}
    hosts: [app1]
    when: full.changed
  - pause: 2s
  - shell: touch /run/flag
  - block:
      - fault_disk_full: {path: "{{ where }}", name: inner}
    vars: {where: /srv}
    hosts: db1
expect:
  app1: [disk-full]
  any: old-logs
allow: {db1: any}
not_expected: [docker]
remain: [old-logs]
collateral:
  - file: /etc/fstab
  - {service: mariadb, hosts: db1, since: steady state}
  - {table: shop.orders, hosts: db1}
  - command: [cat, /proc/mounts]
restore:
  - file: {path: /run/flag, state: absent}
"""


def load(tmp_path: Path, text: str = GOOD):
    path = tmp_path / "drills" / "two.yml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return load_drill(path, project=Project.find(tmp_path))


def tasks(steps) -> list[tuple[tuple[str, ...], list[str]]]:
    return [(step.hosts, [task.title for task in step.tasks]) for step in steps]


def test_everything_that_a_drill_may_say(tmp_path: Path):
    drill = load(tmp_path)
    assert (drill.name, drill.title, drill.runbook) == ("two", "Two hosts fall ill", "disk-full")
    assert [(need.name, need.role) for need in drill.needs] == [("app1", "app"), ("db1", "mysql")]
    assert drill.needs[0].options == {"disks": {"/var/log": {"size": "96M"}}}
    assert (drill.limits.detect, drill.limits.heal) == (20, 120)
    assert drill.expect == (Expected("app1", "disk-full"), Expected(ANY, "old-logs"))
    assert drill.allows("db1", "whatever")
    assert not drill.allows("db1", "docker")
    assert not drill.allows("app1", "whatever")
    assert [(thing.kind, thing.hosts, thing.since) for thing in drill.collateral] == [
        ("file", ("app1", "db1"), "method"),
        ("service", ("db1",), "steady state"),
        ("table", ("db1",), "method"),
        ("command", ("app1", "db1"), "method"),
    ]


def test_tasks_for_the_same_hosts_leave_together_and_a_pause_parts_them(tmp_path: Path):
    steps = load(tmp_path).method
    assert tasks(steps) == [(("app1",), ["Ballast", "Logs"]), (("app1", "db1"), ["shell"]), (("db1",), [""])]
    assert [step.pause for step in steps] == [0, 2, 0]


def test_faults_are_undone_last_first_without_a_memory_of_the_method(tmp_path: Path):
    steps = undoing(load(tmp_path))
    assert tasks(steps) == [
        (("db1",), ["undo: fault_disk_full"]),
        (("app1",), ["undo: Logs", "undo: Ballast"]),
        (("app1", "db1"), ["file"]),
    ]
    for step in steps:
        for task in step.tasks:
            assert isinstance(task, Task)
            assert task.args["state"] == "absent"
            assert task.ignore_errors is True
            assert task.when == ()
    inner = steps[0].tasks[0]
    assert isinstance(inner, Task)
    assert inner.vars["where"] == "/srv", "the variables of a block go with its faults"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (GOOD, "", "two.yml:1:1: the drill is empty\n  expected 'title', 'runbook'"),
        (GOOD, "- a\n", "two.yml:1:1: the drill is a list"),
        ("runbook: disk-full\n", "", "two.yml:1:1: a drill without 'runbook'"),
        ("method:", "metod:", "a drill without 'method'"),
        ("vars:", "var:", "two.yml:6:1: 'drill' has no 'var'\n  did you mean 'vars'?"),
        ("role: mysql", "rol: mysql", "two.yml:5:3: the host db1 has no role"),
        ("detect: 20s", "detect: soon", "two.yml:7:18: 'detect' is the text 'soon'\n  expected a duration such as 30s"),
        ("detect: 20s", "detekt: 20s", "'limits' has no 'detekt'\n  did you mean 'detect'?"),
        ("hosts: app1", "hosts: app2", "two.yml:11:12: the drill has no host 'app2'\n  its hosts are: app1, db1"),
        ("rotated: 3", "rotatd: 3", "two.yml:14:18: 'rotatd' is not a parameter of 'fault_logs'"),
        ("fault_logs:", "fault_lags:", "no module or keyword 'fault_lags'\n  did you mean 'fault_logs'?"),
        ("pause: 2s", "pause: 2h", "'pause' is the text '2h'\n  expected a duration up to 10m"),
        ("- shell: touch /run/flag", "- include_tasks: '{{ a }}'", "include_tasks cannot stand in a drill"),
        ("app1: [disk-full]", "app3: [disk-full]", "the drill has no host 'app3'\n  expected any, or one of its hosts"),
        ("app1: [disk-full]", "app1: [any]", "'expect' takes no 'any'"),
        ("not_expected: [docker]", "not_expected: [old-logs]", "'old-logs' is both expected and not expected"),
        ("- file: /etc/fstab", "- fil: /etc/fstab", "an entry of collateral is a mapping\n  expected one of file"),
        ("- file: /etc/fstab", "- file: fstab", "'path' is the text 'fstab'\n  expected an absolute path"),
        ("table: shop.orders", "table: shop.orders;drop", "expected a name such as shop.orders"),
        ("since: steady state", "since: then", "expected 'method' (as the method left it) or 'steady state'"),
        ("service: mariadb", "service: mariadb, engine: mysql", "'engine' is for a table"),
        ("leave: 1M}\n    hosts: app1", "leave: 1M}\n    hosts: []", "two.yml:11:12: 'hosts' names no host"),
        ("shop.orders, hosts: db1", "shop.orders, hosts: []", "'hosts' names no host\n  expected some of app1, db1"),
        ("{big_log: 16M}", "{ansible_host: b}", "two.yml:6:8: a drill cannot set 'ansible_host'"),
        ("  db1: {role", "  all: {role", "two.yml:5:3: 'all' cannot name a host"),
        ("  db1: {role", '  "d\\u202eb": {role', "two.yml:5:3: 'd\\u202eb' cannot name a host"),
        ("  db1: {role", f"  {'d' * 64}: {{role", "cannot name a host\n  expected a name such as app1: up to 63"),
        ("{/var/log: {size: 96M}}", "5", "two.yml:4:28: hosts.app1.disks is int, expected a mapping"),
        ("size: 96M", "size: [1]", "two.yml:4:28: hosts.app1.disks./var/log: [1] is no size"),
        ("{role: mysql}", "{role: mysql, dsks: 1}", "two.yml:5:28: hosts.db1 has an unknown key 'dsks'"),
        *(
            ("detect: 20s", f"detect: {odd}", "two.yml:7:18: 'detect' is the")
            for odd in (".inf", ".nan", "5000000000", "9" * 400, f"'{'9' * 400}'", "-5", "-5s", "0", "25h")
        ),
        ("pause: 2s", f"pause: {'9' * 400}", "expected a duration up to 10m"),
        ("    register: full\n", "    register: full\n    notify: me\n", "the play has no handlers"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, old: str, new: str, said: str):
    assert old in GOOD
    with pytest.raises(InputError) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))
    assert said in str(caught.value)
