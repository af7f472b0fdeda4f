"""The playbooks that travel with the package: each loads without a warning, and is complete."""

from pathlib import Path

import pytest

from remedy.playbook import Include, load, load_tasks, walk
from remedy.project import Project

PROJECT = Project(Path("/nowhere"))
NAMES = [one.name for one in PROJECT.playbooks()]


def plays(name):
    told = []
    found = load(PROJECT.playbook(name), project=PROJECT, warn=lambda *warning: told.append(warning)).plays
    assert told == []
    return found


@pytest.mark.parametrize("name", NAMES)
def test_runbooks_are_complete(name):
    for play in plays(name):
        assert play.name
        assert play.runbook
        assert play.runbook.severity
        assert play.runbook.symptoms
        assert play.runbook.references
        assert play.runbook.privileges
        assert play.diagnose
        assert not play.gather_facts
        assert all(node.name for _, nodes in play.sections() for node, _ in walk(nodes))


def test_disk_full():
    (play,) = plays("disk-full")
    found = [
        (section, node.title, getattr(node, "module", ""))
        for section, nodes in play.sections()
        for node, _ in walk(nodes)
    ]
    assert [(section, module) for section, _, module in found] == [
        ("diagnose", "disk_usage"),
        ("diagnose", "disk_usage"),
        ("diagnose", "find"),
        ("diagnose", "finding"),
        ("diagnose", "finding"),
        ("tasks", ""),
        ("verify", "disk_usage"),
    ]
    (include,) = play.tasks
    assert isinstance(include, Include)
    brought = load_tasks(
        PROJECT.tasks_file(include.file, Path(include.position.file).parent), project=PROJECT, play=play
    )
    assert [task.module for task in brought] == ["old_files"]


def test_disk_full_defines_what_it_uses():
    (play,) = plays("disk-full")
    assert set(play.vars) == {"disk_limit", "log_paths", "log_age", "log_keep"}
    (task,) = load_tasks(PROJECT.tasks_file("clean/old-logs.yml", Path("/nowhere")), project=PROJECT)
    used = {str(value).strip("{ }") for value in task.args.values() if "{{" in str(value)}
    assert used == set(play.vars) - {"disk_limit"}
