"""INI inventories: values, and what a user reads when a line is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from remedy.document import Text
from remedy.errors import InputError, Position

from .conftest import Make


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("5", 5),
        ("5.5", 5.5),
        ("'5'", 5),
        ("'\"5\"'", "5"),
        ("True", True),
        ("true", "true"),
        ("yes", "yes"),
        ("None", None),
        ("1.2.3", "1.2.3"),
        ("'a b'", "a b"),
        ("a=b", "a=b"),
        ("\"[1, 'x']\"", [1, "x"]),
        ("\"{'a': 1}\"", {"a": 1}),
        ("10.0.0.1", "10.0.0.1"),
        ("0x10", 16),
        ("u'x'", "ux"),
        ("x#y", "x"),
        ("", ""),
    ],
)
def test_host_values(written: str, value: Any, make: Make) -> None:
    host = make(f"web1 v={written} # comment\n").host("web1")
    assert host.vars["v"] == value
    assert isinstance(host.vars["v"], type(value))


def test_texts_are_the_authors_and_know_their_line(make: Make, tmp_path: Path) -> None:
    inventory = make("# top\nweb1 url='http://{{ name }}' list='[\"{{ x }}\"]'\n[all:vars]\na = b c # d\n")
    host = inventory.host("web1")
    assert type(host.vars["url"]) is Text
    assert host.vars["url"].position == Position(str(tmp_path / "hosts"), 2)
    assert type(host.vars["list"][0]) is Text
    assert inventory.groups["all"].vars["a"] == "b c # d"
    assert inventory.groups["all"].vars.values_at["a"] == Position(str(tmp_path / "hosts"), 4)


def test_groups_may_be_declared_after_they_are_used(make: Make) -> None:
    inventory = make("[top:children]\nlow\n[low:vars]\nx=1\n[low]\nh\n")
    assert inventory.groups["top"].hosts == ("h",)
    assert inventory.host("h").groups == ("low", "top")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("web1 x\n", "hosts.ini:1: 'x' sets no variable\n  expected key=value"),
        ("web1 x='a\n", "hosts.ini:1: the host line cannot be read: No closing quotation"),
        ("---\n- a\n", "hosts.ini:1: '---' begins a YAML document"),
        (
            "[a b]\nx\n",
            "hosts.ini:1: '[a b]' is no section\n  expected [GROUP], [GROUP:vars] or [GROUP:children]",
        ),
        ("[a:var]\n", "hosts.ini:1: a section cannot be of the kind 'var'\n  did you mean 'vars'?"),
        (
            "[web]\nx\n[top:children]\nwbe\n",
            "hosts.ini:4: [top:children] names the group 'wbe', which is declared now",
        ),
        (
            "[web]\nx\n[wbe:vars]\na=1\n",
            "hosts.ini:3: [wbe:vars] is for a group that is declared nowhere\n  did you m",
        ),
        ("[web:vars]\nnovalue\n", "hosts.ini:2: 'novalue' sets no variable"),
        ("[a:children]\nb c\n[b]\n", "hosts.ini:2: 'b c' is no group name\n  expected one name a line"),
        ("web:\n", "hosts.ini:1: 'web:' is no host name\n  expected a name, or NAME:PORT"),
        ("w[1:\n", "hosts.ini:1: the range in 'w[1:' is wrong: a bracket is not closed"),
        ("[a:children]\nb\n[b:children]\nc\n[c:children]\na\n", "groups contain each other: a → b → c → a"),
        ("[a:children]\na\n", "hosts.ini:2: groups contain each other: a → a"),
        ("[a:children]\nall\n", "hosts.ini:2: 'all' cannot be a child of 'a'"),
        (
            "[a]\nx\n[a:vars]\nansible_group_priority=high\n",
            "hosts.ini:4: ansible_group_priority 'high' of 'a' is no",
        ),
    ],
)
def test_bad_lines(text: str, error: str, make: Make) -> None:
    with pytest.raises(InputError) as caught:
        make(text, "hosts.ini")
    assert error in str(caught.value)
    assert caught.value.exit_code == 5
