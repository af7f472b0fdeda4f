"""YAML inventories, programs, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from remedy.document import Text, Unsafe
from remedy.errors import InputError
from remedy.inventory import load

from .conftest import Make


def test_a_tree_of_groups(make: Make) -> None:
    inventory = make(
        "all:\n  vars: {a: 1}\n  children:\n    db:\n      hosts:\n        db[1:2]: {port: 5}\n      vars: {b: 2}\n"
        "    web: {hosts: web1}\n",
        "hosts.yml",
    )
    assert [host.name for host in inventory.hosts] == ["db1", "db2", "web1"]
    assert inventory.host("db2").vars == {"port": 5}
    assert inventory.groups["db"].vars == {"b": 2}


def test_the_example_that_comes_with_remedy() -> None:
    root = Path(__file__).parents[2]
    example = load([str(root / "inventory/example.yml")], root=root)
    assert [host.name for host in example.hosts] == ["web1", "web2", "db1", "db2", "drill1"]
    assert [group for group, one in example.groups.items() if "drill" in one.vars] == ["rehearsal"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "hosts.yml: the inventory is empty"),
        ("- a\n", "hosts.yml:1: the inventory is a list\n  expected groups"),
        ("plugin: constructed\n", "hosts.yml:1:9: inventory plugins such as 'constructed' are not supported"),
        ("web: [a]\n", "hosts.yml:1:6: the group 'web' is a list\n  expected a mapping with hosts, vars and"),
        ("web:\n  host: {a: }\n", "hosts.yml:2:3: 'host' is no part of a group\n  did you mean 'hosts'?"),
        (
            "web:\n  hosts: [a]\n",
            "hosts.yml:2:10: 'hosts' is a list\n  expected a mapping; each name ends in a colon",
        ),
        ("web:\n  vars: x\n", "hosts.yml:2:9: 'vars' is 'x'"),
        (
            "web:\n  hosts:\n    a: 5\n",
            "hosts.yml:3:5: the host 'a' is '5'\n  expected its variables, or nothing",
        ),
        ("a: {children: {b: {children: {a: }}}}\n", "groups contain each other: a → b → a"),
        (
            "web: {hosts: {'a[5:1]': }}\n",
            "hosts.yml:1:15: the range in 'a[5:1]' is wrong: '5' comes after '1'",
        ),
    ],
)
def test_bad_trees(text: str, error: str, make: Make) -> None:
    with pytest.raises(InputError) as caught:
        make(text, "hosts.yml")
    assert error in str(caught.value)


def program(folder: Path, script: str) -> Path:
    file = folder / "inventory.sh"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def test_a_program_without_meta_is_asked_for_each_host(tmp_path: Path) -> None:
    file = program(
        tmp_path,
        'if [ "$1" = --list ]; then echo \'{"web": ["a", "b"]}\'; else echo "{\\"n\\": \\"$2\\"}"; fi',
    )
    inventory = load([str(file)], root=tmp_path)
    assert [dict(host.vars) for host in inventory.hosts] == [{"n": "a"}, {"n": "b"}]


def test_what_a_program_prints_may_be_a_template_unless_it_says_unsafe(tmp_path: Path) -> None:
    file = program(
        tmp_path,
        """echo '{"web": ["a"], "_meta": {"hostvars": {"a":"""
        """ {"t": "{{ x }}", "u": {"__ansible_unsafe": "{{ x }}"}}}}}'""",
    )
    host = load([str(file)], root=tmp_path).host("a")
    assert type(host.vars["t"]) is Text
    assert type(host.vars["u"]) is Unsafe


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("echo no; echo bad >&2; exit 3", "'inventory.sh --list' ended with exit status 3: bad"),
        ("echo nojson", "'inventory.sh --list' printed no JSON"),
        ("echo '[1]'", "'inventory.sh --list' printed no JSON object"),
        ("echo '{\"web\": 5}'", "the group 'web' is neither a list of hosts nor an object"),
        ('echo \'{"web": {"hosts": 5}}\'', "in the group 'web' hosts and children must be lists"),
        ("exec sleep 60", "did not end within 0.2 s"),
    ],
)
def test_bad_programs(script: str, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "sleep" in script:
        monkeypatch.setattr("remedy.inventory.script.DEADLINE", 0.2)
    file = program(tmp_path, script)
    with pytest.raises(InputError) as caught:
        load([str(file)], root=tmp_path)
    assert error in str(caught.value)
