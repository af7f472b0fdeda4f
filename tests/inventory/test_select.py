"""The pattern language, `--limit`, and names that are not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from remedy.errors import InputError
from remedy.inventory import Inventory

from .conftest import Make

TEXT = """
lone
[web]
web1
web2
web3.example.com
[db]
db1
db2
[prod:children]
web
db
[empty]
"""


@pytest.fixture
def inventory(make: Make) -> Inventory:
    return make(TEXT)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("all", "lone web1 web2 web3.example.com db1 db2"),
        ("*", "lone web1 web2 web3.example.com db1 db2"),
        ("web:db1", "web1 web2 web3.example.com db1"),
        ("db1,lone", "db1 lone"),
        ("db2:db1:db2", "db2 db1"),
        ("prod:!db", "web1 web2 web3.example.com"),
        ("!db", "lone web1 web2 web3.example.com"),
        ("&db", "db1 db2"),
        ("!web:prod", "db1 db2"),
        ("prod:&db:!db1", "db2"),
        ("web?", "web1 web2"),
        ("*.example.com", "web3.example.com"),
        ("~(web|db)1", "web1 db1"),
        ("~web\\d$", "web1 web2"),
        ("web[0]", "web1"),
        ("web[-1]", "web3.example.com"),
        ("web[1:]", "web2 web3.example.com"),
        ("web[0:1]:db[0]", "web1 web2 db1"),
        ("ungrouped", "lone"),
        ("empty", ""),
        ("web:!web", ""),
        ("web:nope", "web1 web2 web3.example.com"),
        ("web:!nope", "web1 web2 web3.example.com"),
        ("localhost", "localhost"),
        ("db1 , lone", "db1 lone"),
    ],
)
def test_patterns(pattern: str, names: str, inventory: Inventory) -> None:
    assert [host.name for host in inventory.select(pattern)] == names.split()


def test_a_limit_cuts_down(inventory: Inventory) -> None:
    assert [host.name for host in inventory.select("prod", "db:web1")] == ["web1", "db1", "db2"]
    assert inventory.select("web", "db") == []
    assert [host.name for host in inventory.select("prod", "!web")] == ["db1", "db2"]


def test_a_limit_may_stand_in_a_file(inventory: Inventory, tmp_path: Path) -> None:
    file = tmp_path / "failed.retry"
    file.write_text("db1\n\nweb2\n")
    assert [host.name for host in inventory.select("all", f"@{file}")] == ["web2", "db1"]
    with pytest.raises(InputError, match="the limit file cannot be read"):
        inventory.select("all", "@/nope")


@pytest.mark.parametrize(
    ("pattern", "limit", "error"),
    [
        ("webb", None, "no host and no group matches 'webb'\n  did you mean 'web'?"),
        ("all", "db3", "no host and no group matches 'db3'\n  did you mean 'db"),
        (
            "zzz",
            None,
            "no host and no group matches 'zzz'\n  groups: all, ungrouped, web, db, prod, empty; 6 hosts",
        ),
        ("web[7]", None, "the pattern 'web[7]' asks for more than the 3 hosts of 'web'"),
        ("~(", None, "the pattern '~(' cannot be read"),
    ],
)
def test_patterns_that_select_nothing(
    pattern: str, limit: str | None, error: str, inventory: Inventory
) -> None:
    with pytest.raises(InputError) as caught:
        inventory.select(pattern, limit)
    assert error in str(caught.value)


def test_an_ipv6_address_is_one_name(make: Make) -> None:
    inventory = make("[2001:db8::1]:22\nother\n[a]\nother\n[b]\nother\n[c]\nother\n")
    assert [host.name for host in inventory.select("2001:db8::1")] == ["2001:db8::1"]
    assert [host.name for host in inventory.select("a:b:c")] == ["other"]


def test_an_unknown_host_is_an_error(inventory: Inventory) -> None:
    with pytest.raises(InputError, match="the inventory has no host 'web4'\n  did you mean 'web"):
        inventory.host("web4")


def test_parts_that_name_nobody_are_told_exclusions_too(inventory: Inventory) -> None:
    found = inventory.unmatched("web:nope:&wbe:!dbs:db1")
    assert [(part, error.message) for part, error in found] == [
        ("nope", "no host and no group matches 'nope'"),
        ("&wbe", "no host and no group matches 'wbe'"),
        ("!dbs", "no host and no group matches 'dbs'"),
    ]
    assert "did you mean 'web'?" in str(found[1][1])
    assert inventory.unmatched("all:!db:&prod:empty:web[0]:~db.:*.com:localhost") == []
    assert [part for part, _ in inventory.unmatched("web1,wbe2", limit=True)] == ["wbe2"]
