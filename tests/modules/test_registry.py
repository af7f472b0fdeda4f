"""Every module is found by its names, and is complete enough to be documented and checked."""

import subprocess
import sys
from datetime import UTC, date, datetime

import pytest

from remedy.agent.kinds import REQUIRED, Module, Param
from remedy.errors import InputError, Position, RemedyError
from remedy.modules import find, names, prepare
from remedy.modules.values import TYPES

HERE = Position("site.yml", 7, 5)


@pytest.mark.parametrize("name", ["ping", "ansible.builtin.ping", "ansible.legacy.ping", "remedy.ping"])
def test_a_module_has_its_short_name_and_ansibles(name):
    assert find(name).name == "ping"


@pytest.mark.parametrize("name", ["systemd", "systemd_service", "ansible.builtin.systemd"])
def test_an_alias_leads_to_the_module(name):
    assert find(name).name == "service"


def test_a_name_that_python_keeps_for_itself_is_a_module_all_the_same():
    assert find("assert").place == "control"
    assert "assert" in names()


def test_helpers_of_modules_are_no_modules():
    assert not [name for name in names() if name.startswith("_")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pingg", "site.yml:7:5: no module 'pingg'\n  did you mean 'ping'?"),
        (
            "apt_key",
            "site.yml:7:5: remedy does not have Ansible's module 'apt_key' yet\n"
            "  `remedy doc` lists the modules there are; `command` and `shell` run what is missing",
        ),
        (
            "community.general.ping",
            "site.yml:7:5: no module 'community.general.ping': remedy has no collections\n"
            "  did you mean 'ping'?",
        ),
    ],
)
def test_an_unknown_name_says_what_is_near(name, text):
    with pytest.raises(InputError) as caught:
        find(name, HERE)
    assert str(caught.value) == text
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("name", names())
def test_a_module_says_what_it_is(name):
    spec = find(name)
    assert spec.summary.endswith("."), "the docstring starts with one sentence"
    assert spec.examples
    for param in spec.params:
        assert isinstance(param, Param)
        assert param.help, param.name
        assert param.type in TYPES
        assert param.elements is None or param.elements in TYPES
        if param.default is not REQUIRED and param.default is not None:
            defaults = param.default if param.type == "list" else [param.default]
            assert TYPES[param.type](param.default) == (
                list(defaults) if param.type == "list" else param.default
            )
            assert not param.choices or set(defaults) <= set(param.choices)
    spelled = [word for param in spec.params for word in (param.name, *param.aliases)]
    assert len(spelled) == len(set(spelled))
    assert spec.free_form is None or spec.free_form in spelled


@pytest.mark.parametrize(
    ("name", "params", "kind"),
    [
        ("ping", {}, "probe"),
        ("command", {}, "command"),
        ("raw", {}, "command"),
        ("old_files", {}, "sweep"),
        ("open_deleted", {}, "sweep"),
        ("open_deleted", {"reads": True}, "probe"),
        ("logrotate_run", {}, "action"),
        ("debug", {}, "control"),
        ("service", {"state": "started", "enabled": None, "masked": None}, "resource"),
        ("service", {"state": "restarted"}, "action"),
        ("service", {"state": "{{ wanted }}"}, "resource"),
    ],
)
def test_the_kind_follows_from_the_parameters(name, params, kind):
    assert find(name).kind_name(params) == kind


def test_control_modules_have_no_class():
    with pytest.raises(RemedyError, match="'debug' runs in the engine and has no class"):
        find("debug").kind({})
    assert issubclass(find("ping").kind({}), Module)


def test_raw_is_not_for_the_agent():
    assert find("raw").place == "raw"


def test_a_module_without_a_half_of_its_own_travels_as_it_is():
    assert prepare(find("ping"), {"data": "x"}, None) == [{"data": "x"}]


def test_a_date_travels_as_text() -> None:
    dates = [date(2026, 1, 31), {"at": datetime(2026, 1, 31, 5, tzinfo=UTC)}]
    told = prepare(find("ping"), {"data": dates}, None)
    assert told == [{"data": ["2026-01-31", {"at": "2026-01-31T05:00:00+00:00"}]}]


def test_modules_are_loaded_only_when_they_are_named():
    code = (
        "import sys, remedy.modules as m; m.find('ping'); m.find('systemd'); m.names();"
        "print([n for n in sys.modules if n.startswith('remedy.modules.target.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "ping" in done.stdout
    assert "setup" not in done.stdout
    assert "old_files" not in done.stdout
