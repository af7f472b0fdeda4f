"""Connection variables: which one counts, and what is said about those that cannot be used."""

from __future__ import annotations

from typing import Any

import pytest

from remedy.errors import InputError
from remedy.transport import Identity, Target, TargetDefaults


def target(defaults: TargetDefaults | None = None, **variables: Any) -> Target:
    return Target.from_variables("web1", variables, defaults)


def test_a_host_without_variables_is_reached_by_its_name():
    found = target()
    assert (found.address, found.connection, found.port, found.user) == ("web1", "ssh", None, None)
    assert found.start_timeout == 30


def test_variables_win_over_the_command_line():
    defaults = TargetDefaults(user="cli", password="p1", private_key_file="/k1", timeout=7)
    assert target(defaults).user == "cli"
    assert target(defaults).timeout == 7
    found = target(
        defaults,
        ansible_user="var",
        ansible_password=1234,
        ansible_ssh_private_key_file="/k2",
        ansible_ssh_timeout="3",
        ansible_port="2222",
        ansible_host="10.0.0.1",
    )
    assert (found.user, found.password, found.private_key_file) == ("var", "1234", "/k2")
    assert (found.timeout, found.port, found.address) == (3.0, 2222, "10.0.0.1")


def test_older_names_of_the_variables_are_known():
    found = target(ansible_ssh_host="h", ansible_ssh_port=1, ansible_ssh_user="u", ansible_ssh_pass="p")
    assert (found.address, found.port, found.user, found.password) == ("h", 1, "u", "p")


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        ({"ansible_port": "ssh"}, "ansible_port is 'ssh'\n  expected: a number from 1 to 65535"),
        ({"ansible_port": True}, "ansible_port is True"),
        ({"ansible_port": 70000}, "ansible_port is 70000"),
        ({"ansible_ssh_timeout": 0}, "ansible_ssh_timeout is 0\n  expected: seconds"),
        ({"ansible_user": ["a"]}, "ansible_user is ['a']\n  expected: a text of one line"),
        ({"ansible_host": "a\nb"}, "expected: a text of one line"),
        ({"ansible_host_key_checking": "perhaps"}, "expected: true or false"),
        ({"ansible_connection": "openssh"}, "'openssh' cannot be used\n  it comes with a later version"),
        ({"ansible_connection": "locale"}, "did you mean 'local'?"),
        ({"ansible_connection": "winrm"}, "remedy works on Linux hosts"),
        ({"ansible_become": True, "ansible_become_method": "sud"}, "'sud' cannot be used\n  did you mean 'sudo'?"),
        ({"ansible_ssh_common_args": "-o 'Port"}, "ansible_ssh_common_args cannot be read"),
        ({"ansible_ssh_extra_args": "-L 1:a:2"}, "ansible_ssh_extra_args: -L cannot be honoured\n  tunnels"),
        ({"ansible_ssh_extra_args": "bastion"}, "'bastion' is no option of ssh"),
        ({"ansible_ssh_common_args": "-o"}, "-o has no value"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_used_is_named_with_what_is_valid(variables, text):
    with pytest.raises(InputError) as caught:
        target(**variables)
    assert text in str(caught.value)
    assert "host web1" in str(caught.value)


def test_a_password_is_not_shown():
    found = target(ansible_password="sesame1", ansible_become=True, ansible_become_password="sesame2")
    assert "sesame" not in repr(found)
    with pytest.raises(InputError) as caught:
        target(ansible_password=["sesame"])
    assert "sesame" not in str(caught.value)


def test_ssh_options_are_kept_in_order_and_those_of_the_program_left_out():
    found = target(
        ansible_ssh_common_args="-o ControlMaster=auto -oPort=2 -J bastion -C -q -4 -E /tmp/log",
        ansible_ssh_extra_args="-o 'ProxyCommand nc %h %p'",
    )
    assert found.options == (
        "-o", "ControlMaster=auto", "-o", "Port=2", "-J", "bastion", "-4", "-o", "ProxyCommand nc %h %p",
    )  # fmt: skip


@pytest.mark.parametrize("value", ["auto", "auto_silent"])
def test_automatic_interpreters_are_searched_on_the_host(value):
    assert target(ansible_python_interpreter=value).python is None
    assert target(ansible_python_interpreter="/opt/py").python == "/opt/py"


def test_become_comes_from_variables_then_keywords_then_the_command_line():
    assert target().identity is None
    assert target(TargetDefaults(become=True)).identity == Identity()
    assert target(TargetDefaults(become=True), ansible_become="no").identity is None
    found = target(
        TargetDefaults(become_user="cli", become_method="su", become_password="cli"),
        ansible_become="yes",
        ansible_become_user="postgres",
        ansible_become_flags="-E",
    ).identity
    assert found == Identity("postgres", "su", "cli", None, "-E")
    keyword = Identity.choose("web1", {"ansible_become_user": "db"}, become=True, user="web")
    assert keyword == Identity("db")


def test_an_identity_has_a_stable_name_without_its_password():
    assert Identity("root", "sudo", "secret").name == Identity("root").name == "sudo:root"
    assert Identity("root", flags="-E").name != Identity("root").name
    frame = Identity("root", "sudo", "secret").frame()
    assert (frame["t"], frame["name"], frame["password"]) == ("identity", "sudo:root", "secret")
    assert "password" not in Identity("root", "sudo", "secret").means()
