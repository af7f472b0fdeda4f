"""The playbooks that travel with the package: each loads without a warning, and is complete."""

import re
from pathlib import Path

import pytest

from remedy.cli.mistyped import of_modules, tasks_of
from remedy.engine.guards import perhaps
from remedy.modules.parameters import has_template
from remedy.playbook import Include, load, load_tasks, walk
from remedy.project import Project
from remedy.secret import Secrets
from remedy.template import Layer, Templar, UnknownValue

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


@pytest.mark.parametrize("name", NAMES)
def test_no_variable_of_a_runbook_hides_one_of_the_inventory(name):
    playbook = load(PROJECT.playbook(name), project=PROJECT)
    own = {str(key) for play in playbook.plays for key in play.vars}
    assert own & of_modules(playbook, PROJECT) == set()


@pytest.mark.parametrize("name", NAMES)
def test_a_runbook_names_the_variables_of_what_it_does_only_by_hand(name):
    def written(value):
        if has_template(value):
            raise UnknownValue("it is rendered on the way", "")
        return value

    for play in plays(name):
        guards = [perhaps(play, task, written) for task in tasks_of(play, PROJECT)]
        assert bool(play.runbook.attended) == any(guard is not None and guard.attended for guard in guards)
        # Empty, so that nobody gets by default what is only by hand.
        assert [play.vars[variable] for variable in play.runbook.attended if play.vars[variable]] == []


def fixes():
    (play,) = plays("disk-full")
    for include in play.tasks:
        assert isinstance(include, Include)
        path = PROJECT.tasks_file(include.file, Path(include.position.file).parent)
        yield include, load_tasks(path, project=PROJECT, play=play)


def raised():
    (play,) = plays("disk-full")
    return {str(node.args["id"]) for node, _ in walk(play.diagnose) if getattr(node, "module", "") == "finding"}


def test_each_fix_of_disk_full_is_for_a_finding_that_diagnose_raises():
    called_for = {str(part).strip("\"").split("'")[1] for include, _ in fixes() for part in include.when}
    # What could not be looked at is a finding, too, and calls for a person.
    assert called_for == {name for name in raised() - {"disk-full"} if not name.endswith("-unknown")}


def test_disk_full_frees_what_needs_no_space_first():
    order = [task.module for _, tasks in fixes() for task, _ in walk(tasks)]
    gentle = ["open_deleted", "old_files", "journal_vacuum", "package_cache", "old_files", "docker_prune"]
    assert order[: len(gentle)] == gentle
    # Emptying a log makes room for the purge, which hangs without; what is lent still is room for it.
    assert order[-4:] == ["log_truncate", "disk_usage", "mysql_binlog_purge", "ext4_reserve"]


def test_disk_full_defines_what_it_uses():
    (play,) = plays("disk-full")
    registered = {task.register for _, tasks in fixes() for task, _ in walk(tasks)}
    registered |= {getattr(node, "register", None) for node, _ in walk(play.diagnose)}
    templar = Templar(Secrets())
    for _, tasks in fixes():
        for task, _ in walk(tasks):
            assert templar.touches(task.args) <= set(play.vars) | registered | {"item"}


def test_the_page_about_disk_full_names_each_finding_and_each_variable():
    (play,) = plays("disk-full")
    page = (Path(__file__).parents[2] / "docs/disk-full.md").read_text(encoding="utf-8")
    named = set(re.findall(r"[\w-]+", page))
    assert raised() | set(play.vars) <= named


@pytest.mark.parametrize(
    ("io", "sql", "start", "done"),
    [
        ("connecting", "yes", False, ["restart"]),
        ("no", "yes", False, ["start"]),  # it gave up, and goes on applying
        ("no", "no", False, []),  # somebody stopped it while its source was away, and it is to stay so
        ("no", "no", True, ["start"]),
    ],
)
def test_a_replica_that_is_to_stay_stopped_is_not_taken_for_one_that_gave_up(io, sql, start, done):
    (play,) = plays("mysql-replication")
    path = PROJECT.tasks_file("mysql/reconnect-replica.yml", Path(play.position.file).parent)
    templar = Templar(Secrets())
    channel = {"held_up_by": "connection", "io": io, "sql": sql, "io_error": {"number": 2003}}
    told = {"replication": {"channels": [channel]}, "mysql_start_replica": start}
    chosen = []
    for task, _ in walk(load_tasks(path, project=PROJECT, play=play)):
        scope = templar.scope([Layer("task vars", task.vars), Layer("registered", told, data=True)])
        chosen += [task.args["mode"].removesuffix("replica") for _ in templar.render(task.loop, scope)]
    assert chosen == done


def test_the_page_about_logs_rotate_names_each_finding_and_each_variable():
    (play,) = plays("logs-rotate")
    page = (Path(__file__).parents[2] / "docs/logs-rotate.md").read_text(encoding="utf-8")
    found = {str(node.args["id"]) for node, _ in walk(play.diagnose) if getattr(node, "module", "") == "finding"}
    assert len(found) == 8
    assert found | set(play.vars) <= set(re.findall(r"[\w-]+", page))
